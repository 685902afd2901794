/*
 * assertion.c
 *	  Signed assertions of a client (RFC 7523), RS256 with a tenant's key.
 */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "pure/assertion.h"
#include "pure/crypto.h"

#define MAX_PEM_LENGTH		16384
#define MAX_EXPONENT_BITS	64
#define HEADER				"{\"alg\":\"RS256\"}"

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

static EVP_PKEY *
read_pkcs8(BIO *bio)
{
	PKCS8_PRIV_KEY_INFO *info = PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, NULL, no_pass_phrase, NULL);
	EVP_PKEY   *key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

	PKCS8_PRIV_KEY_INFO_free(info);
	return key;
}

/* As "openssl genrsa" wrote it before OpenSSL 3. */
static EVP_PKEY *
read_pkcs1(BIO *bio)
{
	unsigned char *der = NULL;
	const unsigned char *start;
	long		length = 0;
	EVP_PKEY   *key;

	if (PEM_bytes_read_bio(&der, &length, NULL, PEM_STRING_RSA, bio, no_pass_phrase, NULL) != 1)
		return NULL;
	start = der;
	key = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &start, length);
	OPENSSL_clear_free(der, (size_t) length);
	return key;
}

static EVP_PKEY *
read_pem(const char *pem)
{
	size_t		length = strnlen(pem, MAX_PEM_LENGTH + 1);
	BIO		   *bio = length <= MAX_PEM_LENGTH ? BIO_new_mem_buf(pem, (int) length) : NULL;
	EVP_PKEY   *key = NULL;

	if (bio != NULL)
		key = strstr(pem, "-----BEGIN " PEM_STRING_RSA "-----") != NULL ? read_pkcs1(bio) : read_pkcs8(bio);
	BIO_free(bio);
	return key;
}

/* The number of bits of one of the key's numbers, 0 when it has none of that name. */
static int
bits_of(const EVP_PKEY *key, const char *name)
{
	BIGNUM	   *number = NULL;
	int			bits = 0;

	if (EVP_PKEY_get_bn_param(key, name, &number) == 1)
		bits = BN_num_bits(number);
	BN_clear_free(number);
	return bits;
}

/* Nothing else makes the numbers in a file fit the modulus. */
bool
SaasAssertionKeyIsBounded(const EVP_PKEY *key)
{
	static const char *const numbers[] = {
		OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
		OSSL_PKEY_PARAM_RSA_COEFFICIENT1
	};
	int			modulus = bits_of(key, OSSL_PKEY_PARAM_RSA_N);

	if (modulus < SAAS_ASSERTION_MIN_BITS || modulus > SAAS_ASSERTION_MAX_BITS)
		return false;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		int			bits = bits_of(key, numbers[i]);

		if (bits == 0 || bits > modulus)
			return false;
	}
	return bits_of(key, OSSL_PKEY_PARAM_RSA_E) <= MAX_EXPONENT_BITS &&
		bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR3) == 0;
}

static bool
refuse(SaasProblem *problem, const char *why)
{
	SaasProblemSet(problem, "22023", "invalid private key");
	return SaasProblemDetail(problem, "%s", why);
}

/* The key, or NULL with the problem set. */
static EVP_PKEY *
load(const char *pem, SaasProblem *problem)
{
	EVP_PKEY   *key = read_pem(pem);
	int			bits;

	if (key == NULL || !EVP_PKEY_is_a(key, "RSA"))
		refuse(problem, "is not an unencrypted RSA private key in PEM");
	else
	{
		bits = bits_of(key, OSSL_PKEY_PARAM_RSA_N);
		if (bits < SAAS_ASSERTION_MIN_BITS || bits > SAAS_ASSERTION_MAX_BITS)
			refuse(problem, "must be an RSA key of 2048 to 4096 bits");
		else if (SaasAssertionKeyIsBounded(key))
			return key;
		else
			refuse(problem, "is not a well-formed RSA key of two primes");
	}
	EVP_PKEY_free(key);
	return NULL;
}

/* The signature's length, 0 when OpenSSL fails. */
static size_t
sign_bytes(EVP_PKEY *key, const char *input, size_t length, unsigned char *signature)
{
	size_t		written = SAAS_ASSERTION_MAX_BITS / 8;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
		EVP_DigestSign(ctx, signature, &written, (const unsigned char *) input, length) != 1)
		written = 0;
	EVP_MD_CTX_free(ctx);
	return written;
}

/* Whether the private half makes what the public half accepts. */
static bool
is_consistent(EVP_PKEY *key)
{
	static const char text[] = "pg_saas";
	unsigned char signature[SAAS_ASSERTION_MAX_BITS / 8];
	size_t		length = sign_bytes(key, text, sizeof(text), signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool		ok = ctx != NULL && length > 0 &&
		EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
		EVP_DigestVerify(ctx, signature, length, (const unsigned char *) text, sizeof(text)) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
SaasAssertionKeyCheck(const char *pem, SaasProblem *problem)
{
	EVP_PKEY   *key = load(pem, problem);
	bool		ok = key != NULL && is_consistent(key);

	if (key != NULL && !ok)
		refuse(problem, "does not belong to its public half");
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok;
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

/* Two parts with their dot; NULL when either is. */
static char *
join(const char *left, const char *right, SaasArena *arena)
{
	return left != NULL && right != NULL ? SaasArenaPrintf(arena, "%s.%s", left, right) : NULL;
}

char *
SaasAssertionSign(const char *pem, const char *payload, SaasArena *arena, SaasProblem *problem)
{
	unsigned char signature[SAAS_ASSERTION_MAX_BITS / 8];
	char	   *input = join(encode(HEADER, strlen(HEADER), arena),
							 encode(payload, strlen(payload), arena), arena);
	char	   *token = NULL;
	EVP_PKEY   *key = load(pem, problem);
	size_t		length = 0;

	if (key != NULL && input != NULL)
		length = sign_bytes(key, input, strlen(input), signature);
	if (length > 0)
		token = join(input, encode(signature, length, arena), arena);
	if (token == NULL && key != NULL)
	{
		if (input != NULL && length == 0)
			SaasProblemSet(problem, "58000", "could not sign the assertion");
		else
			SaasProblemSet(problem, "53200", "the assertion needs too much memory");
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	return token;
}
