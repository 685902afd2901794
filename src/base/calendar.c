/*
 * calendar.c
 *	  Dates of the proleptic Gregorian calendar as Unix time.
 */
#include <stddef.h>

#include "base/calendar.h"

static bool
is_leap_year(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool
SaasCalendarSeconds(const SaasDate *date, int64_t *seconds)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	static const int days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	bool		leap = is_leap_year(date->year);
	int64_t		years;
	int64_t		days;

	if (date->year < 1 || date->year > 9999 || date->month < 1 || date->month > 12)
		return false;
	if (date->day < 1 ||
		date->day > month_days[date->month - 1] + (date->month == 2 && leap ? 1 : 0))
		return false;
	if (date->hour < 0 || date->hour > 23 || date->minute < 0 || date->minute > 59 ||
		date->second < 0 || date->second > 60)
		return false;

	years = date->year - 1;
	days = years * 365 + years / 4 - years / 100 + years / 400 +
		days_before[date->month - 1] + (date->month > 2 && leap ? 1 : 0) +
		date->day - 1 - 719162; /* days from 0001-01-01 to 1970-01-01 */
	*seconds = ((days * 24 + date->hour) * 60 + date->minute) * 60 + date->second;
	return true;
}

/* Exactly count digits; moves *text behind them. */
static bool
read_digits(const char **text, int count, int *value)
{
	const char *p = *text;

	*value = 0;
	for (int i = 0; i < count; i++, p++)
	{
		if (*p < '0' || *p > '9')
			return false;
		*value = *value * 10 + (*p - '0');
	}
	*text = p;
	return true;
}

static bool
read_char(const char **text, char expected)
{
	if (**text != expected)
		return false;
	(*text)++;
	return true;
}

/* An optional fraction of a second; false when it has a point and no digit. */
static bool
read_fraction(const char **text, int *milliseconds)
{
	const char *p = *text;
	int			weight = 100;

	*milliseconds = 0;
	if (*p != '.' && *p != ',')
		return true;
	p++;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++, weight /= 10)
		*milliseconds += (*p - '0') * weight;
	*text = p;
	return true;
}

/* "Z", "+hh:mm", "+hhmm" or "+hh" at the end of the text. */
static bool
read_zone(const char *text, int *offset_s)
{
	int			hours;
	int			minutes = 0;
	int			sign = *text == '-' ? -1 : 1;

	*offset_s = 0;
	if (*text == 'Z' || *text == 'z')
		return text[1] == '\0';
	if (*text != '+' && *text != '-')
		return false;
	text++;
	if (!read_digits(&text, 2, &hours))
		return false;
	if (*text != '\0')
	{
		if (*text == ':')
			text++;
		if (!read_digits(&text, 2, &minutes))
			return false;
	}
	*offset_s = sign * (hours * 60 + minutes) * 60;
	return *text == '\0' && hours <= 23 && minutes <= 59;
}

bool
SaasCalendarParseIso(const char *text, int64_t *milliseconds)
{
	SaasDate	date;
	int			fraction;
	int			offset_s;
	int64_t		seconds;

	if (!read_digits(&text, 4, &date.year) || !read_char(&text, '-') ||
		!read_digits(&text, 2, &date.month) || !read_char(&text, '-') ||
		!read_digits(&text, 2, &date.day))
		return false;
	if (*text != 'T' && *text != 't' && *text != ' ')
		return false;
	text++;
	if (!read_digits(&text, 2, &date.hour) || !read_char(&text, ':') ||
		!read_digits(&text, 2, &date.minute) || !read_char(&text, ':') ||
		!read_digits(&text, 2, &date.second) ||
		!read_fraction(&text, &fraction) || !read_zone(text, &offset_s) ||
		!SaasCalendarSeconds(&date, &seconds))
		return false;
	*milliseconds = (seconds - offset_s) * 1000 + fraction;
	return *milliseconds >= SAAS_MIN_TIME_MS && *milliseconds <= SAAS_MAX_TIME_MS;
}
