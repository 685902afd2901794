/*
 * fuzz_sketch.c
 *	  pure/sketch.c: a row of sketches.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pure/sketch.h"

#define ROW_LENGTH	200

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Filled
{
	SaasSketch	sketch;
	SaasSketchBin bins[SAAS_SKETCH_BINS];
} Filled;

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static bool
read_into(Filled *filled, const unsigned char *bytes, size_t length)
{
	SaasSketchReader reader = SaasSketchRead(bytes, length);
	SaasSketchBin bin;

	filled->sketch = (SaasSketch) {.room = SAAS_SKETCH_BINS,.bins = filled->bins};
	while (SaasSketchNext(&reader, &bin))
		SaasSketchAdd(&filled->sketch, bin.key, bin.count);
	return !reader.is_broken;
}

static void
check_sketch(const Filled *filled)
{
	static unsigned char bytes[SAAS_SKETCH_BINS * SAAS_SKETCH_BIN_BYTES];
	static Filled again;
	const SaasSketch *sketch = &filled->sketch;
	double		before = -INFINITY;

	must(sketch->count <= SAAS_SKETCH_BINS);
	for (int i = 0; i < sketch->count; i++)
	{
		must(sketch->bins[i].count > 0 && sketch->bins[i].count <= SAAS_SKETCH_MAX_COUNT);
		must(i == 0 || sketch->bins[i].key > sketch->bins[i - 1].key);
	}
	must(read_into(&again, bytes, SaasSketchWrite(sketch, bytes)));
	must(again.sketch.count == sketch->count);
	for (int i = 0; i < sketch->count; i++)
		must(again.bins[i].key == sketch->bins[i].key && again.bins[i].count == sketch->bins[i].count);
	for (int i = 0; sketch->count > 0 && i <= 10; i++)
	{
		double		value = SaasSketchQuantile(sketch, i / 10.0, -INFINITY, INFINITY);

		must(isnan(value) || !isfinite(before) || value >= before - fabs(before) * 1e-12);
		before = value;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Filled filled;
	SaasSketchReader row = SaasSketchReadRow(data, size);
	const unsigned char *bytes;
	size_t		length;

	for (int i = 0; i < ROW_LENGTH && SaasSketchNextInRow(&row, &bytes, &length); i++)
	{
		must(bytes >= data && bytes + length <= data + size);
		read_into(&filled, bytes, length);
		check_sketch(&filled);
	}
	return 0;
}
