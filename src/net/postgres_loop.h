/*
 * postgres_loop.h
 *	  Questions to PostgreSQL servers in parallel: libpq's asynchronous calls
 *	  on an epoll descriptor of ours, which the transfer loop watches as its
 *	  companion (SaasTransferWatch).
 *
 * Nothing in here blocks.  Names are resolved in threads of our own with
 * every signal blocked, because libpq would look them up in the caller.  A
 * server can only make libpq work as long as it likes by what it demands for
 * the sign-in, so that is read first (postgres_sign_in.c).
 */
#ifndef SAAS_POSTGRES_LOOP_H
#define SAAS_POSTGRES_LOOP_H

#include "postgres.h"

#include "base/database.h"
#include "base/stage.h"
#include "net/transfer.h"

typedef struct SaasPostgresLoop SaasPostgresLoop;

/* A finished session. */
typedef struct SaasPostgresResult
{
	void	   *tag;			/* as given to SaasPostgresStart */
	bool		ok;				/* the server answered, be it with a refusal */
	SaasDatabaseAnswer answer;	/* when ok; lives in the arena given at start */
	SaasProblem problem;		/* when not ok: names the phase and what to do */
	const char *refused;		/* for the operator alone, as SaasTransferResult has it */
	bool		transient;		/* when not ok: worth a retry */
	int			duration_ms;
	SaasStages	stages;			/* but for what the answer's reader finds */
} SaasPostgresResult;

/*
 * A loop that lives in context, whose deletion closes every socket.  Sessions
 * to a host wait for one of its places, of which each owner has a share, as
 * transfers do.  Of the options it uses the bounds, the networks, allow_http (sessions without TLS)
 * and ca_file; what they point to must outlive it.  Errors out with 58000 when
 * the system gives no descriptors.
 */
extern SaasPostgresLoop *SaasPostgresLoopCreate(MemoryContext context,
												const SaasTransferOptions *options);

/* Readable when the loop has something to do. */
extern int	SaasPostgresDescriptor(const SaasPostgresLoop *loop);

/*
 * Starts a session that ends within timeout_ms: it signs in, asks the queries
 * one after the other, each in a read-only transaction of its own that is
 * rolled back, and leaves.  The request, its strings and the arena must
 * outlive it.  Never throws: false with problem set when it is not acceptable.
 */
extern bool SaasPostgresStart(SaasPostgresLoop *loop, SaasArena *arena,
							  const SaasDatabaseRequest *request, int timeout_ms,
							  void *tag, SaasProblem *problem);

/* Sessions started whose result was not taken yet. */
extern int	SaasPostgresCount(const SaasPostgresLoop *loop);

/* Milliseconds until a bound is reached, -1 when none can be. */
extern long SaasPostgresTimeout(SaasPostgresLoop *loop);

/* Serves what is ready and due. */
extern void SaasPostgresStep(SaasPostgresLoop *loop);

/* Takes one finished session; false when there is none now. */
extern bool SaasPostgresTake(SaasPostgresLoop *loop, SaasPostgresResult *result);

#endif							/* SAAS_POSTGRES_LOOP_H */
