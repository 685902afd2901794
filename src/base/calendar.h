/*
 * calendar.h
 *	  Dates of the proleptic Gregorian calendar as Unix time, without time
 *	  zones or locales.
 */
#ifndef SAAS_CALENDAR_H
#define SAAS_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct SaasDate
{
	int			year;			/* 1 to 9999 */
	int			month;			/* 1 to 12 */
	int			day;			/* 1 to the month's last */
	int			hour;			/* 0 to 23 */
	int			minute;			/* 0 to 59 */
	int			second;			/* 0 to 60: a leap second counts as the next second */
} SaasDate;

/* The first and last millisecond that a SaasDate can name. */
#define SAAS_MIN_TIME_MS	INT64_C(-62135596800000)
#define SAAS_MAX_TIME_MS	INT64_C(253402300799999)

/* Unix seconds of a date in UTC; false when a part is out of its range. */
extern bool SaasCalendarSeconds(const SaasDate *date, int64_t *seconds);

/*
 * Unix milliseconds of an ISO 8601 date and time with a zone, as RFC 3339
 * writes it ("2026-01-31T23:59:59.5Z", "+02:00"); a blank may stand for "T".
 * Digits beyond milliseconds are dropped.
 */
extern bool SaasCalendarParseIso(const char *text, int64_t *milliseconds);

#endif							/* SAAS_CALENDAR_H */
