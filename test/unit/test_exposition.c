/*
 * test_exposition.c
 *	  pure/exposition.c: what both formats mean, and what is no exposition.
 */
#include <math.h>

#include "pure/exposition.h"

#include "files.h"
#include "tap.h"

static SaasArena *arena;
static SaasSampleList samples;
static SaasProblem problem;

static void
start_over(size_t max_bytes)
{
	SaasArenaDestroy(arena);
	arena = SaasArenaCreate(max_bytes);
	memset(&samples, 0, sizeof(samples));
	memset(&problem, 0, sizeof(problem));
}

static bool
parse_bytes(const char *body, size_t length, SaasExpositionFormat format, size_t max)
{
	start_over(8 * 1024 * 1024);
	return SaasExpositionParse(body, length, format, arena, max, &samples, &problem);
}

static bool
parse(const char *body)
{
	return parse_bytes(body, strlen(body), SAAS_EXPOSITION_PROMETHEUS, 1000);
}

static bool
parse_openmetrics(const char *body)
{
	return parse_bytes(body, strlen(body), SAAS_EXPOSITION_OPENMETRICS, 1000);
}

static bool
is_sample(size_t i, const char *metric, const char *labels, double value)
{
	const SaasSample *sample = &samples.items[i];

	return i < samples.count && strcmp(sample->metric, metric) == 0 &&
		strcmp(sample->labels, labels) == 0 && sample->value == value;
}

static void
test_documents(void)
{
	size_t		length;
	char	   *body = read_fixture("prometheus-0.0.4.txt", &length);

	ok(parse_bytes(body, length, SAAS_EXPOSITION_PROMETHEUS, 1000) && samples.count == 12,
	   "the documented example has 12 samples");
	ok(is_sample(0, "http_requests_total", "{\"code\":\"200\",\"method\":\"post\"}", 1027),
	   "labels are sorted");
	ok(samples.items[0].has_time && samples.items[0].time_ms == 1395066363000,
	   "times are milliseconds");
	ok(is_sample(2, "msdos_file_access_time_seconds",
				 "{\"error\":\"Cannot find file:\\n\\\"FILE.TXT\\\"\",\"path\":\"C:\\\\DIR\\\\FILE.TXT\"}",
				 1.458255915e9), "escapes");
	ok(is_sample(3, "my.dotted.metric", "{\"error.message\":\"Not Found\"}", 7), "quoted names");
	ok(is_sample(4, "metric_without_timestamp_and_labels", "{}", 12.47) && !samples.items[4].has_time,
	   "a bare sample");
	ok(isinf(samples.items[5].value) && samples.items[5].time_ms == -3982045,
	   "infinity before the epoch");
	ok(is_sample(9, "http_request_duration_seconds_bucket", "{\"le\":\"+Inf\"}", 144320),
	   "a bucket");
	free(body);

	body = read_fixture("openmetrics-1.0.0.txt", &length);
	ok(parse_bytes(body, length, SAAS_EXPOSITION_OPENMETRICS, 1000) && samples.count == 5,
	   "OpenMetrics' example has 5 samples");
	ok(is_sample(0, "acme_http_router_request_seconds_sum",
				 "{\"method\":\"GET\",\"path\":\"/api/v1\"}", 9036.32), "a summary's sum");
	ok(is_sample(4, "process_cpu_seconds_total", "{}", 4.20072246e+06), "a counter");
	free(body);
}

static void
test_lenient(void)
{
	ok(parse("a{x=\"1\",} 1\n") && is_sample(0, "a", "{\"x\":\"1\"}", 1), "a comma at the end");
	ok(parse(" \ta { x = \"1\" , y=\"2\" } \t 1 \t 5 \n") &&
	   is_sample(0, "a", "{\"x\":\"1\",\"y\":\"2\"}", 1), "blanks anywhere");
	ok(parse("a{}1") && is_sample(0, "a", "{}", 1), "no blank after the braces, no last newline");
	ok(parse("a NaN\nb nan\nc -Inf\nd +inf\ne Infinity\n") && samples.count == 5 &&
	   isnan(samples.items[0].value) && isnan(samples.items[1].value) &&
	   samples.items[2].value == -INFINITY && samples.items[3].value == INFINITY,
	   "special values in any case");
	ok(parse("\n  \n# any comment {\n#\n#TYPE a gauge\n# HELP a\n# HELP b \\ x\na 1\n") &&
	   samples.count == 1, "comments and empty lines");
	ok(parse("{\"a b\"} 1\n{\"c\",x=\"1\",\"y z\"=\"2\"} 2\n") && is_sample(0, "a b", "{}", 1) &&
	   is_sample(1, "c", "{\"x\":\"1\",\"y z\":\"2\"}", 2), "names in quotes");
	ok(parse("a:b_c1{_x=\"\"} 1\n") && is_sample(0, "a:b_c1", "{\"_x\":\"\"}", 1),
	   "colons in a name, an empty value");
	ok(parse("{x=\"1\",\"a b\"} 1\n{y=\"1\",\"c\",z=\"2\"} 2\n") && is_sample(0, "a b", "{\"x\":\"1\"}", 1) &&
	   is_sample(1, "c", "{\"y\":\"1\",\"z\":\"2\"}", 2), "in any place, as Prometheus takes them");
	ok(parse("{\"a\\n\\\"\\\\b\"} 1\n") && is_sample(0, "a\n\"\\b", "{}", 1), "with escapes");
	ok(parse("a{x=\"\\d\\n\"} 1\n") && is_sample(0, "a", "{\"x\":\"\\\\d\\n\"}", 1),
	   "a backslash before another character stays, as in Prometheus");
	ok(parse("# TYPE \"a b\" counter\n") && samples.count == 0, "a quoted name after TYPE");
	ok(parse("") && samples.count == 0, "nothing at all");
	ok(parse("a{B=\"1\",a=\"2\",_=\"3\"} 1\n") &&
	   is_sample(0, "a", "{\"B\":\"1\",\"_\":\"3\",\"a\":\"2\"}", 1), "labels sort by bytes");
}

static void
test_malformed(void)
{
	static const char *const bodies[] = {
		"a\n", "a \n", "a{x=\"1\"}\n", "a x\n", "a 1 x\n", "a 1 2 3\n", "a 1 1.5\n", "a 1 1e3\n",
		"a 0x10\n", "a 1e400\n", "a 1_0\n", "a 1\r\n", "1a 1\n", "a-b 1\n", "a{1x=\"1\"} 1\n",
		"a{x=1} 1\n", "a{x} 1\n", "a{x=\"1} 1\n", "a{x=\"1\" 1\n", "a{x=\"1\"y=\"2\"} 1\n",
		"a{,} 1\n", "a{x=\"1\",,} 1\n", "a{x=\"\\", "a{x=\"1\",x=\"2\"} 1\n",
		"a{:x=\"1\"} 1\n", "{x=\"1\"} 1\n", "{} 1\n", "{\"\"} 1\n", "a{\"b\"} 1\n",
		"{\"a\",\"b\"} 1\n", "a{\"\"=\"1\"} 1\n", "# TYPE a\n", "# TYPE a thing\n",
		"# TYPE a counter gauge\n", "# TYPE 1a counter\n", "# TYPE\n", "# HELP\n", "# HELP a-b c\n",
		"a 1 253402300800000\n", "a 1 -62135596800001\n", "a{x=\"\xff\"} 1\n", "\xff 1\n",
		"# \xc3\x28\n", "<html>\n", "{\"error\": 1}\n", "a 1 # {x=\"1\"} 1\n", "a 1 #\n"
	};
	static const char with_nul[] = "a{x=\"a\0b\"} 1\n";

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		bool		done = parse(bodies[i]);

		ok(!done && strcmp(problem.sqlstate, "22P02") == 0 &&
		   strncmp(problem.message, "line 1: ", 8) == 0, "malformed body %zu: %s", i,
		   problem.message);
	}
	ok(!parse_bytes(with_nul, sizeof(with_nul) - 1, SAAS_EXPOSITION_PROMETHEUS, 10), "a NUL byte");
	ok(!parse("a 1\n\n# x\nb\n") && strncmp(problem.message, "line 4: ", 8) == 0,
	   "the message has the number of the line");
}

static void
test_openmetrics(void)
{
	static const char *const bad[] = {
		"a 1\n", "a 1\n# EOF\nb 1\n", "a 1\n# EOF\n\n", "a 1\n#EOF\n", "a 1\n# EOF \n",
		"a 1\n\n# EOF\n", "# comment\n# EOF\n", "a  1\n# EOF\n", "a 1 \n# EOF\n", " a 1\n# EOF\n",
		"a\t1\n# EOF\n", "a {x=\"1\"} 1\n# EOF\n", "a{x=\"1\"}1\n# EOF\n", "a{ x=\"1\"} 1\n# EOF\n",
		"# TYPE a untyped\n# EOF\n", "a 1 x\n# EOF\n", "a 1 # x 1\n# EOF\n",
		"a 1 # {x=\"1\"}\n# EOF\n", "a 1 # {x=\"1\"} y\n# EOF\n", "a 1 # {x=\"1\"} 1 2 3\n# EOF\n",
		"a 1 #{x=\"1\"} 1\n# EOF\n", "a 1 # {x=\"1\"} 1 \n# EOF\n", "a 1 253402300800\n# EOF\n",
		"#  TYPE a gauge\n# EOF\n", "a 1\n# EOF x\n", ""
	};

	ok(parse_openmetrics("a 1 1605281325.1234\n# EOF") && samples.items[0].time_ms == 1605281325123,
	   "times are seconds, rounded to milliseconds");
	ok(parse_openmetrics("a_bucket{le=\"1\"} 5 # {trace_id=\"x\"} 0.6 1.5\nb_total 1 2 # {} 3\n# EOF\n") &&
	   is_sample(0, "a_bucket", "{\"le\":\"1\"}", 5) && !samples.items[0].has_time &&
	   is_sample(1, "b_total", "{}", 1) && samples.items[1].time_ms == 2000,
	   "exemplars are skipped");
	ok(parse_openmetrics("a{x=\"\\d\\n\\\\\"} 1\n# EOF\n") &&
	   is_sample(0, "a", "{\"x\":\"\\\\d\\n\\\\\"}", 1), "other escapes stay as they are");
	ok(parse_openmetrics("# TYPE a stateset\n# UNIT a x\n# HELP a\n# EOF\n"), "descriptions");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		bool		done = parse_openmetrics(bad[i]);

		ok(!done && strcmp(problem.sqlstate, "22P02") == 0 &&
		   strncmp(problem.message, "line ", 5) == 0, "no OpenMetrics %zu: %s", i, problem.message);
	}
	ok(SaasExpositionFormatOf("application/openmetrics-text; version=1.0.0; charset=utf-8") ==
	   SAAS_EXPOSITION_OPENMETRICS &&
	   SaasExpositionFormatOf("Application/OpenMetrics-Text") == SAAS_EXPOSITION_OPENMETRICS &&
	   SaasExpositionFormatOf("application/openmetrics-textual") == SAAS_EXPOSITION_PROMETHEUS &&
	   SaasExpositionFormatOf("text/plain; version=0.0.4") == SAAS_EXPOSITION_PROMETHEUS &&
	   SaasExpositionFormatOf("") == SAAS_EXPOSITION_PROMETHEUS &&
	   SaasExpositionFormatOf(NULL) == SAAS_EXPOSITION_PROMETHEUS, "the Content-Type decides");
}

static void
test_bounds(void)
{
	char		name[300];
	char	   *body = malloc(65536);
	size_t		length;

	ok(!parse_bytes("a 1\na 2\na 3\n", 12, SAAS_EXPOSITION_PROMETHEUS, 2) &&
	   strcmp(problem.sqlstate, "54000") == 0 && samples.count == 2, "too many samples are 54000");

	memset(name, 'n', sizeof(name));
	length = (size_t) snprintf(body, 65536, "%.255s 1\n", name);
	ok(parse_bytes(body, length, SAAS_EXPOSITION_PROMETHEUS, 2), "a name of 255 bytes");
	length = (size_t) snprintf(body, 65536, "%.256s 1\n", name);
	ok(!parse_bytes(body, length, SAAS_EXPOSITION_PROMETHEUS, 2), "and of 256");

	memset(body, 'x', 65536);
	memcpy(body, "a{x=\"", 5);
	memcpy(body + 5 + 4088, "\"} 1\n", 5);
	ok(parse_bytes(body, 5 + 4088 + 5, SAAS_EXPOSITION_PROMETHEUS, 2) &&
	   strlen(samples.items[0].labels) == SAAS_MAX_LABELS_LENGTH, "labels of 4,096 bytes");
	memset(body + 5, 'x', 65000);
	memcpy(body + 5 + 4089, "\"} 1\n", 5);
	ok(!parse_bytes(body, 5 + 4089 + 5, SAAS_EXPOSITION_PROMETHEUS, 2) &&
	   strcmp(problem.message, "line 1: the labels are too long") == 0, "and one more: %s",
	   problem.message);
	memset(body + 5, 'x', 65000);
	ok(!parse_bytes(body, 65000, SAAS_EXPOSITION_PROMETHEUS, 2), "a label without an end");

	length = 2;
	memcpy(body, "a{", 2);
	for (int i = 0; i < 3000; i++)
		length += (size_t) snprintf(body + length, 65536 - length, "a%d=\"\",", i);
	length += (size_t) snprintf(body + length, 65536 - length, "} 1\n");
	ok(!parse_bytes(body, length, SAAS_EXPOSITION_PROMETHEUS, 2), "very many labels");
	free(body);

	start_over(20000);
	body = malloc(60000);
	length = 0;
	for (int i = 0; i < 1000; i++)
		length += (size_t) snprintf(body + length, 60000 - length, "a{x=\"%d\"} 1\n", i);
	ok(!SaasExpositionParse(body, length, SAAS_EXPOSITION_PROMETHEUS, arena, 20000, &samples,
							&problem) && strcmp(problem.sqlstate, "53200") == 0,
	   "an exhausted arena is 53200");
	free(body);
}

static void
test_labels(void)
{
	SaasLabel	labels[] = {{"b", "2"}, {"a", "\"\n"}};
	SaasLabel	twice[] = {{"a", "2"}, {"a", "1"}};

	start_over(20000);
	is_text(SaasLabelsToJson(labels, 2, arena), "{\"a\":\"\\\"\\n\",\"b\":\"2\"}", "canonical labels");
	ok(SaasLabelsToJson(twice, 2, arena) == NULL, "a name twice");
	is_text(SaasLabelsToJson(NULL, 0, arena), "{}", "no labels");
}

static void
test_spoilt(const char *name, SaasExpositionFormat format)
{
	size_t		length;
	char	   *body = read_fixture(name, &length);
	uint64_t	state = 1;
	size_t		refused = 0;
	bool		explained = true;

	for (int i = 0; i < 10000; i++)
	{
		size_t		spoilt_length;
		char	   *spoilt = spoil(body, length, &state, &spoilt_length);

		if (!parse_bytes(spoilt, spoilt_length, format, 1000))
		{
			refused++;
			explained = explained && problem.sqlstate[0] != '\0' && problem.message[0] != '\0';
		}
		free(spoilt);
	}
	free(body);
	ok(refused > 5000, "of 10000 spoilt copies of %s %zu are refused and none crashes", name, refused);
	ok(explained, "and every refusal says why");
}

int
main(void)
{
	test_documents();
	test_lenient();
	test_malformed();
	test_openmetrics();
	test_bounds();
	test_labels();
	test_spoilt("prometheus-0.0.4.txt", SAAS_EXPOSITION_PROMETHEUS);
	test_spoilt("openmetrics-1.0.0.txt", SAAS_EXPOSITION_OPENMETRICS);
	SaasArenaDestroy(arena);
	return tap_done();
}
