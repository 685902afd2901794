/*
 * login.h
 *	  The identity of a database login that saas.map_login() mapped to a member.
 *
 * Where a transaction is about to run a statement it asks for the identity of
 * its session's login.  The mapping and the member are looked up once per
 * transaction, live; that a login has no mapping is remembered until mappings
 * or roles change, so that other logins pay for a comparison.
 */
#ifndef SAAS_LOGIN_H
#define SAAS_LOGIN_H

#include "postgres.h"

/*
 * Gives the transaction the identity of the session's login, if that is mapped
 * and the transaction has not dropped it.  Errors: PT401 and PT403 as
 * SaasLookupIdentity's, 25001 when it acts for someone else already.
 */
extern void SaasLoginEnsureIdentity(void);

/* Mappings were changed: every session looks again after this transaction. */
extern void SaasLoginMappingsChanged(void);

/*
 * Whether the session's login is mapped to a member, so that no other tenant
 * uses the session.  Looks that up as SaasLoginEnsureIdentity does.
 */
extern bool SaasLoginIsMapped(void);

extern void SaasLoginInit(void);

#endif							/* SAAS_LOGIN_H */
