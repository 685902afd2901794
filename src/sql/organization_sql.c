/*
 * organization_sql.c
 *	  SQL functions of organizations.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "store/purge.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(pg_saas_purge_protected);

Datum
pg_saas_purge_protected(PG_FUNCTION_ARGS)
{
	char		problem[SAAS_PURGE_PROBLEM_SIZE];
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "purge_protected must return a row");
	values[0] = Int32GetDatum(SaasPurgeProtected(PG_GETARG_UUID_P(0), PG_GETARG_INT32(1), problem));
	nulls[1] = problem[0] == '\0';
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(problem);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
