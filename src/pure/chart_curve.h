/*
 * chart_curve.h
 *	  Points to the data of an SVG path, no more of them than can be seen.
 *
 * The canvas is cut into columns.  Of the points in one only the first, the
 * lowest, the highest and the last are drawn (Jugel et al., "M4", 2014): the
 * picture is that of all points, peaks included, and its size is bounded
 * whatever the data.  A gap counts where it reaches into another column.
 */
#ifndef SAAS_CHART_CURVE_H
#define SAAS_CHART_CURVE_H

#include "pure/chart_internal.h"

typedef struct ChartSpot
{
	double		x;
	double		y;
	long		order;
} ChartSpot;

typedef struct ChartCurve
{
	SaasStrbuf	line;			/* what is connected */
	SaasStrbuf	dots;			/* points alone between gaps, of no length */
	double		column_width;	/* 0: every point */
	bool		has_column;
	bool		has_gap;		/* since the column's last point */
	double		column;
	long		count;
	ChartSpot	first;
	ChartSpot	last;
	ChartSpot	low;
	ChartSpot	high;
	bool		is_down;		/* the pen, at x, y */
	bool		is_alone;		/* and nowhere else since it came down */
	long		x;				/* in tenths of a pixel */
	long		y;
} ChartCurve;

/* The width of columns for so many points on one of the picture's curves; 0: every point fits. */
extern double ChartCurveColumn(size_t count, int curves, double room);

extern void ChartCurveBegin(ChartCurve *curve, double column_width, SaasArena *arena);

/* From left to right. */
extern void ChartCurvePoint(ChartCurve *curve, double x, double y);
extern void ChartCurveGap(ChartCurve *curve);
extern void ChartCurveEnd(ChartCurve *curve);

/* Writes it into the picture; points alone are dots. */
extern void ChartCurveAppend(Chart *chart, const ChartCurve *curve, const ChartStyle *style, double width);

#endif							/* SAAS_CHART_CURVE_H */
