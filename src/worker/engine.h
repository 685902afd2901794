/*
 * engine.h
 *	  The poller's four steps, shared by the background worker and by
 *	  call saas.poll(): claim, transfer, read, ingest.
 *
 * Jobs are claimed and ingested in short transactions; between them, while
 * requests are on their way, no transaction, snapshot or lock is held.  Each
 * call that touches tables runs inside a transaction that the caller begins
 * and commits through SaasEngineHost.
 */
#ifndef SAAS_ENGINE_H
#define SAAS_ENGINE_H

#include "postgres.h"

#include "state/shared.h"
#include "store/claim.h"

typedef struct SaasEngine SaasEngine;

/* How the process that runs the engine begins and commits a transaction. */
typedef struct SaasEngineHost
{
	void		(*begin) (void);
	void		(*commit) (void);
} SaasEngineHost;

/* An engine in a child of context; deleting the context ends everything. */
extern SaasEngine *SaasEngineCreate(MemoryContext context, const SaasEngineHost *host);

/*
 * SaasEngineStep returns when that descriptor is readable too; its owner serves
 * it.  Called before the first step.
 */
extern void SaasEngineWatch(SaasEngine *engine, int fd);

/* The engine claims the share of that worker among workers; without a call, everything. */
extern void SaasEngineShare(SaasEngine *engine, int worker, int workers);

/* Ends everything under way and frees it. */
extern void SaasEngineDestroy(SaasEngine *engine);

/* Polls under way or waiting to be stored. */
extern int	SaasEngineCount(const SaasEngine *engine);

/* Of them, those that have not begun yet. */
extern int	SaasEngineWaiting(const SaasEngine *engine);

/* Whether it could claim more if it had less under way, in all or of one organization. */
extern bool SaasEngineIsFull(SaasEngine *engine);

/*
 * When the first of the connections stored since the last call is due again;
 * DT_NOEND when none is.
 */
extern TimestampTz SaasEngineTakeNextDue(SaasEngine *engine);

/*
 * Claims due connections, of each organization in turn, at most limit and what
 * saas.poller_max_in_flight and saas.poller_max_per_org leave; returns how
 * many.  is_all: nothing else may be claimed before a poll has ended or another
 * connection is due.
 */
extern int	SaasEngineClaimDue(SaasEngine *engine, int limit, bool *is_all);

/*
 * Takes on a session's request, whose segment the engine now owns: each of its
 * connections is answered from the store, joined to a poll under way, or
 * polled.
 */
extern void SaasEngineTakeRequest(SaasEngine *engine, dsm_segment *segment);

/* Refuses every connection of a request with one reason. */
extern void SaasEngineRefuseRequest(dsm_segment *segment, const char *reason);

/*
 * Waits at most timeout_ms for the network or the latch, moves every job on as
 * far as it goes, and stores what is finished.  Returns true when the latch
 * was set.
 */
extern bool SaasEngineStep(SaasEngine *engine, long timeout_ms);

#endif							/* SAAS_ENGINE_H */
