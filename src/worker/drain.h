/*
 * drain.h
 *	  Writing down what sessions noted in shared memory.
 */
#ifndef SAAS_DRAIN_H
#define SAAS_DRAIN_H

#include "postgres.h"

#include "worker/engine.h"

/* At latest so long after it was noted. */
#define SAAS_DRAIN_INTERVAL_MS	3000

/*
 * Writes this database's notes, ended sessions and used refresh tokens in short
 * transactions of its own, and prunes what is too old every hour.  The tables must be there; on a
 * copy it works too, because it writes to this database only.  A note that
 * cannot be written is dropped with a line in the log; an ended session or a
 * used refresh token is tried again the next time.  What is noted while it works may wait for the next
 * time.
 */
extern void SaasDrain(const SaasEngineHost *host);

/* Whether there is something to write. */
extern bool SaasDrainIsDue(void);

#endif							/* SAAS_DRAIN_H */
