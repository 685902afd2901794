/*
 * opened_sql.c
 *	  A reading opened once, so that each of its series finds its value.
 *
 * The live view goes through the series of a connection and asks for each
 * whether the newest reading has it, and with which value: two calls a row.
 * Unfolding the reading and joining the two takes a table of rows and a hash for
 * every connection.
 *
 * What is opened is a bytea, so that it may be hashed, stored and copied like
 * any other value: the ids in ascending order, their values in the same order,
 * and a byte each that says whether there is a value.  Whoever makes one up gets
 * no more out of it than is in it: the number of series comes from its length,
 * and nothing in it says where something is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "sql/numbers.h"
#include "utils/uuid.h"

#define ENTRY_SIZE	(UUID_LEN + sizeof(double) + 1)

/* Nothing of it is aligned: a value that was stored may begin anywhere. */
typedef struct Opened
{
	int			count;
	char	   *ids;
	char	   *values;
	char	   *has_value;
} Opened;

PG_FUNCTION_INFO_V1(pg_saas_open_reading);
PG_FUNCTION_INFO_V1(pg_saas_opened_has);
PG_FUNCTION_INFO_V1(pg_saas_opened_value);

static Opened
opened_in(bytea *data)
{
	Opened		opened = {VARSIZE_ANY_EXHDR(data) / ENTRY_SIZE, VARDATA_ANY(data)};

	opened.values = opened.ids + (Size) opened.count * UUID_LEN;
	opened.has_value = opened.values + (Size) opened.count * sizeof(double);
	return opened;
}

static bytea *
new_opened(int count)
{
	Size		size = VARHDRSZ + (Size) count * ENTRY_SIZE;
	bytea	   *data = palloc0(size);

	SET_VARSIZE(data, size);
	return data;
}

Datum
pg_saas_open_reading(PG_FUNCTION_ARGS)
{
	int			count;
	SaasPlace  *places = SaasLayoutPlaces(PG_GETARG_ARRAYTYPE_P(0), &count);
	SaasNumbers numbers = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(1));
	bytea	   *data = new_opened(count);
	Opened		opened = opened_in(data);
	int		   *order = palloc(sizeof(int) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		order[places[i].position] = i;
		memcpy(opened.ids + (Size) i * UUID_LEN, &places[i].id, UUID_LEN);
	}
	/* The numbers are read in the layout's order. */
	for (int position = 0; position < count; position++)
	{
		int			i = order[position];
		double		value;

		if (!SaasNumbersNext(&numbers, position, &value))
			continue;
		memcpy(opened.values + (Size) i * sizeof(double), &value, sizeof(double));
		opened.has_value[i] = true;
	}
	PG_RETURN_BYTEA_P(data);
}

static int
search(const Opened *opened, const pg_uuid_t *id)
{
	int			low = 0;
	int			high = opened->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		int			order = memcmp(opened->ids + (Size) middle * UUID_LEN, id, UUID_LEN);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/*
 * Where the series is, -1 without it.  Most come in the order of their ids, so
 * what follows the one found before is looked at first.  That is only a guess:
 * it may be of another reading.
 */
static int
find(FmgrInfo *flinfo, const Opened *opened, const pg_uuid_t *id)
{
	int			place = (int) (intptr_t) flinfo->fn_extra;

	if (place >= opened->count)
		place = 0;
	if (opened->count == 0 || memcmp(opened->ids + (Size) place * UUID_LEN, id, UUID_LEN) != 0)
		place = search(opened, id);
	if (place >= 0)
		flinfo->fn_extra = (void *) (intptr_t) (place + 1);
	return place;
}

Datum
pg_saas_opened_has(PG_FUNCTION_ARGS)
{
	Opened		opened = opened_in(PG_GETARG_BYTEA_PP(0));

	PG_RETURN_BOOL(find(fcinfo->flinfo, &opened, PG_GETARG_UUID_P(1)) >= 0);
}

Datum
pg_saas_opened_value(PG_FUNCTION_ARGS)
{
	Opened		opened = opened_in(PG_GETARG_BYTEA_PP(0));
	int			place = find(fcinfo->flinfo, &opened, PG_GETARG_UUID_P(1));
	double		value;

	if (place < 0 || !opened.has_value[place])
		PG_RETURN_NULL();
	memcpy(&value, opened.values + (Size) place * sizeof(double), sizeof(double));
	PG_RETURN_FLOAT8(value);
}
