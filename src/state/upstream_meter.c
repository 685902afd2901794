/*
 * upstream_meter.c
 *	  Keeping to what an upstream allows, in all pollers of the server together.
 *
 * One LWLock guards the table; it is held for some hundred instructions, and no
 * other is taken under it.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "pure/token_bucket.h"
#include "state/upstream_meter.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define TRANCHE_NAME	"pg_saas_meters"

static SaasTokenBuckets *meters = NULL;
static LWLock *meters_lock = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_meters(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(SaasTokenBuckets));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
start_meters(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	meters = ShmemInitStruct("pg_saas meters", sizeof(SaasTokenBuckets), &found);
	memset(meters, 0, sizeof(SaasTokenBuckets));
	if (!pg_strong_random(meters->secret, sizeof(meters->secret)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not get random bytes")));
	meters_lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
SaasMeterInit(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_meters;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_meters;
}

/* Of the machine, so the same in every process, and never set back. */
static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64
SaasMeterTake(const char *key, int per_second)
{
	int64		wait_ms;

	LWLockAcquire(meters_lock, LW_EXCLUSIVE);
	wait_ms = SaasTokenBucketTake(meters, key, per_second, per_second, now_ms());
	LWLockRelease(meters_lock);
	return wait_ms;
}

void
SaasMeterPause(const char *key, int per_second, int64 pause_ms)
{
	int64		now;

	LWLockAcquire(meters_lock, LW_EXCLUSIVE);
	now = now_ms();
	SaasTokenBucketPause(meters, key, per_second, per_second, now, now + pause_ms);
	LWLockRelease(meters_lock);
}
