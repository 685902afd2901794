/*
 * rate_limit.h
 *	  Which limits a request counts against.
 *
 * A limit is read from the tables at most every two seconds.  Nothing here
 * raises an error for an exceeded one: the caller answers.
 */
#ifndef SAAS_RATE_LIMIT_H
#define SAAS_RATE_LIMIT_H

#include "postgres.h"

#include "state/client.h"
#include "state/limits.h"
#include "utils/inet.h"

/* Whose limit a verdict is about. */
typedef enum SaasLimited
{
	SAAS_LIMITED_ORGANIZATION,	/* or the user, without one */
	SAAS_LIMITED_KEY,
	SAAS_LIMITED_ADDRESS
} SaasLimited;

/*
 * Counts one request of the identity's organization, without one of its user,
 * without an identity of the address (NULL: the client's own), and besides of
 * the identity's API key where that has a limit: both must allow, and the
 * verdict is the tighter one's.  A request that either refuses is counted by
 * neither.  Notes an exceeded limit ("rate_limited", at most once per second).
 */
extern SaasLimited SaasRateLimitCheck(const inet *address, SaasRateVerdict *verdict);

/*
 * The same for an address whatever the identity, in three steps for who knows
 * only later whether the request is the address's: counting, which comes
 * before anything is verified; taking it back; noting that it was refused.
 */
extern void SaasRateLimitTakeAddress(const SaasClientAddress *client, SaasRateVerdict *verdict);
extern void SaasRateLimitGiveBackAddress(const SaasClientAddress *client);
extern void SaasRateLimitNoteAddress(const SaasClientAddress *client, const SaasRateVerdict *verdict);

#endif							/* SAAS_RATE_LIMIT_H */
