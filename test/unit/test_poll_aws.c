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
#define AWS_MAX_LANES	32
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
		.aws_endpoints = endpoints, .aws_accounts = own_accounts, .aws_requests_per_second = 25
	};
}

static bool lane_is_open[AWS_MAX_LANES];
static size_t lane_at;			/* whose request is in poll.request */

/* Lanes as if they were one way: the first open one is asked first. */
static SaasStep
follow(SaasStep step)
{
	if (step == SAAS_STEP_PARALLEL)
		for (size_t i = 0; i < poll.lane_count; i++)
			lane_is_open[i] = true;
	if (step == SAAS_STEP_DONE && poll.lanes == NULL)
		return step;
	for (lane_at = 0; poll.lanes != NULL && lane_at < poll.lane_count; lane_at++)
		if (lane_is_open[lane_at])
		{
			poll.request = poll.lanes[lane_at].request;
			return SAAS_STEP_REQUEST;
		}
	return step;
}

static bool
has_lanes(void)
{
	for (size_t i = 0; i < poll.lane_count; i++)
		if (lane_is_open[i])
			return true;
	return false;
}

static SaasStep
begin(void)
{
	memset(lane_is_open, 0, sizeof(lane_is_open));
	return follow(SaasConnectorFind(KIND)->start(&poll));
}

/* What a lane gets, NULL for no answer; the poll goes on when it was the last. */
static SaasStep
reply_lane(size_t lane, const SaasResponse *response)
{
	const SaasConnector *connector = SaasConnectorFind(KIND);

	lane_is_open[lane] = connector->read_lane(&poll, &poll.lanes[lane], response) == SAAS_STEP_REQUEST;
	return follow(has_lanes() ? SAAS_STEP_REQUEST : connector->join(&poll));
}

static SaasResponse
response_of(int status, const char *body)
{
	return (SaasResponse) {
		.status = status, .content_type = "application/json", .body = body, .body_length = strlen(body),
		.headers = answer_header.name != NULL ? &answer_header : NULL
	};
}

/* To the request in poll.request. */
static SaasStep
reply(int status, const char *body)
{
	SaasResponse response = response_of(status, body);

	if (has_lanes())
		return reply_lane(lane_at, &response);
	return follow(SaasConnectorFind(KIND)->read(&poll, &response));
}

/* To the request of the region. */
static SaasStep
reply_from(const char *region, int status, const char *body)
{
	SaasResponse response = response_of(status, body);
	char		host[64];

	snprintf(host, sizeof(host), "https://monitoring.%s.", region);
	for (size_t i = 0; i < poll.lane_count; i++)
		if (lane_is_open[i] && strncmp(poll.lanes[i].request.url, host, strlen(host)) == 0)
			return reply_lane(i, &response);
	ok(false, "%s is asked", region);
	return SAAS_STEP_DONE;
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

		step = is_ours ? reply(200, SESSION) : reply(403, DENIED);
	}
	return step;
}

/* A poll after others that went as far as this. */
static void
prepare_later(const char *config, int64_t until_s, int64_t from_s)
{
	const char *progress;
	const char *region;
	json_t	   *stored;
	json_t	   *reach;

	prepare(config, KEYS);
	pass_role();
	while (reply(200, EMPTY) == SAAS_STEP_REQUEST)
		;
	progress = secret_of(poll.new_secrets, "progress");
	stored = json_loads(progress != NULL ? progress : "{}", 0, NULL);
	json_object_foreach(json_object_get(stored, "regions"), region, reach)
	{
		json_object_set_new(reach, "until", json_integer(until_s));
		json_object_set_new(reach, "from", json_integer(from_s));
	}
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
	ok(reply(403, DENIED) == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-") &&
	   strstr(poll.request.body, ID) == NULL, "then with a wrong one");
	ok(reply(403, DENIED) == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-" ID),
	   "then with the right one");
	ok(reply(200, SESSION) == SAAS_STEP_REQUEST && asks(METRICS_URL, "\"MetricName\":\"Send\""),
	   "then the metrics are asked for");
	ok(strstr(sent_header("Authorization"), "Credential=ASIASESSION/20251112/eu-west-1/monitoring/aws4_request") != NULL,
	   "with the session");
	is_text(sent_header("X-Amz-Security-Token"), "session/token==", "and its token");
	is_text(sent_header("X-Amz-Target"), "GraniteServiceVersion20100801.GetMetricData", "and the action");
	is_text(secret_of(poll.new_secrets, "session_secret_access_key"), "session&secret", "the session is kept");
	ok(poll.token_expires_ms == EXPIRES_MS, "until it ends");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK, "done");
	ok(strstr(secret_of(poll.new_secrets, "progress"), "\"role\":\"arn:aws:iam::123456789012:role/a/reader\"") != NULL,
	   "the check is remembered");

	prepare(CONFIG, KEYS);
	begin();
	ok(reply(200, SESSION) == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "without an external id"), "an open role");
	ok(poll.new_secrets == NULL, "what it gave is not kept");
	ok(strstr(poll.details, "\"external_id_required\":false") != NULL, "the details say so: %s", poll.details);
	prepare(CONFIG, KEYS);
	begin();
	reply(403, DENIED);
	ok(reply(200, SESSION) == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "with a wrong external id") &&
	   poll.new_secrets == NULL, "one that takes any external id");
	prepare(CONFIG, KEYS);
	begin();
	reply(403, DENIED);
	reply(403, DENIED);
	ok(reply(403, DENIED) == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "trust policy must name this service and the external id pg-saas-" ID),
	   "one that refuses all: %s", poll.problem.message);
	ok(strstr(poll.details, "\"external_id_required\":null") != NULL, "nothing is known then");
	prepare(CONFIG, KEYS);
	begin();
	ok(reply(403, "<Code>InvalidClientTokenId</Code>") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_REAUTH, "does not know the access key"), "another refusal is no proof");
}

static void
test_sessions(void)
{
	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	ok(begin() == SAAS_STEP_REQUEST && asks(METRICS_URL, "") &&
	   strcmp(sent_header("X-Amz-Security-Token"), "kept-token") == 0, "a kept session is used");
	ok(reply(400, "{\"__type\":\"com.amazon#ExpiredTokenException\"}") == SAAS_STEP_REQUEST &&
	   asks(STS_URL, "&ExternalId=pg-saas-" ID), "until it is refused");
	ok(reply(200, SESSION) == SAAS_STEP_REQUEST && asks(METRICS_URL, ""), "then there is a new one");
	ok(reply(400, "{\"__type\":\"ExpiredTokenException\"}") == SAAS_STEP_DONE &&
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
kept_of(const char *region, int64_t until_s, int64_t from_s)
{
	const char *progress = secret_of(poll.new_secrets, "progress");
	char		text[128];

	snprintf(text, sizeof(text), "\"%s\":{\"until\":%lld,\"from\":%lld}", region, (long long) until_s,
			 (long long) from_s);
	return progress != NULL && strstr(progress, text) != NULL;
}

static bool
kept(int64_t until_s, int64_t from_s)
{
	return kept_of("eu-west-1", until_s, from_s);
}

#define FINE_END_S	((NOW_S - 300) / 60 * 60)
#define DAY			INT64_C(86400)

static void
test_windows(void)
{
	prepare(CONFIG, KEYS);
	pass_role();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S), "the first poll reads a day");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, FINE_END_S - DAY), "and remembers it");

	prepare_later(CONFIG, FINE_END_S - 60, FINE_END_S - DAY);
	begin();
	ok(has_window((FINE_END_S - 60 - 900) / 300 * 300, END_S), "later polls read the last windows again");
	ok(reply(200, EMPTY) == SAAS_STEP_REQUEST &&
	   has_window((FINE_END_S - 2 * DAY) / 300 * 300, (FINE_END_S - DAY) / 300 * 300), "and a day of the past");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, FINE_END_S - 2 * DAY), "until there");

	prepare_later(CONFIG, FINE_END_S - 60, NOW_S - 31 * DAY);
	begin();
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && kept(FINE_END_S, NOW_S - 31 * DAY), "30 days are enough");
	prepare_later(CONFIG, FINE_END_S - 5 * DAY, NOW_S - 31 * DAY);
	begin();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S) &&
	   reply(200, EMPTY) == SAAS_STEP_DONE &&
	   kept(FINE_END_S, FINE_END_S - DAY), "a gap is filled like the past");
	prepare_later(CONFIG, FINE_END_S + DAY, NOW_S - 31 * DAY);
	begin();
	ok(has_window((FINE_END_S - DAY - 900) / 300 * 300, END_S), "a clock that went back begins anew");

	prepare_later(CONFIG, FINE_END_S - 60, FINE_END_S - DAY);
	poll.is_test = true;
	pass_role();
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && secret_of(poll.new_secrets, "progress") == NULL,
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
	ok(reply(200, body) == SAAS_STEP_REQUEST && asks(METRICS_URL, ",\"NextToken\":\"t\\\"1\"}"), "the next page");
	snprintf(body, sizeof(body), "{\"MetricDataResults\":[{\"Id\":\"m1\",\"StatusCode\":\"PartialData\",\"Timestamps\":[%lld],"
			 "\"Values\":[9]}]}", (long long) END_S - 300);
	ok(reply(200, body) == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.url, "https://monitoring.us-east-1.amazonaws.com/") == 0 &&
	   strstr(poll.request.body, "NextToken") == NULL, "the next region");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   poll.samples.count == 3,
	   "three samples: one lies outside the window");
	ok(has_value("aws_ses_send_sum", "{\"region\":\"eu-west-1\"}", 412) &&
	   poll.samples.items[0].time_ms == (END_S - 300) * 1000 &&
	   has_value("aws_ses_bounce_sum", "{\"region\":\"eu-west-1\"}", 9), "with their times and labels");
	ok(kept(0, 0), "partial data are asked for again");
	ok(kept_of("us-east-1", (NOW_S - 300) / 60 * 60, (NOW_S - 300) / 60 * 60 - 86400), "in their region");
	ok(strstr(poll.details, "\"messages\":1") != NULL, "%s", poll.details);
}

/* They are left out; as 0 they would be values. */
static void
test_no_numbers(void)
{
	char		body[512];
	long long	at = END_S - 300;

	prepare(CONFIG, KEYS);
	pass_role();
	snprintf(body, sizeof(body), "{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[%lld,%lld,%lld,%lld,\"%lld\"],"
			 "\"Values\":[\"NaN\",null,7,\"1\",8]}]}", at, at - 300, at - 600, at - 900, at - 1200);
	ok(reply(200, body) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK && poll.samples.count == 1 &&
	   poll.samples.items[0].value == 7, "of values that are no numbers none is stored");
}

/* Partial data with a page behind them are only the first part. */
static void
test_parts(void)
{
	prepare(CONFIG, KEYS);
	pass_role();
	reply(200, "{\"MetricDataResults\":[{\"Id\":\"m0\",\"StatusCode\":\"PartialData\",\"Timestamps\":[],\"Values\":[]}],\"NextToken\":\"t\"}");
	ok(reply(200, "{\"MetricDataResults\":[{\"Id\":\"m0\",\"StatusCode\":\"Complete\",\"Timestamps\":[],\"Values\":[]}]}") == SAAS_STEP_DONE &&
	   kept((NOW_S - 300) / 60 * 60, (NOW_S - 300) / 60 * 60 - 86400), "what the next page completes is whole");
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
	ok(reply(200, EMPTY) == SAAS_STEP_REQUEST && strstr(poll.request.body, "\"Id\":\"m500\"") != NULL &&
	   strstr(poll.request.body, "\"Id\":\"m999\"") != NULL, "and the rest in another");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE, "two calls in all");
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
		ok(reply(200, cases[i].body) == SAAS_STEP_DONE && ended(cases[i].verdict, "") &&
		   secret_of(poll.new_secrets, "progress") == NULL, "%s: %s", cases[i].body, poll.problem.message);
	}
	prepare(CONFIG, KEYS);
	pass_role();
	do
		snprintf(body, sizeof(body), "{\"MetricDataResults\":[],\"NextToken\":\"t%d\"}", ++pages);
	while (pages < 1000 && reply(200, body) == SAAS_STEP_REQUEST);
	ok(pages == SAAS_POLL_MAX_REQUESTS - 3 && ended(SAAS_VERDICT_ERROR, "more requests"), "pages end: %d", pages);
	prepare(CONFIG, KEYS);
	pass_role();
	reply(200, "{\"MetricDataResults\":[],\"NextToken\":\"t\"}");
	ok(reply(200, "{\"MetricDataResults\":[],\"NextToken\":\"t\"}") == SAAS_STEP_DONE &&
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
		ok(reply(cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   ended(cases[i].verdict, cases[i].part) &&
		   !is_shown(&poll.problem, "own-secret"), "%d: %s", cases[i].status, poll.problem.message);
	}
	prepare(CONFIG, KEYS);
	begin();
	answer_header = (SaasHeader) {"retry-after", "9", NULL};
	ok(reply(400, "<Code>Throttling</Code>") == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "AWS STS") &&
	   poll.retry_after_s == 9, "STS asks for fewer requests");
}

static void
test_throttling(void)
{
	static const struct
	{
		int			status;
		const char *body;
		const char *part;
	}			cases[] = {
		{400, "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}", "fewer requests (ThrottlingException)"},
		{400, "{\"__type\":\"a.b#Throttling\"}", "fewer requests (Throttling)"},
		{503, "<Error><Code>RequestLimitExceeded</Code></Error>", "RequestLimitExceeded"},
		{429, "", "fewer requests (HTTP 429)"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		prepare(CONFIG, KEYS);
		pass_role();
		ok(poll.lanes[0].meter.pause_s == 0, "nothing is paused");
		is_text(poll.lanes[0].meter.key, "aws monitoring 123456789012 eu-west-1 amazonaws.com", "requests count for the account in the region");
		ok(poll.lanes[0].meter.per_second == 25, "by the operator's rate");
		ok(reply(cases[i].status, cases[i].body) == SAAS_STEP_REQUEST && poll.lanes[0].meter.pause_s == 2 &&
		   asks(METRICS_URL, "\"MetricName\":\"Send\""), "%s: asked again after a pause for all", cases[i].part);
		ok(reply(cases[i].status, cases[i].body) == SAAS_STEP_REQUEST && poll.lanes[0].meter.pause_s == 4, "a longer one");
		ok(reply(cases[i].status, cases[i].body) == SAAS_STEP_DONE &&
		   ended(SAAS_VERDICT_RETRY, cases[i].part) &&
		   poll.lanes[0].meter.pause_s == 8, "then by another poll: %s", poll.problem.message);
	}
	prepare(CONFIG, KEYS);
	pass_role();
	reply(400, cases[0].body);
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   poll.lanes[0].meter.pause_s == 0 &&
	   kept(((NOW_S - 300) / 60 * 60), ((NOW_S - 300) / 60 * 60) - 86400), "what was throttled ends well");
	prepare(CONFIG, KEYS);
	pass_role();
	answer_header = (SaasHeader) {"retry-after", "7", NULL};
	ok(reply(400, cases[0].body) == SAAS_STEP_REQUEST && poll.lanes[0].meter.pause_s == 7, "AWS says for how long");
	answer_header = (SaasHeader) {"retry-after", "3600", NULL};
	ok(reply(400, cases[0].body) == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "fewer") && poll.retry_after_s == 3600 &&
	   poll.lanes[0].meter.pause_s == 20, "too long to wait for");
	prepare(CONFIG, KEYS);
	pass_role();
	answer_header = (SaasHeader) {"x-amzn-query-error", "Throttling;Sender", NULL};
	ok(reply(400, "") == SAAS_STEP_REQUEST && poll.lanes[0].meter.pause_s == 2, "a word in a header");
}

#define STS_METER	"aws sts 123456789012 eu-west-1 amazonaws.com"

/* Each request of the role's check goes by a lane that is counted. */
static void
test_role_meter(void)
{
	static const char throttled[] = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";

	prepare(TWO_REGIONS, KEYS);
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_PARALLEL && poll.lane_count == 1, "the role is asked for on a lane");
	is_text(poll.lanes[0].meter.key, STS_METER, "which counts for the account, apart from metrics");
	ok(poll.lanes[0].meter.per_second == 25, "by the operator's rate");
	begin();
	ok(reply(403, DENIED) == SAAS_STEP_REQUEST && reply(403, DENIED) == SAAS_STEP_REQUEST &&
	   poll.lane_count == 1 && asks(STS_URL, "&ExternalId=pg-saas-" ID), "all three requests go by it");
	ok(reply(200, SESSION) == SAAS_STEP_REQUEST && poll.lane_count == 2, "then the regions have theirs");

	prepare(CONFIG, KEYS);
	begin();
	ok(reply(400, throttled) == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "AWS STS asks for fewer requests (Throttling)") &&
	   poll.lanes[0].meter.pause_s == 2, "STS throttles: a pause for all, and another poll");
	prepare(CONFIG, KEYS);
	begin();
	answer_header = (SaasHeader) {"retry-after", "90", NULL};
	ok(reply(429, "") == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_RETRY && poll.retry_after_s == 90 &&
	   poll.lanes[0].meter.pause_s == 20, "which AWS may ask to be longer");
	prepare(CONFIG, KEYS);
	begin();
	SaasProblemSet(&poll.lanes[0].problem, "08001", "the host name sts.eu-west-1.amazonaws.com could not be resolved");
	poll.lanes[0].is_transient = true;
	ok(reply_lane(0, NULL) == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "could not be resolved"), "no answer from STS");

	prepare_later(CONFIG, END_S, NOW_S - 31 * 86400);
	begin();
	ok(reply(403, "{\"__type\":\"ExpiredTokenException\"}") == SAAS_STEP_REQUEST &&
	   strcmp(poll.lanes[0].meter.key, STS_METER) == 0, "a session that is renewed in a poll is counted too");
	prepare(TWO_REGIONS, NULL);
	add_secret("operator_access_key_id", "AKIDOPERATOR");
	add_secret("operator_secret_access_key", "operator-secret");
	begin();
	is_text(poll.lanes[0].meter.key, "aws sts AKIDOPERATOR eu-west-1 amazonaws.com",
			"the operator's keys count for the operator, whatever account the role is of");
	pass_role();
	is_text(poll.lanes[0].meter.key, "aws monitoring 123456789012 eu-west-1 amazonaws.com", "and the metrics for the account");
	endpoints = "https://allowed.example";
	prepare("{" ROLE ",\"regions\":[\"eu-west-1\"],\"sts_endpoint\":\"https://allowed.example\"}", KEYS);
	begin();
	is_text(poll.lanes[0].meter.key, "aws sts 123456789012 eu-west-1 https://allowed.example", "and what goes to another endpoint");
	endpoints = "";
}

#define MET_WEST	"{\"MetricDataResults\":[{\"Id\":\"m0\",\"Timestamps\":[1762950300],\"Values\":[4]}]}"

static void
test_regions(void)
{
	static const char three[] = "{" ROLE ",\"regions\":[\"eu-west-1\",\"us-east-1\",\"ap-south-1\"]}";
	int64_t		end_s = (NOW_S - 300) / 60 * 60;
	SaasLane   *lane;

	prepare(TWO_REGIONS, KEYS);
	pass_role();
	ok(poll.lane_count == 2 && strstr(poll.lanes[0].request.url, "eu-west-1") && strstr(poll.lanes[1].request.url, "us-east-1"),
	   "all regions are asked at once");
	is_text(poll.lanes[1].meter.key, "aws monitoring 123456789012 us-east-1 amazonaws.com", "each is counted for itself");
	ok(reply_from("us-east-1", 403, DENIED) == SAAS_STEP_REQUEST, "one that fails does not end the poll");
	ok(reply_from("eu-west-1", 200, MET_WEST) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK && poll.samples.count == 1,
	   "nor hides the other's metrics");
	ok(strncmp(poll.warning.message, "us-east-1 is missing: the role may not read metrics in us-east-1", 64) == 0,
	   "a warning names it: %s", poll.warning.message);
	ok(strstr(poll.details, "\"partial\":\"us-east-1 is missing: ") != NULL, "so do the details: %s", poll.details);
	ok(kept_of("eu-west-1", end_s, end_s - 86400) && kept_of("us-east-1", 0, 0), "each region has a reach of its own");

	prepare(TWO_REGIONS, KEYS);
	pass_role();
	lane = &poll.lanes[0];
	SaasProblemSet(&lane->problem, "08001", "the host name monitoring.eu-west-1.amazonaws.com could not be resolved");
	lane->is_transient = true;
	ok(reply_lane(0, NULL) == SAAS_STEP_REQUEST && reply_from("us-east-1", 200, EMPTY) == SAAS_STEP_DONE &&
	   poll.verdict == SAAS_VERDICT_OK && strstr(poll.warning.message, "eu-west-1 is missing: the host name") != NULL,
	   "a region without an answer: %s", poll.warning.message);

	prepare(TWO_REGIONS, KEYS);
	pass_role();
	answer_header = (SaasHeader) {"retry-after", "70", NULL};
	reply_from("us-east-1", 503, "");
	answer_header = (SaasHeader) {NULL, NULL, NULL};
	ok(reply_from("eu-west-1", 500, "") == SAAS_STEP_DONE && ended(SAAS_VERDICT_RETRY, "eu-west-1: AWS CloudWatch is not available (HTTP 500)") &&
	   poll.retry_after_s == 70 && poll.warning.sqlstate[0] == '\0' && secret_of(poll.new_secrets, "progress") == NULL,
	   "where all fail the poll does: %s", poll.problem.message);

	prepare(three, KEYS);
	pass_role();
	reply_from("us-east-1", 500, "");
	reply_from("ap-south-1", 500, "");
	ok(reply_from("eu-west-1", 200, EMPTY) == SAAS_STEP_DONE &&
	   strncmp(poll.warning.message, "2 regions are missing, us-east-1: ", 34) == 0, "several: %s", poll.warning.message);

	prepare_later(TWO_REGIONS, end_s - 60, NOW_S - 31 * 86400);
	begin();
	ok(reply_from("eu-west-1", 200, MET_WEST) == SAAS_STEP_REQUEST &&
	   reply_from("us-east-1", 400, "{\"__type\":\"ExpiredToken\"}") == SAAS_STEP_REQUEST && asks(STS_URL, "&ExternalId=pg-saas-" ID),
	   "a session that one region refuses is renewed when the others are done");
	ok(reply(200, SESSION) == SAAS_STEP_REQUEST && poll.lane_count == 1 && strstr(poll.lanes[0].request.url, "us-east-1") != NULL,
	   "and only that region is asked again");
	ok(reply(200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK && poll.samples.count == 1 &&
	   kept_of("eu-west-1", end_s, NOW_S - 31 * 86400) && kept_of("us-east-1", end_s, NOW_S - 31 * 86400), "with all that came");
}

/* One region that pages without end takes nobody's request. */
static void
test_endless_region(void)
{
	static const char three[] = "{" ROLE ",\"regions\":[\"eu-west-1\",\"us-east-1\",\"ap-south-1\"],\"metrics\":["
		"{\"namespace\":\"N\",\"name\":\"n\",\"period\":300},{\"namespace\":\"N\",\"name\":\"m\",\"period\":3600}]}";
	char		body[128];
	int			pages = 0;

	prepare(three, KEYS);
	pass_role();
	while (lane_is_open[0])
	{
		snprintf(body, sizeof(body), "{\"MetricDataResults\":[],\"NextToken\":\"t%d\"}", ++pages);
		reply_from("eu-west-1", 200, body);
	}
	ok(pages < SAAS_POLL_MAX_REQUESTS, "it ends after %d", pages);
	reply_from("us-east-1", 200, EMPTY);
	reply_from("ap-south-1", 200, EMPTY);
	reply_from("us-east-1", 200, EMPTY);
	ok(reply_from("ap-south-1", 200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   strncmp(poll.warning.message, "eu-west-1 is missing: the metrics need more requests", 52) == 0,
	   "the others are read: %s", poll.warning.message);
}

static void
test_retention(void)
{
	static const int days[] = {1, 7, 30, 400, 0};
	static const int filled[] = {1, 7, 30, 30, 30};

	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++)
	{
		int64_t		oldest_s = (NOW_S - filled[i] * INT64_C(86400)) / 3600 * 3600;
		int64_t		end_s = (NOW_S - 300) / 60 * 60;

		prepare_later(CONFIG, end_s - 60, oldest_s + 3600);
		poll.retention_days = days[i];
		begin();
		reply(200, EMPTY);
		ok(reply(200, EMPTY) == SAAS_STEP_DONE && kept(end_s, oldest_s), "a plan of %d days fills up %d", days[i], filled[i]);
		prepare_later(CONFIG, end_s - 60, oldest_s);
		poll.retention_days = days[i];
		begin();
		ok(reply(200, EMPTY) == SAAS_STEP_DONE, "and no more");
	}
}

/* The poll's own clock says 2025-11-12 12:36:00. */
static void
test_skew(void)
{
	static const struct
	{
		const char *date;
		const char *corrected;	/* X-Amz-Date; NULL: the date says nothing about clocks */
		const char *clock;
	}			cases[] = {
		{"Wed, 12 Nov 2025 12:42:52 GMT", "20251112T124252Z", "clock is 412 seconds behind AWS's"},
		{"Wed, 12 Nov 2025 12:26:00 GMT", "20251112T122600Z", "clock is 600 seconds ahead of AWS's"},
		{"Wed, 12 Nov 2025 12:36:01 GMT", NULL, NULL},
		{"yesterday", NULL, NULL}
	};
	static const char *const codes[] = {"SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t j = 0; j < sizeof(codes) / sizeof(codes[0]); j++)
		{
			char		body[64];
			SaasStep	step;

			prepare(CONFIG, KEYS);
			begin();
			snprintf(body, sizeof(body), "<Code>%s</Code>", codes[j]);
			answer_header = (SaasHeader) {"date", cases[i].date, NULL};
			step = reply(403, body);
			if (cases[i].corrected == NULL)
			{
				ok(step == SAAS_STEP_DONE && ended(SAAS_VERDICT_REAUTH, "secret access key is wrong"), "%s", poll.problem.message);
				continue;
			}
			ok(step == SAAS_STEP_REQUEST && asks(STS_URL, "Action=AssumeRole") && strstr(poll.request.body, "ExternalId") == NULL,
			   "asked again, in the same phase");
			is_text(sent_header("X-Amz-Date"), cases[i].corrected, "with AWS's time");
			ok(reply(403, body) == SAAS_STEP_DONE &&
			   ended(j == 0 ? SAAS_VERDICT_REAUTH : SAAS_VERDICT_ERROR, cases[i].clock) &&
			   (j != 0 || strstr(poll.problem.message, "secret access key is wrong") != NULL), "once: %s", poll.problem.message);
		}
}

static void
test_corrected_clock(void)
{
	int64_t		end_s = (NOW_S - 300) / 60 * 60;

	prepare(TWO_REGIONS, KEYS);
	begin();
	answer_header = (SaasHeader) {"date", "Wed, 12 Nov 2025 12:16:00 GMT", NULL};
	reply(403, "<Code>RequestExpired</Code>");
	reply(403, DENIED);
	reply(403, DENIED);
	ok(reply(200, SESSION) == SAAS_STEP_REQUEST && poll.lane_count == 2, "a corrected clock lets the poll go on");
	is_text(sent_header("X-Amz-Date"), "20251112T121600Z", "with AWS's time in the regions");
	ok(poll.token_expires_ms == EXPIRES_MS + 1200000, "the session's end is by our clock");
	reply_from("us-east-1", 200, EMPTY);
	ok(reply_from("eu-west-1", 200, EMPTY) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   kept_of("eu-west-1", end_s - 1200, end_s - 1200 - 86400), "no window is believed whole before AWS's clock says so");
	ok(strstr(poll.details, "\"clock_behind_s\":-1200") != NULL, "the details tell: %s", poll.details);

	prepare_later(TWO_REGIONS, end_s, NOW_S - 31 * 86400);
	begin();
	answer_header = (SaasHeader) {"date", "Wed, 12 Nov 2025 12:42:52 GMT", NULL};
	ok(reply_from("eu-west-1", 403, "{\"__type\":\"InvalidSignatureException\"}") == SAAS_STEP_REQUEST &&
	   reply_from("us-east-1", 403, "{\"__type\":\"InvalidSignatureException\"}") == SAAS_STEP_REQUEST,
	   "regions that were asked before are asked again");
	is_text(sent_header("X-Amz-Date"), "20251112T124252Z", "with AWS's time");
	ok(reply_from("us-east-1", 403, "{\"__type\":\"InvalidSignatureException\"}") == SAAS_STEP_REQUEST &&
	   reply_from("eu-west-1", 200, EMPTY) == SAAS_STEP_DONE && strstr(poll.warning.message, "us-east-1 is missing: AWS refuses") != NULL,
	   "once: %s", poll.warning.message);
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
	ok(reply(403, "<Code>InvalidClientTokenId</Code>") == SAAS_STEP_DONE &&
	   ended(SAAS_VERDICT_ERROR, "operator's access key"), "its trouble is not the owner's");
	endpoints = "https://allowed.example";
	prepare("{" ROLE ",\"regions\":[\"eu-west-1\"],\"cloudwatch_endpoint\":\"https://allowed.example\"}", KEYS);
	pass_role();
	is_text(poll.lanes[0].meter.key, "aws monitoring 123456789012 eu-west-1 https://allowed.example",
			"what another endpoint says holds up nobody who asks Amazon");
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

/* What was stored is not believed where it would choose the host. */
static void
test_stored_config(void)
{
	static const char *const bad[] = {
		"{" ROLE ",\"regions\":[\"evil.example/\"],\"metrics\":[]}",
		"{" ROLE ",\"regions\":[\"a-1\"],\"metrics\":[{\"namespace\":\"N\",\"name\":\"n\",\"stat\":\"Sum\",\"period\":300,\"dimensions\":{},\"region\":\"a-1.evil.example\"}]}",
		"{\"account_id\":\"123456789012\",\"role_arn\":\"arn:aws:iam::210987654321:role/r\",\"regions\":[\"a-1\"],\"metrics\":[]}"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		prepare(CONFIG, KEYS);
		poll.config = bad[i];
		ok(begin() == SAAS_STEP_DONE && ended(SAAS_VERDICT_ERROR, "stored config"), "%s", poll.problem.message);
	}
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
			step = reply(200, EMPTY);
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
	test_no_numbers();
	test_parts();
	test_batches();
	test_bad_answers();
	test_errors();
	test_throttling();
	test_role_meter();
	test_regions();
	test_endless_region();
	test_retention();
	test_skew();
	test_corrected_clock();
	test_operator();
	test_stored_config();
	test_exhausted();
	SaasArenaDestroy(arena);
	return tap_done();
}
