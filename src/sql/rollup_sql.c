/*
 * rollup_sql.c
 *	  The aggregates that roll up readings, and the maintenance that calls them.
 *
 * An aggregate's state has a rollup for each position of a layout's arrays.  It
 * gives one array of seven blocks: count, sum, min, max, first, last, increase.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "pure/rollup.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "sql/numbers.h"
#include "sql/procedure.h"
#include "store/maintain.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "worker/maintainer.h"

#define BLOCKS			7
#define MAX_POSITIONS	(MaxAllocSize / sizeof(SaasRollup) / 2)

PG_FUNCTION_INFO_V1(pg_saas_roll_values);
PG_FUNCTION_INFO_V1(pg_saas_roll_rollups);
PG_FUNCTION_INFO_V1(pg_saas_rolled);
PG_FUNCTION_INFO_V1(pg_saas_realign);
PG_FUNCTION_INFO_V1(pg_saas_add);
PG_FUNCTION_INFO_V1(pg_saas_divide);
PG_FUNCTION_INFO_V1(pg_saas_percent);
PG_FUNCTION_INFO_V1(pg_saas_change_percent);
PG_FUNCTION_INFO_V1(pg_saas_gained);
PG_FUNCTION_INFO_V1(pg_saas_closed_until);
PG_FUNCTION_INFO_V1(pg_saas_deletes_readings);
PG_FUNCTION_INFO_V1(pg_saas_maintain);

typedef struct RollState
{
	int			count;
	SaasRollup *items;
} RollState;

static RollState *
state_of(FunctionCallInfo fcinfo, int count)
{
	MemoryContext context;
	RollState  *state = PG_ARGISNULL(0) ? NULL : (RollState *) PG_GETARG_POINTER(0);

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "a rollup's step was called outside an aggregate");
	if (count > MAX_POSITIONS)
		SaasRaise("22023", "an array of a rollup is too long", NULL, NULL);
	if (state == NULL)
		state = MemoryContextAllocZero(context, sizeof(RollState));
	if (count > state->count)
	{
		SaasRollup *items = MemoryContextAllocZero(context, sizeof(SaasRollup) * count);

		if (state->items)
		{
			memcpy(items, state->items, sizeof(SaasRollup) * state->count);
			pfree(state->items);
		}
		state->items = items;
		state->count = count;
	}
	return state;
}

Datum
pg_saas_roll_values(PG_FUNCTION_ARGS)
{
	RollState  *state;
	SaasNumbers		values;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(state_of(fcinfo, 0));
	values = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(1));
	state = state_of(fcinfo, values.count);
	for (int i = 0; i < values.count; i++)
	{
		double		value;

		if (SaasNumbersNext(&values, i, &value))
			SaasRollupAdd(&state->items[i], value);
	}
	PG_RETURN_POINTER(state);
}

/* The seven blocks of a position; one that lacks any of them is empty. */
static SaasRollup
next_rollup(SaasNumbers *blocks, int position)
{
	SaasRollup	rollup = {0};
	double		fields[BLOCKS];
	bool		is_whole = true;

	for (int i = 0; i < BLOCKS; i++)
	{
		if (!SaasNumbersNext(&blocks[i], position, &fields[i]))
			is_whole = false;
	}
	if (!is_whole)
		return rollup;
	rollup.count = (int64_t) fields[0];
	rollup.sum = fields[1];
	rollup.min = fields[2];
	rollup.max = fields[3];
	rollup.first = fields[4];
	rollup.last = fields[5];
	rollup.increase = fields[6];
	return rollup;
}

Datum
pg_saas_roll_rollups(PG_FUNCTION_ARGS)
{
	RollState  *state;
	SaasNumbers		blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
	{
		if (PG_ARGISNULL(i + 1))
			PG_RETURN_POINTER(state_of(fcinfo, 0));
		blocks[i] = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(i + 1));
	}
	state = state_of(fcinfo, blocks[0].count);
	for (int i = 0; i < blocks[0].count; i++)
	{
		SaasRollup	later = next_rollup(blocks, i);

		SaasRollupMerge(&state->items[i], &later);
	}
	PG_RETURN_POINTER(state);
}

Datum
pg_saas_rolled(PG_FUNCTION_ARGS)
{
	RollState  *state = PG_ARGISNULL(0) ? NULL : (RollState *) PG_GETARG_POINTER(0);
	int			count = state ? state->count : 0;
	int			length = count * BLOCKS;
	int			lower = 1;
	Datum	   *items = palloc(sizeof(Datum) * Max(length, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(length, 1));

	for (int i = 0; i < count; i++)
	{
		const SaasRollup *item = &state->items[i];
		double		fields[BLOCKS] = {(double) item->count, item->sum, item->min, item->max, item->first,
		item->last, item->increase};

		for (int block = 0; block < BLOCKS; block++)
		{
			items[block * count + i] = Float8GetDatum(fields[block]);
			nulls[block * count + i] = block > 0 && item->count == 0;
		}
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(items, nulls, 1, &length, &lower, FLOAT8OID, sizeof(float8),
											 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
pg_saas_realign(PG_FUNCTION_ARGS)
{
	SaasNumbers		values = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(0));
	int			from_count;
	int			to_count;
	int			lower = 1;
	pg_uuid_t  *from = SaasLayoutIds(PG_GETARG_ARRAYTYPE_P(1), &from_count);
	SaasPlace  *to = SaasLayoutPlaces(PG_GETARG_ARRAYTYPE_P(2), &to_count);
	Datum	   *items = palloc0(sizeof(Datum) * Max(to_count, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(to_count, 1));

	memset(nulls, true, sizeof(bool) * Max(to_count, 1));
	for (int i = 0; i < values.count; i++)
	{
		double		value;
		int			position;

		if (!SaasNumbersNext(&values, i, &value) || i >= from_count)
			continue;
		position = SaasLayoutPlace(to, to_count, &from[i]);
		if (position < 0)
			continue;
		items[position] = Float8GetDatum(value);
		nulls[position] = false;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(items, nulls, 1, &to_count, &lower, FLOAT8OID, sizeof(float8),
											 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Arithmetic that overflows to infinity, as rollups do: one series of an odd
 * exporter must not make a report of all others fail.
 */
Datum
pg_saas_add(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(PG_GETARG_FLOAT8(0) + PG_GETARG_FLOAT8(1));
}

Datum
pg_saas_divide(PG_FUNCTION_ARGS)
{
	if (PG_GETARG_FLOAT8(1) == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(PG_GETARG_FLOAT8(0) / PG_GETARG_FLOAT8(1));
}

/* The product first, which rounds as people do, where it is finite. */
static double
percent_of(double part, double whole)
{
	double		product = 100 * part;

	return isfinite(product) ? product / whole : part / whole * 100;
}

Datum
pg_saas_percent(PG_FUNCTION_ARGS)
{
	if (PG_GETARG_FLOAT8(1) == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(percent_of(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1)));
}

Datum
pg_saas_change_percent(PG_FUNCTION_ARGS)
{
	double		now = PG_GETARG_FLOAT8(0);
	double		before = PG_GETARG_FLOAT8(1);

	if (before == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(percent_of(now - before, fabs(before)));
}

Datum
pg_saas_gained(PG_FUNCTION_ARGS)
{
	double		increase = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_FLOAT8(increase);
	PG_RETURN_FLOAT8(SaasRollupDelta(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1)) + increase);
}

Datum
pg_saas_closed_until(PG_FUNCTION_ARGS)
{
	TimestampTz closed_until;

	if (!SaasMaintainClose(PG_GETARG_INT32(0), &closed_until))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(closed_until);
}

Datum
pg_saas_deletes_readings(PG_FUNCTION_ARGS)
{
	SaasMaintainDeletes();
	PG_RETURN_VOID();
}

Datum
pg_saas_maintain(PG_FUNCTION_ARGS)
{
	SaasProcedureRequireTop(fcinfo, "saas.maintain");
	SaasRequireInstalled();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	SPI_commit();
	SaasMaintainAll(&SaasProcedureHost);
	SPI_finish();
	PG_RETURN_VOID();
}
