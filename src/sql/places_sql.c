/*
 * places_sql.c
 *	  Where series stand in a layout, and the sum of what a reading has there.
 *
 * The planner knows neither how many series a layout has nor how many of them
 * are asked for, and would compare each with each.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "sql/numbers.h"
#include "utils/array.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(pg_saas_places);
PG_FUNCTION_INFO_V1(pg_saas_sum_at);
PG_FUNCTION_INFO_V1(pg_saas_unpacked);

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

Datum
pg_saas_places(PG_FUNCTION_ARGS)
{
	ArrayType  *layout = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *wanted = PG_GETARG_ARRAYTYPE_P(1);
	int			count = SaasArrayCount(layout, UUIDOID, false, "series");
	int			wanted_count = SaasArrayCount(wanted, UUIDOID, false, "series");
	const pg_uuid_t *ids = (const pg_uuid_t *) ARR_DATA_PTR(layout);
	const pg_uuid_t *first = (const pg_uuid_t *) ARR_DATA_PTR(wanted);
	Datum	   *places = palloc(sizeof(Datum) * Max(count, 1));
	int			found = 0;

	for (int i = 0; i < count; i++)
	{
		if (bsearch(&ids[i], first, wanted_count, sizeof(pg_uuid_t), compare_ids))
			places[found++] = Int32GetDatum(i + 1);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(places, found, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* How many of the first items are there: NULL takes no room in the array. */
static int
present_before(const bits8 *present, int from, int until)
{
	int			count = 0;

	for (int i = from; i < until; i++)
		count += (present[i / 8] >> (i % 8)) & 1;
	return count;
}

Datum
pg_saas_sum_at(PG_FUNCTION_ARGS)
{
	ArrayType  *numbers = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *places = PG_GETARG_ARRAYTYPE_P(1);
	int			known = SaasArrayCount(numbers, FLOAT8OID, true, "values");
	int			count = SaasArrayCount(places, INT4OID, false, "places");
	const int32 *place = (const int32 *) ARR_DATA_PTR(places);
	const double *values = (const double *) ARR_DATA_PTR(numbers);
	const bits8 *present = ARR_NULLBITMAP(numbers);
	int			walked = 0;
	int			offset = 0;
	bool		is_any = false;
	double		sum = 0;

	for (int i = 0; i < count; i++)
	{
		int			at;

		if (place[i] < 1 || place[i] > known)
			continue;
		at = place[i] - 1;
		if (present && present_before(present, at, at + 1) == 0)
			continue;
		if (at < walked)
			walked = offset = 0;
		offset += present ? present_before(present, walked, at) : at - walked;
		walked = at;
		sum = is_any ? sum + values[offset] : values[offset];
		is_any = true;
	}
	if (!is_any)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sum);
}

/* Each subscript of a compressed array would decompress the whole of it. */
Datum
pg_saas_unpacked(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(PG_GETARG_ARRAYTYPE_P(0));
}
