/*
 * exposition.h
 *	  Reader of the Prometheus text format 0.0.4 and of OpenMetrics 1.0.
 */
#ifndef SAAS_EXPOSITION_H
#define SAAS_EXPOSITION_H

#include "base/arena.h"
#include "base/problem.h"
#include "base/sample.h"

typedef enum SaasExpositionFormat
{
	SAAS_EXPOSITION_PROMETHEUS,
	SAAS_EXPOSITION_OPENMETRICS
} SaasExpositionFormat;

/* The format that a Content-Type names; Prometheus when it names none. */
extern SaasExpositionFormat SaasExpositionFormatOf(const char *content_type);

/*
 * Appends every sample of the body.  Any malformed line is 22P02 with the line
 * number in the message; more than max_samples is 54000.  OpenMetrics must end
 * with "# EOF"; its exemplars are skipped and its times are seconds.  Labels
 * come out as canonical JSON (see sample.h).
 */
extern bool SaasExpositionParse(const char *body, size_t length, SaasExpositionFormat format,
								SaasArena *arena, size_t max_samples,
								SaasSampleList *samples, SaasProblem *problem);

/*
 * Canonical JSON of labels: keys sorted bytewise, values escaped.  NULL when
 * the arena is exhausted, a key repeats, or the result is longer than
 * SAAS_MAX_LABELS_LENGTH.  Sorts the arrays in place.
 */
typedef struct SaasLabel
{
	const char *name;
	const char *value;
} SaasLabel;

extern const char *SaasLabelsToJson(SaasLabel *labels, size_t count, SaasArena *arena);

#endif							/* SAAS_EXPOSITION_H */
