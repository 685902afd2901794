/*
 * ingest.h
 *	  Writing down what polls brought: readings, connection status, next due
 *	  time, rotated tokens.  Call inside a transaction; runs as saas_poller.
 */
#ifndef SAAS_INGEST_H
#define SAAS_INGEST_H

#include "postgres.h"

#include "store/job.h"

/*
 * Stores finished jobs, no two of them of one connection.  Idempotent by
 * connection and time.  Sets is_lost and stores nothing of a job when its lease
 * is no longer ours or the connection is gone.  Sets is_closed and stores
 * tokens only, and the connection stays as due as it was, when the organization
 * is not active any more.
 * Throws when a row is locked for longer than 50 ms (55P03) or anything else
 * fails; the caller wraps it in a subtransaction.
 */
extern void SaasIngestJobs(SaasJob *jobs, const pg_uuid_t *lease_id);

/*
 * Adds stored polls to the history: in the transaction that stored them, after
 * all of them, so that each counts once.  Throws as above.
 */
extern void SaasIngestHistory(SaasJob *jobs);

/*
 * Locks the status of a job's connection until the transaction ends, without
 * waiting: throws 55P03 when somebody else has it.  Sets is_lost as above.
 */
extern void SaasIngestHoldStatus(SaasJob *job, const pg_uuid_t *lease_id);

/*
 * Stores a job's new tokens in place of those of the same name, before they
 * are used.  Sets is_lost and is_closed and throws as above.
 */
extern void SaasIngestSecrets(SaasJob *job, const pg_uuid_t *lease_id);

#endif							/* SAAS_INGEST_H */
