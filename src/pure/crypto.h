/*
 * crypto.h
 *	  The few primitives that the vault, tokens and keys share, on OpenSSL's
 *	  EVP interface.  Every function returns false when OpenSSL fails and
 *	  leaves OpenSSL's error queue empty.
 */
#ifndef SAAS_CRYPTO_H
#define SAAS_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAAS_KEY_LENGTH		32
#define SAAS_NONCE_LENGTH	12
#define SAAS_TAG_LENGTH		16
#define SAAS_DIGEST_LENGTH	32
#define SAAS_SHA1_LENGTH	20

/* Bytes from the system's CSPRNG. */
extern bool SaasRandomBytes(void *bytes, size_t length);

/*
 * AES-256-GCM (NIST SP 800-38D).  The ciphertext has the plaintext's length.
 * Open returns false for a wrong tag and leaves plaintext wiped.
 */
extern bool SaasAeadSeal(const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
						 const void *aad, size_t aad_length,
						 const void *plaintext, size_t length,
						 uint8_t *ciphertext, uint8_t tag[SAAS_TAG_LENGTH]);
extern bool SaasAeadOpen(const uint8_t key[SAAS_KEY_LENGTH], const uint8_t nonce[SAAS_NONCE_LENGTH],
						 const void *aad, size_t aad_length,
						 const uint8_t *ciphertext, size_t length,
						 const uint8_t tag[SAAS_TAG_LENGTH], uint8_t *plaintext);

/*
 * The same for many values under few keys: the cipher keeps the key that it
 * had last, and serial says which one that is.  A serial stands for one key
 * for the life of the process and is never 0.  SaasAeadForget empties it.
 */
extern bool SaasAeadSealNext(uint64_t serial, const uint8_t key[SAAS_KEY_LENGTH],
							 const uint8_t nonce[SAAS_NONCE_LENGTH], const void *aad, size_t aad_length,
							 const void *plaintext, size_t length,
							 uint8_t *ciphertext, uint8_t tag[SAAS_TAG_LENGTH]);
extern bool SaasAeadOpenNext(uint64_t serial, const uint8_t key[SAAS_KEY_LENGTH],
							 const uint8_t nonce[SAAS_NONCE_LENGTH], const void *aad, size_t aad_length,
							 const uint8_t *ciphertext, size_t length,
							 const uint8_t tag[SAAS_TAG_LENGTH], uint8_t *plaintext);
extern void SaasAeadForget(void);

/*
 * A random nonce.  They are public, so they are drawn many at a time; a forked
 * child draws its own.
 */
extern bool SaasRandomNonce(uint8_t nonce[SAAS_NONCE_LENGTH]);

extern bool SaasSha256(const void *bytes, size_t length, uint8_t digest[SAAS_DIGEST_LENGTH]);
extern bool SaasHmacSha256(const void *key, size_t key_length, const void *bytes, size_t length,
						   uint8_t digest[SAAS_DIGEST_LENGTH]);

/* For one-time codes (RFC 6238), whose applications know nothing newer. */
extern bool SaasHmacSha1(const void *key, size_t key_length, const void *bytes, size_t length,
						 uint8_t digest[SAAS_SHA1_LENGTH]);

/* Compares in time that depends on length only. */
extern bool SaasEqualConstantTime(const void *a, const void *b, size_t length);

/* Overwrites memory in a way that the compiler keeps. */
extern void SaasWipe(void *memory, size_t length);

/*
 * base64url without padding (RFC 4648, section 5).  Encode needs
 * SaasBase64UrlLength(length) + 1 bytes and terminates.  Decode is strict (no
 * padding, no foreign character, no stray bits) and returns the number of
 * bytes, or -1; out holds at least length * 3 / 4 bytes.
 */
extern size_t SaasBase64UrlLength(size_t length);
extern void SaasBase64UrlEncode(const void *bytes, size_t length, char *out);
extern long SaasBase64UrlDecode(const char *text, size_t length, uint8_t *out);

/* Lower-case hex with a terminating NUL; decode takes either case, exact length. */
extern void SaasHexEncode(const void *bytes, size_t length, char *out);
extern bool SaasHexDecode(const char *text, uint8_t *out, size_t length);

#endif							/* SAAS_CRYPTO_H */
