/*
 * aws_metrics.c
 *	  Asks CloudWatch for the metrics of an AWS connection and reads them.
 *
 * A poll asks for what is new, and again for the last windows, because data
 * arrive late and the store replaces what it has.  The past is filled in
 * piece by piece, newest first, one a poll, so that no poll grows long and
 * the newest values are there at once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "connector/aws.h"
#include "connector/poll.h"
#include "pure/json.h"

#define WHO				"AWS CloudWatch"
#define TARGET			"GraniteServiceVersion20100801.GetMetricData"
#define BATCH			500		/* queries of one call */
#define MAX_POINTS		20000	/* of one page */
#define MAX_NEXT_TOKEN	8192
#define LATE_S			300		/* younger windows are not complete yet */
#define OVERLAP_S		900		/* asked for again, at least */
#define BACKFILL_S		(30 * 86400)
#define FINE_S			(15 * 86400)	/* windows of a minute are kept so long */
#define MAX_SAMPLES		6000	/* of a piece */
#define MAX_ROWS		288		/* times of a piece: each is a row to store */

static const int periods[] = {60, 300, 900, 3600, 21600, 86400};

#define PERIODS	(sizeof(periods) / sizeof(periods[0]))

static int64_t
floor_to(int64_t time_s, int64_t unit_s)
{
	return time_s - time_s % unit_s;
}

static bool
is_asked(const AwsState *state, const AwsMetric *metric, size_t region, int period_s)
{
	return metric->period_s == period_s &&
		(metric->region != NULL ? metric->region == state->regions[region] : region < state->given_regions);
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

/* Calls for the metrics of a region and a period in a window, in batches. */
static bool
add_calls(SaasPoll *poll, const AwsCall *pattern)
{
	AwsState   *state = poll->state;
	size_t	   *members = SaasArenaAlloc(poll->arena, state->metric_count * sizeof(size_t));
	size_t		count = 0;

	if (members == NULL)
		return false;
	for (size_t i = 0; i < state->metric_count; i++)
		if (is_asked(state, &state->metrics[i], pattern->region, pattern->period_s))
			members[count++] = i;
	for (size_t first = 0; first < count; first += BATCH)
	{
		AwsCall    *call = &state->calls[state->call_count++];

		*call = *pattern;
		call->members = members + first;
		call->count = count - first < BATCH ? count - first : BATCH;
	}
	return true;
}

/* For all regions and periods; the windows of each period are whole ones. */
static bool
add_window(SaasPoll *poll, int64_t start_s, int64_t end_s, bool is_backfill)
{
	const AwsState *state = poll->state;

	for (size_t region = 0; region < state->region_count; region++)
		for (size_t i = 0; i < PERIODS; i++)
		{
			int			period = periods[i];
			int64_t		overlap = is_backfill ? 0 : period > OVERLAP_S ? period : OVERLAP_S;
			AwsCall		call = {
				.region = region, .period_s = period, .is_backfill = is_backfill,
				.start_s = floor_to(start_s - overlap, period), .end_s = floor_to(end_s, period)
			};

			if (period < 300 && call.start_s < floor_to(poll->now_ms / 1000 - FINE_S, 300) + 300)
				call.start_s = floor_to(poll->now_ms / 1000 - FINE_S, 300) + 300;
			if (call.start_s < call.end_s && !add_calls(poll, &call))
				return false;
		}
	return true;
}

/* What this poll asks for, and how far the data will reach when it ends well. */
static bool
plan_calls(SaasPoll *poll)
{
	AwsState   *state = poll->state;
	int64_t		now_s = poll->now_ms / 1000;
	int64_t		end_s = floor_to(now_s - LATE_S, periods[0]);
	int64_t		oldest_s = floor_to(now_s - BACKFILL_S, 3600);
	int64_t		piece_s = piece_length(state);
	int64_t		start_s = state->until_s;
	size_t		batches = state->metric_count / BATCH + 1;

	state->calls = SaasArenaAlloc(poll->arena, 2 * state->region_count * PERIODS * batches * sizeof(AwsCall));
	if (state->calls == NULL)
		return false;
	state->next_until_s = end_s;
	state->next_from_s = state->from_s;
	if (poll->is_test)
		return add_window(poll, end_s, end_s, false);
	if (start_s < end_s - piece_s || start_s > end_s)
	{
		/* Nothing yet, or a gap: it is filled from its end like the past. */
		start_s = end_s - piece_s;
		state->next_from_s = start_s;
		return add_window(poll, start_s, end_s, false);
	}
	if (!add_window(poll, start_s, end_s, false))
		return false;
	if (state->from_s <= oldest_s)
		return true;
	state->next_from_s = state->from_s - piece_s > oldest_s ? state->from_s - piece_s : oldest_s;
	return add_window(poll, state->next_from_s, state->from_s, true);
}

static const char *
body_of(SaasPoll *poll, const AwsCall *call, size_t *length)
{
	const AwsState *state = poll->state;
	SaasStrbuf	body;

	SaasStrbufInit(&body, poll->arena);
	SaasStrbufPrintf(&body, "{\"StartTime\":%lld,\"EndTime\":%lld,\"ScanBy\":\"TimestampAscending\","
					 "\"MaxDatapoints\":%d,\"MetricDataQueries\":[",
					 (long long) call->start_s, (long long) call->end_s, MAX_POINTS);
	for (size_t i = 0; i < call->count; i++)
		SaasStrbufPrintf(&body, "%s{\"Id\":\"m%zu\",\"MetricStat\":%s,\"ReturnData\":true}", i > 0 ? "," : "",
						 call->members[i], state->metrics[call->members[i]].query);
	SaasStrbufAppendChar(&body, ']');
	if (state->next_token != NULL)
	{
		SaasStrbufAppendText(&body, ",\"NextToken\":");
		SaasStrbufAppendJson(&body, state->next_token, strlen(state->next_token));
	}
	SaasStrbufAppendChar(&body, '}');
	*length = body.length;
	return SaasStrbufFinish(&body);
}

static SaasStep
request_page(SaasPoll *poll)
{
	AwsState   *state = poll->state;
	const AwsCall *call = &state->calls[state->call];
	const char *region = state->regions[call->region];
	const char *url = state->endpoints.cloudwatch != NULL ?
		SaasArenaPrintf(poll->arena, "%s/", state->endpoints.cloudwatch) :
		SaasArenaPrintf(poll->arena, "https://monitoring.%s.%s/", region, state->domain);

	if (url == NULL || !SaasPollRequest(poll, "POST", url, NULL))
		return SaasPollFailMemory(poll);
	poll->request.body = body_of(poll, call, &poll->request.body_length);
	if (poll->request.body == NULL ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "Content-Type", "application/x-amz-json-1.0") ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "X-Amz-Target", TARGET))
		return SaasPollFailMemory(poll);
	if (!SaasAwsSign(poll, &state->session, region, "monitoring"))
		return poll->problem.sqlstate[0] == '\0' ? SaasPollFailMemory(poll) :
			SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the role's session cannot sign: %s", poll->problem.message);
	state->requests++;
	return SAAS_STEP_REQUEST;
}

static SaasStep
end_well(SaasPoll *poll)
{
	AwsState   *state = poll->state;

	if (state->is_partial)
	{
		/* The samples are good; what is missing is asked for again. */
		state->next_until_s = state->until_s;
		state->next_from_s = state->from_s;
	}
	if (!poll->is_test && !SaasAwsKeepProgress(poll))
		return SaasPollFailMemory(poll);
	return SaasPollDone(poll);
}

/* The next call; one for the past can wait for another poll. */
static SaasStep
next_call(SaasPoll *poll)
{
	AwsState   *state = poll->state;

	state->next_token = NULL;
	if (state->call >= state->call_count)
		return end_well(poll);
	if (state->requests < SAAS_POLL_MAX_REQUESTS)
		return request_page(poll);
	if (!state->calls[state->call].is_backfill)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
							"the metrics need more requests than one poll may make: %d", SAAS_POLL_MAX_REQUESTS);
	state->next_from_s = state->from_s;
	return end_well(poll);
}

SaasStep
SaasAwsStartMetrics(SaasPoll *poll)
{
	AwsState   *state = poll->state;

	state->phase = AWS_METRICS;
	state->call = 0;
	state->call_count = 0;
	if (!plan_calls(poll))
		return SaasPollFailMemory(poll);
	return next_call(poll);
}

/* The metric that a result is of; NULL when the call did not ask for it. */
static const AwsMetric *
metric_of(const AwsState *state, const char *id)
{
	const AwsCall *call = &state->calls[state->call];
	char	   *end;
	unsigned long number;

	if (id == NULL || id[0] != 'm' || id[1] < '0' || id[1] > '9')
		return NULL;
	number = strtoul(id + 1, &end, 10);
	if (*end != '\0' || number >= state->metric_count)
		return NULL;
	return is_asked(state, &state->metrics[number], call->region, call->period_s) ?
		&state->metrics[number] : NULL;
}

static bool
add_points(SaasPoll *poll, const AwsMetric *metric, const json_t *times, const json_t *numbers)
{
	const AwsState *state = poll->state;
	const AwsCall *call = &state->calls[state->call];

	for (size_t i = 0; i < json_array_size(times); i++)
	{
		double		time_s = json_number_value(json_array_get(times, i));
		double		value = json_number_value(json_array_get(numbers, i));
		SaasSample	sample = {
			.metric = metric->metric, .labels = metric->labels[call->region], .value = value,
			.has_time = true
		};

		if (!(time_s >= (double) call->start_s && time_s < (double) call->end_s))
			continue;
		sample.time_ms = (int64_t) time_s * 1000;
		if (!SaasSampleListAdd(&poll->samples, poll->arena, &sample, poll->max_samples))
			return false;
	}
	return true;
}

/* One metric's values; SAAS_STEP_REQUEST to go on. */
static SaasStep
read_result(SaasPoll *poll, const json_t *result)
{
	AwsState   *state = poll->state;
	const char *status = SaasJsonText(result, "StatusCode");
	const AwsMetric *metric = metric_of(state, SaasJsonText(result, "Id"));
	const json_t *times = json_object_get(result, "Timestamps");
	const json_t *numbers = json_object_get(result, "Values");

	if (metric == NULL || json_array_size(times) != json_array_size(numbers))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " is not what was asked for");
	if (status != NULL && strcmp(status, "InternalError") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_RETRY, "08006", WHO " could not read %s", metric->metric);
	if (status != NULL && strcmp(status, "Forbidden") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "the role may not read %s", metric->metric);
	if (status != NULL && strcmp(status, "PartialData") == 0)
		state->is_partial = true;
	if (!add_points(poll, metric, times, numbers))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
							"the metrics make more samples than one poll may yield");
	return SAAS_STEP_REQUEST;
}

/* The token of the next page; false when it is none that can be sent. */
static bool
read_next_token(SaasPoll *poll, const json_t *answer)
{
	AwsState   *state = poll->state;
	const json_t *token = json_object_get(answer, "NextToken");
	const char *text = json_string_value(token);
	bool		is_same = text != NULL && state->next_token != NULL && strcmp(text, state->next_token) == 0;

	state->next_token = NULL;
	if (token == NULL || json_is_null(token))
		return true;
	if (text == NULL || *text == '\0' || strlen(text) > MAX_NEXT_TOKEN || is_same)
		return false;
	state->next_token = SaasArenaStrdup(poll->arena, text);
	return state->next_token != NULL;
}

static SaasStep
read_page(SaasPoll *poll, const json_t *answer)
{
	AwsState   *state = poll->state;
	const json_t *results = json_object_get(answer, "MetricDataResults");
	bool		was_partial = state->is_partial;

	if (!json_is_array(results))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " holds no results");
	state->messages += json_array_size(json_object_get(answer, "Messages"));
	for (size_t i = 0; i < json_array_size(results); i++)
		if (read_result(poll, json_array_get(results, i)) == SAAS_STEP_DONE)
			return SAAS_STEP_DONE;
	if (!read_next_token(poll, answer))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " has a malformed NextToken");
	if (state->next_token == NULL)
	{
		state->call++;
		return next_call(poll);
	}
	/* With a token behind it partial data are only the first part. */
	state->is_partial = was_partial;
	if (state->requests >= SAAS_POLL_MAX_REQUESTS)
		return next_call(poll);
	return request_page(poll);
}

/* A session may end before its time: once per poll it is asked for anew. */
static bool
is_outdated(const SaasPoll *poll, const SaasResponse *response)
{
	const AwsState *state = poll->state;

	return !state->session_is_new &&
		SaasAwsFaultOf(SaasAwsErrorCode(response, poll->arena)) == SAAS_AWS_EXPIRED;
}

SaasStep
SaasAwsReadMetrics(SaasPoll *poll, const SaasResponse *response)
{
	AwsState   *state = poll->state;
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer;
	SaasStep	step;

	if (response->status != 200 && is_outdated(poll, response))
	{
		state->phase = AWS_ASSUME;
		poll->samples.count = 0;
		return SaasAwsAssumeRole(poll);
	}
	if (response->status != 200)
		return SaasAwsFail(poll, response, WHO);
	answer = SaasJsonRead(response->body, response->body_length, true, "the answer of " WHO, &problem);
	if (answer == NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	step = read_page(poll, answer);
	json_decref(answer);
	return step;
}
