/*
 * test_headers.c
 *	  src/pure/headers: what comes from and goes to the HTTP layer as JSON.
 */
#include "pure/headers.h"

#include "tap.h"

static void
test_request(void)
{
	static const char *const names[2] = {"authorization", "x-api-key"};
	static const char *const bad[] = {
		"", "[]", "null", "{", "[\"authorization\"]", "\"authorization\"",
		"{\"authorization\":\"a\"} x", "{\"authorization\":\"a\",\"authorization\":\"b\"}",
		"{\"authorization\":\"a\\u0000\"}", "{\"authorization\":\"\xff\"}"
	};
	const char *good = "{\"authorization\":\"Bearer x\",\"x-api-key\":7,\"host\":\"a\"}";
	SaasArena  *arena = SaasArenaCreate(64 * 1024);
	const char *values[2];

	ok(SaasHeadersOfRequest(good, strlen(good), names, 2, arena, values), "an object is read");
	is_text(values[0], "Bearer x", "a string is a header's value");
	ok(values[1] == NULL, "a number is none");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		values[0] = values[1] = "untouched";
		ok(!SaasHeadersOfRequest(bad[i], strlen(bad[i]), names, 2, arena, values) &&
		   values[0] == NULL && values[1] == NULL, "malformed headers %zu give nothing", i);
	}
	SaasArenaDestroy(arena);
}

static void
test_set(void)
{
	SaasArena  *arena = SaasArenaCreate(1024 * 1024);
	SaasHeader *list = NULL;
	char		long_value[SAAS_MAX_HEADER_VALUE + 2];
	char		name[SAAS_MAX_HEADER_NAME + 2];
	int			count = 1;

	ok(SaasHeadersSet(&list, arena, "X-One", "1") && SaasHeadersSet(&list, arena, "X-Two", "2") &&
	   SaasHeadersSet(&list, arena, "x-one", "3"), "headers are set");
	is_text(SaasHeadersWrite(list, arena), "[{\"X-Two\":\"2\"},{\"x-one\":\"3\"}]",
			"one of the same name is replaced whatever its case");
	ok(SaasHeadersSet(&list, arena, "Set-Cookie", "a=1") && SaasHeadersSet(&list, arena, "set-cookie", "b=2"),
	   "cookies are set");
	is_text(SaasHeadersWrite(list, arena),
			"[{\"X-Two\":\"2\"},{\"x-one\":\"3\"},{\"Set-Cookie\":\"a=1\"},{\"set-cookie\":\"b=2\"}]",
			"and appended");

	list = NULL;
	ok(SaasHeadersSet(&list, arena, "X", " a\r\nSet-Cookie: b\x7f\t\"\\\xc2\x85\xc2\xa0 "), "any value is taken");
	is_text(SaasHeadersWrite(list, arena), "[{\"X\":\"aSet-Cookie: b\\\"\\\\\xc2\xa0\"}]",
			"without its control characters, C1's included");

	memset(long_value, 'v', sizeof(long_value));
	long_value[sizeof(long_value) - 1] = '\0';
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ok(!SaasHeadersSet(&list, arena, "X", long_value) && SaasHeadersSet(&list, arena, "X", long_value + 1),
	   "a value has a longest length");
	ok(!SaasHeadersSet(&list, arena, name, "") && SaasHeadersSet(&list, arena, name + 1, ""),
	   "a name too");
	ok(!SaasHeadersSet(&list, arena, "", "") && !SaasHeadersSet(&list, arena, "a b", "") &&
	   !SaasHeadersSet(&list, arena, "a:", "") && !SaasHeadersSet(&list, arena, "a\r\n", "") &&
	   !SaasHeadersSet(&list, arena, "\xc3\xa4", ""), "and is a token");
	for (list = NULL; SaasHeadersSet(&list, arena, "Set-Cookie", "x"); count++)
		;
	ok(count == SAAS_MAX_HEADERS + 1, "an answer has at most so many");
	SaasArenaDestroy(arena);
}

static void
test_answer(void)
{
	const char *text = "[{\"A\":\"1\"},{\"B\":\"x\",\"C\":\"y\"},{\"D\":4},7,{\"e f\":\"x\"},{\"Set-Cookie\":\"a\"},"
		"{\"Set-Cookie\":\"b\"},{\"a\":\"2\\r\\nX: y\"}]";
	SaasArena  *arena = SaasArenaCreate(64 * 1024);

	is_text(SaasHeadersWrite(SaasHeadersOfAnswer(text, strlen(text), arena), arena),
			"[{\"B\":\"x\"},{\"C\":\"y\"},{\"Set-Cookie\":\"a\"},{\"Set-Cookie\":\"b\"},{\"a\":\"2X: y\"}]",
			"an answer's headers are read in order, without what is none");
	ok(SaasHeadersOfAnswer("", 0, arena) == NULL && SaasHeadersOfAnswer("{\"A\":\"1\"}", 9, arena) == NULL &&
	   SaasHeadersOfAnswer("[{", 2, arena) == NULL, "other text holds none");
	is_text(SaasHeadersWrite(NULL, arena), "[]", "no headers are an empty array");
	SaasArenaDestroy(arena);
}

int
main(void)
{
	test_request();
	test_set();
	test_answer();
	return tap_done();
}
