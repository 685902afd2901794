/*
 * test_sketch.c
 *	  pure/sketch.c: percentiles within the error that it promises.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "pure/sketch.h"

#include "tap.h"

#define MANY	20000

typedef struct Filled
{
	SaasSketch	sketch;
	SaasSketchBin bins[SAAS_SKETCH_BINS];
} Filled;

static double numbers[MANY];

static double
dice(void)
{
	return (random() + 0.5) / (RAND_MAX + 1.0);
}

/* As PostgreSQL sorts: NaN last. */
static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return (x > y) - (x < y);
}

static double
mixed(const double *sorted, int count, double fraction)
{
	double		place = fraction * (count - 1);
	double		low = sorted[(int) floor(place)];
	double		high = sorted[(int) ceil(place)];

	return low == high ? low : low + (place - floor(place)) * (high - low);
}

static void
begin(Filled *filled)
{
	filled->sketch = (SaasSketch) {.room = SAAS_SKETCH_BINS,.bins = filled->bins};
}

static void
fill(Filled *filled, const double *values, int count)
{
	begin(filled);
	for (int i = 0; i < count; i++)
		SaasSketchAdd(&filled->sketch, SaasSketchKey(values[i]), 1);
}

static void
add_all(SaasSketch *to, const SaasSketch *from)
{
	for (int i = 0; i < from->count; i++)
		SaasSketchAdd(to, from->bins[i].key, from->bins[i].count);
}

static bool
is_same(const SaasSketch *a, const SaasSketch *b)
{
	if (a->count != b->count)
		return false;
	for (int i = 0; i < a->count; i++)
	{
		if (a->bins[i].key != b->bins[i].key || a->bins[i].count != b->bins[i].count)
			return false;
	}
	return true;
}

static double
uniform(void)
{
	return 100 * dice();
}

static double
exponential(void)
{
	return -log(dice());
}

static double
normal(void)
{
	return sqrt(-2 * log(dice())) * cos(2 * M_PI * dice());
}

static double
log_normal(void)
{
	return exp(normal());
}

static double
pareto(void)
{
	return pow(dice(), -1.0 / 1.5);
}

static double
whole(void)
{
	return floor(20 * dice());
}

static double
negative(void)
{
	return -1e9 * dice();
}

static double
tiny(void)
{
	return DBL_MIN * (1 + 1e6 * dice());
}

static double
huge(void)
{
	return DBL_MAX * (1 - dice() / 1e6);
}

static double
latency(void)
{
	return dice() < 0.98 ? 0.01 + 0.01 * dice() : 30 * dice();
}

static double (*const distributions[]) (void) = {
	uniform, exponential, normal, log_normal, pareto, whole, negative, tiny, huge, latency
};

/* How far the worst of many percentiles is from the exact one, as a part of that. */
static double
worst_error(const double *sorted, int count)
{
	Filled		filled;
	double		worst = 0;

	fill(&filled, sorted, count);
	for (int i = 0; i <= 1000; i++)
	{
		double		exact = mixed(sorted, count, i / 1000.0);
		double		answer = SaasSketchQuantile(&filled.sketch, i / 1000.0, sorted[0], sorted[count - 1]);
		double		below = sorted[(int) floor(i / 1000.0 * (count - 1))];
		double		above = sorted[(int) ceil(i / 1000.0 * (count - 1))];

		/* Between numbers of both signs the part is of these, not of what lies between. */
		if (below < 0 && above > 0)
			worst = fmax(worst, fabs(answer - exact) / fmax(-below, above));
		else if (exact == 0)
			worst = fmax(worst, answer == 0 ? 0 : INFINITY);
		else
			worst = fmax(worst, fabs(answer - exact) / fabs(exact));
	}
	return worst;
}

static void
test_error(void)
{
	static const int counts[] = {1, 2, 3, 10, 60, 1440, MANY};

	for (size_t i = 0; i < sizeof(distributions) / sizeof(distributions[0]); i++)
	{
		double		worst = 0;

		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		{
			for (int round = 0; round < 1 + 200 / counts[c]; round++)
			{
				for (int n = 0; n < counts[c]; n++)
					numbers[n] = distributions[i] ();
				qsort(numbers, counts[c], sizeof(double), compare);
				worst = fmax(worst, worst_error(numbers, counts[c]));
			}
		}
		ok(worst <= SAAS_SKETCH_ERROR * (1 + 1e-9), "distribution %d: within 1 %% (the worst is %g %%)", (int) i,
		   100 * worst);
	}
}

static void
test_bins(void)
{
	bool		all_within = true;
	bool		all_ascend = true;
	int32_t		before = SaasSketchKey(-INFINITY);

	for (double value = -DBL_MAX; value < -DBL_MIN; value /= 1.0007)
	{
		int32_t		key = SaasSketchKey(value);

		all_ascend = all_ascend && key >= before && SaasSketchKey(-value) == -key;
		all_within = all_within &&
			fabs(SaasSketchValue(key) - value) <= -value * SAAS_SKETCH_ERROR * (1 + 1e-9);
		before = key;
	}
	ok(all_ascend && before < 0, "bins ascend as numbers do, and have the same bounds on both sides of zero");
	ok(all_within, "each is within 1 %% of its bin's number, over the whole range");
	ok(SaasSketchKey(DBL_MIN) > 0 && SaasSketchKey(DBL_MIN / 2) == 0 && SaasSketchKey(-0.0) == 0,
	   "zero, and what is no normal number, are one bin");
	ok(SaasSketchValue(0) == 0 && isnan(SaasSketchValue(SaasSketchKey(NAN))), "zero and NaN are themselves");
	ok(SaasSketchValue(SaasSketchKey(INFINITY)) == INFINITY &&
	   SaasSketchValue(SaasSketchKey(-INFINITY)) == -INFINITY, "infinities too");
	ok(SaasSketchKey(NAN) > SaasSketchKey(INFINITY) && SaasSketchKey(INFINITY) > SaasSketchKey(DBL_MAX) &&
	   SaasSketchKey(-INFINITY) < SaasSketchKey(-DBL_MAX), "and where PostgreSQL sorts them");
}

static void
test_odd_numbers(void)
{
	double		odd[] = {-INFINITY, -5, 0, 5, 5, INFINITY, INFINITY, NAN};
	double		constant[] = {42.42, 42.42, 42.42};
	double		far[] = {-DBL_MAX, DBL_MAX};
	Filled		filled;

	fill(&filled, odd, 8);
	ok(SaasSketchQuantile(&filled.sketch, 0, -INFINITY, NAN) == -INFINITY &&
	   SaasSketchQuantile(&filled.sketch, 2 / 7.0, -INFINITY, NAN) == 0 &&
	   fabs(SaasSketchQuantile(&filled.sketch, 0.5, -INFINITY, NAN) - 5) <= 0.05 &&
	   SaasSketchQuantile(&filled.sketch, 5.5 / 7, -INFINITY, NAN) == INFINITY &&
	   isnan(SaasSketchQuantile(&filled.sketch, 1, -INFINITY, NAN)), "infinities and NaN have their places");
	fill(&filled, constant, 3);
	ok(SaasSketchQuantile(&filled.sketch, 0.37, 42.42, 42.42) == 42.42, "what never changes is exact");
	fill(&filled, far, 2);
	ok(SaasSketchQuantile(&filled.sketch, 0.5, -DBL_MAX, DBL_MAX) == 0, "nothing overflows on the way");
	ok(SaasSketchQuantile(&filled.sketch, 0, -DBL_MAX, DBL_MAX) == -DBL_MAX &&
	   SaasSketchQuantile(&filled.sketch, 1, -DBL_MAX, DBL_MAX) == DBL_MAX, "the least and the greatest are exact");
}

/* More bins than are kept: 18 orders of magnitude on each side of zero. */
static double
wide(void)
{
	double		size = pow(10, 36 * dice() - 18);

	return dice() < 0.5 ? -size : size;
}

static void
test_bound(void)
{
	Filled		filled;
	double		worst = 0;
	double		sum = 0;
	int			upper;

	for (int i = 0; i < MANY; i++)
		numbers[i] = wide();
	fill(&filled, numbers, MANY);
	qsort(numbers, MANY, sizeof(double), compare);
	ok(filled.sketch.count == SAAS_SKETCH_BINS, "no more bins than %d are kept", SAAS_SKETCH_BINS);
	for (int i = 0; i < filled.sketch.count; i++)
		sum += filled.sketch.bins[i].count;
	ok(sum == MANY, "and no sample is lost");
	/* From here on no sample is in the lowest bin. */
	upper = (int) filled.sketch.bins[0].count + 1;
	ok(upper > 100 && upper < MANY - 100, "the lowest have become one");
	for (int i = upper; i < MANY; i++)
	{
		double		answer = SaasSketchQuantile(&filled.sketch, i / (double) (MANY - 1), numbers[0],
												numbers[MANY - 1]);

		worst = fmax(worst, fabs(answer - numbers[i]) / fabs(numbers[i]));
	}
	ok(worst <= SAAS_SKETCH_ERROR * (1 + 1e-9), "those above keep their error (%g %%)", 100 * worst);
	ok(SaasSketchQuantile(&filled.sketch, 0.01, numbers[0], numbers[MANY - 1]) >= mixed(numbers, MANY, 0.01),
	   "what is in the lowest is never answered too low");
}

/* Shared out, shuffled and merged, the whole is what it was. */
static void
test_merge(void)
{
	static Filled parts[7];
	bool		all_same = true;

	for (int round = 0; round < 60; round++)
	{
		int			count = 1 + random() % 5000;
		bool		is_wide = round % 3 == 0;
		Filled		all;
		Filled		merged;

		for (int i = 0; i < count; i++)
			numbers[i] = is_wide ? wide() : round % 3 == 1 ? normal() : random() % 9 == 0 ? NAN : whole();
		fill(&all, numbers, count);
		for (int i = 0; i < 7; i++)
			begin(&parts[i]);
		for (int i = 0; i < count; i++)
			SaasSketchAdd(&parts[random() % 7].sketch, SaasSketchKey(numbers[i]), 1);
		begin(&merged);
		for (int i = 0, first = random() % 7; i < 7; i++)
			add_all(&merged.sketch, &parts[(first + (round % 2 ? i : 7 - i)) % 7].sketch);
		all_same = all_same && is_same(&all.sketch, &merged.sketch);
	}
	ok(all_same, "parts merge into the whole, in whatever order");
}

static bool
survives(const SaasSketch *sketch)
{
	static unsigned char bytes[SAAS_SKETCH_BINS * SAAS_SKETCH_BIN_BYTES];
	size_t		length = SaasSketchWrite(sketch, bytes);
	SaasSketchReader reader = SaasSketchRead(bytes, length);
	Filled		again;
	SaasSketchBin bin;

	begin(&again);
	while (SaasSketchNext(&reader, &bin))
		SaasSketchAdd(&again.sketch, bin.key, bin.count);
	return !reader.is_broken && is_same(&again.sketch, sketch) &&
		length <= (size_t) sketch->count * SAAS_SKETCH_BIN_BYTES;
}

static void
test_written(void)
{
	double		ends[] = {-INFINITY, -DBL_MAX, -DBL_MIN, 0, DBL_MIN, 1, DBL_MAX, INFINITY, NAN};
	unsigned char bytes[SAAS_SKETCH_BINS * SAAS_SKETCH_BIN_BYTES];
	Filled		filled;
	bool		all_same = true;

	for (int i = 0; i < 60; i++)
		numbers[i] = 50 + normal();
	fill(&filled, numbers, 60);
	ok(survives(&filled.sketch), "what is written is read");
	ok(SaasSketchWrite(&filled.sketch, bytes) <= 30, "sixty samples of a gauge take at most thirty bytes");
	for (int i = 0; i < 200; i++)
	{
		begin(&filled);
		for (int n = random() % 2000; n > 0; n--)
			SaasSketchAdd(&filled.sketch, SaasSketchKey(wide()), random() % 3 ? 1 : 1 + (random() << 20));
		all_same = all_same && survives(&filled.sketch);
	}
	ok(all_same, "of any bins and counts");
	fill(&filled, ends, 9);
	for (int i = 0; i < 9; i++)
	{
		SaasSketchAdd(&filled.sketch, SaasSketchKey(ends[i]), SAAS_SKETCH_MAX_COUNT);
		SaasSketchAdd(&filled.sketch, SaasSketchKey(ends[i]), SAAS_SKETCH_MAX_COUNT);
	}
	ok(survives(&filled.sketch) && filled.bins[0].count == SAAS_SKETCH_MAX_COUNT,
	   "and of the largest, which counts stop at");
}

static bool
is_broken(const char *bytes, size_t length)
{
	SaasSketchReader reader = SaasSketchRead(bytes, length);
	SaasSketchBin bin;

	while (SaasSketchNext(&reader, &bin))
		;
	return reader.is_broken;
}

static void
test_hostile_bytes(void)
{
	ok(!is_broken("", 0), "nothing is an empty sketch");
	ok(is_broken("\x80", 1) && is_broken("\x01", 1) && is_broken("\x01\x80", 2), "a sketch that is cut off is broken");
	ok(is_broken("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11), "a number without an end too");
	ok(is_broken("\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", 10), "and a key that there is not");
	ok(is_broken("\x01\xff\xff\xff\xff\xff\xff\xff\x7f", 9), "and more samples than can be counted");
}

static void
test_row(void)
{
	SaasSketchReader row = SaasSketchReadRow("\x01\x02" "ab" "\x00\x01" "c", 7);
	const unsigned char *bytes;
	size_t		length;

	ok(SaasSketchNextInRow(&row, &bytes, &length) && length == 2 && memcmp(bytes, "ab", 2) == 0, "the first of a row");
	ok(SaasSketchNextInRow(&row, &bytes, &length) && length == 0, "an empty one");
	ok(SaasSketchNextInRow(&row, &bytes, &length) && length == 1 && *bytes == 'c', "the last");
	ok(SaasSketchNextInRow(&row, &bytes, &length) && length == 0, "behind it all are empty");
	row = SaasSketchReadRow("\x01\x02" "a", 3);
	ok(!SaasSketchNextInRow(&row, &bytes, &length), "one that is cut off is broken");
	ok(!SaasSketchNextInRow(&row, &bytes, &length), "and stays so");
	row = SaasSketchReadRow("\x02\x00", 2);
	ok(!SaasSketchNextInRow(&row, &bytes, &length), "another version is not read");
	row = SaasSketchReadRow("", 0);
	ok(!SaasSketchNextInRow(&row, &bytes, &length), "nor is no version");
}

int
main(void)
{
	srandom(11);
	test_bins();
	test_error();
	test_odd_numbers();
	test_bound();
	test_merge();
	test_written();
	test_hostile_bytes();
	test_row();
	return tap_done();
}
