/*
 * chart_line.c
 *	  Line charts: values of several series over time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "pure/chart_curve.h"
#include "pure/chart_internal.h"
#include "pure/chart_legend.h"

#define MIN_WIDTH		160
#define MAX_WIDTH		4000
#define MIN_HEIGHT		120
#define MAX_HEIGHT		2000

#define FONT_SIZE		12
#define AXIS_HEIGHT		36		/* two rows of labels */
#define MIN_PLOT		40
#define MARGIN			14
#define DESCRIBED		8		/* series in the description */

/* Around a point alone. */
#define HALF_AN_HOUR	INT64_C(1800000)

/* What a chart of its data needs to know before it can be laid out. */
typedef struct Plot
{
	SaasLineChart *line;
	Chart		chart;
	int64_t		from_ms;
	int64_t		to_ms;
	bool		has_values;
	double		min;
	double		max;
	ChartScale	scale;
	ChartStyle	styles[SAAS_CHART_MAX_SERIES];
	const char *names[SAAS_CHART_MAX_SERIES];
	const char *labels[SAAS_CHART_MAX_SERIES];	/* in the legend */
	ChartLegend legend;
	double		left;
	double		top;
	double		right;
	double		bottom;
} Plot;

static int
compare_points(const void *a, const void *b)
{
	int64_t		left = ((const SaasChartPoint *) a)->at_ms;
	int64_t		right = ((const SaasChartPoint *) b)->at_ms;

	return left < right ? -1 : left > right;
}

static void
sort_points(SaasChartSeries *series)
{
	for (size_t i = 1; i < series->count; i++)
	{
		if (series->points[i].at_ms < series->points[i - 1].at_ms)
		{
			qsort(series->points, series->count, sizeof(SaasChartPoint), compare_points);
			return;
		}
	}
}

static bool
check(const SaasLineChart *line, SaasProblem *problem)
{
	size_t		points = 0;

	for (int i = 0; i < line->series_count; i++)
		points += line->series[i].count;
	if (!ChartRequire("width", line->options.width, MIN_WIDTH, MAX_WIDTH, problem) ||
		!ChartRequire("height", line->options.height, MIN_HEIGHT, MAX_HEIGHT, problem) ||
		!ChartRequire("number of series", line->series_count, 0, SAAS_CHART_MAX_SERIES, problem) ||
		!ChartRequire("number of points", (long) points, 0, SAAS_CHART_MAX_POINTS, problem))
		return false;
	if (!line->has_range ||
		(line->from_ms < line->to_ms && line->from_ms >= SAAS_MIN_TIME_MS && line->to_ms <= SAAS_MAX_TIME_MS))
		return true;
	SaasProblemSet(problem, "22023", "invalid input");
	return SaasProblemDetail(problem, "[{\"field\": \"since\", \"message\": \"must be before until, both in the years 1 to 9999\"}]");
}

static bool
is_within(const Plot *plot, const SaasChartPoint *point)
{
	return point->at_ms >= plot->from_ms && point->at_ms <= plot->to_ms;
}

/* The range where none is given: that of all points, which says also where values are missing. */
static void
find_range(Plot *plot)
{
	plot->from_ms = INT64_MAX;
	plot->to_ms = INT64_MIN;
	for (int i = 0; i < plot->line->series_count; i++)
	{
		const SaasChartSeries *series = &plot->line->series[i];
		int64_t		last_ms;

		if (series->count == 0)
			continue;
		plot->from_ms = series->points[0].at_ms < plot->from_ms ? series->points[0].at_ms : plot->from_ms;
		last_ms = series->points[series->count - 1].at_ms;
		plot->to_ms = last_ms > plot->to_ms ? last_ms : plot->to_ms;
	}
	if (plot->line->has_range)
	{
		plot->from_ms = plot->line->from_ms;
		plot->to_ms = plot->line->to_ms;
	}
	else if (plot->from_ms == plot->to_ms)
	{
		plot->from_ms -= HALF_AN_HOUR;
		plot->to_ms += HALF_AN_HOUR;
	}
}

static void
find_values(Plot *plot)
{
	for (int i = 0; i < plot->line->series_count; i++)
	{
		const SaasChartSeries *series = &plot->line->series[i];

		for (size_t j = 0; j < series->count; j++)
		{
			double		value = ChartClamp(series->points[j].value);

			if (!isfinite(series->points[j].value) || !is_within(plot, &series->points[j]))
				continue;
			plot->min = plot->has_values ? fmin(plot->min, value) : value;
			plot->max = plot->has_values ? fmax(plot->max, value) : value;
			plot->has_values = true;
		}
	}
}

/* The name with the environment behind it, which is not what is cut off. */
static const char *
label_with_environment(Plot *plot, const char *name, const char *environment)
{
	double		room = CHART_LEGEND_NAME - ChartTextWidth(environment, FONT_SIZE) - 2 * FONT_SIZE;
	size_t		fit = ChartTextFit(name, FONT_SIZE, room);
	const char *label = SaasArenaPrintf(plot->chart.arena, "%.*s%s (%s)", (int) fit, name,
										name[fit] == '\0' ? "" : "\xE2\x80\xA6", environment);

	return label == NULL ? name : label;
}

/* In the legend the environment is told where its colour does not. */
static void
choose_names(Plot *plot)
{
	SaasChartEnvironment environments[SAAS_CHART_MAX_SERIES];
	bool		tells_environment;

	for (int i = 0; i < plot->line->series_count; i++)
		environments[i] = plot->line->series[i].environment;
	tells_environment = ChartChooseStyles(environments, plot->line->series_count, plot->styles);
	for (int i = 0; i < plot->line->series_count; i++)
	{
		const char *environment = ChartEnvironmentName(environments[i]);
		const char *name = ChartClean(plot->chart.arena, plot->line->series[i].name);

		name = name[0] == '\0' ? "(none)" : name;
		plot->names[i] = plot->labels[i] = name;
		if (tells_environment && environment != NULL && strcmp(environment, name) != 0)
			plot->labels[i] = label_with_environment(plot, name, environment);
	}
}

static bool
needs_legend(const Plot *plot)
{
	return plot->line->series_count > 1 || plot->line->options.omitted > 0 ||
		(plot->line->series_count == 1 && plot->line->series[0].name != NULL &&
		 plot->line->series[0].name[0] != '\0' && strcmp(plot->names[0], plot->chart.title) != 0);
}

static void
lay_out(Plot *plot)
{
	double		height = plot->chart.height;
	double		label_width = 0;

	plot->right = plot->chart.width - MARGIN;
	plot->top = (plot->chart.title[0] == '\0' ? 0 : 24) + MARGIN;
	plot->bottom = height - AXIS_HEIGHT;
	plot->legend = (ChartLegend) {.names = plot->labels, .styles = plot->styles, .left = MARGIN,
	.right = plot->right};
	if (needs_legend(plot))
	{
		double		room = fmin(height / 3, plot->bottom - plot->top - MIN_PLOT);

		ChartLegendFit(&plot->legend, plot->line->series_count, plot->line->options.omitted,
					   (int) (room / CHART_LEGEND_ROW));
	}
	if (plot->legend.rows > 0)
		plot->bottom -= plot->legend.rows * CHART_LEGEND_ROW + 6;

	if (plot->has_values)
	{
		int			max_steps = (int) ((plot->bottom - plot->top) / (3 * FONT_SIZE));

		max_steps = max_steps < 1 ? 1 : max_steps > 10 ? 10 : max_steps;
		ChartScaleChoose(&plot->scale, plot->min, plot->max, max_steps, plot->line->from_zero,
						 plot->line->options.unit);
		for (int i = 0; i <= plot->scale.steps; i++)
		{
			char		label[CHART_NUMBER_SIZE];

			ChartFormatTick(label, &plot->scale, i);
			label_width = fmax(label_width, ChartTextWidth(label, FONT_SIZE));
		}
	}
	plot->left = fmin(MARGIN + label_width + (label_width > 0 ? 8 : 0), plot->chart.width / 2.0);
}

static double
x_of(const Plot *plot, int64_t at_ms)
{
	return plot->left + (plot->right - plot->left) *
		((double) (at_ms - plot->from_ms) / (double) (plot->to_ms - plot->from_ms));
}

static double
y_of(const Plot *plot, double value)
{
	double		part = (ChartClamp(value) - plot->scale.low) / (plot->scale.high - plot->scale.low);

	return plot->bottom - (plot->bottom - plot->top) * fmin(1, fmax(0, part));
}

static void
draw_values_axis(Plot *plot)
{
	static const ChartFont font = {FONT_SIZE, false, CHART_MUTED, CHART_END};

	for (int i = 0; i <= plot->scale.steps; i++)
	{
		double		value = ChartScaleTick(&plot->scale, i);
		double		y = y_of(plot, value);
		char		label[CHART_NUMBER_SIZE];

		ChartFormatTick(label, &plot->scale, i);
		ChartLine(&plot->chart, plot->left, y, plot->right, y,
				  i == 0 || value == 0 ? CHART_MUTED : CHART_GRID, NULL);
		ChartText(&plot->chart, plot->left - 8, y + 4, &font, plot->left - 10, label);
	}
}

/* Where a text around x begins that stays on the canvas. */
static double
centered_start(const Plot *plot, double x, const char *text)
{
	double		width = ChartTextWidth(text, FONT_SIZE);

	return fmax(2, fmin(x - width / 2, plot->chart.width - 2 - width));
}

static void
draw_label(Plot *plot, double x, double y, const char *text)
{
	static const ChartFont font = {FONT_SIZE, false, CHART_MUTED, CHART_START};

	ChartText(&plot->chart, centered_start(plot, x, text), y, &font, plot->chart.width, text);
}

/*
 * Days or years below the ticks where they begin.  The first tick's gives way
 * to one that does begin; the first that is written has the year.
 */
static void
draw_contexts(Plot *plot, const ChartTimeTick *ticks, int count)
{
	double		end = -1;

	for (int i = 0; i < count; i++)
	{
		const char *text = end < 0 ? ticks[i].full_context : ticks[i].context;
		double		x = x_of(plot, ticks[i].at_ms);
		double		start = centered_start(plot, x, text);
		double		text_end = start + ChartTextWidth(text, FONT_SIZE) + FONT_SIZE;
		bool		is_crowded = start < end;

		if (text[0] == '\0')
			continue;
		for (int j = i + 1; !ticks[i].changes && j < count && !is_crowded; j++)
			is_crowded = ticks[j].changes &&
				centered_start(plot, x_of(plot, ticks[j].at_ms), ticks[j].context) < text_end;
		if (is_crowded)
			continue;
		draw_label(plot, x, plot->bottom + 31, text);
		end = text_end;
	}
}

static void
draw_time_axis(Plot *plot)
{
	ChartTimeTick *ticks = SaasArenaAlloc(plot->chart.arena, CHART_MAX_TICKS * sizeof(ChartTimeTick));
	int			count;

	if (ticks == NULL)
	{
		plot->chart.body.failed = true;
		return;
	}
	count = ChartTimeTicks(ticks, plot->from_ms, plot->to_ms, &plot->line->zone, plot->right - plot->left,
						   FONT_SIZE);
	for (int i = 0; i < count; i++)
	{
		double		x = x_of(plot, ticks[i].at_ms);

		ChartLine(&plot->chart, x, plot->bottom, x, plot->bottom + 4, CHART_MUTED, NULL);
		draw_label(plot, x, plot->bottom + 17, ticks[i].label);
	}
	draw_contexts(plot, ticks, count);
}

static void
draw_series(Plot *plot, int i)
{
	const SaasChartSeries *series = &plot->line->series[i];
	const SaasChartPoint *before = NULL;
	ChartCurve	curve;

	ChartCurveBegin(&curve, ChartCurveColumn(series->count, plot->line->series_count,
											 plot->right - plot->left), plot->chart.arena);
	for (size_t j = 0; j < series->count; j++)
	{
		const SaasChartPoint *point = &series->points[j];

		if (!is_within(plot, point))
			continue;
		if (!isfinite(point->value))
		{
			ChartCurveGap(&curve);
			continue;
		}
		if (before != NULL && plot->line->gap_ms > 0 && point->at_ms - before->at_ms > plot->line->gap_ms)
			ChartCurveGap(&curve);
		ChartCurvePoint(&curve, x_of(plot, point->at_ms), y_of(plot, point->value));
		before = point;
	}
	ChartCurveEnd(&curve);
	ChartCurveAppend(&plot->chart, &curve, &plot->styles[i], plot->line->series_count > 12 ? 1.2 : 1.8);
}

static void
describe_series(Plot *plot, int i)
{
	const SaasChartSeries *series = &plot->line->series[i];
	char		texts[3][CHART_NUMBER_SIZE];
	size_t		count = 0;
	size_t		missing = 0;
	double		min = 0;
	double		max = 0;
	double		last = 0;

	for (size_t j = 0; j < series->count; j++)
	{
		if (!is_within(plot, &series->points[j]))
			continue;
		if (!isfinite(series->points[j].value))
		{
			missing++;
			continue;
		}
		last = series->points[j].value;
		min = count == 0 ? last : fmin(min, last);
		max = count == 0 ? last : fmax(max, last);
		count++;
	}
	SaasStrbufPrintf(&plot->chart.description, " %s: ", plot->names[i]);
	if (count == 0)
		SaasStrbufAppendText(&plot->chart.description, "no data");
	else
	{
		ChartFormatNumber(texts[0], min, plot->line->options.unit);
		ChartFormatNumber(texts[1], max, plot->line->options.unit);
		ChartFormatNumber(texts[2], last, plot->line->options.unit);
		SaasStrbufPrintf(&plot->chart.description, "%zu values, lowest %s, highest %s, last %s", count,
						 texts[0], texts[1], texts[2]);
	}
	if (missing > 0)
		SaasStrbufPrintf(&plot->chart.description, ", %zu missing", missing);
	SaasStrbufAppendChar(&plot->chart.description, '.');
}

static void
describe(Plot *plot)
{
	const SaasChartZone *zone = &plot->line->zone;
	int			count = plot->line->series_count;
	char		from[32];
	char		to[32];

	if (!plot->line->has_range && !plot->has_values)
	{
		SaasStrbufAppendText(&plot->chart.description, "Line chart without data.");
		return;
	}
	ChartFormatTime(from, sizeof(from), plot->from_ms, zone);
	ChartFormatTime(to, sizeof(to), plot->to_ms, zone);
	SaasStrbufPrintf(&plot->chart.description, "Line chart of %d series from %s to %s, %s.", count, from, to,
					 zone->name == NULL ? "UTC" : ChartClean(plot->chart.arena, zone->name));
	for (int i = 0; i < count && i < DESCRIBED; i++)
		describe_series(plot, i);
	if (count > DESCRIBED)
		SaasStrbufPrintf(&plot->chart.description, " And %d more.", count - DESCRIBED);
	if (plot->line->options.omitted > 0)
		SaasStrbufPrintf(&plot->chart.description, " %d series are not drawn.", plot->line->options.omitted);
}

char *
SaasLineChartDraw(SaasLineChart *line, SaasArena *arena, SaasProblem *problem)
{
	Plot	   *plot = SaasArenaAlloc(arena, sizeof(Plot));

	if (plot == NULL)
	{
		SaasProblemSet(problem, "54000", "the picture is too large");
		return NULL;
	}
	if (!check(line, problem))
		return NULL;
	plot->line = line;
	ChartBegin(&plot->chart, &line->options, line->options.width, line->options.height, arena);
	for (int i = 0; i < line->series_count; i++)
		sort_points(&line->series[i]);
	find_range(plot);
	find_values(plot);
	choose_names(plot);
	lay_out(plot);

	ChartRectangle(&plot->chart, 0, 0, plot->chart.width, plot->chart.height, CHART_BACKGROUND);
	(void) ChartTitle(&plot->chart, MARGIN);
	if (plot->has_values)
		draw_values_axis(plot);
	else
	{
		ChartLine(&plot->chart, plot->left, plot->bottom, plot->right, plot->bottom, CHART_MUTED, NULL);
		ChartNoData(&plot->chart, (plot->left + plot->right) / 2, (plot->top + plot->bottom) / 2);
	}
	if (plot->from_ms < plot->to_ms)
		draw_time_axis(plot);
	for (int i = 0; i < line->series_count && plot->has_values; i++)
		draw_series(plot, i);
	ChartLegendDraw(&plot->chart, &plot->legend, plot->bottom + AXIS_HEIGHT);
	describe(plot);
	return ChartFinish(&plot->chart, "Line chart", problem);
}
