/*
 * aws_window.c
 *	  Which windows of time a poll of an AWS connection asks a region for.
 *
 * A poll asks for what is new, and again for the last windows, because data
 * arrive late and the store replaces what it has.  The past is filled in
 * piece by piece, newest first, one a poll, so that no poll grows long and
 * the newest values are there at once.  Each region has a reach of its own, so
 * that one which fails holds up no other.
 */
#include <string.h>

#include "connector/aws.h"

#define BATCH			500		/* queries of one call */
#define LATE_S			300		/* younger windows are not complete yet */
#define OVERLAP_S		900		/* asked for again, at least */
#define BACKFILL_DAYS	30
#define DAY_S			INT64_C(86400)
#define FINE_S			(15 * DAY_S)	/* windows of a minute are kept so long */
#define MAX_SAMPLES		6000	/* of a piece, in all regions */
#define MAX_ROWS		288		/* times of a piece: each is a row to store */

static const int periods[] = {60, 300, 900, 3600, 21600, 86400};

#define PERIODS	(sizeof(periods) / sizeof(periods[0]))

static int64_t
floor_to(int64_t time_s, int64_t unit_s)
{
	return time_s - time_s % unit_s;
}

bool
SaasAwsIsAsked(const AwsState *state, const AwsMetric *metric, size_t region, int period_s)
{
	return metric->period_s == period_s &&
		(metric->region != NULL ? metric->region == state->regions[region].name :
		 region < state->given_regions);
}

/* Seconds that one piece may span. */
static int64_t
piece_length(const AwsState *state)
{
	double		per_second = 0;
	int			shortest = periods[PERIODS - 1];
	int64_t		length;

	for (size_t i = 0; i < state->metric_count; i++)
	{
		const AwsMetric *metric = &state->metrics[i];

		per_second += (metric->region != NULL ? 1.0 : (double) state->given_regions) / metric->period_s;
		shortest = metric->period_s < shortest ? metric->period_s : shortest;
	}
	length = (int64_t) (MAX_SAMPLES / per_second);
	if (length > MAX_ROWS * (int64_t) shortest)
		length = MAX_ROWS * (int64_t) shortest;
	return length > shortest ? floor_to(length, shortest) : shortest;
}

/* Calls for the metrics of a period in a window, in batches. */
static bool
add_calls(SaasPoll *poll, AwsRegion *region, const AwsCall *pattern)
{
	const AwsState *state = poll->state;
	size_t	   *members = SaasArenaAlloc(poll->arena, state->metric_count * sizeof(size_t));
	size_t		count = 0;

	if (members == NULL)
		return false;
	for (size_t i = 0; i < state->metric_count; i++)
		if (SaasAwsIsAsked(state, &state->metrics[i], region->number, pattern->period_s))
			members[count++] = i;
	for (size_t first = 0; first < count; first += BATCH)
	{
		AwsCall    *call = &region->calls[region->call_count++];

		*call = *pattern;
		call->members = members + first;
		call->count = count - first < BATCH ? count - first : BATCH;
	}
	return true;
}

/* For all periods, whose windows are whole ones. */
static bool
add_window(SaasPoll *poll, AwsRegion *region, int64_t start_s, int64_t end_s, bool is_backfill)
{
	int64_t		finest_s = floor_to(poll->now_ms / 1000 - FINE_S, 300) + 300;

	for (size_t i = 0; i < PERIODS; i++)
	{
		int			period = periods[i];
		int64_t		overlap = is_backfill ? 0 : period > OVERLAP_S ? period : OVERLAP_S;
		AwsCall		call = {
			.period_s = period, .is_backfill = is_backfill,
			.start_s = floor_to(start_s - overlap, period), .end_s = floor_to(end_s, period)
		};

		if (period < 300 && call.start_s < finest_s)
			call.start_s = finest_s;
		if (call.start_s < call.end_s && !add_calls(poll, region, &call))
			return false;
	}
	return true;
}

/* No further back than what the plan keeps. */
static int64_t
oldest_to_fill(const SaasPoll *poll)
{
	int			days = poll->retention_days > 0 && poll->retention_days < BACKFILL_DAYS ?
		poll->retention_days : BACKFILL_DAYS;

	return floor_to(poll->now_ms / 1000 - days * DAY_S, 3600);
}

/* The newest complete minute, by the slower clock: a window is not asked for before it is over. */
static int64_t
newest_end(const SaasPoll *poll)
{
	const AwsState *state = poll->state;
	int64_t		now_s = poll->now_ms / 1000 + (state->skew_s < 0 ? state->skew_s : 0);

	return floor_to(now_s - LATE_S, periods[0]);
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

bool
SaasAwsPlanCalls(SaasPoll *poll, AwsRegion *region)
{
	const AwsState *state = poll->state;
	int64_t		end_s = newest_end(poll);
	int64_t		oldest_s = oldest_to_fill(poll);
	int64_t		piece_s = piece_length(state);
	int64_t		start_s = region->reach.until_s;
	size_t		batches = state->metric_count / BATCH + 1;

	region->calls = SaasArenaAlloc(poll->arena, 2 * PERIODS * batches * sizeof(AwsCall));
	if (region->calls == NULL)
		return false;
	region->next = (AwsReach) {end_s, region->reach.from_s};
	if (poll->is_test)
		return add_window(poll, region, end_s, end_s, false);
	if (start_s < end_s - piece_s || start_s > end_s)
	{
		/* Nothing yet, or a gap: it is filled from its end like the past. */
		region->next.from_s = later(end_s - piece_s, oldest_s);
		return add_window(poll, region, region->next.from_s, end_s, false);
	}
	if (!add_window(poll, region, start_s, end_s, false))
		return false;
	if (region->reach.from_s <= oldest_s)
		return true;
	region->next.from_s = later(region->reach.from_s - piece_s, oldest_s);
	return add_window(poll, region, region->next.from_s, region->reach.from_s, true);
}
