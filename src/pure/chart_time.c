/*
 * chart_time.c
 *	  Axes of time: ticks at round times of a zone's wall clock.
 *
 * Wall clock times are counted in milliseconds as if the zone were UTC.  One
 * that a change of the clock skips has no tick, one that happens twice has one.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "pure/chart_internal.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

#define SECOND		INT64_C(1000)
#define MINUTE		(60 * SECOND)
#define HOUR		(60 * MINUTE)
#define DAY			(24 * HOUR)

/* What one step is: milliseconds, or months. */
typedef struct TimeStep
{
	int64_t		milliseconds;
	int			months;
} TimeStep;

static const TimeStep steps[] = {
	{1}, {2}, {5}, {10}, {20}, {50}, {100}, {200}, {500},
	{SECOND}, {2 * SECOND}, {5 * SECOND}, {10 * SECOND}, {15 * SECOND}, {30 * SECOND},
	{MINUTE}, {2 * MINUTE}, {5 * MINUTE}, {10 * MINUTE}, {15 * MINUTE}, {30 * MINUTE},
	{HOUR}, {2 * HOUR}, {3 * HOUR}, {6 * HOUR}, {12 * HOUR}, {DAY}, {2 * DAY}, {7 * DAY},
	{0, 1}, {0, 2}, {0, 3}, {0, 6}, {0, 12}, {0, 24}, {0, 60}, {0, 120}, {0, 240}, {0, 600}, {0, 1200},
	{0, 2400}, {0, 6000}, {0, 12000}, {0, 24000}, {0, 60000},
};

static const char *const month_names[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

/* 1970 began on a Thursday. */
static const char *const day_names[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};

#define DAYS_TO_MONDAY	4

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t
offset_at(const SaasChartZone *zone, int64_t at_ms)
{
	if (zone->offset_s == NULL)
		return 0;
	return (int64_t) zone->offset_s(zone->data, floor_div(at_ms, SECOND)) * SECOND;
}

/* The time of a wall clock; false when no clock shows it. */
static bool
from_wall(const SaasChartZone *zone, int64_t wall_ms, int64_t *at_ms)
{
	int64_t		guess = wall_ms - offset_at(zone, wall_ms);

	*at_ms = wall_ms - offset_at(zone, guess);
	return *at_ms + offset_at(zone, *at_ms) == wall_ms;
}

/* The date of a count of days from 1970 (Hinnant, "chrono-compatible low-level date algorithms"). */
static void
civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t		shifted = days + 719468;
	int64_t		era = floor_div(shifted, 146097);
	int64_t		day_of_era = shifted - era * 146097;
	int64_t		leap_days = day_of_era / 1460 - day_of_era / 36524 + day_of_era / 146096;
	int64_t		year_of_era = (day_of_era - leap_days) / 365;
	int64_t		day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t		from_march = (5 * day_of_year + 2) / 153;

	*day = (int) (day_of_year - (153 * from_march + 2) / 5 + 1);
	*month = (int) (from_march < 10 ? from_march + 3 : from_march - 9);
	*year = year_of_era + era * 400 + (*month <= 2);
}

static int64_t
days_from_civil(int64_t year, int month)
{
	int64_t		shifted = year - (month <= 2);
	int64_t		era = floor_div(shifted, 400);
	int64_t		year_of_era = shifted - era * 400;
	int64_t		day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

typedef struct Wall
{
	int64_t		days;
	int64_t		year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			millisecond;
} Wall;

static Wall
read_wall(int64_t wall_ms)
{
	Wall		wall;
	int64_t		rest;

	wall.days = floor_div(wall_ms, DAY);
	rest = wall_ms - wall.days * DAY;
	civil_from_days(wall.days, &wall.year, &wall.month, &wall.day);
	wall.hour = (int) (rest / HOUR);
	wall.minute = (int) (rest / MINUTE % 60);
	wall.second = (int) (rest / SECOND % 60);
	wall.millisecond = (int) (rest % SECOND);
	return wall;
}

void
ChartFormatTime(char *text, size_t size, int64_t at_ms, const SaasChartZone *zone)
{
	Wall		wall = read_wall(at_ms + offset_at(zone, at_ms));

	(void) snprintf(text, size, "%04d-%02d-%02d %02d:%02d", (int) wall.year, wall.month, wall.day, wall.hour,
					wall.minute);
}

/* The longest label of a step. */
static double
label_width(const TimeStep *step, double font_size)
{
	const char *longest = step->months >= 12 ? "2026" : step->months > 0 ? "May" :
		step->milliseconds >= DAY ? "30 May" : step->milliseconds >= MINUTE ? "00:00" :
		step->milliseconds >= SECOND ? "00:00:00" : "00:00:00.000";

	return ChartTextWidth(longest, font_size);
}

static int64_t
step_length(const TimeStep *step)
{
	return step->months > 0 ? step->months * 30 * DAY : step->milliseconds;
}

static const TimeStep *
choose_step(int64_t range_ms, double room, double font_size)
{
	for (size_t i = 0; i < LENGTH_OF(steps) - 1; i++)
	{
		double		distance = room * (double) step_length(&steps[i]) / (double) range_ms;

		if (distance >= label_width(&steps[i], font_size) + font_size)
			return &steps[i];
	}
	return &steps[LENGTH_OF(steps) - 1];
}

/* The last round wall clock time that is not after; weeks begin on Monday. */
static int64_t
floor_wall(int64_t wall_ms, const TimeStep *step)
{
	int64_t		shift = step->milliseconds == 7 * DAY ? DAYS_TO_MONDAY * DAY : 0;
	Wall		wall;
	int64_t		months;

	if (step->months == 0)
		return floor_div(wall_ms - shift, step->milliseconds) * step->milliseconds + shift;
	wall = read_wall(wall_ms);
	months = floor_div(wall.year * 12 + wall.month - 1, step->months) * step->months;
	return days_from_civil(floor_div(months, 12), (int) (months - floor_div(months, 12) * 12) + 1) * DAY;
}

static int64_t
next_wall(int64_t wall_ms, const TimeStep *step)
{
	/* Some day of the month that follows: its months have 31 days at most, and more than 27. */
	return step->months == 0 ? wall_ms + step->milliseconds :
		floor_wall(wall_ms + step->months * 30 * DAY + (step->months / 12 * 6 + 5) * DAY, step);
}

static void
format_tick(ChartTimeTick *tick, const Wall *wall, const TimeStep *step)
{
	if (step->months >= 12)
		(void) snprintf(tick->label, sizeof(tick->label), "%lld", (long long) wall->year);
	else if (step->months > 0)
		(void) snprintf(tick->label, sizeof(tick->label), "%s", month_names[wall->month - 1]);
	else if (step->milliseconds >= DAY)
		(void) snprintf(tick->label, sizeof(tick->label), "%d %s", wall->day, month_names[wall->month - 1]);
	else if (step->milliseconds >= MINUTE)
		(void) snprintf(tick->label, sizeof(tick->label), "%02d:%02d", wall->hour, wall->minute);
	else if (step->milliseconds >= SECOND)
		(void) snprintf(tick->label, sizeof(tick->label), "%02d:%02d:%02d", wall->hour, wall->minute, wall->second);
	else
		(void) snprintf(tick->label, sizeof(tick->label), "%02d:%02d:%02d.%03d", wall->hour, wall->minute,
						wall->second, wall->millisecond);
}

/* What a label leaves open: the day of an hour, the year of a day. */
static void
format_context(ChartTimeTick *tick, const Wall *wall, const Wall *before, const TimeStep *step)
{
	bool		is_day = step->months == 0 && step->milliseconds < DAY;
	const char *day_name = day_names[wall->days - floor_div(wall->days, 7) * 7];

	tick->context[0] = tick->full_context[0] = '\0';
	tick->changes = before != NULL && (is_day ? wall->days != before->days : wall->year != before->year);
	if (step->months >= 12 || (before != NULL && !tick->changes))
		return;
	if (is_day)
	{
		(void) snprintf(tick->full_context, sizeof(tick->full_context), "%s %d %s %lld", day_name, wall->day,
						month_names[wall->month - 1], (long long) wall->year);
		(void) snprintf(tick->context, sizeof(tick->context), "%s %d %s", day_name, wall->day,
						month_names[wall->month - 1]);
		if (before == NULL || before->year == wall->year)
			return;
	}
	else
		(void) snprintf(tick->full_context, sizeof(tick->full_context), "%lld", (long long) wall->year);
	memcpy(tick->context, tick->full_context, sizeof(tick->context));
}

int
ChartTimeTicks(ChartTimeTick *ticks, int64_t from_ms, int64_t to_ms, const SaasChartZone *zone,
			   double room, double font_size)
{
	const TimeStep *step = choose_step(to_ms - from_ms, room, font_size);
	int64_t		wall_ms = floor_wall(from_ms + offset_at(zone, from_ms), step);
	int64_t		last_ms = to_ms + offset_at(zone, to_ms);
	Wall		before;
	int			count = 0;

	/* Twice: a tick may fall into what a change of the clock leaves out. */
	for (int i = 0; i < 2 * CHART_MAX_TICKS && wall_ms <= last_ms && count < CHART_MAX_TICKS; i++)
	{
		ChartTimeTick *tick = &ticks[count];

		if (from_wall(zone, wall_ms, &tick->at_ms) && tick->at_ms >= from_ms && tick->at_ms <= to_ms)
		{
			Wall		wall = read_wall(wall_ms);

			format_tick(tick, &wall, step);
			format_context(tick, &wall, count > 0 ? &before : NULL, step);
			before = wall;
			count++;
		}
		wall_ms = next_wall(wall_ms, step);
	}
	return count;
}
