/*
 * sample.h
 *	  One value of one series, as readers produce it and the store ingests it.
 */
#ifndef SAAS_SAMPLE_H
#define SAAS_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAAS_MAX_METRIC_LENGTH	255
#define SAAS_MAX_LABELS_LENGTH	4096

/* Samples may carry a time of their own: outside this they are not believed. */
#define SAAS_OLDEST_SAMPLE_MS	(INT64_C(31) * 86400000)
#define SAAS_FUTURE_SAMPLE_MS	(INT64_C(5) * 60 * 1000)

typedef struct SaasSample
{
	const char *metric;			/* 1 to SAAS_MAX_METRIC_LENGTH bytes of UTF-8 */
	const char *labels;			/* JSON object of strings, keys sorted bytewise, "{}" when none */
	double		value;
	bool		has_time;
	int64_t		time_ms;		/* Unix milliseconds, when has_time */
} SaasSample;

/* Whether a poll at now_ms believes the sample's time. */
extern bool SaasSampleIsTimely(const SaasSample *sample, int64_t now_ms);

/* A growing list in an arena. */
typedef struct SaasSampleList
{
	SaasSample *items;
	size_t		count;
	size_t		capacity;
} SaasSampleList;

struct SaasArena;

/*
 * Appends a copy of the sample's fields (the strings are shared, not copied).
 * False when max_samples or the arena is exhausted.
 */
extern bool SaasSampleListAdd(SaasSampleList *list, struct SaasArena *arena,
							  const SaasSample *sample, size_t max_samples);

#endif							/* SAAS_SAMPLE_H */
