/*
 * jwt_signers.h
 *	  One key of each algorithm, and tokens of any content truly signed with
 *	  it, straight with OpenSSL like those of jwt_tokens.h.
 */
#ifndef SAAS_JWT_SIGNERS_H
#define SAAS_JWT_SIGNERS_H

#include "jwt_tokens.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#define MAX_RAW			1024

typedef struct Signer
{
	const char *alg;			/* its kid too */
	EVP_PKEY   *key;			/* NULL for HS256 */
	const EVP_MD *digest;
	size_t		width;			/* of r and s; 0 when it is not ECDSA */
	bool		is_pss;
	char		jwk[2048];		/* members without kid and braces */
} Signer;

static uint8_t secret[32];
static Signer signers[] = {
	{.alg = "ES256", .width = 32},
	{.alg = "ES384", .width = 48},
	{.alg = "RS256"},
	{.alg = "PS256", .is_pss = true},
	{.alg = "EdDSA"},
	{.alg = "HS256"}
};

#define SIGNER_COUNT	((int) (sizeof(signers) / sizeof(signers[0])))
#define FOR_EACH_SIGNER(signer) \
	for (signer = signers; signer < signers + SIGNER_COUNT; signer++)

static inline const Signer *
signer_of(const char *alg)
{
	const Signer *signer;

	FOR_EACH_SIGNER(signer)
		if (strcmp(signer->alg, alg) == 0)
			return signer;
	abort();
}

/* A number of a key in base64url, width bytes wide, or as few as it needs. */
static inline const char *
number_of(EVP_PKEY *key, const char *name, size_t width)
{
	static char text[2][MAX_RAW * 2];
	static int	turn = 0;
	uint8_t		bytes[MAX_RAW];
	BIGNUM	   *number = NULL;

	turn = !turn;
	EVP_PKEY_get_bn_param(key, name, &number);
	if (width == 0)
		width = (size_t) BN_num_bytes(number);
	BN_bn2binpad(number, bytes, (int) width);
	BN_free(number);
	encode(bytes, width, text[turn]);
	return text[turn];
}

static inline void
write_ec_jwk(Signer *signer, const char *curve)
{
	const char *x = number_of(signer->key, OSSL_PKEY_PARAM_EC_PUB_X, signer->width);
	const char *y = number_of(signer->key, OSSL_PKEY_PARAM_EC_PUB_Y, signer->width);

	snprintf(signer->jwk, sizeof(signer->jwk),
			 "\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"", curve, x, y);
}

static inline void
write_rsa_jwk(Signer *signer, const char *alg)
{
	const char *n = number_of(signer->key, OSSL_PKEY_PARAM_RSA_N, 0);
	const char *e = number_of(signer->key, OSSL_PKEY_PARAM_RSA_E, 0);

	snprintf(signer->jwk, sizeof(signer->jwk), "\"kty\":\"RSA\",%s\"n\":\"%s\",\"e\":\"%s\"", alg, n, e);
}

static inline void
open_signers(void)
{
	uint8_t		point[32];
	char		text[128];
	size_t		length = sizeof(point);

	signers[0].key = EVP_EC_gen("P-256");
	signers[0].digest = EVP_sha256();
	write_ec_jwk(&signers[0], "P-256");
	signers[1].key = EVP_EC_gen("P-384");
	signers[1].digest = EVP_sha384();
	write_ec_jwk(&signers[1], "P-384");
	/* Without alg: such a key is for RS256. */
	signers[2].key = EVP_RSA_gen(2048);
	signers[2].digest = EVP_sha256();
	write_rsa_jwk(&signers[2], "");
	signers[3].key = EVP_RSA_gen(2048);
	signers[3].digest = EVP_sha256();
	write_rsa_jwk(&signers[3], "\"alg\":\"PS256\",");
	signers[4].key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY_get_raw_public_key(signers[4].key, point, &length);
	encode(point, length, text);
	snprintf(signers[4].jwk, sizeof(signers[4].jwk),
			 "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"", text);
	RAND_bytes(secret, sizeof(secret));
	encode(secret, sizeof(secret), text);
	snprintf(signers[5].jwk, sizeof(signers[5].jwk), "\"kty\":\"oct\",\"k\":\"%s\"", text);
}

/* The set of all keys, each under its algorithm's name. */
static inline SaasJwtKeySet *
parse_signers(void)
{
	static char text[16384];
	SaasProblem problem = {0};
	const Signer *signer;
	size_t		length = 0;

	FOR_EACH_SIGNER(signer)
		length += (size_t) snprintf(text + length, sizeof(text) - length, "%s{%s,\"kid\":\"%s\"}",
									length == 0 ? "{\"keys\":[" : ",", signer->jwk, signer->alg);
	snprintf(text + length, sizeof(text) - length, "]}");
	return SaasJwtKeySetParse(text, strlen(text), &problem);
}

/* Replaces the key set of jwt_tokens.h, which only its arena is wanted of. */
static inline void
open_all(void)
{
	open_tokens();
	open_signers();
	SaasJwtKeySetFree(keys);
	keys = parse_signers();
	ok(keys != NULL, "a key set of every algorithm is read");
}

static inline void
close_all(void)
{
	Signer	   *signer;

	FOR_EACH_SIGNER(signer)
		EVP_PKEY_free(signer->key);
	close_tokens();
}

/* A signature of OpenSSL's own making, PSS with that salt. */
static inline size_t
native_signature(EVP_PKEY *key, const EVP_MD *digest, bool is_pss, int salt, const char *input,
				 size_t length, uint8_t *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *key_ctx;
	size_t		written = MAX_RAW;

	if (EVP_DigestSignInit(ctx, &key_ctx, digest, NULL, key) != 1 ||
		(is_pss && (EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
					EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, salt) != 1)) ||
		EVP_DigestSign(ctx, out, &written, (const uint8_t *) input, length) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	return written;
}

/* The signature as JWS writes it. */
static inline size_t
raw_signature(const Signer *signer, const char *input, size_t length, uint8_t *raw)
{
	uint8_t		native[MAX_RAW];
	const uint8_t *position = native;
	ECDSA_SIG  *numbers;
	size_t		written;

	if (signer->key == NULL)
	{
		HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *) input, length, raw, NULL);
		return 32;
	}
	written = native_signature(signer->key, signer->digest, signer->is_pss, 32, input, length,
							   native);
	if (signer->width == 0)
	{
		memcpy(raw, native, written);
		return written;
	}
	numbers = d2i_ECDSA_SIG(NULL, &position, (long) written);
	BN_bn2binpad(ECDSA_SIG_get0_r(numbers), raw, (int) signer->width);
	BN_bn2binpad(ECDSA_SIG_get0_s(numbers), raw + signer->width, (int) signer->width);
	ECDSA_SIG_free(numbers);
	return 2 * signer->width;
}

/* header.payload and a signature of choice. */
static inline const char *
token_with(const char *header, const char *payload, const void *signature, size_t signature_length)
{
	static char token[BUFFER_SIZE];
	size_t		length = write_input(header, strlen(header), payload, strlen(payload), token);

	token[length++] = '.';
	length += encode(signature, signature_length, token + length);
	token[length] = '\0';
	return token;
}

static inline const char *
sign_with(const Signer *signer, const char *header, const char *payload)
{
	char		input[BUFFER_SIZE];
	uint8_t		raw[MAX_RAW];
	size_t		length = write_input(header, strlen(header), payload, strlen(payload), input);

	return token_with(header, payload, raw, raw_signature(signer, input, length, raw));
}

/* {"alg":...,"kid":...} and more members, which begin with a comma. */
static inline const char *
header_of(const char *alg, const char *kid, const char *more)
{
	static char header[BUFFER_SIZE / 4];

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"%s}", alg, kid, more);
	return header;
}

static inline const char *
good_token(const Signer *signer)
{
	return sign_with(signer, header_of(signer->alg, signer->alg, ""), PAYLOAD);
}

#endif							/* SAAS_JWT_SIGNERS_H */
