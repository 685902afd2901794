/*
 * jwt_mac.c
 *	  HS256: HMAC with SHA-256 under a shared secret (RFC 7518, sections 3.2
 *	  and 6.4).
 */
#include "pure/jwt_internal.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "pure/crypto.h"

/* RFC 7518, section 3.2: no shorter than the digest.  Longer ones are hashed anyway. */
#define MIN_SECRET	32
#define MAX_SECRET	512

static EVP_MAC_CTX *
context_with(const uint8_t *secret, size_t length)
{
	static EVP_MAC *hmac = NULL;
	char		digest[] = "SHA256";
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
		OSSL_PARAM_END
	};
	EVP_MAC_CTX *ctx = NULL;

	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (hmac != NULL)
		ctx = EVP_MAC_CTX_new(hmac);
	if (ctx != NULL && EVP_MAC_init(ctx, secret, length, params) == 1)
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

EVP_MAC_CTX *
SaasJwtMacReadJwk(const json_t *jwk)
{
	const json_t *value = json_object_get(jwk, "k");
	size_t		length = json_string_length(value);
	uint8_t		secret[MAX_SECRET + 3];
	EVP_MAC_CTX *ctx = NULL;
	long		decoded = -1;

	if (length <= SaasBase64UrlLength(MAX_SECRET) && json_is_string(value))
		decoded = SaasBase64UrlDecode(json_string_value(value), length, secret);
	if (decoded >= MIN_SECRET)
		ctx = context_with(secret, (size_t) decoded);
	SaasWipe(secret, sizeof(secret));
	return ctx;
}

bool
SaasJwtMacDigest(EVP_MAC_CTX *key, const char *input, size_t length,
				 uint8_t digest[SAAS_JWT_MAC_LENGTH])
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(key);
	size_t		written = 0;
	bool		ok;

	ok = ctx != NULL && EVP_MAC_update(ctx, (const unsigned char *) input, length) == 1 &&
		EVP_MAC_final(ctx, digest, &written, SAAS_JWT_MAC_LENGTH) == 1 &&
		written == SAAS_JWT_MAC_LENGTH;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

/* 32 random bytes in base64url, or NULL. */
static char *
random_text(SaasArena *arena)
{
	uint8_t		bytes[MIN_SECRET];
	char	   *text = SaasArenaAlloc(arena, SaasBase64UrlLength(sizeof(bytes)) + 1);

	if (text == NULL || !SaasRandomBytes(bytes, sizeof(bytes)))
		return NULL;
	SaasBase64UrlEncode(bytes, sizeof(bytes), text);
	SaasWipe(bytes, sizeof(bytes));
	return text;
}

/* The kid is drawn too: a thumbprint would publish a hash of the secret. */
char *
SaasJwtMacGenerate(SaasArena *arena, char **kid)
{
	char	   *secret = random_text(arena);
	char	   *jwk = NULL;

	*kid = random_text(arena);
	if (secret != NULL && *kid != NULL)
		jwk = SaasArenaPrintf(arena, "{\"k\":\"%s\",\"kty\":\"oct\",\"kid\":\"%s\","
							  "\"alg\":\"HS256\",\"use\":\"sig\"}", secret, *kid);
	if (secret != NULL)
		SaasWipe(secret, strlen(secret));
	return jwk;
}
