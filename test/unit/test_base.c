/*
 * test_base.c
 *	  src/base: arena, buffers, problems, HTTP messages, dates, numbers.
 */
#include <math.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/calendar.h"
#include "base/http.h"
#include "base/number.h"
#include "base/problem.h"
#include "base/sample.h"
#include "base/strbuf.h"

#include "tap.h"

static bool
is_zero(const unsigned char *memory, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (memory[i] != 0)
			return false;
	return true;
}

static void
test_arena(void)
{
	SaasArena  *arena = SaasArenaCreate(1024 * 1024);
	void	   *one = SaasArenaAlloc(arena, 0);
	void	   *two = SaasArenaAlloc(arena, 0);
	bool		aligned = true;
	bool		zeroed = true;

	ok(one != NULL && two != NULL && one != two, "a size of 0 gives a unique pointer");
	for (size_t size = 1; size < 9000; size = size * 3 + 1)
	{
		unsigned char *memory = SaasArenaAlloc(arena, size);

		aligned = aligned && (uintptr_t) memory % _Alignof(long double) == 0;
		zeroed = zeroed && is_zero(memory, size);
		memset(memory, 0xAA, size);
	}
	ok(aligned, "memory is aligned for any type");
	ok(zeroed, "memory is zeroed, beside memory in use too");
	ok(SaasArenaAlloc(arena, 900 * 1024) != NULL, "a large allocation");
	ok(SaasArenaAlloc(arena, 16) != NULL, "a small one after it");
	ok(SaasArenaAlloc(arena, 200 * 1024) == NULL, "nothing beyond the bound");
	ok(SaasArenaAlloc(arena, SIZE_MAX) == NULL, "no overflow of the size");
	ok(SaasArenaStrndup(arena, "x", SIZE_MAX) == NULL, "nor of a length");
	ok(SaasArenaUsed(arena) <= 1024 * 1024, "the bound holds for the sum");
	while (SaasArenaAlloc(arena, 64) != NULL)
		;
	ok(SaasArenaUsed(arena) + 64 > 1024 * 1024, "the bound can be used up");
	SaasArenaDestroy(arena);
	SaasArenaDestroy(NULL);

	arena = SaasArenaCreate(4096);
	is_text(SaasArenaStrdup(arena, "text"), "text", "strdup");
	is_text(SaasArenaStrndup(arena, "text", 2), "te", "strndup terminates");
	is_text(SaasArenaPrintf(arena, "%d-%s", 7, "x"), "7-x", "printf");
	ok(SaasArenaStrdup(arena, NULL) == NULL, "strdup of NULL");
	ok(SaasArenaPrintf(arena, "%5000d", 7) == NULL, "printf beyond the bound");
	SaasArenaDestroy(arena);
}

static void
test_strbuf(void)
{
	SaasArena  *arena = SaasArenaCreate(8192);
	char		memory[8];
	SaasStrbuf	buf;

	SaasStrbufInit(&buf, arena);
	is_text(SaasStrbufFinish(&buf), "", "an empty buffer");
	for (int i = 0; i < 100; i++)
		SaasStrbufPrintf(&buf, "%d,", i);
	ok(buf.length == 290 && strlen(SaasStrbufFinish(&buf)) == 290, "a buffer grows");

	SaasStrbufInitOn(&buf, arena, memory, sizeof(memory));
	SaasStrbufAppendText(&buf, "1234567");
	ok(buf.data == memory, "the caller's memory comes first");
	SaasStrbufAppendChar(&buf, '8');
	is_text(SaasStrbufFinish(&buf), "12345678", "then the arena's");

	SaasStrbufInit(&buf, arena);
	SaasStrbufAppendJson(&buf, "a\"\\/\b\t\n\f\r\v\x01\x1f\x7f\0é😀", 20);
	is_text(SaasStrbufFinish(&buf),
			"\"a\\\"\\\\/\\b\\t\\n\\f\\r\\u000b\\u0001\\u001f\x7f\\u0000é😀\"", "JSON escapes");
	SaasStrbufInit(&buf, arena);
	SaasStrbufAppendJson(&buf, "\xff" "a\xc3", 3);
	is_text(SaasStrbufFinish(&buf), "\"\xEF\xBF\xBD" "a\xEF\xBF\xBD\"",
			"bytes that are no UTF-8 do not break JSON");
	SaasStrbufInit(&buf, arena);
	SaasStrbufAppendUrlEncoded(&buf, "aZ0-._~ +&=/%é\n");
	is_text(SaasStrbufFinish(&buf), "aZ0-._~%20%2B%26%3D%2F%25%C3%A9%0A", "percent-encoding");

	SaasStrbufInit(&buf, arena);
	SaasStrbufPrintf(&buf, "%9000d", 1);
	SaasStrbufAppendText(&buf, "later");
	ok(SaasStrbufFinish(&buf) == NULL && buf.length == 0, "a failed append fails the buffer");
	SaasArenaDestroy(arena);
}

static void
test_stray_bytes(void)
{
	int			good = 0;
	int			bad = 0;

	for (size_t i = 0; i < 24; i++)
	{
		char		ascii[] = "twenty-four ASCII bytes!";

		good += SaasUtf8IsValid(ascii, 24);
		ascii[i] = '\0';
		bad += SaasUtf8IsValid(ascii, 24);
		ascii[i] = '\x80';
		bad += SaasUtf8IsValid(ascii, 24);
	}
	ok(good == 24 && bad == 0, "a NUL or a stray byte is found wherever it stands");
}

static void
test_problem(void)
{
	SaasProblem problem = {.sqlstate = ""};
	char		text[64];
	char		filler[300];

	ok(!SaasProblemSet(&problem, "22P02", "a %s\nb", "x\x7f\xff"), "setting returns false");
	is_text(problem.sqlstate, "22P02", "the SQLSTATE");
	is_text(problem.message, "a x???b", "control characters and bad UTF-8 become ?");

	memset(filler, 'x', sizeof(filler));
	memcpy(filler + 254, "é", 3);
	SaasProblemSet(&problem, "22P02", "%s", filler);
	ok(strlen(problem.message) == 254 && problem.message[253] == 'x',
	   "a message is cut before a character that does not fit");
	memcpy(filler + 251, "😀", 5);
	SaasProblemSet(&problem, "22P02", "%s", filler);
	ok(strlen(problem.message) == 255, "a character that just fits stays");
	SaasProblemSet(&problem, "22P02", "x%s", filler);
	ok(strlen(problem.message) == 252, "four bytes are cut as one");

	snprintf(text, sizeof(text), "%s", "\xc2\x85|\xed\xa0\x80|\xc0\xaf|\xf4\x90\x80\x80|é\xe2\x82");
	SaasCleanText(text);
	is_text(text, "?|???|??|????|é??", "C1 controls, surrogates, overlong and cut sequences");

	problem = (SaasProblem) {.sqlstate = ""};
	SaasProblemAppend(&problem, "22008", "%d late", 1);
	is_text(problem.message, "1 late", "the first message of several");
	SaasProblemAppend(&problem, "54000", "2 many");
	SaasProblemAppend(&problem, "54000", "%d late", 1);
	is_text(problem.message, "1 late; 2 many", "one more behind it, and none twice");
	is_text(problem.sqlstate, "22008", "with the first one's SQLSTATE");
	SaasProblemAppend(&problem, "54000", "%s", filler);
	ok(strlen(problem.message) <= 255 && strncmp(problem.message, "1 late; 2 many; xx", 18) == 0, "cut to their size together");

	ok(SaasUtf8IsValid("aé€😀", 10), "UTF-8 of every length");
	ok(!SaasUtf8IsValid("a\0b", 3), "NUL is refused");
	ok(!SaasUtf8IsValid("\xe2\x82", 2) && !SaasUtf8IsValid("\xed\xbf\xbf", 3) &&
	   !SaasUtf8IsValid("\xe0\x9f\xbf", 3) && !SaasUtf8IsValid("\xf0\x8f\xbf\xbf", 4) &&
	   !SaasUtf8IsValid("\xf5\x80\x80\x80", 4) && !SaasUtf8IsValid("\x80", 1),
	   "malformed sequences are refused");
	ok(SaasUtf8IsValid("", 0), "nothing is valid");
	test_stray_bytes();
}

static void
test_http(void)
{
	SaasArena  *arena = SaasArenaCreate(65536);
	SaasRequest request = {.method = "GET"};
	SaasHeader	second = {"retry-after", "2", NULL};
	SaasHeader	first = {"retry-after", "1", &second};
	SaasResponse response = {.status = 200, .headers = &first};
	char		value[] = "text";

	ok(SaasRequestAddHeader(&request, arena, "X-One", value) &&
	   SaasRequestAddHeader(&request, arena, "X-Two", ""), "headers are added");
	value[0] = 'n';
	is_text(request.headers->value, "text", "as copies");
	is_text(request.headers->next->name, "X-Two", "in order");
	ok(!SaasRequestAddHeader(&request, arena, "X-Bad", "a\r\nHost: b") &&
	   !SaasRequestAddHeader(&request, arena, "X-Bad", "a\nb") &&
	   !SaasRequestAddHeader(&request, arena, "X-Bad", "a\tb") &&
	   !SaasRequestAddHeader(&request, arena, "X-Bad", "a\x7f"), "no value splits a request");
	ok(!SaasRequestAddHeader(&request, arena, "X Bad", "") &&
	   !SaasRequestAddHeader(&request, arena, "X:", "") &&
	   !SaasRequestAddHeader(&request, arena, "", "") &&
	   !SaasRequestAddHeader(&request, arena, "X\r\nY", "") &&
	   !SaasRequestAddHeader(&request, arena, "Xé", "") &&
	   !SaasRequestAddHeader(&request, arena, NULL, "") &&
	   !SaasRequestAddHeader(&request, arena, "X", NULL), "a name is a token");
	ok(request.headers->next->next == NULL, "what is refused is not appended");
	is_text(SaasResponseHeader(&response, "retry-after"), "1", "the first of two headers");
	ok(SaasResponseHeader(&response, "etag") == NULL, "no header of that name");
	SaasArenaDestroy(arena);
}

static void
test_retry_after(void)
{
	static const struct
	{
		const char *value;
		int			expected;
	}			cases[] = {
		{"120", 120},
		{" 7\t", 7},
		{"0", 0},
		{"86401", 86400},
		{"99999999999999999999999999", 86400},
		{"-1", 0},
		{"1.5", 0},
		{"", 0},
		{"soon", 0},
		{"1 2", 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 37},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 37},
		{"Sun Nov  6 08:49:37 1994", 37},
		{"Sun, 06 Nov 1994 08:48:59 GMT", 0},
		{"Sun, 06 Nov 2044 08:49:37 GMT", 86400},
		{"Sun, 06 Nov 1994 08:49:37 PST", 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT x", 0},
		{"Sun, 31 Feb 1994 08:49:37 GMT", 0},
		{"Sun, 06 ovD 1994 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 25:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT, and some more text that fits nowhere at all", 0}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(SaasRetryAfter(cases[i].value, 784111740) == cases[i].expected,
		   "Retry-After \"%s\" is %d s", cases[i].value, cases[i].expected);
	ok(SaasRetryAfter(NULL, 0) == 0, "no Retry-After");
}

static void
test_calendar(void)
{
	static const struct
	{
		const char *text;
		bool		valid;
		long long	expected;
	}			cases[] = {
		{"1970-01-01T00:00:00Z", true, 0},
		{"2000-02-29T12:00:00Z", true, 951825600000},
		{"2026-11-21T09:57:35.123456Z", true, 1795255055123},
		{"2026-11-21 11:57:35,5+02:00", true, 1795255055500},
		{"2026-11-21t04:57:35-0500", true, 1795255055000},
		{"1969-12-31T23:59:59.999Z", true, -1},
		{"0001-01-01T00:00:00Z", true, SAAS_MIN_TIME_MS},
		{"9999-12-31T23:59:59.999Z", true, SAAS_MAX_TIME_MS},
		{"2016-12-31T23:59:60Z", true, 1483228800000},
		{"0001-01-01T00:00:00+01:00", false, 0},
		{"0000-01-01T00:00:00Z", false, 0},
		{"1900-02-29T00:00:00Z", false, 0},
		{"2026-13-01T00:00:00Z", false, 0},
		{"2026-11-31T00:00:00Z", false, 0},
		{"2026-11-21T24:00:00Z", false, 0},
		{"2026-11-21T09:57:35", false, 0},
		{"2026-11-21", false, 0},
		{"2026-11-21T09:57:35.Z", false, 0},
		{"2026-11-21T09:57:35Zz", false, 0},
		{"2026-11-21T09:57:35+24:00", false, 0},
		{"2026-11-21T09:57:35+", false, 0},
		{"", false, 0}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t		milliseconds = 0;
		bool		valid = SaasCalendarParseIso(cases[i].text, &milliseconds);

		ok(valid == cases[i].valid && (!valid || milliseconds == cases[i].expected),
		   "\"%s\" is %s", cases[i].text, cases[i].valid ? "a time" : "no time");
	}
}

static void
test_number(void)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "+", ".", "1e", "1e+", "0x10", "inf", "nan", "1_0", "1,5", "1e400", "--1",
		"1.2.3", "1e5.5"
	};
	char		many[402];
	double		value;

	ok(SaasNumberParse("-1.5e3", 6, &value) && value == -1500, "a number with all its parts");
	ok(SaasNumberParse("+.5", 3, &value) && value == 0.5, "no digit before the point");
	ok(SaasNumberParse("5.", 2, &value) && value == 5, "no digit after the point");
	ok(SaasNumberParse("12345", 3, &value) && value == 123, "no more than the given bytes");
	ok(SaasNumberParse("1e-400", 6, &value) && value == 0, "too small is zero");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!SaasNumberParse(bad[i], strlen(bad[i]), &value), "\"%s\" is no number", bad[i]);
	ok(!SaasNumberParse("1\0002", 3, &value), "nor is a NUL within");
	memset(many, '0', sizeof(many));
	ok(SaasNumberParse(many, 400, &value) && !SaasNumberParse(many, 401, &value),
	   "a number has at most 400 bytes");
}

static void
test_samples(void)
{
	SaasArena  *arena = SaasArenaCreate(1024 * 1024);
	SaasArena  *small = SaasArenaCreate(1024);
	SaasSampleList list = {0};
	SaasSample	sample = {.metric = "m", .labels = "{}"};
	bool		added = true;

	for (int i = 0; i < 1000; i++)
	{
		sample.value = i;
		added = added && SaasSampleListAdd(&list, arena, &sample, 1000);
	}
	ok(added && list.count == 1000 && list.items[999].value == 999 && list.items[0].value == 0,
	   "a list grows and keeps its samples");
	ok(!SaasSampleListAdd(&list, arena, &sample, 1000), "up to its bound");
	memset(&list, 0, sizeof(list));
	ok(!SaasSampleListAdd(&list, small, &sample, 1000) && list.count == 0,
	   "an exhausted arena is no crash");
	SaasArenaDestroy(arena);
	SaasArenaDestroy(small);
}

int
main(void)
{
	test_arena();
	test_strbuf();
	test_problem();
	test_http();
	test_retry_after();
	test_calendar();
	test_number();
	test_samples();
	return tap_done();
}
