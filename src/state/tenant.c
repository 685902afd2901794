/*
 * tenant.c
 *	  Whether a statement is a tenant's.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "state/identity.h"
#include "state/tenant.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/syscache.h"

typedef enum RoleKind
{
	ROLE_TENANT,
	ROLE_EXEMPT,				/* superusers and operators */
	ROLE_OTHER					/* pooled logins, owners of functions */
} RoleKind;

/* What the role asked for last is, until roles change. */
static Oid	known_role = InvalidOid;
static RoleKind known_kind;

/* The login in whose session a tenant's role was seen. */
static Oid	serving_login = InvalidOid;

static bool
has_rights_of(Oid role, const char *name)
{
	Oid			other = get_role_oid(name, true);

	return OidIsValid(other) && has_privs_of_role(role, other);
}

static RoleKind
kind_of(Oid role)
{
	if (role == known_role)
		return known_kind;
	if (superuser_arg(role) || has_rights_of(role, "saas_operator"))
		known_kind = ROLE_EXEMPT;
	else if (has_rights_of(role, "saas_user") || has_rights_of(role, "saas_anon"))
		known_kind = ROLE_TENANT;
	else
		known_kind = ROLE_OTHER;
	known_role = role;
	return known_kind;
}

static void
on_role_change(Datum argument, int cache, uint32 hash)
{
	(void) argument;
	(void) cache;
	(void) hash;
	known_role = InvalidOid;
}

bool
SaasTenantActs(void)
{
	Oid			role = GetUserId();

	switch (kind_of(role))
	{
		case ROLE_EXEMPT:
			return false;
		case ROLE_TENANT:
			if (role != GetSessionUserId())
				serving_login = GetSessionUserId();
			return true;
		case ROLE_OTHER:
			break;
	}
	/* A definer function speaks for its owner, not for who called it. */
	if (InLocalUserIdChange())
		return false;
	return SaasIdentityGet()->is_set || (SaasTenantWasServed() && !superuser_arg(GetSessionUserId()));
}

bool
SaasTenantWasServed(void)
{
	return serving_login == GetSessionUserId() || SaasIdentityHasServed();
}

void
SaasTenantInit(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
}
