/*
 * chart_legend.h
 *	  Which line is what: rows of names below a chart.
 */
#ifndef SAAS_CHART_LEGEND_H
#define SAAS_CHART_LEGEND_H

#include "pure/chart_internal.h"

#define CHART_LEGEND_ROW	18
#define CHART_LEGEND_NAME	220		/* the longest */

typedef struct ChartLegend
{
	const char *const *names;	/* cleaned, not "" */
	const ChartStyle *styles;
	int			shown;
	int			rows;
	double		left;
	double		right;
	char		rest[80];		/* what is said of those that are not shown; "": nothing */
} ChartLegend;

/* As many names as there is room for in so many rows, and how many more there are. */
extern void ChartLegendFit(ChartLegend *legend, int count, int omitted, int max_rows);
extern void ChartLegendDraw(Chart *chart, const ChartLegend *legend, double top);

#endif							/* SAAS_CHART_LEGEND_H */
