/*
 * test_chart.c
 *	  pure/chart.c: axes, gaps, colours, texts and bounds of charts; whatever
 *	  the data, the picture passes pure/svg.c with its shapes as they are.
 */
#include <math.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "pure/chart.h"
#include "pure/chart_paints.h"
#include "pure/svg.h"

#include "tap.h"

#define MANY	100000

static SaasArena *arena;
static SaasProblem problem;
static SaasChartPoint points[MANY];

static void
begin(void)
{
	SaasArenaDestroy(arena);
	arena = SaasArenaCreate(SAAS_CHART_ARENA_SIZE + 2 * SAAS_SVG_ARENA_SIZE);
	memset(&problem, 0, sizeof(problem));
}

static int64_t
at(const char *iso)
{
	int64_t		ms = 0;

	ok(SaasCalendarParseIso(iso, &ms), "%s is a time", iso);
	return ms;
}

/* Europe/Berlin in 2026. */
static int
berlin(void *data, int64_t unix_s)
{
	return unix_s >= 1774746000 && unix_s < 1792890000 ? 7200 : 3600;
}

/* The picture without what the sanitizer does not know, as it writes it. */
static char *
plain(const char *svg)
{
	static const char *const dropped[] = {" class=\"", " role=\"", " aria-labelledby=\""};
	SaasStrbuf	buf;

	SaasStrbufInit(&buf, arena);
	while (*svg != '\0')
	{
		const char *start = svg;

		for (size_t i = 0; i < 3; i++)
		{
			if (strncmp(svg, dropped[i], strlen(dropped[i])) == 0)
				svg = strchr(svg + strlen(dropped[i]), '"') + 1;
		}
		if (strncmp(svg, "<style>", 7) == 0)
			svg = strstr(svg, "</style>") + 8;
		else if (strncmp(svg, "&#8230;", 7) == 0)
		{
			SaasStrbufAppendText(&buf, "\xE2\x80\xA6");
			svg += 7;
		}
		else if (strncmp(svg, " width=", 7) == 0 && buf.length < 60)
		{
			SaasStrbufAppendText(&buf, " xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=");
			svg += 7;
		}
		else if (svg == start)
			SaasStrbufAppendChar(&buf, *svg++);
	}
	return SaasStrbufFinish(&buf);
}

static void
is_picture(const char *svg, const char *name)
{
	SaasProblem refusal = {0};
	const char *sanitized;

	ok(svg != NULL && strlen(svg) <= SAAS_CHART_MAX_BYTES, "%s is a picture of a bounded size", name);
	if (svg == NULL)
	{
		printf("# %s %s %s\n", problem.sqlstate, problem.message, problem.detail);
		return;
	}
	sanitized = SaasSvgSanitize(svg, strlen(svg), arena, &refusal);
	is_text(sanitized, plain(svg), "%s passes the sanitizer with its shapes as they are", name);
}

/* The texts of a picture, as they are escaped. */
static char *
texts(const char *svg)
{
	SaasStrbuf	buf;

	SaasStrbufInit(&buf, arena);
	while (svg != NULL && (svg = strstr(svg, "<text")) != NULL)
	{
		const char *end;

		svg = strchr(svg, '>') + 1;
		end = strchr(svg, '<');
		if (buf.length > 0)
			SaasStrbufAppendChar(&buf, '|');
		SaasStrbufAppend(&buf, svg, (size_t) (end - svg));
	}
	return SaasStrbufFinish(&buf);
}

/* What lies between two marks, the first time. */
static char *
between(const char *svg, const char *before, const char *after)
{
	const char *start = svg == NULL ? NULL : strstr(svg, before);

	if (start == NULL)
		return SaasArenaStrdup(arena, "");
	start += strlen(before);
	return SaasArenaStrndup(arena, start, (size_t) (strstr(start, after) - start));
}

static int
occurrences(const char *text, const char *part)
{
	int			count = 0;

	for (; text != NULL && (text = strstr(text, part)) != NULL; text++)
		count++;
	return count;
}

/* A chart of one series of the first points. */
static SaasLineChart
line_of(SaasChartSeries *series, size_t count)
{
	*series = (SaasChartSeries) {.points = points, .count = count};
	return (SaasLineChart) {.options = {.width = 800, .height = 300}, .series = series, .series_count = 1};
}

static void
set_points(size_t count, int64_t from_ms, int64_t step_ms)
{
	for (size_t i = 0; i < count; i++)
		points[i] = (SaasChartPoint) {from_ms + (int64_t) i * step_ms, (double) (i % 100)};
}

static void
test_values(void)
{
	static const struct
	{
		double		min;
		double		max;
		SaasChartUnit unit;
		const char *labels;
	}			cases[] = {
		{0, 10, SAAS_CHART_PLAIN, "0|2|4|6|8|10"},
		{0, 100, SAAS_CHART_PLAIN, "0|20|40|60|80|100"},
		{3, 47, SAAS_CHART_PLAIN, "0|10|20|30|40|50"},
		{0, 1234567, SAAS_CHART_PLAIN, "0|500,000|1,000,000|1,500,000"},
		{0, 1234567, SAAS_CHART_SI, "0|500k|1M|1.5M"},
		{0, 1.5, SAAS_CHART_SI, "0|0.5|1|1.5"},
		{-30, 70, SAAS_CHART_PLAIN, "-40|-20|0|20|40|60|80"},
		{-70, -3, SAAS_CHART_PLAIN, "-80|-60|-40|-20|0"},
		{990, 1000, SAAS_CHART_PLAIN, "990|992|994|996|998|1,000"},
		{1000000000, 1000000004, SAAS_CHART_PLAIN, "1,000,000,000|1,000,000,001|1,000,000,002|1,000,000,003|1,000,000,004"},
		{0.0001, 0.00025, SAAS_CHART_PLAIN, "0|0.00005|0.0001|0.00015|0.0002|0.00025"},
		{0, 3e9, SAAS_CHART_BYTES, "0 GiB|0.5 GiB|1 GiB|1.5 GiB|2 GiB|2.5 GiB|3 GiB"},
		{0, 800, SAAS_CHART_BYTES, "0 B|200 B|400 B|600 B|800 B"},
		{0, 4000, SAAS_CHART_BYTES, "0 KiB|1 KiB|2 KiB|3 KiB|4 KiB"},
		{0, 1100.0 * 1024 * 1024, SAAS_CHART_BYTES, "0 MiB|200 MiB|400 MiB|600 MiB|800 MiB|1,000 MiB|1,200 MiB"},
		{0, 1e25, SAAS_CHART_BYTES, "0 EiB|2,000,000 EiB|4,000,000 EiB|6,000,000 EiB|8,000,000 EiB|10,000,000 EiB"},
		{0, 97.5, SAAS_CHART_PERCENT, "0%|20%|40%|60%|80%|100%"},
		{0, 0.9, SAAS_CHART_SECONDS, "0 s|200 ms|400 ms|600 ms|800 ms|1 s"},
		{0, 5e-5, SAAS_CHART_SECONDS, "0 s|10 \xC2\xB5s|20 \xC2\xB5s|30 \xC2\xB5s|40 \xC2\xB5s|50 \xC2\xB5s"},
		{0, 0, SAAS_CHART_PLAIN, "0|0.2|0.4|0.6|0.8|1"},
		{7, 7, SAAS_CHART_PLAIN, "6|6.5|7|7.5|8"},
		{-7, -7, SAAS_CHART_PLAIN, "-8|-7.5|-7|-6.5|-6"},
		{1e10, 1e10 + 1e-6, SAAS_CHART_SI, "9G|9.5G|10G|10.5G|11G"},
		{-1e308, 1e308, SAAS_CHART_PLAIN, "-1e+300|-5e+299|0|5e+299|1e+300"},
		{0, 5e-324, SAAS_CHART_PLAIN, "0|0.2|0.4|0.6|0.8|1"},
		{0, 3e-290, SAAS_CHART_PLAIN, "0|5e-291|1e-290|1.5e-290|2e-290|2.5e-290|3e-290"},
		{0, 3e25, SAAS_CHART_SI, "0|5,000,000E|10,000,000E|15,000,000E|20,000,000E|25,000,000E|30,000,000E"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SaasChartSeries series;
		SaasLineChart line = line_of(&series, 2);
		char	   *svg;

		begin();
		points[0] = (SaasChartPoint) {0, cases[i].min};
		points[1] = (SaasChartPoint) {1000, cases[i].max};
		line.options.unit = cases[i].unit;
		svg = SaasLineChartDraw(&line, arena, &problem);
		is_picture(svg, cases[i].labels);
		is_text(between(texts(svg), "", "|00:00:00.000"), cases[i].labels, "ticks of %g to %g", cases[i].min, cases[i].max);
	}
}

static void
test_times(void)
{
	static const struct
	{
		const char *from;
		const char *to;
		bool		in_berlin;
		const char *labels;
	}			cases[] = {
		{"2026-01-05T10:00:00Z", "2026-01-05T10:00:01Z", false,
			"10:00:00.000|10:00:00.200|10:00:00.400|10:00:00.600|10:00:00.800|10:00:01.000|Mon 5 Jan 2026"},
		{"2026-01-05T10:00:03Z", "2026-01-05T10:00:59Z", false,
			"10:00:05|10:00:10|10:00:15|10:00:20|10:00:25|10:00:30|10:00:35|10:00:40|10:00:45|10:00:50|10:00:55|Mon 5 Jan 2026"},
		{"2026-01-05T10:01:00Z", "2026-01-05T11:02:00Z", false,
			"10:05|10:10|10:15|10:20|10:25|10:30|10:35|10:40|10:45|10:50|10:55|11:00|Mon 5 Jan 2026"},
		{"2026-01-05T20:00:00Z", "2026-01-06T04:00:00Z", false,
			"20:00|21:00|22:00|23:00|00:00|01:00|02:00|03:00|04:00|Mon 5 Jan 2026|Tue 6 Jan"},
		{"2026-01-05T20:00:00Z", "2026-01-06T04:00:00Z", true,
			"21:00|22:00|23:00|00:00|01:00|02:00|03:00|04:00|05:00|Mon 5 Jan 2026|Tue 6 Jan"},
		{"2025-12-31T22:10:00Z", "2026-01-01T01:50:00Z", false,
			"22:15|22:30|22:45|23:00|23:15|23:30|23:45|00:00|00:15|00:30|00:45|01:00|01:15|01:30|01:45|Wed 31 Dec 2025|Thu 1 Jan 2026"},
		/* At two o'clock it is three. */
		{"2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z", true,
			"23:00|23:30|00:00|00:30|01:00|01:30|03:00|03:30|04:00|04:30|05:00|05:30|06:00|Sat 28 Mar 2026|Sun 29 Mar"},
		/* At three o'clock it is two again. */
		{"2026-10-24T22:00:00Z", "2026-10-25T06:00:00Z", true,
			"00:00|01:00|02:00|03:00|04:00|05:00|06:00|07:00|Sun 25 Oct 2026"},
		{"2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", false,
			"00:00|12:00|00:00|12:00|00:00|12:00|00:00|12:00|00:00|12:00|00:00|12:00|00:00|12:00|00:00|Thu 1 Jan 2026|Fri 2 Jan|Sat 3 Jan|Sun 4 Jan|Mon 5 Jan|Tue 6 Jan|Wed 7 Jan|Thu 8 Jan"},
		{"2026-03-20T00:00:00+01:00", "2026-04-03T00:00:00+02:00", true,
			"20 Mar|22 Mar|24 Mar|26 Mar|28 Mar|30 Mar|1 Apr|3 Apr|2026"},
		{"2025-12-10T00:00:00Z", "2026-02-05T00:00:00Z", false,
			"15 Dec|22 Dec|29 Dec|5 Jan|12 Jan|19 Jan|26 Jan|2 Feb|2025|2026"},
		{"2025-06-15T00:00:00Z", "2026-06-15T00:00:00Z", false,
			"Jul|Aug|Sep|Oct|Nov|Dec|Jan|Feb|Mar|Apr|May|Jun|2025|2026"},
		{"2020-02-01T00:00:00Z", "2027-01-01T00:00:00Z", false,
			"Jul|Jan|Jul|Jan|Jul|Jan|Jul|Jan|Jul|Jan|Jul|Jan|Jul|Jan|2020|2021|2022|2023|2024|2025|2026|2027"},
		{"1995-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false,
			"1996|1998|2000|2002|2004|2006|2008|2010|2012|2014|2016|2018|2020|2022|2024|2026"},
		{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", true, "1000|2000|3000|4000|5000|6000|7000|8000|9000|10000"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SaasChartSeries series;
		SaasLineChart line = line_of(&series, 2);
		char	   *svg;

		begin();
		points[0] = (SaasChartPoint) {at(cases[i].from), 0};
		points[1] = (SaasChartPoint) {at(cases[i].to), 10};
		if (cases[i].in_berlin)
			line.zone = (SaasChartZone) {"Europe/Berlin", berlin, NULL};
		svg = SaasLineChartDraw(&line, arena, &problem);
		is_picture(svg, cases[i].from);
		is_text(strstr(texts(svg), "|10|") + 4, cases[i].labels, "%s to %s", cases[i].from, cases[i].to);
	}
}

static char *
draw_values(const double *values, size_t count, int64_t gap_ms)
{
	SaasChartSeries series;
	SaasLineChart line = line_of(&series, count);

	begin();
	for (size_t i = 0; i < count; i++)
		points[i] = (SaasChartPoint) {(int64_t) i * 60000, values[i]};
	line.gap_ms = gap_ms;
	return SaasLineChartDraw(&line, arena, &problem);
}

static void
test_gaps(void)
{
	static const double broken[] = {1, 2, NAN, 3, 4, INFINITY, 5, -INFINITY, 6};
	static const double nothing[] = {NAN, INFINITY};
	char	   *svg = draw_values(broken, 9, 0);

	is_picture(svg, "a line with gaps");
	is_text(between(svg, " d=\"M", "\""), "29.7 222.3 124.2 180.7M313.3 139 407.8 97.3", "the line breaks where values are missing or not finite");
	ok(strstr(svg, "d=\"M595.8 24h0M775.1 -") == NULL && occurrences(svg, "h0") == 2, "points alone are dots");
	ok(strstr(svg, ": 6 values, lowest 1, highest 6, last 6, 3 missing.") != NULL, "the description counts them");
	svg = draw_values(nothing, 2, 0);
	is_picture(svg, "values that are all missing");
	ok(strstr(texts(svg), "no data") != NULL, "no data are said to be none");

	begin();
	{
		SaasChartSeries series;
		SaasLineChart line = line_of(&series, 4);

		points[0] = (SaasChartPoint) {0, 1};
		points[1] = (SaasChartPoint) {60000, 2};
		points[2] = (SaasChartPoint) {150000, 3};
		points[3] = (SaasChartPoint) {240001, 3};
		line.gap_ms = 90000;
		svg = SaasLineChartDraw(&line, arena, &problem);
		ok(occurrences(between(svg, "<path", "/>"), "M") == 1 && occurrences(svg, "h0") == 1,
		   "points further apart than the gap are not connected, those as far are");
	}
}

/* The lowest and highest y that a path goes to. */
static void
find_extremes(const char *path, double *top, double *bottom)
{
	char	   *end;

	*top = INFINITY;
	*bottom = -INFINITY;
	while (*path != '\0')
	{
		double		y;

		path += strspn(path, "M ");
		(void) strtod(path, &end);
		y = strtod(end, &end);
		*top = fmin(*top, y);
		*bottom = fmax(*bottom, y);
		path = end;
	}
}

static void
test_many(void)
{
	SaasChartSeries series;
	SaasLineChart line = line_of(&series, MANY);
	double		top;
	double		bottom;
	char	   *svg;

	begin();
	set_points(MANY, 0, 1000);
	points[33333].value = 1000;
	points[66666].value = -1000;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "a line of 100,000 points");
	ok(svg != NULL && strlen(svg) < 60000, "it is drawn with what can be seen");
	find_extremes(between(svg, " d=\"", "\""), &top, &bottom);
	ok(fabs(top - 14) < 0.11 && fabs(bottom - 264) < 0.11, "its one peak and its one dip stay");

	begin();
	for (int i = 0; i < MANY; i += 2)
		points[i].value = NAN;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "100,000 points of which every second is missing");
	ok(svg != NULL && strlen(svg) < 60000, "gaps that cannot be seen take no room");

	begin();
	set_points(MANY, 0, 1000);
	for (int i = 0; i < MANY; i++)
		points[i].at_ms = (int64_t) ((i * 7919L) % MANY) * 1000;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "points in any order");
	ok(points[0].at_ms == 0 && points[MANY - 1].at_ms == (MANY - 1) * 1000L, "they are sorted");
}

static void
test_ranges(void)
{
	SaasChartSeries series;
	SaasLineChart line = line_of(&series, 1);
	char	   *svg;

	begin();
	set_points(3, 1000000, 1000);
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "a single point");
	is_text(between(svg, " d=\"", "\""), "M413.7 264h0", "it is a dot in the middle of an hour");

	begin();
	series.count = 0;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "no points");
	is_text(texts(svg), "no data", "they are said to be none");

	begin();
	series.count = 3;
	line.has_range = true;
	line.from_ms = 1001000;
	line.to_ms = 1001500;
	svg = SaasLineChartDraw(&line, arena, &problem);
	ok(strstr(svg, ": 1 values, lowest 1, highest 1, last 1.") != NULL, "points outside of the range are not drawn");
	begin();
	line.to_ms = line.from_ms;
	ok(SaasLineChartDraw(&line, arena, &problem) == NULL && strcmp(problem.sqlstate, "22023") == 0 &&
	   strstr(problem.detail, "\"since\"") != NULL, "an empty range is refused");
	begin();
	line.series_count = 0;
	line.from_ms = 0;
	line.to_ms = 86400000;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "a range without data");
	ok(strncmp(texts(svg), "no data|00:00|", 14) == 0, "it has times");
}

static void
test_colors(void)
{
	SaasChartSeries series[SAAS_CHART_MAX_SERIES];
	SaasLineChart line = line_of(series, 2);
	char	   *svg;

	begin();
	set_points(2, 0, 60000);
	for (int i = 0; i < SAAS_CHART_MAX_SERIES; i++)
		series[i] = (SaasChartSeries) {.name = "Crm", .points = points, .count = 2};
	series[0].environment = SaasChartEnvironmentByName("production");
	series[1].environment = SaasChartEnvironmentByName("staging");
	series[2].environment = SaasChartEnvironmentByName("development");
	series[3].environment = SaasChartEnvironmentByName(NULL);
	line.series_count = 4;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "one series an environment");
	for (int i = 0; i < 4; i++)
	{
		static const char *const colors[] = {"#cf222e", "#bf8700", "#0969da", "#6e7781"};
		const char *name[] = {"production is red", "staging is yellow", "development is blue", "none is grey"};

		ok(occurrences(svg, SaasArenaPrintf(arena, "color=\"%s\" fill=\"none\"", colors[i])) == 1, "%s", name[i]);
	}
	is_text(strstr(texts(svg), "|Crm"), "|Crm|Crm|Crm|Crm", "its colour tells it");

	begin();
	series[3].environment = SAAS_CHART_PRODUCTION;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "two series of an environment");
	ok(strstr(svg, "#cf222e") == NULL && occurrences(svg, "color=\"#0072b2\" fill=\"none\"") == 1 &&
	   occurrences(svg, "color=\"#394508\" fill=\"none\"") == 1, "then each series has a colour of its own");
	is_text(strstr(texts(svg), "|Crm"), "|Crm (production)|Crm (staging)|Crm (development)|Crm (production)", "and names tell the environment");

	begin();
	line.series_count = 7;
	line.options.theme = SAAS_CHART_DARK;
	for (int i = 0; i < 7; i++)
		series[i].environment = SAAS_CHART_UNKNOWN;
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "seven series");
	ok(occurrences(svg, "color=\"#4da3e0\" fill=\"none\"") == 2 && occurrences(svg, "stroke-dasharray=\"7 3\" d=") == 1,
	   "the seventh has the first's colour and dashes");
	ok(strstr(svg, "<style>") == NULL && strstr(svg, "#ffffff") == NULL, "the dark theme is dark without a style sheet");
}

static double
luminance(const char *color)
{
	static const double weights[] = {0.2126, 0.7152, 0.0722};
	unsigned long rgb = strtoul(color + 1, NULL, 16);
	double		sum = 0;

	for (int i = 0; i < 3; i++)
	{
		double		part = (double) (rgb >> (16 - 8 * i) & 0xFF) / 255;

		sum += weights[i] * (part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4));
	}
	return sum;
}

static double
contrast(const char *a, const char *b)
{
	double		la = luminance(a);
	double		lb = luminance(b);

	return (fmax(la, lb) + 0.05) / (fmin(la, lb) + 0.05);
}

static void
test_contrast(void)
{
	for (int i = 0; i < CHART_PAINTS; i++)
	{
		double		least = i == CHART_TEXT || i == CHART_MUTED ? 4.5 : 3;

		if (i == CHART_BACKGROUND || i == CHART_GRID)
			continue;
		ok(contrast(ChartPaintColors[i].light, ChartPaintColors[CHART_BACKGROUND].light) >= least &&
		   contrast(ChartPaintColors[i].dark, ChartPaintColors[CHART_BACKGROUND].dark) >= least,
		   "colour %d can be seen in light and dark", i);
	}
}

static void
test_texts(void)
{
	static const struct
	{
		const char *name;
		const char *written;
	}			cases[] = {
		{"</svg><script>alert('1')</script>", "&lt;/svg&gt;&lt;script&gt;alert('1')&lt;/script&gt;"},
		{"a & b \"c\"", "a &amp; b &quot;c&quot;"},
		{"]]>&#0;<!--", "]]&gt;&amp;#0;&lt;!--"},
		{"line\r\nend\ttab", "line  end tab"},
		{"bell\x07" "esc\x1b[31m\x7f", "bellesc[31m"},
		{"bidi\xE2\x80\xAE\xE2\x81\xA6" "evil", "bidievil"},
		{"nul\xEF\xBF\xBE\xEF\xBF\xBF.", "nul."},
		{"bad\xC3(\xFF\xE2\x82.\xED\xA0\x80.", "bad(.."},
		{"c1\xC2\x85\xC2\x9B" "31m", "c131m"},
		{"\xF3\xA0\x81\xA1tag", "tag"},
		{"z\xCC\x81\xCC\x82\xCC\x83\xCC\x84\xCC\x85\xCC\x86", "z\xCC\x81\xCC\x82\xCC\x83\xCC\x84"},
		{"\xC3\x9C" "ber \xE6\x97\xA5\xE6\x9C\xAC", "\xC3\x9C" "ber \xE6\x97\xA5\xE6\x9C\xAC"},
		{"", "(none)"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SaasChartBar bar = {cases[i].name, SAAS_CHART_UNKNOWN, 1};
		SaasBarChart chart = {{.title = cases[i].name, .width = 1600}, false, &bar, 1};
		char	   *svg;

		begin();
		svg = SaasBarChartDraw(&chart, arena, &problem);
		is_picture(svg, cases[i].written);
		is_text(texts(svg), i == 12 ? "(none)|1" : SaasArenaPrintf(arena, "%s|%s|1", cases[i].written, cases[i].written),
				"its texts are escaped and cleaned");
		is_text(between(strstr(svg, "<title"), ">", "</title>"), i == 12 ? "Bar chart" : cases[i].written, "so is its title");
	}
}

static void
test_lengths(void)
{
	char		name[4001];
	SaasChartBar bar = {name, SAAS_CHART_UNKNOWN, 1};
	SaasBarChart chart = {{.title = name, .width = 300}, false, &bar, 1};
	char	   *svg;

	begin();
	memset(name, 'W', 4000);
	name[4000] = '\0';
	svg = SaasBarChartDraw(&chart, arena, &problem);
	is_picture(svg, "a long name");
	ok(strlen(between(strstr(svg, "<title"), ">", "</title>")) == 200 + 7, "the title has 200 characters and an ellipsis");
	is_text(texts(svg), "WWWWWWWWWWWWWWWW&#8230;|WWWWWWW&#8230;|1", "what is drawn is cut to its room");
}

static void
test_accessible(void)
{
	SaasChartSeries series;
	SaasLineChart line = line_of(&series, 2);
	char	   *svg;
	char	   *ids;
	char	   *other;

	begin();
	set_points(2, 0, 60000);
	line.options.title = "Requests";
	series.name = "Crm";
	line.zone.name = "Europe/Berlin";
	svg = SaasLineChartDraw(&line, arena, &problem);
	ids = between(svg, " role=\"img\" aria-labelledby=\"", "\"");
	ok(strlen(ids) == 35 && ids[0] == 't' && ids[18] == 'd', "it is an image named by two of its parts");
	ok(strstr(svg, SaasArenaPrintf(arena, "<title id=\"%.17s\">Requests</title>", ids)) != NULL, "its title");
	ok(strstr(svg, SaasArenaPrintf(arena, "<desc id=\"%s\">Line chart of 1 series from 1970-01-01 00:00 to 1970-01-01 00:01, Europe/Berlin. Crm: 2 values, lowest 0, highest 1, last 1.</desc>", ids + 18)) != NULL,
	   "and its description");
	is_text(SaasLineChartDraw(&line, arena, &problem), svg, "the same data make the same picture");
	points[1].value = 2;
	other = between(SaasLineChartDraw(&line, arena, &problem), " aria-labelledby=\"", "\"");
	ok(strcmp(ids, other) != 0, "other data other ids");
	ok(strstr(svg, "<style>@media (prefers-color-scheme:dark){.saas-chart .p0{color:#161b22}") != NULL, "its colours follow the reader");
	line.options.title = NULL;
	svg = SaasLineChartDraw(&line, arena, &problem);
	ok(strstr(svg, ">Line chart</title>") != NULL, "without a title it is named by what it is");
}

/* The most that may be asked for: long names to escape, every series as full as can be. */
static void
test_largest(void)
{
	SaasChartSeries series[SAAS_CHART_MAX_SERIES];
	SaasLineChart line = line_of(series, 0);
	char		name[2001];

	begin();
	memset(name, '"', 2000);
	name[2000] = '\0';
	set_points(MANY, at("2026-01-01T00:00:00Z"), 997);
	for (int i = 0; i < MANY; i++)
		points[i].value = i % 7 == 0 ? NAN : (i * 7919L) % 100003;
	line.options = (SaasChartOptions) {.width = 4000, .height = 2000, .title = name};
	line.series_count = SAAS_CHART_MAX_SERIES;
	for (int i = 0; i < SAAS_CHART_MAX_SERIES; i++)
		series[i] = (SaasChartSeries) {name, SAAS_CHART_PRODUCTION, points + i * 3000, 3000};
	is_picture(SaasLineChartDraw(&line, arena, &problem), "the largest chart");
	begin();
	for (int i = 0; i < SAAS_CHART_MAX_SERIES; i++)
		series[i].count = 740;
	is_picture(SaasLineChartDraw(&line, arena, &problem), "one where every point is drawn");
}

static void
is_refused(const char *svg, const char *detail)
{
	ok(svg == NULL && strcmp(problem.sqlstate, "22023") == 0 && strcmp(problem.message, "invalid input") == 0, "is refused");
	is_text(problem.detail, detail, "%s", detail);
	begin();
}

static void
test_bounds(void)
{
	SaasChartSeries series[SAAS_CHART_MAX_SERIES + 1];
	SaasLineChart line = line_of(series, 0);
	SaasChartBar bars[SAAS_CHART_MAX_BARS + 1] = {{0}};
	SaasBarChart bar = {{.width = 159}, false, bars, 1};
	SaasChartOptions small = {.width = 99, .height = 100};

	begin();
	line.options.width = 159;
	is_refused(SaasLineChartDraw(&line, arena, &problem), "[{\"field\": \"width\", \"message\": \"must be 160 to 4000\"}]");
	line.options.width = 4001;
	is_refused(SaasLineChartDraw(&line, arena, &problem), "[{\"field\": \"width\", \"message\": \"must be 160 to 4000\"}]");
	line.options = (SaasChartOptions) {.width = 160, .height = 119};
	is_refused(SaasLineChartDraw(&line, arena, &problem), "[{\"field\": \"height\", \"message\": \"must be 120 to 2000\"}]");
	line.options.height = 120;
	is_picture(SaasLineChartDraw(&line, arena, &problem), "the smallest line chart");
	line.series_count = SAAS_CHART_MAX_SERIES + 1;
	memset(series, 0, sizeof(series));
	is_refused(SaasLineChartDraw(&line, arena, &problem), "[{\"field\": \"number of series\", \"message\": \"must be 0 to 32\"}]");
	line.series_count = 1;
	series[0].count = SAAS_CHART_MAX_POINTS + 1;
	is_refused(SaasLineChartDraw(&line, arena, &problem), "[{\"field\": \"number of points\", \"message\": \"must be 0 to 1000000\"}]");
	is_refused(SaasBarChartDraw(&bar, arena, &problem), "[{\"field\": \"width\", \"message\": \"must be 160 to 4000\"}]");
	bar.options = (SaasChartOptions) {.width = 160, .height = 59};
	is_refused(SaasBarChartDraw(&bar, arena, &problem), "[{\"field\": \"height\", \"message\": \"must be 60 to 4000\"}]");
	bar.options.height = 60;
	is_picture(SaasBarChartDraw(&bar, arena, &problem), "the smallest bar chart");
	bar.count = SAAS_CHART_MAX_BARS + 1;
	is_refused(SaasBarChartDraw(&bar, arena, &problem), "[{\"field\": \"number of bars\", \"message\": \"must be 0 to 100\"}]");
	is_refused(SaasGaugeDraw(&small, 1, arena, &problem), "[{\"field\": \"width\", \"message\": \"must be 100 to 1000\"}]");
	small.width = 15;
	is_refused(SaasSparklineDraw(&small, NULL, 0, arena, &problem), "[{\"field\": \"width\", \"message\": \"must be 16 to 2000\"}]");
	small = (SaasChartOptions) {.width = 16, .height = 7};
	is_refused(SaasSparklineDraw(&small, NULL, 0, arena, &problem), "[{\"field\": \"height\", \"message\": \"must be 8 to 500\"}]");
}

static void
test_memory(void)
{
	SaasChartSeries series;
	SaasLineChart line = line_of(&series, 1000);
	int			refused = 0;

	set_points(1000, 0, 1000);
	line.options.title = "title";
	for (size_t size = 0; size < 300000; size += 1501)
	{
		SaasArena  *tight = SaasArenaCreate(size);

		memset(&problem, 0, sizeof(problem));
		refused += SaasLineChartDraw(&line, tight, &problem) == NULL && strcmp(problem.sqlstate, "54000") == 0;
		SaasArenaDestroy(tight);
	}
	ok(refused > 20 && refused < 199, "an arena that is too small is a problem, one that is large enough is none");
}

static void
test_bars(void)
{
	static const SaasChartBar bars[] = {
		{"Alpha", SAAS_CHART_PRODUCTION, 7500}, {"Beta", SAAS_CHART_STAGING, 2499}, {"Gamma", SAAS_CHART_PRODUCTION, 1},
		{"Delta", SAAS_CHART_NONE, NAN}, {"Epsilon", SAAS_CHART_NONE, 0},
	};
	static const SaasChartBar negative[] = {{"Up", 0, 100}, {"Down", 0, -300}, {"Least", 0, -1e-9}};
	SaasBarChart chart = {{.width = 800}, true, bars, 5};
	char	   *svg;

	begin();
	svg = SaasBarChartDraw(&chart, arena, &problem);
	is_picture(svg, "a bar chart");
	is_text(texts(svg), "Alpha|7,500 (75.0%)|Beta|2,499 (25.0%)|Gamma|1 (&lt;0.1%)|Delta|no data|Epsilon|0 (0.0%)", "its bars, values and shares");
	ok(occurrences(svg, "color=\"#cf222e\" fill") == 2 && occurrences(svg, "<rect") == 4, "a bar a value, in its environment's colour");
	ok(strstr(svg, "Bar chart of 5 values. Alpha: 7,500 (75.0%). Beta: 2,499 (25.0%).") != NULL, "they are described");

	begin();
	chart = (SaasBarChart) {{.width = 800, .unit = SAAS_CHART_SI}, true, negative, 3};
	svg = SaasBarChartDraw(&chart, arena, &problem);
	is_picture(svg, "negative bars");
	is_text(texts(svg), "Up|100|Down|-300|Least|-1e-09", "shares are of what has a sum");
	ok(occurrences(svg, "<rect") == 4 && strstr(svg, "width=\"1\"") != NULL, "the least value can be seen");

	begin();
	chart = (SaasBarChart) {{.width = 400, .height = 80, .omitted = 2}, false, bars, 5};
	svg = SaasBarChartDraw(&chart, arena, &problem);
	is_picture(svg, "more bars than room");
	is_text(texts(svg), "Alpha|7,500|Beta|2,499|5 more not drawn", "it says how many are not drawn");
	begin();
	chart.count = 0;
	chart.options = (SaasChartOptions) {.width = 400};
	svg = SaasBarChartDraw(&chart, arena, &problem);
	is_picture(svg, "no bars");
	is_text(texts(svg), "no data", "they are said to be none");
}

static void
test_legend(void)
{
	SaasChartSeries series[12];
	SaasLineChart line = line_of(series, 2);
	static const char *const names[] = {"One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"};
	char	   *svg;

	begin();
	set_points(2, 0, 60000);
	for (int i = 0; i < 12; i++)
		series[i] = (SaasChartSeries) {.name = names[i], .points = points, .count = 2};
	line.series_count = 12;
	line.options = (SaasChartOptions) {.width = 300, .height = 130, .omitted = 5};
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_picture(svg, "a legend with little room");
	is_text(strstr(texts(svg), "|One"), "|One|Two|Three|Four|Five|Six|+6 more, 5 not drawn", "it shows what fits and says the rest");
	ok(strstr(svg, " And 4 more. 5 series are not drawn.") != NULL, "so does the description");
	begin();
	line.options = (SaasChartOptions) {.width = 900, .height = 400, .omitted = 5};
	svg = SaasLineChartDraw(&line, arena, &problem);
	is_text(strstr(texts(svg), "|Twelve"), "|Twelve|5 more not drawn", "with room it shows all");
}

static void
test_small(void)
{
	static const struct
	{
		double		percent;
		const char *texts;
	}			gauges[] = {
		{0, "0%|ok"}, {49.99, "49.9%|ok"}, {50, "50%|info"}, {74.99, "74.9%|info"}, {75, "75%|warning"},
		{89.99, "89.9%|warning"}, {90, "90%|critical"}, {120, "120%|critical"}, {-3.25, "-3.2%|ok"},
		{NAN, "no data"}, {INFINITY, "no data"}, {1e300, "1e+&#8230;|critical"},
	};
	static const double values[] = {1, 2, NAN, 3};
	SaasChartOptions options = {.width = 200, .height = 130};
	char	   *svg;

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
	{
		begin();
		svg = SaasGaugeDraw(&options, gauges[i].percent, arena, &problem);
		is_picture(svg, gauges[i].texts);
		is_text(texts(svg), gauges[i].texts, "a gauge says it");
	}
	ok(SaasChartLevel(NAN) == NULL, "what is no number has no level");
	is_text(SaasChartLevel(INFINITY), "critical", "too much has");

	begin();
	options = (SaasChartOptions) {.width = 106, .height = 26};
	svg = SaasSparklineDraw(&options, values, 4, arena, &problem);
	is_picture(svg, "a sparkline");
	is_text(between(svg, " d=\"", "\""), "M3 23 36.3 13", "it is as high as it may be");
	ok(strstr(svg, "d=\"M103 3h0\"") != NULL && strstr(svg, ">Lowest 1, highest 3, last 3.</desc>") != NULL, "up to its last value");
	svg = SaasSparklineDraw(&options, values, 0, arena, &problem);
	is_picture(svg, "a sparkline of nothing");
	ok(strstr(svg, ">No data.</desc>") != NULL, "it has no data");
	svg = SaasSparklineDraw(&options, values, 1, arena, &problem);
	is_picture(svg, "a sparkline of one value");
}

static void
test_blocks(void)
{
	static const double rising[] = {0, 1, 2, 3, 4, 5, 6, 7};
	static const double odd[] = {1, NAN, 8, INFINITY, -INFINITY};
	static const double equal[] = {5, 5};
	static const double huge[] = {-1e308, 1e308, 0};
	static const struct
	{
		double		percent;
		int			width;
		const char *bar;
	}			bars[] = {
		{0, 4, "\xE2\x96\x91\xE2\x96\x91\xE2\x96\x91\xE2\x96\x91"},
		{0.001, 4, "\xE2\x96\x8F\xE2\x96\x91\xE2\x96\x91\xE2\x96\x91"},
		{50, 4, "\xE2\x96\x88\xE2\x96\x88\xE2\x96\x91\xE2\x96\x91"},
		{62.5, 4, "\xE2\x96\x88\xE2\x96\x88\xE2\x96\x8C\xE2\x96\x91"},
		{99.999, 4, "\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88\xE2\x96\x89"},
		{100, 4, "\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88\xE2\x96\x88"},
		{1e308, 1, "\xE2\x96\x88"}, {-5, 1, "\xE2\x96\x91"},
	};

	begin();
	is_text(SaasTextSparkline(rising, 8, arena),
			"\xE2\x96\x81\xE2\x96\x82\xE2\x96\x83\xE2\x96\x84\xE2\x96\x85\xE2\x96\x86\xE2\x96\x87\xE2\x96\x88", "eight values, eight blocks");
	is_text(SaasTextSparkline(odd, 5, arena), "\xE2\x96\x81 \xE2\x96\x88  ", "what is missing is a blank");
	is_text(SaasTextSparkline(equal, 2, arena), "\xE2\x96\x84\xE2\x96\x84", "equal values are in the middle");
	is_text(SaasTextSparkline(huge, 3, arena), "\xE2\x96\x81\xE2\x96\x88\xE2\x96\x85", "huge ones too");
	is_text(SaasTextSparkline(equal, 0, arena), "", "nothing is nothing");
	for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++)
		is_text(SaasTextBar(bars[i].percent, bars[i].width, arena), bars[i].bar, "a bar of %g percent", bars[i].percent);
}

int
main(void)
{
	test_values();
	test_times();
	test_gaps();
	test_many();
	test_ranges();
	test_colors();
	test_contrast();
	test_texts();
	test_lengths();
	test_accessible();
	test_largest();
	test_bounds();
	test_memory();
	test_bars();
	test_legend();
	test_small();
	test_blocks();
	SaasArenaDestroy(arena);
	return tap_done();
}
