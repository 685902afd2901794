/*
 * proof_sql.c
 *	  The identities that saas.prove_isolation attacks with.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pure/permissions.h"
#include "server/raise.h"
#include "state/identity.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pg_saas_begin_proof);
PG_FUNCTION_INFO_V1(pg_saas_prove_as);

Datum
pg_saas_begin_proof(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	SaasIdentityBeginProof();
	PG_RETURN_VOID();
}

/* A role's member, or an API key when the role is ''. */
static void
set_rights(SaasIdentity *identity, const char *role)
{
	const SaasBuiltinRole *builtin;

	identity->has_org = true;
	if (role[0] == '\0')
	{
		identity->source = SAAS_IDENTITY_API_KEY;
		identity->api_key_id = identity->user_id;
		identity->permissions = SaasBuiltinRoleAt(0)->permissions;
		return;
	}
	builtin = SaasBuiltinRoleFind(role);
	if (builtin == NULL)
		SaasRaise("22023", "not a built-in role", role, NULL);
	identity->rank = builtin->rank;
	identity->permissions = builtin->permissions;
	strlcpy(identity->role, builtin->name, sizeof(identity->role));
}

/* Without a user: no identity.  Without a role: one without an organization. */
Datum
pg_saas_prove_as(PG_FUNCTION_ARGS)
{
	SaasIdentity identity = {.is_set = true, .source = SAAS_IDENTITY_SESSION};

	if (PG_ARGISNULL(0))
	{
		SaasIdentityInstallInProof(NULL);
		PG_RETURN_VOID();
	}
	identity.user_id = *PG_GETARG_UUID_P(0);
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
	{
		identity.org_id = *PG_GETARG_UUID_P(1);
		set_rights(&identity, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	}
	SaasIdentityInstallInProof(&identity);
	PG_RETURN_VOID();
}
