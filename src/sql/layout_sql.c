/*
 * layout_sql.c
 *	  Telling pollers that layouts were deleted.
 */
#include "postgres.h"

#include "fmgr.h"
#include "store/layout.h"

PG_FUNCTION_INFO_V1(pg_saas_forget_layouts);

Datum
pg_saas_forget_layouts(PG_FUNCTION_ARGS)
{
	SaasLayoutForgetEverywhere();
	PG_RETURN_VOID();
}
