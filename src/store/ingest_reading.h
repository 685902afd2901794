/*
 * ingest_reading.h
 *	  The samples of polls as rows of saas.reading.  Inside a transaction, as
 *	  saas_poller; throws whatever storing them throws.
 */
#ifndef SAAS_INGEST_READING_H
#define SAAS_INGEST_READING_H

#include "postgres.h"

#include "store/job.h"

/* A job and those of its samples that are worth storing, by time and series. */
typedef struct SaasStoredSamples
{
	SaasJob    *job;
	const SaasSample **samples;
	int			count;
	int			beyond;			/* of them not stored: of series beyond saas.max_series */
} SaasStoredSamples;

/*
 * A job's samples to store, in the current memory context.  Warns in the job's
 * poll of those whose time is not believed.
 */
extern const SaasSample **SaasReadingSelect(SaasJob *job, int *count);

/*
 * Stores the samples of jobs, no two of them of one connection, as one row for
 * each connection and time.  Idempotent; what is there already with other
 * values, or for other series, is corrected and completed.  Sets beyond.
 * Throws unique_violation where a poll's own time is there already, unless the
 * job is alone.
 */
extern void SaasReadingsStore(SaasStoredSamples *stored, int count);

#endif							/* SAAS_INGEST_READING_H */
