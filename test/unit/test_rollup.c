/*
 * test_rollup.c
 *	  pure/rollup.c: what is kept of a series' samples in a bucket.
 */
#include <math.h>
#include <stdlib.h>

#include "pure/rollup.h"

#include "tap.h"

static SaasRollup
roll(const double *values, int count)
{
	SaasRollup	rollup = {0};

	for (int i = 0; i < count; i++)
		SaasRollupAdd(&rollup, values[i]);
	return rollup;
}

static bool
is_same_number(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b;
}

static bool
is_same(const SaasRollup *a, const SaasRollup *b)
{
	return a->count == b->count && is_same_number(a->sum, b->sum) && is_same_number(a->min, b->min) &&
		is_same_number(a->max, b->max) && is_same_number(a->first, b->first) &&
		is_same_number(a->last, b->last) && is_same_number(a->increase, b->increase);
}

static void
test_numbers(void)
{
	double		values[] = {5, 7, 3, 3, 10};
	SaasRollup	rollup = roll(values, 5);

	ok(rollup.count == 5 && rollup.sum == 28, "count and sum");
	ok(rollup.min == 3 && rollup.max == 10, "least and greatest");
	ok(rollup.first == 5 && rollup.last == 10, "first and last");
	ok(rollup.increase == 2 + 3 + 0 + 7, "a counter that falls began anew");
}

static void
test_odd_numbers(void)
{
	double		odd[] = {NAN, 1, -INFINITY, 5};
	double		large[] = {1e308, 1e308};
	double		only[] = {NAN};
	SaasRollup	rollup = roll(odd, 4);

	ok(isnan(rollup.sum) && isnan(rollup.max), "NaN is the greatest");
	ok(rollup.min == -INFINITY, "and never the least of several");
	ok(rollup.increase == 0 && rollup.last == 5, "what is not finite increases nothing");
	rollup = roll(only, 1);
	ok(isnan(rollup.min) && isnan(rollup.max) && rollup.count == 1, "of NaN alone it is both");
	rollup = roll(large, 2);
	ok(isinf(rollup.sum), "a sum that overflows is infinite");
}

/* Wherever a row of samples is cut, the parts merge into the whole. */
static void
test_merge(void)
{
	bool		all_same = true;

	srandom(7);
	for (int round = 0; round < 2000; round++)
	{
		double		values[12];
		int			count = random() % 13;
		int			cut = count == 0 ? 0 : random() % (count + 1);
		SaasRollup	whole;
		SaasRollup	left;
		SaasRollup	right;

		for (int i = 0; i < count; i++)
			values[i] = random() % 20 == 0 ? NAN : random() % 20 == 0 ? INFINITY : random() % 100;
		whole = roll(values, count);
		left = roll(values, cut);
		right = roll(values + cut, count - cut);
		SaasRollupMerge(&left, &right);
		all_same = all_same && is_same(&left, &whole);
	}
	ok(all_same, "parts merge into the whole");
}

int
main(void)
{
	test_numbers();
	test_odd_numbers();
	test_merge();
	return tap_done();
}
