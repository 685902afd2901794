/*
 * postgres_query.c
 *	  Statements and their rows.
 *
 * Each query runs in a read-only transaction of its own: what it sets is
 * rolled back with it, the server stops it after half of the session's time,
 * and one that fails leaves the others alone.  Everything is set for the
 * transaction and nothing for the session, which may be a pooler's.
 *
 * Rows are taken one by one, within the bounds of postgres_bounds.c.
 */
#include "net/postgres_internal.h"

#include <sys/epoll.h>

#include <openssl/ssl.h>

/* Columns that one answer may have; PostgreSQL's own bound is 1664. */
#define MAX_COLUMNS		1664

static void
fail_memory(PostgresSession *session)
{
	SaasPostgresFail(session, false, "53200", "out of memory for the answer of %s",
					 session->request->host);
}

static SaasDatabaseResult *
current_result(PostgresSession *session)
{
	return &session->result.answer.results[session->current];
}

static const char *
current_name(const PostgresSession *session)
{
	return session->request->queries[session->current].name;
}

/* libpq keeps what the socket does not take at once. */
static void
flush(PostgresSession *session)
{
	int			left = PQflush(session->conn);

	if (left < 0)
		SaasPostgresFailConnection(session);
	else if (!SaasPostgresAwait(session, left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN))
		SaasPostgresFail(session, true, "53000", "no connection to %s could be watched",
						 session->request->host);
}

/* One statement, or several that give no rows; with one, rows come singly. */
static void
ask_begin(PostgresSession *session)
{
	char		sql[320];
	int			bound_ms = Max(session->timeout_ms / 2, 1);

	session->phase = POSTGRES_BEGIN;
	snprintf(sql, sizeof(sql),
			 "%sbegin transaction isolation level read committed, read only;"
			 " set local statement_timeout = %d; set local lock_timeout = %d;"
			 " set local client_min_messages = error",
			 session->current > 0 ? "rollback; " : "", bound_ms, bound_ms);
	if (PQsendQuery(session->conn, sql) == 0)
		SaasPostgresFailConnection(session);
	else
		flush(session);
}

static void
ask_query(PostgresSession *session)
{
	session->phase = POSTGRES_QUERY;
	session->last_row = NULL;
	if (PQsendQueryParams(session->conn, session->request->queries[session->current].sql,
						  0, NULL, NULL, NULL, NULL, 0) == 0 ||
		PQsetSingleRowMode(session->conn) == 0)
		SaasPostgresFailConnection(session);
	else
		flush(session);
}

void
SaasPostgresQueryBegin(PostgresSession *session)
{
	SaasDatabaseAnswer *answer = &session->result.answer;

	SaasPostgresStageReach(session, SAAS_STAGE_AUTHORIZE);
	SaasPostgresStageReach(session, SAAS_STAGE_READ);
	answer->server_version = PQserverVersion(session->conn);
	answer->results = SaasArenaAlloc(session->arena,
									 sizeof(SaasDatabaseResult) * Max(session->request->query_count, 1));
	if (answer->results == NULL)
		fail_memory(session);
	else if (PQsetnonblocking(session->conn, 1) != 0)
		SaasPostgresFailConnection(session);
	else
		ask_begin(session);
}

/* pg_type's oids of what has a number or says yes or no; they never change. */
static SaasDatabaseType
type_of(Oid type)
{
	switch (type)
	{
		case 16:				/* bool */
			return SAAS_DATABASE_BOOLEAN;
		case 20:				/* int8 */
		case 21:				/* int2 */
		case 23:				/* int4 */
		case 26:				/* oid */
		case 700:				/* float4 */
		case 701:				/* float8 */
		case 1700:				/* numeric */
			return SAAS_DATABASE_NUMBER;
		case 17:				/* bytea */
		case 114:				/* json */
		case 142:				/* xml */
		case 1082:				/* date */
		case 1083:				/* time */
		case 1114:				/* timestamp */
		case 1184:				/* timestamptz */
		case 1186:				/* interval */
		case 1266:				/* timetz */
		case 3802:				/* jsonb */
			return SAAS_DATABASE_OTHER;
		default:
			return SAAS_DATABASE_TEXT;
	}
}

static bool
keep_columns(PostgresSession *session, const PGresult *result)
{
	SaasDatabaseResult *kept = current_result(session);
	int			count = PQnfields(result);

	if (kept->columns != NULL)
		return count == (int) kept->column_count;
	kept->columns = SaasArenaAlloc(session->arena, sizeof(SaasDatabaseColumn) * Max(count, 1));
	if (kept->columns == NULL)
		return false;
	kept->column_count = (size_t) count;
	for (int i = 0; i < count; i++)
	{
		kept->columns[i].name = SaasArenaStrdup(session->arena, PQfname(result, i));
		kept->columns[i].type = type_of(PQftype(result, i));
		if (kept->columns[i].name == NULL)
			return false;
	}
	return true;
}

static bool
keep_row(PostgresSession *session, const PGresult *result, int number)
{
	SaasDatabaseResult *kept = current_result(session);
	SaasDatabaseRow *row = SaasArenaAlloc(session->arena, sizeof(SaasDatabaseRow));

	if (row == NULL)
		return false;
	row->cells = SaasArenaAlloc(session->arena, sizeof(char *) * Max(kept->column_count, 1));
	if (row->cells == NULL)
		return false;
	for (int i = 0; i < (int) kept->column_count; i++)
	{
		if (PQgetisnull(result, number, i))
			continue;
		row->cells[i] = SaasArenaStrdup(session->arena, PQgetvalue(result, number, i));
		if (row->cells[i] == NULL)
			return false;
	}
	if (session->last_row != NULL)
		session->last_row->next = row;
	else
		kept->rows = row;
	session->last_row = row;
	kept->row_count++;
	session->rows++;
	return true;
}

static bool
keep_rows(PostgresSession *session, const PGresult *result)
{
	if (PQnfields(result) > MAX_COLUMNS)
	{
		SaasPostgresFail(session, false, "54011", "query \"%s\" gives too many columns",
						 current_name(session));
		return false;
	}
	if (!keep_columns(session, result))
	{
		fail_memory(session);
		return false;
	}
	for (int i = 0; i < PQntuples(result); i++)
	{
		if (session->rows >= session->request->max_rows)
		{
			SaasPostgresFail(session, false, "54000", "query \"%s\" gives too many rows",
							 current_name(session));
			SaasProblemDetail(&session->result.problem, "All queries together may give %zu.",
							  session->request->max_rows);
			return false;
		}
		if (!keep_row(session, result, i))
		{
			fail_memory(session);
			return false;
		}
	}
	return true;
}

static bool
keep_error(PostgresSession *session, const PGresult *result)
{
	SaasDatabaseResult *kept = current_result(session);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	/* Without a state it is libpq's own: the connection has broken. */
	if (sqlstate == NULL || PQstatus(session->conn) != CONNECTION_OK)
	{
		SaasPostgresFailConnection(session);
		return false;
	}
	/* An empty one would pass for none. */
	strlcpy(kept->sqlstate, sqlstate[0] != '\0' ? sqlstate : "XX000", sizeof(kept->sqlstate));
	kept->message = SaasArenaStrdup(session->arena, message != NULL ? message : "");
	return true;
}

/* False when the session has ended. */
static bool
take(PostgresSession *session, const PGresult *result)
{
	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_EMPTY_QUERY:
			return true;
		case PGRES_SINGLE_TUPLE:
		case PGRES_TUPLES_OK:
			return session->phase == POSTGRES_BEGIN || keep_rows(session, result);
		case PGRES_FATAL_ERROR:
			if (session->phase == POSTGRES_QUERY)
				return keep_error(session, result);
			SaasPostgresFailConnection(session);
			return false;
		default:
			SaasPostgresFail(session, false, "08P01", "%s answers with something other than rows",
							 session->request->host);
			return false;
	}
}

/* The statement is over. */
static void
go_on(PostgresSession *session)
{
	if (session->phase == POSTGRES_BEGIN)
		ask_query(session);
	else if (++session->current < session->request->query_count)
		ask_begin(session);
	else
	{
		session->result.ok = true;
		SaasPostgresFinish(session);
	}
}

/* Takes what libpq has read; false when the session has ended. */
static bool
take_all(PostgresSession *session)
{
	while (!PQisBusy(session->conn))
	{
		PGresult   *result = PQgetResult(session->conn);
		bool		is_alive;

		if (result == NULL)
		{
			go_on(session);
			return session->phase != POSTGRES_FINISHED;
		}
		is_alive = take(session, result);
		PQclear(result);
		/* A row of libpq's holds the names of all columns, however long they are. */
		if (!is_alive || !SaasPostgresCheckWork(session))
			return false;
	}
	return true;
}

static bool
has_unread(PostgresSession *session)
{
	SSL		   *ssl = PQsslStruct(session->conn, "OpenSSL");

	return ssl != NULL && SSL_pending(ssl) > 0;
}

void
SaasPostgresQueryStep(PostgresSession *session)
{
	do
	{
		if ((session->watched & EPOLLOUT) != 0)
			flush(session);
		if (session->phase == POSTGRES_FINISHED)
			return;
		if (PQconsumeInput(session->conn) == 0)
		{
			SaasPostgresFailConnection(session);
			return;
		}
		if (!SaasPostgresCheckBytes(session) || !take_all(session) || !SaasPostgresCheckWork(session))
			return;
	} while (has_unread(session));
}
