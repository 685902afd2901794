/*
 * rotation.h
 *	  The steps of a rotation of data keys, each one transaction.
 *
 * Nothing of a rotation is kept in memory only: the row of key_rotation says
 * which keys still need a new version, what the values themselves name says
 * which are still to be sealed again.
 */
#ifndef SAAS_ROTATION_H
#define SAAS_ROTATION_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "store/reseal.h"
#include "store/sealed_usage.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct SaasRotation
{
	bool		is_resumed;
	bool		has_org;		/* one organization's key only */
	pg_uuid_t	id;
	pg_uuid_t	org_id;
	TimestampTz started_at;
	TimestampTz made_before;
	pg_uuid_t	next_from;		/* organizations up to it have their new version */
	bool		has_next_from;
} SaasRotation;

/* What is left of old versions. */
typedef struct SaasOldVersions
{
	int			kept;			/* that something still uses or may use */
	int			dropped;
} SaasOldVersions;

/*
 * The unfinished rotation, or a new one of keys older than that (org_id NULL:
 * all).  PT404 for an organization without a key.
 */
extern void SaasRotationStart(const pg_uuid_t *org_id, const Interval *older_than, SaasRotation *rotation);

/* Makes new versions, limit at most, with an event of the audit each; returns how many keys it looked at. */
extern int	SaasRotationMakeVersions(SaasRotation *rotation, int limit);

/* Marks superseded versions: the commits before this have told every process. */
extern void SaasRotationRetire(void);

/* What there is to seal again by the usage: column and organization; palloc'd. */
extern SaasReseal *SaasRotationWork(const SaasSealedColumn *columns, const SaasSealedUsage *usage,
									int *count);

/*
 * Says of every retired version whether the usage, read in this transaction,
 * names it.
 */
extern void SaasRotationMark(const SaasSealedUsage *usage);

/*
 * Drops versions that nothing named in that usage, that were retired before
 * the oldest transaction at the time it was read (retired_before) and the grace,
 * and found empty before the oldest transaction of now.
 */
extern void SaasRotationDrop(const SaasSealedUsage *usage, TimestampTz retired_before,
							 SaasOldVersions *versions);

/* When the oldest transaction of this database began, others' only; the future when there is none. */
extern TimestampTz SaasOldestTransaction(void);

extern void SaasRotationFinish(const SaasRotation *rotation, int64 resealed, bool is_finished);

#endif							/* SAAS_ROTATION_H */
