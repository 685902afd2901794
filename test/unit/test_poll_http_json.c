/*
 * test_poll_http_json.c
 *	  connector/http_json.c: requests, values, labels, times, odd answers.
 */
#include "files.h"
#include "polls.h"
#include "tap.h"

#define KIND	"http_json"

/* A config of that URL with these metrics. */
static const char *
config_of(const char *metrics)
{
	static char text[4096];

	snprintf(text, sizeof(text), "{\"url\":\"https://a.b/x\",\"metrics\":%s}", metrics);
	return text;
}

static void
ask(const char *metrics, const char *body)
{
	start_poll(KIND, config_of(metrics), "{}");
	answer(KIND, 200, body);
}

static bool
is_one(double value)
{
	return poll.verdict == SAAS_VERDICT_OK && poll.samples.count == 1 &&
		poll.samples.items[0].value == value;
}

static void
test_requests(void)
{
	ok(start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}") == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.method, "GET") == 0 && strcmp(poll.request.url, "https://a.b/x") == 0 &&
	   poll.request.body == NULL && poll.request.max_response > 0, "a GET");
	is_text(sent_header("Accept"), "application/json", "of JSON");
	ok(sent_header("Content-Type") == NULL && sent_header("Authorization") == NULL, "and no more");

	start_poll(KIND, "{\"url\":\"https://a.b\",\"method\":\"POST\",\"body\":{\"q\":[1,2.5,\"é\"]},"
			   "\"headers\":{\"X-Tenant\":\"7\",\"accept\":\"text/x\"},\"auth\":\"bearer\","
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}", "{\"bearer_token\":\"t\"}");
	is_text(poll.request.body, "{\"q\":[1,2.5,\"é\"]}", "a JSON body");
	is_text(sent_header("Content-Type"), "application/json", "with its type");
	is_text(sent_header("X-Tenant"), "7", "a header");
	ok(sent_header("Accept") == NULL && sent_header("accept") != NULL, "a given Accept is the only one");
	is_text(sent_header("Authorization"), "Bearer t", "a bearer token");

	start_poll(KIND, "{\"url\":\"https://a.b\",\"method\":\"POST\",\"body\":\"plain\",\"auth\":\"basic\","
			   "\"headers\":{\"content-type\":\"text/csv\"},"
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}",
			   "{\"username\":\"Aladdin\",\"password\":\"open sesame\"}");
	ok(strcmp(poll.request.body, "plain") == 0 && poll.request.body_length == 5 &&
	   sent_header("Content-Type") == NULL, "a text body with a given type");
	is_text(sent_header("Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "a password");

	start_poll(KIND, "{\"url\":\"https://a.b\",\"auth\":\"api_key\","
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}", "{\"api_key\":\"k\"}");
	is_text(sent_header("X-API-Key"), "k", "an API key");
	poll.secrets = NULL;
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR,
	   "no request without the secret: %s", poll.problem.message);
}

static void
test_values(void)
{
	static const struct
	{
		const char *body;
		bool		is_value;
		double		value;
	}			cases[] = {
		{"{\"a\":1.5}", true, 1.5},
		{"{\"a\":-3}", true, -3},
		{"{\"a\":true}", true, 1},
		{"{\"a\":false}", true, 0},
		{"{\"a\":\"12.5\"}", true, 12.5},
		{"{\"a\":\"1e3\"}", true, 1000},
		{"{\"a\":123456789012345678901234567890}", true, 123456789012345678901234567890.0},
		{"{\"a\":\" 1\"}", false, 0},
		{"{\"a\":\"NaN\"}", false, 0},
		{"{\"a\":\"0x10\"}", false, 0},
		{"{\"a\":\"\"}", false, 0},
		{"{\"a\":null}", false, 0},
		{"{\"a\":[1]}", false, 0},
		{"{\"a\":{}}", false, 0},
		{"{\"b\":1}", false, 0},
		{"{}", false, 0},
		{"[]", false, 0},
		{"null", false, 0},
		{"{\"error\":\"internal\"}", false, 0}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ask("[{\"name\":\"m\",\"path\":\"$.a\"}]", cases[i].body);
		if (cases[i].is_value)
			ok(is_one(cases[i].value), "%s is a value", cases[i].body);
		else
			ok(poll.verdict == SAAS_VERDICT_ERROR &&
			   strcmp(poll.problem.message, "no metric found in the answer") == 0,
			   "%s is none", cases[i].body);
	}
	ask("[{\"name\":\"m\",\"path\":\"$\"}]", "42");
	ok(is_one(42), "an answer that is just a number");
	ask("[{\"name\":\"m\",\"path\":\"$.a\"},{\"name\":\"n\",\"path\":\"$.b\"}]", "{\"b\":2}");
	ok(is_one(2) && strcmp(poll.samples.items[0].metric, "n") == 0, "one of two metrics");
	is_text(poll.details, "{\"samples\":1,\"skipped\":1}", "details");
}

static void
test_labels(void)
{
	ask("[{\"name\":\"m\",\"path\":\"$.i[*].v\",\"labels\":{\"z\":\"@.n\",\"a\":\"x\"}}]",
		"{\"i\":[{\"v\":1,\"n\":\"one\"},{\"v\":2,\"n\":2},{\"v\":3},{\"n\":\"x\"},"
		"{\"v\":4,\"n\":true},{\"v\":5,\"n\":0.5}]}");
	ok(poll.samples.count == 4 && has_value("m", "{\"a\":\"x\",\"z\":\"one\"}", 1) &&
	   has_value("m", "{\"a\":\"x\",\"z\":\"2\"}", 2) &&
	   has_value("m", "{\"a\":\"x\",\"z\":\"true\"}", 4) &&
	   has_value("m", "{\"a\":\"x\",\"z\":\"0.5\"}", 5), "a sample per element with its labels");
	is_text(poll.details, "{\"samples\":4,\"skipped\":1}", "an element without the label is skipped");
	ask("[{\"name\":\"m\",\"path\":\"$.i[*]\"}]", "{\"i\":[1,2]}");
	ok(poll.verdict == SAAS_VERDICT_ERROR && poll.samples.count == 0, "values without a difference: %s",
	   poll.problem.message);
	ask("[{\"name\":\"m\",\"path\":\"$.i[*]\"}]", "{\"i\":[7]}");
	ok(is_one(7), "a single element needs none");
	ask("[{\"name\":\"m\",\"path\":\"$.a\",\"labels\":{\"l\":\"@home\"}}]", "{\"a\":1}");
	ok(has_value("m", "{\"l\":\"@home\"}", 1), "a constant that begins with @");
}

static void
test_times(void)
{
	static const struct
	{
		const char *time;
		bool		is_time;
		long long	expected;
	}			cases[] = {
		{"1762950960", true, 1762950960000},
		{"1762950960.5", true, 1762950960500},
		{"1762950960442", true, 1762950960442},
		{"99999999999", true, 99999999999000},
		{"100000000000", true, 100000000000},
		{"\"1762950960\"", true, 1762950960000},
		{"\"2025-11-12T12:36:00.442Z\"", true, 1762950960442},
		{"0", true, 0},
		{"-5", true, -5000},
		{"\"2025-11-12\"", false, 0},
		{"\"yesterday\"", false, 0},
		{"true", false, 0},
		{"null", false, 0},
		{"1e300", false, 0},
		{"[]", false, 0}
	};
	char		body[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		snprintf(body, sizeof(body), "{\"a\":1,\"t\":%s}", cases[i].time);
		ask("[{\"name\":\"m\",\"path\":\"$.a\",\"time_path\":\"$.t\"}]", body);
		ok(cases[i].is_time ? is_one(1) && poll.samples.items[0].has_time &&
		   poll.samples.items[0].time_ms == cases[i].expected : poll.verdict == SAAS_VERDICT_ERROR,
		   "%s is %s", cases[i].time, cases[i].is_time ? "a time" : "no time");
	}
	ask("[{\"name\":\"m\",\"path\":\"$[*].v\",\"time_path\":\"@.t\"}]",
		"[{\"v\":1,\"t\":1},{\"v\":2,\"t\":2}]");
	ok(poll.samples.count == 2 && poll.samples.items[1].time_ms == 2000, "a time per element");
	ask("[{\"name\":\"m\",\"path\":\"$.a\"}]", "{\"a\":1}");
	ok(is_one(1) && !poll.samples.items[0].has_time, "no time is asked for");
}

static void
test_odd_answers(void)
{
	static const char *const bodies[] = {
		"", "<html>", "{\"a\":1", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}", "{\"a\":1e999}", "{\"hunter22\" 1}"
	};
	char	   *deep = malloc(10000);

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		start_poll(KIND, "{\"url\":\"https://a.b\",\"auth\":\"bearer\","
				   "\"metrics\":[{\"name\":\"m\",\"path\":\"$.a\"}]}", "{\"bearer_token\":\"hunter22\"}");
		ok(answer(KIND, 200, bodies[i]) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR &&
		   strncmp(poll.problem.message, "the answer is ", 14) == 0 &&
		   !is_shown(&poll.problem, "hunter22"), "refused: %s", poll.problem.message);
	}
	memset(deep, '[', 5000);
	memset(deep + 5000, ']', 5000);
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer_bytes(KIND, 200, "", deep, 10000);
	ok(poll.verdict == SAAS_VERDICT_ERROR, "deep nesting: %s", poll.problem.message);
	free(deep);

	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer_bytes(KIND, 200, "", "{\"a\":1}\0", 8);
	ok(poll.verdict == SAAS_VERDICT_ERROR, "a NUL byte: %s", poll.problem.message);
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer(KIND, 201, "{\"a\":1}");
	ok(is_one(1), "201 is a success too");
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer_header = (SaasHeader) {"retry-after", "5", NULL};
	answer(KIND, 429, "{\"a\":1}");
	ok(poll.verdict == SAAS_VERDICT_RETRY && poll.retry_after_s == 5 && poll.samples.count == 0,
	   "429: %s", poll.problem.message);
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	poll.config = "{\"metrics\":[{\"name\":\"m\"}]}";
	answer(KIND, 200, "{\"a\":1}");
	ok(poll.verdict == SAAS_VERDICT_ERROR, "a spoilt config: %s", poll.problem.message);
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$[*]\",\"time_path\":\"@\"}]"), "{}");
	poll.max_samples = 2;
	answer(KIND, 200, "[1,2,3]");
	ok(poll.verdict == SAAS_VERDICT_ERROR && poll.samples.count == 0 &&
	   strcmp(poll.problem.sqlstate, "54000") == 0, "too many samples: %s", poll.problem.message);
}

static void
test_spoilt(void)
{
	static const char body[] =
		"{\"a\":1,\"i\":[{\"v\":1,\"n\":\"one\",\"t\":1762950960},{\"v\":\"2\",\"n\":2,"
		"\"t\":\"2025-11-12T12:36:00Z\"}],\"o\":{\"x\":true,\"y\":null}}";
	uint64_t	state = 5;
	size_t		failed = 0;

	for (int i = 0; i < 5000; i++)
	{
		size_t		length;
		char	   *spoilt = spoil(body, sizeof(body) - 1, &state, &length);
		char	   *copy = strndup(spoilt, length);

		ask("[{\"name\":\"a\",\"path\":\"$.a\"},{\"name\":\"b\",\"path\":\"$.i[*].v\","
			"\"labels\":{\"n\":\"@.n\"},\"time_path\":\"@.t\"},{\"name\":\"c\",\"path\":\"$.o.*\"}]", copy);
		failed += poll.verdict != SAAS_VERDICT_OK;
		free(spoilt);
		free(copy);
	}
	ok(failed > 2000 && failed < 5000, "of 5000 spoilt answers %zu fail and none crashes", failed);
}

int
main(void)
{
	test_requests();
	test_values();
	test_labels();
	test_times();
	test_odd_answers();
	test_spoilt();
	SaasArenaDestroy(arena);
	return tap_done();
}
