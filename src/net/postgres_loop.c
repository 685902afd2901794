/*
 * postgres_loop.c
 *	  The life of a loop and its sessions, and the public calls.
 */
#include "net/postgres_internal.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "utils/memutils.h"

/* Sessions that one step serves at most, so that others get their turn. */
#define EVENTS_PER_STEP		64

static void
strip(PostgresSession *session)
{
	if (session->lookup != NULL)
		SaasPostgresLookupRelease(session->lookup);
	session->lookup = NULL;
	if (session->conn == NULL)
		return;
	/* A full pipe to a server that does not read must not hold up the farewell. */
	if (PQstatus(session->conn) != CONNECTION_OK && PQsocket(session->conn) >= 0)
		shutdown(PQsocket(session->conn), SHUT_RDWR);
	PQfinish(session->conn);
	session->conn = NULL;
}

static void
drop(PostgresSession *session)
{
	strip(session);
	SaasTransferSeatLeave(&session->seat);
	dlist_delete(&session->node);
	session->loop->count--;
	free(session);
}

void
SaasPostgresFinish(PostgresSession *session)
{
	SaasPostgresStageEnd(session);
	strip(session);
	SaasTransferSeatLeave(&session->seat);
	session->phase = POSTGRES_FINISHED;
	session->result.duration_ms = (int) ((SaasTransferNow() - session->started_at) / 1000);
	dlist_delete(&session->node);
	dlist_push_tail(&session->loop->finished, &session->node);
}

bool
SaasPostgresAwait(PostgresSession *session, uint32 events)
{
	int			epoll_fd = session->loop->epoll_fd;
	int			fd = PQsocket(session->conn);
	struct epoll_event event = {0};

	if (session->watched == events)
		return true;
	event.events = events;
	event.data.ptr = session;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 &&
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return false;
	session->watched = events;
	return true;
}

/* Runs when the context goes, in the middle of an abort too: it must not raise. */
static void
close_loop(void *data)
{
	SaasPostgresLoop *loop = data;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &loop->active)
		drop(dlist_container(PostgresSession, node, iter.cur));
	dlist_foreach_modify(iter, &loop->finished)
		drop(dlist_container(PostgresSession, node, iter.cur));
	if (loop->board != NULL)
		SaasPostgresBoardClose(loop->board);
	SaasPostgresTrustClose(loop);
	if (loop->report_fd >= 0)
		close(loop->report_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
}

static bool
open_descriptors(SaasPostgresLoop *loop)
{
	struct epoll_event event = {0};

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event.events = EPOLLIN;
	if (loop->epoll_fd < 0 || loop->report_fd < 0 ||
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->report_fd, &event) != 0)
		return false;
	loop->board = SaasPostgresBoardOpen(loop->report_fd);
	return loop->board != NULL;
}

SaasPostgresLoop *
SaasPostgresLoopCreate(MemoryContext context, const SaasTransferOptions *options)
{
	SaasPostgresLoop *loop = MemoryContextAllocZero(context, sizeof(SaasPostgresLoop));

	loop->options = *options;
	SaasTransferHostsInit(&loop->hosts, options->max_per_host);
	loop->epoll_fd = loop->report_fd = -1;
	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
		loop->trust_fds[i] = -1;
	dlist_init(&loop->active);
	dlist_init(&loop->finished);
	loop->on_reset.func = close_loop;
	loop->on_reset.arg = loop;
	MemoryContextRegisterResetCallback(context, &loop->on_reset);
	if (!open_descriptors(loop))
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not create the PostgreSQL loop's descriptors: %m")));
	return loop;
}

int
SaasPostgresDescriptor(const SaasPostgresLoop *loop)
{
	return loop->epoll_fd;
}

int
SaasPostgresCount(const SaasPostgresLoop *loop)
{
	return loop->count;
}

/* Takes the name's addresses, or waits for a thread or for its end. */
static void
look_up(PostgresSession *session)
{
	PostgresAddresses addresses = {0};
	const char *host = session->request->host;

	if (session->lookup == NULL && !SaasPostgresAddressRead(host, &addresses))
	{
		session->lookup = SaasPostgresLookupStart(session->loop->board, host, session->request->owner,
												  &addresses.error);
		if (session->lookup != NULL)
			session->phase = POSTGRES_LOOKUP;
		if (addresses.error == 0)
			return;
	}
	if (session->lookup != NULL && !SaasPostgresLookupTake(session->lookup, &addresses))
		return;
	if (session->lookup != NULL)
		SaasPostgresLookupRelease(session->lookup);
	session->lookup = NULL;
	if (addresses.error != 0 || addresses.count == 0)
		SaasPostgresFail(session, true, "08001", "the host name %s could not be resolved", host);
	else
		SaasPostgresConnect(session, &addresses);
}

/* The session has a place at its host: its clocks for connecting start. */
static void
begin(PostgresSession *session)
{
	SaasPostgresLoop *loop = session->loop;

	SaasTransferSeatGive(&loop->hosts, &session->seat);
	session->phase = POSTGRES_WAITING;
	session->stage_began = SaasTransferNow();
	session->connect_by = Min(session->deadline,
							  session->stage_began + (int64) loop->options.connect_timeout_ms * 1000);
	look_up(session);
}

/* Begins the sessions that there are places for; one that fails at once leaves its own to the next. */
static void
admit(SaasPostgresLoop *loop)
{
	bool		progress;

	do
	{
		dlist_mutable_iter iter;

		progress = false;
		dlist_foreach_modify(iter, &loop->hosts.crowd)
		{
			TransferHost *host = dlist_container(TransferHost, crowd_node, iter.cur);
			TransferSeat *seat = SaasTransferSeatNext(&loop->hosts, host);

			if (seat == NULL)
				continue;
			begin((PostgresSession *) ((char *) seat - offsetof(PostgresSession, seat)));
			progress = true;
		}
	} while (progress);
}

/* Lets it wait for a place at its host; false when memory is out. */
static bool
queue(PostgresSession *session)
{
	const SaasDatabaseRequest *request = session->request;
	char	   *origin = SaasArenaPrintf(session->arena, "%s:%d", request->host, request->port);

	return origin != NULL &&
		SaasTransferSeatWait(&session->loop->hosts, &session->seat, origin, request->owner);
}

bool
SaasPostgresStart(SaasPostgresLoop *loop, SaasArena *arena, const SaasDatabaseRequest *request,
				  int timeout_ms, void *tag, SaasProblem *problem)
{
	PostgresSession *session;

	if (loop->count >= loop->options.max_in_flight)
		return SaasProblemSet(problem, "53000", "too many sessions are under way");
	if (request->security != SAAS_DATABASE_VERIFY_FULL && !loop->options.allow_http)
		return SaasProblemSet(problem, "08001", "the operator allows no connection without a verified server");
	session = calloc(1, sizeof(PostgresSession));
	if (session == NULL)
		return SaasProblemSet(problem, "53200", "out of memory for a session");
	session->loop = loop;
	session->arena = arena;
	session->request = request;
	session->timeout_ms = Max(timeout_ms, 1);
	if (!queue(session))
	{
		free(session);
		return SaasProblemSet(problem, "53200", "out of memory for a session");
	}
	session->started_at = SaasTransferNow();
	session->deadline = session->connect_by = session->started_at + (int64) session->timeout_ms * 1000;
	session->result.tag = tag;
	session->result.stages = (SaasStages) SAAS_STAGES_NONE;
	session->stage = SAAS_STAGE_RESOLVE;
	session->stage_began = session->started_at;
	dlist_push_tail(&loop->active, &session->node);
	loop->count++;
	admit(loop);
	return true;
}

static int64
due_of(const PostgresSession *session)
{
	return session->phase < POSTGRES_BEGIN ? session->connect_by : session->deadline;
}

long
SaasPostgresTimeout(SaasPostgresLoop *loop)
{
	int64		next = PG_INT64_MAX;
	dlist_iter	iter;

	if (!dlist_is_empty(&loop->finished))
		return 0;
	dlist_foreach(iter, &loop->active)
		next = Min(next, due_of(dlist_container(PostgresSession, node, iter.cur)));
	if (next == PG_INT64_MAX)
		return -1;
	return (long) Max((next - SaasTransferNow() + 999) / 1000, 0);
}

/* A thread has ended: what it found, and its room. */
static void
serve_lookups(SaasPostgresLoop *loop)
{
	uint64		reports;
	dlist_mutable_iter iter;

	if (read(loop->report_fd, &reports, sizeof(reports)) < 0)
		return;
	dlist_foreach_modify(iter, &loop->active)
	{
		PostgresSession *session = dlist_container(PostgresSession, node, iter.cur);

		if (session->phase == POSTGRES_WAITING || session->phase == POSTGRES_LOOKUP)
			look_up(session);
	}
}

static void
serve_session(PostgresSession *session)
{
	SaasPostgresWorkBegin(session);
	if (session->phase == POSTGRES_BEGIN || session->phase == POSTGRES_QUERY)
		SaasPostgresQueryStep(session);
	else
		SaasPostgresConnectStep(session);
	SaasPostgresWorkEnd(session);
}

static void
serve_sockets(SaasPostgresLoop *loop)
{
	struct epoll_event events[EVENTS_PER_STEP];
	int			ready = epoll_wait(loop->epoll_fd, events, EVENTS_PER_STEP, 0);

	/* No session is freed before it is taken, so that none of these dangles. */
	for (int i = 0; i < ready; i++)
	{
		PostgresSession *session = events[i].data.ptr;

		if (session == NULL)
			serve_lookups(loop);
		else if (session->phase != POSTGRES_FINISHED)
			serve_session(session);
	}
}

void
SaasPostgresStep(SaasPostgresLoop *loop)
{
	int64		now;
	dlist_mutable_iter iter;

	serve_sockets(loop);
	now = SaasTransferNow();
	dlist_foreach_modify(iter, &loop->active)
	{
		PostgresSession *session = dlist_container(PostgresSession, node, iter.cur);

		if (due_of(session) <= now)
			SaasPostgresFailTimeout(session);
	}
	/* What has ended leaves places. */
	admit(loop);
}

bool
SaasPostgresTake(SaasPostgresLoop *loop, SaasPostgresResult *result)
{
	PostgresSession *session;

	if (dlist_is_empty(&loop->finished))
		return false;
	session = dlist_container(PostgresSession, node, dlist_head_node(&loop->finished));
	*result = session->result;
	drop(session);
	return true;
}
