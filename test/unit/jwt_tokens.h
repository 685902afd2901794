/*
 * jwt_tokens.h
 *	  Keys, and tokens of any content truly signed with them.
 *
 * They are signed straight with OpenSSL and with an encoder of its own, so
 * that they can say anything and share no fault with the code under test.
 */
#ifndef SAAS_JWT_TOKENS_H
#define SAAS_JWT_TOKENS_H

#include "pure/jwt.h"

#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "tap.h"

#define NOW			1700000000
#define BUFFER_SIZE	32768

#define HEADER		"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"one\"}"
#define CLAIMS		"\"iss\":\"https://issuer\",\"aud\":\"app\",\"type\":\"access\""
#define PAYLOAD		"{" CLAIMS ",\"sub\":\"u1\",\"sid\":\"s1\",\"org\":\"o1\",\"jti\":\"j1\"," \
					"\"iat\":1699999990,\"nbf\":1699999990,\"exp\":1700000900}"

static EVP_PKEY *own_key;
static EVP_PKEY *other_key;
static char own_jwk[256];		/* the members of the public key, without braces */
static char other_jwk[256];
static SaasJwtKeySet *keys;		/* "one" is own_key, "two" is other_key */
static SaasArena *arena;

static const SaasJwtRules rules = {
	.issuer = "https://issuer",
	.audience = "app",
	.type = "access",
	.leeway_s = 30,
	.now_s = NOW,
	.wants_json = true
};

static inline size_t
encode(const void *bytes, size_t length, char *out)
{
	size_t		written = (size_t) EVP_EncodeBlock((unsigned char *) out, bytes, (int) length);
	size_t		i;

	while (written > 0 && out[written - 1] == '=')
		written--;
	for (i = 0; i < written; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	out[written] = '\0';
	return written;
}

/* header.payload in base64url; returns the length. */
static inline size_t
write_input(const char *header, size_t header_length, const char *payload, size_t payload_length,
			char *token)
{
	size_t		length = encode(header, header_length, token);

	token[length++] = '.';
	return length + encode(payload, payload_length, token + length);
}

static inline size_t
write_signature(EVP_PKEY *key, const char *input, size_t length, uint8_t *der)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t		der_length = 128;

	if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
		EVP_DigestSign(ctx, der, &der_length, (const uint8_t *) input, length) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	return der_length;
}

static inline void
raw_of_der(const uint8_t *der, size_t length, uint8_t raw[64])
{
	ECDSA_SIG  *signature = d2i_ECDSA_SIG(NULL, &der, (long) length);

	BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + 32, 32);
	ECDSA_SIG_free(signature);
}

/* A token over any bytes, truly signed; returns its length. */
static inline size_t
sign_bytes(EVP_PKEY *key, const char *header, size_t header_length,
		   const char *payload, size_t payload_length, char *token)
{
	size_t		length = write_input(header, header_length, payload, payload_length, token);
	uint8_t		der[128];
	uint8_t		raw[64];

	raw_of_der(der, write_signature(key, token, length, der), raw);
	token[length++] = '.';
	return length + encode(raw, sizeof(raw), token + length);
}

static inline const char *
sign(EVP_PKEY *key, const char *header, const char *payload)
{
	static char token[BUFFER_SIZE];

	sign_bytes(key, header, strlen(header), payload, strlen(payload), token);
	return token;
}

/* A token with the good header and payload and a signature of choice. */
static inline const char *
with_signature(const void *signature, size_t signature_length)
{
	static char token[BUFFER_SIZE];
	size_t		length = write_input(HEADER, strlen(HEADER), PAYLOAD, strlen(PAYLOAD), token);

	token[length++] = '.';
	encode(signature, signature_length, token + length);
	return token;
}

static inline bool
claims_are_empty(const SaasJwtClaims *claims)
{
	return !claims->json && !claims->subject && !claims->session && !claims->organization &&
		!claims->token_id && !claims->expires_s && !claims->issued_s;
}

/* A refusal with that message and detail, which leaves nothing behind. */
static inline bool
is_refused_as(const char *token, size_t length, const SaasJwtRules *wanted, const char *message,
			  const char *detail)
{
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	bool		verified = SaasJwtVerify(token, length, keys, wanted, arena, &claims, &problem);
	bool		held = !verified && strcmp(problem.sqlstate, "PT401") == 0 &&
		strcmp(problem.message, message) == 0 &&
		(detail == NULL || strcmp(problem.detail, detail) == 0) &&
		claims_are_empty(&claims) && ERR_peek_error() == 0;

	if (!held)
		printf("# verified %d: %s %s / %s\n", verified, problem.sqlstate, problem.message,
			   problem.detail);
	return held;
}

static inline bool
is_refused(const char *token, const char *detail)
{
	return is_refused_as(token, strlen(token), &rules, "Invalid or expired token", detail);
}

static inline bool
verifies_under(const char *token, const SaasJwtRules *wanted)
{
	SaasJwtClaims claims;
	SaasProblem problem = {0};
	bool		verified = SaasJwtVerify(token, strlen(token), keys, wanted, arena, &claims,
										 &problem);

	if (!verified)
		printf("# %s %s / %s\n", problem.sqlstate, problem.message, problem.detail);
	return verified && claims.json != NULL;
}

static inline bool
verifies(const char *token)
{
	return verifies_under(token, &rules);
}

static inline SaasJwtKeySet *
parse_keys(const char *format, const char *first, const char *second)
{
	char		text[2048];
	SaasProblem problem = {0};

	snprintf(text, sizeof(text), format, first, second);
	return SaasJwtKeySetParse(text, strlen(text), &problem);
}

/* Makes a key with the code under test; reads it back with OpenSSL alone. */
static inline EVP_PKEY *
make_key(char *members, size_t size)
{
	char	   *pem = NULL;
	char	   *jwk = NULL;
	char	   *kid = NULL;
	SaasProblem problem = {0};
	BIO		   *bio;
	EVP_PKEY   *key;

	ok(SaasJwtKeyGenerate(SAAS_JWT_ES256, arena, &pem, &jwk, &kid, &problem),
	   "a key pair is made");
	bio = BIO_new_mem_buf(pem, -1);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	/* Up to the kid: what RFC 7638 hashes. */
	snprintf(members, size, "%.*s", (int) (strstr(jwk, ",\"kid\"") - jwk - 1), jwk + 1);
	return key;
}

/* Makes arena, keys and key set. */
static inline void
open_tokens(void)
{
	arena = SaasArenaCreate((size_t) 256 * 1024 * 1024);
	own_key = make_key(own_jwk, sizeof(own_jwk));
	other_key = make_key(other_jwk, sizeof(other_jwk));
	keys = parse_keys("{\"keys\":[{%s,\"kid\":\"one\"},{%s,\"kid\":\"two\"}]}", own_jwk, other_jwk);
	ok(keys != NULL, "a key set of two is read");
}

static inline void
close_tokens(void)
{
	SaasJwtKeySetFree(keys);
	EVP_PKEY_free(own_key);
	EVP_PKEY_free(other_key);
	SaasArenaDestroy(arena);
}

#endif							/* SAAS_JWT_TOKENS_H */
