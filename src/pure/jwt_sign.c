/*
 * jwt_sign.c
 *	  Signing JSON Web Tokens in compact form (RFC 7515, section 7.1).
 */
#include "pure/jwt_internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/strbuf.h"
#include "pure/crypto.h"

#define MAX_PEM_LENGTH	16384

struct SaasJwtSigner
{
	const SaasJwtMethod *method;
	EVP_PKEY   *key;
	EVP_MD_CTX *context;		/* each signature starts from a copy */
	EVP_MAC_CTX *mac;			/* instead of key and context, for a MAC */
	char	   *kid;			/* NULL: the header has none */
};

/* Without this OpenSSL would ask the terminal for a pass phrase. */
static int
no_pass_phrase(char *buffer, int size, int writing, void *unused)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) unused;
	return -1;
}

/*
 * Only PKCS#8 in the clear: OpenSSL's general reader takes a dozen formats,
 * some of which derive keys at the file's own price.
 */
static EVP_PKEY *
read_private(const char *pem, size_t length)
{
	BIO		   *bio = BIO_new_mem_buf(pem, (int) length);
	PKCS8_PRIV_KEY_INFO *info = NULL;
	EVP_PKEY   *key = NULL;

	if (bio != NULL)
		info = PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, NULL, no_pass_phrase, NULL);
	if (info != NULL)
		key = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	BIO_free(bio);
	return key;
}

/* Whether the private key is in range and belongs to its public key. */
static bool
is_consistent(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool		ok = ctx != NULL && EVP_PKEY_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool
load_pem(SaasJwtSigner *signer, const char *pem, size_t length, SaasProblem *problem)
{
	if (length <= MAX_PEM_LENGTH)
		signer->key = read_private(pem, length);
	if (signer->key == NULL)
	{
		SaasProblemSet(problem, "22023", "invalid private key");
		return SaasProblemDetail(problem, "It is not an unencrypted PKCS#8 key in PEM.");
	}
	signer->method = SaasJwtMethodByKey(signer->key);
	if (signer->method == NULL || !is_consistent(signer->key))
	{
		SaasProblemSet(problem, "22023", "invalid private key");
		return SaasProblemDetail(problem, signer->method == NULL ?
								 "No algorithm that is supported here uses such a key." :
								 "It does not belong to its public key.");
	}
	signer->context = EVP_MD_CTX_new();
	if (signer->context == NULL ||
		EVP_DigestSignInit_ex(signer->context, NULL, signer->method->digest, NULL, NULL,
							  signer->key, NULL) != 1)
		return SaasProblemSet(problem, "58000", "could not prepare a private key");
	return true;
}

static bool
load_secret(SaasJwtSigner *signer, const char *jwk, size_t length, SaasProblem *problem)
{
	json_t	   *object = SaasJwtReadObject(jwk, length);

	signer->method = object == NULL ? NULL : SaasJwtMethodByJwk(object);
	if (signer->method != NULL && signer->method->is_mac)
		signer->mac = SaasJwtMacReadJwk(object);
	json_decref(object);
	if (signer->mac != NULL)
		return true;
	SaasProblemSet(problem, "22023", "invalid private key");
	return SaasProblemDetail(problem, "It is not a JWK with a secret of at least 32 bytes.");
}

static bool
load_signer(SaasJwtSigner *signer, const char *private_half, const char *kid, SaasProblem *problem)
{
	size_t		length = strnlen(private_half, MAX_PEM_LENGTH + 1);
	bool		ok;

	/* What is neither is refused as PEM. */
	if (private_half[0] == '{' && length <= MAX_PEM_LENGTH)
		ok = load_secret(signer, private_half, length, problem);
	else
		ok = load_pem(signer, private_half, length, problem);
	if (ok && kid != NULL)
	{
		signer->kid = strdup(kid);
		if (signer->kid == NULL)
			return SaasJwtOutOfMemory(problem);
	}
	return ok;
}

SaasJwtSigner *
SaasJwtSignerLoad(const char *private_half, const char *kid, SaasProblem *problem)
{
	SaasJwtSigner *signer = calloc(1, sizeof(SaasJwtSigner));
	bool		ok;

	if (signer == NULL)
	{
		SaasJwtOutOfMemory(problem);
		return NULL;
	}
	ok = load_signer(signer, private_half, kid, problem);
	ERR_clear_error();
	if (ok)
		return signer;
	SaasJwtSignerFree(signer);
	return NULL;
}

void
SaasJwtSignerFree(SaasJwtSigner *signer)
{
	if (signer == NULL)
		return;
	EVP_MD_CTX_free(signer->context);
	EVP_MAC_CTX_free(signer->mac);
	EVP_PKEY_free(signer->key);
	free(signer->kid);
	free(signer);
}

/* base64url of the bytes, or NULL when the arena is exhausted. */
static char *
encode(const void *bytes, size_t length, SaasArena *arena)
{
	char	   *text = SaasArenaAlloc(arena, SaasBase64UrlLength(length) + 1);

	if (text != NULL)
		SaasBase64UrlEncode(bytes, length, text);
	return text;
}

char *
SaasJwtHeader(const SaasJwtMethod *method, const char *kid, SaasArena *arena)
{
	SaasStrbuf	header;
	char	   *json;

	SaasStrbufInit(&header, arena);
	SaasStrbufPrintf(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", method->name);
	if (kid != NULL)
	{
		SaasStrbufAppendText(&header, ",\"kid\":");
		SaasStrbufAppendJson(&header, kid, strlen(kid));
	}
	SaasStrbufAppendChar(&header, '}');
	json = SaasStrbufFinish(&header);
	return json == NULL ? NULL : encode(json, strlen(json), arena);
}

/* The signature as JWS writes it; its length, or 0 when OpenSSL fails. */
static size_t
sign_bytes(const SaasJwtSigner *signer, const char *input, size_t length, uint8_t *jws)
{
	uint8_t		native[SAAS_JWT_MAX_SIGNATURE];
	size_t		native_length = sizeof(native);
	size_t		written = 0;
	EVP_MD_CTX *ctx;

	if (signer->mac != NULL)
		return SaasJwtMacDigest(signer->mac, input, length, jws) ? SAAS_JWT_MAC_LENGTH : 0;
	ctx = EVP_MD_CTX_new();
	if (ctx != NULL && EVP_MD_CTX_copy_ex(ctx, signer->context) == 1 &&
		EVP_DigestSign(ctx, native, &native_length, (const unsigned char *) input, length) == 1)
		written = signer->method->to_jws(signer->method, native, native_length, jws);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return written;
}

/* What is never signed is what would never verify. */
static bool
is_payload(const char *payload, size_t length)
{
	json_t	   *object = SaasJwtReadObject(payload, length);
	bool		ok = object != NULL;

	json_decref(object);
	return ok;
}

/* Two parts with their dot; NULL when either is. */
static char *
join(const char *left, const char *right, SaasArena *arena)
{
	if (left == NULL || right == NULL)
		return NULL;
	return SaasArenaPrintf(arena, "%s.%s", left, right);
}

char *
SaasJwtSign(const SaasJwtSigner *signer, const char *payload, size_t length,
			SaasArena *arena, SaasProblem *problem)
{
	uint8_t		signature[SAAS_JWT_MAX_SIGNATURE];
	size_t		signature_length;
	char	   *input;
	char	   *token = NULL;

	if (length > SAAS_JWT_MAX_LENGTH || !is_payload(payload, length))
	{
		SaasProblemSet(problem, "22023", "invalid token payload");
		SaasProblemDetail(problem, "It is not a JSON object, or too long.");
		return NULL;
	}
	input = join(SaasJwtHeader(signer->method, signer->kid, arena), encode(payload, length, arena), arena);
	if (input == NULL)
	{
		SaasJwtOutOfMemory(problem);
		return NULL;
	}
	signature_length = sign_bytes(signer, input, strlen(input), signature);
	if (signature_length == 0)
	{
		SaasProblemSet(problem, "58000", "could not sign a token");
		return NULL;
	}
	token = join(input, encode(signature, signature_length, arena), arena);
	if (token == NULL)
	{
		SaasJwtOutOfMemory(problem);
		return NULL;
	}
	if (strlen(token) > SAAS_JWT_MAX_LENGTH)
	{
		SaasProblemSet(problem, "54000", "token is too long");
		return NULL;
	}
	return token;
}
