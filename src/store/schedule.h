/*
 * schedule.h
 *	  When a connection is polled next.
 */
#ifndef SAAS_SCHEDULE_H
#define SAAS_SCHEDULE_H

#include "postgres.h"

#include "store/job.h"

/* So many failures in a row open a connection's circuit; saas_api.connections knows it too. */
#define SAAS_CIRCUIT_FAILURES	5

/*
 * After a good poll: the connection's own time within the next interval, which
 * follows from its id, so that connections made together spread out and each
 * keeps its rhythm; at least half an interval after it was due and a quarter
 * from now.  After a failure: full jitter, base 1 s, doubling, at most 15 min;
 * from the fifth in a row on the circuit is open for 1 min, doubling, at most
 * 15 min, then one poll is tried.  Never sooner than Retry-After, of which a
 * day at most is believed; what will not heal by itself waits a whole interval
 * at least.  After a refused credential: infinity, until the owner gives a new
 * one.
 */
extern TimestampTz SaasScheduleNext(const SaasJob *job, TimestampTz now);

#endif							/* SAAS_SCHEDULE_H */
