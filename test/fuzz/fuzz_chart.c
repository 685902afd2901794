/*
 * fuzz_chart.c
 *	  pure/chart.c: whatever the data, names and sizes, a chart is drawn or
 *	  refused with a reason; what is drawn is of a bounded size, passes
 *	  pure/svg.c, and every number in it lies on the canvas.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlreader.h>

#include "base/calendar.h"
#include "pure/chart.h"
#include "pure/svg.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SERIES	40
#define MAX_VALUES	4000

/* What is left of the input. */
typedef struct Input
{
	const uint8_t *data;
	size_t		size;
} Input;

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
take(Input *input, void *into, size_t size)
{
	size_t		taken = size < input->size ? size : input->size;

	memset(into, 0, size);
	memcpy(into, input->data, taken);
	input->data += taken;
	input->size -= taken;
}

static int
take_byte(Input *input)
{
	uint8_t		byte;

	take(input, &byte, 1);
	return byte;
}

/* Mostly a small number, else any double there is. */
static double
take_value(Input *input)
{
	int			kind = take_byte(input);
	double		value;

	if (kind >= 8)
		return kind - 100;
	if (kind == 0)
		return NAN;
	take(input, &value, sizeof(value));
	return value;
}

static int64_t
take_time(Input *input)
{
	int64_t		at_ms = 0;

	take(input, &at_ms, 6);
	at_ms = at_ms * 8 - INT64_C(62135596800000) * 2;
	return at_ms < SAAS_MIN_TIME_MS ? SAAS_MIN_TIME_MS : at_ms > SAAS_MAX_TIME_MS ? SAAS_MAX_TIME_MS : at_ms;
}

static char *
take_name(Input *input, SaasArena *arena)
{
	size_t		length = (size_t) take_byte(input);
	char	   *name = SaasArenaAlloc(arena, length + 1);

	take(input, name, length);
	return name;
}

/* A zone whose clocks change now and then. */
static int
offset_at(void *data, int64_t unix_s)
{
	int			hours = *(const uint8_t *) data % 27 - 12;

	return hours * 3600 + (unix_s / 10000000 % 2 == 0 ? 3600 : 0) + *(const uint8_t *) data / 27 * 60;
}

static void
on_canvas(const char *text, double width, double height)
{
	bool		is_x = true;

	while (*(text += strspn(text, "MA h")) != '\0')
	{
		char	   *end;
		double		number = strtod(text, &end);

		must(end > text && isfinite(number) && number >= 0 && number <= (is_x ? width : height));
		text = end;
		is_x = !is_x;
	}
}

static void
check_attribute(const char *element, const char *name, const char *value, double width, double height)
{
	if (strcmp(name, "x") == 0 || strcmp(name, "x1") == 0 || strcmp(name, "x2") == 0)
		on_canvas(value, width, height);
	if (strcmp(name, "y") == 0 || strcmp(name, "y1") == 0 || strcmp(name, "y2") == 0)
		on_canvas(value, height, height);
	if (strcmp(name, "d") == 0 && strchr(value, 'A') == NULL && strchr(value, 'h') == NULL)
		on_canvas(value, width, height);
	if (strcmp(element, "rect") == 0 && (strcmp(name, "width") == 0 || strcmp(name, "height") == 0))
		must(strtod(value, NULL) >= 0 && strtod(value, NULL) <= fmax(width, height));
}

static void
check_picture(const char *svg, SaasArena *arena)
{
	static const char *const known[] = {"svg", "title", "desc", "rect", "line", "path", "text"};
	SaasProblem problem = {0};
	char	   *sanitized;
	xmlTextReaderPtr reader;
	double		width = 0;
	double		height = 0;

	must(strlen(svg) <= SAAS_CHART_MAX_BYTES);
	sanitized = SaasSvgSanitize(svg, strlen(svg), arena, &problem);
	must(sanitized != NULL && strstr(sanitized, "<style") == NULL);
	reader = xmlReaderForMemory(sanitized, (int) strlen(sanitized), NULL, "UTF-8", XML_PARSE_NONET);
	while (xmlTextReaderRead(reader) == 1)
	{
		const char *element = (const char *) xmlTextReaderConstName(reader);
		bool		is_known = false;

		if (xmlTextReaderNodeType(reader) != XML_READER_TYPE_ELEMENT)
			continue;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known = is_known || strcmp(element, known[i]) == 0;
		must(is_known);
		while (xmlTextReaderMoveToNextAttribute(reader) == 1)
		{
			const char *name = (const char *) xmlTextReaderConstName(reader);
			const char *value = (const char *) xmlTextReaderConstValue(reader);

			if (width == 0 && strcmp(name, "width") == 0)
				width = strtod(value, NULL);
			else if (height == 0 && strcmp(name, "height") == 0)
				height = strtod(value, NULL);
			else if (width > 0 && height > 0)
				check_attribute(element, name, value, width, height);
		}
	}
	xmlFreeTextReader(reader);
}

static char *
draw_line(Input *input, const SaasChartOptions *options, SaasArena *arena, SaasProblem *problem)
{
	SaasChartSeries series[MAX_SERIES];
	SaasLineChart chart = {.options = *options, .series = series};
	uint8_t		zone = (uint8_t) take_byte(input);
	int			flags = take_byte(input);
	int64_t		at_ms = take_time(input);
	int64_t		step_ms = INT64_C(1) << take_byte(input) % 40;

	chart.zone = (SaasChartZone) {take_name(input, arena), flags & 1 ? offset_at : NULL, &zone};
	chart.has_range = flags & 2;
	chart.from_zero = flags & 4;
	chart.gap_ms = flags & 8 ? step_ms : 0;
	if (chart.has_range)
	{
		chart.from_ms = take_time(input);
		chart.to_ms = flags & 16 ? at_ms + step_ms * 100 : take_time(input);
	}
	chart.series_count = take_byte(input) % MAX_SERIES;
	for (int i = 0; i < chart.series_count; i++)
	{
		size_t		count = (size_t) take_byte(input) * (flags & 32 ? 16 : 1);

		series[i] = (SaasChartSeries) {take_name(input, arena), (SaasChartEnvironment) (take_byte(input) % 5),
		SaasArenaAlloc(arena, (count + 1) * sizeof(SaasChartPoint)), count};
		for (size_t j = 0; j < count; j++)
		{
			series[i].points[j].value = take_value(input);
			series[i].points[j].at_ms = flags & 64 ? take_time(input) : at_ms + (int64_t) j * step_ms;
			if (series[i].points[j].at_ms > SAAS_MAX_TIME_MS)
				series[i].points[j].at_ms = SAAS_MAX_TIME_MS;
		}
	}
	return SaasLineChartDraw(&chart, arena, problem);
}

static char *
draw_bars(Input *input, const SaasChartOptions *options, SaasArena *arena, SaasProblem *problem)
{
	SaasChartBar bars[SAAS_CHART_MAX_BARS + 5];
	SaasBarChart chart = {*options, take_byte(input) & 1, bars, take_byte(input) % (SAAS_CHART_MAX_BARS + 5)};

	for (int i = 0; i < chart.count; i++)
		bars[i] = (SaasChartBar) {take_name(input, arena), (SaasChartEnvironment) (take_byte(input) % 5),
		take_value(input)};
	return SaasBarChartDraw(&chart, arena, problem);
}

static char *
draw_sparkline(Input *input, const SaasChartOptions *options, SaasArena *arena, SaasProblem *problem)
{
	static double values[MAX_VALUES];
	size_t		count = 0;

	while (input->size > 0 && count < MAX_VALUES)
		values[count++] = take_value(input);
	must(SaasTextSparkline(values, count, arena) != NULL);
	return SaasSparklineDraw(options, values, count, arena, problem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	SaasArena  *arena = SaasArenaCreate(SAAS_CHART_ARENA_SIZE + 2 * SAAS_SVG_ARENA_SIZE);
	SaasChartOptions options = {0};
	SaasProblem problem = {0};
	int			kind = take_byte(&input);
	char	   *svg;

	options.width = take_byte(&input) * (kind & 4 ? 16 : 4);
	options.height = take_byte(&input) * (kind & 8 ? 8 : 2);
	options.unit = (SaasChartUnit) (take_byte(&input) % 5);
	options.theme = (SaasChartTheme) (take_byte(&input) % 3);
	options.omitted = take_byte(&input) % 16;
	options.title = take_name(&input, arena);
	if (kind % 4 == 0)
		svg = draw_line(&input, &options, arena, &problem);
	else if (kind % 4 == 1)
		svg = draw_bars(&input, &options, arena, &problem);
	else if (kind % 4 == 2)
		svg = draw_sparkline(&input, &options, arena, &problem);
	else
	{
		double		percent = take_value(&input);

		must(SaasTextBar(percent, 1 + take_byte(&input) % 200, arena) != NULL);
		svg = SaasGaugeDraw(&options, percent, arena, &problem);
	}
	if (svg != NULL)
		check_picture(svg, arena);
	else
		must(strcmp(problem.sqlstate, "22023") == 0 && problem.detail[0] == '[');
	SaasArenaDestroy(arena);
	return 0;
}
