/*
 * engine_request.c
 *	  Polls that a session asked for: who waits for what, and the answers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "state/settings.h"
#include "utils/memutils.h"
#include "worker/engine.h"
#include "worker/engine_internal.h"

/* A session's request while some of its connections are open. */
typedef struct PendingRequest
{
	dsm_segment *segment;
	int			remaining;
} PendingRequest;

struct SaasWaiter
{
	PendingRequest *pending;
	int			number;			/* of the outcome */
	struct SaasWaiter *next;
};

static SaasPollRequest *
request_of(dsm_segment *segment)
{
	return dsm_segment_address(segment);
}

/* The reader trusts is_done only, which is set after everything else. */
static void
publish(SaasPollOutcome *outcome)
{
	pg_write_barrier();
	pg_atomic_write_u32(&outcome->is_done, 1);
}

static void
settle(PendingRequest *pending)
{
	if (--pending->remaining > 0)
		return;
	SetLatch(request_of(pending->segment)->latch);
	dsm_detach(pending->segment);
	pfree(pending);
}

static void
refuse(PendingRequest *pending, int number, const char *reason)
{
	SaasPollOutcome *outcome = &request_of(pending->segment)->outcomes[number];

	outcome->ok = false;
	strlcpy(outcome->error, reason, sizeof(outcome->error));
	publish(outcome);
	settle(pending);
}

void
SaasEngineRefuseRequest(dsm_segment *segment, const char *reason)
{
	PendingRequest *pending = MemoryContextAllocZero(TopMemoryContext, sizeof(PendingRequest));
	int			count = request_of(segment)->count;

	pending->segment = segment;
	/* One more, so that the segment outlives the loop. */
	pending->remaining = count + 1;
	for (int i = 0; i < count; i++)
		refuse(pending, i, reason);
	settle(pending);
}

void
SaasEngineAnswer(SaasJob *job)
{
	struct SaasWaiter *waiter = job->waiters;

	while (waiter)
	{
		SaasPollOutcome *outcome = &request_of(waiter->pending->segment)->outcomes[waiter->number];

		outcome->ok = job->poll.verdict == SAAS_VERDICT_OK && !job->is_lost;
		outcome->samples = outcome->ok ? job->stored_samples : 0;
		outcome->duration_ms = job->duration_ms;
		if (job->is_lost)
			strlcpy(outcome->error, "the connection was deleted or taken over meanwhile",
					sizeof(outcome->error));
		else if (!outcome->ok)
			strlcpy(outcome->error, job->poll.problem.message, sizeof(outcome->error));
		if (job->poll.details && strlen(job->poll.details) < sizeof(outcome->details))
			strlcpy(outcome->details, job->poll.details, sizeof(outcome->details));
		publish(outcome);
		settle(waiter->pending);
		waiter = waiter->next;
	}
	job->waiters = NULL;
}

static void
wait_for(SaasJob *job, PendingRequest *pending, int number)
{
	struct SaasWaiter *waiter = MemoryContextAlloc(job->context, sizeof(struct SaasWaiter));

	waiter->pending = pending;
	waiter->number = number;
	waiter->next = job->waiters;
	job->waiters = waiter;
}

static bool
is_same(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static SaasJob *
find_open_job(SaasEngine *engine, const pg_uuid_t *org_id, const pg_uuid_t *connection_id)
{
	for (SaasJob *job = engine->all; job; job = job->all_next)
	{
		if (is_same(&job->connection_id, connection_id) && is_same(&job->org_id, org_id))
			return job;
	}
	return NULL;
}

/* Answers those that were polled well a moment ago. */
static void
answer_fresh(PendingRequest *pending, bool *open)
{
	SaasPollRequest *request = request_of(pending->segment);
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * request->count);
	SaasStoredPoll *fresh;
	int			found;

	if (request->is_test || saas_refresh_cooldown == 0)
		return;
	for (int i = 0; i < request->count; i++)
		ids[i] = request->outcomes[i].connection_id;
	fresh = SaasClaimFresh(&request->org_id, ids, request->count, saas_refresh_cooldown, &found);
	for (int i = 0; i < request->count; i++)
	{
		for (int n = 0; n < found && open[i]; n++)
		{
			SaasPollOutcome *outcome = &request->outcomes[i];

			if (!is_same(&fresh[n].connection_id, &outcome->connection_id))
				continue;
			outcome->ok = outcome->from_store = true;
			outcome->samples = fresh[n].samples;
			publish(outcome);
			settle(pending);
			open[i] = false;
		}
	}
}

/* One poll serves all who ask for it while it is under way. */
static void
join_open_jobs(SaasEngine *engine, PendingRequest *pending, bool *open)
{
	SaasPollRequest *request = request_of(pending->segment);

	for (int i = 0; i < request->count; i++)
	{
		SaasJob    *job = open[i] ? find_open_job(engine, &request->org_id,
												  &request->outcomes[i].connection_id) : NULL;

		if (job == NULL)
			continue;
		/* A test that someone wants the samples of becomes a poll. */
		job->is_test = job->is_test && request->is_test;
		wait_for(job, pending, i);
		open[i] = false;
	}
}

static SaasJob *
claim_rest(SaasEngine *engine, PendingRequest *pending, bool *open)
{
	SaasPollRequest *request = request_of(pending->segment);
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * request->count);
	SaasJob    *jobs;
	int			count = 0;

	for (int i = 0; i < request->count; i++)
	{
		if (open[i])
			ids[count++] = request->outcomes[i].connection_id;
	}
	if (count == 0)
		return NULL;
	jobs = SaasEngineClaimGiven(engine, &request->org_id, ids, count, request->is_test);
	for (SaasJob *job = jobs; job; job = job->next)
	{
		for (int i = 0; i < request->count; i++)
		{
			if (open[i] && is_same(&job->connection_id, &request->outcomes[i].connection_id))
			{
				wait_for(job, pending, i);
				open[i] = false;
				break;
			}
		}
	}
	return jobs;
}

void
SaasEngineTakeRequest(SaasEngine *engine, dsm_segment *segment)
{
	SaasPollRequest *request = request_of(segment);
	PendingRequest *pending = MemoryContextAllocZero(TopMemoryContext, sizeof(PendingRequest));
	int			count = request->count;
	bool	   *open;
	SaasJob    *jobs;

	pending->segment = segment;
	pending->remaining = count + 1;
	engine->host.begin();
	open = palloc(sizeof(bool) * Max(count, 1));
	memset(open, true, count);
	answer_fresh(pending, open);
	join_open_jobs(engine, pending, open);
	jobs = claim_rest(engine, pending, open);
	for (int i = 0; i < count; i++)
	{
		if (open[i])
			refuse(pending, i, "another session is polling this connection just now");
	}
	engine->host.commit();
	settle(pending);
	SaasEngineAdopt(engine, jobs);
}
