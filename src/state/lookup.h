/*
 * lookup.h
 *	  The live rows behind an identity: user, session, membership, role,
 *	  organization.
 */
#ifndef SAAS_LOOKUP_H
#define SAAS_LOOKUP_H

#include "postgres.h"

#include "state/identity.h"

/*
 * Completes an identity whose user (and organization, session, where it has
 * them) is known but not checked: fills role, rank and permissions from the
 * tables as they are now.  PT401 for a user who is missing or inactive, an
 * ended session, or no membership (PT404 where an operator named them); PT403
 * for an organization that is not active, or requires a second factor that the
 * session does not have.
 */
extern void SaasLookupIdentity(SaasIdentity *identity);

#endif							/* SAAS_LOOKUP_H */
