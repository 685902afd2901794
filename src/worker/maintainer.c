/*
 * maintainer.c
 *	  Rollups and retention, in pieces.
 *
 * The worker polls meanwhile: it takes a few pieces at a time.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/guarded.h"
#include "state/settings.h"
#include "store/maintain.h"
#include "utils/timestamp.h"
#include "worker/maintainer.h"

#define PAUSE_MS			60000
#define TURN_MS				200
#define LOCK_WAIT_MS		50
#define SESSION_WAIT_MS		30000
#define SESSION_LOCK_MS		2000

typedef struct Run
{
	bool		is_open;		/* closed_until is known */
	TimestampTz closed_until;
	int64		steps;
	int			done;			/* of the last step */
	TimestampTz next_at;
} Run;

static Run	run = {0};

static void
close_time(void *arg)
{
	Run		   *own = arg;

	own->is_open = SaasMaintainClose(LOCK_WAIT_MS, &own->closed_until);
	if (own->is_open)
		SaasMaintainBegun();
}

static void
run_step(void *arg)
{
	Run		   *own = arg;

	own->done = SaasMaintainStep(own->closed_until, true, LOCK_WAIT_MS);
	own->steps += own->done > 0;
	if (own->done == 0)
		SaasMaintainEnded(own->steps);
}

static bool
run_guarded(const SaasEngineHost *host, void (*function) (void *))
{
	SaasProblem problem = {0};
	bool		ok;

	host->begin();
	ok = SaasGuardedRun(function, &run, &problem);
	host->commit();
	/* Somebody's lock: the same again in a minute. */
	if (!ok && strcmp(problem.sqlstate, "55P03") != 0)
		ereport(LOG,
				(errmsg("could not maintain the metrics: %s", problem.message)));
	return ok;
}

static void
pause_run(TimestampTz now)
{
	run = (Run) {0};
	run.next_at = TimestampTzPlusMilliseconds(now, PAUSE_MS);
}

void
SaasMaintainSometimes(const SaasEngineHost *host)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!saas_maintenance_enabled || now < run.next_at)
		return;
	if (!run.is_open && !run_guarded(host, close_time))
		pause_run(now);
	while (run.is_open)
	{
		CHECK_FOR_INTERRUPTS();
		if (!run_guarded(host, run_step) || run.done == 0)
			pause_run(GetCurrentTimestamp());
		else if (TimestampDifferenceExceeds(now, GetCurrentTimestamp(), TURN_MS))
			return;
	}
}

void
SaasMaintainAll(const SaasEngineHost *host)
{
	TimestampTz closed_until;
	int64		steps = 0;
	int			done;
	bool		is_closed;

	host->begin();
	is_closed = SaasMaintainClose(SESSION_WAIT_MS, &closed_until);
	if (is_closed)
		SaasMaintainBegun();
	host->commit();
	if (!is_closed)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a transaction that has written readings does not end"),
				 errhint("Look for it in pg_locks: it holds RowExclusiveLock on saas.reading.")));
	do
	{
		CHECK_FOR_INTERRUPTS();
		host->begin();
		done = SaasMaintainStep(closed_until, false, SESSION_LOCK_MS);
		steps += done > 0;
		if (done == 0)
			SaasMaintainEnded(steps);
		host->commit();
	} while (done > 0);
}
