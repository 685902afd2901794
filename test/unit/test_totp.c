/*
 * test_totp.c
 *	  pure/totp.c against the vectors of RFC 4226, RFC 6238 and RFC 4648, and
 *	  its refusals.
 */
#include "pure/totp.h"

#include <openssl/err.h>

#include "pure/crypto.h"
#include "tap.h"

#define SECRET_TEXT		"12345678901234567890"
#define SECRET			((const uint8_t *) SECRET_TEXT)

static int64_t
match(int64_t now_s, const char *code)
{
	return SaasTotpMatch(SECRET, SAAS_TOTP_SECRET_LENGTH, now_s, code, strlen(code));
}

/* RFC 2202, section 3. */
static void
test_hmac_sha1(void)
{
	uint8_t		digest[SAAS_SHA1_LENGTH];
	uint8_t		key[80];
	char		hex[2 * SAAS_SHA1_LENGTH + 1];

	memset(key, 0x0b, 20);
	ok(SaasHmacSha1(key, 20, "Hi There", 8, digest), "HMAC-SHA-1 succeeds");
	SaasHexEncode(digest, sizeof(digest), hex);
	is_text(hex, "b617318655057264e28bc0b6fb378c8ef146be00", "RFC 2202, case 1");
	ok(SaasHmacSha1("Jefe", 4, "what do ya want for nothing?", 28, digest), "with a short key");
	SaasHexEncode(digest, sizeof(digest), hex);
	is_text(hex, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79", "RFC 2202, case 2");
	memset(key, 0xaa, 80);
	ok(SaasHmacSha1(key, 80, "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest),
	   "with a key longer than a block");
	SaasHexEncode(digest, sizeof(digest), hex);
	is_text(hex, "aa4ae5e15272d00e95705637ce8a3b55ed402112", "RFC 2202, case 6");
	ok(SaasHmacSha1(NULL, 0, "", 0, digest), "no key and no text");
	SaasHexEncode(digest, sizeof(digest), hex);
	is_text(hex, "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d", "HMAC-SHA-1 of nothing");
}

/* RFC 4226, appendix D. */
static void
test_hotp(void)
{
	static const char *const expected[] = {
		"755224", "287082", "359152", "969429", "338314",
		"254676", "287922", "162583", "399871", "520489"
	};
	char		code[SAAS_TOTP_DIGITS + 1];

	for (uint64_t i = 0; i < 10; i++)
	{
		ok(SaasHotp(SECRET, SAAS_TOTP_SECRET_LENGTH, i, code), "counter %d has a code", (int) i);
		is_text(code, expected[i], "and it is RFC 4226's");
	}
}

/* RFC 6238, appendix B: the last six of the eight digits there. */
static void
test_totp(void)
{
	static const struct
	{
		int64_t		now_s;
		const char *code;
	}			cases[] = {
		{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"},
		{1234567890, "005924"}, {2000000000, "279037"}, {INT64_C(20000000000), "353130"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(match(cases[i].now_s, cases[i].code) == cases[i].now_s / SAAS_TOTP_STEP_S,
		   "RFC 6238's code at %lld is of its step", (long long) cases[i].now_s);
}

static void
test_drift(void)
{
	/* 969429 is the code of step 3, which lasts from 90 to 119. */
	ok(match(59, "969429") == -1, "two steps ahead is refused");
	ok(match(60, "969429") == 3, "one step ahead matches, and the step is the code's");
	ok(match(90, "969429") == 3 && match(119, "969429") == 3, "within the step it matches");
	ok(match(149, "969429") == 3, "one step behind matches");
	ok(match(150, "969429") == -1, "two steps behind is refused");
	ok(match(0, "755224") == 0, "there is no step before the first");
	ok(match(-1, "755224") == -1, "there is no code before 1970");
}

static void
test_foreign_codes(void)
{
	ok(match(100, "") == -1, "an empty code is refused");
	ok(match(100, "96942") == -1, "a short one");
	ok(match(100, "9694290") == -1, "a long one");
	ok(match(100, "969428") == -1, "a wrong one");
	ok(match(100, " 96942") == -1, "one with a blank");
	ok(SaasTotpMatch(SECRET, SAAS_TOTP_SECRET_LENGTH, 100, "96942\0", 6) == -1, "one with a NUL");
	ok(SaasTotpMatch((const uint8_t *) "12345678901234567891", 20, 100, "969429", 6) == -1,
	   "another secret's");
}

static void
test_base32(void)
{
	/* RFC 4648, section 10, without the padding. */
	static const char *const cases[][2] = {
		{"", ""}, {"f", "MY"}, {"fo", "MZXQ"}, {"foo", "MZXW6"},
		{"foob", "MZXW6YQ"}, {"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}
	};
	static const char *const refused[] = {
		"M", "MZX", "MZXW6Y", "MZ", "MY======", "MZXW 6", "MZXW1", "MZXW8", "MZXW0", "M-XW6", "MZXW6YQ\xc3"
	};
	uint8_t		all[256];
	uint8_t		back[256];
	char		text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		length = strlen(cases[i][0]);

		SaasBase32Encode(cases[i][0], length, text);
		is_text(text, cases[i][1], "base32 of \"%s\"", cases[i][0]);
		ok(SaasBase32Length(length) == strlen(text), "has the length that it should");
		ok(SaasBase32Decode(text, strlen(text), back) == (long) length &&
		   memcmp(back, cases[i][0], length) == 0, "and is read back");
	}
	ok(SaasBase32Decode("mzxw6ytboi", 10, back) == 6 && memcmp(back, "foobar", 6) == 0, "of either case");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(SaasBase32Decode(refused[i], strlen(refused[i]), back) == -1, "base32 refuses \"%s\"", refused[i]);
	memset(back, 0x55, sizeof(back));
	ok(SaasBase32Decode("MZXW6YTB1", 9, back) == -1 && memcmp(back, "\0\0\0\0\0", 5) == 0,
	   "and leaves nothing behind");
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t) i;
	SaasBase32Encode(all, 256, text);
	ok(SaasBase32Decode(text, strlen(text), back) == 256 && memcmp(all, back, 256) == 0,
	   "every byte survives");
}

static void
test_uri(void)
{
	SaasArena  *arena = SaasArenaCreate(4096);
	SaasArena  *small = SaasArenaCreate(16);

	is_text(SaasTotpUri("FormationIQ", "ada@example.com", "MZXW6", arena),
			"otpauth://totp/FormationIQ:ada%40example.com?secret=MZXW6&issuer=FormationIQ"
			"&algorithm=SHA1&digits=6&period=30", "the URI names issuer, account and secret");
	is_text(SaasTotpUri("A&B: \xc3\xa9", "a+b?c#d/e%f@x", "MY", arena),
			"otpauth://totp/A%26B%3A%20%C3%A9:a%2Bb%3Fc%23d%2Fe%25f%40x?secret=MY&issuer=A%26B%3A%20%C3%A9"
			"&algorithm=SHA1&digits=6&period=30", "nothing in a name ends its part");
	ok(SaasTotpUri("issuer", "account", "MZXW6", small) == NULL, "an exhausted arena gives NULL");
	SaasArenaDestroy(arena);
	SaasArenaDestroy(small);
}

int
main(void)
{
	test_hmac_sha1();
	test_hotp();
	test_totp();
	test_drift();
	test_foreign_codes();
	test_base32();
	test_uri();
	ok(ERR_peek_error() == 0, "OpenSSL's error queue is empty");
	return tap_done();
}
