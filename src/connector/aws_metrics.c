/*
 * aws_metrics.c
 *	  Asks CloudWatch for the metrics of an AWS connection and reads them, each
 *	  region on a lane of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "connector/aws.h"
#include "connector/poll.h"
#include "pure/json.h"

#define WHO				"AWS CloudWatch"
#define TARGET			"GraniteServiceVersion20100801.GetMetricData"
#define MAX_POINTS		20000	/* of one page */
#define MAX_NEXT_TOKEN	8192
#define THROTTLE_TRIES	2		/* times that a throttled region is asked again in one poll */
#define THROTTLE_WAIT_S	2		/* doubled each time */

static const char *
body_of(SaasPoll *poll, const AwsRegion *region, size_t *length)
{
	const AwsState *state = poll->state;
	const AwsCall *call = &region->calls[region->call];
	SaasStrbuf	body;

	SaasStrbufInit(&body, poll->arena);
	SaasStrbufPrintf(&body, "{\"StartTime\":%lld,\"EndTime\":%lld,\"ScanBy\":\"TimestampAscending\","
					 "\"MaxDatapoints\":%d,\"MetricDataQueries\":[",
					 (long long) call->start_s, (long long) call->end_s, MAX_POINTS);
	for (size_t i = 0; i < call->count; i++)
		SaasStrbufPrintf(&body, "%s{\"Id\":\"m%zu\",\"MetricStat\":%s,\"ReturnData\":true}", i > 0 ? "," : "",
						 call->members[i], state->metrics[call->members[i]].query);
	SaasStrbufAppendChar(&body, ']');
	if (region->next_token != NULL)
	{
		SaasStrbufAppendText(&body, ",\"NextToken\":");
		SaasStrbufAppendJson(&body, region->next_token, strlen(region->next_token));
	}
	SaasStrbufAppendChar(&body, '}');
	*length = body.length;
	return SaasStrbufFinish(&body);
}

/* Makes the lane's request for the call and page that the region has come to. */
static SaasStep
request_page(SaasPoll *poll, SaasLane *lane)
{
	AwsState   *state = poll->state;
	AwsRegion  *region = lane->state;
	const char *url = state->endpoints.cloudwatch != NULL ?
		SaasArenaPrintf(poll->arena, "%s/", state->endpoints.cloudwatch) :
		SaasArenaPrintf(poll->arena, "https://monitoring.%s.%s/", region->name, state->domain);

	if (url == NULL || !SaasPollRequest(poll, "POST", url, NULL))
		return SaasPollFailMemory(poll);
	poll->request.body = body_of(poll, region, &poll->request.body_length);
	if (poll->request.body == NULL ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "Content-Type", "application/x-amz-json-1.0") ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "X-Amz-Target", TARGET))
		return SaasPollFailMemory(poll);
	if (!SaasAwsSign(poll, &state->session, region->name, "monitoring"))
		return poll->problem.sqlstate[0] == '\0' ? SaasPollFailMemory(poll) :
			SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the role's session cannot sign: %s", poll->problem.message);
	lane->request = poll->request;
	region->signed_skew_s = state->skew_s;
	state->requests++;
	return SAAS_STEP_REQUEST;
}

/*
 * Whether the poll may make one more request that it could do without, now at
 * least: what the other regions need for what is new is kept for them.
 */
static bool
has_spare_request(const AwsState *state, const AwsRegion *region)
{
	int			needed = 0;

	for (size_t i = 0; i < state->region_count; i++)
	{
		const AwsRegion *other = &state->regions[i];

		if (other == region || other->state != AWS_REGION_OPEN)
			continue;
		for (size_t call = other->call + 1; call < other->call_count; call++)
			needed += !other->calls[call].is_backfill;
	}
	return state->requests + needed < SAAS_POLL_MAX_REQUESTS;
}

/* The next call; one for the past can wait for another poll. */
static SaasStep
next_call(SaasPoll *poll, SaasLane *lane)
{
	const AwsState *state = poll->state;
	AwsRegion  *region = lane->state;
	bool		is_backfill;

	if (region->call >= region->call_count)
		return SaasPollDone(poll);
	is_backfill = region->calls[region->call].is_backfill;
	if (is_backfill || region->next_token != NULL ? has_spare_request(state, region) :
		state->requests < SAAS_POLL_MAX_REQUESTS)
		return request_page(poll, lane);
	if (!is_backfill)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
							"the metrics need more requests than one poll may make: %d", SAAS_POLL_MAX_REQUESTS);
	region->next.from_s = region->reach.from_s;
	return SaasPollDone(poll);
}

/* The metric that a result is of; NULL when the call did not ask for it. */
static const AwsMetric *
metric_of(const AwsState *state, const AwsRegion *region, const char *id)
{
	const AwsCall *call = &region->calls[region->call];
	char	   *end;
	unsigned long number;

	if (id == NULL || id[0] != 'm' || id[1] < '0' || id[1] > '9')
		return NULL;
	number = strtoul(id + 1, &end, 10);
	if (*end != '\0' || number >= state->metric_count)
		return NULL;
	return SaasAwsIsAsked(state, &state->metrics[number], region->number, call->period_s) ?
		&state->metrics[number] : NULL;
}

static bool
add_points(SaasPoll *poll, const AwsRegion *region, const AwsMetric *metric, const json_t *times,
		   const json_t *numbers)
{
	const AwsCall *call = &region->calls[region->call];

	for (size_t i = 0; i < json_array_size(times); i++)
	{
		double		time_s = json_number_value(json_array_get(times, i));
		double		value = json_number_value(json_array_get(numbers, i));
		SaasSample	sample = {
			.metric = metric->metric, .labels = metric->labels[region->number], .value = value,
			.has_time = true
		};

		/* What is no number, "NaN" for instance, is no value: least of all 0. */
		if (!json_is_number(json_array_get(numbers, i)) ||
			!(time_s >= (double) call->start_s && time_s < (double) call->end_s))
			continue;
		sample.time_ms = (int64_t) time_s * 1000;
		if (!SaasSampleListAdd(&poll->samples, poll->arena, &sample, poll->max_samples))
			return false;
	}
	return true;
}

/* One metric's values; SAAS_STEP_REQUEST to go on. */
static SaasStep
read_result(SaasPoll *poll, AwsRegion *region, const json_t *result)
{
	const char *status = SaasJsonText(result, "StatusCode");
	const AwsMetric *metric = metric_of(poll->state, region, SaasJsonText(result, "Id"));
	const json_t *times = json_object_get(result, "Timestamps");
	const json_t *numbers = json_object_get(result, "Values");

	if (metric == NULL || json_array_size(times) != json_array_size(numbers))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " is not what was asked for");
	if (status != NULL && strcmp(status, "InternalError") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_RETRY, "08006", WHO " could not read %s", metric->metric);
	if (status != NULL && strcmp(status, "Forbidden") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "the role may not read %s", metric->metric);
	if (status != NULL && strcmp(status, "PartialData") == 0)
		region->is_partial = true;
	if (!add_points(poll, region, metric, times, numbers))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
							"the metrics make more samples than one poll may yield");
	return SAAS_STEP_REQUEST;
}

/* The token of the next page; false when it is none that can be sent. */
static bool
read_next_token(SaasPoll *poll, AwsRegion *region, const json_t *answer)
{
	const json_t *token = json_object_get(answer, "NextToken");
	const char *text = json_string_value(token);
	bool		is_same = text != NULL && region->next_token != NULL && strcmp(text, region->next_token) == 0;

	region->next_token = NULL;
	if (token == NULL || json_is_null(token))
		return true;
	if (text == NULL || *text == '\0' || strlen(text) > MAX_NEXT_TOKEN || is_same)
		return false;
	region->next_token = SaasArenaStrdup(poll->arena, text);
	return region->next_token != NULL;
}

static SaasStep
read_page(SaasPoll *poll, SaasLane *lane, const json_t *answer)
{
	AwsState   *state = poll->state;
	AwsRegion  *region = lane->state;
	const json_t *results = json_object_get(answer, "MetricDataResults");
	bool		was_partial = region->is_partial;

	if (!json_is_array(results))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " holds no results");
	state->messages += json_array_size(json_object_get(answer, "Messages"));
	for (size_t i = 0; i < json_array_size(results); i++)
		if (read_result(poll, region, json_array_get(results, i)) == SAAS_STEP_DONE)
			return SAAS_STEP_DONE;
	if (!read_next_token(poll, region, answer))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " has a malformed NextToken");
	if (region->next_token == NULL)
		region->call++;
	else
		/* With a token behind it partial data are only the first part. */
		region->is_partial = was_partial;
	return next_call(poll, lane);
}

static SaasStep
read_good(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, true, "the answer of " WHO, &problem);
	SaasStep	step;

	if (answer == NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	step = read_page(poll, lane, answer);
	json_decref(answer);
	return step;
}

/*
 * Others of the account and region wait as well; this one asks again when they
 * may, some times.
 */
static SaasStep
read_throttled(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	const AwsState *state = poll->state;
	AwsRegion  *region = lane->state;
	int			wait_s = SaasAwsThrottle(poll, lane, response, THROTTLE_WAIT_S << region->throttled);

	/* Who asks for more is asked by another poll. */
	if (region->throttled == THROTTLE_TRIES || wait_s > SAAS_AWS_PAUSE_S || !has_spare_request(state, region))
		return SaasAwsFail(poll, response, WHO);
	region->throttled++;
	return request_page(poll, lane);
}

static SaasStep
read_bad(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	const AwsState *state = poll->state;
	AwsRegion  *region = lane->state;
	SaasAwsFault fault = SaasAwsFaultOf(SaasAwsErrorCode(response, poll->arena));

	if (fault == SAAS_AWS_THROTTLED || response->status == 429)
		return read_throttled(poll, lane, response);
	/* A session may end before its time: once per poll it is asked for anew. */
	if (fault == SAAS_AWS_EXPIRED && !state->session_is_new)
	{
		region->state = AWS_REGION_OUTDATED;
		return SAAS_STEP_DONE;
	}
	if (fault == SAAS_AWS_SIGNATURE && SaasAwsCorrectClock(poll, response, region->signed_skew_s))
		return request_page(poll, lane);
	return SaasAwsFail(poll, response, WHO);
}

/* Writes down how the region ended; the poll is not over with it. */
static SaasStep
end_region(SaasPoll *poll, AwsRegion *region, SaasStep step)
{
	if (step != SAAS_STEP_DONE || region->state == AWS_REGION_OUTDATED)
		return step;
	region->state = poll->verdict == SAAS_VERDICT_OK ? AWS_REGION_GOOD : AWS_REGION_FAILED;
	region->verdict = poll->verdict;
	region->problem = poll->problem;
	region->retry_after_s = poll->retry_after_s;
	poll->verdict = SAAS_VERDICT_OK;
	poll->problem = (SaasProblem) {.sqlstate = ""};
	poll->retry_after_s = 0;
	return step;
}

SaasStep
SaasAwsReadMetrics(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	AwsState   *state = poll->state;
	AwsRegion  *region = lane->state;
	SaasStep	step;

	state->asked = region;
	if (response == NULL)
		step = SaasAwsFailUnanswered(poll, lane);
	else if (response->status == 200)
		step = read_good(poll, lane, response);
	else
		step = read_bad(poll, lane, response);
	if (response != NULL && response->status == 200)
		region->throttled = 0;
	return end_region(poll, region, step);
}

/* A lane for the region, unless there is nothing to ask there. */
static bool
open_lane(SaasPoll *poll, AwsRegion *region)
{
	const AwsState *state = poll->state;
	SaasLane   *lane = &poll->lanes[poll->lane_count];
	SaasStep	step;

	region->state = AWS_REGION_OPEN;
	if (region->calls == NULL && !SaasAwsPlanCalls(poll, region))
		return false;
	region->next_token = NULL;
	lane->state = region;
	if (!SaasAwsMeter(poll, lane, "monitoring", region->name, state->endpoints.cloudwatch))
		return false;
	step = end_region(poll, region, next_call(poll, lane));
	if (step == SAAS_STEP_REQUEST)
		poll->lane_count++;
	return true;
}

SaasStep
SaasAwsStartMetrics(SaasPoll *poll)
{
	AwsState   *state = poll->state;

	state->phase = AWS_METRICS;
	poll->lane_count = 0;
	poll->lanes = SaasArenaAlloc(poll->arena, state->region_count * sizeof(SaasLane));
	if (poll->lanes == NULL)
		return SaasPollFailMemory(poll);
	for (size_t i = 0; i < state->region_count; i++)
		if (state->regions[i].state < AWS_REGION_GOOD && !open_lane(poll, &state->regions[i]))
			return SaasPollFailMemory(poll);
	return poll->lane_count > 0 ? SAAS_STEP_PARALLEL : SaasAwsJoin(poll);
}
