/*
 * test_jwt_key.c
 *	  pure/jwt_key.c and pure/jwt_sign.c: keys, key sets and signing.
 */
#include "jwt_tokens.h"

static void
test_generated_key(void)
{
	char	   *pem = NULL;
	char	   *jwk = NULL;
	char	   *kid = NULL;
	char		hashed[512];
	char		thumbprint[64];
	char		rest[256];
	uint8_t		digest[32];
	SaasProblem problem = {0};
	SaasArena  *small = SaasArenaCreate(300);

	SaasJwtKeyGenerate(SAAS_JWT_ES256, arena, &pem, &jwk, &kid, &problem);
	ok(strncmp(pem, "-----BEGIN PRIVATE KEY-----\n", 28) == 0, "the private key is PKCS#8 PEM");
	snprintf(hashed, sizeof(hashed), "%.*s}", (int) (strstr(jwk, ",\"kid\"") - jwk), jwk);
	ok(strncmp(hashed, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"", 31) == 0,
	   "the JWK begins with the members of the thumbprint");
	SHA256((const uint8_t *) hashed, strlen(hashed), digest);
	encode(digest, sizeof(digest), thumbprint);
	is_text(kid, thumbprint, "the kid is the RFC 7638 thumbprint");
	snprintf(rest, sizeof(rest), ",\"kid\":\"%s\",\"alg\":\"ES256\",\"use\":\"sig\"}", kid);
	is_text(strstr(jwk, ",\"kid\""), rest, "the JWK has kid, alg and use");
	ok(strstr(jwk, "\"d\"") == NULL, "the JWK has no private member");
	ok(!SaasJwtKeyGenerate(SAAS_JWT_ES256, small, &pem, &jwk, &kid, &problem) &&
	   problem.sqlstate[0] != '\0', "an exhausted arena is a problem");
	SaasArenaDestroy(small);
}

/* RFC 7515, appendix A.3: a key and a token that we had no hand in. */
static void
test_rfc_example(void)
{
	static const char jwks[] =
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9"
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
		"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
		"pmWQxfKTUJqPP3-Kg6NU1Q";
	SaasJwtRules joe = {.issuer = "joe", .now_s = 1300819379, .wants_json = true};
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	SaasJwtKeySet *set = SaasJwtKeySetParse(jwks, strlen(jwks), &problem);

	ok(SaasJwtVerify(token, strlen(token), set, &joe, arena, &claims, &problem),
	   "the example of RFC 7515 verifies");
	is_text(claims.json,
			"{\"iss\":\"joe\",\"exp\":1300819380,\"http://example.com/is_root\":true}",
			"its claims come compact");
	joe.now_s++;
	ok(!SaasJwtVerify(token, strlen(token), set, &joe, arena, &claims, &problem),
	   "and it expires on the second");
	SaasJwtKeySetFree(set);
}

static void
test_round_trip(void)
{
	char	   *pem = NULL;
	char	   *jwk = NULL;
	char	   *kid = NULL;
	char	   *token;
	SaasJwtSigner *signer;
	SaasJwtKeySet *set;
	SaasJwtClaims claims = {0};
	SaasProblem problem = {0};
	char		header[256];
	char		encoded[512];

	SaasJwtKeyGenerate(SAAS_JWT_ES256, arena, &pem, &jwk, &kid, &problem);
	set = parse_keys("{\"keys\":[%s%s]}", jwk, "");
	signer = SaasJwtSignerLoad(pem, kid, &problem);
	token = SaasJwtSign(signer, PAYLOAD, strlen(PAYLOAD), arena, &problem);
	ok(token != NULL && SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem),
	   "a signed token verifies");
	is_text(claims.json, PAYLOAD, "its payload comes back");
	is_text(claims.subject, "u1", "sub");
	is_text(claims.session, "s1", "sid");
	is_text(claims.organization, "o1", "org");
	is_text(claims.token_id, "j1", "jti");
	ok(claims.expires_s == NOW + 900 && claims.issued_s == NOW - 10, "exp and iat");
	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
	encode(header, strlen(header), encoded);
	ok(strncmp(token, encoded, strlen(encoded)) == 0, "the header has alg, typ and kid");
	SaasJwtSignerFree(signer);

	signer = SaasJwtSignerLoad(pem, NULL, &problem);
	token = SaasJwtSign(signer, PAYLOAD, strlen(PAYLOAD), arena, &problem);
	ok(token != NULL && SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem),
	   "without a kid the only key of the algorithm serves");
	SaasJwtSignerFree(signer);
	SaasJwtKeySetFree(set);
}

/* The header that we write is known without parsing, and proves no more than another. */
static void
test_own_header(void)
{
	SaasJwtRules other = rules;
	SaasJwtRules brief = rules;
	SaasJwtClaims claims = {0};
	SaasProblem problem = {0};
	SaasJwtSigner *signer[2];
	SaasJwtSigner *forger;
	SaasJwtKeySet *set;
	char	   *pem[2];
	char	   *jwk[2];
	char	   *kid[2];
	char	   *token;
	int			i;

	for (i = 0; i < 2; i++)
	{
		SaasJwtKeyGenerate(SAAS_JWT_ES256, arena, &pem[i], &jwk[i], &kid[i], &problem);
		signer[i] = SaasJwtSignerLoad(pem[i], kid[i], &problem);
	}
	set = parse_keys("{\"keys\":[%s,%s]}", jwk[0], jwk[1]);
	for (i = 0; i < 2; i++)
	{
		token = SaasJwtSign(signer[i], PAYLOAD, strlen(PAYLOAD), arena, &problem);
		ok(SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem), "each key's header finds it");
	}
	other.algorithms = SAAS_JWT_BIT(SAAS_JWT_RS256);
	ok(!SaasJwtVerify(token, strlen(token), set, &other, arena, &claims, &problem) &&
	   strcmp(problem.detail, "The algorithm is not accepted.") == 0, "but not for an algorithm that is not accepted");
	brief.wants_json = false;
	ok(SaasJwtVerify(token, strlen(token), set, &brief, arena, &claims, &problem) &&
	   claims.json == NULL && strcmp(claims.subject, "u1") == 0, "the payload is written anew on request only");

	forger = SaasJwtSignerLoad(pem[0], kid[1], &problem);
	token = SaasJwtSign(forger, PAYLOAD, strlen(PAYLOAD), arena, &problem);
	ok(!SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem) &&
	   strcmp(problem.detail, "The signature is wrong.") == 0, "another key's signature does not pass below it");
	SaasJwtSignerFree(forger);
	for (i = 0; i < 2; i++)
		SaasJwtSignerFree(signer[i]);
	SaasJwtKeySetFree(set);
}

/* Whether a private key is refused as one. */
static bool
key_is_refused(const char *pem, const char *detail)
{
	SaasProblem problem = {0};
	SaasJwtSigner *signer = SaasJwtSignerLoad(pem, "k", &problem);
	bool		refused = signer == NULL && strcmp(problem.sqlstate, "22023") == 0 &&
		strcmp(problem.detail, detail) == 0 && ERR_peek_error() == 0;

	if (!refused)
		printf("# %s %s / %s\n", problem.sqlstate, problem.message, problem.detail);
	SaasJwtSignerFree(signer);
	return refused;
}

/* The PEM of a key: PKCS#8 in the clear, encrypted, or the older form. */
static const char *
pem_of(EVP_PKEY *key, const EVP_CIPHER *cipher, bool traditional)
{
	static char pem[8192];
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *data;
	long		length;

	if (traditional)
		PEM_write_bio_PrivateKey_traditional(bio, key, cipher, (unsigned char *) "pw", 2, NULL,
											 NULL);
	else
		PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, "pw", 2, NULL, NULL);
	length = BIO_get_mem_data(bio, &data);
	snprintf(pem, sizeof(pem), "%.*s", (int) length, data);
	BIO_free(bio);
	return pem;
}

static void
test_signer_refusals(void)
{
	static const char not_pkcs8[] = "It is not an unencrypted PKCS#8 key in PEM.";
	static const char unsupported[] = "No algorithm that is supported here uses such a key.";
	EVP_PKEY   *p384 = EVP_EC_gen("P-384");
	EVP_PKEY   *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY   *k256 = EVP_EC_gen("secp256k1");
	char		pem[8192];
	char	   *large = malloc(20000);

	ok(key_is_refused("", not_pkcs8), "no key");
	ok(key_is_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", not_pkcs8),
	   "a key of rubbish");
	snprintf(pem, sizeof(pem), "%.100s", pem_of(own_key, NULL, false));
	ok(key_is_refused(pem, not_pkcs8), "a truncated key");
	ok(key_is_refused(pem_of(own_key, EVP_aes_256_cbc(), false), not_pkcs8),
	   "an encrypted key, without asking for a pass phrase");
	ok(key_is_refused(pem_of(own_key, EVP_aes_256_cbc(), true), not_pkcs8),
	   "a key encrypted the older way");
	ok(key_is_refused(pem_of(own_key, NULL, true), not_pkcs8), "a key that is not PKCS#8");
	ok(key_is_refused(pem_of(p384, NULL, false), unsupported), "a key on another curve");
	ok(key_is_refused(pem_of(k256, NULL, false), unsupported), "a key on a curve of that size");
	ok(key_is_refused(pem_of(ed25519, NULL, false), unsupported), "a key of another kind");
	memset(large, '\n', 19999);
	large[19999] = '\0';
	ok(key_is_refused(large, not_pkcs8), "a key of 20 kB");
	free(large);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(ed25519);
	EVP_PKEY_free(k256);
}

static void
test_payload_refusals(void)
{
	char		large[SAAS_JWT_MAX_LENGTH];
	SaasProblem problem = {0};
	SaasJwtSigner *signer = SaasJwtSignerLoad(pem_of(own_key, NULL, false), "k\"\n", &problem);
	char	   *token;
	SaasArena  *small;
	bool		signed_at_last = false;
	bool		clean = true;
	size_t		size;

	ok(!SaasJwtSign(signer, "[]", 2, arena, &problem), "an array is not signed");
	ok(!SaasJwtSign(signer, "{\"a\":1,\"a\":2}", 13, arena, &problem),
	   "a member twice is not signed");
	ok(!SaasJwtSign(signer, "{\"a\":\"\xff\"}", 9, arena, &problem), "bad UTF-8 is not signed");
	ok(strcmp(problem.sqlstate, "22023") == 0, "these are the caller's fault");
	snprintf(large, sizeof(large), "{\"a\":\"%0*d\"}", 6100, 0);
	ok(!SaasJwtSign(signer, large, strlen(large), arena, &problem) &&
	   strcmp(problem.sqlstate, "54000") == 0, "what would not verify for its length is not signed");
	token = SaasJwtSign(signer, "{}", 2, arena, &problem);
	ok(token && strncmp(token, "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtcIlxuIn0.e30.", 60) == 0,
	   "a kid is written as JSON");
	for (size = 0; size < 4096 && !signed_at_last; size += 16)
	{
		small = SaasArenaCreate(size);
		signed_at_last = SaasJwtSign(signer, "{}", 2, small, &problem) != NULL;
		clean = clean && (signed_at_last || strcmp(problem.sqlstate, "53200") == 0);
		SaasArenaDestroy(small);
	}
	ok(signed_at_last && clean, "an exhausted arena is out of memory wherever it happens");
	SaasJwtSignerFree(signer);
}

/* Whether a document is refused as a key set. */
static bool
set_is_refused(const char *text, const char *detail)
{
	SaasProblem problem = {0};
	SaasJwtKeySet *set = SaasJwtKeySetParse(text, strlen(text), &problem);
	bool		refused = set == NULL && strcmp(problem.sqlstate, "22023") == 0 &&
		strcmp(problem.detail, detail) == 0 && ERR_peek_error() == 0;

	if (!refused)
		printf("# %s %s / %s\n", problem.sqlstate, problem.message, problem.detail);
	SaasJwtKeySetFree(set);
	return refused;
}

static void
test_key_set_documents(void)
{
	static const char not_a_set[] = "It is not a JSON object with an array \"keys\".";
	static const char not_a_key[] = "A key is not an object with a string \"kty\".";
	static const char unusable[] = "No key is for an algorithm that is supported here.";
	char		text[16384];
	char	   *large = malloc(300000);
	size_t		length;
	int			i;

	ok(set_is_refused("", not_a_set), "no document");
	ok(set_is_refused("[]", not_a_set), "an array");
	ok(set_is_refused("{}", not_a_set), "no keys");
	ok(set_is_refused("{\"keys\":{}}", not_a_set), "keys that are an object");
	ok(set_is_refused("{\"keys\":[],\"keys\":[]}", not_a_set), "keys twice");
	ok(set_is_refused("{\"keys\":[]}", unusable), "an empty set");
	ok(set_is_refused("{\"keys\":[1]}", not_a_key), "a key that is a number");
	ok(set_is_refused("{\"keys\":[{}]}", not_a_key), "a key without kty");
	ok(set_is_refused("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQAB\"}]}", unusable),
	   "only a key of another type");
	snprintf(text, sizeof(text), "{\"keys\":[{%s,\"kid\":\"a\"},{%s,\"kid\":\"a\"}]}", own_jwk,
			 other_jwk);
	ok(set_is_refused(text, "Two keys have the same \"kid\"."), "a kid twice");
	snprintf(text, sizeof(text), "{\"keys\":[{%s,\"kid\":1}]}", own_jwk);
	ok(set_is_refused(text, "A \"kid\" is not a string."), "a kid that is a number");
	snprintf(text, sizeof(text), "{\"keys\":[{%s,\"d\":\"AAAA\"}]}", own_jwk);
	ok(set_is_refused(text, "A key is a private one; a key set holds public keys."),
	   "a private key");

	length = (size_t) snprintf(text, sizeof(text), "{\"keys\":[{%s}", own_jwk);
	for (i = 1; i < SAAS_JWT_MAX_KEYS; i++)
		length += (size_t) snprintf(text + length, sizeof(text) - length, ",{%s,\"kid\":\"%d\"}",
									own_jwk, i);
	snprintf(text + length, sizeof(text) - length, "]}");
	{
		SaasProblem problem = {0};
		SaasJwtKeySet *set = SaasJwtKeySetParse(text, strlen(text), &problem);

		ok(set != NULL, "%d keys", SAAS_JWT_MAX_KEYS);
		SaasJwtKeySetFree(set);
	}
	snprintf(text + length, sizeof(text) - length, ",{\"kty\":\"x\"}]}");
	ok(set_is_refused(text, "It has too many keys."), "one more");
	memset(large, ' ', 299999);
	large[299999] = '\0';
	ok(set_is_refused(large, "It is too long."), "a document of 300 kB");
	free(large);
	SaasJwtKeySetFree(NULL);
}

static void
test_jwk_points(void)
{
	static const char malformed[] = "A key is malformed, of a wrong size or not on its curve.";
	static const char *const keys_of_rubbish[] = {
		/* off the curve, the origin, beyond the field */
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"",
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"",
		"\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
		"\"x\":\"__________________________________________8\","
		"\"y\":\"__________________________________________8\"",
		/* short, long, padded, missing, no string */
		"\"x\":\"g83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA\",\"y\":\"AAAA\"",
		"\"x\":\"AAAAf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=\"",
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"",
		"\"x\":1,\"y\":2"
	};
	char		text[512];
	size_t		i;

	for (i = 0; i < sizeof(keys_of_rubbish) / sizeof(keys_of_rubbish[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",%s}]}",
				 keys_of_rubbish[i]);
		ok(set_is_refused(text, malformed), "malformed point %zu", i);
	}
	snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%0400d\"}]}", 0);
	ok(set_is_refused(text, malformed), "a coordinate of 300 bytes");
}

static void
test_skipped_keys(void)
{
	static const char *const extras[] = {
		"\"use\":\"enc\"", "\"use\":1", "\"alg\":\"ES384\"", "\"alg\":\"ECDH-ES\"", "\"alg\":1",
		"\"key_ops\":[\"sign\"]", "\"key_ops\":[]", "\"key_ops\":\"verify\""
	};
	static const char *const fine[] = {
		"\"use\":\"sig\"", "\"alg\":\"ES256\"", "\"key_ops\":[\"sign\",\"verify\"]", "\"x5t\":\"AA\""
	};
	const char *token;
	char		text[1024];
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	SaasJwtKeySet *set;
	size_t		i;

	for (i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"keys\":[{%s,%s}]}", own_jwk, extras[i]);
		ok(set_is_refused(text, "No key is for an algorithm that is supported here."),
		   "a key with %s is not for verifying", extras[i]);
	}
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"keys\":[{%s,%s}]}", own_jwk, fine[i]);
		set = SaasJwtKeySetParse(text, strlen(text), &problem);
		ok(set != NULL, "a key with %s is", fine[i]);
		SaasJwtKeySetFree(set);
	}

	/* A skipped key is not there: neither for its kid nor as a second candidate. */
	set = parse_keys("{\"keys\":[{%s,\"use\":\"enc\",\"kid\":\"one\"},{%s}]}", other_jwk, own_jwk);
	token = sign(own_key, "{\"alg\":\"ES256\"}", PAYLOAD);
	ok(SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem),
	   "beside a skipped key the other is the only one");
	token = sign(own_key, HEADER, PAYLOAD);
	ok(!SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem) &&
	   strcmp(problem.detail, "No key is known for the token.") == 0,
	   "a kid is not that of a key without one");
	SaasJwtKeySetFree(set);
}

int
main(void)
{
	open_tokens();
	test_generated_key();
	test_rfc_example();
	test_round_trip();
	test_own_header();
	test_signer_refusals();
	test_payload_refusals();
	test_key_set_documents();
	test_jwk_points();
	test_skipped_keys();
	close_tokens();
	return tap_done();
}
