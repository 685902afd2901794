/*
 * errors_sql.c
 *	  The raiser of errors for PL/pgSQL code, and the library's version.
 */
#include "postgres.h"

#include "fmgr.h"
#include "server/raise.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pg_saas_raise_error);
PG_FUNCTION_INFO_V1(pg_saas_raise_wait);
PG_FUNCTION_INFO_V1(pg_saas_version);

static char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

Datum
pg_saas_raise_error(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		elog(ERROR, "raise_error needs an SQLSTATE and a message");
	SaasRaise(text_argument(fcinfo, 0), text_argument(fcinfo, 1),
			  text_argument(fcinfo, 2), text_argument(fcinfo, 3));
}

Datum
pg_saas_raise_wait(PG_FUNCTION_ARGS)
{
	int			seconds = Max(PG_GETARG_INT32(0), 1);

	SaasRaiseRetryAfter("Too many attempts", psprintf("{\"retry_after\": %d}", seconds),
						psprintf("Try again in %d seconds.", seconds), seconds);
}

Datum
pg_saas_version(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_TEXT_P(cstring_to_text(PG_SAAS_VERSION));
}
