/*
 * postgres_connect.c
 *	  From addresses to a session that stands.
 *
 * libpq takes what it is not told from the process's environment, from files
 * in the home directory and from a service file: the server's own, none of a
 * tenant's business.  It counts an empty value as not told, so every parameter
 * gets one that leads nowhere, and the environment is empty while libpq looks.
 */
#include "net/postgres_internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* A path that cannot exist: not ENOENT by luck, but ENOTDIR. */
#define NOWHERE			"/dev/null/none"

/* What the kernel keeps unread, so that one read of libpq is bounded. */
#define RECEIVE_BYTES	(64 * 1024)

#define MAX_PARAMETERS	32

typedef struct Parameters
{
	const char *names[MAX_PARAMETERS + 1];
	const char *values[MAX_PARAMETERS + 1];
	char		paths[POSTGRES_TRUST_FILES][SAAS_POSTGRES_TRUST_PATH];
	int			count;
} Parameters;

/*
 * A request for GSSAPI is refused before libpq sees it (postgres_sign_in.c), but
 * for one that comes in the microsecond after the look: it finds no credentials,
 * and no realm to ask for them.
 */
static char *no_environment[] = {
	"KRB5_CONFIG=/dev/null", "KRB5CCNAME=MEMORY:pg_saas", "KRB5_CLIENT_KTNAME=MEMORY:pg_saas", NULL
};

/* Only pointers are exchanged: threads that read the environment see either. */
static char **
leave_environment(void)
{
	char	  **saved = environ;

	environ = no_environment;
	return saved;
}

static void
drop_notice(void *argument, const PGresult *result)
{
	(void) argument;
	(void) result;
}

static void
set(Parameters *parameters, const char *name, const char *value)
{
	parameters->names[parameters->count] = name;
	parameters->values[parameters->count++] = value;
}

static const char *
security_name(SaasDatabaseSecurity security)
{
	return security == SAAS_DATABASE_VERIFY_FULL ? "verify-full" :
		security == SAAS_DATABASE_VERIFY_CA ? "verify-ca" : "disable";
}

/* Parameters that only some versions of libpq know. */
static void
set_newer(Parameters *parameters, bool has_certificate)
{
	char	  **environment = leave_environment();
	PQconninfoOption *known = PQconndefaults();

	environ = environment;
	for (PQconninfoOption *option = known; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "sslcertmode") == 0)
			set(parameters, "sslcertmode", has_certificate ? "allow" : "disable");
		else if (strcmp(option->keyword, "gssdelegation") == 0)
			set(parameters, "gssdelegation", "0");
		else if (strcmp(option->keyword, "load_balance_hosts") == 0)
			set(parameters, "load_balance_hosts", "disable");
	}
	PQconninfoFree(known);
}

/* Whom the session trusts and who it is: its own, or the loop's authorities and nobody. */
static void
set_trust(Parameters *parameters, const PostgresSession *session)
{
	const char *paths[POSTGRES_TRUST_FILES];
	const char *ca_file = session->loop->options.ca_file;

	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
		paths[i] = SaasPostgresTrustPath(session, (PostgresTrustFile) i, parameters->paths[i]);
	if (paths[POSTGRES_TRUST_AUTHORITY] != NULL)
		ca_file = paths[POSTGRES_TRUST_AUTHORITY];
	else if (ca_file == NULL)
		ca_file = SaasTransferSystemAuthorities();
	set(parameters, "sslrootcert", ca_file != NULL ? ca_file : NOWHERE);
	set(parameters, "sslcert", paths[POSTGRES_TRUST_CERTIFICATE] != NULL ?
		paths[POSTGRES_TRUST_CERTIFICATE] : NOWHERE);
	set(parameters, "sslkey", paths[POSTGRES_TRUST_KEY] != NULL ? paths[POSTGRES_TRUST_KEY] : NOWHERE);
	set(parameters, "sslcrl", NOWHERE);
	/* Without one OpenSSL would ask for it on the terminal. */
	set(parameters, "sslpassword", "-");
}

static void
set_all(Parameters *parameters, const PostgresSession *session, const char *hosts,
		const char *addresses, const char *port)
{
	const SaasDatabaseRequest *request = session->request;

	set(parameters, "host", hosts);
	set(parameters, "hostaddr", addresses);
	set(parameters, "port", port);
	set(parameters, "dbname", request->dbname);
	set(parameters, "user", request->user);
	set(parameters, "password", request->password != NULL ? request->password : "");
	set(parameters, "passfile", NOWHERE);
	set(parameters, "application_name", "pg_saas");
	set(parameters, "client_encoding", "UTF8");
	set(parameters, "gssencmode", "disable");
	set(parameters, "sslmode", security_name(request->security));
	set(parameters, "ssl_min_protocol_version", "TLSv1.2");
	set_trust(parameters, session);
	set(parameters, "target_session_attrs", "any");
	set_newer(parameters, request->client_certificate != NULL);
}

/* The socket is another one when libpq has gone on to the next address. */
static bool
watch(PostgresSession *session, uint32 events)
{
	int			bytes = RECEIVE_BYTES;

	session->watched = 0;
	setsockopt(PQsocket(session->conn), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (SaasPostgresAwait(session, events))
		return true;
	SaasPostgresFail(session, true, "53000", "no connection to %s could be watched",
					 session->request->host);
	return false;
}

static bool
open_connection(PostgresSession *session, const char *hosts, const char *addresses)
{
	Parameters	parameters = {.count = 0};
	char		port[16];
	char	  **environment;

	if (!SaasPostgresTrustOpen(session))
	{
		SaasPostgresFail(session, true, "53000", "no file could be made for the certificates of %s",
						 session->request->host);
		return false;
	}
	snprintf(port, sizeof(port), "%d", session->request->port);
	set_all(&parameters, session, hosts, addresses, port);
	environment = leave_environment();
	session->conn = PQconnectStartParams(parameters.names, parameters.values, 0);
	environ = environment;
	if (session->conn == NULL)
	{
		SaasPostgresFail(session, true, "53200", "out of memory for a connection");
		return false;
	}
	PQsetNoticeReceiver(session->conn, drop_notice, NULL);
	PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE);
	if (PQstatus(session->conn) != CONNECTION_BAD)
		return true;
	SaasPostgresFailConnection(session);
	return false;
}

static bool
write_address(const struct sockaddr_storage *address, char *text, size_t size)
{
	const void *bytes = address->ss_family == AF_INET ?
		(const void *) &((const struct sockaddr_in *) address)->sin_addr :
		(const void *) &((const struct sockaddr_in6 *) address)->sin6_addr;

	return (address->ss_family == AF_INET || address->ss_family == AF_INET6) &&
		inet_ntop(address->ss_family, bytes, text, size) != NULL;
}

static void
fail_address(PostgresSession *session, const char *address, const char *reason)
{
	SaasProblem problem = {0};

	session->result.refused = SaasTransferRefuseAddress(&problem, session->arena, session->request->host,
														address, reason);
	SaasPostgresFail(session, false, problem.sqlstate, "%s", problem.message);
	SaasProblemHint(&session->result.problem, "%s", problem.hint);
}

/* A name may have several addresses: a good one redeems a blocked one. */
void
SaasPostgresConnect(PostgresSession *session, const PostgresAddresses *addresses)
{
	const char *reason = "not a network address";
	char		text[INET6_ADDRSTRLEN] = "?";
	SaasArena  *arena = session->arena;
	const char *host = session->request->host;
	const char *hosts = NULL;
	const char *list = NULL;

	session->phase = POSTGRES_CONNECT;
	SaasPostgresStageReach(session, SAAS_STAGE_CONNECT);
	for (int i = 0; i < addresses->count; i++)
	{
		if (!write_address(&addresses->items[i], text, sizeof(text)) ||
			!SaasAddressIsAllowed((const struct sockaddr *) &addresses->items[i],
								  session->loop->options.allowed_networks, &reason))
			continue;
		list = list == NULL ? SaasArenaStrdup(arena, text) : SaasArenaPrintf(arena, "%s,%s", list, text);
		hosts = hosts == NULL ? host : SaasArenaPrintf(arena, "%s,%s", hosts, host);
		if (list == NULL || hosts == NULL)
		{
			SaasPostgresFail(session, false, "53200", "out of memory for the addresses of %s", host);
			return;
		}
	}
	if (list == NULL)
	{
		fail_address(session, text, reason);
		return;
	}
	if (open_connection(session, hosts, list))
		(void) watch(session, EPOLLOUT);
}

/*
 * OpenSSL would read on, as long as something comes, through records that hold
 * no data: tickets and new keys without end.  One a call is enough for us, and
 * so is one handshake a session.
 */
static void
begin_sign_in(PostgresSession *session)
{
	SSL		   *ssl = PQsslStruct(session->conn, "OpenSSL");

	if (ssl != NULL)
	{
		SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
		SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	}
	SaasPostgresBoundsSignIn(session);
}

static void
follow_phase(PostgresSession *session)
{
	switch (PQstatus(session->conn))
	{
		case CONNECTION_STARTED:
			session->phase = POSTGRES_CONNECT;
			SaasPostgresStageReach(session, SAAS_STAGE_CONNECT);
			break;
		case CONNECTION_SSL_STARTUP:
			session->phase = POSTGRES_TLS;
			SaasPostgresStageReach(session, SAAS_STAGE_TLS);
			break;
		default:
			if (session->phase != POSTGRES_SIGN_IN)
				begin_sign_in(session);
			session->phase = POSTGRES_SIGN_IN;
			SaasPostgresStageReach(session, SAAS_STAGE_AUTHENTICATE);
			break;
	}
}

static bool
has_unread(PostgresSession *session)
{
	SSL		   *ssl = PQsslStruct(session->conn, "OpenSSL");

	return ssl != NULL && SSL_pending(ssl) > 0;
}

/* One step of libpq's, with the session's certificates and without our environment. */
static PostgresPollingStatusType
poll_connection(PostgresSession *session)
{
	PostgresPollingStatusType status = PGRES_POLLING_FAILED;
	char	  **environment = leave_environment();

	SaasPostgresTrustListen(session);
	if (SaasPostgresTrustLend(session))
		status = PQconnectPoll(session->conn);
	SaasPostgresTrustTakeBack(session);
	SaasPostgresTrustStopListening();
	environ = environment;
	return status;
}

void
SaasPostgresConnectStep(PostgresSession *session)
{
	PostgresPollingStatusType status;

	do
	{
		if (!SaasPostgresCheckBytes(session) ||
			(PQstatus(session->conn) == CONNECTION_AWAITING_RESPONSE &&
			 SaasPostgresSignInCheck(session) != POSTGRES_SIGN_IN_GO))
			return;
		status = poll_connection(session);
		if (status == PGRES_POLLING_FAILED)
		{
			SaasPostgresFailConnection(session);
			return;
		}
		follow_phase(session);
		if (!SaasPostgresCheckWork(session))
			return;
		if (status == PGRES_POLLING_OK)
		{
			SaasPostgresQueryBegin(session);
			return;
		}
		if (!watch(session, status == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN))
			return;
	} while (status == PGRES_POLLING_READING && has_unread(session));
}
