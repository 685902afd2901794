/*
 * engine_lanes.c
 *	  Several requests of one poll at once.
 *
 * Each lane of the poll has a flight: it waits until its time has come and
 * there is a place, is under way, and waits again with its next request, until
 * the connector says that it has ended.  With the last one the connector joins
 * them, and the poll goes on as others do.
 *
 * A flight under way holds one place of its organization's share, as a poll
 * with one request does; beyond the first they are lent only while nobody waits
 * for a turn.  A job whose flights all wait for their time, because their
 * upstream counts requests (state/upstream_meter.c), holds no place at all.
 */
#include "postgres.h"

#include "net/transfer.h"
#include "state/settings.h"
#include "state/upstream_meter.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/engine_internal.h"

#define LOOK_FOR_PLACE_MS	20

/* One request may have this long at least, or waiting for its time was in vain. */
#define LEAST_TIME_MS		1000

/* The connector has heard of the answer, or of none: its next request waits, or the lane has ended. */
static void
move_on(SaasFlight *flight, SaasStep step, TimestampTz now)
{
	const SaasMeter *meter = &flight->lane->meter;

	if (meter->key && meter->pause_s > 0)
		SaasMeterPause(meter->key, meter->per_second, meter->pause_s * 1000);
	flight->state = step == SAAS_STEP_REQUEST ? SAAS_FLIGHT_WAITING : SAAS_FLIGHT_ENDED;
	flight->start_at = now;
	if (flight->state == SAAS_FLIGHT_ENDED)
		flight->job->open_flights--;
}

static void
fail(SaasFlight *flight, bool is_transient, TimestampTz now)
{
	flight->lane->is_transient = is_transient;
	move_on(flight, SaasEngineReadLane(flight, NULL), now);
}

/* Whether what counts the requests lets one go now; if not, when to ask again. */
static bool
is_allowed(SaasFlight *flight, TimestampTz now)
{
	const SaasMeter *meter = &flight->lane->meter;
	int64		wait_ms = meter->key ? SaasMeterTake(meter->key, meter->per_second) : 0;

	flight->start_at = TimestampTzPlusMilliseconds(now, wait_ms);
	return wait_ms == 0;
}

/* The job's own place first, then one that is lent. */
static bool
take_place(SaasEngine *engine, SaasJob *job)
{
	if (job->places > job->active_flights)
		return true;
	if (!SaasEngineHasRoom(engine) || !SaasEngineQueueLend(engine, job, job->places > 0))
		return false;
	job->places++;
	return true;
}

static void
launch(SaasEngine *engine, SaasFlight *flight, TimestampTz now)
{
	SaasJob    *job = flight->job;
	SaasLane   *lane = flight->lane;

	lane->request.is_fresh = job->is_test;
	lane->request.owner = SaasEngineOwner(job);
	memset(&lane->problem, 0, sizeof(lane->problem));
	job->requests++;
	if (!SaasTransferStart(engine->loop, job->poll.arena, &lane->request,
						   (int) Min(SaasEngineTimeLeft(job), saas_poller_request_timeout), flight,
						   &lane->problem))
	{
		fail(flight, false, now);
		return;
	}
	flight->state = SAAS_FLIGHT_ACTIVE;
	job->active_flights++;
}

/* Whether the lease still allows the request that waits. */
static bool
is_in_time(const SaasFlight *flight, TimestampTz now)
{
	int64		wait_ms = (flight->start_at - now) / 1000;

	return SaasEngineTimeLeft(flight->job) - Max(wait_ms, 0) >= LEAST_TIME_MS;
}

static void
fail_late(SaasFlight *flight, TimestampTz now)
{
	SaasProblemSet(&flight->lane->problem, "08006", "the poll waited too long for its turn at the upstream");
	fail(flight, true, now);
}

/* Starts what may start, as far as the job may have requests under way. */
static void
start_flights(SaasEngine *engine, SaasJob *job, TimestampTz now)
{
	for (int i = 0; i < job->flight_count; i++)
	{
		SaasFlight *flight = &job->flights[i];

		if (flight->state != SAAS_FLIGHT_WAITING)
			continue;
		if (!is_in_time(flight, now))
			fail_late(flight, now);
		else if (job->requests >= SAAS_POLL_MAX_REQUESTS)
		{
			SaasProblemSet(&flight->lane->problem, "54000", "the poll needs too many requests");
			fail(flight, false, now);
		}
		else if (flight->start_at <= now && job->active_flights < SAAS_POLL_PARALLEL &&
				 take_place(engine, job) && is_allowed(flight, now))
			launch(engine, flight, now);
		/* What a lane asks for next, or that it has ended, shows at once. */
		if (flight->state == SAAS_FLIGHT_WAITING && !is_in_time(flight, now))
			fail_late(flight, now);
	}
}

static void
join(SaasEngine *engine, SaasJob *job)
{
	SaasStep	step;

	/* Whoever has waited to the end of its time has none any more; what comes next needs one. */
	if (job->places == 0)
	{
		SaasEngineQueueHold(engine, job);
		job->places = 1;
	}
	step = job->connector->join(&job->poll);
	SaasEngineNoteJoin(job, step);
	SaasEngineFollow(engine, job, step);
}

/* Gives back what no flight needs; who joins keeps one. */
static void
give_back(SaasEngine *engine, SaasJob *job)
{
	int			needed = job->open_flights == 0 ? 1 : job->active_flights;

	for (; job->places > needed; job->places--)
		SaasEngineQueueEnd(engine, job);
}

static void
advance(SaasEngine *engine, SaasJob *job)
{
	start_flights(engine, job, GetCurrentTimestamp());
	give_back(engine, job);
	if (job->open_flights == 0)
		join(engine, job);
	else if (job->open_flights > job->active_flights && !job->is_among_lanes)
	{
		job->is_among_lanes = true;
		job->next = engine->lanes;
		engine->lanes = job;
	}
}

void
SaasEngineLanesStart(SaasEngine *engine, SaasJob *job)
{
	int			count = (int) job->poll.lane_count;

	job->flights = MemoryContextAllocZero(job->context, sizeof(SaasFlight) * Max(count, 1));
	job->flight_count = job->open_flights = count;
	job->active_flights = 0;
	job->places = 1;
	for (int i = 0; i < count; i++)
		job->flights[i] = (SaasFlight) {
			.job = job, .lane = &job->poll.lanes[i], .state = SAAS_FLIGHT_WAITING, .stages = SAAS_STAGES_NONE
		};
	advance(engine, job);
}

void
SaasEngineLanesTake(SaasEngine *engine, SaasFlight *flight, const SaasTransferResult *result)
{
	SaasJob    *job = flight->job;
	TimestampTz now = GetCurrentTimestamp();

	job->active_flights--;
	SaasEngineNoteLane(flight, result);
	if (result->ok)
		move_on(flight, SaasEngineReadLane(flight, &result->response), now);
	else
	{
		flight->lane->problem = result->problem;
		fail(flight, result->transient, now);
	}
	if (!job->is_among_lanes)
		advance(engine, job);
}

void
SaasEngineLanesStep(SaasEngine *engine)
{
	SaasJob    *jobs = engine->lanes;

	engine->lanes = NULL;
	while (jobs)
	{
		SaasJob    *job = jobs;

		jobs = job->next;
		job->next = NULL;
		job->is_among_lanes = false;
		advance(engine, job);
	}
}

long
SaasEngineLanesTimeout(const SaasEngine *engine, long timeout_ms)
{
	TimestampTz now = engine->lanes ? GetCurrentTimestamp() : 0;

	for (const SaasJob *job = engine->lanes; job; job = job->next)
		for (int i = 0; i < job->flight_count; i++)
		{
			const SaasFlight *flight = &job->flights[i];
			long		wait_ms;

			/* What comes back from the network wakes those that wait for their own poll. */
			if (flight->state != SAAS_FLIGHT_WAITING || job->active_flights >= SAAS_POLL_PARALLEL)
				continue;
			wait_ms = (long) ((flight->start_at - now) / 1000) + 1;
			wait_ms = Max(wait_ms, LOOK_FOR_PLACE_MS);
			timeout_ms = timeout_ms < 0 ? wait_ms : Min(timeout_ms, wait_ms);
		}
	return timeout_ms;
}
