/*
 * postgres_internal.h
 *	  What the files of the PostgreSQL loop share.
 *
 *	  postgres_loop.c	  the life of a loop and its sessions, the public calls
 *	  postgres_lookup.c	  names to addresses, in threads
 *	  postgres_connect.c  from addresses to a session that stands
 *	  postgres_trust.c	  certificates that a session brings of its own
 *	  postgres_sign_in.c  what a server may ask for at the sign-in
 *	  postgres_query.c	  statements and their rows
 *	  postgres_bounds.c	  how much a server may send, and how much work it may make
 *	  postgres_failure.c  what went wrong, in words
 *	  postgres_stage.c	  how long each stage took, and which one failed
 *
 * libpq uses malloc and never raises; neither does anything here that runs
 * while a session is under way.
 */
#ifndef SAAS_POSTGRES_INTERNAL_H
#define SAAS_POSTGRES_INTERNAL_H

#include "net/postgres_loop.h"

#include <netdb.h>

#include <libpq-fe.h>

#include "net/transfer_internal.h"

#define SAAS_POSTGRES_MAX_ADDRESSES 4	/* of one name that are tried */

typedef enum PostgresPhase
{
	POSTGRES_QUEUED,			/* for a place at the host */
	POSTGRES_WAITING,			/* for a thread to look the name up */
	POSTGRES_LOOKUP,
	POSTGRES_CONNECT,
	POSTGRES_TLS,
	POSTGRES_SIGN_IN,
	POSTGRES_BEGIN,				/* of the next query's transaction */
	POSTGRES_QUERY,
	POSTGRES_FINISHED			/* result is set */
} PostgresPhase;

typedef struct PostgresAddresses
{
	int			error;			/* of getaddrinfo, 0 when it found some */
	int			count;
	struct sockaddr_storage items[SAAS_POSTGRES_MAX_ADDRESSES];
} PostgresAddresses;

/* What libpq reads of a session's own certificates. */
typedef enum PostgresTrustFile
{
	POSTGRES_TRUST_AUTHORITY,
	POSTGRES_TRUST_CERTIFICATE,
	POSTGRES_TRUST_KEY,
	POSTGRES_TRUST_FILES
} PostgresTrustFile;

/* What their paths begin with, and room for one. */
#define SAAS_POSTGRES_TRUST_PATHS	"/proc/self/fd/"
#define SAAS_POSTGRES_TRUST_PATH	32

/* A look-up; shared with its thread, freed by the last of the two. */
typedef struct PostgresLookup PostgresLookup;

/* Where threads report; shared with all of them, freed by the last. */
typedef struct PostgresBoard PostgresBoard;

typedef struct PostgresSession
{
	dlist_node	node;			/* in loop->active or loop->finished */
	SaasPostgresLoop *loop;
	TransferSeat seat;			/* until it has ended */
	PostgresPhase phase;

	/* as given */
	SaasArena  *arena;
	const SaasDatabaseRequest *request;
	int			timeout_ms;

	int64		started_at;
	int64		deadline;
	int64		connect_by;		/* until it is signed in; the deadline while queued */
	PostgresLookup *lookup;		/* during it */
	PGconn	   *conn;
	uint32		watched;		/* events that epoll reports of its socket */
	long		verdict;		/* why OpenSSL refused the certificate; X509_V_OK: it has not */
	SaasStage	stage;			/* where it is */
	int64		stage_began;
	uint64		max_sign_in;	/* bytes that it may have received when it is signed in */
	int64		work;			/* processor's time in microseconds, but of the step under way */
	int64		work_began;		/* of that step */

	/* the query under way */
	size_t		current;
	SaasDatabaseRow *last_row;
	size_t		rows;			/* of all queries */

	SaasPostgresResult result;
} PostgresSession;

struct SaasPostgresLoop
{
	MemoryContextCallback on_reset;
	SaasTransferOptions options;
	int			epoll_fd;
	int			report_fd;		/* threads write here */
	int			trust_fds[POSTGRES_TRUST_FILES];	/* -1 until a session brings certificates */
	PostgresBoard *board;
	TransferHosts hosts;		/* each a host and port */
	int			count;
	dlist_head	active;
	dlist_head	finished;
};

/* postgres_loop.c */

/* Ends a session: result is set, but for what the loop knows itself. */
extern void SaasPostgresFinish(PostgresSession *session);

/* Waits for those events of the session's socket; false when epoll refuses. */
extern bool SaasPostgresAwait(PostgresSession *session, uint32 events);

/* postgres_lookup.c */

/* The board of a loop that reads its reports at that descriptor; NULL without memory. */
extern PostgresBoard *SaasPostgresBoardOpen(int report_fd);

/* No thread writes to the descriptor any more. */
extern void SaasPostgresBoardClose(PostgresBoard *board);

/*
 * Starts to look the host up for that owner.  NULL without error when all
 * threads are busy, or as many of the owner's as it may have, those included
 * that nobody waits for any more.
 */
extern PostgresLookup *SaasPostgresLookupStart(PostgresBoard *board, const char *host,
											   uint64 owner, int *error);

/* True once it is over; fills in what was found. */
extern bool SaasPostgresLookupTake(PostgresLookup *lookup, PostgresAddresses *addresses);
extern void SaasPostgresLookupRelease(PostgresLookup *lookup);

/* Whether the host is an address already, which is then filled in. */
extern bool SaasPostgresAddressRead(const char *host, PostgresAddresses *addresses);

/* postgres_connect.c */

/* Opens the connection to those of the addresses that may be reached. */
extern void SaasPostgresConnect(PostgresSession *session, const PostgresAddresses *addresses);

/* Goes on with the sign-in. */
extern void SaasPostgresConnectStep(PostgresSession *session);

/* postgres_sign_in.c */

typedef enum PostgresSignIn
{
	POSTGRES_SIGN_IN_GO,		/* it is for libpq */
	POSTGRES_SIGN_IN_WAIT,		/* there is nothing yet */
	POSTGRES_SIGN_IN_FAILED		/* it is none that we answer; the session has failed */
} PostgresSignIn;

/* Looks at what the server asks for before libpq does. */
extern PostgresSignIn SaasPostgresSignInCheck(PostgresSession *session);

/* postgres_trust.c */

/* Makes the files that the session needs; false when the system gives none. */
extern bool SaasPostgresTrustOpen(PostgresSession *session);
extern void SaasPostgresTrustClose(SaasPostgresLoop *loop);

/* The path of what the session brings for it, written there; NULL when it brings nothing. */
extern const char *SaasPostgresTrustPath(const PostgresSession *session, PostgresTrustFile file,
										 char path[SAAS_POSTGRES_TRUST_PATH]);

/* Fills the files for one call of libpq, and empties them; false when memory is out. */
extern bool SaasPostgresTrustLend(PostgresSession *session);
extern void SaasPostgresTrustTakeBack(PostgresSession *session);

/* Between the two calls the session learns what OpenSSL has against a certificate. */
extern void SaasPostgresTrustListen(PostgresSession *session);
extern void SaasPostgresTrustStopListening(void);

/* postgres_stage.c */

/* The session is at that stage from now on. */
extern void SaasPostgresStageReach(PostgresSession *session, SaasStage stage);

/* Fills in result.stages of a session whose result is set. */
extern void SaasPostgresStageEnd(PostgresSession *session);

/* postgres_query.c */
extern void SaasPostgresQueryBegin(PostgresSession *session);
extern void SaasPostgresQueryStep(PostgresSession *session);

/* postgres_bounds.c */

/* TLS stands, or is not used: from now on the server may send little until it has let us in. */
extern void SaasPostgresBoundsSignIn(PostgresSession *session);

/* Around each step of the session. */
extern void SaasPostgresWorkBegin(PostgresSession *session);
extern void SaasPostgresWorkEnd(PostgresSession *session);

/* False, and the session has failed, when it has received more than it may, or cost more. */
extern bool SaasPostgresCheckBytes(PostgresSession *session);
extern bool SaasPostgresCheckWork(PostgresSession *session);

/* postgres_failure.c */
extern void SaasPostgresFail(PostgresSession *session, bool transient, const char *sqlstate,
							 const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* libpq has given up the connection. */
extern void SaasPostgresFailConnection(PostgresSession *session);

/* OpenSSL has, for that reason, which may be NULL. */
extern void SaasPostgresFailTls(PostgresSession *session, const char *reason);

/* The time of its phase, or of all, is over. */
extern void SaasPostgresFailTimeout(PostgresSession *session);

#endif							/* SAAS_POSTGRES_INTERNAL_H */
