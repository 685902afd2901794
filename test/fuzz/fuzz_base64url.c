/*
 * fuzz_base64url.c
 *	  pure/crypto.c: base64url is strict both ways.
 */
#include <stdlib.h>
#include <string.h>

#include "pure/crypto.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes is the one text that the bytes encode to. */
static void
decode(const uint8_t *data, size_t size)
{
	/* Exactly what the contract asks for, so that a byte more is found. */
	uint8_t    *bytes = malloc(size * 3 / 4 + (size == 0));
	long		length = SaasBase64UrlDecode((const char *) data, size, bytes);
	char	   *text;

	if (length >= 0)
	{
		text = malloc(SaasBase64UrlLength((size_t) length) + 1);
		SaasBase64UrlEncode(bytes, (size_t) length, text);
		if (strlen(text) != size || memcmp(text, data, size) != 0)
			abort();
		free(text);
	}
	free(bytes);
}

static void
round_trip(const uint8_t *data, size_t size)
{
	size_t		text_length = SaasBase64UrlLength(size);
	char	   *text = malloc(text_length + 1);
	uint8_t    *bytes = malloc(text_length * 3 / 4 + 1);

	SaasBase64UrlEncode(data, size, text);
	if (strlen(text) != text_length ||
		SaasBase64UrlDecode(text, text_length, bytes) != (long) size ||
		memcmp(bytes, data, size) != 0)
		abort();
	free(bytes);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode(data, size);
	round_trip(data, size);
	return 0;
}
