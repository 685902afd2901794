/*
 * test_jwt_algorithms.c
 *	  pure/jwt_*.c: every algorithm with its keys, and HS256's own keys.
 */
#include "jwt_signers.h"

static const char wrong_key[] = "A key is malformed, of a wrong size or not on its curve.";

static void
test_every_algorithm(void)
{
	const Signer *signer;
	const Signer *other;
	char		kidless[64];

	FOR_EACH_SIGNER(signer)
	{
		ok(verifies(good_token(signer)), "%s verifies", signer->alg);
		snprintf(kidless, sizeof(kidless), "{\"alg\":\"%s\"}", signer->alg);
		ok(verifies(sign_with(signer, kidless, PAYLOAD)),
		   "%s verifies without a kid as the only one of its algorithm", signer->alg);
		FOR_EACH_SIGNER(other)
		{
			if (other != signer)
				ok(is_refused(sign_with(signer, header_of(other->alg, signer->alg, ""), PAYLOAD),
							  "The algorithm is not the one of the key."),
				   "a key of %s is none of %s", signer->alg, other->alg);
		}
	}
}

static void
test_accepted_algorithms(void)
{
	SaasJwtRules some = rules;
	SaasJwtAlgorithm algorithm;
	const Signer *signer;
	const Signer *other;

	FOR_EACH_SIGNER(signer)
	{
		ok(SaasJwtAlgorithmByName(signer->alg, &algorithm), "%s is known", signer->alg);
		some.algorithms = SAAS_JWT_BIT(algorithm);
		FOR_EACH_SIGNER(other)
		{
			const char *token = good_token(other);

			if (other == signer)
				ok(verifies_under(token, &some), "%s where only it is accepted", other->alg);
			else
				ok(is_refused_as(token, strlen(token), &some, "Invalid or expired token",
								 "The algorithm is not accepted."),
				   "no %s where only %s is", other->alg, signer->alg);
		}
	}
	ok(!SaasJwtAlgorithmByName("none", &algorithm) && !SaasJwtAlgorithmByName("es256", &algorithm),
	   "other names are not known");
}

/* Whether {"keys":[{members}]} is refused with the detail. */
static bool
set_is_refused(const char *members, const char *detail)
{
	char		text[8192];
	SaasProblem problem = {0};
	SaasJwtKeySet *set;
	bool		refused;

	snprintf(text, sizeof(text), "{\"keys\":[{%s}]}", members);
	set = SaasJwtKeySetParse(text, strlen(text), &problem);
	refused = set == NULL && strcmp(problem.sqlstate, "22023") == 0 &&
		strcmp(problem.detail, detail) == 0 && ERR_peek_error() == 0;
	if (!refused)
		printf("# %s %s / %s\n", problem.sqlstate, problem.message, problem.detail);
	SaasJwtKeySetFree(set);
	return refused;
}

static bool
set_is_read(const char *members)
{
	char		text[8192];
	SaasProblem problem = {0};
	SaasJwtKeySet *set;

	snprintf(text, sizeof(text), "{\"keys\":[{%s}]}", members);
	set = SaasJwtKeySetParse(text, strlen(text), &problem);
	SaasJwtKeySetFree(set);
	if (set == NULL)
		printf("# %s %s / %s\n", problem.sqlstate, problem.message, problem.detail);
	return set != NULL;
}

/* An RSA key with a modulus of that many bits, odd or not, and any exponent. */
static const char *
rsa_members(int bits, bool is_odd, const char *exponent)
{
	static char members[4096];
	char		modulus[2048];
	uint8_t		bytes[1100];
	size_t		length = ((size_t) bits + 7) / 8;

	memset(bytes, 0x5a, sizeof(bytes));
	bytes[0] = (uint8_t) (1 << ((bits - 1) % 8));
	bytes[length - 1] = is_odd ? 0x5b : 0x5a;
	encode(bytes, length, modulus);
	snprintf(members, sizeof(members), "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":%s", modulus, exponent);
	return members;
}

static void
test_rsa_keys(void)
{
	static const char unusable[] = "No key is for an algorithm that is supported here.";
	const Signer *signer = signer_of("RS256");
	char		members[4096];

	ok(set_is_read(rsa_members(2048, true, "\"AQAB\"")), "a modulus of 2048 bits");
	ok(set_is_read(rsa_members(8192, true, "\"Aw\"")), "one of 8192 with the exponent 3");
	ok(set_is_refused(rsa_members(2047, true, "\"AQAB\""), wrong_key), "2047 bits are too few");
	ok(set_is_refused(rsa_members(1024, true, "\"AQAB\""), wrong_key), "1024 too");
	ok(set_is_refused(rsa_members(8193, true, "\"AQAB\""), wrong_key), "8193 are too many");
	ok(set_is_refused(rsa_members(8400, true, "\"AQAB\""), wrong_key), "8400 too");
	ok(set_is_refused(rsa_members(2048, false, "\"AQAB\""), wrong_key), "an even modulus");
	ok(set_is_refused(rsa_members(2048, true, "\"AQ\""), wrong_key), "the exponent 1");
	ok(set_is_refused(rsa_members(2048, true, "\"Ag\""), wrong_key), "an even exponent");
	ok(set_is_refused(rsa_members(2048, true, "\"AA\""), wrong_key), "the exponent 0");
	ok(set_is_refused(rsa_members(2048, true, "\"\""), wrong_key), "an empty exponent");
	ok(set_is_refused(rsa_members(2048, true, "3"), wrong_key), "an exponent that is a number");
	ok(set_is_refused(rsa_members(2048, true, "\"AQAAAAAAAAAB\""), wrong_key),
	   "an exponent of 65 bits");
	ok(set_is_refused(rsa_members(2048, true, "\"AQAB=\""), wrong_key), "padding");
	ok(set_is_refused("\"kty\":\"RSA\",\"e\":\"AQAB\"", wrong_key), "no modulus");
	snprintf(members, sizeof(members), "%s,\"alg\":\"RS512\"", signer->jwk);
	ok(set_is_refused(members, unusable), "an RSA key for RS512 is for nothing here");
	snprintf(members, sizeof(members), "%s,\"d\":\"AQAB\"", signer->jwk);
	ok(set_is_refused(members, "A key is a private one; a key set holds public keys."),
	   "a private RSA key");
}

static void
test_other_keys(void)
{
	static const char unusable[] = "No key is for an algorithm that is supported here.";
	char		members[2048];

	ok(set_is_refused("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"", wrong_key),
	   "a short Ed25519 key");
	ok(set_is_refused("\"kty\":\"OKP\",\"crv\":\"Ed25519\"", wrong_key), "one without x");
	snprintf(members, sizeof(members), "\"kty\":\"OKP\",\"crv\":\"Ed448\",%s",
			 strstr(signer_of("EdDSA")->jwk, "\"x\""));
	ok(set_is_refused(members, unusable), "Ed448 is skipped");
	snprintf(members, sizeof(members), "\"kty\":\"EC\",\"crv\":\"P-384\",%s",
			 strstr(signer_of("ES256")->jwk, "\"x\""));
	ok(set_is_refused(members, wrong_key), "a point of P-256 on P-384");
	snprintf(members, sizeof(members), "%s,\"alg\":\"ES256\"", signer_of("ES384")->jwk);
	ok(set_is_refused(members, unusable), "P-384 for ES256 is for nothing");
}

static void
test_secrets(void)
{
	char		members[2048];
	char		text[1024];
	uint8_t		bytes[600] = {1};

	encode(bytes, 31, text);
	snprintf(members, sizeof(members), "\"kty\":\"oct\",\"k\":\"%s\"", text);
	ok(set_is_refused(members, wrong_key), "a secret of 31 bytes");
	encode(bytes, 32, text);
	snprintf(members, sizeof(members), "\"kty\":\"oct\",\"k\":\"%s\"", text);
	ok(set_is_read(members), "one of 32");
	encode(bytes, 512, text);
	snprintf(members, sizeof(members), "\"kty\":\"oct\",\"k\":\"%s\"", text);
	ok(set_is_read(members), "one of 512");
	encode(bytes, 513, text);
	snprintf(members, sizeof(members), "\"kty\":\"oct\",\"k\":\"%s\"", text);
	ok(set_is_refused(members, wrong_key), "one of 513");
	ok(set_is_refused("\"kty\":\"oct\"", wrong_key), "none");
	ok(set_is_refused("\"kty\":\"oct\",\"k\":[]", wrong_key), "an array");
	ok(set_is_refused("\"kty\":\"oct\",\"k\":\"a secret with blanks, 32 bytes!!\"", wrong_key),
	   "a word");
	ok(set_is_refused("\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"AAAA\"",
					  "No key is for an algorithm that is supported here."), "HS512");
}

static void
test_own_secrets(void)
{
	char	   *half = NULL;
	char	   *second = NULL;
	char	   *public_jwk = NULL;
	char	   *kid = NULL;
	char	   *token;
	char		jwks[512];
	SaasProblem problem = {0};
	SaasJwtSigner *signer;
	SaasJwtClaims claims;
	SaasJwtKeySet *set;

	ok(SaasJwtKeyGenerate(SAAS_JWT_HS256, arena, &half, &public_jwk, &kid, &problem) &&
	   public_jwk == NULL, "a secret has no public half");
	ok(strlen(kid) == 43 && strstr(half, kid) != NULL, "but a kid");
	ok(strlen(half) == strlen("{\"k\":\"\",\"kty\":\"oct\",\"kid\":\"\",\"alg\":\"HS256\",\"use\":\"sig\"}") + 86,
	   "and 32 bytes");
	SaasJwtKeyGenerate(SAAS_JWT_HS256, arena, &second, &public_jwk, &kid, &problem);
	ok(strcmp(half, second) != 0, "every time others");
	signer = SaasJwtSignerLoad(second, kid, &problem);
	token = SaasJwtSign(signer, PAYLOAD, strlen(PAYLOAD), arena, &problem);
	ok(token && strncmp(token, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6I", 45) == 0,
	   "it signs with HS256");
	SaasJwtSignerFree(signer);
	snprintf(jwks, sizeof(jwks), "{\"keys\":[%s]}", second);
	set = SaasJwtKeySetParse(jwks, strlen(jwks), &problem);
	ok(SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem),
	   "what is verified with it");
	SaasJwtKeySetFree(set);
	snprintf(jwks, sizeof(jwks), "{\"keys\":[%s]}", half);
	set = SaasJwtKeySetParse(jwks, strlen(jwks), &problem);
	ok(!SaasJwtVerify(token, strlen(token), set, &rules, arena, &claims, &problem),
	   "and not with another");
	SaasJwtKeySetFree(set);
	ok(!SaasJwtSignerLoad("{\"kty\":\"oct\",\"k\":\"AAAA\"}", NULL, &problem) &&
	   strcmp(problem.detail, "It is not a JWK with a secret of at least 32 bytes.") == 0,
	   "a short secret signs nothing");
	snprintf(jwks, sizeof(jwks), "{%s}", own_jwk);
	ok(!SaasJwtSignerLoad(jwks, NULL, &problem), "nor does a public key");
	ok(!SaasJwtSignerLoad("{", NULL, &problem), "nor a brace");
	ok(!SaasJwtKeyGenerate(SAAS_JWT_RS256, arena, &half, &public_jwk, &kid, &problem) &&
	   strcmp(problem.sqlstate, "22023") == 0, "no key is made for what is only verified");
}

/* RFC 7515, appendix A.1; RFC 8037, appendix A.4 (its payload is no JSON: keys and signature). */
static void
test_rfc_examples(void)
{
	static const char jwks[] =
		"{\"keys\":[{\"kty\":\"oct\",\"k\":"
		"\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
	static const char token[] =
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	static const char okp[] =
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	static const char okp_token[] =
		"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
		".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
	SaasJwtRules joe = {.issuer = "joe", .now_s = 1300819379};
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	SaasJwtKeySet *set = SaasJwtKeySetParse(jwks, strlen(jwks), &problem);

	ok(SaasJwtVerify(token, strlen(token), set, &joe, arena, &claims, &problem),
	   "the HS256 example of RFC 7515 verifies");
	SaasJwtKeySetFree(set);
	set = SaasJwtKeySetParse(okp, strlen(okp), &problem);
	ok(!SaasJwtVerify(okp_token, strlen(okp_token), set, &joe, arena, &claims, &problem) &&
	   strcmp(problem.detail, "The payload is malformed.") == 0,
	   "the Ed25519 example of RFC 8037 verifies up to its payload, which is no JSON");
	SaasJwtKeySetFree(set);
}

int
main(void)
{
	open_all();
	test_every_algorithm();
	test_accepted_algorithms();
	test_rsa_keys();
	test_other_keys();
	test_secrets();
	test_own_secrets();
	test_rfc_examples();
	close_all();
	return tap_done();
}
