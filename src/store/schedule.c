/*
 * schedule.c
 *	  When a connection is polled next.
 */
#include "postgres.h"

#include "pure/crypto.h"
#include "store/schedule.h"
#include "utils/timestamp.h"

#define BACKOFF_BASE_MS		INT64CONST(1000)
#define BACKOFF_CAP_MS		INT64CONST(900000)

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

static int64
backoff_ms(const SaasJob *job)
{
	int			doublings = Min(job->failures, 20);
	int64		ceiling = Min(BACKOFF_CAP_MS, BACKOFF_BASE_MS << doublings);
	int64		wait = random_below(ceiling + 1);

	if (job->poll.verdict == SAAS_VERDICT_ERROR)
		wait = Max(wait, Min(job->interval_ms, BACKOFF_CAP_MS));
	return Max(wait, (int64) job->poll.retry_after_s * 1000);
}

TimestampTz
SaasScheduleNext(const SaasJob *job, TimestampTz now)
{
	TimestampTz next;

	switch (job->poll.verdict)
	{
		case SAAS_VERDICT_REAUTH:
			return DT_NOEND;
		case SAAS_VERDICT_RETRY:
		case SAAS_VERDICT_ERROR:
			return TimestampTzPlusMilliseconds(now, backoff_ms(job));
		case SAAS_VERDICT_OK:
			break;
	}
	/* It had been given up, and an owner's own poll went well. */
	if (TIMESTAMP_NOT_FINITE(job->due_at))
		return TimestampTzPlusMilliseconds(now, job->interval_ms);
	next = TimestampTzPlusMilliseconds(job->due_at, job->interval_ms);
	/* Polled early on demand: the rhythm stays. */
	if (job->due_at > now)
		return job->due_at;
	if (next <= now)
		next = TimestampTzPlusMilliseconds(now, job->interval_ms + random_below(job->interval_ms / 20 + 1));
	return next;
}
