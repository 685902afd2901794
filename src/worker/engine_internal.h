/*
 * engine_internal.h
 *	  What engine.c and the engine_*.c share.
 */
#ifndef SAAS_ENGINE_INTERNAL_H
#define SAAS_ENGINE_INTERNAL_H

#include "postgres.h"

#include "lib/ilist.h"
#include "net/postgres_loop.h"
#include "net/transfer.h"
#include "store/job.h"
#include "utils/hsearch.h"
#include "worker/engine.h"

/* An organization with jobs in the engine. */
typedef struct SaasEngineOrg
{
	pg_uuid_t	org_id;			/* hash key */
	int			count;			/* its jobs */
	int			started;		/* of them under way: requests, or tokens to store */
	int			weight;			/* jobs that it may start in a turn */
	int			in_turn;		/* started in this one */
	SaasJob    *first;			/* of them waiting, in order */
	SaasJob    *last;
	bool		has_turn;		/* is among the turns */
	dlist_node	turn;
} SaasEngineOrg;

struct SaasEngine
{
	MemoryContext context;
	MemoryContext job_context;
	MemoryContext loop_context;
	SaasEngineHost host;
	SaasTransferOptions options;	/* those that loop was made with */
	SaasTransferLoop *loop;
	SaasPostgresLoop *databases;	/* lives and dies with it, and is its companion */
	pg_uuid_t	lease_id;
	int			count;			/* jobs in all */
	int			finished_count;
	size_t		finished_bytes; /* of their arenas */
	int			postponed_count;
	int			storing_count;	/* keep their place among the transfers */
	int			flush_batch;	/* jobs that a flush stores in FLUSH_MS, as the last ones took */
	TimestampTz flush_at;		/* the finished are stored then, if not before */
	TimestampTz next_due_at;	/* of what was stored since it was last taken */
	dlist_head	all;			/* jobs */
	HTAB	   *orgs;			/* of SaasEngineOrg */
	dlist_head	turns;			/* organizations that may start one of their waiting jobs */
	int			waiting_count;
	pg_uuid_t	last_org;		/* had the last turn in a claim */
	int			last_polls;		/* and these many polls in it */
	bool		was_long;		/* the last claim left much */
	SaasJob    *storing;
	SaasJob    *finished;
	SaasJob    *postponed;		/* to be stored when a lock is gone */
	TimestampTz retry_at;		/* of the postponed */
	int			watched_fd;		/* given to SaasEngineWatch; -1: none */
	struct PendingRequest *elsewhere;	/* wait for polls of other processes */
	TimestampTz look_elsewhere_at;
	SaasJob    *lanes;			/* have lanes that wait for their time or for a place */
	int			worker;			/* given to SaasEngineShare: number among workers */
	int			workers;
};

/*
 * engine_queue.c: jobs that wait for a transfer, by organization.
 *
 * A job is added, taken when it may start, ended when it is under way no
 * more, and removed when the engine has done with it.
 */
extern void SaasEngineQueueInit(SaasEngine *engine);
extern void SaasEngineQueueAdd(SaasEngine *engine, SaasJob *job, bool is_urgent);
extern SaasJob *SaasEngineQueueTake(SaasEngine *engine);
extern void SaasEngineQueueEnd(SaasEngine *engine, SaasJob *job);
extern void SaasEngineQueueRemove(SaasEngine *engine, SaasJob *job);

/*
 * What the next claim has to take care of; *room is how many jobs there is room
 * for.
 */
extern void SaasEngineQueueTerms(SaasEngine *engine, SaasClaimTerms *terms, int *room);
extern void SaasEngineQueueFreeTerms(SaasClaimTerms *terms);

/*
 * A job that has begun takes a further place of its organization's share, which
 * End gives back; none more than it has to have is lent while others wait for
 * their turn.  Hold takes one whatever the share is.
 */
extern bool SaasEngineQueueLend(SaasEngine *engine, SaasJob *job, bool is_more);
extern void SaasEngineQueueHold(SaasEngine *engine, SaasJob *job);

/* engine.c: moves a job on that has its place in the organization's share. */
extern void SaasEngineFollow(SaasEngine *engine, SaasJob *job, SaasStep step);

/* engine.c: milliseconds until the job's lease is in danger. */
extern int64 SaasEngineTimeLeft(const SaasJob *job);

/* Whom a request's share of what is scarce belongs to: the second half of an organization's id is random. */
static inline uint64
SaasEngineOwner(const SaasJob *job)
{
	uint64		owner;

	memcpy(&owner, job->org_id.data + UUID_LEN / 2, sizeof(owner));
	return owner;
}

/* engine.c: whether one more transfer may be started, by saas.poller_max_in_flight. */
extern bool SaasEngineHasRoom(SaasEngine *engine);

/*
 * engine_lanes.c: several requests of one poll at once.
 *
 * Begins those of a job that has its place, takes what came, looks again after
 * lanes that wait, and says until when at most to sleep (-1: for ever).
 */
extern void SaasEngineLanesStart(SaasEngine *engine, SaasJob *job);
extern void SaasEngineLanesTake(SaasEngine *engine, SaasFlight *flight, const SaasTransferResult *result);
extern void SaasEngineLanesStep(SaasEngine *engine);
extern long SaasEngineLanesTimeout(const SaasEngine *engine, long timeout_ms);

/* Remembers from the jobs of a claim whose turn is next. */
extern void SaasEngineQueueNoteTurns(SaasEngine *engine, const SaasJob *jobs);

/* Claims given connections; inside a transaction.  SaasEngineAdopt starts them. */
extern SaasJob *SaasEngineClaimGiven(SaasEngine *engine, const pg_uuid_t *org_id,
									 const pg_uuid_t *connection_ids, int count, bool is_test);

/* Takes on jobs that somebody waits for; outside a transaction. */
extern void SaasEngineAdopt(SaasEngine *engine, SaasJob *jobs);

/* Looks again after requests whose connections another process polls. */
extern void SaasEngineLookElsewhere(SaasEngine *engine);

/* engine_stages.c: notes how the transfer went, and lets the connector read the answer. */
extern void SaasEngineNoteTransfer(SaasJob *job, const SaasTransferResult *result);
extern SaasStep SaasEngineRead(SaasJob *job, const SaasResponse *response);
extern SaasStep SaasEngineReadRows(SaasJob *job, const SaasDatabaseAnswer *answer);

/* engine_stages.c: the same for a lane, and what all lanes come to once they are joined. */
extern void SaasEngineNoteLane(SaasFlight *flight, const SaasTransferResult *result);
extern SaasStep SaasEngineReadLane(SaasFlight *flight, const SaasResponse *response);
extern void SaasEngineNoteJoin(SaasJob *job, SaasStep step);

/* engine_stages.c: tells the operator which address the guard refused; NULL: none. */
extern void SaasEngineNoteRefusal(const SaasJob *job, const char *refused);

/* Tells everyone who waits for the job how it went. */
extern void SaasEngineAnswer(SaasJob *job);

#endif							/* SAAS_ENGINE_INTERNAL_H */
