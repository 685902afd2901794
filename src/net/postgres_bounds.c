/*
 * postgres_bounds.c
 *	  How much a server may send, and how much work it may make.
 *
 * libpq takes whatever comes: it keeps a value however large it is, and it
 * looks through all parameters that the server has told for each one that it
 * tells, so that a megabyte of short ones takes a minute.  The bytes that the
 * socket has received are counted, and the processor's time that the session has
 * taken; who is over a bound is cut off.  The bounds are seen between libpq's
 * calls, none of which handles more than a buffer.
 */
#include "net/postgres_internal.h"

#include <sys/socket.h>

#include <linux/tcp.h>

/* Of the TLS handshake, whose certificates OpenSSL bounds, and of the sign-in after it. */
#define HANDSHAKE_BYTES		(160 * 1024)
#define SIGN_IN_BYTES		(32 * 1024)

/* The system's authorities cost 20 ms, 100,000 SCRAM iterations 50, 8 MB of rows 100. */
#define MAX_WORK_US			500000

static bool
read_bytes(const PostgresSession *session, uint64 *bytes)
{
	struct tcp_info info = {0};
	socklen_t	size = sizeof(info);

	if (getsockopt(PQsocket(session->conn), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return false;
	*bytes = info.tcpi_bytes_received;
	return true;
}

void
SaasPostgresBoundsSignIn(PostgresSession *session)
{
	uint64		bytes = 0;

	(void) read_bytes(session, &bytes);
	session->max_sign_in = bytes + SIGN_IN_BYTES;
}

bool
SaasPostgresCheckBytes(PostgresSession *session)
{
	uint64		most = session->loop->options.max_response;
	bool		is_query = session->phase == POSTGRES_BEGIN || session->phase == POSTGRES_QUERY;
	uint64		bytes;

	if (!is_query)
		most = session->phase == POSTGRES_SIGN_IN ? session->max_sign_in : HANDSHAKE_BYTES;
	if (!read_bytes(session, &bytes) || bytes <= most)
		return true;
	if (!is_query)
	{
		SaasPostgresFail(session, false, "08P01", "%s sends too much at the sign-in",
						 session->request->host);
		return false;
	}
	SaasPostgresFail(session, false, "54000", "the answer is larger than %zu bytes", (size_t) most);
	if (session->current < session->request->query_count)
		SaasProblemDetail(&session->result.problem, "It came with query \"%s\".",
						  session->request->queries[session->current].name);
	return false;
}

static int64
work_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
SaasPostgresWorkBegin(PostgresSession *session)
{
	session->work_began = work_now();
}

void
SaasPostgresWorkEnd(PostgresSession *session)
{
	session->work += work_now() - session->work_began;
}

bool
SaasPostgresCheckWork(PostgresSession *session)
{
	if (session->work + work_now() - session->work_began <= MAX_WORK_US)
		return true;
	SaasPostgresFail(session, false, "54000", "what %s sends takes too much work",
					 session->request->host);
	SaasProblemDetail(&session->result.problem, "A session may take %d ms of the processor's time.",
					  MAX_WORK_US / 1000);
	return false;
}
