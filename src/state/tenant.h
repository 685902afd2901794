/*
 * tenant.h
 *	  Whether a statement is a tenant's, and whether its session is a pool's.
 *
 * Tenants' statements run as saas_user, saas_anon or a role that has their
 * rights.  A session that has served one stays suspect in its login's own role
 * too: whoever can send SQL over it can end the transaction and RESET ROLE.
 */
#ifndef SAAS_TENANT_H
#define SAAS_TENANT_H

#include "postgres.h"

/*
 * Whether the statement that runs now is a tenant's: never a superuser's, an
 * operator's in their own role, or a definer function's of somebody else.
 * Reads catalogs: call in a transaction that has not failed.
 */
extern bool SaasTenantActs(void);

/* Whether the session has acted for a tenant with a token or in a role of theirs. */
extern bool SaasTenantWasServed(void);

extern void SaasTenantInit(void);

#endif							/* SAAS_TENANT_H */
