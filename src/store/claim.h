/*
 * claim.h
 *	  Taking connections to poll: a short transaction that marks them with a
 *	  lease and opens their secrets.  Call inside a transaction; runs as
 *	  saas_poller.
 */
#ifndef SAAS_CLAIM_H
#define SAAS_CLAIM_H

#include "postgres.h"

#include "store/job.h"

typedef enum SaasStoreReadiness
{
	SAAS_STORE_NO_EXTENSION,
	SAAS_STORE_NOT_INSTALLED,
	SAAS_STORE_COPY,			/* restored or cloned, and not adopted */
	SAAS_STORE_READY
} SaasStoreReadiness;

typedef struct SaasBacklog
{
	int			due;			/* connections due now and not taken, counted to 1000 */
	int64		lag_ms;			/* how late the oldest of them is */
	int64		next_ms;		/* until the next one is due; -1: none */
} SaasBacklog;

/* Whether there is anything to poll for in this database. */
extern SaasStoreReadiness SaasClaimReadiness(void);

/*
 * Claims at most limit connections that are due, oldest first; each is a job
 * in a child of context.  Nobody else takes them before the lease ends.
 */
extern SaasJob *SaasClaimDue(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms,
							 int limit);

/*
 * Claims given connections of one organization, due or not, active or not.
 * Those that are gone or taken are not among the result.
 */
extern SaasJob *SaasClaimGiven(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms,
							   const pg_uuid_t *org_id, const pg_uuid_t *connection_ids, int count);

/* A connection's last good poll. */
typedef struct SaasStoredPoll
{
	pg_uuid_t	connection_id;
	int			samples;
} SaasStoredPoll;

/* Those of the connections that were polled well within the last max_age_s. */
extern SaasStoredPoll *SaasClaimFresh(const pg_uuid_t *org_id, const pg_uuid_t *connection_ids,
									  int count, int max_age_s, int *found);

extern void SaasClaimBacklog(SaasBacklog *backlog);

#endif							/* SAAS_CLAIM_H */
