/*
 * master_keys.h
 *	  The master keys, from a file or a command outside of the database.
 */
#ifndef SAAS_MASTER_KEYS_H
#define SAAS_MASTER_KEYS_H

#include "postgres.h"

#include "pure/master_key.h"

/*
 * Reads the keys; the caller wipes them.  What saas.master_key_command answers
 * is kept by this process, out of core dumps, until the configuration is
 * loaded again.  Errors: 55000 when neither setting is set, F0000 when both
 * are, and when the source cannot be used; each with the hint that mends it.
 */
extern void SaasMasterKeysRead(SaasMasterKeys *keys);

/* Whether one of the two settings is set. */
extern bool SaasMasterKeysAreConfigured(void);

/* What the keys come from, for messages: "the master key file", say. */
extern const char *SaasMasterKeysSource(void);

/* The setting that names it. */
extern const char *SaasMasterKeysSetting(void);

#endif							/* SAAS_MASTER_KEYS_H */
