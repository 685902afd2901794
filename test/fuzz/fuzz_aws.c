/*
 * fuzz_aws.c
 *	  connector/aws*.c and pure/aws.c: answers of STS (first byte s, and t for
 *	  the one that gives a session) and of CloudWatch (m), each with a byte for
 *	  the status; what was stored of earlier polls (p); configs (c), files of
 *	  keys (k) and the header that names an error (h).
 *
 * Several answers are parted by a byte of 30; the last one is given again to
 * whatever is asked for after it.
 */
#include "pure/aws.h"

#include "polls.h"

#define PART		'\036'
#define ID			"019a7b8c-0000-7000-8000-000000000001"
#define ROLE		"\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:role/r\""
#define MAX_LANES	32
#define MAX_PAUSE_S	20			/* that a throttled account waits for */
#define DENIED		"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
#define EMPTY		"{\"MetricDataResults\":[]}"

static const char config[] =
	"{" ROLE ",\"regions\":[\"eu-west-1\",\"us-east-1\"],\"metrics\":[\"ses\",\"billing\","
	"{\"namespace\":\"N\",\"name\":\"n\",\"period\":60,\"dimensions\":{\"a\":\"b\"},\"stat\":\"p99.9\"}]}";
static const char secrets[] = "{\"access_key_id\":\"AKID\",\"secret_access_key\":\"" SECRET "\"}";

/* What comes, one after the other. */
typedef struct Answers
{
	int			status;
	const char *rest;
	size_t		length;
	const char *error_header;
	int			denials;		/* that come before them */
	int			given;
} Answers;

static const SaasConnector *
connector(void)
{
	return SaasConnectorFind("aws");
}

static void
add_secret(SaasPoll *poll, SaasArena *arena, const char *name, const char *value)
{
	SaasSecret *secret = SaasArenaAlloc(arena, sizeof(SaasSecret));

	must(secret != NULL);
	*secret = (SaasSecret) {name, value, poll->secrets};
	poll->secrets = secret;
}

static void
prepare(SaasPoll *poll, SaasArena *arena)
{
	SaasValidation validation;

	must(validate(connector(), &validation, arena, config, secrets));
	*poll = (SaasPoll) {
		.arena = arena, .config = validation.normalized, .secrets = validation.secret_list,
		.now_ms = NOW_MS, .max_samples = MAX_SAMPLES, .connection_id = ID, .aws_requests_per_second = 25
	};
}

/* After a poll that has passed the check of the role, with its session. */
static void
prepare_later(SaasPoll *poll, SaasArena *arena, const char *progress)
{
	prepare(poll, arena);
	add_secret(poll, arena, "progress", progress);
	add_secret(poll, arena, "session_access_key_id", "ASIA");
	add_secret(poll, arena, "session_secret_access_key", "s" SECRET);
	add_secret(poll, arena, "session_token", "t" SECRET);
	poll->token_expires_ms = NOW_MS + 3600000;
}

/* The next answer's text, of its own memory so that nothing may point into it. */
static char *
next_body(Answers *answers, int *status, size_t *length)
{
	const char *end = memchr(answers->rest, PART, answers->length);
	const char *body = answers->rest;
	char	   *copy;

	*status = answers->status;
	*length = end != NULL ? (size_t) (end - body) : answers->length;
	if (answers->given++ < answers->denials)
	{
		*status = 403;
		body = DENIED;
		*length = strlen(DENIED);
	}
	else if (end != NULL)
	{
		answers->rest = end + 1;
		answers->length -= *length + 1;
	}
	copy = malloc(*length + 1);
	must(copy != NULL);
	memcpy(copy, body, *length);
	copy[*length] = '\0';
	return copy;
}

static bool
answer_lane(SaasPoll *poll, SaasLane *lane, Answers *answers)
{
	SaasHeader	header = {"x-amzn-query-error", answers->error_header, NULL};
	SaasResponse response = {.content_type = "application/json"};
	char	   *body = next_body(answers, &response.status, &response.body_length);
	SaasStep	step;

	response.body = body;
	response.headers = answers->error_header != NULL ? &header : NULL;
	check_request(&lane->request);
	must(lane->meter.key != NULL && lane->meter.per_second == 25);
	step = connector()->read_lane(poll, lane, &response);
	memset(body, '~', response.body_length);
	free(body);
	must(step == SAAS_STEP_REQUEST || step == SAAS_STEP_DONE);
	must(lane->meter.pause_s >= 0 && lane->meter.pause_s <= MAX_PAUSE_S);
	return step == SAAS_STEP_REQUEST;
}

/* All lanes in turn, until none is open; then the poll goes on. */
static SaasStep
go_lanes(SaasPoll *poll, Answers *answers)
{
	bool		is_closed[MAX_LANES] = {false};
	size_t		open = poll->lane_count;

	must(open > 0 && open <= MAX_LANES);
	while (open > 0)
		for (size_t i = 0; i < poll->lane_count; i++)
			if (!is_closed[i] && !answer_lane(poll, &poll->lanes[i], answers))
			{
				is_closed[i] = true;
				open--;
			}
	return connector()->join(poll);
}

static void
go(SaasPoll *poll, Answers *answers)
{
	SaasStep	step = connector()->start(poll);

	while (step == SAAS_STEP_PARALLEL)
		step = go_lanes(poll, answers);
	must(step == SAAS_STEP_DONE && answers->given <= SAAS_POLL_MAX_REQUESTS);
	check_end(poll);
	for (size_t i = 0; i < poll->samples.count; i++)
		must(poll->samples.items[i].has_time && isfinite(poll->samples.items[i].value) &&
			 poll->samples.items[i].time_ms <= NOW_MS);
}

static void
fuzz_answers(SaasArena *arena, char kind, Answers *answers)
{
	SaasPoll	poll;

	if (kind == 'm')
		prepare_later(&poll, arena, "{\"role\":\"arn:aws:iam::123456789012:role/r\",\"external_id\":\"pg-saas-" ID "\"}");
	else
		prepare(&poll, arena);
	answers->denials = kind == 't' ? 2 : 0;
	go(&poll, answers);
}

/* Whatever is there of earlier polls, the next one ends. */
static void
fuzz_progress(SaasArena *arena, const char *text, size_t length)
{
	Answers		answers = {.status = 200, .rest = EMPTY, .length = strlen(EMPTY)};
	SaasPoll	poll;

	prepare_later(&poll, arena, SaasArenaStrndup(arena, text, length));
	go(&poll, &answers);
}

/* What is valid is stored in a form that is valid and stays as it is. */
static void
fuzz_config(SaasArena *arena, const char *text, size_t length)
{
	SaasValidation one;
	SaasValidation other;

	if (!validate(connector(), &one, arena, SaasArenaStrndup(arena, text, length), NULL))
	{
		check_problem(&one.problem);
		must(strcmp(one.problem.sqlstate, "22023") == 0);
		return;
	}
	must(validate(connector(), &other, arena, one.normalized, NULL));
	must(strcmp(one.normalized, other.normalized) == 0 && strcmp(one.origin, other.origin) == 0 &&
		 strcmp(one.account_key, other.account_key) == 0);
}

static void
fuzz_keys(SaasArena *arena, const char *text, size_t length)
{
	SaasProblem problem = {.sqlstate = ""};
	const char *id;
	const char *key;

	if (SaasAwsKeysParse(text, length, arena, &id, &key, &problem))
		must(id[0] != '\0' && key[0] != '\0');
	else
		check_problem(&problem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 400, 401, 403, 429, 500, 302, 503};
	const char *body = (const char *) data + 1;
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);

	if (size > 1 && strchr("stm", data[0]) != NULL && data[0] != '\0')
	{
		Answers		answers = {.status = statuses[data[1] % 8], .rest = body + 1, .length = size - 2};

		fuzz_answers(arena, (char) data[0], &answers);
	}
	else if (size > 0 && data[0] == 'h')
	{
		Answers		answers = {.status = 400, .rest = "", .error_header = SaasArenaStrndup(arena, body, size - 1)};

		fuzz_answers(arena, 'm', &answers);
	}
	else if (size > 0 && data[0] == 'p')
		fuzz_progress(arena, body, size - 1);
	else if (size > 0 && data[0] == 'c')
		fuzz_config(arena, body, size - 1);
	else if (size > 0 && data[0] == 'k')
		fuzz_keys(arena, body, size - 1);
	SaasArenaDestroy(arena);
	return 0;
}
