/*
 * login_sql.c
 *	  SQL functions of database logins that are mapped to a member.
 */
#include "postgres.h"

#include "fmgr.h"
#include "state/login.h"

PG_FUNCTION_INFO_V1(pg_saas_login_mappings_changed);

Datum
pg_saas_login_mappings_changed(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	SaasLoginMappingsChanged();
	PG_RETURN_VOID();
}
