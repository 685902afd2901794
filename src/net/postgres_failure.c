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

#include <openssl/x509_vfy.h>

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
	if (session->request->password != NULL && strlen(session->request->password) >= MIN_SECRET &&
		strstr(reason, session->request->password) != NULL)
		strlcpy(reason, "the reason quotes a secret and is withheld", size);
}

/* libpq could not use a file: the path is ours to know. */
static bool
fail_file(PostgresSession *session, const char *reason)
{
	const char *cause = strrchr(reason, ':');

	if (strstr(reason, SAAS_POSTGRES_TRUST_PATHS) != NULL)
		SaasPostgresFail(session, false, "22023", "the connection's %s cannot be used%.100s",
						 strstr(reason, "root certificate") != NULL ? "ca_certificate" :
						 "client_certificate and client_key", cause != NULL ? cause : "");
	else if (strstr(reason, "root certificate file") != NULL)
		SaasPostgresFail(session, true, "58030", "the file of certificate authorities could not be read");
	else
		return false;
	return true;
}

/* What OpenSSL or libpq has against the server's certificate. */
static bool
fail_certificate(PostgresSession *session, const char *reason)
{
	const char *host = session->request->host;
	long		verdict = session->verdict;
	const char *what = NULL;

	if (verdict == X509_V_OK && strstr(reason, "does not match host name") == NULL)
		return false;
	switch (verdict)
	{
		case X509_V_OK:
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			what = "is for another host name";
			break;
		case X509_V_ERR_CERT_HAS_EXPIRED:
			what = "has expired";
			break;
		case X509_V_ERR_CERT_NOT_YET_VALID:
			what = "is not valid yet";
			break;
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
			what = "is self-signed";
			break;
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
			what = "comes from an authority that is not trusted";
			break;
		default:
			what = "is not acceptable";
			break;
	}
	SaasPostgresFail(session, false, CANNOT_CONNECT, "the certificate of %s %s", host, what);
	if (verdict != X509_V_OK)
		SaasProblemDetail(&session->result.problem, "The verification says: %s.",
						  X509_verify_cert_error_string(verdict));
	return true;
}

/* A server says what it has against ours with an alert, since TLS 1.3 in the place of an answer. */
static bool
fail_client_certificate(PostgresSession *session, const char *reason)
{
	const SaasDatabaseRequest *request = session->request;

	if (strstr(reason, " alert ") == NULL)
		return false;
	if (request->client_certificate != NULL)
		SaasPostgresFail(session, false, CANNOT_CONNECT, "%s:%d refuses the client certificate: %s",
						 request->host, request->port, reason);
	else if (strstr(reason, "handshake failure") != NULL)
	{
		SaasPostgresFail(session, false, CANNOT_CONNECT, "the TLS handshake with %s:%d failed: %s",
						 request->host, request->port, reason);
		SaasProblemHint(&session->result.problem, "The server may ask for a client certificate: "
						"the secrets client_certificate and client_key.");
	}
	else if (strstr(reason, "certificate required") != NULL)
	{
		SaasPostgresFail(session, false, CANNOT_CONNECT, "%s:%d asks for a client certificate",
						 request->host, request->port);
		SaasProblemHint(&session->result.problem,
						"Give the connection the secrets client_certificate and client_key.");
	}
	else
		return false;
	session->result.stages.failed = SAAS_STAGE_TLS;
	return true;
}

static bool
fail_tls(PostgresSession *session, const char *reason)
{
	return fail_certificate(session, reason) || fail_file(session, reason) ||
		fail_client_certificate(session, reason);
}

void
SaasPostgresFailTls(PostgresSession *session, const char *reason)
{
	if (reason == NULL)
		reason = "TLS is broken";
	if (!fail_tls(session, reason))
		SaasPostgresFail(session, true, CANNOT_CONNECT, "the sign-in at %s:%d failed: %s",
						 session->request->host, session->request->port, reason);
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
	if ((session->phase == POSTGRES_TLS || session->phase == POSTGRES_SIGN_IN) && fail_tls(session, reason))
		return;
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
	if (session->phase == POSTGRES_QUEUED)
		SaasPostgresFail(session, true, CANNOT_CONNECT, "no connection to %s:%d became free in time",
						 request->host, request->port);
	else if (phase != NULL)
		SaasPostgresFail(session, true, CANNOT_CONNECT, "%s:%d timed out %s", request->host,
						 request->port, phase);
	else
		SaasPostgresFail(session, true, CONNECTION_FAILED, "%s:%d timed out during query \"%s\"",
						 request->host, request->port, request->queries[session->current].name);
	SaasProblemDetail(&session->result.problem, "The bound for %s is %d ms.",
					  phase != NULL ? "connecting" : "the whole session", bound_ms);
}
