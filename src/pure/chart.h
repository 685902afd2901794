/*
 * chart.h
 *	  Charts as SVG, and as text for a terminal.
 *
 * A picture is one element svg of plain shapes: no script, no link, nothing
 * that refers outside of it; every text is cleaned, cut and escaped, every
 * coordinate lies on the canvas, and no picture has more than
 * SAAS_CHART_MAX_BYTES.  Its colours stand in attributes; a style sheet of its
 * own classes changes them where the reader prefers dark.  pure/svg.h passes a
 * picture with its shapes as they are.
 */
#ifndef SAAS_CHART_H
#define SAAS_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problem.h"

#define SAAS_CHART_MAX_BYTES	(256 * 1024)

/* Room for any picture and what it takes to draw it. */
#define SAAS_CHART_ARENA_SIZE	((size_t) 16 * 1024 * 1024)

#define SAAS_CHART_MAX_SERIES	32
#define SAAS_CHART_MAX_BARS		100
#define SAAS_CHART_MAX_POINTS	1000000

/* Of a title, and of the name of a series or bar: characters beyond are cut off. */
#define SAAS_CHART_MAX_NAME		200

typedef enum SaasChartUnit
{
	SAAS_CHART_PLAIN,			/* 1,234,567 */
	SAAS_CHART_SI,				/* 1.23M */
	SAAS_CHART_BYTES,			/* 1.18 MiB */
	SAAS_CHART_PERCENT,			/* 45% */
	SAAS_CHART_SECONDS			/* 250 ms */
} SaasChartUnit;

typedef enum SaasChartTheme
{
	SAAS_CHART_AUTO,			/* light, and dark where the reader prefers it */
	SAAS_CHART_LIGHT,
	SAAS_CHART_DARK
} SaasChartTheme;

/* What a connection is for, which has a colour of its own. */
typedef enum SaasChartEnvironment
{
	SAAS_CHART_UNKNOWN,			/* nothing is known of environments */
	SAAS_CHART_NONE,
	SAAS_CHART_PRODUCTION,
	SAAS_CHART_STAGING,
	SAAS_CHART_DEVELOPMENT
} SaasChartEnvironment;

/* Names in lower case; false for a name that is none. */
extern bool SaasChartUnitByName(const char *name, SaasChartUnit *unit);
extern bool SaasChartThemeByName(const char *name, SaasChartTheme *theme);

/* Any other name, and NULL, is no environment. */
extern SaasChartEnvironment SaasChartEnvironmentByName(const char *name);

/* How wall clocks differ from UTC, which the layers without PostgreSQL cannot know. */
typedef struct SaasChartZone
{
	const char *name;			/* for the description; NULL: UTC */
	int			(*offset_s) (void *data, int64_t unix_s);	/* east is positive; NULL: UTC */
	void	   *data;
} SaasChartZone;

typedef struct SaasChartOptions
{
	const char *title;			/* NULL or "": none */
	int			width;
	int			height;			/* of a bar chart also 0: what its bars need */
	SaasChartUnit unit;
	SaasChartTheme theme;
	int			omitted;		/* series or bars that the caller left out: the picture says so */
} SaasChartOptions;

typedef struct SaasChartPoint
{
	int64_t		at_ms;			/* from SAAS_MIN_TIME_MS to SAAS_MAX_TIME_MS */
	double		value;			/* NaN or infinite: missing, the line breaks */
} SaasChartPoint;

typedef struct SaasChartSeries
{
	const char *name;			/* "" or NULL: none */
	SaasChartEnvironment environment;
	SaasChartPoint *points;		/* sorted by time in place where they are not */
	size_t		count;
} SaasChartSeries;

typedef struct SaasLineChart
{
	SaasChartOptions options;
	SaasChartZone zone;
	bool		has_range;		/* else from the first point to the last */
	int64_t		from_ms;		/* points outside are not drawn */
	int64_t		to_ms;
	int64_t		gap_ms;			/* the line breaks between points further apart; 0: never */
	bool		from_zero;		/* the values' axis shows 0 in any case */
	SaasChartSeries *series;
	int			series_count;
} SaasLineChart;

typedef struct SaasChartBar
{
	const char *name;
	SaasChartEnvironment environment;
	double		value;			/* NaN or infinite: missing */
} SaasChartBar;

typedef struct SaasBarChart
{
	SaasChartOptions options;
	bool		shows_share;	/* each value's share of the sum, where none is negative */
	const SaasChartBar *bars;
	int			count;
} SaasBarChart;

/*
 * Each gives the picture in the arena, NUL-terminated UTF-8; NULL with 22023
 * and DETAIL [{"field","message"}] for a size, a range or a number of things
 * out of bounds, or 54000 when the arena or the system has no memory.  Data
 * without any value say "no data".
 */
extern char *SaasLineChartDraw(SaasLineChart *chart, SaasArena *arena, SaasProblem *problem);
extern char *SaasBarChartDraw(const SaasBarChart *chart, SaasArena *arena, SaasProblem *problem);

/* A line without axes, as high and wide as a line of text or a few. */
extern char *SaasSparklineDraw(const SaasChartOptions *options, const double *values, size_t count,
							   SaasArena *arena, SaasProblem *problem);

/* How much of something is used, on a half circle; NaN or infinite: no data. */
extern char *SaasGaugeDraw(const SaasChartOptions *options, double percent, SaasArena *arena,
						   SaasProblem *problem);

/* "ok", "info" from 50, "warning" from 75, "critical" from 90 percent; NULL for NaN. */
extern const char *SaasChartLevel(double percent);

/* One block character a value, a blank where it is missing, lowest to highest. */
extern char *SaasTextSparkline(const double *values, size_t count, SaasArena *arena);

/*
 * A bar of so many characters, filled by eighths: full from 100 on only, and
 * visible as soon as there is something.
 */
extern char *SaasTextBar(double percent, int width, SaasArena *arena);

#endif							/* SAAS_CHART_H */
