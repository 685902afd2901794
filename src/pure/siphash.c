/*
 * siphash.c
 *	  SipHash-2-4 with 128 bits.
 */
#include "pure/siphash.h"

typedef struct SipState
{
	uint64_t	v0;
	uint64_t	v1;
	uint64_t	v2;
	uint64_t	v3;
} SipState;

static uint64_t
rotate(uint64_t value, int bits)
{
	return (value << bits) | (value >> (64 - bits));
}

static void
mix(SipState *s, int rounds)
{
	for (int i = 0; i < rounds; i++)
	{
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static void
absorb(SipState *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s, 2);
	s->v0 ^= word;
}

/* Up to eight bytes, little-endian. */
static uint64_t
read_word(const uint8_t *bytes, size_t length)
{
	uint64_t	word = 0;

	for (size_t i = 0; i < length; i++)
		word |= (uint64_t) bytes[i] << (8 * i);
	return word;
}

static uint64_t
squeeze(SipState *s)
{
	mix(s, 4);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

void
SaasSipHash128(const uint64_t key[2], const void *bytes, size_t length, uint64_t hash[2])
{
	const uint8_t *at = bytes;
	SipState	s = {
		UINT64_C(0x736f6d6570736575) ^ key[0],
		UINT64_C(0x646f72616e646f6d) ^ key[1] ^ 0xee,
		UINT64_C(0x6c7967656e657261) ^ key[0],
		UINT64_C(0x7465646279746573) ^ key[1]
	};

	for (size_t left = length; left >= 8; left -= 8, at += 8)
		absorb(&s, read_word(at, 8));
	absorb(&s, read_word(at, length % 8) | (uint64_t) length << 56);
	s.v2 ^= 0xee;
	hash[0] = squeeze(&s);
	s.v1 ^= 0xdd;
	hash[1] = squeeze(&s);
}
