/*
 * postgresql_rows.c
 *	  The samples and the verdict of what a PostgreSQL server answered.
 *
 * Numbers and booleans are values, text is a label; null is neither.  A query
 * that fails leaves the others' samples alone: the poll is good, and the
 * metric postgresql_query_ok says which one is not.
 */
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/strbuf.h"
#include "connector/poll.h"
#include "connector/postgresql.h"
#include "pure/exposition.h"

#define MAX_LABELS		32
#define MAX_DETAILS		500		/* that test_connection can carry */
#define QUERY_OK		SAAS_POSTGRESQL_PREFIX "_query_ok"

/* What is read of one query. */
typedef struct Reading
{
	SaasPoll   *poll;
	const SaasDatabaseQuery *query;
	const SaasDatabaseResult *result;
	bool		is_health;
	const char **names;			/* a column's metric or label */
	SaasProblem problem;		/* why the query gives nothing */
} Reading;

static bool
is_value(SaasDatabaseType type)
{
	return type == SAAS_DATABASE_NUMBER || type == SAAS_DATABASE_BOOLEAN;
}

/* A column's name as a part of a metric's: what is foreign there becomes "_". */
static char *
plain_name(SaasArena *arena, const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	char	   *plain = SaasArenaPrintf(arena, "%s%.63s", *name >= '0' && *name <= '9' ? "_" : "", name);

	for (char *c = plain; c != NULL && *c != '\0'; c++)
		if (strchr(letters, *c) == NULL)
			*c = '_';
	return plain;
}

/* "value" stands for the query alone. */
static const char *
metric_name(Reading *reading, const char *column)
{
	const char *query = reading->is_health ? SAAS_POSTGRESQL_PREFIX : reading->query->name;
	const char *plain = plain_name(reading->poll->arena, column);

	if (plain == NULL)
		return NULL;
	if (!reading->is_health && strcmp(plain, "value") == 0)
		return query;
	return SaasArenaPrintf(reading->poll->arena, "%s_%s", query, plain);
}

static bool
read_names(Reading *reading)
{
	const SaasDatabaseResult *result = reading->result;
	SaasArena  *arena = reading->poll->arena;
	size_t		values = 0;

	reading->names = SaasArenaAlloc(arena, sizeof(char *) * (result->column_count + 1));
	if (reading->names == NULL)
		return SaasProblemSet(&reading->problem, "53200", "needs too much memory");
	for (size_t i = 0; i < result->column_count; i++)
	{
		const SaasDatabaseColumn *column = &result->columns[i];

		reading->names[i] = is_value(column->type) ? metric_name(reading, column->name) :
			plain_name(arena, column->name);
		if (reading->names[i] == NULL)
			return SaasProblemSet(&reading->problem, "53200", "needs too much memory");
		values += is_value(column->type);
	}
	return values > 0 || SaasProblemSet(&reading->problem, "42804", "has no column of numbers");
}

/* The labels of a row; NULL with the problem set. */
static const char *
read_labels(Reading *reading, const SaasDatabaseRow *row)
{
	const SaasDatabaseResult *result = reading->result;
	SaasLabel	labels[MAX_LABELS];
	size_t		count = 0;
	const char *text;

	for (size_t i = 0; i < result->column_count; i++)
	{
		if (result->columns[i].type != SAAS_DATABASE_TEXT || row->cells[i] == NULL)
			continue;
		if (count == MAX_LABELS || !SaasUtf8IsValid(row->cells[i], strlen(row->cells[i])))
		{
			SaasProblemSet(&reading->problem, "22P02", "has more than %d text columns, or no UTF-8",
						   MAX_LABELS);
			return NULL;
		}
		labels[count].name = reading->names[i];
		labels[count++].value = row->cells[i];
	}
	text = SaasLabelsToJson(labels, count, reading->poll->arena);
	if (text == NULL)
		SaasProblemSet(&reading->problem, "54000",
					   "has labels that are too long, or two text columns of one name");
	return text;
}

static bool
is_infinite(const char *text)
{
	return strcmp(text, "NaN") == 0 || strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0;
}

static bool
read_value(Reading *reading, size_t column, const char *text, double *value)
{
	if (reading->result->columns[column].type == SAAS_DATABASE_BOOLEAN)
	{
		*value = strcmp(text, "t") == 0 ? 1 : 0;
		return true;
	}
	return SaasNumberParse(text, strlen(text), value) ||
		SaasProblemSet(&reading->problem, "22P02", "has a number that cannot be read");
}

static bool
add_sample(SaasPoll *poll, const char *metric, const char *labels, double value)
{
	SaasSample	sample = {.metric = metric, .labels = labels, .value = value};

	return SaasSampleListAdd(&poll->samples, poll->arena, &sample, poll->max_samples);
}

static bool
read_row(Reading *reading, const SaasDatabaseRow *row)
{
	const SaasDatabaseResult *result = reading->result;
	const char *labels = read_labels(reading, row);

	if (labels == NULL)
		return false;
	for (size_t i = 0; i < result->column_count; i++)
	{
		double		value;

		if (!is_value(result->columns[i].type) || row->cells[i] == NULL || is_infinite(row->cells[i]))
			continue;
		if (!read_value(reading, i, row->cells[i], &value))
			return false;
		if (!add_sample(reading->poll, reading->names[i], labels, value))
			return SaasProblemSet(&reading->problem, "54000", "gives more samples than a poll may have");
	}
	return true;
}

/* The server's SQLSTATE, or what stands for one that is none. */
static const char *
plain_state(const char *state)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	return strlen(state) == 5 && strspn(state, letters) == 5 ? state : "XX000";
}

static bool
read_rows(Reading *reading)
{
	if (reading->result->sqlstate[0] != '\0')
		return SaasProblemSet(&reading->problem, plain_state(reading->result->sqlstate), "%.180s",
							  reading->result->message != NULL ? reading->result->message : "");
	if (reading->result->row_count > SAAS_POSTGRESQL_MAX_ROWS)
		return SaasProblemSet(&reading->problem, "54000", "gives more than %d rows",
							  SAAS_POSTGRESQL_MAX_ROWS);
	if (!read_names(reading))
		return false;
	for (const SaasDatabaseRow *row = reading->result->rows; row != NULL; row = row->next)
		if (!read_row(reading, row))
			return false;
	return true;
}

/* All of a query's samples, or none and the problem. */
static bool
read_query(Reading *reading)
{
	size_t		before = reading->poll->samples.count;

	if (read_rows(reading))
		return true;
	reading->poll->samples.count = before;
	if (SaasPollHoldsSecret(reading->poll, reading->problem.message))
	{
		char		state[sizeof(reading->problem.sqlstate)];

		memcpy(state, reading->problem.sqlstate, sizeof(state));
		SaasProblemSet(&reading->problem, state, "its error quotes a secret and is withheld");
	}
	return false;
}

static bool
add_query_ok(SaasPoll *poll, const char *name, bool is_ok)
{
	SaasLabel	label = {.name = "query", .value = name};
	const char *labels = SaasLabelsToJson(&label, 1, poll->arena);

	return labels != NULL && add_sample(poll, QUERY_OK, labels, is_ok ? 1 : 0);
}

/* The server is busy, starting, stopping or out of something: it heals alone. */
static bool
is_transient(const char *sqlstate)
{
	return strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57", 2) == 0 ||
		strncmp(sqlstate, "58", 2) == 0 || strncmp(sqlstate, "40", 2) == 0 ||
		strncmp(sqlstate, "08", 2) == 0;
}

static SaasStep
read_refusal(SaasPoll *poll, const SaasDatabaseAnswer *answer)
{
	const char *state = answer->refusal;
	const char *message = answer->refusal_message != NULL ? answer->refusal_message : "";

	if (strcmp(state, "28P01") == 0)
	{
		SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "the server refused the user or the password");
		SaasProblemHint(&poll->problem, "Give the connection the password of its user.");
		return SAAS_STEP_DONE;
	}
	if (is_transient(state))
		return SaasPollFail(poll, SAAS_VERDICT_RETRY, "08006", "the server takes no session now: %.180s",
							message);
	SaasPollFail(poll, SAAS_VERDICT_ERROR, strncmp(state, "28", 2) == 0 ? "28000" : "08001",
				 "the server refused the session: %.180s", message);
	if (strcmp(state, "3D000") == 0)
		SaasProblemHint(&poll->problem, "The database does not exist: correct dbname.");
	else if (strcmp(state, "42501") == 0)
		SaasProblemHint(&poll->problem, "Grant the user CONNECT on the database.");
	else if (strstr(message, "client certificate") != NULL)
		SaasProblemHint(&poll->problem, "Give the connection the secrets client_certificate and client_key.");
	else if (strncmp(state, "28", 2) == 0)
		SaasProblemHint(&poll->problem, "The server's pg_hba.conf must let the user in from here, "
						"and the user must be allowed to log in.");
	return SAAS_STEP_DONE;
}

static void
add_failure(SaasStrbuf *partial, const Reading *reading)
{
	SaasStrbufAppendText(partial, partial->length == 0 ? ",\"partial\":[" : ",");
	SaasStrbufAppendText(partial, "{\"query\":");
	SaasStrbufAppendJson(partial, reading->query->name, strlen(reading->query->name));
	SaasStrbufAppendText(partial, ",\"sqlstate\":");
	SaasStrbufAppendJson(partial, reading->problem.sqlstate, strlen(reading->problem.sqlstate));
	SaasStrbufAppendText(partial, ",\"error\":");
	SaasStrbufAppendJson(partial, reading->problem.message, strlen(reading->problem.message));
	SaasStrbufAppendChar(partial, '}');
}

/* Failures that do not fit are left out of the details: the metric still has them. */
static const char *
write_details(SaasPoll *poll, const SaasDatabaseAnswer *answer, int failures, SaasStrbuf *partial)
{
	const char *facts = SaasArenaPrintf(poll->arena,
										"\"server_version\":\"%d.%d\",\"samples\":%zu,\"failed_queries\":%d",
										answer->server_version / 10000, answer->server_version % 10000,
										poll->samples.count, failures);
	const char *list = SaasStrbufFinish(partial);

	if (facts == NULL || list == NULL)
		return NULL;
	if (failures == 0 || strlen(facts) + strlen(list) > MAX_DETAILS - 4)
		return SaasArenaPrintf(poll->arena, "{%s}", facts);
	return SaasArenaPrintf(poll->arena, "{%s%s]}", facts, list);
}

SaasStep
SaasPostgresqlRead(SaasPoll *poll, const SaasDatabaseAnswer *answer)
{
	const SaasDatabaseRequest *request = &poll->database;
	Reading		first_failure = {0};
	int			failures = 0;
	SaasStrbuf	partial;

	if (answer->refusal[0] != '\0')
		return read_refusal(poll, answer);
	SaasStrbufInit(&partial, poll->arena);
	for (size_t i = 0; i < request->query_count; i++)
	{
		Reading		reading = {.poll = poll, .query = &request->queries[i], .result = &answer->results[i],
		.is_health = i < SAAS_POSTGRESQL_HEALTH_QUERIES};
		bool		is_ok = read_query(&reading);

		if (!is_ok && failures++ == 0)
			first_failure = reading;
		if (!is_ok)
			add_failure(&partial, &reading);
		(void) add_query_ok(poll, reading.query->name, is_ok);
	}
	poll->details = write_details(poll, answer, failures, &partial);
	if (failures < (int) request->query_count)
		return SaasPollDone(poll);
	poll->samples.count = 0;
	return SaasPollFail(poll, is_transient(first_failure.problem.sqlstate) ? SAAS_VERDICT_RETRY :
						SAAS_VERDICT_ERROR, first_failure.problem.sqlstate, "query \"%s\": %.180s",
						first_failure.query->name, first_failure.problem.message);
}
