/*
 * chart_small.c
 *	  Charts for a line of text or a card: sparklines and gauges.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pure/chart_curve.h"
#include "pure/chart_internal.h"

#define MIN_SPARKLINE_WIDTH		16
#define MAX_SPARKLINE_WIDTH		2000
#define MIN_SPARKLINE_HEIGHT	8
#define MAX_SPARKLINE_HEIGHT	500

#define MIN_GAUGE				100
#define MAX_GAUGE				1000

#define PADDING		3			/* half of a dot's width, and a little */

/* The scale under the gauge's arc changes where levels do. */
static const struct
{
	double		percent;
	const char *name;
	ChartPaint	paint;
} levels[] = {
	{-INFINITY, "ok", CHART_OK},
	{50, "info", CHART_INFO},
	{75, "warning", CHART_WARNING},
	{90, "critical", CHART_CRITICAL},
};

#define LEVELS	((int) (sizeof(levels) / sizeof(levels[0])))

static int
level_of(double percent)
{
	int			level = LEVELS - 1;

	while (level > 0 && !(percent >= levels[level].percent))
		level--;
	return level;
}

const char *
SaasChartLevel(double percent)
{
	return isnan(percent) ? NULL : levels[level_of(percent)].name;
}

static bool
find_range(const double *values, size_t count, double *min, double *max)
{
	bool		has_values = false;

	for (size_t i = 0; i < count; i++)
	{
		double		value = ChartClamp(values[i]);

		if (!isfinite(values[i]))
			continue;
		*min = has_values ? fmin(*min, value) : value;
		*max = has_values ? fmax(*max, value) : value;
		has_values = true;
	}
	return has_values;
}

static void
describe_sparkline(Chart *chart, const double *values, size_t count, double min, double max)
{
	char		texts[3][CHART_NUMBER_SIZE];

	while (count > 0 && !isfinite(values[count - 1]))
		count--;
	ChartFormatNumber(texts[0], min, chart->options->unit);
	ChartFormatNumber(texts[1], max, chart->options->unit);
	ChartFormatNumber(texts[2], values[count - 1], chart->options->unit);
	SaasStrbufPrintf(&chart->description, "Lowest %s, highest %s, last %s.", texts[0], texts[1], texts[2]);
}

static void
draw_sparkline(Chart *chart, const double *values, size_t count, double min, double max)
{
	static const ChartStyle style = {CHART_SERIES, NULL};
	double		width = chart->width - 2 * PADDING;
	double		height = chart->height - 2 * PADDING;
	ChartCurve	curve;

	ChartCurveBegin(&curve, ChartCurveColumn(count, 1, width), chart->arena);
	for (size_t i = 0; i < count; i++)
	{
		double		x = PADDING + (count == 1 ? width / 2 : width * (double) i / (double) (count - 1));
		double		part = max > min ? (ChartClamp(values[i]) - min) / (max - min) : 0.5;

		if (isfinite(values[i]))
			ChartCurvePoint(&curve, x, PADDING + height * (1 - part));
		else
			ChartCurveGap(&curve);
	}
	ChartCurveEnd(&curve);
	ChartCurveAppend(chart, &curve, &style, 1.5);
}

char *
SaasSparklineDraw(const SaasChartOptions *options, const double *values, size_t count,
				  SaasArena *arena, SaasProblem *problem)
{
	Chart		chart;
	double		min = 0;
	double		max = 0;

	if (!ChartRequire("width", options->width, MIN_SPARKLINE_WIDTH, MAX_SPARKLINE_WIDTH, problem) ||
		!ChartRequire("height", options->height, MIN_SPARKLINE_HEIGHT, MAX_SPARKLINE_HEIGHT, problem) ||
		!ChartRequire("number of points", (long) count, 0, SAAS_CHART_MAX_POINTS, problem))
		return NULL;
	ChartBegin(&chart, options, options->width, options->height, arena);
	if (find_range(values, count, &min, &max))
	{
		draw_sparkline(&chart, values, count, min, max);
		describe_sparkline(&chart, values, count, min, max);
	}
	else
	{
		/* There is no room for words. */
		static const ChartStyle dotted = {CHART_MUTED, "2 4"};

		ChartLine(&chart, PADDING, chart.height / 2.0, chart.width - PADDING, chart.height / 2.0, CHART_MUTED,
				  &dotted);
		SaasStrbufAppendText(&chart.description, "No data.");
	}
	return ChartFinish(&chart, "Sparkline", problem);
}

typedef struct Dial
{
	double		x;
	double		y;
	double		radius;
	double		width;			/* of the arc */
} Dial;

/* From one percent to another of the half circle, left to right. */
static void
draw_arc(Chart *chart, const Dial *dial, double radius, double width, double from, double to,
		 ChartPaint paint)
{
	double		start = M_PI * (1 - from / 100);
	double		end = M_PI * (1 - to / 100);

	SaasStrbufAppendText(&chart->body, "<path");
	ChartAppendPaint(chart, paint);
	SaasStrbufAppendText(&chart->body, " fill=\"none\" stroke=\"currentColor\"");
	ChartAppendAttribute(chart, "stroke-width", width);
	SaasStrbufAppendText(&chart->body, " d=\"M");
	ChartAppendNumber(&chart->body, dial->x + radius * cos(start));
	SaasStrbufAppendChar(&chart->body, ' ');
	ChartAppendNumber(&chart->body, dial->y - radius * sin(start));
	SaasStrbufAppendChar(&chart->body, 'A');
	ChartAppendNumber(&chart->body, radius);
	SaasStrbufAppendChar(&chart->body, ' ');
	ChartAppendNumber(&chart->body, radius);
	SaasStrbufAppendText(&chart->body, " 0 0 1 ");
	ChartAppendNumber(&chart->body, dial->x + radius * cos(end));
	SaasStrbufAppendChar(&chart->body, ' ');
	ChartAppendNumber(&chart->body, dial->y - radius * sin(end));
	SaasStrbufAppendText(&chart->body, "\"/>");
}

static void
draw_dial(Chart *chart, const Dial *dial, double percent)
{
	double		shown = fmin(100, fmax(0, percent));

	draw_arc(chart, dial, dial->radius, dial->width, 0, 100, CHART_GRID);
	if (isfinite(percent) && shown > 0)
		draw_arc(chart, dial, dial->radius, dial->width, 0, fmax(shown, 0.5),
				 levels[level_of(percent)].paint);
	/* The levels, as a thin scale inside. */
	for (int i = 0; i < LEVELS; i++)
		draw_arc(chart, dial, dial->radius - dial->width * 0.75, dial->width / 8,
				 i == 0 ? 0 : levels[i].percent + 0.4,
				 i == LEVELS - 1 ? 100 : levels[i + 1].percent - 0.4, levels[i].paint);
}

static void
write_value(Chart *chart, const Dial *dial, double percent)
{
	ChartFont	value_font = {fmin(48, dial->radius * 0.38), true, CHART_TEXT, CHART_MIDDLE};
	ChartFont	level_font = {fmax(11, fmin(18, dial->radius * 0.14)), false, CHART_MUTED, CHART_MIDDLE};
	char		text[CHART_NUMBER_SIZE] = "";
	const char *level = isfinite(percent) ? levels[level_of(percent)].name : "no data";

	if (isfinite(percent))
	{
		/* 89.96 is not 90, and less than "critical". */
		double		tenths = floor(fabs(percent) * 10 + 1e-6) / 10;

		ChartFormatNumber(text, percent < 0 ? -tenths : tenths, SAAS_CHART_PERCENT);
		ChartText(chart, dial->x, dial->y - level_font.size - 4, &value_font, dial->radius * 1.5, text);
		SaasStrbufPrintf(&chart->description, "%s used: %s.", text, level);
	}
	else
		SaasStrbufAppendText(&chart->description, "No data.");
	ChartText(chart, dial->x, dial->y, &level_font, dial->radius * 1.4, level);
}

char *
SaasGaugeDraw(const SaasChartOptions *options, double percent, SaasArena *arena, SaasProblem *problem)
{
	ChartFont	title_font = {13, true, CHART_TEXT, CHART_MIDDLE};
	Chart		chart;
	Dial		dial;
	double		bottom;

	if (!ChartRequire("width", options->width, MIN_GAUGE, MAX_GAUGE, problem) ||
		!ChartRequire("height", options->height, MIN_GAUGE, MAX_GAUGE, problem))
		return NULL;
	ChartBegin(&chart, options, options->width, options->height, arena);
	bottom = chart.height - (chart.title[0] == '\0' ? 10 : 32);
	/* Half of the arc's width lies outside its radius. */
	dial.radius = fmin((chart.width / 2.0 - 10) / 1.1, (bottom - 10) / 1.1);
	dial.width = dial.radius * 0.2;
	dial.x = chart.width / 2.0;
	dial.y = bottom - fmax(0, bottom - 10 - dial.radius * 1.1) / 2;

	ChartRectangle(&chart, 0, 0, chart.width, chart.height, CHART_BACKGROUND);
	draw_dial(&chart, &dial, percent);
	write_value(&chart, &dial, percent);
	if (chart.title[0] != '\0')
		ChartText(&chart, dial.x, fmin(dial.y + 22, chart.height - 10), &title_font, chart.width - 16,
				  chart.title);
	return ChartFinish(&chart, "Gauge", problem);
}
