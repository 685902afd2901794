/*
 * rollup.c
 *	  What is kept of the samples of one series in one bucket of time.
 */
#include <math.h>

#include "pure/rollup.h"

double
SaasRollupDelta(double before, double after)
{
	if (!isfinite(before) || !isfinite(after))
		return 0;
	return after >= before ? after - before : after;
}

static int
is_less(double a, double b)
{
	return isnan(b) ? !isnan(a) : a < b;
}

void
SaasRollupMerge(SaasRollup *rollup, const SaasRollup *later)
{
	if (later->count == 0)
		return;
	if (rollup->count == 0)
	{
		*rollup = *later;
		return;
	}
	rollup->count += later->count;
	rollup->sum += later->sum;
	if (is_less(later->min, rollup->min))
		rollup->min = later->min;
	if (is_less(rollup->max, later->max))
		rollup->max = later->max;
	rollup->increase += SaasRollupDelta(rollup->last, later->first) + later->increase;
	rollup->last = later->last;
}

void
SaasRollupAdd(SaasRollup *rollup, double value)
{
	SaasRollup	one = {1, value, value, value, value, value, 0};

	SaasRollupMerge(rollup, &one);
}
