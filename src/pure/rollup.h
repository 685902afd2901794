/*
 * rollup.h
 *	  What is kept of the samples of one series in one bucket of time.
 *
 * Rollups of neighbouring stretches merge, in the order of time, into that of
 * both: what increased between the last sample of the one and the first of the
 * other is known then, so that a counter's increase is exact at every level.
 */
#ifndef SAAS_ROLLUP_H
#define SAAS_ROLLUP_H

#include <stdint.h>

typedef struct SaasRollup
{
	int64_t		count;			/* 0: the rest is not set */
	double		sum;
	double		min;
	double		max;
	double		first;
	double		last;
	double		increase;		/* from first to last, as a counter's */
} SaasRollup;

/*
 * What a counter has gained from one sample to the next: a lower one means that
 * it began anew.  0 where either is NaN or infinite.
 */
extern double SaasRollupDelta(double before, double after);

/*
 * Adds what comes after the rollup in time.  NaN is greater than any number, as
 * PostgreSQL has it; a sum that overflows is infinite.
 */
extern void SaasRollupAdd(SaasRollup *rollup, double value);
extern void SaasRollupMerge(SaasRollup *rollup, const SaasRollup *later);

#endif							/* SAAS_ROLLUP_H */
