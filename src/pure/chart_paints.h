/*
 * chart_paints.h
 *	  The colours themselves, for who writes them into a picture.
 */
#ifndef SAAS_CHART_PAINTS_H
#define SAAS_CHART_PAINTS_H

#include "pure/chart_internal.h"

typedef struct ChartColors
{
	const char *light;
	const char *dark;
} ChartColors;

extern const ChartColors ChartPaintColors[CHART_PAINTS];

#endif							/* SAAS_CHART_PAINTS_H */
