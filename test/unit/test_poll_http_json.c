/*
 * test_poll_http_json.c
 *	  connector/http_json.c: requests, values, labels, times, odd answers.
 */
#include "files.h"
#include "base/strbuf.h"
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
		{"1762950960.4424", true, 1762950960442},
		{"\"1762950960\"", true, 1762950960000},
		{"\"2025-11-12T12:36:00.442Z\"", true, 1762950960442},
		{"\"2025-11-12\"", false, 0},
		{"\"yesterday\"", false, 0},
		{"true", false, 0},
		{"null", false, 0},
		{"1e300", false, 0},
		{"[]", false, 0}
	};
	static const char *const untimely[] = {
		"0", "-5", "99999999999", "100000000000", "1762951261", "1760272559"
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
		"[{\"v\":1,\"t\":1762950001},{\"v\":2,\"t\":1762950002},{\"v\":3,\"t\":-5}]");
	ok(poll.samples.count == 3 && poll.samples.items[1].time_ms == 1762950002000 &&
	   poll.samples.items[2].time_ms == -5000, "a time per element");
	is_text(poll.details, "{\"samples\":3,\"skipped\":0,\"untimely\":1}", "with those that are not believed");
	for (size_t i = 0; i < sizeof(untimely) / sizeof(untimely[0]); i++)
	{
		snprintf(body, sizeof(body), "{\"a\":1,\"t\":%s}", untimely[i]);
		ask("[{\"name\":\"m\",\"path\":\"$.a\",\"time_path\":\"$.t\"}]", body);
		ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "22008") == 0 &&
		   poll.samples.count == 0, "%s: %s", untimely[i], poll.problem.message);
	}
	ask("[{\"name\":\"m\",\"path\":\"$.a\"}]", "{\"a\":1}");
	ok(is_one(1) && !poll.samples.items[0].has_time, "no time is asked for");
}

#define OAUTH(more)	"{\"url\":\"https://a.b/x\",\"auth\":\"client_credentials\"," \
	"\"token_url\":\"https://id.b/token\"" more ",\"metrics\":[{\"name\":\"m\",\"path\":\"$.a\"}]}"
#define CLIENT	"{\"client_id\":\"us er\",\"client_secret\":\"p:ss w&rd\"}"
#define TOKEN	"{\"access_token\":\"tok-1\",\"token_type\":\"bearer\",\"expires_in\":600}"

/* A secret that the poller stored in an earlier poll. */
static void
hold_token(SaasSecret *secret, int64_t expires_ms)
{
	*secret = (SaasSecret) {"access_token", "tok-0", poll.secrets};
	poll.secrets = secret;
	poll.token_expires_ms = expires_ms;
}

static void
test_client_credentials(void)
{
	static SaasSecret held;

	ok(start_poll(KIND, OAUTH(",\"scope\":\"read me\",\"audience\":\"https://a.b/\""), CLIENT) == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.method, "POST") == 0 && strcmp(poll.request.url, "https://id.b/token") == 0 &&
	   strcmp(sent_header("Content-Type"), "application/x-www-form-urlencoded") == 0,
	   "without a token the token endpoint comes first");
	is_text(poll.request.body, "grant_type=client_credentials&scope=read%20me&audience=https%3A%2F%2Fa.b%2F",
			"with scope and audience");
	is_text(sent_header("Authorization"), "Basic dXMlMjBlcjpwJTNBc3MlMjB3JTI2cmQ=",
			"the client's id and secret are encoded as in a form before they become Basic");
	is_text(validation.origin, "https://a.b:443 https://id.b:443", "the secrets belong to both origins");
	ok(answer(KIND, 200, TOKEN) == SAAS_STEP_STORE && strcmp(poll.request.url, "https://a.b/x") == 0 &&
	   strcmp(sent_header("Authorization"), "Bearer tok-1") == 0, "the token is stored, then used");
	ok(strcmp(secret_of(poll.new_secrets, "access_token"), "tok-1") == 0 && poll.new_secrets->next == NULL &&
	   poll.token_expires_ms == TEST_NOW_MS + 600000, "as a secret with its expiry");
	answer(KIND, 200, "{\"a\":1}");
	ok(is_one(1), "and the document is read");

	start_poll(KIND, OAUTH(",\"client_auth\":\"body\""), CLIENT);
	is_text(poll.request.body, "grant_type=client_credentials&client_id=us%20er&client_secret=p%3Ass%20w%26rd",
			"the client in the body");
	ok(sent_header("Authorization") == NULL, "and nowhere else");

	start_poll(KIND, OAUTH(""), CLIENT);
	hold_token(&held, TEST_NOW_MS + 60000);
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_REQUEST &&
	   strcmp(sent_header("Authorization"), "Bearer tok-0") == 0, "a stored token is used at once");
	ok(answer(KIND, 401, "") == SAAS_STEP_REQUEST && strcmp(poll.request.url, "https://id.b/token") == 0,
	   "one that is refused is renewed");
	ok(answer(KIND, 200, TOKEN) == SAAS_STEP_STORE, "and stored");
	ok(answer(KIND, 401, "") == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR, "once: %s",
	   poll.problem.message);

	start_poll(KIND, OAUTH(""), CLIENT);
	hold_token(&held, TEST_NOW_MS + 20000);
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.url, "https://id.b/token") == 0, "one that is about to expire is not used");
	answer(KIND, 200, "{\"access_token\":\"t\",\"expires_in\":\"90\"}");
	ok(poll.token_expires_ms == TEST_NOW_MS + 90000, "an expiry in a string, no type");
	start_poll(KIND, OAUTH(""), CLIENT);
	answer(KIND, 200, "{\"access_token\":\"t\"}");
	ok(poll.token_expires_ms == TEST_NOW_MS + 3600000, "an hour where the answer has none");
}

static void
test_token_refusals(void)
{
	static const struct
	{
		int			status;
		const char *body;
		SaasVerdict verdict;
		const char *message;
	}			cases[] = {
		{401, "{\"error\":\"invalid_client\"}", SAAS_VERDICT_REAUTH,
		"the token endpoint refused the client id or client secret (invalid_client)"},
		{400, "{\"error\":\"unauthorized_client\"}", SAAS_VERDICT_REAUTH,
		"the token endpoint refused the client id or client secret (unauthorized_client)"},
		{400, "{\"error\":\"invalid_scope\"}", SAAS_VERDICT_ERROR,
		"the token endpoint gave no token (invalid_scope)"},
		{200, "{\"error\":\"invalid_scope\",\"access_token\":\"t\"}", SAAS_VERDICT_ERROR,
		"the token endpoint gave no token (invalid_scope)"},
		{400, "{\"error\":\"temporarily_unavailable\"}", SAAS_VERDICT_RETRY,
		"the token endpoint is not available (temporarily_unavailable)"},
		{401, "", SAAS_VERDICT_REAUTH, "the token endpoint refused the credentials (HTTP 401)"},
		{429, "{}", SAAS_VERDICT_RETRY, "the token endpoint asks for fewer requests (HTTP 429)"},
		{503, "<html>", SAAS_VERDICT_RETRY, "the token endpoint is not available (HTTP 503)"},
		{400, "{\"error\":\"p:ss w&rd\"}", SAAS_VERDICT_ERROR, "the token endpoint answered HTTP 400"},
		{302, "", SAAS_VERDICT_ERROR, "the token endpoint answered HTTP 302"},
		{200, "{}", SAAS_VERDICT_ERROR, "the token endpoint's answer holds no access token"},
		{200, "{\"access_token\":\"a\\r\\nX: 1\"}", SAAS_VERDICT_ERROR,
		"the token endpoint's answer holds no access token"},
		{200, "{\"access_token\":\"t\",\"token_type\":\"mac\"}", SAAS_VERDICT_ERROR,
		"the token endpoint gives another kind of token than Bearer"},
		{200, "", SAAS_VERDICT_ERROR, "the token endpoint's answer is empty"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_poll(KIND, OAUTH(""), CLIENT);
		ok(answer(KIND, cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   poll.verdict == cases[i].verdict && poll.new_secrets == NULL, "case %zu has its verdict", i);
		is_text(poll.problem.message, cases[i].message, "and its message");
	}
}

static void
test_secret_places(void)
{
	start_poll(KIND, "{\"url\":\"https://a.b/x\",\"headers\":{\"X-Site\":\"1\"},"
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}",
			   "{\"header:X-Auth-Token\":\"one\",\"header:Authorization\":\"Token two\"}");
	is_text(sent_header("X-Auth-Token"), "one", "a header that is a secret");
	is_text(sent_header("Authorization"), "Token two", "a scheme of its own");
	is_text(sent_header("X-Site"), "1", "beside one that is none");
	ok(strstr(poll.config, "two") == NULL, "and the config does not have it");
	answer(KIND, 200, "{\"one two\" Token two");
	ok(poll.verdict == SAAS_VERDICT_ERROR && !is_shown(&poll.problem, "two"), "nor does an error");

	start_poll(KIND, "{\"url\":\"https://a.b/x?q=1\",\"auth\":\"api_key\",\"api_key_query\":\"app id\","
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}", "{\"api_key\":\"k&1\"}");
	is_text(poll.request.url, "https://a.b/x?q=1&app%20id=k%261", "a key in the query");
	ok(sent_header("X-API-Key") == NULL, "is in no header");
	start_poll(KIND, "{\"url\":\"https://a.b\",\"auth\":\"api_key\",\"api_key_query\":\"k\","
			   "\"metrics\":[{\"name\":\"m\",\"path\":\"$\"}]}", "{\"api_key\":\"1\"}");
	is_text(poll.request.url, "https://a.b/?k=1", "that begins with it");
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
	answer(KIND, 204, "");
	is_text(poll.problem.message, "the answer is empty (HTTP 204)", "204 brings nothing");
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer(KIND, 304, "");
	is_text(poll.problem.message, "the endpoint answered HTTP 304", "nor does 304, which was not asked for");
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer_bytes(KIND, 200, "text/html; charset=utf-8", "<html>", 6);
	ok(poll.verdict == SAAS_VERDICT_ERROR &&
	   strncmp(poll.problem.message, "the answer (text/html) is not JSON: ", 36) == 0, "a page: %s",
	   poll.problem.message);
	start_poll(KIND, config_of("[{\"name\":\"m\",\"path\":\"$.a\"}]"), "{}");
	answer_bytes(KIND, 200, "text/plain", "{\"a\":1}", 7);
	ok(is_one(1), "JSON by any other type");
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

/* A wildcard that finds its value last, for each label of each element: a large document many times over. */
static void
test_costly_paths(void)
{
	SaasArena  *own = SaasArenaCreate(4 * 1024 * 1024);
	SaasStrbuf	config;
	SaasStrbuf	body;

	SaasStrbufInit(&config, own);
	SaasStrbufInit(&body, own);
	SaasStrbufAppendText(&config, "{\"url\":\"https://a.b\",\"metrics\":"
						 "[{\"name\":\"m\",\"path\":\"$[*].v\",\"labels\":{\"none\":\"@[*].y\"");
	for (char label = 'a'; label < 'z'; label++)
		SaasStrbufPrintf(&config, ",\"%c\":\"@[*].x\"", label);
	SaasStrbufAppendText(&config, "}}]}");
	SaasStrbufAppendText(&body, "[0");
	for (int element = 0; element < 1000; element++)
	{
		SaasStrbufAppendText(&body, ",{\"v\":1");
		for (int i = 0; i < 96; i++)
			SaasStrbufPrintf(&body, ",\"%d\":[]", i);
		SaasStrbufAppendText(&body, ",\"z\":{\"x\":true}}");
	}
	SaasStrbufAppendChar(&body, ']');
	start_poll(KIND, SaasStrbufFinish(&config), NULL);
	answer(KIND, 200, SaasStrbufFinish(&body));
	ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "54000") == 0 && poll.samples.count == 0,
	   "what the paths look at is bounded");
	is_text(poll.problem.message, "the paths go through more than 2000000 values of the answer", "and says so");
	SaasArenaDestroy(own);
}

static void
test_large_ids(void)
{
	static const char config[] = "{\"url\":\"https://a.b\",\"metrics\":"
		"[{\"name\":\"m\",\"path\":\"$.i[*].v\",\"labels\":{\"id\":\"@.id\"}}]}";

	start_poll(KIND, config, NULL);
	answer(KIND, 200, "{\"i\":[{\"id\":1234567890123456789,\"v\":1},{\"id\":1234567890123456788,\"v\":2},"
		   "{\"id\":-7,\"v\":3}]}");
	ok(has_value("m", "{\"id\":\"1234567890123456789\"}", 1) && has_value("m", "{\"id\":\"1234567890123456788\"}", 2) &&
	   has_value("m", "{\"id\":\"-7\"}", 3), "ids that differ in their last digit are two series");
	start_poll(KIND, config, NULL);
	answer(KIND, 200, "{\"i\":[{\"id\":1,\"v\":123456789012345678901234567890}]}");
	ok(has_value("m", "{\"id\":\"1\"}", 123456789012345678901234567890.0), "a number of any length is one");
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
	test_client_credentials();
	test_token_refusals();
	test_secret_places();
	test_odd_answers();
	test_costly_paths();
	test_large_ids();
	test_spoilt();
	SaasArenaDestroy(arena);
	return tap_done();
}
