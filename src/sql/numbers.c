/*
 * numbers.c
 *	  Arrays of doubles, and of the series whose values they hold.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "server/raise.h"
#include "sql/numbers.h"

int
SaasArrayCount(ArrayType *array, Oid type, bool has_nulls, const char *what)
{
	if (ARR_NDIM(array) > 1 || ARR_ELEMTYPE(array) != type || (!has_nulls && ARR_HASNULL(array)))
		SaasRaise("22023",
				  psprintf("%s must be an array of one dimension%s", what, has_nulls ? "" : " without NULL"),
				  NULL, NULL);
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

SaasNumbers
SaasNumbersOf(ArrayType *array)
{
	SaasNumbers numbers = {0};

	numbers.count = SaasArrayCount(array, FLOAT8OID, true, "values");
	numbers.next = (const double *) ARR_DATA_PTR(array);
	numbers.nulls = ARR_NULLBITMAP(array);
	return numbers;
}

bool
SaasNumbersNext(SaasNumbers *numbers, int position, double *value)
{
	if (position >= numbers->count ||
		(numbers->nulls && !(numbers->nulls[position / 8] & (1 << (position % 8)))))
		return false;
	*value = *numbers->next++;
	return true;
}

pg_uuid_t *
SaasLayoutIds(ArrayType *array, int *count)
{
	*count = SaasArrayCount(array, UUIDOID, false, "series");
	return (pg_uuid_t *) ARR_DATA_PTR(array);
}

static int
compare_place(const void *a, const void *b)
{
	return memcmp(&((const SaasPlace *) a)->id, &((const SaasPlace *) b)->id, UUID_LEN);
}

SaasPlace *
SaasLayoutPlaces(ArrayType *array, int *count)
{
	pg_uuid_t  *ids = SaasLayoutIds(array, count);
	SaasPlace  *places = palloc(sizeof(SaasPlace) * Max(*count, 1));

	for (int i = 0; i < *count; i++)
		places[i] = (SaasPlace) {ids[i], i};
	qsort(places, *count, sizeof(SaasPlace), compare_place);
	return places;
}

int
SaasLayoutPlace(const SaasPlace *places, int count, const pg_uuid_t *id)
{
	SaasPlace	wanted = {*id, 0};
	const SaasPlace *place = bsearch(&wanted, places, count, sizeof(SaasPlace), compare_place);

	return place ? place->position : -1;
}
