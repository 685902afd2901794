/*
 * sketch.c
 *	  What percentiles need of the samples of one series in one bucket of time.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "pure/sketch.h"

/* ln((1 + SAAS_SKETCH_ERROR) / (1 - SAAS_SKETCH_ERROR)) */
#define LOG_GROWTH		0.02000066670666952
/* ln(1 - SAAS_SKETCH_ERROR) */
#define LOG_MIDDLE		-0.01005033585350145
/* The key of the number 1: more than the bins between it and zero. */
#define KEY_ONE			40000
/* Those of the least and the greatest normal number are within these. */
#define KEY_LEAST		4500
#define KEY_GREATEST	75500
#define KEY_INFINITY	100000
#define KEY_NAN			100001

int32_t
SaasSketchKey(double value)
{
	double		size = fabs(value);
	int32_t		key;

	if (isnan(value))
		return KEY_NAN;
	if (size < DBL_MIN)
		return 0;
	key = isinf(value) ? KEY_INFINITY : KEY_ONE + (int32_t) ceil(log(size) / LOG_GROWTH);
	return value < 0 ? -key : key;
}

double
SaasSketchValue(int32_t key)
{
	int32_t		size = key < 0 ? -key : key;
	double		value;

	if (key == KEY_NAN)
		return NAN;
	if (key == 0)
		return 0;
	if (size == KEY_INFINITY)
		value = INFINITY;
	else
	{
		/* The upper bound, less the error: as far from that as from the lower one, in parts of each. */
		value = exp((size - KEY_ONE) * LOG_GROWTH + LOG_MIDDLE);
		value = value < DBL_MAX ? value : DBL_MAX;
	}
	return key < 0 ? -value : value;
}

static bool
is_key(int64_t key)
{
	int64_t		size = key < 0 ? -key : key;

	return key == 0 || (size >= KEY_LEAST && size <= KEY_GREATEST) || size == KEY_INFINITY || key == KEY_NAN;
}

static int64_t
sum_of(int64_t a, int64_t b)
{
	return a < SAAS_SKETCH_MAX_COUNT - b ? a + b : SAAS_SKETCH_MAX_COUNT;
}

bool
SaasSketchNeedsRoom(const SaasSketch *sketch)
{
	return sketch->count == sketch->room && sketch->room < SAAS_SKETCH_BINS;
}

/* The first bin whose key is not less: sketches are added upwards. */
static int
place_of(const SaasSketch *sketch, int32_t key)
{
	int			low = 0;
	int			high = sketch->count;

	for (int i = sketch->recent; i < sketch->count && i <= sketch->recent + 1; i++)
	{
		if (sketch->bins[i].key == key)
			return i;
	}
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (sketch->bins[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
SaasSketchAdd(SaasSketch *sketch, int32_t key, int64_t count)
{
	SaasSketchBin *bins = sketch->bins;
	int			place = place_of(sketch, key);

	if (place < sketch->count && bins[place].key == key)
		bins[place].count = sum_of(bins[place].count, count);
	else if (sketch->count < sketch->room)
	{
		memmove(&bins[place + 1], &bins[place], sizeof(SaasSketchBin) * (sketch->count - place));
		bins[place] = (SaasSketchBin) {key, count};
		sketch->count++;
	}
	else if (place == 0)
		bins[0].count = sum_of(bins[0].count, count);
	else
	{
		/* The lowest two become one, which leaves room below the place. */
		int64_t		lowest = bins[0].count;

		place--;
		memmove(&bins[0], &bins[1], sizeof(SaasSketchBin) * place);
		bins[place] = (SaasSketchBin) {key, count};
		bins[0].count = sum_of(bins[0].count, lowest);
	}
	sketch->recent = place;
}

/* The sample at this place of all in their order, from 0 on. */
static double
sample_at(const SaasSketch *sketch, double place, double last, double least, double greatest)
{
	double		passed = 0;
	double		value;
	int			i = 0;

	if (place <= 0)
		return least;
	if (place >= last)
		return greatest;
	while (i < sketch->count - 1 && (passed += sketch->bins[i].count) <= place)
		i++;
	value = SaasSketchValue(sketch->bins[i].key);
	if (value < least)
		return least;
	return value > greatest ? greatest : value;
}

double
SaasSketchQuantile(const SaasSketch *sketch, double fraction, double least, double greatest)
{
	double		last = -1;
	double		place;
	double		low;
	double		high;

	for (int i = 0; i < sketch->count; i++)
		last += sketch->bins[i].count;
	place = fraction * last;
	low = sample_at(sketch, floor(place), last, least, greatest);
	high = sample_at(sketch, ceil(place), last, least, greatest);
	/* Not of the difference, which is NaN of two infinities and may overflow. */
	if (low == high || place == floor(place))
		return low;
	return low * (ceil(place) - place) + high * (place - floor(place));
}

static size_t
write_number(uint64_t number, unsigned char *out)
{
	size_t		length = 0;

	while (number > 127)
	{
		out[length++] = (unsigned char) (number | 128);
		number >>= 7;
	}
	out[length++] = (unsigned char) number;
	return length;
}

/* Numbers of up to 63 bits. */
static bool
read_number(SaasSketchReader *reader, uint64_t *number)
{
	*number = 0;
	for (int shift = 0; shift < 63 && reader->next < reader->end; shift += 7)
	{
		unsigned char byte = *reader->next++;

		*number |= (uint64_t) (byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	reader->is_broken = true;
	return false;
}

/* 0, -1, 1, -2, 2, ... as 0, 1, 2, 3, 4, ... */
static uint64_t
folded(int64_t number)
{
	return number < 0 ? 2 * (uint64_t) -(number + 1) + 1 : 2 * (uint64_t) number;
}

static int64_t
unfolded(uint64_t number)
{
	return number & 1 ? -(int64_t) (number / 2) - 1 : (int64_t) (number / 2);
}

size_t
SaasSketchWrite(const SaasSketch *sketch, unsigned char *out)
{
	size_t		length = 0;

	for (int i = 0; i < sketch->count; i++)
	{
		const SaasSketchBin *bin = &sketch->bins[i];
		uint64_t	step = i == 0 ? folded((int64_t) bin->key - KEY_ONE)
			: (uint64_t) ((int64_t) bin->key - bin[-1].key - 1);

		length += write_number(2 * step + (bin->count > 1), out + length);
		if (bin->count > 1)
			length += write_number(bin->count - 2, out + length);
	}
	return length;
}

SaasSketchReader
SaasSketchRead(const void *bytes, size_t length)
{
	SaasSketchReader reader = {.next = bytes};

	reader.end = reader.next + length;
	return reader;
}

bool
SaasSketchNext(SaasSketchReader *reader, SaasSketchBin *bin)
{
	uint64_t	step;
	uint64_t	more;
	int64_t		key;

	if (reader->is_broken || reader->next == reader->end || !read_number(reader, &step))
		return false;
	bin->count = 1;
	if (step & 1)
	{
		if (!read_number(reader, &more))
			return false;
		bin->count = more > SAAS_SKETCH_MAX_COUNT - 2 ? 0 : (int64_t) more + 2;
	}
	step /= 2;
	key = reader->has_key ? reader->key + (int64_t) step + 1 : unfolded(step) + KEY_ONE;
	if (bin->count == 0 || !is_key(key))
	{
		reader->is_broken = true;
		return false;
	}
	reader->has_key = true;
	reader->key = bin->key = (int32_t) key;
	return true;
}

size_t
SaasSketchWriteLength(size_t length, unsigned char *out)
{
	return write_number(length, out);
}

SaasSketchReader
SaasSketchReadRow(const void *bytes, size_t length)
{
	SaasSketchReader row = SaasSketchRead(bytes, length);

	if (length == 0 || *row.next++ != SAAS_SKETCH_VERSION)
		row.is_broken = true;
	return row;
}

bool
SaasSketchNextInRow(SaasSketchReader *row, const unsigned char **bytes, size_t *length)
{
	uint64_t	size = 0;

	if (row->is_broken || (row->next < row->end && !read_number(row, &size)))
		return false;
	if (size > (uint64_t) (row->end - row->next))
	{
		row->is_broken = true;
		return false;
	}
	*bytes = row->next;
	*length = size;
	row->next += size;
	return true;
}
