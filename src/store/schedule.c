/*
 * schedule.c
 *	  When a connection is polled next.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "pure/crypto.h"
#include "store/schedule.h"
#include "utils/timestamp.h"

#define BACKOFF_BASE_MS		INT64CONST(1000)
#define BACKOFF_CAP_MS		INT64CONST(900000)
#define CIRCUIT_OPEN_MS		INT64CONST(60000)

/* Whoever says more than a day is not believed. */
#define RETRY_AFTER_CAP_MS	INT64CONST(86400000)
#define RETRY_AFTER_JITTER_MS	INT64CONST(30000)

/* Uniform in [0, bound); a failing CSPRNG only costs the jitter. */
static int64
random_below(int64 bound)
{
	uint64		bits = 0;

	if (bound <= 1)
		return 0;
	(void) SaasRandomBytes(&bits, sizeof(bits));
	return (int64) (bits % (uint64) bound);
}

/*
 * Full jitter: after a common outage no two come back together.  After many
 * failures in a row the circuit is open: nothing is asked for a while that
 * doubles too, and then one poll tries whether it can be closed.
 */
static int64
backoff_ms(const SaasJob *job)
{
	int			doublings = Min(job->failures, 20);
	int64		ceiling = Min(BACKOFF_CAP_MS, BACKOFF_BASE_MS << doublings);
	int64		wait = random_below(ceiling + 1);
	int			over = job->failures + 1 - SAAS_CIRCUIT_FAILURES;

	if (over >= 0)
	{
		int64		open = Min(BACKOFF_CAP_MS, CIRCUIT_OPEN_MS << Min(over, 20));

		wait = open - open / 4 + random_below(open / 4 + 1);
	}
	if (job->poll.verdict == SAAS_VERDICT_ERROR)
		wait = Max(wait, Min(job->interval_ms, BACKOFF_CAP_MS));
	return wait;
}

/* What the upstream asked for, and a little more: it has told the others the same. */
static int64
asked_ms(const SaasJob *job)
{
	int64		asked = Min((int64) job->poll.retry_after_s * 1000, RETRY_AFTER_CAP_MS);

	return asked + random_below(Min(asked / 10, RETRY_AFTER_JITTER_MS) + 1);
}

/* The first time from then on that is the connection's own within each interval. */
static TimestampTz
own_time(const SaasJob *job, TimestampTz from)
{
	int64		interval = Max(job->interval_ms, 1) * 1000;
	uint64		hash = hash_bytes_extended(job->connection_id.data, UUID_LEN, 0);
	int64		phase = (int64) (hash % (uint64) interval);
	int64		passed = (from - phase) % interval;

	if (passed < 0)
		passed += interval;
	return from + (passed == 0 ? 0 : interval - passed);
}

TimestampTz
SaasScheduleNext(const SaasJob *job, TimestampTz now)
{
	int64		interval = job->interval_ms * 1000;

	switch (job->poll.verdict)
	{
		case SAAS_VERDICT_REAUTH:
			return DT_NOEND;
		case SAAS_VERDICT_RETRY:
		case SAAS_VERDICT_ERROR:
			return TimestampTzPlusMilliseconds(now, Max(backoff_ms(job), asked_ms(job)));
		case SAAS_VERDICT_OK:
			break;
	}
	/* It had been given up, and an owner's own poll went well. */
	if (TIMESTAMP_NOT_FINITE(job->due_at))
		return own_time(job, now + interval / 2);
	/* Polled early on demand: the rhythm stays. */
	if (job->due_at > now)
		return job->due_at;
	return own_time(job, Max(job->due_at + interval / 2, now + interval / 4));
}
