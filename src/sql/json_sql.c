/*
 * json_sql.c
 *	  Bounds of JSON that clients send.
 */
#include "postgres.h"

#include "fmgr.h"
#include "server/json_length.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(pg_saas_json_is_longer);

Datum
pg_saas_json_is_longer(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SaasJsonIsLonger(PG_GETARG_JSONB_P(0), (Size) Max(PG_GETARG_INT32(1), 0)));
}
