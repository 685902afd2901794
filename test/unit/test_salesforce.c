/*
 * test_salesforce.c
 *	  pure/salesforce.c and pure/json.c: limits, ids, and documents that are
 *	  neither.
 */
#include "pure/json.h"
#include "pure/salesforce.h"

#include "files.h"
#include "tap.h"

static SaasArena *arena;
static SaasProblem problem;
static SaasSalesforceLimit *limits;
static size_t count;

static bool
read_bytes(const char *body, size_t length)
{
	SaasArenaDestroy(arena);
	arena = SaasArenaCreate(4 * 1024 * 1024);
	memset(&problem, 0, sizeof(problem));
	limits = NULL;
	count = 0;
	return SaasSalesforceLimitsRead(body, length, arena, &limits, &count, &problem);
}

static bool
read_text(const char *body)
{
	return read_bytes(body, strlen(body));
}

static const SaasSalesforceLimit *
find(const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(limits[i].name, name) == 0)
			return &limits[i];
	return NULL;
}

static void
test_limits(void)
{
	size_t		length;
	char	   *body = read_fixture("salesforce-limits.json", &length);

	ok(read_bytes(body, length) && count == 52, "the documented example has 52 limits (%zu)", count);
	ok(find("DailyApiRequests") != NULL && find("DailyApiRequests")->max == 5000 &&
	   find("DailyApiRequests")->remaining == 4937, "a limit");
	ok(find("PermissionSets.CreateCustom") != NULL &&
	   find("PermissionSets.CreateCustom")->remaining == 999, "a nested limit");
	ok(find("PermissionSets") != NULL && find("PermissionSets")->max == 1500, "and its parent");
	is_text(limits[0].name, "ActiveScratchOrgs", "in the document's order");
	free(body);

	ok(read_text("{\"A\":{\"Max\":0,\"Remaining\":-7,\"My App\":{\"Max\":1e9,\"Remaining\":1.5}}}") &&
	   count == 2 && limits[0].remaining == -7 && limits[1].max == 1e9 && limits[1].remaining == 1.5,
	   "negative, zero and real numbers");
	is_text(limits[1].name, "A.My App", "names as they are");
	ok(read_text("{\"A\":{\"Max\":99999999999999999999,\"Remaining\":1,\"Unit\":\"MB\"}}") &&
	   count == 1 && limits[0].max == 1e20, "more than 64 bits, and facts that are no limits");
	ok(read_text("{}") && count == 0, "no limits");
}

static void
test_refused(void)
{
	static const char *const bodies[] = {
		"[]", "1", "\"x\"", "null", "[{\"message\":\"x\",\"errorCode\":\"NOT_FOUND\"}]",
		"{\"A\":1}", "{\"A\":{}}", "{\"A\":{\"Max\":1}}", "{\"A\":{\"Max\":\"1\",\"Remaining\":1}}",
		"{\"A\":{\"Max\":1,\"Remaining\":null}}", "{\"A\":{\"Max\":1,\"Remaining\":1,\"B\":{}}}",
		"{\"\":{\"Max\":1,\"Remaining\":1}}", "{\"A\":{\"Max\":1,\"Max\":1,\"Remaining\":1}}",
		"{\"A\":{\"Max\":1e999,\"Remaining\":1}}", "{\"A\":{\"Max\":NaN,\"Remaining\":1}}",
		"{\"A\\u0000\":{\"Max\":1,\"Remaining\":1}}", "{\"\xff\":{\"Max\":1,\"Remaining\":1}}",
		"{\"A\":{\"Max\":1,\"Remaining\":1}} x", "{\"A\":{\"Max\":1,\"Remaining\":1}", "", " \n",
		"<html>", "{"
	};
	char	   *body = malloc(500000);
	size_t		length;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		bool		done = read_text(bodies[i]);

		ok(!done && strcmp(problem.sqlstate, "22P02") == 0, "refused: %s", problem.message);
	}
	ok(!read_bytes("{}\0", 3), "a NUL byte behind the document");
	read_text("{\"A\":\n{\"Max\" 1}}");
	is_text(problem.message, "the answer is not JSON: line 2, column 8: invalid syntax",
			"the message has the place and no excerpt");

	memset(body, '[', 100000);
	ok(!read_bytes(body, 100000) && strstr(problem.message, "nested too deeply") != NULL,
	   "deep nesting: %s", problem.message);
	memset(body, ',', 400000);
	body[0] = '[';
	ok(!read_bytes(body, 400000) && strcmp(problem.sqlstate, "54000") == 0,
	   "too many values are refused before they are read: %s", problem.message);

	length = (size_t) snprintf(body, 500000, "{");
	for (int i = 0; i < 2001; i++)
		length += (size_t) snprintf(body + length, 500000 - length,
									"%s\"L%d\":{\"Max\":1,\"Remaining\":1}", i > 0 ? "," : "", i);
	snprintf(body + length, 500000 - length, "}");
	ok(!read_text(body) && strcmp(problem.sqlstate, "22P02") == 0, "too many limits: %s",
	   problem.message);

	for (int levels = 8; levels <= 9; levels++)
	{
		length = (size_t) snprintf(body, 500000, "{");
		for (int i = 0; i < levels; i++)
			length += (size_t) snprintf(body + length, 500000 - length,
										"%s\"L\":{\"Max\":1,\"Remaining\":1", i > 0 ? "," : "");
		for (int i = 0; i <= levels; i++)
			length += (size_t) snprintf(body + length, 500000 - length, "}");
		ok(read_text(body) == (levels == 8), "%d levels", levels);
	}

	memset(body, 'x', 3000);
	memcpy(body, "{\"", 2);
	memcpy(body + 1500, "\":{\"Max\":1}}", 13);
	ok(!read_text(body) && strstr(problem.message, "xxx") == NULL, "a long name is not shown");
	memcpy(body + 200, "\":{\"Max\":1}}", 13);
	ok(!read_text(body) && strstr(problem.message, "xxx") == NULL, "nor one of 198 bytes");
	free(body);
}

static void
test_memory(void)
{
	size_t		length;
	char	   *body = read_fixture("salesforce-limits.json", &length);
	SaasArena  *small = SaasArenaCreate(3000);

	ok(!SaasSalesforceLimitsRead(body, length, small, &limits, &count, &problem) &&
	   strcmp(problem.sqlstate, "53200") == 0, "an exhausted arena is 53200");
	SaasArenaDestroy(small);
	free(body);
}

static void
test_ids(void)
{
	static const char *const bad[] = {
		"", "00D5e000001N20", "00D5e000001N20QEA", "00D5e000001N20QEAT", "00D5e000001N20QAAA",
		"00D5e000001N20QEASS", "00D5e000001N20!", "00D5e000001N2é", "00D 5e000001N20",
		"00d5e000001N20QEAS", "00D5e000001N20QE S"
	};
	char		id[19];

	ok(SaasSalesforceIdNormalize("00D5e000001N20Q", id), "15 characters");
	is_text(id, "00D5e000001N20QEAS", "become 18");
	ok(SaasSalesforceIdNormalize("00D5e000001N20QEAS", id), "18 characters");
	is_text(id, "00D5e000001N20QEAS", "stay");
	ok(SaasSalesforceIdNormalize("00D5e000001N20Qeas", id), "a checksum in lower case");
	is_text(id, "00D5e000001N20QEAS", "becomes upper case");
	ok(SaasSalesforceIdNormalize("0055e000003E8oo", id), "another id");
	is_text(id, "0055e000003E8ooAAC", "as Salesforce writes it");
	ok(SaasSalesforceIdNormalize("ABCDEFGHIJKLMNO", id), "all upper case");
	is_text(id, "ABCDEFGHIJKLMNO555", "is 5 in every place");
	ok(SaasSalesforceIdNormalize("000000000000000", id), "digits only");
	is_text(id, "000000000000000AAA", "are A");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!SaasSalesforceIdNormalize(bad[i], id), "\"%s\" is no id", bad[i]);
}

static void
test_spoilt(void)
{
	size_t		length;
	char	   *body = read_fixture("salesforce-limits.json", &length);
	uint64_t	state = 7;
	size_t		refused = 0;
	bool		explained = true;

	for (int i = 0; i < 3000; i++)
	{
		size_t		spoilt_length;
		char	   *spoilt = spoil(body, length, &state, &spoilt_length);

		if (!read_bytes(spoilt, spoilt_length))
		{
			refused++;
			explained = explained && problem.sqlstate[0] != '\0' && problem.message[0] != '\0';
		}
		free(spoilt);
	}
	free(body);
	ok(refused > 1000, "of 3000 spoilt copies %zu are refused and none crashes", refused);
	ok(explained, "and every refusal says why");
}

int
main(void)
{
	test_limits();
	test_refused();
	test_memory();
	test_ids();
	test_spoilt();
	SaasArenaDestroy(arena);
	return tap_done();
}
