/*
 * test_crypto.c
 *	  pure/crypto.c against published vectors, and its refusals.
 */
#include "pure/crypto.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tap.h"

/* Bytes of a constant in hex, by a reader that is not the one under test. */
static size_t
unhex(const char *text, uint8_t *out)
{
	size_t		length = strlen(text) / 2;
	size_t		i;

	for (i = 0; i < length; i++)
	{
		char		pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

		out[i] = (uint8_t) strtoul(pair, NULL, 16);
	}
	return length;
}

static bool
is_hex_of(const uint8_t *bytes, const char *expected)
{
	uint8_t		wanted[256];
	size_t		length = unhex(expected, wanted);

	return memcmp(bytes, wanted, length) == 0;
}

static void
test_random(void)
{
	uint8_t		a[64] = {0};
	uint8_t		b[64] = {0};

	ok(SaasRandomBytes(a, sizeof(a)) && SaasRandomBytes(b, sizeof(b)), "random bytes come");
	ok(memcmp(a, b, sizeof(a)) != 0, "two draws differ");
	ok(SaasRandomBytes(a, 0), "drawing nothing succeeds");
}

static void
test_digests(void)
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	uint8_t		key[131];

	ok(SaasSha256("", 0, digest) &&
	   is_hex_of(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
	   "SHA-256 of nothing");
	ok(SaasSha256("abc", 3, digest) &&
	   is_hex_of(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
	   "SHA-256 of abc");

	memset(key, 0x0b, 20);
	ok(SaasHmacSha256(key, 20, "Hi There", 8, digest) &&
	   is_hex_of(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
	   "HMAC-SHA-256, RFC 4231 case 1");
	ok(SaasHmacSha256("Jefe", 4, "what do ya want for nothing?", 28, digest) &&
	   is_hex_of(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
	   "HMAC-SHA-256, RFC 4231 case 2");
	memset(key, 0xaa, sizeof(key));
	ok(SaasHmacSha256(key, sizeof(key),
					  "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest) &&
	   is_hex_of(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
	   "HMAC-SHA-256, RFC 4231 case 6");
	ok(SaasHmacSha256(NULL, 0, NULL, 0, digest) &&
	   is_hex_of(digest, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
	   "HMAC-SHA-256 of nothing with an empty key");
}

typedef struct GcmCase
{
	const char *name;
	const char *key;
	const char *nonce;
	const char *aad;
	const char *plaintext;
	const char *ciphertext;
	const char *tag;
} GcmCase;

#define ZERO_KEY	"0000000000000000000000000000000000000000000000000000000000000000"
#define FEFF_KEY	"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"

/* From the appendix of the GCM proposal to NIST (McGrew and Viega). */
static const GcmCase gcm_cases[] = {
	{"case 13", ZERO_KEY, "000000000000000000000000", "", "", "",
	"530f8afbc74536b9a963b4f1c4cb738b"},
	{"case 14", ZERO_KEY, "000000000000000000000000", "",
		"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
	"d0d1c8a799996bf0265b98b5d48ab919"},
	{"case 16", FEFF_KEY, "cafebabefacedbaddecaf888",
		"feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	"76fc6ece0f4e1768cddf8853bb2d551b"}
};

static void
test_gcm_vectors(void)
{
	size_t		i;

	for (i = 0; i < sizeof(gcm_cases) / sizeof(gcm_cases[0]); i++)
	{
		const GcmCase *vector = &gcm_cases[i];
		uint8_t		key[32];
		uint8_t		nonce[12];
		uint8_t		aad[64];
		uint8_t		plaintext[64];
		uint8_t		out[64];
		uint8_t		tag[16];
		size_t		aad_length = unhex(vector->aad, aad);
		size_t		length = unhex(vector->plaintext, plaintext);

		unhex(vector->key, key);
		unhex(vector->nonce, nonce);
		ok(SaasAeadSeal(key, nonce, aad, aad_length, plaintext, length, out, tag) &&
		   is_hex_of(out, vector->ciphertext) && is_hex_of(tag, vector->tag),
		   "AES-256-GCM %s seals", vector->name);
		ok(SaasAeadOpen(key, nonce, aad, aad_length, out, length, tag, out) &&
		   memcmp(out, plaintext, length) == 0,
		   "AES-256-GCM %s opens, in place", vector->name);
	}
}

/* Whether a sealed text opens after one bit of one of its parts was turned over. */
static bool
opens_after_flip(uint8_t *part, size_t index, const uint8_t *key, const uint8_t *nonce,
				 const uint8_t *aad, const uint8_t *ciphertext, const uint8_t *tag)
{
	static const uint8_t wiped[32];
	uint8_t		plaintext[32];
	bool		opened;

	memset(plaintext, 0x55, sizeof(plaintext));
	part[index] ^= 1;
	opened = SaasAeadOpen(key, nonce, aad, 16, ciphertext, 32, tag, plaintext);
	part[index] ^= 1;
	return opened || memcmp(plaintext, wiped, sizeof(wiped)) != 0 || ERR_peek_error() != 0;
}

static void
test_gcm_tampering(void)
{
	uint8_t		key[32];
	uint8_t		nonce[12];
	uint8_t		aad[16];
	uint8_t		ciphertext[32];
	uint8_t		tag[16];
	uint8_t		plaintext[32] = "a secret of thirty-one bytes ..";
	int			opened = 0;
	size_t		i;

	SaasRandomBytes(key, sizeof(key));
	SaasRandomBytes(nonce, sizeof(nonce));
	SaasRandomBytes(aad, sizeof(aad));
	ok(SaasAeadSeal(key, nonce, aad, 16, plaintext, 32, ciphertext, tag), "a secret seals");
	for (i = 0; i < 32; i++)
	{
		opened += opens_after_flip(key, i, key, nonce, aad, ciphertext, tag);
		opened += opens_after_flip(ciphertext, i, key, nonce, aad, ciphertext, tag);
		if (i < 16)
			opened += opens_after_flip(tag, i, key, nonce, aad, ciphertext, tag);
		if (i < 16)
			opened += opens_after_flip(aad, i, key, nonce, aad, ciphertext, tag);
		if (i < 12)
			opened += opens_after_flip(nonce, i, key, nonce, aad, ciphertext, tag);
	}
	ok(opened == 0, "no changed byte of key, nonce, data, ciphertext or tag opens, all wiped");
	ok(!SaasAeadOpen(key, nonce, aad, 15, ciphertext, 32, tag, plaintext),
	   "shorter associated data does not open");
	ok(!SaasAeadOpen(key, nonce, aad, 16, ciphertext, 31, tag, plaintext),
	   "a shorter ciphertext does not open");
	ok(!SaasAeadSeal(key, nonce, NULL, 0, plaintext, (size_t) 1 << 31, ciphertext, tag),
	   "more than 2 GB is refused before a byte is read");
}

/* Values under two keys in turn, through the cipher that keeps the last key. */
static void
test_gcm_next(void)
{
	uint8_t		keys[2][32];
	uint8_t		nonce[12];
	uint8_t		ciphertext[2][16];
	uint8_t		tag[2][16];
	uint8_t		plaintext[16];
	bool		agrees = true;
	bool		opens = true;

	SaasRandomBytes(keys, sizeof(keys));
	for (int round = 0; round < 8; round++)
	{
		int			which = round / 2 % 2;
		uint8_t		expected[16];
		uint8_t		expected_tag[16];

		agrees = agrees && SaasRandomNonce(nonce) &&
			SaasAeadSealNext(which + 1, keys[which], nonce, "aad", 3, "sixteen bytes ..", 16,
							 ciphertext[which], tag[which]) &&
			SaasAeadSeal(keys[which], nonce, "aad", 3, "sixteen bytes ..", 16, expected, expected_tag) &&
			memcmp(ciphertext[which], expected, 16) == 0 && memcmp(tag[which], expected_tag, 16) == 0;
		tag[which][0] ^= 1;
		opens = opens && !SaasAeadOpenNext(which + 1, keys[which], nonce, "aad", 3,
											ciphertext[which], 16, tag[which], plaintext);
		tag[which][0] ^= 1;
		opens = opens && SaasAeadOpenNext(which + 1, keys[which], nonce, "aad", 3,
										   ciphertext[which], 16, tag[which], plaintext) &&
			memcmp(plaintext, "sixteen bytes ..", 16) == 0;
		if (round == 5)
			SaasAeadForget();
	}
	ok(agrees, "a cipher that keeps its key seals as one that does not");
	ok(opens, "and opens what belongs to the key, after what did not open too");
	ok(!SaasAeadOpenNext(3, keys[0], nonce, "aad", 3, ciphertext[1], 16, tag[1], plaintext),
	   "another serial brings another key");
}

#define NONCES	1000

static int
compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, SAAS_NONCE_LENGTH);
}

static void
test_nonces(void)
{
	static uint8_t nonces[NONCES + 1][SAAS_NONCE_LENGTH];
	int			ends[2];
	int			repeated = 0;
	pid_t		child;

	for (int i = 0; i < NONCES; i++)
		SaasRandomNonce(nonces[i]);
	if (pipe(ends) != 0)
		abort();
	child = fork();
	if (child == 0)
	{
		SaasRandomNonce(nonces[0]);
		_exit(write(ends[1], nonces[0], SAAS_NONCE_LENGTH) != SAAS_NONCE_LENGTH);
	}
	ok(read(ends[0], nonces[NONCES], SAAS_NONCE_LENGTH) == SAAS_NONCE_LENGTH &&
	   waitpid(child, NULL, 0) == child,
	   "a forked child draws a nonce");
	SaasRandomNonce(nonces[0]);
	qsort(nonces, NONCES + 1, SAAS_NONCE_LENGTH, compare_nonces);
	for (int i = 0; i < NONCES; i++)
		repeated += compare_nonces(nonces[i], nonces[i + 1]) == 0;
	ok(repeated == 0, "no nonce comes twice, nor in parent and child");
}

static void
test_equal_and_wipe(void)
{
	char		memory[8] = "secret!";

	ok(SaasEqualConstantTime("abc", "abc", 3), "equal bytes are equal");
	ok(!SaasEqualConstantTime("abc", "abd", 3), "different bytes are not");
	ok(SaasEqualConstantTime("abc", "abd", 2), "only length bytes count");
	ok(SaasEqualConstantTime(NULL, NULL, 0), "nothing equals nothing");
	SaasWipe(memory, 4);
	ok(memcmp(memory, "\0\0\0\0et!", 7) == 0, "wiping stops at the length");
	SaasWipe(NULL, 0);
}

static void
test_base64url(void)
{
	static const char *const pairs[][2] = {
		{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"foob", "Zm9vYg"},
		{"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"}
	};
	uint8_t		bytes[128];
	uint8_t		back[128];
	char		text[256];
	bool		same = true;
	size_t		i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		SaasBase64UrlEncode(pairs[i][0], strlen(pairs[i][0]), text);
		is_text(text, pairs[i][1], "base64url of %zu bytes", strlen(pairs[i][0]));
		ok(SaasBase64UrlDecode(text, strlen(text), back) == (long) strlen(pairs[i][0]) &&
		   memcmp(back, pairs[i][0], strlen(pairs[i][0])) == 0, "and back");
	}
	SaasRandomBytes(bytes, sizeof(bytes));
	for (i = 0; i <= sizeof(bytes); i++)
	{
		SaasBase64UrlEncode(bytes, i, text);
		same = same && strlen(text) == SaasBase64UrlLength(i) &&
			SaasBase64UrlDecode(text, strlen(text), back) == (long) i &&
			memcmp(back, bytes, i) == 0;
	}
	ok(same, "every length up to 128 comes back");
}

static void
test_base64url_strict(void)
{
	static const struct
	{
		const char *text;
		size_t		length;
		const char *what;
	}			cases[] = {
		{"Z", 1, "one digit"},
		{"Zm9vY", 5, "five digits"},
		{"A", 1, "one digit of no bits"},
		{"AAAAA", 5, "five digits of no bits"},
		{"Zg==", 4, "padding"},
		{"Zm8=", 4, "short padding"},
		{"Zh", 2, "stray bits in two digits"},
		{"Zm9", 3, "stray bits in three digits"},
		{"+/+/", 4, "the other alphabet"},
		{"Zm 9", 4, "a blank"},
		{"Zm9v\n", 5, "a line feed"},
		{"Zm\0v", 4, "a NUL"},
		{"Zm9\xe9", 4, "a byte beyond ASCII"},
		{"Zm.v", 4, "a dot"}
	};
	uint8_t		out[8];
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(SaasBase64UrlDecode(cases[i].text, cases[i].length, out) == -1,
		   "base64url refuses %s", cases[i].what);
}

static void
test_hex(void)
{
	char		text[16];
	uint8_t		out[4];

	SaasHexEncode("\x00\x7f\xa0\xff", 4, text);
	is_text(text, "007fa0ff", "hex is lower case");
	ok(SaasHexDecode("007FA0fF", out, 4) && memcmp(out, "\x00\x7f\xa0\xff", 4) == 0,
	   "hex of either case is read");
	ok(SaasHexDecode("", out, 0), "no hex is no bytes");
	ok(!SaasHexDecode("007fa0", out, 4), "too few digits");
	ok(!SaasHexDecode("007fa0f", out, 4), "half a byte missing");
	ok(!SaasHexDecode("007fa0ff0", out, 4), "too many digits");
	memset(out, 0x55, sizeof(out));
	ok(!SaasHexDecode("007fa0fg", out, 4) && memcmp(out, "\0\0\0\0", 4) == 0,
	   "a foreign digit leaves nothing behind");
	ok(!SaasHexDecode("0x7fa0ff", out, 4), "a 0x is no digit");
	ok(!SaasHexDecode(" 07fa0ff", out, 4), "a blank is no digit");
}

int
main(void)
{
	test_random();
	test_digests();
	test_gcm_vectors();
	test_gcm_tampering();
	test_gcm_next();
	test_nonces();
	test_equal_and_wipe();
	test_base64url();
	test_base64url_strict();
	test_hex();
	ok(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	return tap_done();
}
