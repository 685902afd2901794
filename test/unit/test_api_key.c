/*
 * test_api_key.c
 *	  pure/api_key.c: the text of keys, and texts that are none.
 */
#include "pure/api_key.h"

#include "tap.h"

static char key[SAAS_API_KEY_LENGTH + 1];

static const char *
format_of(uint8_t first, uint8_t step)
{
	uint8_t		random[SAAS_API_KEY_RANDOM_BYTES];

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t) (first + i * step);
	SaasApiKeyFormat(random, key);
	return key;
}

static bool
is_key(const char *text)
{
	return SaasApiKeyIsWellFormed(text, strlen(text));
}

/* Computed with Python: int.to_bytes and zlib.crc32. */
static void
test_format(void)
{
	is_text(format_of(0, 0), "saas_00000000000000000000000000000000000000000001qIfIF", "all zeros");
	is_text(format_of(0, 1), "saas_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1LbD7n", "counting up");
	is_text(format_of(255, 0), "saas_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13nBqoh", "all ones");
	ok(is_key(key), "what is made is well-formed");
}

static void
test_generate(void)
{
	char		other[SAAS_API_KEY_LENGTH + 1];

	ok(SaasApiKeyGenerate(key) && SaasApiKeyGenerate(other), "keys are made");
	ok(strlen(key) == SAAS_API_KEY_LENGTH && is_key(key) && is_key(other), "and are well-formed");
	ok(strcmp(key, other) != 0, "each is another");
}

/* Every single wrong character, and every swap of neighbours, is noticed. */
static void
test_typos(void)
{
	char		copy[SAAS_API_KEY_LENGTH + 1];
	int			unnoticed = 0;

	format_of(7, 3);
	for (int i = 0; i < SAAS_API_KEY_LENGTH; i++)
	{
		for (int c = 0; c < 256; c++)
		{
			memcpy(copy, key, sizeof(copy));
			copy[i] = (char) c;
			if (copy[i] != key[i] && SaasApiKeyIsWellFormed(copy, SAAS_API_KEY_LENGTH))
				unnoticed++;
		}
		if (i + 1 < SAAS_API_KEY_LENGTH && key[i] != key[i + 1])
		{
			memcpy(copy, key, sizeof(copy));
			copy[i] = key[i + 1];
			copy[i + 1] = key[i];
			if (SaasApiKeyIsWellFormed(copy, SAAS_API_KEY_LENGTH))
				unnoticed++;
		}
	}
	ok(unnoticed == 0, "every typo is noticed (%d were not)", unnoticed);
}

static void
test_others(void)
{
	char		longer[SAAS_API_KEY_LENGTH + 2];

	format_of(0, 1);
	ok(!SaasApiKeyIsWellFormed(key, SAAS_API_KEY_LENGTH - 1), "one character less is no key");
	memcpy(longer, key, SAAS_API_KEY_LENGTH);
	longer[SAAS_API_KEY_LENGTH] = '0';
	longer[SAAS_API_KEY_LENGTH + 1] = '\0';
	ok(!is_key(longer), "one more neither");
	ok(!is_key(""), "nor is nothing");
	ok(!is_key("saas_"), "nor the prefix alone");
	ok(SaasApiKeyHasPrefix("saas_", 5) && SaasApiKeyHasPrefix("saas_x", 6), "which says it would be one");
	ok(!SaasApiKeyHasPrefix("saas", 4) && !SaasApiKeyHasPrefix("SAAS_x", 6) &&
	   !SaasApiKeyHasPrefix("", 0), "and others do not");
}

int
main(void)
{
	test_format();
	test_generate();
	test_typos();
	test_others();
	return tap_done();
}
