/*
 * reseal.h
 *	  Sealing values again under their organization's current key.
 *
 * Each call is one transaction of the caller's, for one organization.  An
 * application's column is read and updated as its table's owner, in a
 * security-restricted operation, under the table's policies with an identity
 * of the organization: its triggers run and reach no other.  Plaintext is in
 * this process' memory only, for as long as one value takes.
 */
#ifndef SAAS_RESEAL_H
#define SAAS_RESEAL_H

#include "postgres.h"

#include "state/sealed_columns.h"
#include "storage/itemptr.h"

/* The values of an organization in a column, under versions below that. */
typedef struct SaasReseal
{
	const SaasSealedColumn *column;
	pg_uuid_t	org_id;
	int			version;		/* the current one */
} SaasReseal;

typedef struct SaasResealCounts
{
	int64		done;
	int64		locked;			/* others had them, or the table, locked */
	int64		failed;			/* do not open or cannot be updated */
	char		problem[256];	/* of one that failed, "" */
} SaasResealCounts;

/* Where rows with old values are, limit at most, palloc'd; a table that cannot be read counts as one. */
extern ItemPointerData *SaasResealFind(const SaasReseal *reseal, int limit, int *count,
									   SaasResealCounts *counts);

/* Re-seals the values in these rows and adds to the counts. */
extern void SaasResealBatch(const SaasReseal *reseal, const ItemPointerData *rows, int count,
							SaasResealCounts *counts);

#endif							/* SAAS_RESEAL_H */
