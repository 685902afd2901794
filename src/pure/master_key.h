/*
 * master_key.h
 *	  Reader of the text that holds the master keys.
 */
#ifndef SAAS_MASTER_KEY_H
#define SAAS_MASTER_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "pure/crypto.h"

#define SAAS_MAX_MASTER_KEYS	32
#define SAAS_FINGERPRINT_SIZE	17	/* 16 hex digits and a NUL */

typedef struct SaasMasterKey
{
	int			version;
	uint8_t		key[SAAS_KEY_LENGTH];
	char		fingerprint[SAAS_FINGERPRINT_SIZE];
} SaasMasterKey;

typedef struct SaasMasterKeys
{
	int			count;
	SaasMasterKey items[SAAS_MAX_MASTER_KEYS];
} SaasMasterKeys;

/*
 * Reads lines "version:64 hex digits"; blank lines and lines that begin with
 * '#' are skipped.  F0000 with the line's number, never its text, for anything
 * else, a version twice, or no key; source says what the text is, "the master
 * key file" for one.  The caller wipes keys.
 */
extern bool SaasMasterKeysParse(const char *text, size_t length, const char *source,
								SaasMasterKeys *keys, SaasProblem *problem);

/* The key of that version, or the highest for version 0; NULL when missing. */
extern const SaasMasterKey *SaasMasterKeyFind(const SaasMasterKeys *keys, int version);

#endif							/* SAAS_MASTER_KEY_H */
