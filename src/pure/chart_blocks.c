/*
 * chart_blocks.c
 *	  Charts of block characters (U+2581 to U+258F), for a terminal.
 */
#include <math.h>
#include <string.h>

#include "pure/chart_internal.h"

#define BLOCK_LENGTH	3
#define LIGHT_SHADE		"\xE2\x96\x91"

/* One eighth to a whole, from below and from the left. */
static const char *const rising[] = {
	"\xE2\x96\x81", "\xE2\x96\x82", "\xE2\x96\x83", "\xE2\x96\x84",
	"\xE2\x96\x85", "\xE2\x96\x86", "\xE2\x96\x87", "\xE2\x96\x88",
};
static const char *const widening[] = {
	"\xE2\x96\x8F", "\xE2\x96\x8E", "\xE2\x96\x8D", "\xE2\x96\x8C",
	"\xE2\x96\x8B", "\xE2\x96\x8A", "\xE2\x96\x89", "\xE2\x96\x88",
};

static const char *
block_of(double value, double min, double max)
{
	int			level = 3;		/* of values that are all equal */

	if (max > min)
		level = (int) floor((value - min) / (max - min) * 8);
	return rising[level > 7 ? 7 : level];
}

char *
SaasTextSparkline(const double *values, size_t count, SaasArena *arena)
{
	SaasStrbuf	text;
	double		min = INFINITY;
	double		max = -INFINITY;

	for (size_t i = 0; i < count; i++)
	{
		if (!isfinite(values[i]))
			continue;
		min = fmin(min, ChartClamp(values[i]));
		max = fmax(max, ChartClamp(values[i]));
	}
	SaasStrbufInit(&text, arena);
	for (size_t i = 0; i < count; i++)
		SaasStrbufAppendText(&text, isfinite(values[i]) ? block_of(ChartClamp(values[i]), min, max) : " ");
	return SaasStrbufFinish(&text);
}

char *
SaasTextBar(double percent, int width, SaasArena *arena)
{
	SaasStrbuf	text;
	double		part = fmin(100, fmax(0, percent)) / 100;
	int			eighths = (int) floor(part * width * 8 + 1e-9);
	int			filled;

	if (eighths == 0 && part > 0)
		eighths = 1;
	if (eighths == width * 8 && percent < 100)
		eighths--;
	filled = eighths / 8;
	SaasStrbufInit(&text, arena);
	for (int i = 0; i < filled; i++)
		SaasStrbufAppend(&text, widening[7], BLOCK_LENGTH);
	if (eighths % 8 > 0)
		SaasStrbufAppend(&text, widening[eighths % 8 - 1], BLOCK_LENGTH);
	for (int i = filled + (eighths % 8 > 0); i < width; i++)
		SaasStrbufAppendText(&text, LIGHT_SHADE);
	return SaasStrbufFinish(&text);
}
