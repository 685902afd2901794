/*
 * test_jwt_claims.c
 *	  pure/jwt_verify.c after the signature: what the claims must say.
 */
#include "jwt_tokens.h"

static void
test_payloads(void)
{
	static const char malformed[] = "The payload is malformed.";
	static const char *const payloads[] = {
		"[]", "\"x\"", "1", "null", "{", "{} {}", "{'a':1}", "{\"a\":1,}", "{\"a\":NaN}",
		"{\"exp\":1700000900,\"exp\":1800000000}",
		"{\"exp\":1700000900,\"\\u0065xp\":1800000000}",
		"{\"exp\":1700000900,\"a\":{\"b\":1,\"b\":2}}",
		"{\"exp\":1700000900,\"sub\":\"\xff\"}",
		"{\"exp\":1700000900,\"sub\":\"\xc0\xaf\"}",
		"{\"exp\":1700000900,\"sub\":\"\xed\xa0\x80\"}",
		"{\"exp\":1700000900,\"sub\":\"\\ud800\"}",
		"{\"exp\":1700000900,\"sub\":\"a\\u0000b\"}",
		"\xef\xbb\xbf{\"exp\":1700000900}",
		"{\"exp\":99999999999999999999}",
		"{\"exp\":1e999}"
	};
	char		token[BUFFER_SIZE];
	size_t		i;

	for (i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
		ok(is_refused(sign(own_key, HEADER, payloads[i]), malformed),
		   "malformed payload %zu, truly signed", i);
	sign_bytes(own_key, HEADER, strlen(HEADER), "{\"exp\":1700000900}\0", 19, token);
	ok(is_refused(token, malformed), "a NUL after the payload");
	sign_bytes(own_key, HEADER, strlen(HEADER), "{\"exp\":\0 1700000900}", 20, token);
	ok(is_refused(token, malformed), "a NUL inside the payload");
}

/* A token with the good parties and other members, truly signed. */
static const char *
sign_claims(const char *members)
{
	char		payload[1024];

	snprintf(payload, sizeof(payload), "{" CLAIMS ",%s}", members);
	return sign(own_key, HEADER, payload);
}

static void
test_times(void)
{
	static const char insane[] = "A time claim is not a sane number.";
	static const char expired[] = "The token has expired.";
	static const char early[] = "The token is not valid yet.";
	static const char future[] = "The token was issued in the future.";
	static const char *const bad[] = {
		"\"exp\":\"1700000900\"", "\"exp\":null", "\"exp\":true", "\"exp\":[1700000900]",
		"\"exp\":-1", "\"exp\":-1700000900.5", "\"exp\":9007199254740992",
		"\"exp\":9223372036854775807", "\"exp\":1e300",
		"\"exp\":1700000900,\"nbf\":\"0\"", "\"exp\":1700000900,\"nbf\":-1",
		"\"exp\":1700000900,\"iat\":\"0\"", "\"exp\":1700000900,\"iat\":{}",
		"\"exp\":1700000900,\"iat\":1e17"
	};
	SaasJwtRules extreme = rules;
	const char *token;
	size_t		i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(is_refused(sign_claims(bad[i]), insane), "%s", bad[i]);
	ok(is_refused(sign_claims("\"iat\":1"), "The token does not expire."), "no exp");
	ok(verifies(sign_claims("\"exp\":9007199254740991")), "the last sane exp");
	ok(verifies(sign_claims("\"exp\":1.7000009e9")), "an exp with an exponent");
	ok(verifies(sign_claims("\"exp\":1700000900.75")), "an exp with a fraction");
	ok(verifies(sign_claims("\"exp\":1699999971")), "expired, a second within the leeway");
	ok(is_refused(sign_claims("\"exp\":1699999970"), expired), "expired by the leeway");
	ok(is_refused(sign_claims("\"exp\":0"), expired), "expired in 1970");
	ok(is_refused(sign_claims("\"exp\":-0"), expired), "expired at minus nothing");
	ok(verifies(sign_claims("\"exp\":1700000900,\"nbf\":1700000030")), "nbf within the leeway");
	ok(is_refused(sign_claims("\"exp\":1700000900,\"nbf\":1700000031"), early), "nbf beyond it");
	ok(verifies(sign_claims("\"exp\":1700000900,\"iat\":1700000030")), "iat within the leeway");
	ok(is_refused(sign_claims("\"exp\":1700000900,\"iat\":1700000031"), future), "iat beyond it");
	extreme.now_s = INT64_MAX;
	token = sign_claims("\"exp\":9007199254740991");
	ok(is_refused_as(token, strlen(token), &extreme, "Invalid or expired token", expired),
	   "the end of time is after every exp");
	extreme.now_s = INT64_MIN;
	token = sign_claims("\"exp\":1,\"nbf\":0");
	ok(is_refused_as(token, strlen(token), &extreme, "Invalid or expired token", early),
	   "the beginning of time is before every nbf");
}

static void
test_parties(void)
{
	static const char issuer[] = "The issuer is wrong.";
	static const char audience[] = "The audience is wrong.";
	static const char bad_audience[] = "The audience is neither a string nor an array of strings.";
	static const char *const types[] = {
		"", ",\"type\":\"refresh\"", ",\"type\":\"Access\"", ",\"type\":[\"access\"]", ",\"type\":null"
	};
	static const char no_string[] = "A claim that must be a string is not.";
	SaasJwtRules none = {.now_s = NOW, .wants_json = true};
	const char *token;
	char		payload[512];
	size_t		i;
	static const struct
	{
		const char *members;
		const char *detail;		/* NULL: verifies */
	}			cases[] = {
		{"\"aud\":\"app\",\"type\":\"access\"", issuer},
		{"\"iss\":\"https://issuer/\",\"aud\":\"app\",\"type\":\"access\"", issuer},
		{"\"iss\":\"\",\"aud\":\"app\",\"type\":\"access\"", issuer},
		{"\"iss\":1,\"aud\":\"app\",\"type\":\"access\"", "The issuer is not a string."},
		{"\"iss\":[\"https://issuer\"],\"aud\":\"app\"", "The issuer is not a string."},
		{"\"iss\":\"https://issuer\",\"type\":\"access\"", audience},
		{"\"iss\":\"https://issuer\",\"aud\":\"apps\",\"type\":\"access\"", audience},
		{"\"iss\":\"https://issuer\",\"aud\":[],\"type\":\"access\"", audience},
		{"\"iss\":\"https://issuer\",\"aud\":[\"a\",\"b\"],\"type\":\"access\"", audience},
		{"\"iss\":\"https://issuer\",\"aud\":[\"a\",\"app\"],\"type\":\"access\"", NULL},
		{"\"iss\":\"https://issuer\",\"aud\":[\"app\",1],\"type\":\"access\"", bad_audience},
		{"\"iss\":\"https://issuer\",\"aud\":{\"app\":1},\"type\":\"access\"", bad_audience},
		{"\"iss\":\"https://issuer\",\"aud\":null,\"type\":\"access\"", bad_audience},
		{CLAIMS ",\"sub\":1", no_string},
		{CLAIMS ",\"sub\":null", no_string},
		{CLAIMS ",\"sid\":[]", no_string},
		{CLAIMS ",\"org\":{}", no_string},
		{CLAIMS ",\"jti\":7", no_string},
		{CLAIMS, NULL}
	};

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		snprintf(payload, sizeof(payload), "{%s,\"exp\":1700000900}", cases[i].members);
		if (cases[i].detail == NULL)
			ok(verifies(sign(own_key, HEADER, payload)), "{%s}", cases[i].members);
		else
			ok(is_refused(sign(own_key, HEADER, payload), cases[i].detail), "{%s}",
			   cases[i].members);
	}
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		snprintf(payload, sizeof(payload),
				 "{\"iss\":\"https://issuer\",\"aud\":\"app\",\"exp\":1700000900%s}", types[i]);
		token = sign(own_key, HEADER, payload);
		ok(is_refused_as(token, strlen(token), &rules, "Invalid token type",
						 "The claim \"type\" is wrong."), "type: {%s}", types[i]);
	}
	ok(verifies_under(sign(own_key, HEADER, "{\"exp\":1700000001,\"type\":{}}"), &none),
	   "without rules only exp is asked for");
}

int
main(void)
{
	open_tokens();
	test_payloads();
	test_times();
	test_parties();
	close_tokens();
	return tap_done();
}
