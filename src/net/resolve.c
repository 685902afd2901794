/*
 * resolve.c
 *	  Looking up a host name without waiting longer than wanted.
 *
 * getaddrinfo() waits for as long as the resolver likes and cannot be
 * cancelled, so glibc's asynchronous one is asked.  A look-up that was given up
 * and cannot be taken back stays in its thread, and its memory with it.
 */
#include "postgres.h"

#include <netdb.h>
#include <signal.h>
#include <time.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "net/resolve.h"
#include "portability/instr_time.h"

#define LOOK_MS		50			/* between looks at interrupts */

/* malloc'd: it may outlive the caller. */
typedef struct Lookup
{
	struct gaicb item;
	struct addrinfo hints;
	char		host[256];
} Lookup;

static void
let_go(Lookup *lookup)
{
	if (gai_error(&lookup->item) == EAI_INPROGRESS && gai_cancel(&lookup->item) == EAI_NOTCANCELED)
		return;
	if (lookup->item.ar_result != NULL)
		freeaddrinfo(lookup->item.ar_result);
	free(lookup);
}

/* Its thread must not run our signal handlers: it inherits what is blocked here. */
static bool
begin(Lookup *lookup)
{
	struct gaicb *list[1] = {&lookup->item};
	sigset_t	all;
	sigset_t	saved;
	int			code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	code = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return code == 0;
}

static bool
wait_for(Lookup *lookup, int timeout_ms)
{
	const struct gaicb *list[1] = {&lookup->item};
	const struct timespec look = {0, LOOK_MS * 1000000L};
	instr_time	begun;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(begun);
	while (gai_error(&lookup->item) == EAI_INPROGRESS)
	{
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, begun);
		if (INSTR_TIME_GET_MILLISEC(now) >= timeout_ms)
			return false;
		(void) gai_suspend(list, 1, &look);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

const char *
SaasResolve(const char *host, int timeout_ms, SaasResolved take, void *arg)
{
	Lookup	   *lookup = calloc(1, sizeof(Lookup));
	const char *volatile failure = NULL;

	if (lookup == NULL)
		return "out of memory";
	lookup->hints.ai_socktype = SOCK_STREAM;
	strlcpy(lookup->host, host, sizeof(lookup->host));
	lookup->item.ar_name = lookup->host;
	lookup->item.ar_request = &lookup->hints;
	if (!begin(lookup))
	{
		free(lookup);
		return "no look-up could be started";
	}
	PG_TRY();
	{
		if (!wait_for(lookup, timeout_ms))
			failure = "the name look-up takes too long";
		else if (gai_error(&lookup->item) != 0)
			failure = "the host name could not be resolved";
		else
			for (struct addrinfo *item = lookup->item.ar_result; item != NULL; item = item->ai_next)
				take(item->ai_addr, arg);
	}
	PG_FINALLY();
	{
		let_go(lookup);
	}
	PG_END_TRY();
	return failure;
}
