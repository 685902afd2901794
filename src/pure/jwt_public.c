/*
 * jwt_public.c
 *	  The public keys of others: RSA (RFC 7518, section 6.3) and Ed25519 (RFC
 *	  8037, section 2).  Nothing is signed with these.
 */
#include "pure/jwt_internal.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "pure/crypto.h"

#define MIN_MODULUS_BITS	2048
#define MAX_MODULUS_BITS	8192

/* Beyond this OpenSSL refuses the exponent with large moduli: it is a way to waste time. */
#define MAX_EXPONENT_BITS	64

#define ED25519_LENGTH		32

/* A positive number of a JWK, or NULL. */
static BIGNUM *
read_number(const json_t *jwk, const char *name)
{
	const json_t *value = json_object_get(jwk, name);
	size_t		length = json_string_length(value);
	uint8_t		bytes[MAX_MODULUS_BITS / 8 + 4];
	long		decoded;

	/* One byte more: some write a modulus with a leading zero. */
	if (!json_is_string(value) || length > SaasBase64UrlLength(MAX_MODULUS_BITS / 8 + 1))
		return NULL;
	decoded = SaasBase64UrlDecode(json_string_value(value), length, bytes);
	return decoded > 0 ? BN_bin2bn(bytes, (int) decoded, NULL) : NULL;
}

static bool
numbers_are_sane(const BIGNUM *n, const BIGNUM *e)
{
	return n != NULL && BN_is_odd(n) && BN_num_bits(n) >= MIN_MODULUS_BITS &&
		BN_num_bits(n) <= MAX_MODULUS_BITS &&
		e != NULL && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= MAX_EXPONENT_BITS;
}

static EVP_PKEY *
key_from_numbers(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY   *key = NULL;

	if (builder != NULL &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(builder);
	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

EVP_PKEY *
SaasJwtRsaReadJwk(const SaasJwtMethod *method, const json_t *jwk)
{
	BIGNUM	   *n = read_number(jwk, "n");
	BIGNUM	   *e = read_number(jwk, "e");
	EVP_PKEY   *key = NULL;

	(void) method;
	if (numbers_are_sane(n, e))
		key = key_from_numbers(n, e);
	BN_free(n);
	BN_free(e);
	return key;
}

/* RFC 7518, section 3.5: the salt is as long as the digest, the mask is made with it. */
bool
SaasJwtRsaPreparePss(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
		EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, "SHA256", NULL) == 1;
}

EVP_PKEY *
SaasJwtEd25519ReadJwk(const SaasJwtMethod *method, const json_t *jwk)
{
	const json_t *value = json_object_get(jwk, "x");
	size_t		length = json_string_length(value);
	uint8_t		bytes[ED25519_LENGTH + 2];

	(void) method;
	if (!json_is_string(value) || length != SaasBase64UrlLength(ED25519_LENGTH) ||
		SaasBase64UrlDecode(json_string_value(value), length, bytes) != ED25519_LENGTH)
		return NULL;
	return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bytes, ED25519_LENGTH);
}

size_t
SaasJwtCopyFromJws(const SaasJwtMethod *method, const EVP_PKEY *key,
				   const uint8_t *jws, size_t length, uint8_t *native)
{
	(void) method;
	if (length > SAAS_JWT_MAX_SIGNATURE || length != (size_t) EVP_PKEY_get_size(key))
		return 0;
	memcpy(native, jws, length);
	return length;
}
