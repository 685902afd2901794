/*
 * rate_limit.h
 *	  Which limit a request counts against.
 */
#ifndef SAAS_RATE_LIMIT_H
#define SAAS_RATE_LIMIT_H

#include "postgres.h"

#include "state/limits.h"
#include "utils/inet.h"

/*
 * Counts one request of the identity's organization, without one of its user,
 * without an identity of the address (NULL: the connection's own), against the
 * limit in saas.rate_limit, and notes an exceeded one ("rate_limited", at most
 * once per second).  Raises nothing for it: the caller answers.  The limit is
 * read at most every two seconds.
 */
extern void SaasRateLimitCheck(const inet *address, SaasRateVerdict *verdict);

#endif							/* SAAS_RATE_LIMIT_H */
