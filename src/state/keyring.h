/*
 * keyring.h
 *	  Data keys: one per organization and version, wrapped in the table,
 *	  unwrapped in a small cache of this process only.
 *
 * A key that this transaction made is forgotten when it aborts, so nothing is
 * ever sealed under a key that no table holds.  The cache is good for one
 * generation of the keys, which shared memory counts: finding a key in it reads
 * no table and takes no lock, and a new version or a destroyed key counts in
 * every process from the commit on.
 */
#ifndef SAAS_KEYRING_H
#define SAAS_KEYRING_H

#include "postgres.h"

#include "datatype/timestamp.h"
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
 * The organization's current data key, made when there is none, to seal one
 * value with: each call counts (state/key_budget.h).  The pointer is good until
 * the next call into the keyring.  Errors: 55000 naming the setting or the
 * fingerprints when no master key opens it, 55000 when it has sealed all that it
 * may, 55000 when it is missing though values sealed under it exist, PT409 when
 * the organization's keys were destroyed.
 */
extern const SaasDataKey *SaasKeyringCurrent(const pg_uuid_t *org_id);

/* Makes the first data key when there is none; errors as above. */
extern void SaasKeyringEnsure(const pg_uuid_t *org_id);

/* The data key of that version; 22023 when there is none. */
extern const SaasDataKey *SaasKeyringVersion(const pg_uuid_t *org_id, int version);

/*
 * Makes the version after the current one, if that was made before; returns it,
 * or 0.  Current in every process once the transaction has committed.
 */
extern int	SaasKeyringNext(const pg_uuid_t *org_id, TimestampTz made_before);

/*
 * This transaction changes which keys there are: every process forgets what it
 * has cached when it ends.  Such a transaction cannot be prepared.
 */
extern void SaasKeyringChanged(void);

/* Who makes or destroys keys of the organization holds this lock to the end of the transaction. */
extern void SaasKeyringLock(const pg_uuid_t *org_id);

extern void SaasKeyringInit(void);

#endif							/* SAAS_KEYRING_H */
