/*
 * upstream_meter.h
 *	  Keeping to what an upstream allows, in all pollers of the server together.
 *
 * A bucket of tokens by key, as pure/token_bucket.h has them, in shared memory:
 * an upstream counts the requests for one of its accounts whoever makes them.
 * The table is bounded; what is nearest to full is forgotten first.  A restart
 * of the server forgets all, pauses included.
 */
#ifndef SAAS_UPSTREAM_METER_H
#define SAAS_UPSTREAM_METER_H

#include "postgres.h"

/* Shared memory; call while preloading. */
extern void SaasMeterInit(void);

/*
 * Takes one of the key's requests: 0.  When there is none now, takes nothing
 * and returns in how many milliseconds there may be one.
 */
extern int64 SaasMeterTake(const char *key, int per_second);

/* The upstream throttles: none is there for that long. */
extern void SaasMeterPause(const char *key, int per_second, int64 pause_ms);

#endif							/* SAAS_UPSTREAM_METER_H */
