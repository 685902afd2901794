/*
 * limit_grid_sql.c
 *	  The aggregate that makes the grid of limits: the values of the accounts'
 *	  series become one jsonb.
 *
 * Thousands of limits in SQL would be made into json limit by limit and once
 * more into jsonb as a whole, which takes several times as long.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pure/chart.h"
#include "server/raise.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(pg_saas_limit_cell);
PG_FUNCTION_INFO_V1(pg_saas_limit_rows);

#define MAX_ACCOUNTS	1000000
#define FIRST_ROOM		64
/* So far integers are exact and written without an exponent. */
#define PLAIN_INTEGERS	1e15

enum
{
	FIGURE_MAX,
	FIGURE_REMAINING,
	FIGURE_USED,
	FIGURE_PERCENT,
	FIGURES
};

static const char *const metrics[FIGURES] = {
	"salesforce_limit_max", "salesforce_limit_remaining", "salesforce_limit_used", "salesforce_limit_percent"
};

typedef struct Limit
{
	const char *name;			/* NULL without one */
	int			length;
	bool		has[FIGURES];
	double		figures[FIGURES];
} Limit;

typedef struct Account
{
	Jsonb	   *head;			/* NULL: no row of this place */
	Jsonb	   *last_updated;
	int			count;
	int			room;
	Limit	   *limits;
} Account;

typedef struct Grid
{
	int			count;
	int			room;
	Account    *accounts;
} Grid;

/* What palloc0() and repalloc() would make of no items and of some. */
static void *
grown(void *items, int *room, int needed, size_t size, MemoryContext context)
{
	int			wanted = Max(FIRST_ROOM, *room);
	void	   *all;

	while (wanted < needed)
		wanted *= 2;
	all = MemoryContextAllocHuge(context, size * wanted);
	if (items)
	{
		memcpy(all, items, size * *room);
		pfree(items);
	}
	memset((char *) all + size * *room, 0, size * (wanted - *room));
	*room = wanted;
	return all;
}

static Jsonb *
copy_of(Jsonb *json, MemoryContext context)
{
	return memcpy(MemoryContextAlloc(context, VARSIZE(json)), json, VARSIZE(json));
}

static int
figure_of(text *metric)
{
	for (int i = 0; i < FIGURES; i++)
	{
		if (VARSIZE_ANY_EXHDR(metric) == strlen(metrics[i]) &&
			memcmp(VARDATA_ANY(metric), metrics[i], VARSIZE_ANY_EXHDR(metric)) == 0)
			return i;
	}
	return -1;
}

/* As collation "C" has it, those without a name last. */
static int
compare_names(const Limit *a, const Limit *b)
{
	int			order;

	if (a->name == NULL || b->name == NULL)
		return (a->name == NULL) - (b->name == NULL);
	order = memcmp(a->name, b->name, Min(a->length, b->length));
	return order != 0 ? order : a->length - b->length;
}

/* As PostgreSQL compares: NaN is above all. */
static bool
is_above(double a, double b)
{
	return isnan(a) ? !isnan(b) : a > b;
}

static void
take(Limit *limit, int figure, double value)
{
	if (!limit->has[figure] || is_above(value, limit->figures[figure]))
		limit->figures[figure] = value;
	limit->has[figure] = true;
}

/* A limit's series mostly follow each other; what does not is merged in the end. */
static Limit *
limit_of(Account *account, const Limit *named, MemoryContext context)
{
	Limit	   *limit = account->limits + account->count - 1;

	if (account->count > 0 && compare_names(limit, named) == 0)
		return limit;
	if (account->count == account->room)
		account->limits = grown(account->limits, &account->room, account->count + 1, sizeof(Limit), context);
	limit = account->limits + account->count++;
	*limit = *named;
	if (named->name)
		limit->name = memcpy(MemoryContextAlloc(context, Max(named->length, 1)), named->name, named->length);
	return limit;
}

/* Arguments: the account's place, its head, when it was read, and a series: metric, limit, value. */
static Account *
account_of(Grid *grid, FunctionCallInfo fcinfo, MemoryContext context)
{
	int64		place = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	Account    *account;

	if (place < 1 || place > MAX_ACCOUNTS || PG_ARGISNULL(2))
		SaasRaise("22023", "an account has a head and a place from 1 on", NULL, NULL);
	if (place > grid->room)
		grid->accounts = grown(grid->accounts, &grid->room, place, sizeof(Account), context);
	grid->count = Max(grid->count, place);
	account = &grid->accounts[place - 1];
	if (account->head == NULL)
	{
		account->head = copy_of(PG_GETARG_JSONB_P(2), context);
		account->last_updated = PG_ARGISNULL(3) ? NULL : copy_of(PG_GETARG_JSONB_P(3), context);
		if (!JB_ROOT_IS_OBJECT(account->head) ||
			(account->last_updated && !JB_ROOT_IS_SCALAR(account->last_updated)))
			SaasRaise("22023", "an account's head must be an object, and when it was read no container", NULL,
					  NULL);
	}
	return account;
}

Datum
pg_saas_limit_cell(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Grid	   *grid = PG_ARGISNULL(0) ? NULL : (Grid *) PG_GETARG_POINTER(0);
	Account    *account;
	Limit		named = {0};
	Limit	   *limit;
	int			figure;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "the step of a grid was called outside an aggregate");
	if (grid == NULL)
		grid = MemoryContextAllocZero(context, sizeof(Grid));
	account = account_of(grid, fcinfo, context);
	figure = PG_ARGISNULL(4) ? -1 : figure_of(PG_GETARG_TEXT_PP(4));
	if (figure < 0)
		PG_RETURN_POINTER(grid);
	if (!PG_ARGISNULL(5))
	{
		named.name = VARDATA_ANY(PG_GETARG_TEXT_PP(5));
		named.length = VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(5));
	}
	limit = limit_of(account, &named, context);
	if (!PG_ARGISNULL(6))
		take(limit, figure, PG_GETARG_FLOAT8(6));
	PG_RETURN_POINTER(grid);
}

static int
by_name(const void *a, const void *b)
{
	return compare_names(a, b);
}

/* The fullest first, and before them those of which it is not known. */
static int
by_percent(const void *a, const void *b)
{
	const Limit *one = a;
	const Limit *other = b;

	if (!one->has[FIGURE_PERCENT] || !other->has[FIGURE_PERCENT])
	{
		if (one->has[FIGURE_PERCENT] != other->has[FIGURE_PERCENT])
			return one->has[FIGURE_PERCENT] ? 1 : -1;
	}
	else if (is_above(one->figures[FIGURE_PERCENT], other->figures[FIGURE_PERCENT]))
		return -1;
	else if (is_above(other->figures[FIGURE_PERCENT], one->figures[FIGURE_PERCENT]))
		return 1;
	return compare_names(one, other);
}

static void
put_in_order(Account *account)
{
	int			kept = 0;

	if (account->count == 0)
		return;
	qsort(account->limits, account->count, sizeof(Limit), by_name);
	for (int i = 1; i < account->count; i++)
	{
		if (compare_names(&account->limits[kept], &account->limits[i]) != 0)
		{
			account->limits[++kept] = account->limits[i];
			continue;
		}
		for (int figure = 0; figure < FIGURES; figure++)
		{
			if (account->limits[i].has[figure])
				take(&account->limits[kept], figure, account->limits[i].figures[figure]);
		}
	}
	account->count = kept + 1;
	qsort(account->limits, account->count, sizeof(Limit), by_percent);
}

static void
push_key(JsonbParseState **state, const char *name)
{
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

/* NULL is null. */
static void
push_text(JsonbParseState **state, const char *value, int length)
{
	JsonbValue	item = {.type = value ? jbvString : jbvNull};

	if (value)
	{
		item.val.string.val = unconstify(char *, value);
		item.val.string.len = length;
	}
	pushJsonbValue(state, WJB_VALUE, &item);
}

static void
push_word(JsonbParseState **state, const char *key, const char *word)
{
	push_key(state, key);
	push_text(state, word, word ? strlen(word) : 0);
}

static Numeric
exactly(double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (fabs(value) < PLAIN_INTEGERS && value == rint(value))
		return int64_to_numeric((int64) value);
	double_to_shortest_decimal_buf(value, digits);
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static Numeric
rounded(double value)
{
	Datum		whole = DirectFunctionCall1(float8_numeric, Float8GetDatum(value));

	return DatumGetNumeric(DirectFunctionCall2(numeric_round, whole, Int32GetDatum(2)));
}

/* What JSON has no number for is a text, as to_jsonb() has it. */
static void
push_number(JsonbParseState **state, const char *key, bool is_known, double value,
			Numeric (*numeric_of) (double))
{
	JsonbValue	item = {.type = jbvNumeric};

	if (!is_known || !isfinite(value))
	{
		push_word(state, key, !is_known ? NULL : isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
		return;
	}
	push_key(state, key);
	item.val.numeric = numeric_of(value);
	pushJsonbValue(state, WJB_VALUE, &item);
}

static void
push_level(JsonbParseState **state, bool is_known, double percent)
{
	static const char *const colors[][2] = {
		{"ok", "green"}, {"info", "blue"}, {"warning", "yellow"}, {"critical", "red"}
	};
	const char *level = is_known ? SaasChartLevel(percent) : NULL;
	const char *color = NULL;

	for (int i = 0; level && i < lengthof(colors); i++)
		color = strcmp(level, colors[i][0]) == 0 ? colors[i][1] : color;
	push_word(state, "color", color);
	push_word(state, "level", level);
}

static void
push_limit(JsonbParseState **state, const Limit *limit)
{
	bool		has_percent = limit->has[FIGURE_PERCENT];
	double		percent = limit->figures[FIGURE_PERCENT];

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	/* In the order that jsonb sorts keys into. */
	push_number(state, "max", limit->has[FIGURE_MAX], limit->figures[FIGURE_MAX], exactly);
	push_key(state, "name");
	push_text(state, limit->name, limit->length);
	push_number(state, "used", limit->has[FIGURE_USED], limit->figures[FIGURE_USED], exactly);
	push_level(state, has_percent, percent);
	push_number(state, "percent", has_percent, percent, rounded);
	push_number(state, "remaining", limit->has[FIGURE_REMAINING], limit->figures[FIGURE_REMAINING], exactly);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* What stands in a jsonb: the pairs of an object, or a scalar. */
static void
push_within(JsonbParseState **state, Jsonb *json, bool is_scalar)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	item;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &item, false);

	if (is_scalar)
	{
		token = JsonbIteratorNext(&iterator, &item, false);
		pushJsonbValue(state, WJB_VALUE, &item);
		return;
	}
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_END_OBJECT)
		pushJsonbValue(state, token, &item);
}

static void
push_account(JsonbParseState **state, Account *account)
{
	bool		is_known = false;
	double		fullest = 0;

	put_in_order(account);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_within(state, account->head, false);
	push_key(state, "last_updated");
	if (account->last_updated && account->count > 0)
		push_within(state, account->last_updated, true);
	else
		push_text(state, NULL, 0);
	push_key(state, "limits");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < account->count; i++)
	{
		const Limit *limit = &account->limits[i];

		push_limit(state, limit);
		if (limit->has[FIGURE_PERCENT] && !isnan(limit->figures[FIGURE_PERCENT]) && !is_known)
		{
			/* The first of them is the fullest. */
			fullest = limit->figures[FIGURE_PERCENT];
			is_known = true;
		}
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	push_number(state, "percent", is_known, fullest, rounded);
	push_level(state, is_known, fullest);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Datum
pg_saas_limit_rows(PG_FUNCTION_ARGS)
{
	Grid	   *grid = PG_ARGISNULL(0) ? NULL : (Grid *) PG_GETARG_POINTER(0);
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; grid && i < grid->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (grid->accounts[i].head)
			push_account(&state, &grid->accounts[i]);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}
