/*
 * unfold_sql.c
 *	  A reading's values with their series, one row each.
 *
 * unnest(ids, values) does the same, but the planner takes it for ten rows: it
 * then looks up each series by itself where one pass over them is far less.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "sql/numbers.h"
#include "utils/array.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(pg_saas_unfold);

Datum
pg_saas_unfold(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType  *ids = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *numbers = PG_GETARG_ARRAYTYPE_P(1);
	int			count = SaasArrayCount(ids, UUIDOID, false, "series");
	int			known = SaasArrayCount(numbers, FLOAT8OID, true, "values");
	const pg_uuid_t *id = (const pg_uuid_t *) ARR_DATA_PTR(ids);
	const double *next = (const double *) ARR_DATA_PTR(numbers);
	const bits8 *present = ARR_NULLBITMAP(numbers);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		bool		is_missing = i >= known || (present && !(present[i / 8] & (1 << (i % 8))));
		Datum		values[2] = {UUIDPGetDatum(&id[i]), is_missing ? (Datum) 0 : Float8GetDatum(*next++)};
		bool		nulls[2] = {false, is_missing};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
