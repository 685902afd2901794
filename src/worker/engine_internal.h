/*
 * engine_internal.h
 *	  What engine.c and engine_request.c share.
 */
#ifndef SAAS_ENGINE_INTERNAL_H
#define SAAS_ENGINE_INTERNAL_H

#include "postgres.h"

#include "net/postgres_loop.h"
#include "net/transfer.h"
#include "store/job.h"
#include "worker/engine.h"

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
	int			postponed_count;
	int			storing_count;	/* keep their place among the transfers */
	TimestampTz first_finished_at;
	TimestampTz next_due_at;	/* of what was stored since it was last taken */
	SaasJob    *all;
	SaasJob    *waiting;
	SaasJob    *storing;
	SaasJob    *finished;
	SaasJob    *postponed;		/* to be stored when a lock is gone */
	TimestampTz retry_at;		/* of the postponed */
	int			watched_fd;		/* given to SaasEngineWatch; -1: none */
};

/* Claims given connections; inside a transaction.  SaasEngineAdopt starts them. */
extern SaasJob *SaasEngineClaimGiven(SaasEngine *engine, const pg_uuid_t *org_id,
									 const pg_uuid_t *connection_ids, int count, bool is_test);

/* Takes jobs on; outside a transaction. */
extern void SaasEngineAdopt(SaasEngine *engine, SaasJob *jobs);

/* Tells everyone who waits for the job how it went. */
extern void SaasEngineAnswer(SaasJob *job);

#endif							/* SAAS_ENGINE_INTERNAL_H */
