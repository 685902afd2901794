/*
 * totp.h
 *	  One-time codes of authenticator applications: RFC 4226 and RFC 6238 with
 *	  HMAC-SHA-1, six digits and steps of 30 seconds, which is what every
 *	  application takes.
 */
#ifndef SAAS_TOTP_H
#define SAAS_TOTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define SAAS_TOTP_SECRET_LENGTH	20	/* bytes, as RFC 4226 section 4 recommends */
#define SAAS_TOTP_DIGITS		6
#define SAAS_TOTP_STEP_S		30
#define SAAS_TOTP_DRIFT			1	/* steps that a clock may be off, either way */

/* The code of one counter, NUL-terminated; false when OpenSSL fails. */
extern bool SaasHotp(const uint8_t *secret, size_t length, uint64_t counter,
					 char code[SAAS_TOTP_DIGITS + 1]);

/*
 * The step whose code this is, or -1: the current step or one next to it.  The
 * time it takes tells neither whether nor which.  The caller sees to it that a
 * step is good once.
 */
extern int64_t SaasTotpMatch(const uint8_t *secret, size_t length, int64_t now_s,
							 const char *code, size_t code_length);

/*
 * base32 (RFC 4648, section 6) without padding.  Encode needs
 * SaasBase32Length(length) + 1 bytes and terminates.  Decode takes either case,
 * is strict otherwise (no padding, no foreign character, no stray bits) and
 * returns the number of bytes, or -1 with out wiped; out holds at least
 * length * 5 / 8 bytes.
 */
extern size_t SaasBase32Length(size_t length);
extern void SaasBase32Encode(const void *bytes, size_t length, char *out);
extern long SaasBase32Decode(const char *text, size_t length, uint8_t *out);

/*
 * The otpauth:// URI that an application reads from a QR code; secret is
 * base32.  NULL when the arena is exhausted.
 */
extern char *SaasTotpUri(const char *issuer, const char *account, const char *secret, SaasArena *arena);

#endif							/* SAAS_TOTP_H */
