/*
 * jwt_ecdsa.c
 *	  ECDSA as JSON Web Signature writes it (RFC 7518, sections 3.4 and 6.2):
 *	  keys as two coordinates, signatures as r and s of fixed width.
 */
#include "pure/jwt_internal.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/params.h>

#include "pure/crypto.h"

#define MAX_COORDINATE	66		/* P-521 */

/* A coordinate has the full width of the curve (RFC 7518, section 6.2.1.2). */
static bool
read_coordinate(const SaasJwtMethod *method, const json_t *value, uint8_t *out)
{
	size_t		length = json_string_length(value);

	return length == SaasBase64UrlLength(method->coordinate_length) &&
		SaasBase64UrlDecode(json_string_value(value), length, out) ==
		(long) method->coordinate_length;
}

/* The group named by its curve; OpenSSL checks that the point is on it. */
static EVP_PKEY *
key_from_point(const char *group, uint8_t *point, size_t length)
{
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) group, strlen(group)),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, length),
		OSSL_PARAM_END
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY_CTX *checker = NULL;
	EVP_PKEY   *key = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
		checker = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (checker == NULL || EVP_PKEY_public_check(checker) != 1)
	{
		EVP_PKEY_free(key);
		key = NULL;
	}
	EVP_PKEY_CTX_free(checker);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

EVP_PKEY *
SaasJwtEcdsaReadJwk(const SaasJwtMethod *method, const json_t *jwk)
{
	size_t		width = method->coordinate_length;
	uint8_t		point[1 + 2 * MAX_COORDINATE];

	point[0] = POINT_CONVERSION_UNCOMPRESSED;
	if (!read_coordinate(method, json_object_get(jwk, "x"), point + 1) ||
		!read_coordinate(method, json_object_get(jwk, "y"), point + 1 + width))
		return NULL;
	return key_from_point(method->group, point, 1 + 2 * width);
}

/* One coordinate of a public key in base64url, or NULL. */
static char *
write_coordinate(const SaasJwtMethod *method, const EVP_PKEY *key, const char *name,
				 SaasArena *arena)
{
	size_t		width = method->coordinate_length;
	BIGNUM	   *value = NULL;
	uint8_t		bytes[MAX_COORDINATE];
	char	   *text = SaasArenaAlloc(arena, SaasBase64UrlLength(width) + 1);

	if (EVP_PKEY_get_bn_param(key, name, &value) != 1 ||
		BN_bn2binpad(value, bytes, (int) width) != (int) width)
		text = NULL;
	BN_free(value);
	if (text != NULL)
		SaasBase64UrlEncode(bytes, width, text);
	return text;
}

char *
SaasJwtEcdsaWriteJwk(const SaasJwtMethod *method, const EVP_PKEY *key, SaasArena *arena)
{
	char	   *x = write_coordinate(method, key, OSSL_PKEY_PARAM_EC_PUB_X, arena);
	char	   *y = write_coordinate(method, key, OSSL_PKEY_PARAM_EC_PUB_Y, arena);

	if (x == NULL || y == NULL)
		return NULL;
	return SaasArenaPrintf(arena, "{\"crv\":\"%s\",\"kty\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
						   method->curve, method->key_type, x, y);
}

bool
SaasJwtEcdsaSuits(const SaasJwtMethod *method, const EVP_PKEY *key)
{
	char		group[64];
	size_t		length;

	return EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, group, sizeof(group), &length) == 1 &&
		strcmp(group, method->group) == 0;
}

EVP_PKEY *
SaasJwtEcdsaGenerate(const SaasJwtMethod *method)
{
	return EVP_EC_gen(method->group);
}

size_t
SaasJwtEcdsaFromJws(const SaasJwtMethod *method, const EVP_PKEY *key,
					const uint8_t *jws, size_t length, uint8_t *native)
{
	size_t		width = method->coordinate_length;
	ECDSA_SIG  *signature;
	BIGNUM	   *r;
	BIGNUM	   *s;
	int			written = 0;

	(void) key;
	if (length != 2 * width)
		return 0;
	signature = ECDSA_SIG_new();
	r = BN_bin2bn(jws, (int) width, NULL);
	s = BN_bin2bn(jws + width, (int) width, NULL);
	if (signature != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(signature, r, s) == 1)
	{
		/* The signature owns both numbers now. */
		r = s = NULL;
		written = i2d_ECDSA_SIG(signature, NULL);
		if (written > 0 && written <= SAAS_JWT_MAX_SIGNATURE)
			written = i2d_ECDSA_SIG(signature, &native);
		else
			written = 0;
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(signature);
	return written > 0 ? (size_t) written : 0;
}

size_t
SaasJwtEcdsaToJws(const SaasJwtMethod *method, const uint8_t *native, size_t length,
				  uint8_t *jws)
{
	int			width = (int) method->coordinate_length;
	ECDSA_SIG  *signature = d2i_ECDSA_SIG(NULL, &native, (long) length);
	bool		ok;

	ok = signature != NULL &&
		BN_bn2binpad(ECDSA_SIG_get0_r(signature), jws, width) == width &&
		BN_bn2binpad(ECDSA_SIG_get0_s(signature), jws + width, width) == width;
	ECDSA_SIG_free(signature);
	return ok ? 2 * method->coordinate_length : 0;
}
