/*
 * test_jwt.c
 *	  pure/jwt_verify.c up to the signature: shape, header, algorithm, key.
 */
#include "jwt_tokens.h"

static void
test_shape(void)
{
	static const char parts[] = "The token does not have three parts.";
	const char *good = sign(own_key, HEADER, PAYLOAD);
	char		token[BUFFER_SIZE];
	size_t		length = strlen(good);
	size_t		header = (size_t) (strchr(good, '.') - good);

	ok(verifies(good), "the good token verifies");
	ok(is_refused_as("", 0, &rules, "Access token required", ""), "an empty token");
	ok(is_refused_as(NULL, 0, &rules, "Access token required", ""), "no token");
	ok(is_refused("x", parts), "one letter");
	ok(is_refused("..", parts), "two dots");
	ok(is_refused(".....", parts), "five dots");
	snprintf(token, sizeof(token), "%s.", good);
	ok(is_refused(token, parts), "a dot at the end");
	snprintf(token, sizeof(token), ".%s", good);
	ok(is_refused(token, parts), "a dot in front");
	snprintf(token, sizeof(token), "%s.AAAA.AAAA", good);
	ok(is_refused(token, parts), "five parts, as encrypted tokens have");
	snprintf(token, sizeof(token), "%.*s", (int) (strrchr(good, '.') - good), good);
	ok(is_refused(token, parts), "no signature");
	snprintf(token, sizeof(token), "%.*s.", (int) (strrchr(good, '.') - good), good);
	ok(is_refused(token, parts), "an empty signature");
	snprintf(token, sizeof(token), "%.*s..%s", (int) header, good, strrchr(good, '.') + 1);
	ok(is_refused(token, parts), "an empty payload");
	snprintf(token, sizeof(token), "%s==", good);
	ok(is_refused(token, NULL), "padding after the signature");
	snprintf(token, sizeof(token), "%.*s=%s", (int) header, good, good + header);
	ok(is_refused(token, "The header is malformed."), "padding after the header");
	snprintf(token, sizeof(token), " %s", good);
	ok(is_refused(token, "The header is malformed."), "a blank in front");
	snprintf(token, sizeof(token), "%s\n", good);
	ok(is_refused(token, NULL), "a line feed behind");
	ok(is_refused_as(good, length - 1, &rules, "Invalid or expired token", NULL),
	   "a signature cut by one digit");
	memcpy(token, good, length + 1);
	token[header / 2] = '\0';
	ok(is_refused_as(token, length, &rules, "Invalid or expired token",
					 "The header is malformed."), "a NUL inside");
	memcpy(token, good, length + 1);
	ok(is_refused_as(token, length + 1, &rules, "Invalid or expired token", NULL),
	   "a NUL behind");
}

/* A truly signed token of exactly that length; false when there is none. */
static bool
sign_to_length(size_t wanted, char *token)
{
	char		header[128];
	char		payload[BUFFER_SIZE];
	int			header_pad;
	int			pad;

	/* base64url has no text of 4n + 1 digits: one part alone cannot meet every length. */
	for (header_pad = 1; header_pad <= 3; header_pad++)
	{
		snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"one\",\"x\":\"%0*d\"}",
				 header_pad, 0);
		for (pad = 5850; pad < 6000; pad++)
		{
			snprintf(payload, sizeof(payload), "{" CLAIMS ",\"exp\":1700000900,\"a\":\"%0*d\"}",
					 pad, 0);
			if (sign_bytes(own_key, header, strlen(header), payload, strlen(payload),
						   token) == wanted)
				return true;
		}
	}
	return false;
}

static void
test_length(void)
{
	char		token[BUFFER_SIZE];

	ok(sign_to_length(SAAS_JWT_MAX_LENGTH, token) && verifies(token), "8192 bytes verify");
	ok(sign_to_length(SAAS_JWT_MAX_LENGTH + 1, token) &&
	   is_refused(token, "The token is too long."), "8193 bytes do not, although truly signed");
	ok(is_refused_as(token, (size_t) 1 << 40, &rules, "Invalid or expired token",
					 "The token is too long."), "a terabyte is refused before it is read");
}

static void
test_every_change(void)
{
	char		good[BUFFER_SIZE];
	char		token[BUFFER_SIZE];
	SaasJwtClaims claims;
	SaasProblem problem;
	size_t		length;
	size_t		i;
	int			accepted = 0;

	snprintf(good, sizeof(good), "%s", sign(own_key, HEADER, PAYLOAD));
	length = strlen(good);
	for (i = 0; i < length; i++)
	{
		memcpy(token, good, length + 1);
		token[i] = good[i] == 'A' ? 'B' : 'A';
		accepted += SaasJwtVerify(token, length, keys, &rules, arena, &claims, &problem);
		token[i] = (char) (good[i] ^ 1);
		accepted += SaasJwtVerify(token, length, keys, &rules, arena, &claims, &problem);
		accepted += SaasJwtVerify(good, i, keys, &rules, arena, &claims, &problem);
		accepted += SaasJwtVerify(good + i + 1, length - i - 1, keys, &rules, arena, &claims,
								  &problem);
	}
	ok(accepted == 0, "no change of one letter and no part of a token verifies");
	ok(ERR_peek_error() == 0, "and OpenSSL's error queue is empty");
}

static void
test_garbage(void)
{
	char		token[SAAS_JWT_MAX_LENGTH];
	SaasJwtClaims claims;
	SaasProblem problem;
	int			accepted = 0;
	int			i;

	for (i = 0; i < 2000; i++)
	{
		size_t		length = 1 + (size_t) (i * 4) % sizeof(token);

		RAND_bytes((unsigned char *) token, (int) length);
		/* Every other one has three parts. */
		if (i % 2 == 0 && length > 8)
			token[length / 3] = token[length / 2] = '.';
		accepted += SaasJwtVerify(token, length, keys, &rules, arena, &claims, &problem);
	}
	ok(accepted == 0, "no garbage verifies");
}

static void
test_algorithms(void)
{
	static const char unsupported[] = "The algorithm is not supported.";
	static const char another[] = "The algorithm is not the one of the key.";
	static const char *const names[] = {
		"none", "None", "NONE", "", "es256", "ES256 ", "ES512", "RS512", "HS384", "ES256K", "EDDSA"
	};
	static const char *const others[] = {"ES384", "RS256", "PS256", "EdDSA", "HS256"};
	char		header[256];
	char		token[BUFFER_SIZE];
	char		secret[512];
	uint8_t		mac[32];
	size_t		length;
	size_t		i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"one\"}", names[i]);
		ok(is_refused(sign(own_key, header, PAYLOAD), unsupported),
		   "alg \"%s\" over a true signature", names[i]);
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"one\"}", others[i]);
		ok(is_refused(sign(own_key, header, PAYLOAD), another),
		   "alg \"%s\" with the key of another", others[i]);
	}
	length = write_input("{\"alg\":\"none\"}", 14, PAYLOAD, strlen(PAYLOAD), token);
	snprintf(token + length, sizeof(token) - length, ".");
	ok(is_refused(token, NULL), "alg none with an empty signature");
	snprintf(token + length, sizeof(token) - length, ".AA");
	ok(is_refused(token, unsupported), "alg none with some signature");

	/* Algorithm confusion: a MAC under what everybody knows. */
	snprintf(secret, sizeof(secret), "{%s}", own_jwk);
	snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"one\"}");
	length = write_input(header, strlen(header), PAYLOAD, strlen(PAYLOAD), token);
	HMAC(EVP_sha256(), secret, (int) strlen(secret), (unsigned char *) token, length, mac, NULL);
	token[length++] = '.';
	encode(mac, sizeof(mac), token + length);
	ok(is_refused(token, another), "a MAC keyed with the public key");
	ok(is_refused(with_signature(mac, sizeof(mac)), "The signature is malformed."),
	   "a MAC that says it is ES256");

	ok(is_refused(sign(own_key, "{\"kid\":\"one\"}", PAYLOAD), "The header has no \"alg\"."),
	   "no alg");
	ok(is_refused(sign(own_key, "{\"alg\":256,\"kid\":\"one\"}", PAYLOAD),
				  "The header has no \"alg\"."), "an alg that is a number");
	ok(is_refused(sign(own_key, "{\"alg\":[\"ES256\"],\"kid\":\"one\"}", PAYLOAD),
				  "The header has no \"alg\"."), "an alg that is an array");
}

static void
test_headers(void)
{
	static const char own[] = "The header brings its own key.";
	static const char unknown[] = "No key is known for the token.";
	static const char malformed[] = "The header is malformed.";
	static const char not_string[] = "The header's \"kid\" or \"typ\" is not a string.";
	char		header[512];

	ok(verifies(sign(other_key, "{\"alg\":\"ES256\",\"kid\":\"two\"}", PAYLOAD)),
	   "the second key verifies under its own kid");
	ok(verifies(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"typ\":\"at+jwt\",\"x\":1}",
					 PAYLOAD)), "another typ and an unknown member are no matter");
	ok(is_refused(sign(other_key, HEADER, PAYLOAD), "The signature is wrong."),
	   "one key under the kid of another");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"three\"}", PAYLOAD), unknown),
	   "an unknown kid");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"\"}", PAYLOAD), unknown),
	   "an empty kid");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\"}", PAYLOAD), unknown),
	   "no kid where two keys could be meant");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":1}", PAYLOAD), not_string),
	   "a kid that is a number");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":null}", PAYLOAD), not_string),
	   "a kid that is null");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"typ\":{}}", PAYLOAD),
				  not_string), "a typ that is an object");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"crit\":[\"b64\"],\"b64\":false}",
					   PAYLOAD), "The header has critical extensions."), "crit");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"crit\":[]}", PAYLOAD),
				  "The header has critical extensions."), "an empty crit");
	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"one\",\"jwk\":{%s}}", own_jwk);
	ok(is_refused(sign(own_key, header, PAYLOAD), own), "an embedded jwk, even the right one");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"jku\":\"https://x\"}", PAYLOAD),
				  own), "jku");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"x5u\":\"https://x\"}", PAYLOAD),
				  own), "x5u");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\",\"x5c\":[\"AA\"]}", PAYLOAD),
				  own), "x5c");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"one\"}", PAYLOAD),
				  malformed), "a header with a member twice");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"\\u0061lg\":\"none\",\"kid\":\"one\"}", PAYLOAD),
				  malformed), "a header with a member twice, once escaped");
	ok(is_refused(sign(own_key, "[\"ES256\"]", PAYLOAD), malformed), "a header that is an array");
	ok(is_refused(sign(own_key, "\"ES256\"", PAYLOAD), malformed), "a header that is a string");
	ok(is_refused(sign(own_key, HEADER "x", PAYLOAD), malformed), "a header with a tail");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"\xc3(\"}", PAYLOAD), malformed),
	   "a header of bad UTF-8");
	ok(is_refused(sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"one\\u0000\"}", PAYLOAD), malformed),
	   "a kid with an escaped NUL");
}

/* Whoever holds the keys fetches newer ones only for this refusal. */
static void
test_unknown_key(void)
{
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	const char *token = sign(own_key, "{\"alg\":\"ES256\",\"kid\":\"three\"}", PAYLOAD);

	ok(!SaasJwtVerify(token, strlen(token), keys, &rules, arena, &claims, &problem) &&
	   SaasJwtKeyIsUnknown(&problem), "an unknown kid can be told apart");
	token = sign(other_key, HEADER, PAYLOAD);
	ok(!SaasJwtVerify(token, strlen(token), keys, &rules, arena, &claims, &problem) &&
	   !SaasJwtKeyIsUnknown(&problem), "a wrong signature is not one");
}

static void
test_deep_header(void)
{
	char		deep[5900];
	size_t		length = 0;

	/* Unsigned tokens reach the JSON reader, which must not run out of stack. */
	while (length < sizeof(deep) - 8)
	{
		memcpy(deep + length, "{\"a\":", 5);
		length += 5;
	}
	deep[length] = '\0';
	ok(is_refused(sign(own_key, deep, "{}"), "The header is malformed."),
	   "a header of a thousand open objects");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	memcpy(deep, "{\"a\":", 5);
	ok(is_refused(sign(own_key, deep, "{}"), "The header is malformed."),
	   "a header of almost six thousand open arrays");
}

static void
test_signatures(void)
{
	static const char malformed[] = "The signature is malformed.";
	static const char wrong[] = "The signature is wrong.";
	static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
	char		input[BUFFER_SIZE] = {0};
	size_t		length = write_input(HEADER, strlen(HEADER), PAYLOAD, strlen(PAYLOAD), input);
	uint8_t		der[128];
	uint8_t		raw[64];
	uint8_t		bad[130] = {0};
	size_t		der_length = write_signature(own_key, input, length, der);
	BIGNUM	   *n = NULL;

	raw_of_der(der, der_length, raw);
	ok(verifies(with_signature(raw, 64)), "r and s of 32 bytes each verify");
	ok(is_refused(with_signature(der, der_length), malformed), "the same signature in DER");
	ok(is_refused(with_signature(raw, 63), malformed), "63 bytes");
	memcpy(bad, raw, 64);
	ok(is_refused(with_signature(bad, 65), malformed), "65 bytes");
	ok(is_refused(with_signature(bad, 128), malformed), "128 bytes");
	ok(is_refused(with_signature(input, 2000), malformed), "2000 bytes");
	memset(bad, 0, 32);
	ok(is_refused(with_signature(bad, 64), wrong), "r is 0");
	memcpy(bad, raw, 32);
	memset(bad + 32, 0, 32);
	ok(is_refused(with_signature(bad, 64), wrong), "s is 0");
	memset(bad, 0, 64);
	ok(is_refused(with_signature(bad, 64), wrong), "r and s are 0");
	bad[31] = bad[63] = 1;
	ok(is_refused(with_signature(bad, 64), wrong), "r and s are 1");
	memset(bad, 0xff, 64);
	ok(is_refused(with_signature(bad, 64), wrong), "r and s beyond the order");
	BN_hex2bn(&n, order);
	BN_bn2binpad(n, bad, 32);
	BN_bn2binpad(n, bad + 32, 32);
	BN_free(n);
	ok(is_refused(with_signature(bad, 64), wrong), "r and s are the order");
	memcpy(bad, raw + 32, 32);
	memcpy(bad + 32, raw, 32);
	ok(is_refused(with_signature(bad, 64), wrong), "s before r");
}

static void
test_exhaustion(void)
{
	const char *token = sign(own_key, HEADER, PAYLOAD);
	SaasJwtClaims claims;
	SaasProblem problem;
	bool		verified = false;
	bool		clean = true;
	size_t		size;

	for (size = 0; size < 8192 && !verified; size += 16)
	{
		SaasArena  *small = SaasArenaCreate(size);

		memset(&problem, 0, sizeof(problem));
		verified = SaasJwtVerify(token, strlen(token), keys, &rules, small, &claims, &problem);
		if (!verified && (strcmp(problem.sqlstate, "53200") != 0 || !claims_are_empty(&claims)))
			clean = false;
		SaasArenaDestroy(small);
	}
	ok(verified && clean, "an exhausted arena is out of memory wherever it happens");
}

int
main(void)
{
	open_tokens();
	test_shape();
	test_length();
	test_every_change();
	test_garbage();
	test_algorithms();
	test_headers();
	test_unknown_key();
	test_deep_header();
	test_signatures();
	test_exhaustion();
	close_tokens();
	return tap_done();
}
