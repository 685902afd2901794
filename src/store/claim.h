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
	SAAS_STORE_OTHER_VERSION,	/* the extension is not of this library */
	SAAS_STORE_NOT_MIGRATED,	/* the tables are older than this library */
	SAAS_STORE_READY
} SaasStoreReadiness;

typedef struct SaasBacklog
{
	int			due;			/* connections due now and not taken, counted to 100,000 */
	int64		lag_ms;			/* how late the oldest of them is */
} SaasBacklog;

/* What a claim takes care of. */
typedef struct SaasClaimTerms
{
	int			worker;			/* the poller's number among workers; 0 of 1 takes everything */
	int			workers;
	int			max_per_org;	/* polls of one organization under way */
	const pg_uuid_t *full;		/* organizations to pass over */
	int			full_count;
	const pg_uuid_t *busy;		/* the others with polls under way, and how many */
	const int  *busy_polls;
	int			busy_count;
	pg_uuid_t	last_org;		/* had the last turn; zeros: nobody yet */
	int			last_polls;		/* that it got in that turn */
	int			reserved;		/* of the limit: for organizations with little under way */
	bool		was_long;		/* the last claim left much: the oldest are hardly all; set by a claim */
} SaasClaimTerms;

/* Whether there is anything to poll for in this database. */
extern SaasStoreReadiness SaasClaimReadiness(void);

/*
 * Takes note of organizations that were closed and opened: what is due of the
 * closed ones is not looked at again.  Returns how many connections it concerned:
 * with SAAS_CLAIM_SETTLED or more there may be others.
 */
#define SAAS_CLAIM_SETTLED	2000
extern int	SaasClaimSettle(void);

/*
 * Claims at most limit connections that are due, organizations taking turns by
 * weight from the one that had the last turn on, of each its oldest first, and
 * none beyond max_per_org; each is a job in a child of context, in the order of
 * the turns.  Nobody else takes them before the lease ends.  is_all: nothing
 * else comes before a poll has ended or another one is due; else ask again.
 */
extern SaasJob *SaasClaimDue(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms,
							 int limit, SaasClaimTerms *terms, bool *is_all);

/*
 * Claims given connections of one organization, due or not, active or not.
 * Those that are gone or taken are not among the result.
 */
extern SaasJob *SaasClaimGiven(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms,
							   const pg_uuid_t *org_id, const pg_uuid_t *connection_ids, int count);

/* A connection's last poll. */
typedef struct SaasStoredPoll
{
	pg_uuid_t	connection_id;
	int			samples;
	/* of SaasClaimElsewhere only */
	bool		is_done;		/* it ended at that time or later */
	char	   *error;			/* UTF-8; NULL: it went well */
	int			duration_ms;
} SaasStoredPoll;

/* Those of the connections that were polled well within the last max_age_s. */
extern SaasStoredPoll *SaasClaimFresh(const pg_uuid_t *org_id, const pg_uuid_t *connection_ids,
									  int count, int max_age_s, int *found);

/*
 * Those of the connections of an active organization that are there, with
 * their last poll, whoever did it.
 */
extern SaasStoredPoll *SaasClaimElsewhere(const pg_uuid_t *org_id, const pg_uuid_t *connection_ids,
										  int count, TimestampTz since, int *found);

/*
 * Milliseconds until the next connection is there to be claimed, also by these
 * terms' worker only; 0: one is, -1: none is known.  Only worker and workers
 * count.
 */
extern int64 SaasClaimNextMs(const SaasClaimTerms *terms);

/* What is due now, of all workers' shares. */
extern void SaasClaimBacklog(SaasBacklog *backlog);

#endif							/* SAAS_CLAIM_H */
