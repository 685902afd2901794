/*
 * engine.c
 *	  The poller's four steps: claim, transfer, read, ingest.
 *
 * A job is in one of five places: waiting for its turn (engine_queue.c), in
 * flight (known to the transfer loop by its tag; with several requests at once
 * also engine_lanes.c's), storing (new tokens must be committed before they are
 * used), finished (to be ingested), or postponed (finished, but somebody held a
 * lock).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "net/transfer.h"
#include "server/guarded.h"
#include "server/uuidv7.h"
#include "state/settings.h"
#include "store/ingest.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/engine.h"
#include "worker/engine_internal.h"
#include "worker/wait_event.h"

#define REQUESTS_PER_LEASE	3	/* of full length: token, data, data again */
#define LEASE_MARGIN_MS		10000
#define FLUSH_BATCH			250
#define FLUSH_DELAY_MS		20	/* while somebody waits for it */
#define LAZY_FLUSH_DELAY_MS	200
#define FLUSH_BYTES			((size_t) 32 * 1024 * 1024)	/* large answers do not pile up */
#define FLUSH_MS			50		/* of one transaction: transfers under way wait for it */
#define RETRY_INGEST_MS		200
#define LOOK_AGAIN_MS		100

static int
lease_ms(void)
{
	return saas_poller_request_timeout * REQUESTS_PER_LEASE + LEASE_MARGIN_MS;
}

SaasEngine *
SaasEngineCreate(MemoryContext context, const SaasEngineHost *host)
{
	MemoryContext own = AllocSetContextCreate(context, "pg_saas engine", ALLOCSET_DEFAULT_SIZES);
	SaasEngine *engine = MemoryContextAllocZero(own, sizeof(SaasEngine));

	engine->context = own;
	engine->host = *host;
	/*
	 * Made before any transfer loop: children are deleted newest first, so the
	 * loop lets go of the jobs' requests before the jobs go.
	 */
	engine->job_context = AllocSetContextCreate(own, "pg_saas jobs", ALLOCSET_DEFAULT_SIZES);
	engine->next_due_at = engine->flush_at = DT_NOEND;
	engine->watched_fd = -1;
	engine->workers = 1;
	engine->flush_batch = FLUSH_BATCH / 4;
	dlist_init(&engine->all);
	SaasEngineQueueInit(engine);
	SaasUuidv7(&engine->lease_id);
	return engine;
}

void
SaasEngineWatch(SaasEngine *engine, int fd)
{
	Assert(engine->loop == NULL);
	engine->watched_fd = fd;
}

void
SaasEngineShare(SaasEngine *engine, int worker, int workers)
{
	engine->worker = worker;
	engine->workers = workers;
}

void
SaasEngineDestroy(SaasEngine *engine)
{
	MemoryContextDelete(engine->context);
}

int
SaasEngineCount(const SaasEngine *engine)
{
	return engine->count;
}

int
SaasEngineWaiting(const SaasEngine *engine)
{
	return engine->waiting_count;
}

TimestampTz
SaasEngineTakeNextDue(SaasEngine *engine)
{
	TimestampTz next_due_at = engine->next_due_at;

	engine->next_due_at = DT_NOEND;
	return next_due_at;
}

static void
push(SaasJob **list, SaasJob *job)
{
	job->next = *list;
	*list = job;
}

static SaasJob *
pop(SaasJob **list)
{
	SaasJob    *job = *list;

	if (job)
	{
		*list = job->next;
		job->next = NULL;
	}
	return job;
}

static void
read_options(SaasTransferOptions *options)
{
	options->max_in_flight = saas_poller_max_in_flight;
	options->max_per_host = saas_poller_max_per_host;
	options->connect_timeout_ms = saas_poller_connect_timeout;
	options->max_response = (size_t) saas_poller_max_response * 1024;
	options->allow_http = saas_allow_plain_http;
	options->allowed_networks = SaasAllowedNetworks();
	options->ca_file = saas_ca_file && saas_ca_file[0] ? saas_ca_file : NULL;
	options->user_agent = "pg_saas/" PG_SAAS_VERSION;
}

static bool
options_changed(const SaasTransferOptions *old)
{
	SaasTransferOptions now;

	read_options(&now);
	return old->max_in_flight != now.max_in_flight || old->max_per_host != now.max_per_host ||
		old->connect_timeout_ms != now.connect_timeout_ms || old->max_response != now.max_response ||
		old->allow_http != now.allow_http ||
		memcmp(old->allowed_networks, now.allowed_networks, sizeof(SaasNetworkList)) != 0 ||
		strcmp(old->ca_file ? old->ca_file : "", now.ca_file ? now.ca_file : "") != 0;
}

/*
 * The loop lives with the settings it was made with; after a change the engine
 * starts nothing until the transfers under way have ended, then makes a new one.
 */
static bool
loop_is_ready(SaasEngine *engine)
{
	SaasNetworkList *networks;

	if (engine->loop && !options_changed(&engine->options))
		return true;
	if (engine->loop && SaasTransferCount(engine->loop) + SaasPostgresCount(engine->databases) > 0)
		return false;
	if (engine->loop_context)
		MemoryContextDelete(engine->loop_context);
	engine->loop = NULL;
	engine->loop_context = AllocSetContextCreate(engine->context, "pg_saas transfers",
												 ALLOCSET_DEFAULT_SIZES);
	read_options(&engine->options);
	networks = MemoryContextAlloc(engine->loop_context, sizeof(SaasNetworkList));
	memcpy(networks, engine->options.allowed_networks, sizeof(SaasNetworkList));
	engine->options.allowed_networks = networks;
	if (engine->options.ca_file)
		engine->options.ca_file = MemoryContextStrdup(engine->loop_context, engine->options.ca_file);
	engine->loop = SaasTransferLoopCreate(engine->loop_context, &engine->options);
	engine->databases = SaasPostgresLoopCreate(engine->loop_context, &engine->options);
	SaasTransferWatch(engine->loop, SaasPostgresDescriptor(engine->databases));
	if (engine->watched_fd >= 0)
		SaasTransferWatch(engine->loop, engine->watched_fd);
	return true;
}

static void
finish(SaasEngine *engine, SaasJob *job)
{
	TimestampTz now = GetCurrentTimestamp();

	job->duration_ms = (int) ((now - job->polled_at) / 1000);
	SaasEngineQueueEnd(engine, job);
	engine->flush_at = Min(engine->flush_at, TimestampTzPlusMilliseconds(now, job->waiters ? FLUSH_DELAY_MS :
																		  LAZY_FLUSH_DELAY_MS));
	push(&engine->finished, job);
	engine->finished_count++;
	engine->finished_bytes += SaasArenaUsed(job->poll.arena);
}

static void
fail(SaasEngine *engine, SaasJob *job, SaasVerdict verdict)
{
	job->poll.verdict = verdict;
	finish(engine, job);
}

int64
SaasEngineTimeLeft(const SaasJob *job)
{
	return (job->lease_until - GetCurrentTimestamp()) / 1000 - LEASE_MARGIN_MS;
}

/* Time left for one more request before the lease is in danger. */
static int
request_timeout_of(const SaasJob *job)
{
	return (int) Min((int64) saas_poller_request_timeout, SaasEngineTimeLeft(job));
}

static void
perform(SaasEngine *engine, SaasJob *job, SaasStep step)
{
	int			timeout_ms = request_timeout_of(job);
	bool		is_started;

	if (++job->requests > SAAS_POLL_MAX_REQUESTS || timeout_ms <= 0)
	{
		SaasProblemSet(&job->poll.problem, "08006", "the poll took too long or too many requests");
		fail(engine, job, SAAS_VERDICT_RETRY);
		return;
	}
	job->poll.request.is_fresh = job->is_test;
	job->poll.request.owner = job->poll.database.owner = SaasEngineOwner(job);
	job->flight.job = job;
	if (step == SAAS_STEP_ASK)
		is_started = SaasPostgresStart(engine->databases, job->poll.arena, &job->poll.database,
									   timeout_ms, job, &job->poll.problem);
	else
		is_started = SaasTransferStart(engine->loop, job->poll.arena, &job->poll.request,
									   timeout_ms, &job->flight, &job->poll.problem);
	if (!is_started)
		fail(engine, job, SAAS_VERDICT_ERROR);
}

static void
follow(SaasEngine *engine, SaasJob *job, SaasStep step)
{
	switch (step)
	{
		case SAAS_STEP_REQUEST:
		case SAAS_STEP_ASK:
			perform(engine, job, step);
			break;
		case SAAS_STEP_STORE:
			push(&engine->storing, job);
			engine->storing_count++;
			break;
		case SAAS_STEP_PARALLEL:
			SaasEngineLanesStart(engine, job);
			break;
		case SAAS_STEP_DONE:
			finish(engine, job);
			break;
	}
}

void
SaasEngineFollow(SaasEngine *engine, SaasJob *job, SaasStep step)
{
	follow(engine, job, step);
}

bool
SaasEngineHasRoom(SaasEngine *engine)
{
	return SaasTransferCount(engine->loop) + SaasPostgresCount(engine->databases) +
		engine->storing_count < engine->options.max_in_flight;
}

/*
 * It has waited for its turn longer than one request may last, as it does when
 * thousands are asked for at once: what is left of its lease may not suffice,
 * and its upstream is not to blame.  So it is not begun.
 */
static bool
waited_too_long(const SaasJob *job)
{
	int64		waited_ms = (job->polled_at - job->claimed_at) / 1000;

	return waited_ms > saas_poller_request_timeout || request_timeout_of(job) < saas_poller_request_timeout;
}

static void
give_back(SaasEngine *engine, SaasJob *job)
{
	job->is_returned = job->is_closed = true;
	SaasProblemSet(&job->poll.problem, "53400", "too many polls were before this one");
	fail(engine, job, SAAS_VERDICT_RETRY);
}

static void
start(SaasEngine *engine, SaasJob *job)
{
	job->polled_at = GetCurrentTimestamp();
	job->poll.now_ms = (job->polled_at - SetEpochTimestamp()) / 1000;
	if (waited_too_long(job))
		give_back(engine, job);
	else if (job->poll.problem.sqlstate[0] != '\0')
		finish(engine, job);
	else if (job->connector == NULL)
	{
		SaasProblemSet(&job->poll.problem, "0A000", "this version of pg_saas does not serve the connection's kind");
		fail(engine, job, SAAS_VERDICT_ERROR);
	}
	else
		follow(engine, job, job->connector->start(&job->poll));
}

static void
start_waiting(SaasEngine *engine)
{
	SaasJob    *job;

	while (engine->waiting_count > 0 && loop_is_ready(engine) && SaasEngineHasRoom(engine) &&
		   (job = SaasEngineQueueTake(engine)) != NULL)
		start(engine, job);
}

static void
adopt(SaasEngine *engine, SaasJob *jobs, bool is_urgent)
{
	SaasJob    *job;

	while ((job = pop(&jobs)) != NULL)
	{
		dlist_push_head(&engine->all, &job->all_node);
		SaasEngineQueueAdd(engine, job, is_urgent);
		engine->count++;
	}
}

int
SaasEngineClaimDue(SaasEngine *engine, int limit, bool *is_all)
{
	int			before = engine->count;
	SaasClaimTerms terms;
	int			room;

	SaasEngineQueueTerms(engine, &terms, &room);
	/* A limit that is smaller than the room leaves the kept places free by itself. */
	terms.reserved = Max(0, terms.reserved - Max(0, room - limit));
	limit = Min(limit, room);
	*is_all = true;
	if (limit > 0 && loop_is_ready(engine))
	{
		SaasJob    *jobs;

		engine->host.begin();
		jobs = SaasClaimDue(engine->job_context, &engine->lease_id, lease_ms(), limit, &terms,
							is_all);
		engine->was_long = terms.was_long;
		SaasEngineQueueNoteTurns(engine, jobs);
		adopt(engine, jobs, false);
		engine->host.commit();
		start_waiting(engine);
	}
	SaasEngineQueueFreeTerms(&terms);
	return engine->count - before;
}

bool
SaasEngineIsFull(SaasEngine *engine)
{
	SaasClaimTerms terms;
	int			room;

	SaasEngineQueueTerms(engine, &terms, &room);
	SaasEngineQueueFreeTerms(&terms);
	return room <= terms.reserved || terms.full_count > 0;
}

SaasJob *
SaasEngineClaimGiven(SaasEngine *engine, const pg_uuid_t *org_id, const pg_uuid_t *connection_ids,
					 int count, bool is_test)
{
	SaasJob    *jobs = SaasClaimGiven(engine->job_context, &engine->lease_id, lease_ms(), org_id,
									  connection_ids, count);

	for (SaasJob *job = jobs; job; job = job->next)
	{
		job->is_test = job->poll.is_test = is_test;
		job->is_asked = true;
	}
	return jobs;
}

void
SaasEngineAdopt(SaasEngine *engine, SaasJob *jobs)
{
	adopt(engine, jobs, true);
	start_waiting(engine);
}

/* Reads what came back and moves the job on. */
static void
take_result(SaasEngine *engine, const SaasTransferResult *result)
{
	SaasFlight *flight = result->tag;
	SaasJob    *job = flight->job;

	if (flight->lane)
	{
		SaasEngineLanesTake(engine, flight, result);
		return;
	}
	SaasEngineNoteTransfer(job, result);
	if (!result->ok)
	{
		job->poll.problem = result->problem;
		fail(engine, job, result->transient ? SAAS_VERDICT_RETRY : SAAS_VERDICT_ERROR);
		return;
	}
	follow(engine, job, SaasEngineRead(job, &result->response));
}

static void
take_answer(SaasEngine *engine, const SaasPostgresResult *result)
{
	SaasJob    *job = result->tag;

	job->stages = result->stages;
	SaasEngineNoteRefusal(job, result->refused);
	if (!result->ok)
	{
		job->poll.problem = result->problem;
		fail(engine, job, result->transient ? SAAS_VERDICT_RETRY : SAAS_VERDICT_ERROR);
		return;
	}
	follow(engine, job, SaasEngineReadRows(job, &result->answer));
}

/* Serves the sessions with databases. */
static void
step_databases(SaasEngine *engine)
{
	SaasPostgresResult result;

	SaasPostgresStep(engine->databases);
	while (SaasPostgresTake(engine->databases, &result))
		take_answer(engine, &result);
}

typedef struct IngestArgument
{
	SaasEngine *engine;
	SaasJob    *jobs;
} IngestArgument;

static void
store_tokens(void *arg)
{
	IngestArgument *argument = arg;

	SaasIngestSecrets(argument->jobs, &argument->engine->lease_id);
}

/*
 * A rotated refresh token is good once: it is committed before the poll goes
 * on.  If it cannot be, the tokens stay with the job and are stored with its
 * result.  A lost job's tokens are dropped: its owner has given other secrets.
 * A closed organization's are stored, and nothing more is asked for it.
 */
static void
store_pending_tokens(SaasEngine *engine)
{
	SaasJob    *storing = engine->storing;
	SaasJob    *stored = NULL;
	SaasJob    *job;

	if (storing == NULL)
		return;
	engine->storing = NULL;
	engine->host.begin();
	while ((job = pop(&storing)) != NULL)
	{
		IngestArgument argument = {engine, job};
		SaasProblem problem = {0};

		if (SaasGuardedRun(store_tokens, &argument, &problem))
			push(&stored, job);
		else
		{
			SaasProblemSet(&job->poll.problem, problem.sqlstate,
						   "could not store the new tokens: %s", problem.message);
			engine->storing_count--;
			fail(engine, job, SAAS_VERDICT_RETRY);
		}
	}
	engine->host.commit();
	while ((job = pop(&stored)) != NULL)
	{
		job->poll.new_secrets = NULL;
		engine->storing_count--;
		if (job->is_lost || job->is_closed)
			finish(engine, job);
		else
			perform(engine, job, SAAS_STEP_REQUEST);
	}
}

static SaasJob *
take_batch(SaasEngine *engine)
{
	SaasJob    *batch = NULL;

	for (int i = 0; i < engine->flush_batch && engine->finished; i++)
	{
		push(&batch, pop(&engine->finished));
		engine->finished_count--;
		engine->finished_bytes -= Min(SaasArenaUsed(batch->poll.arena), engine->finished_bytes);
	}
	return batch;
}

static void
postpone(SaasEngine *engine, SaasJob *job, TimestampTz now)
{
	push(&engine->postponed, job);
	engine->postponed_count++;
	engine->retry_at = TimestampTzPlusMilliseconds(now, RETRY_INGEST_MS);
}

static void
ingest(void *arg)
{
	IngestArgument *argument = arg;

	SaasIngestJobs(argument->jobs, &argument->engine->lease_id);
	SaasIngestHistory(argument->jobs);
}

static void
ingest_first(void *arg)
{
	IngestArgument *argument = arg;

	SaasIngestHoldStatus(argument->jobs, &argument->engine->lease_id);
	SaasIngestJobs(argument->jobs, &argument->engine->lease_id);
	SaasIngestHistory(argument->jobs);
}

/*
 * Stores one job that held up its batch.  A lock is tried for again later, as
 * long as the lease lasts or there are new tokens; anything else becomes the
 * connection's error, so that a poison answer harms only its own connection.
 */
static bool
ingest_alone(SaasEngine *engine, SaasJob *job, TimestampTz now)
{
	IngestArgument argument = {engine, job};
	SaasProblem problem = {0};

	if (SaasGuardedRun(ingest_first, &argument, &problem))
		return true;
	if (strcmp(problem.sqlstate, "55P03") == 0)
		return job->lease_until < now && job->poll.new_secrets == NULL;
	job->poll.verdict = SAAS_VERDICT_ERROR;
	SaasProblemSet(&job->poll.problem, problem.sqlstate, "could not store the answer: %s", problem.message);
	if (!SaasGuardedRun(ingest_first, &argument, &problem))
		ereport(LOG,
				(errmsg("could not store the status of a connection: %s", problem.message)));
	return true;
}

static void
release(SaasEngine *engine, SaasJob *job)
{
	dlist_delete(&job->all_node);
	SaasEngineAnswer(job);
	engine->next_due_at = Min(engine->next_due_at, job->next_at);
	if (!job->is_test && !job->is_lost && !job->is_closed)
		SaasSharedCountPoll(MyDatabaseId, engine->worker, job->poll.verdict == SAAS_VERDICT_OK,
							job->poll.problem.sqlstate);
	SaasEngineQueueRemove(engine, job);
	MemoryContextDelete(job->context);
	engine->count--;
}

static void
release_all(SaasEngine *engine, SaasJob *jobs)
{
	SaasJob    *job;

	while ((job = pop(&jobs)) != NULL)
		release(engine, job);
}

/* Stores each job alone; returns those that are done with. */
static SaasJob *
ingest_each(SaasEngine *engine, SaasJob *jobs, TimestampTz now)
{
	SaasJob    *done = NULL;
	SaasJob    *job;

	while ((job = pop(&jobs)) != NULL)
	{
		if (ingest_alone(engine, job, now))
			push(&done, job);
		else
			postpone(engine, job, now);
	}
	return done;
}

/* First polls make series and cost many times as much as later ones. */
static void
adapt_batch(SaasEngine *engine, int stored, int64 took_us)
{
	int64		fits = FLUSH_MS * INT64CONST(1000) * stored / Max(took_us, 1);

	/* Not more than twice as many at once: the next ones may be first polls. */
	if (took_us > FLUSH_MS * INT64CONST(1000))
		engine->flush_batch = (int) Max(fits, 1);
	else if (stored == engine->flush_batch)
		engine->flush_batch = (int) Min(Min(fits, (int64) stored * 2), FLUSH_BATCH);
}

static void
flush_batch(SaasEngine *engine)
{
	TimestampTz now = GetCurrentTimestamp();
	int			before = engine->finished_count;
	int			stored;
	SaasJob    *batch = take_batch(engine);
	IngestArgument argument = {engine, batch};
	SaasProblem problem = {0};

	stored = before - engine->finished_count;
	engine->host.begin();
	if (!SaasGuardedRun(ingest, &argument, &problem))
		batch = ingest_each(engine, batch, now);
	engine->host.commit();
	adapt_batch(engine, stored, GetCurrentTimestamp() - now);
	release_all(engine, batch);
	if (engine->finished == NULL)
		engine->flush_at = DT_NOEND;
}

/* Not with the others: a lock that is still held would cost them a wait each time. */
static void
retry_postponed(SaasEngine *engine)
{
	TimestampTz now = GetCurrentTimestamp();
	SaasJob    *jobs = engine->postponed;

	if (jobs == NULL || now < engine->retry_at)
		return;
	engine->postponed = NULL;
	engine->postponed_count = 0;
	engine->host.begin();
	jobs = ingest_each(engine, jobs, now);
	engine->host.commit();
	release_all(engine, jobs);
}

static bool
flush_is_due(const SaasEngine *engine)
{
	return engine->finished &&
		(engine->finished_count >= engine->flush_batch || engine->finished_bytes >= FLUSH_BYTES ||
		 engine->finished_count + engine->postponed_count == engine->count ||
		 GetCurrentTimestamp() >= engine->flush_at);
}

static long
shorter(long timeout_ms, long bound_ms)
{
	return timeout_ms < 0 ? bound_ms : Min(timeout_ms, bound_ms);
}

bool
SaasEngineStep(SaasEngine *engine, long timeout_ms)
{
	SaasTransferResult result;
	long		until_database;
	bool		latch_set;

	start_waiting(engine);
	if (engine->postponed || engine->elsewhere)
		timeout_ms = shorter(timeout_ms, LOOK_AGAIN_MS);
	if (engine->waiting_count > 0)
		timeout_ms = shorter(timeout_ms, FLUSH_DELAY_MS);
	if (engine->finished)
		timeout_ms = shorter(timeout_ms,
							 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), engine->flush_at));
	timeout_ms = SaasEngineLanesTimeout(engine, timeout_ms);
	if (engine->storing || flush_is_due(engine))
		timeout_ms = 0;
	(void) loop_is_ready(engine);
	until_database = SaasPostgresTimeout(engine->databases);
	if (until_database >= 0)
		timeout_ms = shorter(timeout_ms, until_database);
	latch_set = SaasTransferWait(engine->loop, timeout_ms,
								 engine->count > 0 ? SaasWaitEventNetwork() : SaasWaitEventIdle());
	CHECK_FOR_INTERRUPTS();
	while (SaasTransferTake(engine->loop, &result))
	{
		take_result(engine, &result);
		while (engine->finished && engine->finished_bytes >= FLUSH_BYTES)
			flush_batch(engine);
	}
	step_databases(engine);
	store_pending_tokens(engine);
	if (flush_is_due(engine))
		flush_batch(engine);
	retry_postponed(engine);
	SaasEngineLookElsewhere(engine);
	SaasEngineLanesStep(engine);
	start_waiting(engine);
	return latch_set;
}
