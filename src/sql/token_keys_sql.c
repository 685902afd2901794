/*
 * token_keys_sql.c
 *	  The keys of access tokens, for the functions of saas_service that rotate
 *	  them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "state/token_keys.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pg_saas_create_token_key);
PG_FUNCTION_INFO_V1(pg_saas_change_token_keys);

Datum
pg_saas_create_token_key(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		elog(ERROR, "create_token_key needs a time");
	PG_RETURN_TEXT_P(cstring_to_text(SaasTokenKeysCreate(PG_GETARG_TIMESTAMPTZ(0))));
}

Datum
pg_saas_change_token_keys(PG_FUNCTION_ARGS)
{
	SaasTokenKeysChange();
	PG_RETURN_VOID();
}
