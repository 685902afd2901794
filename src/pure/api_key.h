/*
 * api_key.h
 *	  The text of an API key: "saas_", 32 random bytes as 43 base62 digits,
 *	  and the CRC-32 of all that as 6 base62 digits.
 *
 * Digits are 0-9, A-Z, a-z, highest first.  The checksum tells a mistyped or
 * truncated key from a wrong one without a look-up, and lets a secret scanner
 * tell a key from a word; it protects nothing.
 */
#ifndef SAAS_API_KEY_H
#define SAAS_API_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAAS_API_KEY_PREFIX			"saas_"
#define SAAS_API_KEY_RANDOM_BYTES	32
#define SAAS_API_KEY_RANDOM_DIGITS	43
#define SAAS_API_KEY_CHECK_DIGITS	6
#define SAAS_API_KEY_LENGTH			(5 + SAAS_API_KEY_RANDOM_DIGITS + SAAS_API_KEY_CHECK_DIGITS)

/* So many characters of a key are kept and shown, to tell keys apart. */
#define SAAS_API_KEY_SHOWN			12

/* The key of those random bytes, terminated. */
extern void SaasApiKeyFormat(const uint8_t random[SAAS_API_KEY_RANDOM_BYTES],
							 char key[SAAS_API_KEY_LENGTH + 1]);

/* A new key; false when there are no random bytes. */
extern bool SaasApiKeyGenerate(char key[SAAS_API_KEY_LENGTH + 1]);

/* Whether a token says that it is an API key, well-formed or not. */
extern bool SaasApiKeyHasPrefix(const char *token, size_t length);

/* Whether it has the length, the digits and the checksum of an API key. */
extern bool SaasApiKeyIsWellFormed(const char *token, size_t length);

#endif							/* SAAS_API_KEY_H */
