/*
 * chart_sql.c
 *	  Charts as SQL functions: arrays and options to pure/chart.h.
 */
#include "postgres.h"

#include <math.h>

#include "base/calendar.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "pure/chart.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_TEXT_VALUES		10000
#define MAX_TEXT_WIDTH		200

PG_FUNCTION_INFO_V1(pg_saas_line_chart);
PG_FUNCTION_INFO_V1(pg_saas_bar_chart);
PG_FUNCTION_INFO_V1(pg_saas_sparkline_chart);
PG_FUNCTION_INFO_V1(pg_saas_gauge_chart);
PG_FUNCTION_INFO_V1(pg_saas_sparkline);
PG_FUNCTION_INFO_V1(pg_saas_bar);
PG_FUNCTION_INFO_V1(pg_saas_limit_level);

/* Fields and messages are ours: nothing in them needs escaping. */
static void pg_attribute_noreturn()
raise_field(const char *field, const char *message)
{
	SaasRaise("22023", "invalid input", psprintf("[{\"field\": \"%s\", \"message\": \"%s\"}]", field, message),
			  NULL);
}

/* The charts take UTF-8, whatever the database holds. */
static const char *
utf8_of(const char *text, int length)
{
	char	   *copy = pnstrdup(text, length);

	return pg_server_to_any(copy, length, PG_UTF8);
}

static Datum
picture_datum(const char *picture, const SaasProblem *problem)
{
	if (picture == NULL)
		SaasRaiseProblem(problem);
	return CStringGetTextDatum(pg_any_to_server(picture, (int) strlen(picture), PG_UTF8));
}

/* Options */

static bool
find_option(Jsonb *options, const char *name, JsonbValue *found)
{
	return options != NULL &&
		getKeyJsonValueFromContainer(&options->root, name, (int) strlen(name), found) != NULL &&
		found->type != jbvNull;
}

static const char *
text_option(Jsonb *options, const char *name)
{
	JsonbValue	found;

	if (!find_option(options, name, &found))
		return NULL;
	if (found.type != jbvString)
		raise_field(name, "must be a string");
	return pnstrdup(found.val.string.val, found.val.string.len);
}

static double
number_option(Jsonb *options, const char *name, double absent)
{
	JsonbValue	found;

	if (!find_option(options, name, &found))
		return absent;
	if (found.type != jbvNumeric)
		raise_field(name, "must be a number");
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(found.val.numeric)));
}

/* Of a number beyond any bound, one beyond any bound. */
static int
integer_option(Jsonb *options, const char *name, int absent)
{
	return (int) rint(Min(Max(number_option(options, name, absent), -1e9), 1e9));
}

static bool
boolean_option(Jsonb *options, const char *name)
{
	JsonbValue	found;

	if (!find_option(options, name, &found))
		return false;
	if (found.type != jbvBool)
		raise_field(name, "must be true or false");
	return found.val.boolean;
}

/* known: names, each between blanks. */
static void
check_options(Jsonb *options, const char *known)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (options == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(options))
		raise_field("options", "must be an object");
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = psprintf(" %.*s ", item.val.string.len, item.val.string.val);
		if (strchr(name + 1, ' ')[1] != '\0' || strstr(known, name) == NULL)
			raise_field("options", psprintf("may have%.*s only", (int) strlen(known) - 1, known));
	}
}

#define COMMON_OPTIONS	" title width height unit theme omitted "

static SaasChartOptions
common_options(Jsonb *options, int width, int height)
{
	SaasChartOptions common = {0};
	const char *title = text_option(options, "title");
	const char *unit = text_option(options, "unit");
	const char *theme = text_option(options, "theme");

	common.title = title == NULL ? NULL : utf8_of(title, (int) strlen(title));
	common.width = integer_option(options, "width", width);
	common.height = integer_option(options, "height", height);
	common.omitted = Max(integer_option(options, "omitted", 0), 0);
	if (unit != NULL && !SaasChartUnitByName(unit, &common.unit))
		raise_field("unit", "must be plain, si, bytes, percent or seconds");
	if (theme != NULL && !SaasChartThemeByName(theme, &common.theme))
		raise_field("theme", "must be auto, light or dark");
	return common;
}

/* What option "environments", {name: environment}, says of a name of the database's encoding. */
static SaasChartEnvironment
environment_option(Jsonb *options, const char *name, int length)
{
	JsonbValue	environments;
	JsonbValue	found;

	if (!find_option(options, "environments", &environments))
		return SAAS_CHART_UNKNOWN;
	if (environments.type != jbvBinary || !JsonContainerIsObject(environments.val.binary.data))
		raise_field("environments", "must be an object");
	if (getKeyJsonValueFromContainer(environments.val.binary.data, name, length, &found) == NULL ||
		found.type != jbvString)
		return SAAS_CHART_NONE;
	return SaasChartEnvironmentByName(pnstrdup(found.val.string.val, found.val.string.len));
}

/* Times */

#define UNIX_EPOCH_MS	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

/* Beyond the years that a chart knows for times that are not finite. */
static int64
unix_ms(TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return PG_INT64_MIN;
	return at / 1000 - (at % 1000 < 0) + UNIX_EPOCH_MS;
}

static int64
time_option(Jsonb *options, const char *name)
{
	const char *text = text_option(options, name);

	if (text == NULL)
		raise_field(name, "must be given with the other end of the range");
	return unix_ms(DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
														   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

static int
offset_at(void *zone, int64_t unix_s)
{
	pg_time_t	at = unix_s;
	struct pg_tm *local = pg_localtime(&at, zone);

	return local == NULL ? 0 : (int) local->tm_gmtoff;
}

static SaasChartZone
zone_option(Jsonb *options)
{
	const char *name = text_option(options, "timezone");
	pg_tz	   *zone = session_timezone;

	if (name != NULL)
		zone = strlen(name) > TZ_STRLEN_MAX ? NULL : pg_tzset(name);
	if (zone == NULL || !pg_tz_acceptable(zone))
		raise_field("timezone", "is not known");
	return (SaasChartZone) {pg_get_timezone_name(zone), offset_at, zone};
}

/* Arrays */

typedef struct Elements
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} Elements;

static Elements
array_argument(FunctionCallInfo fcinfo, int argument, Oid type, int max, const char *name)
{
	Elements	elements = {0};
	ArrayType  *array;
	bool		is_text = type == TEXTOID;

	if (PG_ARGISNULL(argument))
		return elements;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > max)
		raise_field(name, psprintf("must have at most %d elements", max));
	deconstruct_array(array, type, is_text ? -1 : 8, is_text ? false : FLOAT8PASSBYVAL,
					  is_text ? TYPALIGN_INT : TYPALIGN_DOUBLE, &elements.values, &elements.nulls,
					  &elements.count);
	return elements;
}

static void
require_alike(const Elements *elements, const Elements *others, const char *name)
{
	if (elements->count != others->count)
		raise_field(name, "must have as many elements as the other arrays");
}

static double
value_at(const Elements *elements, int i)
{
	return elements->nulls[i] ? NAN : DatumGetFloat8(elements->values[i]);
}

static const char *
name_at(const Elements *elements, int i, int *length)
{
	text	   *name;

	*length = 0;
	if (elements->count == 0 || elements->nulls[i])
		return "";
	name = DatumGetTextPP(elements->values[i]);
	*length = VARSIZE_ANY_EXHDR(name);
	return VARDATA_ANY(name);
}

/* Line charts */

typedef struct Names
{
	const char *text[SAAS_CHART_MAX_SERIES];
	int			length[SAAS_CHART_MAX_SERIES];
	int			count;
	int			last;			/* rows of a series mostly follow each other */
} Names;

static bool
is_name(const Names *names, int i, const char *name, int length)
{
	return names->length[i] == length && memcmp(names->text[i], name, length) == 0;
}

static int
series_index(Names *names, const char *name, int length)
{
	if (names->count > 0 && is_name(names, names->last, name, length))
		return names->last;
	for (names->last = 0; names->last < names->count; names->last++)
	{
		if (is_name(names, names->last, name, length))
			return names->last;
	}
	if (names->count == SAAS_CHART_MAX_SERIES)
		raise_field("series", psprintf("must name at most %d series", SAAS_CHART_MAX_SERIES));
	names->text[names->count] = name;
	names->length[names->count] = length;
	return names->count++;
}

/* In the order in which their names come first. */
static void
collect_series(SaasLineChart *chart, const Elements *at, const Elements *values, const Elements *series,
			   Jsonb *options)
{
	Names	   *names = palloc0(sizeof(Names));
	uint8	   *indexes = palloc(at->count + 1);

	chart->series = palloc0(SAAS_CHART_MAX_SERIES * sizeof(SaasChartSeries));
	for (int i = 0; i < at->count; i++)
	{
		int			length;
		const char *name = name_at(series, i, &length);

		indexes[i] = (uint8) series_index(names, name, length);
		chart->series[indexes[i]].count++;
	}
	chart->series_count = names->count;
	for (int i = 0; i < names->count; i++)
	{
		chart->series[i].name = utf8_of(names->text[i], names->length[i]);
		chart->series[i].environment = environment_option(options, names->text[i], names->length[i]);
		chart->series[i].points = palloc(chart->series[i].count * sizeof(SaasChartPoint));
		chart->series[i].count = 0;
	}
	for (int i = 0; i < at->count; i++)
	{
		SaasChartSeries *into = &chart->series[indexes[i]];
		int64		at_ms = at->nulls[i] ? PG_INT64_MIN : unix_ms(DatumGetTimestampTz(at->values[i]));

		if (at_ms < SAAS_MIN_TIME_MS || at_ms > SAAS_MAX_TIME_MS)
			raise_field("at", "must have times of the years 1 to 9999 only");
		into->points[into->count++] = (SaasChartPoint) {at_ms, value_at(values, i)};
	}
}

Datum
pg_saas_line_chart(PG_FUNCTION_ARGS)
{
	Elements	at = array_argument(fcinfo, 0, TIMESTAMPTZOID, SAAS_CHART_MAX_POINTS, "at");
	Elements	values = array_argument(fcinfo, 1, FLOAT8OID, SAAS_CHART_MAX_POINTS, "value");
	Elements	series = array_argument(fcinfo, 2, TEXTOID, SAAS_CHART_MAX_POINTS, "series");
	Jsonb	   *options = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	SaasLineChart chart = {0};
	SaasProblem problem = {0};
	MemoryContext context;
	SaasArena  *arena;
	Datum		answer;

	check_options(options, COMMON_OPTIONS "timezone since until gap_s zero environments ");
	require_alike(&values, &at, "value");
	if (!PG_ARGISNULL(2))
		require_alike(&series, &at, "series");
	chart.options = common_options(options, 800, 300);
	chart.zone = zone_option(options);
	chart.has_range = text_option(options, "since") != NULL || text_option(options, "until") != NULL;
	if (chart.has_range)
	{
		chart.from_ms = time_option(options, "since");
		chart.to_ms = time_option(options, "until");
	}
	chart.gap_ms = (int64) (Min(Max(number_option(options, "gap_s", 0), 0), 1e12) * 1000);
	chart.from_zero = boolean_option(options, "zero");
	collect_series(&chart, &at, &values, &series, options);

	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	answer = picture_datum(SaasLineChartDraw(&chart, arena, &problem), &problem);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

Datum
pg_saas_bar_chart(PG_FUNCTION_ARGS)
{
	Elements	labels = array_argument(fcinfo, 0, TEXTOID, SAAS_CHART_MAX_BARS, "label");
	Elements	values = array_argument(fcinfo, 1, FLOAT8OID, SAAS_CHART_MAX_BARS, "value");
	Jsonb	   *options = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	SaasChartBar *bars = palloc0((labels.count + 1) * sizeof(SaasChartBar));
	SaasBarChart chart = {0};
	SaasProblem problem = {0};
	MemoryContext context;
	SaasArena  *arena;
	Datum		answer;

	check_options(options, COMMON_OPTIONS "share environments ");
	require_alike(&values, &labels, "value");
	chart.options = common_options(options, 800, 0);
	chart.shows_share = boolean_option(options, "share");
	for (int i = 0; i < labels.count; i++)
	{
		int			length;
		const char *name = name_at(&labels, i, &length);

		bars[i].name = utf8_of(name, length);
		bars[i].environment = environment_option(options, name, length);
		bars[i].value = value_at(&values, i);
	}
	chart.bars = bars;
	chart.count = labels.count;

	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	answer = picture_datum(SaasBarChartDraw(&chart, arena, &problem), &problem);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

/* Small charts */

static double *
values_argument(FunctionCallInfo fcinfo, int argument, int max, size_t *count)
{
	Elements	elements = array_argument(fcinfo, argument, FLOAT8OID, max, "value");
	double	   *values = palloc((elements.count + 1) * sizeof(double));

	for (int i = 0; i < elements.count; i++)
		values[i] = value_at(&elements, i);
	*count = elements.count;
	return values;
}

Datum
pg_saas_sparkline_chart(PG_FUNCTION_ARGS)
{
	size_t		count;
	double	   *values = values_argument(fcinfo, 0, SAAS_CHART_MAX_POINTS, &count);
	Jsonb	   *options = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	SaasChartOptions common;
	SaasProblem problem = {0};
	MemoryContext context;
	SaasArena  *arena;
	Datum		answer;

	check_options(options, " title width height unit theme ");
	common = common_options(options, 120, 30);
	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	answer = picture_datum(SaasSparklineDraw(&common, values, count, arena, &problem), &problem);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

Datum
pg_saas_gauge_chart(PG_FUNCTION_ARGS)
{
	double		percent = PG_ARGISNULL(0) ? NAN : PG_GETARG_FLOAT8(0);
	Jsonb	   *options = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	SaasChartOptions common;
	SaasProblem problem = {0};
	MemoryContext context;
	SaasArena  *arena;
	Datum		answer;

	check_options(options, " title width height theme ");
	common = common_options(options, 220, 150);
	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	answer = picture_datum(SaasGaugeDraw(&common, percent, arena, &problem), &problem);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

/* Text */

Datum
pg_saas_sparkline(PG_FUNCTION_ARGS)
{
	SaasProblem problem = {.sqlstate = "54000", .message = "the picture is too large"};
	size_t		count;
	double	   *values;
	SaasArena  *arena;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	values = values_argument(fcinfo, 0, MAX_TEXT_VALUES, &count);
	(void) SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	PG_RETURN_DATUM(picture_datum(SaasTextSparkline(values, count, arena), &problem));
}

Datum
pg_saas_bar(PG_FUNCTION_ARGS)
{
	SaasProblem problem = {.sqlstate = "54000", .message = "the picture is too large"};
	double		percent;
	int			width = PG_ARGISNULL(1) ? 20 : PG_GETARG_INT32(1);
	MemoryContext context;
	SaasArena  *arena;
	Datum		answer;

	if (width < 1 || width > MAX_TEXT_WIDTH)
		raise_field("width", psprintf("must be 1 to %d", MAX_TEXT_WIDTH));
	if (PG_ARGISNULL(0) || isnan(PG_GETARG_FLOAT8(0)))
		PG_RETURN_NULL();
	percent = PG_GETARG_FLOAT8(0);
	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_CHART_ARENA_SIZE, &arena);
	answer = picture_datum(SaasTextBar(percent, width, arena), &problem);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

Datum
pg_saas_limit_level(PG_FUNCTION_ARGS)
{
	const char *level = SaasChartLevel(PG_GETARG_FLOAT8(0));

	if (level == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(level));
}
