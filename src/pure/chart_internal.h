/*
 * chart_internal.h
 *	  What the files of pure/chart share.
 */
#ifndef SAAS_CHART_INTERNAL_H
#define SAAS_CHART_INTERNAL_H

#include "base/strbuf.h"
#include "pure/chart.h"

/* Colours with a light and a dark form each; a picture lists those that it uses. */
typedef enum ChartPaint
{
	CHART_BACKGROUND,
	CHART_TEXT,
	CHART_MUTED,				/* text that stands back */
	CHART_GRID,
	CHART_ENVIRONMENT_NONE,
	CHART_PRODUCTION,
	CHART_STAGING,
	CHART_DEVELOPMENT,
	CHART_OK,
	CHART_INFO,
	CHART_WARNING,
	CHART_CRITICAL,
	CHART_SERIES,				/* the first of CHART_SERIES_PAINTS */
	CHART_PAINTS = CHART_SERIES + 6
} ChartPaint;

#define CHART_SERIES_PAINTS		(CHART_PAINTS - CHART_SERIES)

/* How a series is drawn. */
typedef struct ChartStyle
{
	ChartPaint	paint;
	const char *dashes;			/* NULL: none */
} ChartStyle;

/*
 * The styles of count series by their environments: the environments' colours
 * while no two share one, else colours that the colour-blind tell apart too.
 * True when it is the latter although environments are known, so that names
 * must tell them.
 */
extern bool ChartChooseStyles(const SaasChartEnvironment *environments, int count, ChartStyle *styles);

/* NULL unless it is one of those with a name. */
extern const char *ChartEnvironmentName(SaasChartEnvironment environment);

/* A picture that is being drawn: shapes first, at the end its head is put before them. */
typedef struct Chart
{
	const SaasChartOptions *options;
	SaasArena  *arena;
	SaasStrbuf	body;
	SaasStrbuf	description;	/* plain text; its parts are cleaned when they are appended */
	const char *title;			/* cleaned; "": none */
	int			width;
	int			height;
	unsigned	paints;			/* a bit for each that is used */
} Chart;

extern void ChartBegin(Chart *chart, const SaasChartOptions *options, int width, int height,
					   SaasArena *arena);

/* The picture, named by its title, or by name where it has none. */
extern char *ChartFinish(Chart *chart, const char *name, SaasProblem *problem);

/* 22023 of one field unless low <= value <= high. */
extern bool ChartRequire(const char *field, long value, long low, long high, SaasProblem *problem);

/* " class=... color=...": what is drawn in currentColor after it has that colour. */
extern void ChartAppendPaint(Chart *chart, ChartPaint paint);

/* A number with at most one digit after the point. */
extern void ChartAppendNumber(SaasStrbuf *buf, double number);

/* ' name="number"' */
extern void ChartAppendAttribute(Chart *chart, const char *name, double number);

extern void ChartRectangle(Chart *chart, double x, double y, double width, double height, ChartPaint paint);
extern void ChartLine(Chart *chart, double x1, double y1, double x2, double y2, ChartPaint paint,
					  const ChartStyle *style);

typedef enum ChartAnchor
{
	CHART_START,
	CHART_MIDDLE,
	CHART_END
} ChartAnchor;

typedef struct ChartFont
{
	double		size;
	bool		is_bold;
	ChartPaint	paint;
	ChartAnchor anchor;
} ChartFont;

/* Cleaned text at the baseline, cut to fit the room with an ellipsis. */
extern void ChartText(Chart *chart, double x, double y, const ChartFont *font, double room, const char *text);

/* The title at the top where there is one; the height that it takes. */
extern double ChartTitle(Chart *chart, double left);

extern void ChartNoData(Chart *chart, double center_x, double center_y);

/*
 * A copy without what XML forbids or what hides or reorders text; blanks for
 * line ends; at most SAAS_CHART_MAX_NAME characters, then an ellipsis.  Never
 * NULL: what cannot be copied is "".
 */
extern const char *ChartClean(SaasArena *arena, const char *text);

/* How wide cleaned text is drawn at most, as fonts go. */
extern double ChartTextWidth(const char *text, double size);

/* How many bytes of cleaned text fit into the room; all of them, or less an ellipsis' room. */
extern size_t ChartTextFit(const char *text, double size, double room);

/* Cleaned text; all that is not ASCII stays as it is. */
extern void ChartAppendEscaped(SaasStrbuf *buf, const char *text, size_t length);

/* What of cut text is missing: U+2026, which stands in databases of any encoding. */
#define CHART_ELLIPSIS	"&#8230;"

#define CHART_NUMBER_SIZE	64

/* Four digits that count, in the unit. */
extern void ChartFormatNumber(char *text, double value, SaasChartUnit unit);

/* Values' axis: ticks at low + i * step for i from 0 to steps. */
typedef struct ChartScale
{
	double		low;
	double		high;
	double		step;
	int			steps;
	SaasChartUnit unit;
} ChartScale;

/* Finite values of any size fit; at most max_steps steps. */
extern void ChartScaleChoose(ChartScale *scale, double min, double max, int max_steps, bool from_zero,
							 SaasChartUnit unit);
extern double ChartScaleTick(const ChartScale *scale, int i);
extern void ChartFormatTick(char *text, const ChartScale *scale, int i);

/* Values beyond draw as these, and what is closer to 0 as 0. */
#define CHART_MAX_VALUE		1e300
extern double ChartClamp(double value);

#define CHART_TICK_SIZE		40
#define CHART_MAX_TICKS		200

typedef struct ChartTimeTick
{
	int64_t		at_ms;
	char		label[CHART_TICK_SIZE];
	char		context[CHART_TICK_SIZE];	/* the day or year where it begins or changes, else "" */
	char		full_context[CHART_TICK_SIZE];	/* the same with the year of a day */
	bool		changes;		/* the context does, rather than that it is the first tick */
} ChartTimeTick;

/* Round times of the zone's clock in a range that is not empty, as many as have room for their labels. */
extern int	ChartTimeTicks(ChartTimeTick *ticks, int64_t from_ms, int64_t to_ms, const SaasChartZone *zone,
						   double room, double font_size);

/* "2026-01-31 23:59" in the zone. */
extern void ChartFormatTime(char *text, size_t size, int64_t at_ms, const SaasChartZone *zone);

#endif							/* SAAS_CHART_INTERNAL_H */
