/*
 * maintain.h
 *	  Rolling up readings behind their writers, and retention.
 *
 * Where a connection's rollups end moves forward as time closes.  A reading
 * that is stored for a time that may be closed is noted by its writer, after
 * it has the lock on saas.reading; closing a time waits for whoever holds that
 * lock.  So a reading is either seen by the rollup of its time or noted, and
 * what is noted is rolled up anew.
 *
 * Who deletes readings holds that lock too, and may be a tenant whose session
 * does not end.  So they say before that they only delete, by a lock of their
 * own that no SQL reaches, and are not waited for: what is rolled up meanwhile
 * of readings that are going goes with their connection.  Who does not say it
 * is waited for.
 */
#ifndef SAAS_MAINTAIN_H
#define SAAS_MAINTAIN_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* The shortest bucket. */
#define SAAS_ROLLUP_USECS	(INT64CONST(300) * USECS_PER_SEC)

/* A stretch of time in which something was stored late; begin with {0}. */
typedef struct SaasLateness
{
	bool		is_set;
	TimestampTz from;
	TimestampTz until;
} SaasLateness;

/*
 * To be called after a reading was written, in its transaction and in the order
 * of their times: remembers it when its time may be closed.  Call both with SPI
 * connected as saas_poller.
 */
extern void SaasMaintainWrote(SaasLateness *lateness, const pg_uuid_t *org_id,
							  const pg_uuid_t *connection_id, TimestampTz at);

/* Notes what was remembered, if anything was. */
extern void SaasMaintainNote(const SaasLateness *lateness, const pg_uuid_t *org_id,
							 const pg_uuid_t *connection_id);

/* The transaction writes no reading from here on but deletes some, with their connection. */
extern void SaasMaintainDeletes(void);

/*
 * Up to when every reading is visible to the next snapshot or will be noted.
 * Waits for the transactions that are writing readings, wait_ms at most: false
 * when one was still at it.  Not for those that only delete.
 */
extern bool SaasMaintainClose(int wait_ms, TimestampTz *closed_until);

/*
 * One bounded piece of work in the caller's transaction, a small one for who
 * has others to serve; 0 when nothing is left.  wait_ms is how long it may wait
 * for a lock.
 */
extern int	SaasMaintainStep(TimestampTz closed_until, bool is_small, int wait_ms);

/* Writes down that a run began, or that it has ended. */
extern void SaasMaintainBegun(void);
extern void SaasMaintainEnded(int64 steps);

#endif							/* SAAS_MAINTAIN_H */
