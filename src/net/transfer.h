/*
 * transfer.h
 *	  HTTP transfers in parallel on one event loop: libcurl multi handles on
 *	  an epoll descriptor of ours, which PostgreSQL's WaitEventSet watches
 *	  together with the latch and the postmaster's death.
 *
 * Nothing in here touches SPI, a transaction or a connector.  No ereport is
 * thrown through libcurl's frames: callbacks record and return, and signals
 * are blocked while libcurl runs, because its resolver threads would otherwise
 * run our handlers.
 */
#ifndef SAAS_TRANSFER_H
#define SAAS_TRANSFER_H

#include "postgres.h"

#include "base/arena.h"
#include "base/http.h"
#include "base/problem.h"
#include "base/stage.h"
#include "pure/address.h"

typedef struct SaasTransferLoop SaasTransferLoop;

/* What the operator allows; fixed for the life of a loop. */
typedef struct SaasTransferOptions
{
	int			max_in_flight;	/* transfers started and not finished */
	int			max_per_host;	/* open connections to one host */
	int			connect_timeout_ms; /* name look-up, TCP and TLS together */
	size_t		max_response;	/* bytes of body after decompression */
	bool		allow_http;		/* else only https:// */
	const SaasNetworkList *allowed_networks;	/* private networks the operator opened */
	const char *ca_file;		/* one PEM bundle; NULL: the system's */
	const char *user_agent;
} SaasTransferOptions;

/* A finished transfer. */
typedef struct SaasTransferResult
{
	void	   *tag;			/* as given to SaasTransferStart */
	bool		ok;				/* an HTTP answer arrived, whatever its status */
	SaasResponse response;		/* when ok; lives in the arena given at start, but its body
								 * only until the next SaasTransferTake */
	SaasProblem problem;		/* when not ok: names the phase and what to do */
	const char *refused;		/* for the operator alone: the address that the guard refused, its
								 * host and why, in the arena; NULL: none */
	bool		transient;		/* when not ok: worth a retry */
	int			duration_ms;
	SaasStages	stages;			/* but authorize and parse, which are the reader's */
} SaasTransferResult;

/*
 * A loop that lives in context: resetting or deleting the context closes every
 * socket and frees every libcurl object, so an error anywhere leaks nothing.
 * Errors out with 53000 or 58000 when the system gives no descriptors.
 */
extern SaasTransferLoop *SaasTransferLoopCreate(MemoryContext context,
												const SaasTransferOptions *options);

/*
 * Starts a transfer that ends within timeout_ms.  The request, its strings
 * and the arena must outlive it.  Never throws: false with problem set when
 * the URL is not acceptable or the loop is full.
 *
 * Redirects are followed for GET within the same origin only, three at most;
 * a redirect elsewhere is a failure that names the origin, because headers
 * that carry a secret belong to the origin they were given for.
 */
extern bool SaasTransferStart(SaasTransferLoop *loop, SaasArena *arena,
							  const SaasRequest *request, int timeout_ms,
							  void *tag, SaasProblem *problem);

/* Transfers started whose result was not taken yet. */
extern int	SaasTransferCount(const SaasTransferLoop *loop);

/*
 * Waits at most timeout_ms (-1: no bound) for the latch, the network or
 * libcurl's own timers, then steps libcurl.  Returns true when the latch was
 * set; the latch is reset, and the caller runs CHECK_FOR_INTERRUPTS.  Returns
 * at once when a finished transfer waits to be taken.
 */
extern bool SaasTransferWait(SaasTransferLoop *loop, long timeout_ms,
							 uint32 wait_event_info);

/*
 * From now on SaasTransferWait returns when fd, an epoll descriptor of somebody
 * else in the process, is readable too; it is theirs to serve.
 */
extern void SaasTransferWatch(SaasTransferLoop *loop, int fd);

/* Takes one finished transfer; false when there is none now. */
extern bool SaasTransferTake(SaasTransferLoop *loop, SaasTransferResult *result);

#endif							/* SAAS_TRANSFER_H */
