/*
 * crypto.c
 *	  AES-256-GCM, SHA-256, HMAC, random bytes and the text forms of bytes.
 *
 * OpenSSL 3 looks an algorithm up by name at every use unless it was fetched
 * before, which costs more than hashing a token: the methods are fetched once
 * per process and kept.
 */
#include "pure/crypto.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

static EVP_CIPHER *aes_256_gcm;
static EVP_MD *sha256;
static EVP_MAC *hmac;

/* Every function that called OpenSSL ends here. */
static bool
finished(bool ok)
{
	if (!ok)
		ERR_clear_error();
	return ok;
}

bool
SaasRandomBytes(void *bytes, size_t length)
{
	if (length == 0)
		return true;
	return finished(RAND_bytes_ex(NULL, bytes, length, 0) == 1);
}

/* A cipher and the key that it has, serial 0: none. */
typedef struct Aead
{
	EVP_CIPHER_CTX *ctx;
	uint64_t	serial;
} Aead;

static Aead kept_sealer;
static Aead kept_opener;

#define NONCES_AT_ONCE	64

static uint8_t nonces[NONCES_AT_ONCE][SAAS_NONCE_LENGTH];
static int	nonces_left;
static pid_t nonces_of;

bool
SaasRandomNonce(uint8_t nonce[SAAS_NONCE_LENGTH])
{
	pid_t		pid = getpid();

	/* What a parent drew before a fork is the parent's. */
	if (nonces_left == 0 || nonces_of != pid)
	{
		nonces_left = 0;
		if (!SaasRandomBytes(nonces, sizeof(nonces)))
			return false;
		nonces_left = NONCES_AT_ONCE;
		nonces_of = pid;
	}
	memcpy(nonce, nonces[--nonces_left], SAAS_NONCE_LENGTH);
	return true;
}

static bool
aead_create(Aead *aead)
{
	if (aes_256_gcm == NULL)
		aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (aead->ctx == NULL && aes_256_gcm != NULL)
		aead->ctx = EVP_CIPHER_CTX_new();
	return aead->ctx != NULL;
}

static void
aead_forget(Aead *aead)
{
	if (aead->ctx != NULL)
		(void) EVP_CIPHER_CTX_reset(aead->ctx);
	aead->serial = 0;
}

/* Ready for the plaintext.  Expanding a key takes longer than sealing 200 bytes. */
static bool
aead_start(Aead *aead, uint64_t serial, const uint8_t *key, const uint8_t *nonce,
		   const void *aad, size_t aad_length, size_t length, bool seal)
{
	bool		has_key = serial != 0 && aead->serial == serial;
	int			unused;

	/* The EVP interface counts in int. */
	if (length > INT_MAX || aad_length > INT_MAX || !aead_create(aead))
		return false;
	if (EVP_CipherInit_ex2(aead->ctx, has_key ? NULL : aes_256_gcm, has_key ? NULL : key,
						   nonce, seal, NULL) != 1)
	{
		aead_forget(aead);
		return false;
	}
	aead->serial = serial;
	return aad_length == 0 || EVP_CipherUpdate(aead->ctx, NULL, &unused, aad, (int) aad_length) == 1;
}

static void
aead_free(Aead *aead)
{
	EVP_CIPHER_CTX_free(aead->ctx);
	aead->ctx = NULL;
}

static bool
aead_seal(Aead *aead, uint64_t serial, const uint8_t *key, const uint8_t *nonce,
		  const void *aad, size_t aad_length, const void *plaintext, size_t length,
		  uint8_t *ciphertext, uint8_t *tag)
{
	uint8_t		rest[SAAS_TAG_LENGTH];
	int			written;

	return finished(aead_start(aead, serial, key, nonce, aad, aad_length, length, true) &&
					(length == 0 ||
					 EVP_EncryptUpdate(aead->ctx, ciphertext, &written, plaintext, (int) length) == 1) &&
					EVP_EncryptFinal_ex(aead->ctx, rest, &written) == 1 &&
					EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_GET_TAG, SAAS_TAG_LENGTH, tag) == 1);
}

static bool
aead_open(Aead *aead, uint64_t serial, const uint8_t *key, const uint8_t *nonce,
		  const void *aad, size_t aad_length, const uint8_t *ciphertext, size_t length,
		  const uint8_t *tag, uint8_t *plaintext)
{
	uint8_t		expected[SAAS_TAG_LENGTH];
	uint8_t		rest[SAAS_TAG_LENGTH];
	int			written;
	bool		ok;

	memcpy(expected, tag, sizeof(expected));
	ok = aead_start(aead, serial, key, nonce, aad, aad_length, length, false) &&
		(length == 0 ||
		 EVP_DecryptUpdate(aead->ctx, plaintext, &written, ciphertext, (int) length) == 1) &&
		EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_SET_TAG, SAAS_TAG_LENGTH, expected) == 1 &&
		EVP_DecryptFinal_ex(aead->ctx, rest, &written) == 1;
	/* GCM decrypts before it knows the tag: nobody may use what it wrote. */
	if (!ok)
		SaasWipe(plaintext, length);
	return finished(ok);
}

bool
SaasAeadSeal(const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
			 const void *aad, size_t aad_length, const void *plaintext, size_t length,
			 uint8_t *ciphertext, uint8_t tag[SAAS_TAG_LENGTH])
{
	Aead		once = {NULL, 0};
	bool		ok = aead_seal(&once, 0, key, nonce, aad, aad_length, plaintext, length, ciphertext, tag);

	aead_free(&once);
	return ok;
}

bool
SaasAeadOpen(const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
			 const void *aad, size_t aad_length, const uint8_t *ciphertext, size_t length,
			 const uint8_t tag[SAAS_TAG_LENGTH], uint8_t *plaintext)
{
	Aead		once = {NULL, 0};
	bool		ok = aead_open(&once, 0, key, nonce, aad, aad_length, ciphertext, length, tag, plaintext);

	aead_free(&once);
	return ok;
}

bool
SaasAeadSealNext(uint64_t serial, const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
				 const void *aad, size_t aad_length, const void *plaintext, size_t length,
				 uint8_t *ciphertext, uint8_t tag[SAAS_TAG_LENGTH])
{
	return aead_seal(&kept_sealer, serial, key, nonce, aad, aad_length, plaintext, length, ciphertext, tag);
}

bool
SaasAeadOpenNext(uint64_t serial, const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
				 const void *aad, size_t aad_length, const uint8_t *ciphertext, size_t length,
				 const uint8_t tag[SAAS_TAG_LENGTH], uint8_t *plaintext)
{
	return aead_open(&kept_opener, serial, key, nonce, aad, aad_length, ciphertext, length, tag, plaintext);
}

void
SaasAeadForget(void)
{
	/* Transactions that seal nothing end here too. */
	if (kept_sealer.serial != 0)
		aead_forget(&kept_sealer);
	if (kept_opener.serial != 0)
		aead_forget(&kept_opener);
}

bool
SaasSha256(const void *bytes, size_t length, uint8_t digest[SAAS_DIGEST_LENGTH])
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	return finished(sha256 != NULL &&
					EVP_Digest(bytes, length, digest, NULL, sha256, NULL) == 1);
}

static bool
compute_hmac(const char *digest_name, const void *key, size_t key_length,
			 const void *bytes, size_t length, uint8_t *digest, size_t digest_length)
{
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) digest_name, strlen(digest_name)),
		OSSL_PARAM_END
	};
	EVP_MAC_CTX *ctx = NULL;
	bool		ok;

	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (hmac != NULL)
		ctx = EVP_MAC_CTX_new(hmac);
	/* To EVP_MAC_init a NULL key means "the key of before". */
	ok = ctx != NULL &&
		EVP_MAC_init(ctx, key_length > 0 ? key : "", key_length, params) == 1 &&
		EVP_MAC_update(ctx, bytes, length) == 1 &&
		EVP_MAC_final(ctx, digest, NULL, digest_length) == 1;
	EVP_MAC_CTX_free(ctx);
	return finished(ok);
}

bool
SaasHmacSha256(const void *key, size_t key_length, const void *bytes, size_t length,
			   uint8_t digest[SAAS_DIGEST_LENGTH])
{
	return compute_hmac("SHA256", key, key_length, bytes, length, digest, SAAS_DIGEST_LENGTH);
}

bool
SaasHmacSha1(const void *key, size_t key_length, const void *bytes, size_t length,
			 uint8_t digest[SAAS_SHA1_LENGTH])
{
	return compute_hmac("SHA1", key, key_length, bytes, length, digest, SAAS_SHA1_LENGTH);
}

bool
SaasEqualConstantTime(const void *a, const void *b, size_t length)
{
	return length == 0 || CRYPTO_memcmp(a, b, length) == 0;
}

void
SaasWipe(void *memory, size_t length)
{
	if (length > 0)
		OPENSSL_cleanse(memory, length);
}

size_t
SaasBase64UrlLength(size_t length)
{
	size_t		rest = length % 3;

	return length / 3 * 4 + (rest > 0 ? rest + 1 : 0);
}

void
SaasBase64UrlEncode(const void *bytes, size_t length, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *in = bytes;
	size_t		i;

	for (i = 0; i + 2 < length; i += 3)
	{
		uint32_t	group = (uint32_t) in[i] << 16 | (uint32_t) in[i + 1] << 8 | in[i + 2];

		*out++ = digits[group >> 18];
		*out++ = digits[group >> 12 & 63];
		*out++ = digits[group >> 6 & 63];
		*out++ = digits[group & 63];
	}
	if (i < length)
	{
		uint32_t	group = (uint32_t) in[i] << 16;

		if (i + 1 < length)
			group |= (uint32_t) in[i + 1] << 8;
		*out++ = digits[group >> 18];
		*out++ = digits[group >> 12 & 63];
		if (i + 1 < length)
			*out++ = digits[group >> 6 & 63];
	}
	*out = '\0';
}

/*
 * The six bits of a base64url digit from ASCII 0 to 127, or -1.  A table,
 * because the branches of comparisons are guessed wrong all along a token.
 */
static const int8_t base64url_values[128] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
	-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
	-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1
};

static int
base64url_value(char c)
{
	return (uint8_t) c < sizeof(base64url_values) ? base64url_values[(uint8_t) c] : -1;
}

long
SaasBase64UrlDecode(const char *text, size_t length, uint8_t *out)
{
	uint8_t    *start = out;
	uint32_t	pending = 0;
	int			bits = 0;
	size_t		i;

	if (length % 4 == 1)
		return -1;
	for (i = 0; i < length; i++)
	{
		int			value = base64url_value(text[i]);

		if (value < 0)
			return -1;
		pending = pending << 6 | (uint32_t) value;
		bits += 6;
		if (bits >= 8)
		{
			bits -= 8;
			*out++ = (uint8_t) (pending >> bits);
			pending &= (UINT32_C(1) << bits) - 1;
		}
	}
	/* Two texts for the same bytes would make a token's text malleable. */
	if (pending != 0)
		return -1;
	return (long) (out - start);
}

void
SaasHexEncode(const void *bytes, size_t length, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = bytes;
	size_t		i;

	for (i = 0; i < length; i++)
	{
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
SaasHexDecode(const char *text, uint8_t *out, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		int			high = hex_value(text[2 * i]);
		int			low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

		if (low < 0)
			break;
		out[i] = (uint8_t) (high << 4 | low);
	}
	if (i == length && text[2 * length] == '\0')
		return true;
	/* It is mostly keys that come as hex. */
	SaasWipe(out, length);
	return false;
}
