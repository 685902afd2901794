/*
 * sums_sql.c
 *	  The aggregate that adds up arrays place by place.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "server/raise.h"
#include "sql/numbers.h"
#include "utils/array.h"
#include "utils/memutils.h"

#define MAX_PLACES	(MaxAllocSize / sizeof(Datum) / 2)

PG_FUNCTION_INFO_V1(pg_saas_add_values);
PG_FUNCTION_INFO_V1(pg_saas_added);

typedef struct Sums
{
	int			count;
	double	   *sums;
	bool	   *is_empty;
} Sums;

static void
grow(Sums *state, int count, MemoryContext context)
{
	double	   *sums = MemoryContextAllocZero(context, sizeof(double) * count);
	bool	   *is_empty = MemoryContextAlloc(context, sizeof(bool) * count);

	memset(is_empty, true, sizeof(bool) * count);
	if (state->count > 0)
	{
		memcpy(sums, state->sums, sizeof(double) * state->count);
		memcpy(is_empty, state->is_empty, sizeof(bool) * state->count);
		pfree(state->sums);
		pfree(state->is_empty);
	}
	state->sums = sums;
	state->is_empty = is_empty;
	state->count = count;
}

Datum
pg_saas_add_values(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Sums	   *state = PG_ARGISNULL(0) ? NULL : (Sums *) PG_GETARG_POINTER(0);
	ArrayType  *numbers;
	const double *next;
	const bits8 *present;
	int			count;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "the step of a sum was called outside an aggregate");
	if (state == NULL)
		state = MemoryContextAllocZero(context, sizeof(Sums));
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(state);
	numbers = PG_GETARG_ARRAYTYPE_P(1);
	count = SaasArrayCount(numbers, FLOAT8OID, true, "values");
	if (count > MAX_PLACES)
		SaasRaise("22023", "the array of values is too long", NULL, NULL);
	if (count > state->count)
		grow(state, count, context);
	next = (const double *) ARR_DATA_PTR(numbers);
	present = ARR_NULLBITMAP(numbers);
	for (int i = 0; i < count; i++)
	{
		if (present && !((present[i / 8] >> (i % 8)) & 1))
			continue;
		/* Not 0 + -0. */
		state->sums[i] = state->is_empty[i] ? *next : state->sums[i] + *next;
		state->is_empty[i] = false;
		next++;
	}
	PG_RETURN_POINTER(state);
}

Datum
pg_saas_added(PG_FUNCTION_ARGS)
{
	Sums	   *state = PG_ARGISNULL(0) ? NULL : (Sums *) PG_GETARG_POINTER(0);
	int			count = state ? state->count : 0;
	int			lower = 1;
	Datum	   *items = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		items[i] = Float8GetDatum(state->sums[i]);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(items, state ? state->is_empty : NULL, 1, &count, &lower,
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
