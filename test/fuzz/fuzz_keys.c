/*
 * fuzz_keys.c
 *	  pure/api_key.c and pure/totp.c: the texts of keys and of secrets.
 *
 * The first byte of an input says which: k a key, r the bytes of a key and
 * what is changed of it, s a secret in base32, b the bytes of a secret.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pure/api_key.h"
#include "pure/totp.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
fuzz_key(const char *text, size_t length)
{
	if (SaasApiKeyIsWellFormed(text, length))
		must(length == SAAS_API_KEY_LENGTH && SaasApiKeyHasPrefix(text, length));
}

/* A key is good, and no other text that differs by one character. */
static void
fuzz_made_key(const char *bytes, size_t length)
{
	uint8_t		random[SAAS_API_KEY_RANDOM_BYTES] = {0};
	char		key[SAAS_API_KEY_LENGTH + 1];
	size_t		place;

	if (length < 2)
		return;
	memcpy(random, bytes + 2, length - 2 < sizeof(random) ? length - 2 : sizeof(random));
	SaasApiKeyFormat(random, key);
	must(strlen(key) == SAAS_API_KEY_LENGTH && SaasApiKeyIsWellFormed(key, SAAS_API_KEY_LENGTH));
	place = (uint8_t) bytes[0] % SAAS_API_KEY_LENGTH;
	if (key[place] != bytes[1])
	{
		key[place] = bytes[1];
		must(!SaasApiKeyIsWellFormed(key, SAAS_API_KEY_LENGTH));
	}
}

/* What decodes is, but for its case, the one text that the bytes encode to. */
static void
fuzz_secret(const char *text, size_t length)
{
	uint8_t    *bytes = malloc(length * 5 / 8 + 1);
	long		count = SaasBase32Decode(text, length, bytes);
	char	   *again;

	if (count >= 0)
	{
		must((size_t) count == length * 5 / 8);
		again = malloc(SaasBase32Length((size_t) count) + 1);
		SaasBase32Encode(bytes, (size_t) count, again);
		must(strlen(again) == length && strncasecmp(again, text, length) == 0);
		free(again);
	}
	free(bytes);
}

static void
fuzz_secret_bytes(const char *bytes, size_t length)
{
	char	   *text = malloc(SaasBase32Length(length) + 1);
	uint8_t    *again = malloc(length + 1);
	char		code[SAAS_TOTP_DIGITS + 1];

	SaasBase32Encode(bytes, length, text);
	must(strlen(text) == SaasBase32Length(length));
	must(SaasBase32Decode(text, strlen(text), again) == (long) length && memcmp(again, bytes, length) == 0);
	must(SaasHotp(again, length, length, code) && strlen(code) == SAAS_TOTP_DIGITS);
	free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	/* Of its own size, so that a byte read beyond is found. */
	text = malloc(size - 1 + (size == 1));
	memcpy(text, data + 1, size - 1);
	if (data[0] == 'k')
		fuzz_key(text, size - 1);
	else if (data[0] == 'r')
		fuzz_made_key(text, size - 1);
	else if (data[0] == 's')
		fuzz_secret(text, size - 1);
	else if (data[0] == 'b')
		fuzz_secret_bytes(text, size - 1);
	free(text);
	return 0;
}
