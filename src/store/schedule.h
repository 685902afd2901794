/*
 * schedule.h
 *	  When a connection is polled next.
 */
#ifndef SAAS_SCHEDULE_H
#define SAAS_SCHEDULE_H

#include "postgres.h"

#include "store/job.h"

/*
 * After a good poll: one interval after it was due, so that the rhythm stays;
 * when that has passed, one interval from now and a little more at random, so
 * that what piled up spreads out.  After a failure: full jitter, base 1 s,
 * doubling, at most 15 min, never sooner than Retry-After; what will not heal
 * by itself waits a whole interval at least.  After a refused credential:
 * infinity, until the owner gives a new one.
 */
extern TimestampTz SaasScheduleNext(const SaasJob *job, TimestampTz now);

#endif							/* SAAS_SCHEDULE_H */
