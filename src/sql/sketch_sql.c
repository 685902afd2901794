/*
 * sketch_sql.c
 *	  Sketches of readings (pure/sketch.h): made with the rollups of an hour,
 *	  merged into those of a day, and asked for percentiles.
 *
 * A rollup's sketches are one row of them in the order of its layout.  That of
 * a series whose values are all the same is empty: count and min tell it.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "pure/sketch.h"
#include "server/raise.h"
#include "sql/numbers.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pg_saas_sketch_values);
PG_FUNCTION_INFO_V1(pg_saas_sketch_sketches);
PG_FUNCTION_INFO_V1(pg_saas_sketched);
PG_FUNCTION_INFO_V1(pg_saas_realign_sketches);
PG_FUNCTION_INFO_V1(pg_saas_sketch_at);
PG_FUNCTION_INFO_V1(pg_saas_sketch_cell);
PG_FUNCTION_INFO_V1(pg_saas_sketch_percentile);

#define FIRST_ROOM		16
#define MAX_POSITIONS	(MaxAllocSize / sizeof(Item) / 2)

/* A series: without a bin as long as all its values are the same. */
typedef struct Item
{
	int64		count;			/* of the same value */
	double		value;
	SaasSketch	sketch;
} Item;

typedef struct State
{
	int			count;
	Item	   *items;
	bool		is_partial;		/* some samples are in no sketch */
} State;

/* Of a percentile. */
typedef struct Cells
{
	Item		item;
	double		fraction;
	double		least;
	double		greatest;
	bool		is_partial;
} Cells;

static void
raise_broken(void)
{
	SaasRaise("XX001", "a rollup's sketch cannot be read", NULL,
			  "It was written by a later version of pg_saas, or is damaged.");
}

static void
make_room(SaasSketch *sketch, MemoryContext context)
{
	int			room = sketch->room == 0 ? FIRST_ROOM : sketch->room * 2;

	if (sketch->bins == NULL)
		sketch->bins = MemoryContextAlloc(context, sizeof(SaasSketchBin) * room);
	else
		sketch->bins = repalloc(sketch->bins, sizeof(SaasSketchBin) * room);
	sketch->room = room;
}

static void
add_bin(Item *item, int32_t key, int64 count, MemoryContext context)
{
	if (SaasSketchNeedsRoom(&item->sketch))
		make_room(&item->sketch, context);
	SaasSketchAdd(&item->sketch, key, count);
}

/* The values that were all the same are not any more. */
static void
begin_bins(Item *item, MemoryContext context)
{
	if (item->count > 0)
		add_bin(item, SaasSketchKey(item->value), item->count, context);
	item->count = 0;
}

static bool
is_same(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

static void
add_value(Item *item, double value, int64 count, MemoryContext context)
{
	if (item->sketch.count == 0 && (item->count == 0 || is_same(value, item->value)))
	{
		item->value = value;
		item->count = Min(item->count + count, SAAS_SKETCH_MAX_COUNT);
		return;
	}
	begin_bins(item, context);
	add_bin(item, SaasSketchKey(value), count, context);
}

static void
add_sketch(Item *item, const void *bytes, size_t length, MemoryContext context)
{
	SaasSketchReader reader = SaasSketchRead(bytes, length);
	SaasSketchBin bin;

	begin_bins(item, context);
	while (SaasSketchNext(&reader, &bin))
		add_bin(item, bin.key, bin.count, context);
	if (reader.is_broken)
		raise_broken();
}

/*
 * A rollup of a series; false when its samples are in no sketch: it has none,
 * though they are not all the same.
 */
static bool
add_rollup(Item *item, double count, double least, double greatest, const void *bytes, size_t length,
		   MemoryContext context)
{
	if (!(count > 0 && count <= SAAS_SKETCH_MAX_COUNT))
		return count == 0;
	if (length > 0)
		add_sketch(item, bytes, length, context);
	else if (is_same(least, greatest))
		add_value(item, least, (int64) count, context);
	else
		return false;
	return true;
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "a sketch's step was called outside an aggregate");
	return context;
}

static State *
with_room(State *state, int count, MemoryContext context)
{
	if (count > MAX_POSITIONS)
		SaasRaise("22023", "an array of a rollup is too long", NULL, NULL);
	if (state == NULL)
		state = MemoryContextAllocZero(context, sizeof(State));
	if (count > state->count)
	{
		Item	   *items = MemoryContextAllocZero(context, sizeof(Item) * count);

		if (state->items)
		{
			memcpy(items, state->items, sizeof(Item) * state->count);
			pfree(state->items);
		}
		state->items = items;
		state->count = count;
	}
	return state;
}

Datum
pg_saas_sketch_values(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	State	   *state = PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0);
	SaasNumbers values;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(with_room(state, 0, context));
	values = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(1));
	state = with_room(state, values.count, context);
	for (int i = 0; i < values.count; i++)
	{
		double		value;

		if (SaasNumbersNext(&values, i, &value))
			add_value(&state->items[i], value, 1, context);
	}
	PG_RETURN_POINTER(state);
}

Datum
pg_saas_sketch_sketches(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	State	   *state = with_room(PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0), 0, context);
	SaasNumbers fields[3];		/* count, least, greatest */
	SaasSketchReader row;
	bytea	   *bytes;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
	{
		state->is_partial = true;
		PG_RETURN_POINTER(state);
	}
	bytes = PG_GETARG_BYTEA_PP(1);
	row = SaasSketchReadRow(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	for (int i = 0; i < 3; i++)
		fields[i] = SaasNumbersOf(PG_GETARG_ARRAYTYPE_P(i + 2));
	state = with_room(state, fields[0].count, context);
	for (int i = 0; i < fields[0].count; i++)
	{
		double		rollup[3] = {0};
		const unsigned char *sketch;
		size_t		length;

		for (int f = 0; f < 3; f++)
			SaasNumbersNext(&fields[f], i, &rollup[f]);
		if (!SaasSketchNextInRow(&row, &sketch, &length))
			raise_broken();
		if (!add_rollup(&state->items[i], rollup[0], rollup[1], rollup[2], sketch, length, context))
			state->is_partial = true;
	}
	PG_RETURN_POINTER(state);
}

/* A row of sketches that grows; those at its end that are empty are left out. */
typedef struct Row
{
	bytea	   *bytes;
	size_t		room;
	size_t		length;
	size_t		used;			/* up to the last that is not empty */
} Row;

static unsigned char *
room_in(Row *row, size_t length)
{
	if (row->room - row->length < length)
	{
		row->room = Max(2 * row->room, row->length + length);
		row->bytes = repalloc(row->bytes, VARHDRSZ + row->room);
	}
	return (unsigned char *) VARDATA(row->bytes) + row->length;
}

static Row
begin_row(void)
{
	Row			row = {palloc(VARHDRSZ + 1024), 1024, 1, 1};

	*VARDATA(row.bytes) = SAAS_SKETCH_VERSION;
	return row;
}

static void
put_in_row(Row *row, const void *sketch, size_t length)
{
	unsigned char *out = room_in(row, SAAS_SKETCH_LENGTH_BYTES + length);
	size_t		ahead = SaasSketchWriteLength(length, out);

	if (length > 0)
		memcpy(out + ahead, sketch, length);
	row->length += ahead + length;
	if (length > 0)
		row->used = row->length;
}

static bytea *
end_row(Row *row)
{
	SET_VARSIZE(row->bytes, VARHDRSZ + row->used);
	return row->bytes;
}

Datum
pg_saas_sketched(PG_FUNCTION_ARGS)
{
	State	   *state = PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0);
	Row			row;
	unsigned char *bytes;

	if (state == NULL || state->is_partial)
		PG_RETURN_NULL();
	row = begin_row();
	bytes = palloc(SAAS_SKETCH_BINS * SAAS_SKETCH_BIN_BYTES);
	for (int i = 0; i < state->count; i++)
		put_in_row(&row, bytes, SaasSketchWrite(&state->items[i].sketch, bytes));
	PG_RETURN_BYTEA_P(end_row(&row));
}

typedef struct Span
{
	const unsigned char *bytes;
	size_t		length;
} Span;

Datum
pg_saas_realign_sketches(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	SaasSketchReader from_row = SaasSketchReadRow(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	int			from_count;
	int			to_count;
	pg_uuid_t  *from = SaasLayoutIds(PG_GETARG_ARRAYTYPE_P(1), &from_count);
	SaasPlace  *to = SaasLayoutPlaces(PG_GETARG_ARRAYTYPE_P(2), &to_count);
	Span	   *spans = palloc0(sizeof(Span) * Max(to_count, 1));
	Row			row = begin_row();

	for (int i = 0; i < from_count; i++)
	{
		Span		span;
		int			position = SaasLayoutPlace(to, to_count, &from[i]);

		if (!SaasSketchNextInRow(&from_row, &span.bytes, &span.length))
			raise_broken();
		if (position >= 0)
			spans[position] = span;
	}
	for (int i = 0; i < to_count; i++)
		put_in_row(&row, spans[i].bytes, spans[i].length);
	PG_RETURN_BYTEA_P(end_row(&row));
}

Datum
pg_saas_sketch_at(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	int64		place = PG_GETARG_INT64(1);
	SaasSketchReader row = SaasSketchReadRow(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	const unsigned char *sketch = NULL;
	size_t		length = 0;
	bytea	   *result;

	for (int64 i = 0; i < place; i++)
	{
		/* What is behind the end is empty, however far. */
		length = 0;
		if (row.next == row.end && !row.is_broken)
			break;
		if (!SaasSketchNextInRow(&row, &sketch, &length))
			raise_broken();
	}
	result = palloc(VARHDRSZ + length);
	SET_VARSIZE(result, VARHDRSZ + length);
	if (length > 0)
		memcpy(VARDATA(result), sketch, length);
	PG_RETURN_BYTEA_P(result);
}

static bool
is_less(double a, double b)
{
	return isnan(b) ? !isnan(a) : a < b;
}

Datum
pg_saas_sketch_cell(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Cells	   *cells = PG_ARGISNULL(0) ? NULL : (Cells *) PG_GETARG_POINTER(0);
	bool		is_first = cells == NULL;
	double		least;
	double		greatest;
	bytea	   *sketch;

	if (is_first)
		cells = MemoryContextAllocZero(context, sizeof(Cells));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
	{
		cells->is_partial = true;
		PG_RETURN_POINTER(cells);
	}
	cells->fraction = PG_GETARG_FLOAT8(1);
	least = PG_GETARG_FLOAT8(3);
	greatest = PG_GETARG_FLOAT8(4);
	sketch = PG_GETARG_BYTEA_PP(5);
	if (!add_rollup(&cells->item, PG_GETARG_FLOAT8(2), least, greatest, VARDATA_ANY(sketch),
					VARSIZE_ANY_EXHDR(sketch), context))
		cells->is_partial = true;
	if (is_first || is_less(least, cells->least))
		cells->least = least;
	if (is_first || is_less(cells->greatest, greatest))
		cells->greatest = greatest;
	PG_RETURN_POINTER(cells);
}

Datum
pg_saas_sketch_percentile(PG_FUNCTION_ARGS)
{
	Cells	   *cells = PG_ARGISNULL(0) ? NULL : (Cells *) PG_GETARG_POINTER(0);

	if (cells == NULL || cells->is_partial)
		PG_RETURN_NULL();
	if (cells->item.count > 0)
		PG_RETURN_FLOAT8(cells->item.value);
	if (cells->item.sketch.count == 0)
		PG_RETURN_NULL();
	if (!(cells->fraction >= 0 && cells->fraction <= 1))
		SaasRaise("22023", "a percentile's fraction must be between 0 and 1", NULL, NULL);
	PG_RETURN_FLOAT8(SaasSketchQuantile(&cells->item.sketch, cells->fraction, cells->least, cells->greatest));
}
