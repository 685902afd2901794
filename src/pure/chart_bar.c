/*
 * chart_bar.c
 *	  Bar charts: one value each of several things, one below the other.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pure/chart_internal.h"

#define MIN_WIDTH		160
#define MAX_WIDTH		4000
#define MIN_HEIGHT		60
#define MAX_HEIGHT		4000

#define FONT_SIZE		12
#define ROW				26
#define MIN_ROW			16
#define MARGIN			14
#define GAP				8			/* between a bar and its texts */
#define DESCRIBED		8

#define NUMBER_TEXT_SIZE	(2 * CHART_NUMBER_SIZE)

typedef struct Bars
{
	const SaasBarChart *bars;
	Chart		chart;
	int			count;			/* of those that are drawn */
	ChartStyle	styles[SAAS_CHART_MAX_BARS];
	const char *names[SAAS_CHART_MAX_BARS];
	bool		has_values;
	bool		shows_share;
	double		sum;
	double		low;			/* of the values and 0 */
	double		high;
	double		row;
	double		top;
	double		name_room;
	double		left;			/* of the bars */
	double		right;
} Bars;

static double
value_of(const Bars *bars, int i)
{
	return ChartClamp(bars->bars->bars[i].value);
}

static bool
is_missing(const Bars *bars, int i)
{
	return !isfinite(bars->bars->bars[i].value);
}

static void
find_values(Bars *bars)
{
	double		high = 0;

	for (int i = 0; i < bars->bars->count; i++)
	{
		if (is_missing(bars, i))
			continue;
		bars->has_values = true;
		bars->low = fmin(bars->low, value_of(bars, i));
		high = fmax(high, value_of(bars, i));
		bars->sum += value_of(bars, i);
	}
	bars->shows_share = bars->bars->shows_share && bars->low == 0 && bars->sum > 0;
	bars->high = high > bars->low ? high : bars->low + 1;
}

/* As with lines, but more bars than colours all have the same. */
static void
choose_styles(Bars *bars)
{
	SaasChartEnvironment environments[SAAS_CHART_MAX_BARS];
	bool		is_known = true;

	for (int i = 0; i < bars->bars->count; i++)
		is_known = is_known && bars->bars->bars[i].environment != SAAS_CHART_UNKNOWN;
	for (int i = 0; i < bars->bars->count; i++)
	{
		environments[0] = bars->bars->bars[i].environment;
		bars->styles[i].paint = CHART_SERIES;
		if (is_known)
			(void) ChartChooseStyles(environments, 1, &bars->styles[i]);
	}
}

static void
format_value(const Bars *bars, int i, char *text)
{
	char		share[CHART_NUMBER_SIZE];
	double		percent;

	if (is_missing(bars, i))
	{
		(void) snprintf(text, NUMBER_TEXT_SIZE, "no data");
		return;
	}
	ChartFormatNumber(text, value_of(bars, i), bars->bars->options.unit);
	if (!bars->shows_share)
		return;
	percent = value_of(bars, i) / bars->sum * 100;
	if (percent > 0 && percent < 0.05)
		(void) snprintf(share, sizeof(share), " (<0.1%%)");
	else
		(void) snprintf(share, sizeof(share), " (%.1f%%)", percent);
	(void) snprintf(text + strlen(text), NUMBER_TEXT_SIZE - strlen(text), "%s", share);
}

static int
omitted(const Bars *bars)
{
	return bars->bars->options.omitted + bars->bars->count - bars->count;
}

/* Rows as high as there is room for; those that have none are omitted. */
static void
lay_out_rows(Bars *bars)
{
	double		room = bars->chart.height - bars->top - MARGIN;

	bars->count = bars->bars->count;
	bars->row = fmin(ROW, room / (bars->count + (omitted(bars) > 0)));
	if (bars->row >= MIN_ROW)
		return;
	bars->row = MIN_ROW;
	bars->count = (int) (room / MIN_ROW) - 1;
	bars->count = bars->count < 0 ? 0 : bars->count;
}

static void
lay_out(Bars *bars)
{
	double		width = bars->chart.width;
	double		values = 0;
	double		negative_values = 0;
	double		names = 0;

	bars->top = (bars->chart.title[0] == '\0' ? 0 : 24) + MARGIN - 4;
	lay_out_rows(bars);
	for (int i = 0; i < bars->bars->count; i++)
	{
		char		text[NUMBER_TEXT_SIZE];

		format_value(bars, i, text);
		bars->names[i] = ChartClean(bars->chart.arena, bars->bars->bars[i].name);
		if (bars->names[i][0] == '\0')
			bars->names[i] = "(none)";
		if (i >= bars->count)
			continue;
		names = fmax(names, ChartTextWidth(bars->names[i], FONT_SIZE));
		if (!is_missing(bars, i) && value_of(bars, i) < 0)
			negative_values = fmax(negative_values, ChartTextWidth(text, FONT_SIZE) + GAP);
		else
			values = fmax(values, ChartTextWidth(text, FONT_SIZE) + GAP);
	}
	bars->name_room = fmin(names, width * 0.35);
	bars->left = MARGIN + bars->name_room + GAP + fmin(negative_values, width * 0.25);
	bars->right = fmax(bars->left + 10, width - MARGIN - fmin(values, width * 0.35));
}

static double
x_of(const Bars *bars, double value)
{
	return bars->left + (bars->right - bars->left) * ((value - bars->low) / (bars->high - bars->low));
}

static void
draw_bar(Bars *bars, int i)
{
	static const ChartFont name_font = {FONT_SIZE, false, CHART_TEXT, CHART_END};
	static const ChartFont value_font = {FONT_SIZE, false, CHART_MUTED, CHART_START};
	static const ChartFont negative_font = {FONT_SIZE, false, CHART_MUTED, CHART_END};
	double		value = is_missing(bars, i) ? 0 : value_of(bars, i);
	double		zero = x_of(bars, 0);
	double		end = x_of(bars, value);
	double		middle = bars->top + (i + 0.5) * bars->row;
	double		height = bars->row * 0.68;
	char		text[NUMBER_TEXT_SIZE];

	ChartText(&bars->chart, MARGIN + bars->name_room, middle + 4, &name_font, bars->name_room,
			  bars->names[i]);
	/* What there is can be seen, however small. */
	if (value != 0 && fabs(end - zero) < 1)
		end = value < 0 ? zero - 1 : zero + 1;
	if (value != 0)
		ChartRectangle(&bars->chart, fmin(zero, end), middle - height / 2, fabs(end - zero), height,
					   bars->styles[i].paint);
	format_value(bars, i, text);
	if (value < 0)
		ChartText(&bars->chart, end - GAP / 2, middle + 4, &negative_font, bars->chart.width, text);
	else
		ChartText(&bars->chart, end + GAP / 2 + 1, middle + 4, &value_font,
				  bars->chart.width - end - GAP / 2 - 2, text);
}

static void
draw_rest(Bars *bars)
{
	static const ChartFont font = {FONT_SIZE, false, CHART_MUTED, CHART_START};
	char		text[CHART_NUMBER_SIZE];

	if (omitted(bars) == 0)
		return;
	(void) snprintf(text, sizeof(text), "%d more not drawn", omitted(bars));
	ChartText(&bars->chart, bars->left, bars->top + (bars->count + 0.5) * bars->row + 4, &font,
			  bars->chart.width - bars->left - 2, text);
}

static void
describe(Bars *bars)
{
	SaasStrbuf *text = &bars->chart.description;

	if (!bars->has_values)
	{
		SaasStrbufAppendText(text, "Bar chart without data.");
		return;
	}
	SaasStrbufPrintf(text, "Bar chart of %d values.", bars->bars->count);
	for (int i = 0; i < bars->bars->count && i < DESCRIBED; i++)
	{
		char		value[NUMBER_TEXT_SIZE];

		format_value(bars, i, value);
		SaasStrbufPrintf(text, " %s: %s.", bars->names[i], value);
	}
	if (bars->bars->count > DESCRIBED)
		SaasStrbufPrintf(text, " And %d more.", bars->bars->count - DESCRIBED);
	if (bars->bars->options.omitted > 0)
		SaasStrbufPrintf(text, " %d more are not drawn.", bars->bars->options.omitted);
}

/* What the bars need, and the title, and the line that says how many are not drawn. */
static int
needed_height(const SaasBarChart *bars)
{
	int			rows = bars->count < 1 ? 1 : bars->count;
	bool		has_title = bars->options.title != NULL && bars->options.title[0] != '\0';

	return (rows + (bars->options.omitted > 0)) * ROW + 2 * MARGIN - 4 + (has_title ? 24 : 0) +
		(bars->count < 1 ? MARGIN : 0);
}

char *
SaasBarChartDraw(const SaasBarChart *bar_chart, SaasArena *arena, SaasProblem *problem)
{
	int			height = bar_chart->options.height;
	Bars	   *bars = SaasArenaAlloc(arena, sizeof(Bars));

	if (bars == NULL)
	{
		SaasProblemSet(problem, "54000", "the picture is too large");
		return NULL;
	}
	if (!ChartRequire("width", bar_chart->options.width, MIN_WIDTH, MAX_WIDTH, problem) ||
		(height != 0 && !ChartRequire("height", height, MIN_HEIGHT, MAX_HEIGHT, problem)) ||
		!ChartRequire("number of bars", bar_chart->count, 0, SAAS_CHART_MAX_BARS, problem))
		return NULL;
	bars->bars = bar_chart;
	ChartBegin(&bars->chart, &bar_chart->options, bar_chart->options.width,
			   height == 0 ? needed_height(bar_chart) : height, arena);
	find_values(bars);
	choose_styles(bars);
	lay_out(bars);

	ChartRectangle(&bars->chart, 0, 0, bars->chart.width, bars->chart.height, CHART_BACKGROUND);
	(void) ChartTitle(&bars->chart, MARGIN);
	if (bar_chart->count == 0)
		ChartNoData(&bars->chart, bars->chart.width / 2.0, (bars->top + bars->chart.height) / 2);
	else
	{
		for (int i = 0; i < bars->count; i++)
			draw_bar(bars, i);
		ChartLine(&bars->chart, x_of(bars, 0), bars->top, x_of(bars, 0), bars->top + bars->count * bars->row,
				  CHART_MUTED, NULL);
		draw_rest(bars);
	}
	describe(bars);
	return ChartFinish(&bars->chart, "Bar chart", problem);
}
