/*
 * test_poll_salesforce.c
 *	  connector/salesforce.c: requests, refresh of tokens, verdicts.
 */
#include <jansson.h>

#include "pure/json.h"

#include "files.h"
#include "polls.h"
#include "tap.h"

#define KIND		"salesforce"
#define CONFIG		"{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"https://acme.my.salesforce.com\"}"
#define ALL_SECRETS	"{\"client_id\":\"c&d\",\"client_secret\":\"s=t 1\",\"access_token\":\"old-access\"," \
	"\"refresh_token\":\"old-refresh\"}"
#define LIMITS_URL	"https://acme.my.salesforce.com/services/data/v66.0/limits/"
#define TOKEN_URL	"https://login.salesforce.com/services/oauth2/token"
#define EXPIRED		"[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]"
#define TWO_HOURS	INT64_C(7200000)

static char *limits_body;
static char *token_body;
static json_t *errors;

static bool
requests(const char *method, const char *url)
{
	return strcmp(poll.request.method, method) == 0 && strcmp(poll.request.url, url) == 0;
}

/* The answer of that name among the documented errors. */
static SaasStep
answer_error(const char *name)
{
	json_t	   *entry = json_object_get(errors, name);
	char	   *body = json_dumps(json_object_get(entry, "body"), 0);
	SaasStep	step = answer(KIND, (int) json_integer_value(json_object_get(entry, "status")), body);

	free(body);
	return step;
}

/* A poll that waits for the answer of the token endpoint. */
static void
ask_token(void)
{
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer(KIND, 401, EXPIRED);
}

static bool
ended(SaasVerdict verdict, const char *message)
{
	return poll.verdict == verdict && strcmp(poll.problem.message, message) == 0 &&
		poll.problem.sqlstate[0] != '\0' && poll.samples.count == 0;
}

static void
test_limits(void)
{
	ok(start_poll(KIND, CONFIG, "{\"access_token\":\"at\"}") == SAAS_STEP_REQUEST &&
	   requests("GET", LIMITS_URL), "the limits are asked for");
	is_text(sent_header("Authorization"), "Bearer at", "with the token");
	is_text(sent_header("Accept"), "application/json", "as JSON");
	ok(poll.request.body == NULL && poll.request.max_response > 0, "no body, a bounded answer");
	ok(answer(KIND, 200, limits_body) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   poll.samples.count == 52 * 4, "52 limits make 208 samples");
	ok(has_value("salesforce_limit_max", "{\"limit\":\"DailyApiRequests\"}", 5000) &&
	   has_value("salesforce_limit_remaining", "{\"limit\":\"DailyApiRequests\"}", 4937) &&
	   has_value("salesforce_limit_used", "{\"limit\":\"DailyApiRequests\"}", 63) &&
	   has_value("salesforce_limit_percent", "{\"limit\":\"DailyApiRequests\"}", 1.26), "of each four");
	ok(has_value("salesforce_limit_percent",
				 "{\"limit\":\"PrivateConnectOutboundCalloutHourlyLimitMB\"}", 0), "no limit, 0 percent");
	ok(has_value("salesforce_limit_used", "{\"limit\":\"PermissionSets.CreateCustom\"}", 1), "a nested one");
	is_text(poll.details, "{\"limits\":52,\"api_version\":\"66.0\"}", "details");
	ok(poll.new_secrets == NULL && poll.token_expires_ms == 0, "no token changes");

	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer(KIND, 200, "{\"A \\\"b\\\"\":{\"Max\":10,\"Remaining\":-5}}");
	ok(has_value("salesforce_limit_remaining", "{\"limit\":\"A \\\"b\\\"\"}", -5) &&
	   has_value("salesforce_limit_percent", "{\"limit\":\"A \\\"b\\\"\"}", 150), "overdrawn limits");
	start_poll(KIND, CONFIG, ALL_SECRETS);
	poll.max_samples = 100;
	answer(KIND, 200, limits_body);
	ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "54000") == 0 &&
	   poll.samples.count == 0, "more samples than allowed: %s", poll.problem.message);
}

static void
test_first_token(void)
{
	ok(start_poll(KIND, CONFIG, "{\"client_id\":\"c&d\",\"client_secret\":\"s=t 1\","
				  "\"refresh_token\":\"r/t\"}") == SAAS_STEP_REQUEST && requests("POST", TOKEN_URL),
	   "without an access token one is asked for");
	is_text(poll.request.body, "grant_type=refresh_token&client_id=c%26d&client_secret=s%3Dt%201"
			"&refresh_token=r%2Ft", "as a form");
	ok(poll.request.body_length == strlen(poll.request.body), "of that length");
	is_text(sent_header("Content-Type"), "application/x-www-form-urlencoded", "with its type");
	ok(sent_header("Authorization") == NULL, "and no token in a header");
	ok(answer(KIND, 200, token_body) == SAAS_STEP_STORE && requests("GET", LIMITS_URL),
	   "it is stored before the limits are asked for");
	is_text(sent_header("Authorization"), "Bearer 00D5e000001N20Q!AQ8AQEn1ZLDFx4OXDEXAMPLEACCESSTOKEN",
			"and used");
	is_text(secret_of(poll.new_secrets, "access_token"),
			"00D5e000001N20Q!AQ8AQEn1ZLDFx4OXDEXAMPLEACCESSTOKEN", "the new token is handed out");
	ok(secret_of(poll.new_secrets, "refresh_token") == NULL, "the refresh token stays");
	ok(poll.token_expires_ms == TEST_NOW_MS + TWO_HOURS, "the token lives two hours from issued_at");
	ok(answer(KIND, 200, limits_body) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK, "done");
	is_text(poll.details, "{\"limits\":52,\"api_version\":\"66.0\"}", "details");

	start_poll(KIND, CONFIG, "{\"client_id\":\"c\",\"refresh_token\":\"r\"}");
	is_text(poll.request.body, "grant_type=refresh_token&client_id=c&refresh_token=r",
			"the client secret is optional");
}

static void
test_refused_token(void)
{
	ok(start_poll(KIND, CONFIG, ALL_SECRETS) == SAAS_STEP_REQUEST && requests("GET", LIMITS_URL),
	   "a token is used");
	ok(answer_error("api_session_expired") == SAAS_STEP_REQUEST && requests("POST", TOKEN_URL),
	   "until it is refused");
	ok(strstr(poll.request.body, "refresh_token=old-refresh") != NULL, "then it is renewed");
	ok(answer(KIND, 200, token_body) == SAAS_STEP_STORE && requests("GET", LIMITS_URL), "and tried again");
	ok(answer_error("api_session_expired") == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR,
	   "once: %s", poll.problem.message);
	ok(poll.new_secrets != NULL, "the new tokens stay");

	ask_token();
	answer(KIND, 200, "{\"access_token\":\"new-access\",\"refresh_token\":\"new-refresh\"}");
	poll.new_secrets = NULL;
	answer(KIND, 400, "[{\"errorCode\":\"new-access\"}]");
	ok(poll.verdict == SAAS_VERDICT_ERROR && !is_shown(&poll.problem, "new-access"),
	   "a new token is a secret after it was stored too: %s", poll.problem.message);
	start_poll(KIND, CONFIG, "{\"access_token\":\"a\"}");
	ok(answer(KIND, 401, EXPIRED) == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "Access token expired. Please re-authenticate this connection."),
	   "without a refresh token the owner must act");
	start_poll(KIND, CONFIG, ALL_SECRETS);
	ok(answer_error("api_bad_auth_header") == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR &&
	   strstr(poll.problem.message, "INVALID_AUTH_HEADER") != NULL, "another 401: %s",
	   poll.problem.message);
}

static void
test_ahead(void)
{
	static const struct
	{
		int64_t		expires_in_ms;
		const char *url;
	}			cases[] = {
		{5 * 60 * 1000 + 1, LIMITS_URL},
		{5 * 60 * 1000, TOKEN_URL},
		{0, TOKEN_URL},
		{-TEST_NOW_MS, LIMITS_URL},	/* unknown */
		{-1, TOKEN_URL}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_poll(KIND, CONFIG, ALL_SECRETS);
		memset(&poll.request, 0, sizeof(poll.request));
		poll.token_expires_ms = TEST_NOW_MS + cases[i].expires_in_ms;
		ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_REQUEST &&
		   strcmp(poll.request.url, cases[i].url) == 0, "a token that expires in %lld ms",
		   (long long) cases[i].expires_in_ms);
	}
	start_poll(KIND, CONFIG, "{\"access_token\":\"a\"}");
	poll.token_expires_ms = TEST_NOW_MS;
	SaasConnectorFind(KIND)->start(&poll);
	ok(requests("GET", LIMITS_URL) && poll.token_expires_ms == TEST_NOW_MS,
	   "one that cannot be renewed is used to the end");
}

static void
test_token_answers(void)
{
	ask_token();
	ok(answer(KIND, 200, "{\"access_token\":\"new\",\"refresh_token\":\"rotated\",\"issued_at\":\"1\"}") ==
	   SAAS_STEP_STORE, "a rotated refresh token");
	is_text(secret_of(poll.new_secrets, "refresh_token"), "rotated", "is handed out");
	ok(poll.token_expires_ms == TEST_NOW_MS + TWO_HOURS, "an absurd issued_at counts as now");
	ask_token();
	answer(KIND, 200, "{\"access_token\":\"new\",\"refresh_token\":\"old-refresh\",\"expires_in\":60}");
	ok(secret_of(poll.new_secrets, "refresh_token") == NULL &&
	   poll.token_expires_ms == TEST_NOW_MS + 60000, "the same one is not, and expires_in is believed");

	ask_token();
	answer(KIND, 200, "{\"access_token\":\"new\",\"instance_url\":\"https://EVIL.example\"}");
	ok(requests("GET", LIMITS_URL), "another instance_url is not followed");
	answer(KIND, 200, limits_body);
	is_text(poll.details, "{\"limits\":52,\"api_version\":\"66.0\","
			"\"instance_url_not_followed\":\"https://evil.example:443\"}", "but mentioned");
}

static void
test_bad_token_answers(void)
{
	static const char *const bodies[] = {
		"{}", "[]", "\"new\"", "{\"access_token\":1}", "{\"access_token\":\"\"}",
		"{\"access_token\":\"a\\r\\nX: y\"}", "{\"access_token\":\"a b\"}", "{\"access_token\":\"é\"}",
		"{\"access_token\":\"a\",\"access_token\":\"b\"}", "{\"access_token\":\"a\",\"refresh_token\":1}",
		"{\"access_token\":\"old-refresh\" x}", "", "<html>", "{\"access_token\":\"a\\u0000\"}"
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		ask_token();
		ok(answer(KIND, 200, bodies[i]) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR &&
		   poll.new_secrets == NULL && !is_shown(&poll.problem, "old-refresh"),
		   "no token answer: %s", poll.problem.message);
	}
}

static void
test_token_errors(void)
{
	static const struct
	{
		int			status;
		const char *body;
		SaasVerdict verdict;
		const char *part;
	}			cases[] = {
		{400, "{\"error\":\"invalid_client_credentials\"}", SAAS_VERDICT_REAUTH, "client secret"},
		{401, "{\"error\":\"invalid_client\"}", SAAS_VERDICT_REAUTH, "client secret"},
		{400, "{\"error\":\"inactive_user\"}", SAAS_VERDICT_REAUTH, "inactive_user"},
		{400, "{\"error\":\"invalid_request\"}", SAAS_VERDICT_ERROR, "HTTP 400 invalid_request"},
		{400, "{\"error\":\"old-refresh\"}", SAAS_VERDICT_ERROR, "HTTP 400"},
		{400, "{\"error\":\"a b\\nc\"}", SAAS_VERDICT_ERROR, "HTTP 400"},
		{400, "<html>", SAAS_VERDICT_ERROR, "HTTP 400"},
		{200, "{\"error\":\"invalid_grant\"}", SAAS_VERDICT_REAUTH, "Access token expired."},
		{302, "", SAAS_VERDICT_ERROR, "HTTP 302"},
		{400, "{\"error\":\"rate_limit_exceeded\"}", SAAS_VERDICT_RETRY, "rate_limit_exceeded"},
		{429, "{\"error\":\"invalid_grant\"}", SAAS_VERDICT_RETRY, "429"},
		{408, "", SAAS_VERDICT_RETRY, "408"},
		{500, "", SAAS_VERDICT_RETRY, "500"},
		{503, "<html>", SAAS_VERDICT_RETRY, "503"}
	};

	ask_token();
	ok(answer_error("token_invalid_grant") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "Access token expired. Please re-authenticate this connection."),
	   "a refused refresh token");
	ask_token();
	ok(answer_error("token_invalid_client_id") == SAAS_STEP_DONE &&
	   poll.verdict == SAAS_VERDICT_REAUTH &&
	   strstr(poll.problem.message, "(invalid_client_id)") != NULL, "a refused client: %s",
	   poll.problem.message);
	ask_token();
	ok(answer_error("token_unsupported_grant") == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR,
	   "an unknown grant: %s", poll.problem.message);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ask_token();
		ok(answer(KIND, cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   poll.verdict == cases[i].verdict && strstr(poll.problem.message, cases[i].part) != NULL &&
		   !is_shown(&poll.problem, "old-refresh"), "%d %s: %s", cases[i].status, cases[i].body,
		   poll.problem.message);
	}
}

static void
test_api_errors(void)
{
	static const struct
	{
		int			status;
		const char *body;
		SaasVerdict verdict;
	}			cases[] = {
		{429, "", SAAS_VERDICT_RETRY},
		{408, "", SAAS_VERDICT_RETRY},
		{500, "[{\"errorCode\":\"UNKNOWN_EXCEPTION\"}]", SAAS_VERDICT_RETRY},
		{401, "", SAAS_VERDICT_ERROR},
		{401, "{\"errorCode\":1}", SAAS_VERDICT_ERROR},
		{403, "[{\"errorCode\":\"API_DISABLED_FOR_ORG\"}]", SAAS_VERDICT_ERROR},
		{302, "", SAAS_VERDICT_ERROR},
		{204, "", SAAS_VERDICT_ERROR},
		{200, "", SAAS_VERDICT_ERROR},
		{200, "<html>", SAAS_VERDICT_ERROR},
		{200, "{}", SAAS_VERDICT_ERROR},
		{200, EXPIRED, SAAS_VERDICT_ERROR},
		{200, "{\"old-access\":1}", SAAS_VERDICT_ERROR},
		{200, "[{\"errorCode\":\"old-access\"}]", SAAS_VERDICT_ERROR}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_poll(KIND, CONFIG, ALL_SECRETS);
		ok(answer(KIND, cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   poll.verdict == cases[i].verdict && poll.problem.message[0] != '\0' &&
		   !is_shown(&poll.problem, "old-access"), "%d %s: %s", cases[i].status, cases[i].body,
		   poll.problem.message);
	}
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer_error("api_daily_limit");
	ok(ended(SAAS_VERDICT_RETRY,
			 "the organization's daily API request limit is used up (REQUEST_LIMIT_EXCEEDED)") &&
	   poll.retry_after_s == 3600, "the daily limit, with a pause of an hour: %s", poll.problem.message);
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer_header = (SaasHeader) {"retry-after", "5000", NULL};
	answer_error("api_daily_limit");
	ok(poll.verdict == SAAS_VERDICT_RETRY && poll.retry_after_s == 5000, "or what Retry-After says");
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer(KIND, 403, "[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\","
		   "\"message\":\"ConcurrentRequests (Concurrent API Requests) Limit exceeded.\"}]");
	ok(ended(SAAS_VERDICT_RETRY, "too many requests of the organization are running (REQUEST_LIMIT_EXCEEDED)") &&
	   poll.retry_after_s == 0, "too many at a time is another thing: %s", poll.problem.message);
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer(KIND, 403, "[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\"}]");
	ok(ended(SAAS_VERDICT_RETRY, "the organization's API request limit is used up (REQUEST_LIMIT_EXCEEDED)") &&
	   poll.retry_after_s == 3600, "a limit without a name: %s", poll.problem.message);
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer_error("api_not_found");
	ok(ended(SAAS_VERDICT_ERROR, "the organization has no REST API of version 66.0 (HTTP 404 NOT_FOUND)"),
	   "no such version: %s", poll.problem.message);
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer(KIND, 410, "[{\"errorCode\":\"UNSUPPORTED_API_VERSION\"}]");
	ok(ended(SAAS_VERDICT_ERROR, "the organization has no REST API of version 66.0 (HTTP 410 UNSUPPORTED_API_VERSION)"),
	   "a retired one: %s", poll.problem.message);
	start_poll(KIND, CONFIG, ALL_SECRETS);
	answer_header = (SaasHeader) {"retry-after", "17", NULL};
	answer_error("api_maintenance");
	ok(poll.verdict == SAAS_VERDICT_RETRY && poll.retry_after_s == 17 &&
	   strstr(poll.problem.message, "SERVER_UNAVAILABLE") != NULL, "maintenance, with Retry-After");
}

static void
test_stored_config(void)
{
	static const char *const configs[] = {NULL, "", "[]", "{}", "{\"instance_url\":1}"};

	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++)
	{
		start_poll(KIND, CONFIG, ALL_SECRETS);
		poll.config = configs[i];
		ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE &&
		   poll.verdict == SAAS_VERDICT_ERROR, "a spoilt config: %s", poll.problem.message);
	}
	start_poll(KIND, CONFIG, ALL_SECRETS);
	poll.secrets = NULL;
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE &&
	   poll.verdict == SAAS_VERDICT_REAUTH, "no secrets");
}

/* Whatever comes, the poll ends within its requests and its memory. */
static void
test_spoilt(void)
{
	uint64_t	state = 11;
	size_t		failed = 0;
	bool		bounded = true;

	for (int i = 0; i < 3000; i++)
	{
		SaasStep	step = start_poll(KIND, CONFIG, ALL_SECRETS);
		int			count = 0;

		while (step != SAAS_STEP_DONE && count++ < SAAS_POLL_MAX_REQUESTS)
		{
			bool		token = strcmp(poll.request.method, "POST") == 0;
			const char *body = token ? token_body : count == 1 && i % 2 == 0 ? EXPIRED : limits_body;
			size_t		length;
			char	   *spoilt = spoil(body, strlen(body), &state, &length);
			char	   *copy = strndup(spoilt, length);

			step = answer_bytes(KIND, strcmp(body, EXPIRED) == 0 ? 401 : 200, "", copy, strlen(copy));
			free(spoilt);
			free(copy);
		}
		failed += poll.verdict != SAAS_VERDICT_OK;
		bounded = bounded && step == SAAS_STEP_DONE && count <= 3;
	}
	ok(failed > 1000, "of 3000 polls with spoilt answers %zu fail and none crashes", failed);
	ok(bounded, "and no poll makes more than three requests");
}

static void
test_exhausted(void)
{
	bool		explained = true;

	for (size_t bytes = 256; bytes < 60000; bytes += 512)
	{
		SaasArena  *small = SaasArenaCreate(bytes);
		SaasStep	step;

		start_poll(KIND, CONFIG, ALL_SECRETS);
		memset(&poll.request, 0, sizeof(poll.request));
		poll.arena = small;
		step = SaasConnectorFind(KIND)->start(&poll);
		if (step != SAAS_STEP_DONE)
			step = answer(KIND, 401, EXPIRED);
		if (step != SAAS_STEP_DONE)
			step = answer(KIND, 200, token_body);
		if (step != SAAS_STEP_DONE)
			step = answer(KIND, 200, limits_body);
		explained = explained && step == SAAS_STEP_DONE &&
			(poll.verdict == SAAS_VERDICT_OK || poll.problem.message[0] != '\0');
		poll.details = NULL;
		SaasArenaDestroy(small);
	}
	ok(explained, "an exhausted arena is an error and no crash");
}

int
main(void)
{
	size_t		length;
	char	   *text = read_fixture("salesforce-errors.json", &length);

	errors = json_loads(text, 0, NULL);
	free(text);
	limits_body = read_fixture("salesforce-limits.json", &length);
	token_body = read_fixture("salesforce-token-refresh-response.json", &length);
	test_limits();
	test_first_token();
	test_refused_token();
	test_ahead();
	test_token_answers();
	test_bad_token_answers();
	test_token_errors();
	test_api_errors();
	test_stored_config();
	test_spoilt();
	test_exhausted();
	json_decref(errors);
	free(limits_body);
	free(token_body);
	SaasArenaDestroy(arena);
	return tap_done();
}
