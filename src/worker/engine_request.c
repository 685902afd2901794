/*
 * engine_request.c
 *	  Polls that a session asked for: who waits for what, and the answers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "state/settings.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/engine.h"
#include "worker/engine_internal.h"

#define LOOK_ELSEWHERE_MS	100

/* The outcomes of a request by connection id. */
typedef struct OutcomeIndex
{
	SaasPollRequest *request;
	SaasPollOutcome **sorted;
	bool	   *is_open;		/* by number: not answered, joined or polled yet */
} OutcomeIndex;

/* A session's request while some of its connections are open. */
typedef struct PendingRequest
{
	dsm_segment *segment;
	int			remaining;
	TimestampTz asked_at;
	MemoryContext context;		/* of the index; what is open after the request was
								 * taken on is being polled by another process */
	OutcomeIndex index;
	struct PendingRequest *next;	/* among those that wait for another process */
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
	if (pending->context)
		MemoryContextDelete(pending->context);
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

		outcome->ok = job->poll.verdict == SAAS_VERDICT_OK && !job->is_lost && !job->is_closed;
		outcome->samples = outcome->ok ? job->stored_samples : 0;
		outcome->duration_ms = job->duration_ms;
		if (job->is_lost)
			strlcpy(outcome->error, "the connection was deleted or taken over meanwhile",
					sizeof(outcome->error));
		else if (job->is_closed && !job->is_returned)
			strlcpy(outcome->error, "the organization was suspended or deleted meanwhile",
					sizeof(outcome->error));
		else if (!outcome->ok)
			strlcpy(outcome->error, job->poll.problem.message, sizeof(outcome->error));
		outcome->stages = job->stages;
		strlcpy(outcome->hint, outcome->ok ? "" : job->poll.problem.hint, sizeof(outcome->hint));
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

static int
compare_outcomes(const void *a, const void *b)
{
	const SaasPollOutcome *left = *(SaasPollOutcome *const *) a;
	const SaasPollOutcome *right = *(SaasPollOutcome *const *) b;

	return memcmp(&left->connection_id, &right->connection_id, sizeof(pg_uuid_t));
}

static void
build_index(OutcomeIndex *index, SaasPollRequest *request)
{
	index->request = request;
	index->sorted = palloc(sizeof(SaasPollOutcome *) * Max(request->count, 1));
	index->is_open = palloc(sizeof(bool) * Max(request->count, 1));
	for (int i = 0; i < request->count; i++)
	{
		index->sorted[i] = &request->outcomes[i];
		index->is_open[i] = true;
	}
	qsort(index->sorted, request->count, sizeof(SaasPollOutcome *), compare_outcomes);
}

/* The number of the open outcome of that connection, -1 when there is none. */
static int
find_open(const OutcomeIndex *index, const pg_uuid_t *connection_id)
{
	SaasPollOutcome key;
	SaasPollOutcome *key_pointer = &key;
	SaasPollOutcome **found;
	int			number;

	key.connection_id = *connection_id;
	found = bsearch(&key_pointer, index->sorted, index->request->count, sizeof(SaasPollOutcome *),
					compare_outcomes);
	if (found == NULL)
		return -1;
	number = (int) (*found - index->request->outcomes);
	return index->is_open[number] ? number : -1;
}

/* The ids of the open outcomes. */
static pg_uuid_t *
open_ids(const OutcomeIndex *index, int *count)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(index->request->count, 1));

	*count = 0;
	for (int i = 0; i < index->request->count; i++)
	{
		if (index->is_open[i])
			ids[(*count)++] = index->request->outcomes[i].connection_id;
	}
	return ids;
}

/* Answers those that were polled well a moment ago. */
static void
answer_fresh(PendingRequest *pending, OutcomeIndex *index)
{
	SaasPollRequest *request = index->request;
	SaasStoredPoll *fresh;
	pg_uuid_t  *ids;
	int			count;
	int			found;

	if (request->is_test || saas_refresh_cooldown == 0)
		return;
	ids = open_ids(index, &count);
	fresh = SaasClaimFresh(&request->org_id, ids, count, saas_refresh_cooldown, &found);
	for (int i = 0; i < found; i++)
	{
		int			number = find_open(index, &fresh[i].connection_id);
		SaasPollOutcome *outcome;

		if (number < 0)
			continue;
		outcome = &request->outcomes[number];
		outcome->ok = outcome->from_store = true;
		outcome->samples = fresh[i].samples;
		index->is_open[number] = false;
		publish(outcome);
		settle(pending);
	}
}

/*
 * One poll serves all who ask for it while it is under way, but for who wants a
 * test: that goes over connections of its own and asks for more, and so it
 * comes after a poll.
 */
static void
join_open_jobs(SaasEngine *engine, PendingRequest *pending, OutcomeIndex *index)
{
	dlist_iter	iter;

	dlist_foreach(iter, &engine->all)
	{
		SaasJob    *job = dlist_container(SaasJob, all_node, iter.cur);
		int			number;

		if (memcmp(&job->org_id, &index->request->org_id, sizeof(pg_uuid_t)) != 0)
			continue;
		number = find_open(index, &job->connection_id);
		if (number < 0 || (index->request->is_test && !job->poll.is_test))
			continue;
		/* A test that someone wants the samples of becomes a poll. */
		job->is_test = job->is_test && index->request->is_test;
		wait_for(job, pending, number);
		index->is_open[number] = false;
	}
}

static SaasJob *
claim_rest(SaasEngine *engine, PendingRequest *pending, OutcomeIndex *index)
{
	int			count;
	pg_uuid_t  *ids = open_ids(index, &count);
	SaasJob    *jobs;

	if (count == 0)
		return NULL;
	jobs = SaasEngineClaimGiven(engine, &index->request->org_id, ids, count, index->request->is_test);
	for (SaasJob *job = jobs; job; job = job->next)
	{
		int			number = find_open(index, &job->connection_id);

		if (number < 0)
			continue;
		wait_for(job, pending, number);
		index->is_open[number] = false;
	}
	return jobs;
}

/*
 * Answers what another process has polled since it was asked for; is_there
 * tells which of the rest are connections still.
 */
static void
answer_elsewhere(PendingRequest *pending, OutcomeIndex *index, bool *is_there)
{
	SaasPollRequest *request = index->request;
	int			count;
	int			found;
	pg_uuid_t  *ids = open_ids(index, &count);
	SaasStoredPoll *polls;

	if (count == 0)
		return;
	polls = SaasClaimElsewhere(&request->org_id, ids, count, pending->asked_at, &found);
	for (int i = 0; i < found; i++)
	{
		int			number = find_open(index, &polls[i].connection_id);
		SaasPollOutcome *outcome;

		if (number < 0)
			continue;
		is_there[number] = true;
		/* A test wants to know more than what is stored. */
		if (!polls[i].is_done || request->is_test)
			continue;
		outcome = &request->outcomes[number];
		outcome->ok = polls[i].error == NULL;
		outcome->samples = outcome->ok ? polls[i].samples : 0;
		outcome->duration_ms = polls[i].duration_ms;
		strlcpy(outcome->error, outcome->ok ? "" : polls[i].error, sizeof(outcome->error));
		index->is_open[number] = false;
		publish(outcome);
		settle(pending);
	}
}

/* Refuses what is open and no connection any more; returns how many another process polls. */
static int
refuse_gone(PendingRequest *pending, OutcomeIndex *index, const bool *is_there)
{
	int			open = 0;

	for (int i = 0; i < index->request->count; i++)
	{
		if (!index->is_open[i])
			continue;
		if (is_there[i])
			open++;
		else
		{
			index->is_open[i] = false;
			refuse(pending, i, "the connection was deleted or taken over meanwhile");
		}
	}
	return open;
}

/*
 * Answers, joins or polls what is open in the request; the rest waits in the
 * engine's list for whoever polls it.
 */
static void
serve(SaasEngine *engine, PendingRequest *pending)
{
	SaasJob    *jobs;
	bool	   *is_there;
	int			elsewhere;

	engine->host.begin();
	is_there = palloc0(sizeof(bool) * Max(pending->index.request->count, 1));
	/* One more, so that the segment outlives this function. */
	pending->remaining++;
	answer_fresh(pending, &pending->index);
	join_open_jobs(engine, pending, &pending->index);
	answer_elsewhere(pending, &pending->index, is_there);
	jobs = claim_rest(engine, pending, &pending->index);
	elsewhere = refuse_gone(pending, &pending->index, is_there);
	engine->host.commit();
	if (elsewhere > 0)
	{
		pending->next = engine->elsewhere;
		engine->elsewhere = pending;
		engine->look_elsewhere_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_ELSEWHERE_MS);
	}
	settle(pending);
	SaasEngineAdopt(engine, jobs);
}

void
SaasEngineTakeRequest(SaasEngine *engine, dsm_segment *segment)
{
	PendingRequest *pending = MemoryContextAllocZero(TopMemoryContext, sizeof(PendingRequest));
	MemoryContext caller;

	pending->segment = segment;
	pending->remaining = request_of(segment)->count;
	pending->asked_at = GetCurrentTimestamp();
	pending->context = AllocSetContextCreate(TopMemoryContext, "pg_saas request", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(pending->context);
	build_index(&pending->index, request_of(segment));
	MemoryContextSwitchTo(caller);
	serve(engine, pending);
}

void
SaasEngineLookElsewhere(SaasEngine *engine)
{
	PendingRequest *pending = engine->elsewhere;

	if (pending == NULL || GetCurrentTimestamp() < engine->look_elsewhere_at)
		return;
	engine->elsewhere = NULL;
	while (pending)
	{
		PendingRequest *next = pending->next;

		pending->next = NULL;
		serve(engine, pending);
		pending = next;
	}
}
