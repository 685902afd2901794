/*
 * rewrap.h
 *	  Wrapping data keys with the newest master key.
 */
#ifndef SAAS_REWRAP_H
#define SAAS_REWRAP_H

#include "postgres.h"

#include "state/wrapped_key.h"

/* How far a pass over the data keys has come; all zero at the beginning. */
typedef struct SaasRewrap
{
	pg_uuid_t	org_id;			/* the last key looked at */
	int			version;
	int			master_version; /* the newest */
	int64		done;			/* in all passes */
	int64		failed;			/* in this pass: their master key is missing */
	SaasWrappedKey failure;		/* the first of those */
	int64		left;			/* after the pass: others had them locked */
} SaasRewrap;

/*
 * Wraps the next keys that another master key than the newest wraps, limit at
 * most, skipping locked ones, and returns how many it looked at; 0 ends the
 * pass and counts what is left.  One transaction.
 */
extern int	SaasRewrapBatch(SaasRewrap *rewrap, int limit);

/* Before the next pass. */
extern void SaasRewrapAgain(SaasRewrap *rewrap);

/* Raises 55000 with both fingerprints when keys failed. */
extern void SaasRewrapReport(const SaasRewrap *rewrap);

/* Notes what was done in the platform's audit, if anything was. */
extern void SaasRewrapAudit(const SaasRewrap *rewrap);

#endif							/* SAAS_REWRAP_H */
