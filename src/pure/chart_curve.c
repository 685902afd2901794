/*
 * chart_curve.c
 *	  Points to the data of an SVG path.
 */
#include <math.h>
#include <string.h>

#include "pure/chart_curve.h"

/* All curves of a picture together draw at most so many points: some 17 bytes each. */
#define MAX_DRAWN	12000

void
ChartCurveBegin(ChartCurve *curve, double column_width, SaasArena *arena)
{
	memset(curve, 0, sizeof(*curve));
	SaasStrbufInit(&curve->line, arena);
	SaasStrbufInit(&curve->dots, arena);
	curve->column_width = column_width;
}

static void
append_place(SaasStrbuf *buf, char before, long x, long y)
{
	SaasStrbufAppendChar(buf, before);
	ChartAppendNumber(buf, (double) x / 10);
	SaasStrbufAppendChar(buf, ' ');
	ChartAppendNumber(buf, (double) y / 10);
}

static void
pen_up(ChartCurve *curve)
{
	if (curve->is_down && curve->is_alone)
	{
		append_place(&curve->dots, 'M', curve->x, curve->y);
		SaasStrbufAppendText(&curve->dots, "h0");
	}
	curve->is_down = false;
}

static void
pen_to(ChartCurve *curve, const ChartSpot *spot)
{
	long		x = lround(spot->x * 10);
	long		y = lround(spot->y * 10);

	if (curve->is_down && curve->x == x && curve->y == y)
		return;
	if (curve->is_down)
	{
		if (curve->is_alone)
			append_place(&curve->line, 'M', curve->x, curve->y);
		append_place(&curve->line, ' ', x, y);
	}
	curve->is_alone = !curve->is_down;
	curve->is_down = true;
	curve->x = x;
	curve->y = y;
}

static void
draw_column(ChartCurve *curve)
{
	bool		is_falling = curve->high.order < curve->low.order;

	if (!curve->has_column)
		return;
	pen_to(curve, &curve->first);
	pen_to(curve, is_falling ? &curve->high : &curve->low);
	pen_to(curve, is_falling ? &curve->low : &curve->high);
	pen_to(curve, &curve->last);
	curve->has_column = false;
}

void
ChartCurvePoint(ChartCurve *curve, double x, double y)
{
	ChartSpot	spot = {x, y, curve->count++};
	double		column = curve->column_width > 0 ? floor(x / curve->column_width) : spot.order;

	if (curve->has_column && column == curve->column)
	{
		if (y > curve->low.y)
			curve->low = spot;
		if (y < curve->high.y)
			curve->high = spot;
		curve->last = spot;
	}
	else
	{
		draw_column(curve);
		if (curve->has_gap)
			pen_up(curve);
		curve->first = curve->last = curve->low = curve->high = spot;
		curve->column = column;
		curve->has_column = true;
	}
	curve->has_gap = false;
}

void
ChartCurveGap(ChartCurve *curve)
{
	curve->has_gap = true;
}

void
ChartCurveEnd(ChartCurve *curve)
{
	draw_column(curve);
	pen_up(curve);
}

double
ChartCurveColumn(size_t count, int curves, double room)
{
	double		columns = fmin(room, MAX_DRAWN / 4 / curves);

	return count <= 2 * columns ? 0 : room / columns;
}

static void
append_path(Chart *chart, const SaasStrbuf *path, const ChartStyle *style, double width)
{
	if (path->failed)
		chart->body.failed = true;
	if (path->failed || path->length == 0)
		return;
	SaasStrbufAppendText(&chart->body, "<path");
	ChartAppendPaint(chart, style->paint);
	SaasStrbufAppendText(&chart->body, " fill=\"none\" stroke=\"currentColor\"");
	ChartAppendAttribute(chart, "stroke-width", width);
	SaasStrbufAppendText(&chart->body, " stroke-linejoin=\"round\" stroke-linecap=\"round\"");
	if (style->dashes != NULL)
	{
		SaasStrbufAppendText(&chart->body, " stroke-dasharray=\"");
		SaasStrbufAppendText(&chart->body, style->dashes);
		SaasStrbufAppendChar(&chart->body, '"');
	}
	SaasStrbufAppendText(&chart->body, " d=\"");
	SaasStrbufAppend(&chart->body, path->data, path->length);
	SaasStrbufAppendText(&chart->body, "\"/>");
}

void
ChartCurveAppend(Chart *chart, const ChartCurve *curve, const ChartStyle *style, double width)
{
	ChartStyle	dots = {style->paint, NULL};

	append_path(chart, &curve->line, style, width);
	append_path(chart, &curve->dots, &dots, width + 2.5);
}
