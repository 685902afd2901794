/*
 * resolve.h
 *	  Looking up a host name without waiting longer than wanted.
 */
#ifndef SAAS_RESOLVE_H
#define SAAS_RESOLVE_H

#include "postgres.h"

#include <netdb.h>

/* Takes one address; called with interrupts held off no longer than it runs. */
typedef void (*SaasResolved) (const struct sockaddr *address, void *arg);

/*
 * Looks the host up, in a thread of the C library, and gives each address to
 * take.  NULL when it is done, else what went wrong.  Can be cancelled.
 */
extern const char *SaasResolve(const char *host, int timeout_ms, SaasResolved take, void *arg);

#endif							/* SAAS_RESOLVE_H */
