/*
 * test_poll_postgresql.c
 *	  connector/postgresql*.c: config, queries, rows, verdicts.
 */
#include <stdio.h>

#include "connector/postgresql.h"
#include "polls.h"
#include "tap.h"

#define KIND	"postgresql"
#define SECRET	"{\"password\":\"hunter22\"}"
#define BASE	"\"host\":\"db.example.com\",\"dbname\":\"shop\",\"user\":\"watcher\""
#define OWN		SAAS_POSTGRESQL_HEALTH_QUERIES	/* the owner's first query */

static SaasDatabaseAnswer answer_of;
static SaasDatabaseResult results[OWN + 2];

static bool
is_valid(const char *rest)
{
	char		config[2048];

	snprintf(config, sizeof(config), "{%s%s%s}", BASE, *rest != '\0' ? "," : "", rest);
	return validate_with(KIND, config, SECRET, false);
}

static bool
complains_of(const char *field)
{
	char		text[80];

	snprintf(text, sizeof(text), "\"field\":\"%s\"", field);
	return strstr(validation.problem.detail, text) != NULL;
}

static void
test_config(void)
{
	static const char *const bad_hosts[] = {
		"", "a/b", "/tmp", "a,b", "u@a", "a b", "-a", ".a", "host=a", "a:5432", "fe80::1%eth0", "[::1]",
		"a\\u0000b", "ä.example"
	};
	static const struct
	{
		const char *rest;
		const char *field;
	}			bad[] = {
		{"\"port\":0", "port"},
		{"\"port\":65536", "port"},
		{"\"port\":\"5432\"", "port"},
		{"\"sslmode\":\"require\"", "sslmode"},
		{"\"sslmode\":\"prefer\"", "sslmode"},
		{"\"sslmode\":\"verify-ca\"", "sslmode"},
		{"\"sslmode\":\"disable\"", "sslmode"},
		{"\"passfile\":\"/etc/passwd\"", "passfile"},
		{"\"options\":\"-c a=b\"", "options"},
		{"\"queries\":{}", "queries"},
		{"\"queries\":[1]", "queries[0]"},
		{"\"queries\":[{\"name\":\"a\"}]", "queries[0].query"},
		{"\"queries\":[{\"query\":\"select 1\"}]", "queries[0].name"},
		{"\"queries\":[{\"name\":\"a b\",\"query\":\"select 1\"}]", "queries[0].name"},
		{"\"queries\":[{\"name\":\"1a\",\"query\":\"select 1\"}]", "queries[0].name"},
		{"\"queries\":[{\"name\":\"postgresql_x\",\"query\":\"select 1\"}]", "queries[0].name"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"select 1\"},{\"name\":\"a\",\"query\":\"select 1\"}]",
		"queries[1].name"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"delete from t\"}]", "queries[0].query"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"selected\"}]", "queries[0].query"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"select 1; \"}]", "queries[0].query"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"select \\u0001\"}]", "queries[0].query"},
		{"\"queries\":[{\"name\":\"a\",\"query\":\"select 1\",\"every\":1}]", "queries[0].every"}
	};

	ok(is_valid(""), "the least: %s", validation.problem.detail);
	is_text(validation.normalized, "{\"dbname\":\"shop\",\"host\":\"db.example.com\",\"port\":5432,\"queries\":[],"
			"\"sslmode\":\"verify-full\",\"user\":\"watcher\"}", "with its defaults");
	is_text(validation.account_key, "db.example.com:5432/shop", "what makes it the same");
	is_text(validation.origin, "postgresql://db.example.com:5432", "where its password may go");
	ok(validate_with(KIND, "{\"host\":\"DB.Example.com\",\"port\":6432,\"dbname\":\"d\",\"user\":\"u\"}", SECRET, false) &&
	   strcmp(validation.origin, "postgresql://db.example.com:6432") == 0, "a host in capitals");
	ok(validate_with(KIND, "{\"host\":\"2001:db8::1\",\"dbname\":\"d\",\"user\":\"u\"}", SECRET, false) &&
	   strcmp(validation.origin, "postgresql://[2001:db8::1]:5432") == 0, "an address of IPv6");
	ok(is_valid("\"queries\":[{\"name\":\"a\",\"query\":\" (SELECT\\n1)\"},{\"name\":\"b\",\"query\":\"table t\"},"
				"{\"name\":\"c\",\"query\":\"with x as (select 1) select * from x\"}]"), "queries: %s",
	   validation.problem.detail);
	for (size_t i = 0; i < sizeof(bad_hosts) / sizeof(bad_hosts[0]); i++)
	{
		char		config[256];

		snprintf(config, sizeof(config), "{\"host\":\"%s\",\"dbname\":\"d\",\"user\":\"u\"}", bad_hosts[i]);
		ok(!validate_with(KIND, config, SECRET, true), "no host: %s", bad_hosts[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!is_valid(bad[i].rest) && complains_of(bad[i].field), "%s: %s", bad[i].field,
		   validation.problem.detail);
	ok(!validate_with(KIND, "{" BASE "}", "{}", false) && complains_of("secrets.password"), "no password");
	ok(!validate_with(KIND, "{" BASE "}", "{\"password\":\"p\",\"ca_certificate\":\"x\"}", false) &&
	   complains_of("secrets.ca_certificate"), "an authority that is no certificate");
	ok(!validate_with(KIND, "{" BASE "}", "{\"client_certificate\":\"x\"}", false) &&
	   complains_of("secrets.client_key") && !complains_of("secrets.password"), "a client certificate without its key");
	ok(!validate_with(KIND, "{" BASE ",\"sslmode\":\"disable\"}",
					  "{\"password\":\"p\",\"client_key\":\"k\"}", true) && complains_of("secrets.client_key"),
	   "certificates without TLS");
	ok(validate_with(KIND, "{" BASE ",\"sslmode\":\"disable\"}", SECRET, true), "no TLS where it is allowed");
	is_text(validation.origin, "postgresql://db.example.com:5432?sslmode=disable",
			"where a password goes that is given for it");
	ok(!validate_with(KIND, "{" BASE ",\"sslmode\":\"require\"}", SECRET, true), "but never an unverified one");
}

static SaasStep
start_with(const char *rest)
{
	char		config[2048];

	snprintf(config, sizeof(config), "{%s%s%s}", BASE, *rest != '\0' ? "," : "", rest);
	memset(results, 0, sizeof(results));
	memset(&answer_of, 0, sizeof(answer_of));
	answer_of.results = results;
	answer_of.server_version = 150020;
	return start_poll(KIND, config, SECRET);
}

#define TWO	"\"queries\":[{\"name\":\"orders\",\"query\":\"select 1 -- x\"},{\"name\":\"b\",\"query\":\"table t\"}]"

static void
test_request(void)
{
	ok(start_with(TWO) == SAAS_STEP_ASK && poll.database.query_count == OWN + 2 &&
	   strcmp(poll.database.password, "hunter22") == 0 && poll.database.port == 5432 &&
	   poll.database.security == SAAS_DATABASE_VERIFY_FULL, "what is asked");
	is_text(poll.database.queries[OWN].name, "orders", "a query of the owner's");
	is_text(poll.database.queries[OWN].sql, "select * from (\nselect 1 -- x\n) as q limit 1001", "with a bound");
	start_with("");
	poll.secrets = NULL;
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_REAUTH,
	   "no password: %s", poll.problem.message);
	poll.config = "{}";
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR,
	   "a spoilt config: %s", poll.problem.message);
}

static SaasStep
read_it(void)
{
	return SaasConnectorFind(KIND)->read_rows(&poll, &answer_of);
}

static SaasDatabaseColumn columns[] = {
	{"state", SAAS_DATABASE_TEXT}, {"n", SAAS_DATABASE_NUMBER}, {"?column?", SAAS_DATABASE_BOOLEAN},
	{"value", SAAS_DATABASE_NUMBER}, {"made_at", SAAS_DATABASE_OTHER}
};

static void
put(SaasDatabaseResult *result, SaasDatabaseRow *row, size_t count)
{
	result->columns = columns;
	result->column_count = 5;
	result->rows = row;
	result->row_count = count;
}

static void
test_rows(void)
{
	const char *cells[] = {"open \"1\"", "12.5", "t", "-3e2", "now"};
	const char *other[] = {NULL, NULL, "f", "NaN", NULL};
	const char *wrong[] = {"a", "0x10", "t", "1", NULL};
	const char *bytes[] = {"\xff", "1", "t", "1", NULL};
	SaasDatabaseRow second = {other, NULL};
	SaasDatabaseRow first = {cells, &second};
	SaasDatabaseRow spoilt = {wrong, NULL};
	SaasDatabaseRow broken = {bytes, NULL};

	start_with(TWO);
	put(&results[0], &second, 1);
	put(&results[OWN], &first, 2);
	memcpy(results[OWN + 1].sqlstate, "42501", 6);
	results[OWN + 1].message = "permission denied for table t";
	ok(read_it() == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK, "a poll: %s", poll.problem.message);
	ok(has_value("orders_n", "{\"state\":\"open \\\"1\\\"\"}", 12.5), "a number");
	ok(has_value("orders__column_", "{\"state\":\"open \\\"1\\\"\"}", 1), "a yes");
	ok(has_value("orders", "{\"state\":\"open \\\"1\\\"\"}", -300), "the value");
	ok(has_value("orders__column_", "{}", 0) && sample_of("orders_n", "{}") == NULL &&
	   sample_of("orders", "{}") == NULL, "null and NaN are no samples");
	ok(has_value("postgresql__column_", "{}", 0), "one of ours");
	ok(has_value("postgresql_query_ok", "{\"query\":\"orders\"}", 1) &&
	   has_value("postgresql_query_ok", "{\"query\":\"b\"}", 0), "which query went well");
	ok(poll.details != NULL && strstr(poll.details, "\"server_version\":\"15.20\"") != NULL &&
	   strstr(poll.details, "{\"query\":\"b\",\"sqlstate\":\"42501\",\"error\":\"permission denied for table t\"}") != NULL,
	   "details: %s", poll.details);

	start_with(TWO);
	put(&results[0], &second, 1);
	put(&results[OWN], &spoilt, 1);
	put(&results[OWN + 1], &broken, 1);
	ok(read_it() == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK &&
	   sample_of("orders", "{\"state\":\"a\"}") == NULL && sample_of("b", "{}") == NULL &&
	   has_value("postgresql_query_ok", "{\"query\":\"orders\"}", 0) &&
	   has_value("postgresql_query_ok", "{\"query\":\"b\"}", 0), "half a query is none: %s", poll.details);

	start_with(TWO);
	put(&results[0], &second, 1);
	put(&results[OWN], &first, SAAS_POSTGRESQL_MAX_ROWS + 1);
	memcpy(results[OWN + 1].sqlstate, "22012", 6);
	results[OWN + 1].message = "it is hunter22";
	ok(read_it() == SAAS_STEP_DONE && has_value("postgresql_query_ok", "{\"query\":\"orders\"}", 0) &&
	   strstr(poll.details, "gives more than 1000 rows") != NULL, "too many rows");
	ok(!is_shown(&poll.problem, "hunter22"), "no error quotes the password");

	start_with(TWO);
	poll.max_samples = 0;
	put(&results[0], &first, 2);
	ok(read_it() == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR && poll.samples.count == 0,
	   "no room for any sample: %s", poll.problem.message);
}

static void
test_refusals(void)
{
	static const struct
	{
		const char *sqlstate;
		SaasVerdict verdict;
	}			cases[] = {
		{"28P01", SAAS_VERDICT_REAUTH},
		{"28000", SAAS_VERDICT_ERROR},
		{"3D000", SAAS_VERDICT_ERROR},
		{"42501", SAAS_VERDICT_ERROR},
		{"08P01", SAAS_VERDICT_RETRY},
		{"53300", SAAS_VERDICT_RETRY},
		{"57P01", SAAS_VERDICT_RETRY},
		{"57P03", SAAS_VERDICT_RETRY},
		{"XX000", SAAS_VERDICT_ERROR}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_with("");
		memcpy(answer_of.refusal, cases[i].sqlstate, 6);
		answer_of.refusal_message = "because\nof this";
		ok(read_it() == SAAS_STEP_DONE && poll.verdict == cases[i].verdict, "%s: %s", cases[i].sqlstate,
		   poll.problem.message);
	}
	start_with("");
	memcpy(answer_of.refusal, "28000", 6);
	answer_of.refusal_message = "role hunter22";
	ok(read_it() == SAAS_STEP_DONE && !is_shown(&poll.problem, "hunter22"), "a refusal that quotes the password");
	start_with("");
	for (size_t i = 0; i < OWN; i++)
		memcpy(results[i].sqlstate, "57014", 6);
	ok(read_it() == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_RETRY &&
	   strstr(poll.problem.message, "query \"server\"") != NULL && poll.samples.count == 0,
	   "nothing could be asked: %s", poll.problem.message);
}

int
main(void)
{
	test_config();
	test_request();
	test_rows();
	test_refusals();
	SaasArenaDestroy(arena);
	return tap_done();
}
