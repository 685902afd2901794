/*
 * api_key.c
 *	  The text of an API key.
 */
#include "pure/api_key.h"

#include <string.h>

#include "pure/crypto.h"

#define BASE			62
#define LIMBS			(SAAS_API_KEY_RANDOM_BYTES / 4)
#define PREFIX_LENGTH	(sizeof(SAAS_API_KEY_PREFIX) - 1)
#define CHECKED_LENGTH	(PREFIX_LENGTH + SAAS_API_KEY_RANDOM_DIGITS)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* CRC-32 as in ISO 3309, zlib and PNG. */
static uint32_t
crc32_of(const char *text, size_t length)
{
	uint32_t	crc = 0xFFFFFFFF;

	for (size_t i = 0; i < length; i++)
	{
		crc ^= (uint8_t) text[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
	}
	return ~crc;
}

/* The check digits of the CHECKED_LENGTH characters before them. */
static void
check_digits(const char *text, char out[SAAS_API_KEY_CHECK_DIGITS])
{
	uint32_t	crc = crc32_of(text, CHECKED_LENGTH);

	for (int i = SAAS_API_KEY_CHECK_DIGITS - 1; i >= 0; i--)
	{
		out[i] = digits[crc % BASE];
		crc /= BASE;
	}
}

void
SaasApiKeyFormat(const uint8_t random[SAAS_API_KEY_RANDOM_BYTES], char key[SAAS_API_KEY_LENGTH + 1])
{
	uint32_t	limbs[LIMBS];

	for (int i = 0; i < LIMBS; i++)
		limbs[i] = (uint32_t) random[4 * i] << 24 | (uint32_t) random[4 * i + 1] << 16 |
			(uint32_t) random[4 * i + 2] << 8 | random[4 * i + 3];
	memcpy(key, SAAS_API_KEY_PREFIX, PREFIX_LENGTH);
	/* Each division of the whole number leaves its lowest digit. */
	for (int place = SAAS_API_KEY_RANDOM_DIGITS - 1; place >= 0; place--)
	{
		uint64_t	rest = 0;

		for (int i = 0; i < LIMBS; i++)
		{
			rest = rest << 32 | limbs[i];
			limbs[i] = (uint32_t) (rest / BASE);
			rest %= BASE;
		}
		key[PREFIX_LENGTH + place] = digits[rest];
	}
	check_digits(key, key + CHECKED_LENGTH);
	key[SAAS_API_KEY_LENGTH] = '\0';
	SaasWipe(limbs, sizeof(limbs));
}

bool
SaasApiKeyGenerate(char key[SAAS_API_KEY_LENGTH + 1])
{
	uint8_t		random[SAAS_API_KEY_RANDOM_BYTES];

	if (!SaasRandomBytes(random, sizeof(random)))
		return false;
	SaasApiKeyFormat(random, key);
	SaasWipe(random, sizeof(random));
	return true;
}

bool
SaasApiKeyHasPrefix(const char *token, size_t length)
{
	return length >= PREFIX_LENGTH && memcmp(token, SAAS_API_KEY_PREFIX, PREFIX_LENGTH) == 0;
}

bool
SaasApiKeyIsWellFormed(const char *token, size_t length)
{
	char		expected[SAAS_API_KEY_CHECK_DIGITS];

	if (length != SAAS_API_KEY_LENGTH || !SaasApiKeyHasPrefix(token, length))
		return false;
	for (size_t i = PREFIX_LENGTH; i < length; i++)
	{
		if (token[i] == '\0' || strchr(digits, token[i]) == NULL)
			return false;
	}
	check_digits(token, expected);
	return memcmp(expected, token + CHECKED_LENGTH, sizeof(expected)) == 0;
}
