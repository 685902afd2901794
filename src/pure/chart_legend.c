/*
 * chart_legend.c
 *	  Which line is what: rows of names below a chart.
 */
#include <math.h>
#include <stdio.h>

#include "pure/chart_legend.h"

#define FONT_SIZE	12
#define SWATCH		24			/* with the space behind it */
#define SPACE		18

typedef struct Place
{
	double		x;
	int			row;
} Place;

static double
name_room(const ChartLegend *legend)
{
	return fmin(CHART_LEGEND_NAME, legend->right - legend->left - SWATCH);
}

/* Where something of this width goes behind what is placed already. */
static Place
place_next(const ChartLegend *legend, Place *next, double width)
{
	Place		place;

	if (next->x > legend->left && next->x + width > legend->right)
		*next = (Place) {legend->left, next->row + 1};
	place = *next;
	next->x += width + SPACE;
	return place;
}

static void
say_rest(ChartLegend *legend, int hidden, int omitted)
{
	legend->rest[0] = '\0';
	if (hidden > 0 && omitted > 0)
		(void) snprintf(legend->rest, sizeof(legend->rest), "+%d more, %d not drawn", hidden, omitted);
	else if (hidden > 0)
		(void) snprintf(legend->rest, sizeof(legend->rest), "+%d more", hidden);
	else if (omitted > 0)
		(void) snprintf(legend->rest, sizeof(legend->rest), "%d more not drawn", omitted);
}

/* Draws too where there is a chart; the rows that it takes. */
static int
walk(const ChartLegend *legend, Chart *chart, double top)
{
	static const ChartFont font = {FONT_SIZE, false, CHART_TEXT, CHART_START};
	static const ChartFont rest_font = {FONT_SIZE, false, CHART_MUTED, CHART_START};
	Place		next = {legend->left, 0};
	Place		place;

	for (int i = 0; i < legend->shown; i++)
	{
		double		width = fmin(ChartTextWidth(legend->names[i], FONT_SIZE), name_room(legend));
		double		y;

		place = place_next(legend, &next, SWATCH + width);
		if (chart == NULL)
			continue;
		y = top + place.row * CHART_LEGEND_ROW + 13;
		ChartLine(chart, place.x, y - 4, place.x + SWATCH - 6, y - 4, legend->styles[i].paint,
				  &legend->styles[i]);
		ChartText(chart, place.x + SWATCH, y, &font, name_room(legend), legend->names[i]);
	}
	if (legend->rest[0] != '\0')
	{
		place = place_next(legend, &next, ChartTextWidth(legend->rest, FONT_SIZE));
		if (chart != NULL)
			ChartText(chart, place.x, top + place.row * CHART_LEGEND_ROW + 13, &rest_font,
					  legend->right - place.x, legend->rest);
	}
	return next.x > legend->left ? next.row + 1 : next.row;
}

void
ChartLegendFit(ChartLegend *legend, int count, int omitted, int max_rows)
{
	for (legend->shown = count; legend->shown >= 0; legend->shown--)
	{
		say_rest(legend, count - legend->shown, omitted);
		legend->rows = walk(legend, NULL, 0);
		if (legend->rows <= max_rows)
			return;
	}
	legend->shown = 0;
	legend->rows = 0;
	legend->rest[0] = '\0';
}

void
ChartLegendDraw(Chart *chart, const ChartLegend *legend, double top)
{
	(void) walk(legend, chart, top);
}
