/*
 * test_poll_prometheus.c
 *	  connector/prometheus.c: the scrape, its credentials, its verdicts.
 */
#include "files.h"
#include "polls.h"
#include "tap.h"

#define KIND	"prometheus"
#define CONFIG	"{\"url\":\"https://a.b/metrics\"}"

static SaasStep
scrape(const char *type, const char *body)
{
	start_poll(KIND, CONFIG, "{\"bearer_token\":\"hunter22\"}");
	return answer_bytes(KIND, 200, type, body, strlen(body));
}

static void
test_request(void)
{
	ok(start_poll(KIND, CONFIG, "{}") == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.method, "GET") == 0 &&
	   strcmp(poll.request.url, "https://a.b/metrics") == 0 &&
	   sent_header("Authorization") == NULL, "a scrape without credentials");
	ok(strstr(sent_header("Accept"), "application/openmetrics-text;version=1.0.0") != NULL &&
	   strstr(sent_header("Accept"), "text/plain;version=0.0.4") != NULL &&
	   strstr(sent_header("Accept"), "text/plain;version=1.0.0;escaping=allow-utf-8") != NULL,
	   "that asks for both formats, and for names as they are");
	start_poll(KIND, CONFIG, "{\"bearer_token\":\"t\"}");
	is_text(sent_header("Authorization"), "Bearer t", "with a token");
	start_poll(KIND, CONFIG, "{\"username\":\"Aladdin\",\"password\":\"open sesame\"}");
	is_text(sent_header("Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "with a password");
	start_poll(KIND, CONFIG, "{\"username\":\"u\",\"password\":\"pässwort\"}");
	is_text(sent_header("Authorization"), "Basic dTpww6Rzc3dvcnQ=", "in UTF-8");
	start_poll(KIND, CONFIG, "{}");
	poll.config = "{}";
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR,
	   "a spoilt config: %s", poll.problem.message);
}

static void
test_answers(void)
{
	size_t		length;
	char	   *body = read_fixture("prometheus-0.0.4.txt", &length);

	ok(scrape("text/plain; version=0.0.4", body) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK,
	   "the older format");
	is_text(poll.details, "{\"samples\":12,\"format\":\"prometheus\",\"untimely\":3}",
			"details, with the samples whose time is years ago");
	ok(has_value("http_requests_total", "{\"code\":\"200\",\"method\":\"post\"}", 1027), "a sample");
	free(body);
	body = read_fixture("openmetrics-1.0.0.txt", &length);
	ok(scrape("application/openmetrics-text; version=1.0.0", body) == SAAS_STEP_DONE &&
	   poll.verdict == SAAS_VERDICT_OK, "OpenMetrics");
	is_text(poll.details, "{\"samples\":5,\"format\":\"openmetrics\"}", "details");
	free(body);

	scrape("text/html", "<html>sign in</html>");
	ok(poll.verdict == SAAS_VERDICT_ERROR && poll.samples.count == 0 &&
	   strcmp(poll.problem.sqlstate, "22P02") == 0, "a login page: %s", poll.problem.message);
	ok(strstr(poll.problem.message, "the answer (text/html) is not in") != NULL, "says its type");
	scrape("text/plain; charset=utf-8", "<html>");
	ok(strstr(poll.problem.message, "the answer is not in the Prometheus text format: ") != NULL,
	   "the right type goes without saying: %s", poll.problem.message);
	scrape("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily", "\x01\x02");
	ok(strstr(poll.problem.message, "(application/vnd.google.protobuf)") != NULL, "protobuf: %s",
	   poll.problem.message);
	scrape("text/<b>", "{");
	ok(strstr(poll.problem.message, "the answer is") != NULL, "what is no type is not shown");
	scrape("text/hunter22", "{");
	ok(!is_shown(&poll.problem, "hunter22"), "but no secret");
	scrape("text/plain", "a 1\nb x\n");
	ok(poll.verdict == SAAS_VERDICT_ERROR && poll.samples.count == 0 &&
	   strstr(poll.problem.message, "line 2") != NULL, "half a scrape is none: %s", poll.problem.message);
	scrape("text/plain", "# nothing\n");
	ok(poll.verdict == SAAS_VERDICT_ERROR, "no samples: %s", poll.problem.message);
	start_poll(KIND, CONFIG, "{}");
	poll.max_samples = 1;
	answer_bytes(KIND, 200, "text/plain", "a 1\nb 1\n", 8);
	ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "54000") == 0 &&
	   poll.samples.count == 0 &&
	   strcmp(poll.problem.message, "the answer holds more than 1 samples, the most that a poll may yield") == 0,
	   "too many samples: %s", poll.problem.message);
}

static void
test_times(void)
{
	scrape("text/plain", "a 1 1762954560442\nb 2 1762954560442\n");
	ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "22008") == 0 &&
	   strstr(poll.problem.message, "the endpoint's clock is wrong") != NULL && poll.samples.count == 0,
	   "a clock that is an hour ahead: %s", poll.problem.message);
	scrape("text/plain", "a 1 1762951260442\n");
	ok(poll.verdict == SAAS_VERDICT_OK, "five minutes are not too much");
	scrape("text/plain", "a 1 1\n");
	ok(poll.verdict == SAAS_VERDICT_ERROR && strcmp(poll.problem.sqlstate, "22008") == 0,
	   "a clock that stands: %s", poll.problem.message);
	scrape("text/plain", "a 1 1762954560442\nb 2\n");
	ok(poll.verdict == SAAS_VERDICT_OK && poll.samples.count == 2, "one wrong time does not spoil the rest");
	is_text(poll.details, "{\"samples\":2,\"format\":\"prometheus\",\"untimely\":1}", "and is counted");
}

static void
test_statuses(void)
{
	static const struct
	{
		int			status;
		SaasVerdict verdict;
		int			retry_after_s;
	}			cases[] = {
		{301, SAAS_VERDICT_ERROR, 0},
		{400, SAAS_VERDICT_ERROR, 0},
		{401, SAAS_VERDICT_REAUTH, 0},
		{403, SAAS_VERDICT_ERROR, 0},
		{404, SAAS_VERDICT_ERROR, 0},
		{408, SAAS_VERDICT_RETRY, 9},
		{429, SAAS_VERDICT_RETRY, 9},
		{500, SAAS_VERDICT_RETRY, 9},
		{503, SAAS_VERDICT_RETRY, 9}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_poll(KIND, CONFIG, "{}");
		answer_header = (SaasHeader) {"retry-after", "9", NULL};
		ok(answer(KIND, cases[i].status, "a 1\n") == SAAS_STEP_DONE &&
		   poll.verdict == cases[i].verdict && poll.samples.count == 0 &&
		   poll.retry_after_s == cases[i].retry_after_s, "HTTP %d: %s", cases[i].status,
		   poll.problem.message);
	}
	start_poll(KIND, CONFIG, "{}");
	answer_header = (SaasHeader) {"retry-after", "Wed, 12 Nov 2025 12:37:00 GMT", NULL};
	answer(KIND, 503, "");
	ok(poll.retry_after_s == 60, "Retry-After as a date: %d s", poll.retry_after_s);
}

int
main(void)
{
	test_request();
	test_answers();
	test_times();
	test_statuses();
	SaasArenaDestroy(arena);
	return tap_done();
}
