/*
 * http_json.c
 *	  Polls any endpoint that answers JSON; JSON paths pick the metrics.
 *
 * What makes a config valid is in http_json_config.c.  Everything in a config
 * is read again for each poll, with the same readers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/number.h"
#include "base/strbuf.h"
#include "connector/answer.h"
#include "connector/http_json.h"
#include "connector/kinds.h"
#include "connector/oauth.h"
#include "connector/poll.h"
#include "pure/exposition.h"
#include "pure/json.h"
#include "pure/jsonpath.h"

#define MAX_ANSWER			(4 * 1024 * 1024)
#define MAX_LOOKS			2000000 /* at values, by all paths of a poll: some 50 ms */
#define FIRST_MILLISECONDS	1e11	/* a smaller time is seconds, until the year 5138 */

static const char *const secret_names[] = {
	"bearer_token", "username", "password", "api_key", "client_id", "client_secret",
	"ca_certificate", "client_certificate", "client_key", SAAS_HTTP_JSON_HEADER "*", NULL
};

/* How far the poll is; only a connection with auth client_credentials has more than one request. */
typedef struct HttpJsonState
{
	bool		asks_token;		/* the request under way is the token endpoint's */
	bool		renewed;		/* the token is of this poll */
} HttpJsonState;

/* One label of a metric: a constant, or a path from the matched element. */
typedef struct LabelSource
{
	const char *name;
	const char *constant;
	SaasJsonPath *path;
} LabelSource;

/* One entry of the config's metrics. */
typedef struct MetricSource
{
	const char *name;
	SaasJsonPath *path;
	SaasJsonPath *time_path;
	LabelSource labels[SAAS_HTTP_JSON_MAX_LABELS];
	size_t		label_count;
	bool		is_distinct;	/* a label or the time depends on the element */
} MetricSource;

typedef struct Reading
{
	SaasPoll   *poll;
	json_t	   *answer;
	size_t		skipped;		/* counts what is left out, for the details */
	size_t		looks;			/* how many values the paths may still look at */
} Reading;

bool
SaasHttpJsonIsElementPath(const char *label)
{
	return label[0] == '@' && (label[1] == '.' || label[1] == '[');
}

static bool
is_auth(const json_t *config, const char *way)
{
	const char *auth = SaasJsonText(config, "auth");

	return auth != NULL && strcmp(auth, way) == 0;
}

/* With auth api_key: as a header, or in the query where the config says so. */
static bool
add_api_key(SaasPoll *poll, const json_t *config, const char *key)
{
	const char *parameter = SaasJsonText(config, "api_key_query");
	SaasStrbuf	url;

	if (parameter == NULL)
		return SaasRequestAddHeader(&poll->request, poll->arena,
									SaasJsonText(config, "api_key_header"), key);
	SaasStrbufInit(&url, poll->arena);
	SaasStrbufAppendText(&url, poll->request.url);
	SaasStrbufAppendChar(&url, strchr(poll->request.url, '?') != NULL ? '&' : '?');
	SaasStrbufAppendUrlEncoded(&url, parameter);
	SaasStrbufAppendChar(&url, '=');
	SaasStrbufAppendUrlEncoded(&url, key);
	poll->request.url = SaasStrbufFinish(&url);
	return poll->request.url != NULL;
}

/* token is the access token of auth client_credentials. */
static bool
add_credentials(SaasPoll *poll, const json_t *config, const char *token)
{
	const char *bearer = SaasPollSecret(poll, "bearer_token");
	const char *user = SaasPollSecret(poll, "username");
	const char *password = SaasPollSecret(poll, "password");
	const char *key = SaasPollSecret(poll, "api_key");

	if (is_auth(config, "client_credentials"))
		return token != NULL && SaasPollAddBearer(poll, token);
	if (is_auth(config, "bearer"))
		return bearer != NULL && SaasPollAddBearer(poll, bearer);
	if (is_auth(config, "basic"))
		return user != NULL && password != NULL && SaasPollAddBasic(poll, user, password);
	if (is_auth(config, "api_key"))
		return key != NULL && add_api_key(poll, config, key);
	return is_auth(config, "none");
}

static bool
has_header(const SaasRequest *request, const char *name)
{
	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
		if (strcasecmp(header->name, name) == 0)
			return true;
	return false;
}

/* A header that has come meanwhile with the config is not sent twice. */
static bool
add_secret_headers(SaasPoll *poll)
{
	size_t		prefix = strlen(SAAS_HTTP_JSON_HEADER);

	for (const SaasSecret *secret = poll->secrets; secret != NULL; secret = secret->next)
		if (strncmp(secret->name, SAAS_HTTP_JSON_HEADER, prefix) == 0 &&
			(has_header(&poll->request, secret->name + prefix) ||
			 !SaasRequestAddHeader(&poll->request, poll->arena, secret->name + prefix,
								   secret->value)))
			return false;
	return true;
}

static bool
add_headers(SaasPoll *poll, const json_t *config)
{
	json_t	   *headers = json_object_get(config, "headers");
	const char *name;
	json_t	   *value;
	bool		accepts = false;

	json_object_foreach(headers, name, value)
	{
		if (!SaasRequestAddHeader(&poll->request, poll->arena, name, json_string_value(value)))
			return false;
		accepts = accepts || strcasecmp(name, "Accept") == 0;
	}
	return accepts ||
		SaasRequestAddHeader(&poll->request, poll->arena, "Accept", "application/json");
}

/* A string is sent as it is, anything else as JSON. */
static bool
add_body(SaasPoll *poll, const json_t *config)
{
	json_t	   *body = json_object_get(config, "body");
	SaasRequest *request = &poll->request;
	const char *type = json_is_string(body) ? "text/plain; charset=utf-8" : "application/json";

	if (body == NULL || json_is_null(body))
		return true;
	if (json_is_string(body))
		request->body = SaasArenaStrdup(poll->arena, json_string_value(body));
	else
	{
		char	   *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);

		request->body = SaasArenaStrdup(poll->arena, text);
		free(text);
	}
	if (request->body == NULL)
		return false;
	request->body_length = strlen(request->body);
	return has_header(request, "Content-Type") ||
		SaasRequestAddHeader(request, poll->arena, "Content-Type", type);
}

/* The request for the document; step is what the poller is to do with it. */
static SaasStep
request_document(SaasPoll *poll, const json_t *config, const char *token, SaasStep step)
{
	HttpJsonState *state = poll->state;
	const char *method = SaasJsonText(config, "method");
	const char *url = SaasJsonText(config, "url");

	state->asks_token = false;
	if (method == NULL || url == NULL || !SaasPollRequest(poll, method, url, NULL) ||
		!add_headers(poll, config) || !add_credentials(poll, config, token) ||
		!add_secret_headers(poll) || !add_body(poll, config))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
							"no request can be made of the stored config and secrets");
	poll->request.max_response = MAX_ANSWER;
	return step;
}

static SaasStep
request_token(SaasPoll *poll, const json_t *config)
{
	HttpJsonState *state = poll->state;
	const char *client_auth = SaasJsonText(config, "client_auth");
	SaasOauthClient client = {
		.token_url = SaasJsonText(config, "token_url"),
		.scope = SaasJsonText(config, "scope"),
		.audience = SaasJsonText(config, "audience"),
		.in_body = client_auth != NULL && strcmp(client_auth, "body") == 0
	};

	state->asks_token = true;
	state->renewed = true;
	return SaasOauthRequest(poll, &client);
}

static SaasStep
start(SaasPoll *poll)
{
	json_t	   *config = SaasPollConfig(poll);
	const char *token = SaasOauthToken(poll);
	SaasStep	step;

	if (config == NULL)
		return SAAS_STEP_DONE;
	poll->state = SaasArenaAlloc(poll->arena, sizeof(HttpJsonState));
	if (poll->state == NULL)
		step = SaasPollFailMemory(poll);
	else if (is_auth(config, "client_credentials") && token == NULL)
		step = request_token(poll, config);
	else
		step = request_document(poll, config, token, SAAS_STEP_REQUEST);
	json_decref(config);
	return step;
}

static SaasJsonPath *
load_path(SaasPoll *poll, const char *text)
{
	SaasProblem problem;

	return text != NULL ? SaasJsonPathParse(text, poll->arena, &problem) : NULL;
}

static bool
load_labels(SaasPoll *poll, const json_t *entry, MetricSource *source)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(json_object_get(entry, "labels"), name, value)
	{
		const char *text = json_string_value(value);
		LabelSource *label = &source->labels[source->label_count];

		if (text == NULL || source->label_count >= SAAS_HTTP_JSON_MAX_LABELS)
			return false;
		label->name = SaasArenaStrdup(poll->arena, name);
		if (SaasHttpJsonIsElementPath(text))
			label->path = load_path(poll, text);
		else
			label->constant = SaasArenaStrdup(poll->arena, text);
		if (label->name == NULL || (label->path == NULL && label->constant == NULL))
			return false;
		source->is_distinct = source->is_distinct || label->path != NULL;
		source->label_count++;
	}
	return true;
}

static bool
load_metric(SaasPoll *poll, const json_t *entry, MetricSource *source)
{
	const char *time_path = SaasJsonText(entry, "time_path");

	memset(source, 0, sizeof(*source));
	source->name = SaasArenaStrdup(poll->arena, SaasJsonText(entry, "name"));
	source->path = load_path(poll, SaasJsonText(entry, "path"));
	source->time_path = load_path(poll, time_path);
	if (source->name == NULL || source->path == NULL ||
		(time_path != NULL && source->time_path == NULL))
		return false;
	source->is_distinct = source->time_path != NULL && SaasJsonPathIsRelative(source->time_path);
	return load_labels(poll, entry, source);
}

/* Numbers, numbers in strings, and truth values as 0 and 1. */
static bool
read_number(const json_t *value, double *number)
{
	if (json_is_string(value))
		return SaasNumberParse(json_string_value(value), json_string_length(value), number);
	if (json_is_boolean(value))
		*number = json_is_true(value) ? 1 : 0;
	else if (json_is_number(value))
		*number = json_number_value(value);
	else
		return false;
	return true;
}

static bool
read_time(const json_t *value, int64_t *time_ms)
{
	double		number;

	if (json_is_boolean(value))
		return false;
	if (!read_number(value, &number))
		return json_is_string(value) && SaasCalendarParseIso(json_string_value(value), time_ms);
	if (fabs(number) < FIRST_MILLISECONDS)
		number *= 1000;
	if (number < SAAS_MIN_TIME_MS || number > SAAS_MAX_TIME_MS)
		return false;
	*time_ms = llround(number);
	return true;
}

/* A label's text from a string, number or truth value, not always a copy; NULL for others. */
static const char *
label_text(SaasArena *arena, const json_t *value)
{
	double		number = json_number_value(value);

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	/* Ids of 17 digits and more are not the same because they are near each other. */
	if (json_is_integer(value))
		return SaasArenaPrintf(arena, "%lld", (long long) json_integer_value(value));
	if (!json_is_number(value))
		return NULL;
	if (fabs(number) < 1e15 && number == floor(number))
		return SaasArenaPrintf(arena, "%.0f", number);
	return SaasArenaPrintf(arena, "%.15g", number);
}

/* The labels of a match; NULL when one is missing or they are too long. */
static const char *
read_labels(Reading *reading, const MetricSource *source, const SaasJsonMatch *match)
{
	SaasArena  *arena = reading->poll->arena;
	SaasLabel	labels[SAAS_HTTP_JSON_MAX_LABELS];

	if (source->label_count == 0)
		return "{}";
	for (size_t i = 0; i < source->label_count; i++)
	{
		const LabelSource *label = &source->labels[i];

		labels[i].name = label->name;
		labels[i].value = label->constant != NULL ? label->constant :
			label_text(arena, SaasJsonPathFirst(label->path, match->element, &reading->looks));
		if (labels[i].value == NULL)
			return NULL;
	}
	return SaasLabelsToJson(labels, source->label_count, arena);
}

/* The sample of one match; false when the match makes none. */
static bool
read_match(Reading *reading, const MetricSource *source, const SaasJsonMatch *match,
		   SaasSample *sample)
{
	memset(sample, 0, sizeof(*sample));
	sample->metric = source->name;
	if (!read_number(match->value, &sample->value))
		return false;
	if (source->time_path != NULL)
	{
		json_t	   *start = SaasJsonPathIsRelative(source->time_path) ?
			match->element : reading->answer;

		if (!read_time(SaasJsonPathFirst(source->time_path, start, &reading->looks), &sample->time_ms))
			return false;
		sample->has_time = true;
	}
	sample->labels = read_labels(reading, source, match);
	return sample->labels != NULL;
}

static bool
fail_select(Reading *reading, const MetricSource *source)
{
	if (reading->looks == 0)
		SaasPollFail(reading->poll, SAAS_VERDICT_ERROR, "54000",
					 "the paths go through more than %d values of the answer", MAX_LOOKS);
	else
		SaasPollFail(reading->poll, SAAS_VERDICT_ERROR, "54000",
					 "the path of %s selects more values than one poll may yield", source->name);
	return false;
}

/* False with the verdict set when the poll is over. */
static bool
read_metric(Reading *reading, const MetricSource *source)
{
	SaasPoll   *poll = reading->poll;
	SaasJsonMatch *matches;
	size_t		count;

	if (!SaasJsonPathSelect(source->path, reading->answer, poll->arena, poll->max_samples,
							&reading->looks, &matches, &count))
		return fail_select(reading, source);
	if (count > 1 && !source->is_distinct)
	{
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
					 "the path of %s selects %zu values that have the same labels",
					 source->name, count);
		SaasProblemHint(&poll->problem,
						"Give the metric a label whose value is a path such as \"@.name\".");
		return false;
	}
	reading->skipped += count == 0;
	for (size_t i = 0; i < count; i++)
	{
		SaasSample	sample;

		if (!read_match(reading, source, &matches[i], &sample))
		{
			reading->skipped++;
			if (reading->looks == 0)
				return fail_select(reading, source);
		}
		else if (!SaasSampleListAdd(&poll->samples, poll->arena, &sample, poll->max_samples))
		{
			SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
						 "the answer holds more samples than one poll may yield");
			return false;
		}
	}
	return true;
}

static bool
read_metrics(Reading *reading, const json_t *config)
{
	json_t	   *metrics = json_object_get(config, "metrics");
	MetricSource source;
	size_t		i;
	json_t	   *entry;

	json_array_foreach(metrics, i, entry)
	{
		if (!load_metric(reading->poll, entry, &source))
		{
			SaasPollFail(reading->poll, SAAS_VERDICT_ERROR, "22023",
						 "metric %zu of the stored config cannot be read", i + 1);
			return false;
		}
		if (!read_metric(reading, &source))
			return false;
	}
	return true;
}

static SaasStep
read_document(SaasPoll *poll, json_t *answer, const json_t *config)
{
	Reading		reading = {poll, answer, 0, MAX_LOOKS};

	if (!read_metrics(&reading, config))
	{
		poll->samples.count = 0;
		return SAAS_STEP_DONE;
	}
	if (poll->samples.count == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "no metric found in the answer");
	return SaasAnswerDone(poll, SaasArenaPrintf(poll->arena, "{\"samples\":%zu,\"skipped\":%zu",
												poll->samples.count, reading.skipped));
}

static SaasStep
read_token(SaasPoll *poll, const SaasResponse *response, const json_t *config)
{
	const char *token = SaasOauthReadToken(poll, response);

	return token == NULL ? SAAS_STEP_DONE : request_document(poll, config, token, SAAS_STEP_STORE);
}

/* A stored token may have been revoked before its time; one that is new is as good as it gets. */
static SaasStep
refuse_token(SaasPoll *poll, const json_t *config)
{
	const HttpJsonState *state = poll->state;

	if (!state->renewed)
		return request_token(poll, config);
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
						"the endpoint refused the access token that it has just been given (HTTP 401)");
}

/* Whole numbers as they are; where one has more than 19 digits, all of them as real numbers. */
static json_t *
parse_body(const SaasResponse *response, SaasProblem *problem)
{
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, false, "the answer", problem);

	if (answer == NULL && strstr(problem->message, "a number is too large") != NULL)
		answer = SaasJsonRead(response->body, response->body_length, true, "the answer", problem);
	return answer;
}

static SaasStep
read_body(SaasPoll *poll, const SaasResponse *response, const json_t *config)
{
	SaasProblem problem = {.sqlstate = ""};
	const char *type;
	json_t	   *answer;
	SaasStep	step;

	if (response->body_length == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer is empty (HTTP %d)",
							response->status);
	type = SaasAnswerType(poll, response, "application/json");
	answer = parse_body(response, &problem);
	if (answer != NULL)
		step = read_document(poll, answer, config);
	else if (strncmp(problem.message, "the answer", 10) == 0)
		step = SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "the answer%s%s", type,
							problem.message + 10);
	else
		step = SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	json_decref(answer);
	return step;
}

static SaasStep
read_answer(SaasPoll *poll, const SaasResponse *response)
{
	const HttpJsonState *state = poll->state;
	json_t	   *config = SaasPollConfig(poll);
	SaasStep	step;

	if (config == NULL)
		return SAAS_STEP_DONE;
	if (state->asks_token)
		step = read_token(poll, response, config);
	else if (response->status == 401 && is_auth(config, "client_credentials"))
		step = refuse_token(poll, config);
	else if (response->status < 200 || response->status > 299)
		step = SaasPollFailStatus(poll, response, "the endpoint", NULL);
	else
		step = read_body(poll, response, config);
	json_decref(config);
	return step;
}

const SaasConnector SaasHttpJsonConnector = {
	.kind = "http_json",
	.title = "HTTP JSON",
	.secret_names = secret_names,
	.validate = SaasHttpJsonValidate,
	.start = start,
	.read = read_answer
};
