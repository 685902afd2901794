/*
 * postgresql.c
 *	  Asks a PostgreSQL server how it is, and the owner's own queries.
 */
#include <string.h>

#include "connector/kinds.h"
#include "connector/poll.h"
#include "connector/postgresql.h"
#include "pure/json.h"

static const char *const secret_names[] = {"password", "ca_certificate", "client_certificate", "client_key", NULL};

/*
 * The owner's query as it is asked: bounded by the server, so that a million
 * rows are not sent to be thrown away.  One more than is taken tells of them.
 * The line ends end a comment of the query's.
 */
static const char *
bounded(SaasPoll *poll, const char *sql)
{
	return sql == NULL ? NULL :
		SaasArenaPrintf(poll->arena, "select * from (\n%s\n) as q limit %d", sql,
						SAAS_POSTGRESQL_MAX_ROWS + 1);
}

static bool
add_queries(SaasPoll *poll, const json_t *given)
{
	size_t		count = json_array_size(given);
	size_t		total = SAAS_POSTGRESQL_HEALTH_QUERIES + count;
	SaasDatabaseQuery *queries = SaasArenaAlloc(poll->arena, sizeof(SaasDatabaseQuery) * total);

	if (queries == NULL || count > SAAS_POSTGRESQL_MAX_QUERIES)
		return false;
	memcpy(queries, SaasPostgresqlHealth, sizeof(SaasPostgresqlHealth));
	for (size_t i = 0; i < count; i++)
	{
		const json_t *entry = json_array_get(given, i);
		SaasDatabaseQuery *query = &queries[SAAS_POSTGRESQL_HEALTH_QUERIES + i];

		query->name = SaasArenaStrdup(poll->arena, SaasJsonText(entry, "name"));
		query->sql = bounded(poll, SaasJsonText(entry, "query"));
		if (query->name == NULL || query->sql == NULL)
			return false;
	}
	poll->database.queries = queries;
	poll->database.query_count = total;
	poll->database.max_rows = total * (SAAS_POSTGRESQL_MAX_ROWS + 1);
	return true;
}

static bool
read_security(SaasPoll *poll, const char *sslmode)
{
	if (sslmode == NULL)
		return false;
	if (strcmp(sslmode, "verify-full") == 0)
		poll->database.security = SAAS_DATABASE_VERIFY_FULL;
	else if (strcmp(sslmode, "verify-ca") == 0)
		poll->database.security = SAAS_DATABASE_VERIFY_CA;
	else if (strcmp(sslmode, "disable") == 0)
		poll->database.security = SAAS_DATABASE_PLAIN;
	else
		return false;
	return true;
}

static bool
make_request(SaasPoll *poll, const json_t *config)
{
	SaasDatabaseRequest *request = &poll->database;

	memset(request, 0, sizeof(*request));
	request->host = SaasArenaStrdup(poll->arena, SaasJsonText(config, "host"));
	request->port = (int) json_integer_value(json_object_get(config, "port"));
	request->dbname = SaasArenaStrdup(poll->arena, SaasJsonText(config, "dbname"));
	request->user = SaasArenaStrdup(poll->arena, SaasJsonText(config, "user"));
	request->password = SaasPollSecret(poll, "password");
	request->ca_certificate = SaasPollSecret(poll, "ca_certificate");
	request->client_certificate = SaasPollSecret(poll, "client_certificate");
	request->client_key = SaasPollSecret(poll, "client_key");
	return request->host != NULL && request->port > 0 && request->dbname != NULL &&
		request->user != NULL && read_security(poll, SaasJsonText(config, "sslmode")) &&
		add_queries(poll, json_object_get(config, "queries"));
}

static SaasStep
start(SaasPoll *poll)
{
	json_t	   *config = SaasPollConfig(poll);
	bool		is_made;

	if (config == NULL)
		return SAAS_STEP_DONE;
	is_made = make_request(poll, config);
	json_decref(config);
	if (!is_made)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
							"no session can be made of the stored config");
	if (poll->database.password == NULL && poll->database.client_certificate == NULL)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "the connection has no password");
	return SAAS_STEP_ASK;
}

/* Nothing is asked over HTTP. */
static SaasStep
read_answer(SaasPoll *poll, const SaasResponse *response)
{
	(void) response;
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "an answer that nobody asked for");
}

const SaasConnector SaasPostgresqlConnector = {
	.kind = "postgresql",
	.title = "PostgreSQL",
	.secret_names = secret_names,
	.validate = SaasPostgresqlValidate,
	.start = start,
	.read = read_answer,
	.read_rows = SaasPostgresqlRead
};
