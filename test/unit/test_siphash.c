/*
 * test_siphash.c
 *	  pure/siphash.c against the published vectors: key and input count up
 *	  from zero.
 */
#include "pure/siphash.h"

#include "tap.h"

static void
check(size_t length, const char *expected)
{
	const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	uint8_t		input[64];
	uint64_t	hash[2];
	char		text[33];

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t) i;
	SaasSipHash128(key, input, length, hash);
	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02X", (unsigned) (hash[i / 8] >> (8 * (i % 8)) & 0xff));
	is_text(text, expected, "%zu bytes", length);
}

int
main(void)
{
	check(0, "A3817F04BA25A8E66DF67214C7550293");
	check(1, "DA87C1D86B99AF44347659119B22FC45");
	check(7, "A1F1EBBED8DBC153C0B84AA61FF08239");
	check(8, "3B62A9BA6258F5610F83E264F31497B4");
	check(15, "5493E99933B0A8117E08EC0F97CFC3D9");
	check(63, "5150D1772F50834A503E069A973FBD7C");
	return tap_done();
}
