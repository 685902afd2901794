/*
 * sealer.c
 *	  Sealing the audit behind its writers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/guarded.h"
#include "store/audit_chain.h"
#include "utils/timestamp.h"
#include "worker/sealer.h"

#define BATCH				1000
#define LOCK_WAIT_MS		50
#define RETRY_MS			60000

typedef struct Step
{
	int			(*run) (int limit, int wait_ms);
	int			wait_ms;
	int			count;
} Step;

static TimestampTz retry_at = 0;

static void
run_step(void *arg)
{
	Step	   *step = arg;

	step->count = step->run(BATCH, step->wait_ms);
}

static void
look(void *arg)
{
	*(bool *) arg = SaasAuditSealIsDue();
}

/* Batch by batch, each committed, while they are as large as that. */
static void
repeat(const SaasEngineHost *host, Step step, int full)
{
	do
	{
		CHECK_FOR_INTERRUPTS();
		host->begin();
		run_step(&step);
		host->commit();
	} while (step.count >= full);
}

void
SaasSealAll(const SaasEngineHost *host, int wait_ms)
{
	bool		due;

	host->begin();
	due = SaasAuditSealIsDue();
	host->commit();
	if (due)
		repeat(host, (Step) {SaasAuditSeal, wait_ms, 0}, BATCH);
	/* One chain at a time. */
	repeat(host, (Step) {SaasAuditBury, wait_ms, 0}, 1);
}

/* False when it failed. */
static bool
repeat_guarded(const SaasEngineHost *host, Step step, int full)
{
	SaasProblem problem = {0};
	bool		ok;

	do
	{
		CHECK_FOR_INTERRUPTS();
		host->begin();
		ok = SaasGuardedRun(run_step, &step, &problem);
		host->commit();
	} while (ok && step.count >= full);
	/* Who seals in a session at the moment does our work. */
	if (!ok && strcmp(problem.sqlstate, "55P03") == 0)
		return true;
	if (!ok)
		ereport(LOG,
				(errmsg("could not seal the audit: %s", problem.message)));
	return ok;
}

static bool
is_due(const SaasEngineHost *host)
{
	SaasProblem problem = {0};
	bool		due = false;

	host->begin();
	if (!SaasGuardedRun(look, &due, &problem))
		due = false;
	host->commit();
	return due;
}

void
SaasSealSometimes(const SaasEngineHost *host)
{
	if (GetCurrentTimestamp() < retry_at || !is_due(host))
		return;
	if (!repeat_guarded(host, (Step) {SaasAuditSeal, LOCK_WAIT_MS, 0}, BATCH) ||
		!repeat_guarded(host, (Step) {SaasAuditBury, LOCK_WAIT_MS, 0}, 1))
		retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
}
