/*
 * window_sql.c
 *	  What policies compare the times of readings and rollups with.
 */
#include "postgres.h"

#include "fmgr.h"
#include "server/raise.h"
#include "state/window.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pg_saas_window_since);

Datum
pg_saas_window_since(PG_FUNCTION_ARGS)
{
	int			level = PG_GETARG_INT32(0);

	if (level < 0 || level >= SAAS_WINDOW_LEVELS)
		SaasRaise("22023", "there is no such level", NULL, NULL);
	PG_RETURN_TIMESTAMPTZ(SaasWindowSince(level));
}
