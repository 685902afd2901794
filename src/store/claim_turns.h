/*
 * claim_turns.h
 *	  Which of the connections that are due are claimed: organizations take turns.
 */
#ifndef SAAS_CLAIM_TURNS_H
#define SAAS_CLAIM_TURNS_H

#include "postgres.h"

#include "store/claim.h"

/* Connections in the order of the turns, a row of each array for one. */
typedef struct SaasTurns
{
	int			count;
	pg_uuid_t  *orgs;
	pg_uuid_t  *connections;
	int		   *weights;		/* of the organization */
	int		   *places;			/* among the organization's, its last turn's included, from 1 */
	int		   *retention_days; /* of the organization's plan; 0: for ever */
	int		   *min_intervals_s;	/* of the plan: no more often, whatever the connection's is */
	bool		is_all;			/* the same terms would give no others */
	bool		was_long;		/* for the terms of the next claim */
} SaasTurns;

/*
 * At most limit connections by these terms, due and not leased as of now.
 * Nothing is locked: a peer may take them.  Call in a transaction as
 * saas_poller, with SPI connected; allocated in the current context.
 */
extern void SaasTurnsChoose(int limit, const SaasClaimTerms *terms, SaasTurns *turns);

#endif							/* SAAS_CLAIM_TURNS_H */
