/*
 * totp.c
 *	  One-time codes of authenticator applications, and the text forms in which
 *	  an application is given its secret.
 */
#include "pure/totp.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "pure/crypto.h"

#define CODE_MODULUS	1000000 /* 10 to the power of SAAS_TOTP_DIGITS */

bool
SaasHotp(const uint8_t *secret, size_t length, uint64_t counter, char code[SAAS_TOTP_DIGITS + 1])
{
	uint8_t		message[8];
	uint8_t		digest[SAAS_SHA1_LENGTH];
	const uint8_t *chosen;
	uint32_t	number;

	for (int i = 0; i < 8; i++)
		message[i] = (uint8_t) (counter >> (56 - 8 * i));
	if (!SaasHmacSha1(secret, length, message, sizeof(message), digest))
		return false;
	/* Dynamic truncation, RFC 4226 section 5.3. */
	chosen = digest + (digest[SAAS_SHA1_LENGTH - 1] & 0x0f);
	number = (uint32_t) (chosen[0] & 0x7f) << 24 | (uint32_t) chosen[1] << 16 |
		(uint32_t) chosen[2] << 8 | chosen[3];
	(void) snprintf(code, SAAS_TOTP_DIGITS + 1, "%06u", (unsigned int) (number % CODE_MODULUS));
	SaasWipe(digest, sizeof(digest));
	return true;
}

int64_t
SaasTotpMatch(const uint8_t *secret, size_t length, int64_t now_s, const char *code, size_t code_length)
{
	int64_t		current = now_s / SAAS_TOTP_STEP_S;
	int64_t		matched = -1;

	if (code_length != SAAS_TOTP_DIGITS || now_s < 0)
		return -1;
	/* All of them whichever matches; of two equal codes the oldest step is used up first. */
	for (int64_t step = current + SAAS_TOTP_DRIFT; step >= current - SAAS_TOTP_DRIFT; step--)
	{
		char		expected[SAAS_TOTP_DIGITS + 1];

		if (step < 0)
			continue;
		if (!SaasHotp(secret, length, (uint64_t) step, expected))
			return -1;
		if (SaasEqualConstantTime(expected, code, SAAS_TOTP_DIGITS))
			matched = step;
		SaasWipe(expected, sizeof(expected));
	}
	return matched;
}

size_t
SaasBase32Length(size_t length)
{
	return (length * 8 + 4) / 5;
}

void
SaasBase32Encode(const void *bytes, size_t length, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	const uint8_t *in = bytes;
	uint32_t	pending = 0;
	int			bits = 0;

	for (size_t i = 0; i < length; i++)
	{
		pending = (pending << 8 | in[i]) & 0xfff;
		for (bits += 8; bits >= 5; bits -= 5)
			*out++ = digits[pending >> (bits - 5) & 0x1f];
	}
	if (bits > 0)
		*out++ = digits[pending << (5 - bits) & 0x1f];
	*out = '\0';
}

static int
base32_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

long
SaasBase32Decode(const char *text, size_t length, uint8_t *out)
{
	uint32_t	pending = 0;
	int			bits = 0;
	long		count = 0;
	bool		is_valid = true;

	for (size_t i = 0; i < length && is_valid; i++)
	{
		int			value = base32_value(text[i]);

		is_valid = value >= 0;
		pending = (pending << 5 | (uint32_t) (value & 0x1f)) & 0xfff;
		bits += 5;
		if (bits >= 8)
		{
			bits -= 8;
			out[count++] = (uint8_t) (pending >> bits);
		}
	}
	/* A digit that begins no byte, or bits that an encoder leaves zero. */
	if (is_valid && bits < 5 && (pending & ((1U << bits) - 1)) == 0)
		return count;
	SaasWipe(out, (size_t) count);
	return -1;
}

char *
SaasTotpUri(const char *issuer, const char *account, const char *secret, SaasArena *arena)
{
	SaasStrbuf	uri;

	SaasStrbufInit(&uri, arena);
	SaasStrbufAppendText(&uri, "otpauth://totp/");
	SaasStrbufAppendUrlEncoded(&uri, issuer);
	SaasStrbufAppendChar(&uri, ':');
	SaasStrbufAppendUrlEncoded(&uri, account);
	SaasStrbufPrintf(&uri, "?secret=%s&issuer=", secret);
	SaasStrbufAppendUrlEncoded(&uri, issuer);
	SaasStrbufPrintf(&uri, "&algorithm=SHA1&digits=%d&period=%d", SAAS_TOTP_DIGITS, SAAS_TOTP_STEP_S);
	return SaasStrbufFinish(&uri);
}
