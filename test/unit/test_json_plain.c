/*
 * test_json_plain.c
 *	  pure/json_plain.c: what it reads is what SaasJsonRead reads.
 */
#include "pure/json.h"
#include "pure/json_plain.h"

#include "tap.h"

/* Both read the text, and the same. */
static void
is_plain(const char *text)
{
	SaasProblem problem = {0};
	json_t	   *plain = SaasJsonReadPlain(text, strlen(text));
	json_t	   *full = SaasJsonRead(text, strlen(text), false, "it", &problem);

	ok(plain != NULL && full != NULL && json_equal(plain, full), "%s", text);
	json_decref(plain);
	json_decref(full);
}

/* It is left to SaasJsonRead. */
static void
is_left(const char *text)
{
	json_t	   *plain = SaasJsonReadPlain(text, strlen(text));

	ok(plain == NULL, "left: %s", text);
	json_decref(plain);
}

static void
test_plain(void)
{
	is_plain("{\"a\":\"b\"}");
	is_plain(" {\t\"a\" :\n\"b\" , \"c\":\r1 } ");
	is_plain("{\"a\":\"\",\"b\":0,\"c\":-7,\"d\":\" ~!#[]/\",\"e\":999999999999999999}");
	is_plain("{\"iss\":\"x\",\"exp\":1300819380,\"http://example.com/is\":\"y\"}");
	is_plain("{\"e\":-999999999999999999}");
	is_plain("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}");
}

/* Values that are good JSON but not plain. */
static void
test_not_plain(void)
{
	is_left("{}");
	is_left("{\"\":1}");
	is_left("{\"a\":[]}");
	is_left("{\"a\":{\"b\":1}}");
	is_left("{\"a\":true}");
	is_left("{\"a\":null}");
	is_left("{\"a\":1.5}");
	is_left("{\"a\":1e3}");
	is_left("{\"a\":-0}");
	is_left("{\"a\":1234567890123456789}");
	is_left("{\"a\":\"\\u0041\"}");
	is_left("{\"\\u0061\":1}");
	is_left("{\"a\":\"\xc3\xa4\"}");
	is_left("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}");
	is_left("[1]");
	is_left("\"a\"");
}

/* Texts that SaasJsonRead refuses. */
static void
test_malformed(void)
{
	is_left("");
	is_left("{");
	is_left("{\"a\"");
	is_left("{\"a\":");
	is_left("{\"a\":}");
	is_left("{\"a\":1");
	is_left("{\"a\":1,");
	is_left("{\"a\":1,}");
	is_left("{,\"a\":1}");
	is_left("{\"a\":1}}");
	is_left("{\"a\":1} x");
	is_left("{\"a\" 1}");
	is_left("{\"a\":01}");
	is_left("{\"a\":- 1}");
	is_left("{\"a\":--1}");
	is_left("{\"a\":+1}");
	is_left("{\"a\":\"b}");
	is_left("{\"a\":\"b\"c\"}");
	is_left("{\"a\":\"\n\"}");
	is_left("{\"a\":\"\x7f\"}");
	is_left("{\"a\":1,\"a\":1}");
	is_left("{\"a\":1,\"b\":2,\"a\":\"3\"}");
	is_left("{a:1}");
	is_left("\f{\"a\":1}");
}

static void
test_length(void)
{
	static const char text[] = "{\"a\":\"b\"}";

	for (size_t length = 0; length < strlen(text); length++)
		ok(SaasJsonReadPlain(text, length) == NULL, "it ends where it is said to");
	ok(SaasJsonReadPlain("{\"a\":\"\0\"}", 9) == NULL, "a NUL is not plain");
	ok(SaasJsonReadPlain("{\"a\0b\":1}", 9) == NULL, "nor in a name");
}

int
main(void)
{
	test_plain();
	test_not_plain();
	test_malformed();
	test_length();
	return tap_done();
}
