/*
 * audit_sql.c
 *	  SQL's side of the audit.
 */
#include "postgres.h"

#include "fmgr.h"
#include "server/masked_json.h"
#include "server/raise.h"
#include "state/identity.h"
#include "state/keyring.h"
#include "store/audit.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(pg_saas_audit);
PG_FUNCTION_INFO_V1(pg_saas_mask);

static const pg_uuid_t *
organization_of_event(FunctionCallInfo fcinfo, int argument)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!PG_ARGISNULL(argument))
		return PG_GETARG_UUID_P(argument);
	return identity->has_org ? &identity->org_id : &SaasPlatformOrg;
}

Datum
pg_saas_audit(PG_FUNCTION_ARGS)
{
	SaasAuditEvent event = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22023", "an event of the audit needs an action and an object type", NULL, NULL);
	event.org_id = organization_of_event(fcinfo, 5);
	event.action = text_to_cstring(PG_GETARG_TEXT_PP(0));
	event.object_type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	event.object_id = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	event.before = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	event.after = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);
	SaasAuditAppend(&event);
	PG_RETURN_VOID();
}

Datum
pg_saas_mask(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(SaasMaskedJson(PG_GETARG_JSONB_P(0)));
}
