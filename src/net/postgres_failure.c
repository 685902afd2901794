/*
 * postgres_failure.c
 *	  What went wrong, in words.
 *
 * libpq's message of a refused session is the server's with "LOCATION" and
 * our host before it: the SQLSTATE and the text are taken out, as the answer
 * that they are.  Of other failures the line that says why is told, without a
 * password that a server may have sent back.
 */
#include "net/postgres_internal.h"

#include <ctype.h>

#define CANNOT_CONNECT	"08001" /* sqlclient_unable_to_establish_sqlconnection */
#define CONNECTION_FAILED	"08006"

#define MIN_SECRET		4		/* a shorter one occurs in ordinary words */

void
SaasPostgresFail(PostgresSession *session, bool transient, const char *sqlstate,
				 const char *format,...)
{
	SaasProblem *problem = &session->result.problem;
	char		message[sizeof(problem->message)];
	va_list		args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	memset(problem, 0, sizeof(*problem));
	SaasProblemSet(problem, sqlstate, "%s", message);
	session->result.ok = false;
	session->result.transient = transient;
	SaasPostgresFinish(session);
}

/* Where "SEVERITY:  12345: text" has its SQLSTATE, whatever the severity's language; or NULL. */
static const char *
find_sqlstate(const char *message)
{
	for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 1, ":  "))
	{
		const char *state = at + 3;
		int			length = 0;

		while (length < 5 && (isdigit((unsigned char) state[length]) ||
							  (state[length] >= 'A' && state[length] <= 'Z')))
			length++;
		if (length == 5 && state[5] == ':' && state[6] == ' ')
			return state;
	}
	return NULL;
}

static void
refuse(PostgresSession *session, const char *state)
{
	SaasDatabaseAnswer *answer = &session->result.answer;

	memcpy(answer->refusal, state, 5);
	answer->refusal[5] = '\0';
	answer->refusal_message = SaasArenaStrndup(session->arena, state + 7, strcspn(state + 7, "\n"));
	session->result.ok = true;
	SaasPostgresFinish(session);
}

/* The line of libpq's own message that says why, of the last address that it tried. */
static void
write_reason(const PostgresSession *session, char *reason, size_t size)
{
	static const char mark[] = "failed: ";
	const char *start = PQerrorMessage(session->conn);

	for (const char *at = strstr(start, mark); at != NULL; at = strstr(start, mark))
		start = at + sizeof(mark) - 1;
	strlcpy(reason, start, Min(size, strcspn(start, "\n") + 1));
	if (strlen(session->request->password) >= MIN_SECRET &&
		strstr(reason, session->request->password) != NULL)
		strlcpy(reason, "the reason quotes a secret and is withheld", size);
}

void
SaasPostgresFailConnection(PostgresSession *session)
{
	const SaasDatabaseRequest *request = session->request;
	const char *state = session->phase == POSTGRES_SIGN_IN || session->phase == POSTGRES_BEGIN ||
		session->phase == POSTGRES_QUERY ? find_sqlstate(PQerrorMessage(session->conn)) : NULL;
	char		reason[200];

	if (state != NULL)
	{
		refuse(session, state);
		return;
	}
	write_reason(session, reason, sizeof(reason));
	switch (session->phase)
	{
		case POSTGRES_CONNECT:
			SaasPostgresFail(session, true, CANNOT_CONNECT, "could not connect to %s:%d: %s",
							 request->host, request->port, reason);
			break;
		case POSTGRES_TLS:
			SaasPostgresFail(session, false, CANNOT_CONNECT, "the TLS handshake with %s:%d failed: %s",
							 request->host, request->port, reason);
			break;
		case POSTGRES_SIGN_IN:
			SaasPostgresFail(session, true, CANNOT_CONNECT, "the sign-in at %s:%d failed: %s",
							 request->host, request->port, reason);
			break;
		default:
			SaasPostgresFail(session, true, CONNECTION_FAILED, "%s:%d broke the session off: %s",
							 request->host, request->port, reason);
			break;
	}
}

static const char *
phase_name(const PostgresSession *session)
{
	switch (session->phase)
	{
		case POSTGRES_WAITING:
		case POSTGRES_LOOKUP:
			return "during the name look-up";
		case POSTGRES_CONNECT:
			return "during the TCP connect";
		case POSTGRES_TLS:
			return "during the TLS handshake";
		case POSTGRES_SIGN_IN:
			return "during the sign-in";
		default:
			return NULL;
	}
}

void
SaasPostgresFailTimeout(PostgresSession *session)
{
	const SaasDatabaseRequest *request = session->request;
	const char *phase = phase_name(session);
	int			bound_ms = session->timeout_ms;

	if (phase != NULL && session->connect_by < session->deadline)
		bound_ms = session->loop->options.connect_timeout_ms;
	if (phase != NULL)
		SaasPostgresFail(session, true, CANNOT_CONNECT, "%s:%d timed out %s", request->host,
						 request->port, phase);
	else
		SaasPostgresFail(session, true, CONNECTION_FAILED, "%s:%d timed out during query \"%s\"",
						 request->host, request->port, request->queries[session->current].name);
	SaasProblemDetail(&session->result.problem, "The bound for %s is %d ms.",
					  phase != NULL ? "connecting" : "the whole session", bound_ms);
}
