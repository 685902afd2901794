/*
 * sketch.h
 *	  What percentiles need of the samples of one series in one bucket of time.
 *
 * This is DDSketch: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and
 * Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", PVLDB 12(12),
 * 2019.  Samples are counted in bins whose bounds grow by the factor
 * (1 + error) / (1 - error), so that a bin's middle is within the error of each
 * of its samples.  Negative numbers have the same bins on the other side of
 * zero.  Zero, and what is nearer to it than the least normal number, 2.2e-308,
 * is one bin; so is each infinity, and so is NaN, greater than any number, as
 * PostgreSQL has it.
 *
 * At most SAAS_SKETCH_BINS bins are kept.  When there are more, the lowest two
 * become one, again and again: percentiles in that one have no bound on their
 * error, and are too high; those above it keep theirs.  Whatever the order in
 * which samples and sketches come, the result is the same.
 *
 * Written down, a sketch is nothing but varints (seven bits a byte, the lowest
 * first): for each bin, upwards, twice how far its key is from that before, less
 * one, and one more where a varint follows with its samples less two.  The first
 * key counts from that of the number 1, both ways in turn.
 *
 * A row of sketches is a byte with the version of all this, then each sketch
 * behind its length.  Those at the end that are empty are left out.
 */
#ifndef SAAS_SKETCH_H
#define SAAS_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAAS_SKETCH_ERROR		0.01
#define SAAS_SKETCH_BINS		1024
#define SAAS_SKETCH_VERSION		1
/* Doubles count no further. */
#define SAAS_SKETCH_MAX_COUNT	(INT64_C(1) << 53)
/* No bin takes more bytes. */
#define SAAS_SKETCH_BIN_BYTES	11
#define SAAS_SKETCH_LENGTH_BYTES	5

typedef struct SaasSketchBin
{
	int32_t		key;
	int64_t		count;
} SaasSketchBin;

/* All zero: empty, without room. */
typedef struct SaasSketch
{
	int			count;
	int			room;			/* at most SAAS_SKETCH_BINS */
	int			recent;			/* the bin counted in last */
	SaasSketchBin *bins;		/* the caller's, keys ascending */
} SaasSketch;

/* Bytes that are read; what comes of broken ones is the bins before. */
typedef struct SaasSketchReader
{
	const unsigned char *next;
	const unsigned char *end;
	int32_t		key;			/* of the bin before */
	bool		has_key;
	bool		is_broken;
} SaasSketchReader;

/* The bin of a sample, ascending as samples do, and the number it stands for. */
extern int32_t SaasSketchKey(double value);
extern double SaasSketchValue(int32_t key);

/* Whether bins must be given more room before anything is added. */
extern bool SaasSketchNeedsRoom(const SaasSketch *sketch);
extern void SaasSketchAdd(SaasSketch *sketch, int32_t key, int64_t count);

/*
 * The number at this fraction, 0 to 1, of the samples in their order; between
 * two of them in proportion, as percentile_cont() has it.  With the least and
 * the greatest sample, which are answered exactly, and which nothing exceeds.
 * The sketch must not be empty.
 */
extern double SaasSketchQuantile(const SaasSketch *sketch, double fraction, double least, double greatest);

/* Writes SAAS_SKETCH_BIN_BYTES for each bin at most; how many. */
extern size_t SaasSketchWrite(const SaasSketch *sketch, unsigned char *out);

extern SaasSketchReader SaasSketchRead(const void *bytes, size_t length);

/* False at the end, and where it is broken. */
extern bool SaasSketchNext(SaasSketchReader *reader, SaasSketchBin *bin);

/* Writes SAAS_SKETCH_LENGTH_BYTES at most; how many. */
extern size_t SaasSketchWriteLength(size_t length, unsigned char *out);

/* Of a row of sketches. */
extern SaasSketchReader SaasSketchReadRow(const void *bytes, size_t length);

/* The next sketch of a row, empty after the end; false where it is broken. */
extern bool SaasSketchNextInRow(SaasSketchReader *row, const unsigned char **bytes, size_t *length);

#endif							/* SAAS_SKETCH_H */
