/*
 * keyring.h
 *	  Data keys: one per organization and version, wrapped in the table,
 *	  unwrapped in a small cache of this process only.
 *
 * A key that this transaction made is forgotten when it aborts, so nothing is
 * ever sealed under a key that no table holds.
 */
#ifndef SAAS_KEYRING_H
#define SAAS_KEYRING_H

#include "postgres.h"

#include "pure/crypto.h"
#include "utils/uuid.h"

/* The organization of all zeros: the platform's own data key. */
extern const pg_uuid_t SaasPlatformOrg;

typedef struct SaasDataKey
{
	pg_uuid_t	org_id;
	int			version;
	uint64		serial;			/* as pure/crypto.h wants it */
	uint8_t		key[SAAS_KEY_LENGTH];
} SaasDataKey;

/*
 * The organization's current data key, made when there is none and create is
 * true.  The pointer is good until the next call into the keyring.  Errors:
 * 55000 naming the setting or the fingerprints when no master key opens it,
 * PT404 when there is no key and create is false.
 */
extern const SaasDataKey *SaasKeyringCurrent(const pg_uuid_t *org_id, bool create);

/* The data key of that version; 22023 when there is none. */
extern const SaasDataKey *SaasKeyringVersion(const pg_uuid_t *org_id, int version);

extern void SaasKeyringInit(void);

#endif							/* SAAS_KEYRING_H */
