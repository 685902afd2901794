/*
 * test_poll_aws.c
 *	  connector/aws*.c and pure/aws.c: configs, the role's check, sessions,
 *	  windows, pages, verdicts.
 */
#include "base/strbuf.h"
#include "pure/aws.h"
#include "pure/json.h"

#include "polls.h"
#include "tap.h"

#define KIND		"aws"
#define ID			"019a7b8c-0000-7000-8000-000000000001"
#define ROLE		"\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:role/a/reader\""
#define CONFIG		"{" ROLE ",\"regions\":[\"eu-west-1\"]}"
#define TWO_REGIONS	"{" ROLE ",\"regions\":[\"eu-west-1\",\"us-east-1\"]}"
#define KEYS		"{\"access_key_id\":\"AKIDOWN\",\"secret_access_key\":\"own-secret\"}"
#define STS_URL		"https://sts.eu-west-1.amazonaws.com/"
#define METRICS_URL	"https://monitoring.eu-west-1.amazonaws.com/"
#define NOW_S		(TEST_NOW_MS / 1000)
#define END_S		((NOW_S - 300) / 300 * 300)	/* of the newest window of 300 s */
#define DENIED		"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>"
#define SESSION		"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIASESSION</AccessKeyId>" \
	"<SecretAccessKey>session&amp;secret</SecretAccessKey><SessionToken>session/token==</SessionToken>" \
	"<Expiration>2025-11-12T13:36:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define EXPIRES_MS	INT64_C(1762954560000)
#define EMPTY		"{\"MetricDataResults\":[]}"

static const char *endpoints = "";
static const char *own_accounts = "";

static bool
is_valid(const char *config, const char *secrets)
{
	start_over();
	validation = (SaasValidation) {
		.arena = arena, .config = config, .secrets = secrets,
		.aws_endpoints = endpoints, .aws_accounts = own_accounts
	};
	return SaasConnectorFind(KIND)->validate(&validation);
}

static void
add_secret(const char *name, const char *value)
{
	SaasSecret *secret = SaasArenaAlloc(arena, sizeof(SaasSecret));

	*secret = (SaasSecret) {name, value, poll.secrets};
	poll.secrets = secret;
}

static void
prepare(const char *config, const char *secrets)
{
	ok(is_valid(config, secrets), "the config is valid: %s", validation.problem.detail);
	poll = (SaasPoll) {
		.arena = arena, .config = validation.normalized, .secrets = validation.secret_list,
		.now_ms = TEST_NOW_MS, .max_samples = SAAS_POLL_MAX_SAMPLES, .connection_id = ID,
		.aws_endpoints = endpoints, .aws_accounts = own_accounts
	};
}

static SaasStep
begin(void)
{
	return SaasConnectorFind(KIND)->start(&poll);
}

static bool
asks(const char *url, const char *part)
{
	return strcmp(poll.request.method, "POST") == 0 && strcmp(poll.request.url, url) == 0 &&
		strstr(poll.request.body, part) != NULL;
}

/* Up to the first request for metrics, through the role's check. */
static SaasStep
pass_role(void)
{
	SaasStep	step = begin();

	while (step == SAAS_STEP_REQUEST && strcmp(poll.request.url, STS_URL) == 0)
	{
		bool		is_ours = strstr(poll.request.body, "&ExternalId=pg-saas-" ID) != NULL;

		step = is_ours ? answer(KIND, 200, SESSION) : answer(KIND, 403, DENIED);
	}
	return step;
}

/* A poll after others that went as far as this. */
static void
prepare_later(const char *config, int64_t until_s, int64_t from_s)
{
	const char *progress;
	json_t	   *stored;

	prepare(config, KEYS);
	pass_role();
	while (answer(KIND, 200, EMPTY) == SAAS_STEP_REQUEST)
		;
	progress = secret_of(poll.new_secrets, "progress");
	stored = json_loads(progress != NULL ? progress : "{}", 0, NULL);
	json_object_set_new(stored, "until", json_integer(until_s));
	json_object_set_new(stored, "from", json_integer(from_s));
	{
		char	   *text = json_dumps(stored, 0);
		char		copy[1024];

		snprintf(copy, sizeof(copy), "%s", text);
		prepare(config, KEYS);
		add_secret("progress", SaasArenaStrdup(arena, copy));
		free(text);
	}
	json_decref(stored);
	add_secret("session_access_key_id", "ASIAKEPT");
	add_secret("session_secret_access_key", "kept-secret");
	add_secret("session_token", "kept-token");
	poll.token_expires_ms = TEST_NOW_MS + 3600000;
}

static bool
ended(SaasVerdict verdict, const char *part)
{
	return poll.verdict == verdict && strstr(poll.problem.message, part) != NULL && poll.samples.count == 0;
}

static void
test_names(void)
{
	static const char *const cases[][4] = {
		{"AWS/SES", "Send", "Sum", "aws_ses_send_sum"},
		{"AWS/SES", "Reputation.BounceRate", "Average", "aws_ses_reputation_bounce_rate_average"},
		{"AWS/EC2", "CPUUtilization", "p99.9", "aws_ec2_cpu_utilization_p99_9"},
		{"AWS/Billing", "EstimatedCharges", "Maximum", "aws_billing_estimated_charges_maximum"},
		{"AWS/ApplicationELB", "HTTPCode_Target_2XX_Count", "SampleCount",
		"aws_application_elb_http_code_target_2xx_count_sample_count"},
		{"My App/Web", "4xxErrorRate", "Sum", "aws_my_app_web_4xx_error_rate_sum"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_over();
		is_text(SaasAwsMetricName(cases[i][0], cases[i][1], cases[i][2], arena), cases[i][3], "%s %s",
				cases[i][0], cases[i][1]);
	}
}

static void
test_keys_file(void)
{
	static const char *const bad[] = {
		"", "access_key_id:A\n", "secret_access_key:s\n", "access_key_id:A\nsecret_access_key:s\nx\n",
		"access_key_id:A\naccess_key_id:B\nsecret_access_key:s\n", "access_key_id:\nsecret_access_key:s\n",
		"access_key_id:A B\nsecret_access_key:s\n"
	};
	const char *good = "# the poller's\n\n  access_key_id:AKID\r\nsecret_access_key:s/e+c";
	const char *id;
	const char *secret;
	SaasProblem problem = {.sqlstate = ""};

	start_over();
	ok(SaasAwsKeysParse(good, strlen(good), arena, &id, &secret, &problem) && strcmp(id, "AKID") == 0 &&
	   strcmp(secret, "s/e+c") == 0, "a file of keys");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!SaasAwsKeysParse(bad[i], strlen(bad[i]), arena, &id, &secret, &problem) &&
		   strcmp(problem.sqlstate, "F0000") == 0, "file %zu is refused", i);
}

static void
test_validation(void)
{
	static const char *const bad[][2] = {
		{"{}", "account_id"},
		{"{" ROLE "}", "regions"},
		{"{" ROLE ",\"regions\":[]}", "regions"},
		{"{" ROLE ",\"regions\":[\"eu west\"]}", "regions"},
		{"{" ROLE ",\"regions\":[\"evil.example/\"]}", "regions"},
		{"{" ROLE ",\"regions\":[\"a-1\",\"a-1\"]}", "regions"},
		{"{\"account_id\":\"12345678901\",\"role_arn\":\"x\",\"regions\":[\"a-1\"]}", "account_id"},
		{"{\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::210987654321:role/r\",\"regions\":[\"a-1\"]}", "role_arn"},
		{"{\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:user/r\",\"regions\":[\"a-1\"]}", "role_arn"},
		{"{\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:role/a b\",\"regions\":[\"a-1\"]}", "role_arn"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"external_id\":\"mine\"}", "external_id"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[]}", "metrics"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[\"sqs\"]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[\"ses\",\"ses\"]}", "metrics[4]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\"}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"stat\":\"Median\"}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"stat\":\"p101\"}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"period\":120}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"dimensions\":{\"a\":1}}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"dimensions\":{\"region\":\"x\"}}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"dimensions\":[]}]}", "metrics[0]"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"sts_endpoint\":\"https://sts.example\"}", "sts_endpoint"},
		{"{" ROLE ",\"regions\":[\"a-1\"],\"cloudwatch_endpoint\":\"https://allowed.example.evil\"}", "cloudwatch_endpoint"}
	};

	endpoints = "https://allowed.example, https://other.example:8443";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!is_valid(bad[i][0], NULL) && strstr(validation.problem.detail, bad[i][1]) != NULL,
		   "refused: %s", validation.problem.detail);
	ok(is_valid(CONFIG, "{}"), "no keys: the operator's");
	is_text(validation.account_key, "123456789012", "the account names it");
	is_text(validation.origin, "https://amazonaws.com:443", "Amazon's own endpoints");
	ok(!is_valid(CONFIG, "{\"access_key_id\":\"A\"}"), "half a key");
	ok(!is_valid(CONFIG, "{\"session_token\":\"A\",\"access_key_id\":\"A\",\"secret_access_key\":\"s\"}"),
	   "nobody brings a session");
	ok(!is_valid("{" ROLE ",\"regions\":[\"a-1\"],\"sts_endpoint\":\"https://allowed.example\"}", "{}") &&
	   strstr(validation.problem.detail, "access_key_id") != NULL, "an own endpoint needs own keys");
	ok(is_valid("{" ROLE ",\"regions\":[\"a-1\"],\"sts_endpoint\":\"https://ALLOWED.example:443/\"}", KEYS),
	   "an allowed endpoint");
	is_text(validation.origin, "https://amazonaws.com:443 https://allowed.example:443", "is part of the origin");
	own_accounts = "999999999999 123456789012";
	ok(!is_valid(CONFIG, "{}") && strstr(validation.problem.detail, "service's own") != NULL, "the operator's own account");
	endpoints = own_accounts = "";
	ok(is_valid("{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[\"billing\"]}", "{}") &&
	   strstr(validation.normalized, "\"EstimatedCharges\"") != NULL &&
	   strstr(validation.normalized, "\"us-east-1\"") != NULL, "the preset of billing");
}

static void
test_role_check(void)
{
	prepare(CONFIG, KEYS);
	ok(begin() == SAAS_STEP_REQUEST && asks(STS_URL, "Action=AssumeRole&Version=2011-06-15"), "the role is assumed");
	ok(strstr(poll.request.body, "ExternalId") == NULL, "without an external id first");
	ok(strstr(poll.request.body, "&RoleSessionName=pg-saas-123456789012&DurationSeconds=3600") != NULL, "by its name");
	ok(strstr(sent_header("Authorization"), "Credential=AKIDOWN/20251112/eu-west-1/sts/aws4_request") != NULL,
	   "signed for the region");
	ok(answer(KIND, 403, DENIED) == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-") &&
	   strstr(poll.request.body, ID) == NULL, "then with a wrong one");
	ok(answer(KIND, 403, DENIED) == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-" ID),
	   "then with the right one");
	ok(answer(KIND, 200, SESSION) == SAAS_STEP_REQUEST && asks(METRICS_URL, "\"MetricName\":\"Send\""),
	   "then the metrics are asked for");
	ok(strstr(sent_header("Authorization"), "Credential=ASIASESSION/20251112/eu-west-1/monitoring/aws4_request") != NULL,
	   "with the session");
	is_text(sent_header("X-Amz-Security-Token"), "session/token==", "and its token");
	is_text(sent_header("X-Amz-Target"), "GraniteServiceVersion20100801.GetMetricData", "and the action");
	is_text(secret_of(poll.new_secrets, "session_secret_access_key"), "session&secret", "the session is kept");
	ok(poll.token_expires_ms == EXPIRES_MS, "until it ends");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK, "done");
	ok(strstr(secret_of(poll.new_secrets, "progress"), "\"role\":\"arn:aws:iam::123456789012:role/a/reader\"") != NULL,
	   "the check is remembered");

	prepare(CONFIG, KEYS);
	begin();
	ok(answer(KIND, 200, SESSION) == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "without an external id"), "an open role");
	ok(poll.new_secrets == NULL, "what it gave is not kept");
	ok(strstr(poll.details, "\"external_id_required\":false") != NULL, "the details say so: %s", poll.details);
	prepare(CONFIG, KEYS);
	begin();
	answer(KIND, 403, DENIED);
	ok(answer(KIND, 200, SESSION) == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "with a wrong external id") &&
	   poll.new_secrets == NULL, "one that takes any external id");
	prepare(CONFIG, KEYS);
	begin();
	answer(KIND, 403, DENIED);
	answer(KIND, 403, DENIED);
	ok(answer(KIND, 403, DENIED) == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "trust policy must name this service and the external id pg-saas-" ID),
	   "one that refuses all: %s", poll.problem.message);
	ok(strstr(poll.details, "\"external_id_required\":null") != NULL, "nothing is known then");
	prepare(CONFIG, KEYS);
	begin();
	ok(answer(KIND, 403, "<Code>InvalidClientTokenId</Code>") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "does not know the access key"), "another refusal is no proof");
}

static void
test_sessions(void)
{
	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	ok(begin() == SAAS_STEP_REQUEST && asks(METRICS_URL, "") &&
	   strcmp(sent_header("X-Amz-Security-Token"), "kept-token") == 0, "a kept session is used");
	ok(answer(KIND, 400, "{\"__type\":\"com.amazon#ExpiredTokenException\"}") == SAAS_STEP_REQUEST &&
	   asks(STS_URL, "&ExternalId=pg-saas-" ID), "until it is refused");
	ok(answer(KIND, 200, SESSION) == SAAS_STEP_REQUEST && asks(METRICS_URL, ""), "then there is a new one");
	ok(answer(KIND, 400, "{\"__type\":\"ExpiredTokenException\"}") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_ERROR, "new session"), "once");

	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	poll.token_expires_ms = TEST_NOW_MS + 5 * 60 * 1000;
	ok(begin() == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-" ID), "five minutes before its end it is renewed");
	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	poll.token_expires_ms = 0;
	ok(begin() == SAAS_STEP_REQUEST && asks(STS_URL, ""), "without a known end, too");
	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	poll.is_test = true;
	ok(begin() == SAAS_STEP_REQUEST && asks(STS_URL, "") && strstr(poll.request.body, "ExternalId") == NULL,
	   "a test checks the role again");
	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	poll.config = "{\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:role/other\","
		"\"regions\":[\"eu-west-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"stat\":\"Sum\",\"period\":300,\"dimensions\":{}}]}";
	ok(begin() == SAAS_STEP_REQUEST && strstr(poll.request.body, "ExternalId") == NULL, "another role is checked first");
}

static bool
has_window(int64_t start_s, int64_t end_s)
{
	char		text[128];

	snprintf(text, sizeof(text), "{\"StartTime\":%lld,\"EndTime\":%lld,", (long long) start_s, (long long) end_s);
	return strncmp(poll.request.body, text, strlen(text)) == 0;
}

static bool
kept(int64_t until_s, int64_t from_s)
{
	const char *progress = secret_of(poll.new_secrets, "progress");
	char		text[128];

	snprintf(text, sizeof(text), "\"until\":%lld,\"from\":%lld", (long long) until_s, (long long) from_s);
	return progress != NULL && strstr(progress, text) != NULL;
}

#define FINE_END_S	((NOW_S - 300) / 60 * 60)
#define DAY			INT64_C(86400)

static void
test_windows(void)
{
	prepare(CONFIG, KEYS);
	pass_role();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S), "the first poll reads a day");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, FINE_END_S - DAY), "and remembers it");

	prepare_later(CONFIG, FINE_END_S - 60, FINE_END_S - DAY);
	begin();
	ok(has_window((FINE_END_S - 60 - 900) / 300 * 300, END_S), "later polls read the last windows again");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_REQUEST &&
	   has_window((FINE_END_S - 2 * DAY) / 300 * 300, (FINE_END_S - DAY) / 300 * 300), "and a day of the past");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, FINE_END_S - 2 * DAY), "until there");

	prepare_later(CONFIG, FINE_END_S - 60, NOW_S - 31 * DAY);
	begin();
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, NOW_S - 31 * DAY), "30 days are enough");
	prepare_later(CONFIG, FINE_END_S - 5 * DAY, NOW_S - 31 * DAY);
	begin();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S) &&
	   answer(KIND, 200, EMPTY) == SAAS_STEP_DONE &&
	   kept(FINE_END_S, FINE_END_S - DAY), "a gap is filled like the past");
	prepare_later(CONFIG, FINE_END_S + DAY, NOW_S - 31 * DAY);
	begin();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S), "a clock that went back begins anew");

	prepare_later(CONFIG, FINE_END_S - 60, FINE_END_S - DAY);
	poll.is_test = true;
	pass_role();
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && secret_of(poll.new_secrets, "progress") == NULL,
	   "a test remembers nothing");

	prepare("{" ROLE ",\"regions\":[\"eu-west-1\"],\"metrics\":[\"billing\"]}", KEYS);
	pass_role();
	ok(strcmp(poll.request.url, "https://monitoring.us-east-1.amazonaws.com/") == 0 &&
	   strstr(poll.request.body, "\"Period\":21600") != NULL &&
	   strstr(poll.request.body, "\"Dimensions\":[{\"Name\":\"Currency\",\"Value\":\"USD\"}]") != NULL, "billing is asked for in its region");
}

static void
test_values(void)
{
	char		body[1024];

	prepare(TWO_REGIONS, KEYS);
	pass_role();
	snprintf(body, sizeof(body), "{\"MetricDataResults\":[{\"Id\":\"m0\",\"StatusCode\":\"Complete\",\"Timestamps\":[%lld,%lld,5],"
			 "\"Values\":[412.0,398.5,1.0]},{\"Id\":\"m2\",\"Timestamps\":[],\"Values\":[]}],\"Messages\":[{\"Code\":\"x\"}],\"NextToken\":\"t\\\"1\"}",
			 (long long) END_S - 300, (long long) END_S - 600);
	ok(answer(KIND, 200, body) == SAAS_STEP_REQUEST && asks(METRICS_URL, ",\"NextToken\":\"t\\\"1\"}"), "the next page");
	snprintf(body, sizeof(body), "{\"MetricDataResults\":[{\"Id\":\"m1\",\"StatusCode\":\"PartialData\",\"Timestamps\":[%lld],"
			 "\"Values\":[9]}]}", (long long) END_S - 300);
	ok(answer(KIND, 200, body) == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.url, "https://monitoring.us-east-1.amazonaws.com/") == 0 &&
	   strstr(poll.request.body, "NextToken") == NULL, "the next region");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   poll.samples.count == 3,
	   "three samples: one lies outside the window");
	ok(has_value("aws_ses_send_sum", "{\"region\":\"eu-west-1\"}", 412) &&
	   poll.samples.items[0].time_ms == (END_S - 300) * 1000 &&
	   has_value("aws_ses_bounce_sum", "{\"region\":\"eu-west-1\"}", 9), "with their times and labels");
	ok(kept(0, 0), "partial data are asked for again");
	ok(strstr(poll.details, "\"messages\":1") != NULL, "%s", poll.details);
}

static void
test_batches(void)
{
	SaasStrbuf	config;
	SaasArena  *own = SaasArenaCreate(1024 * 1024);

	SaasStrbufInit(&config, own);
	SaasStrbufAppendText(&config, "{" ROLE ",\"regions\":[\"eu-west-1\"],\"metrics\":[");
	for (int i = 0; i < 1000; i++)
		SaasStrbufPrintf(&config, "%s{\"namespace\":\"N\",\"name\":\"n%d\"}", i > 0 ? "," : "", i);
	SaasStrbufAppendText(&config, "]}");
	prepare(SaasStrbufFinish(&config), KEYS);
	pass_role();
	ok(strstr(poll.request.body, "\"Id\":\"m499\"") != NULL && strstr(poll.request.body, "\"Id\":\"m500\"") == NULL,
	   "500 queries a call");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_REQUEST && strstr(poll.request.body, "\"Id\":\"m500\"") != NULL &&
	   strstr(poll.request.body, "\"Id\":\"m999\"") != NULL, "and the rest in another");
	ok(answer(KIND, 200, EMPTY) == SAAS_STEP_DONE, "two calls in all");
	SaasArenaDestroy(own);
}

static void
test_bad_answers(void)
{
	static const struct
	{
		const char *body;
		SaasVerdict verdict;
	}			cases[] = {
		{"", SAAS_VERDICT_ERROR},
		{"[]", SAAS_VERDICT_ERROR},
		{"{}", SAAS_VERDICT_ERROR},
		{"<html>", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[1]}", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[{\"Id\":\"m4\",\"Timestamps\":[],\"Values\":[]}]}", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[{\"Id\":\"m-1\",\"Timestamps\":[],\"Values\":[]}]}", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[1],\"Values\":[]}]}", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[],\"NextToken\":1}", SAAS_VERDICT_ERROR},
		{"{\"MetricDataResults\":[{\"Id\":\"m0\",\"StatusCode\":\"InternalError\"}]}", SAAS_VERDICT_RETRY},
		{"{\"MetricDataResults\":[{\"Id\":\"m0\",\"StatusCode\":\"Forbidden\"}]}", SAAS_VERDICT_REAUTH}
	};
	int			pages = 0;
	char		body[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		prepare(CONFIG, KEYS);
		pass_role();
		ok(answer(KIND, 200, cases[i].body) == SAAS_STEP_DONE && ended(cases[i].verdict, "") &&
		   secret_of(poll.new_secrets, "progress") == NULL, "%s: %s", cases[i].body, poll.problem.message);
	}
	prepare(CONFIG, KEYS);
	pass_role();
	do
		snprintf(body, sizeof(body), "{\"MetricDataResults\":[],\"NextToken\":\"t%d\"}", ++pages);
	while (pages < 1000 && answer(KIND, 200, body) == SAAS_STEP_REQUEST);
	ok(pages == SAAS_POLL_MAX_REQUESTS - 3 && ended(SAAS_VERDICT_ERROR, "more requests"), "pages end: %d", pages);
	prepare(CONFIG, KEYS);
	pass_role();
	answer(KIND, 200, "{\"MetricDataResults\":[],\"NextToken\":\"t\"}");
	ok(answer(KIND, 200, "{\"MetricDataResults\":[],\"NextToken\":\"t\"}") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_ERROR, "NextToken"), "the same token twice");
}

static void
test_errors(void)
{
	static const struct
	{
		int			status;
		const char *body;
		SaasVerdict verdict;
		const char *part;
	}			cases[] = {
		{400, "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}", SAAS_VERDICT_RETRY, "fewer requests (ThrottlingException)"},
		{400, "{\"__type\":\"a.b#Throttling\"}", SAAS_VERDICT_RETRY, "fewer requests (Throttling)"},
		{503, "<Error><Code>RequestLimitExceeded</Code></Error>", SAAS_VERDICT_RETRY, "RequestLimitExceeded"},
		{400, "{\"__type\":\"x#InvalidNextToken\"}", SAAS_VERDICT_RETRY, "InvalidNextToken"},
		{500, "", SAAS_VERDICT_RETRY, "500"},
		{403, "{\"__type\":\"AccessDeniedException\"}", SAAS_VERDICT_REAUTH, "cloudwatch:GetMetricData"},
		{403, DENIED, SAAS_VERDICT_REAUTH, "read metrics in eu-west-1"},
		{400, "{\"__type\":\"OptInRequired\"}", SAAS_VERDICT_ERROR, "not enabled the region"},
		{400, "{\"__type\":\"ValidationError\"}", SAAS_VERDICT_ERROR, "HTTP 400 ValidationError"},
		{403, "{\"__type\":\"InvalidSignatureException\"}", SAAS_VERDICT_REAUTH, "secret access key is wrong"},
		{400, "{\"__type\":\"own-secret\"}", SAAS_VERDICT_ERROR, "HTTP 400"},
		{404, "<html>", SAAS_VERDICT_ERROR, "404"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		prepare(CONFIG, KEYS);
		pass_role();
		ok(answer(KIND, cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   ended(cases[i].verdict, cases[i].part) &&
		   !is_shown(&poll.problem, "own-secret"), "%d: %s", cases[i].status, poll.problem.message);
	}
	prepare(CONFIG, KEYS);
	pass_role();
	answer_header = (SaasHeader) {"x-amzn-query-error", "Throttling;Sender", NULL};
	ok(answer(KIND, 400, "") == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "Throttling"), "a word in a header");
	prepare(CONFIG, KEYS);
	begin();
	answer_header = (SaasHeader) {"retry-after", "9", NULL};
	ok(answer(KIND, 400, "<Code>Throttling</Code>") == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "AWS STS") &&
	   poll.retry_after_s == 9, "STS asks for fewer requests");
}

static void
test_skew(void)
{
	/* The poll's own clock says 2025-11-12 12:36:00. */
	static const struct
	{
		const char *date;
		SaasVerdict verdict;
		const char *part;
	}			cases[] = {
		{"Wed, 12 Nov 2025 12:42:52 GMT", SAAS_VERDICT_ERROR, "clock is 412 seconds behind AWS's"},
		{"Wed, 12 Nov 2025 12:26:00 GMT", SAAS_VERDICT_ERROR, "clock is 600 seconds ahead of AWS's"},
		{"Wed, 12 Nov 2025 12:36:01 GMT", SAAS_VERDICT_REAUTH, "secret access key is wrong"},
		{"yesterday", SAAS_VERDICT_REAUTH, "secret access key is wrong"}
	};
	static const char *const codes[] = {"SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t j = 0; j < sizeof(codes) / sizeof(codes[0]); j++)
		{
			char		body[64];

			prepare(CONFIG, KEYS);
			begin();
			snprintf(body, sizeof(body), "<Code>%s</Code>", codes[j]);
			answer_header = (SaasHeader) {"date", cases[i].date, NULL};
			ok(answer(KIND, 403, body) == SAAS_STEP_DONE && ended(cases[i].verdict, cases[i].part),
			   "%s", poll.problem.message);
		}
}

static void
test_operator(void)
{
	prepare(CONFIG, "{}");
	ok(begin() == SAAS_STEP_DONE && ended(SAAS_VERDICT_ERROR, "operator has configured no AWS credentials"), "no keys at all");
	prepare(CONFIG, "{}");
	add_secret("operator_access_key_id", "AKIDOPERATOR");
	add_secret("operator_secret_access_key", "operator-secret");
	ok(begin() == SAAS_STEP_REQUEST && strstr(sent_header("Authorization"), "AKIDOPERATOR") != NULL, "the operator's");
	ok(answer(KIND, 403, "<Code>InvalidClientTokenId</Code>") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_ERROR, "operator's access key"), "its trouble is not the owner's");
	endpoints = "https://allowed.example";
	prepare("{" ROLE ",\"regions\":[\"eu-west-1\"],\"cloudwatch_endpoint\":\"https://allowed.example\"}", NULL);
	add_secret("operator_access_key_id", "AKIDOPERATOR");
	add_secret("operator_secret_access_key", "operator-secret");
	ok(begin() == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "needs access keys of one's own"),
	   "are never used towards another endpoint");
	prepare("{" ROLE ",\"regions\":[\"eu-west-1\"],\"sts_endpoint\":\"https://allowed.example\"}", KEYS);
	poll.aws_endpoints = "";
	ok(begin() == SAAS_STEP_DONE && ended(SAAS_VERDICT_ERROR, "does not allow the endpoint"), "an endpoint that is allowed no more");
	endpoints = "";
	prepare(CONFIG, KEYS);
	poll.aws_accounts = "123456789012";
	ok(begin() == SAAS_STEP_DONE && ended(SAAS_VERDICT_ERROR, "service's own"), "an account that has become the operator's");
}

static void
test_exhausted(void)
{
	bool		explained = true;

	for (size_t bytes = 256; bytes < 60000; bytes += 512)
	{
		SaasArena  *small = SaasArenaCreate(bytes);
		SaasStep	step;

		is_valid(CONFIG, KEYS);
		poll = (SaasPoll) {
			.arena = small, .config = validation.normalized, .secrets = validation.secret_list,
			.now_ms = TEST_NOW_MS, .max_samples = SAAS_POLL_MAX_SAMPLES, .connection_id = ID
		};
		step = pass_role();
		if (step != SAAS_STEP_DONE)
			step = answer(KIND, 200, EMPTY);
		explained = explained && step == SAAS_STEP_DONE &&
			(poll.verdict == SAAS_VERDICT_OK || poll.problem.message[0] != '\0');
		SaasArenaDestroy(small);
	}
	ok(explained, "an exhausted arena is an error and no crash");
}

int
main(void)
{
	test_names();
	test_keys_file();
	test_validation();
	test_role_check();
	test_sessions();
	test_windows();
	test_values();
	test_batches();
	test_bad_answers();
	test_errors();
	test_skew();
	test_operator();
	test_exhausted();
	SaasArenaDestroy(arena);
	return tap_done();
}
