/*
 * chart_frame.c
 *	  What every chart has: head, title, description, colours, texts, lines.
 */
#include <math.h>
#include <string.h>

#include "pure/chart_internal.h"
#include "pure/chart_paints.h"

#define FONTS	"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

void
ChartBegin(Chart *chart, const SaasChartOptions *options, int width, int height,
		   SaasArena *arena)
{
	memset(chart, 0, sizeof(*chart));
	chart->options = options;
	chart->arena = arena;
	chart->width = width;
	chart->height = height;
	chart->title = ChartClean(arena, options->title);
	SaasStrbufInit(&chart->body, arena);
	SaasStrbufInit(&chart->description, arena);
}

bool
ChartRequire(const char *field, long value, long low, long high, SaasProblem *problem)
{
	if (value >= low && value <= high)
		return true;
	SaasProblemSet(problem, "22023", "invalid input");
	return SaasProblemDetail(problem, "[{\"field\": \"%s\", \"message\": \"must be %ld to %ld\"}]", field, low, high);
}

void
ChartAppendPaint(Chart *chart, ChartPaint paint)
{
	bool		is_dark = chart->options->theme == SAAS_CHART_DARK;

	chart->paints |= 1u << paint;
	SaasStrbufAppendText(&chart->body, " class=\"p");
	ChartAppendNumber(&chart->body, paint);
	SaasStrbufAppendText(&chart->body, "\" color=\"");
	SaasStrbufAppendText(&chart->body,
						 is_dark ? ChartPaintColors[paint].dark : ChartPaintColors[paint].light);
	SaasStrbufAppendChar(&chart->body, '"');
}

/* printf would take most of the time that a chart takes. */
void
ChartAppendNumber(SaasStrbuf *buf, double number)
{
	char		text[16];
	char	   *p = text + sizeof(text);
	long		tenths = lround(number * 10);
	unsigned long rest = (unsigned long) (tenths < 0 ? -tenths : tenths);

	if (rest % 10 != 0)
	{
		*--p = (char) ('0' + rest % 10);
		*--p = '.';
	}
	rest /= 10;
	do
	{
		*--p = (char) ('0' + rest % 10);
		rest /= 10;
	} while (rest > 0 && p > text + 1);
	if (tenths < 0)
		*--p = '-';
	SaasStrbufAppend(buf, p, (size_t) (text + sizeof(text) - p));
}

void
ChartAppendAttribute(Chart *chart, const char *name, double number)
{
	SaasStrbufAppendChar(&chart->body, ' ');
	SaasStrbufAppendText(&chart->body, name);
	SaasStrbufAppendText(&chart->body, "=\"");
	ChartAppendNumber(&chart->body, number);
	SaasStrbufAppendChar(&chart->body, '"');
}

void
ChartRectangle(Chart *chart, double x, double y, double width, double height, ChartPaint paint)
{
	SaasStrbufAppendText(&chart->body, "<rect");
	ChartAppendAttribute(chart, "x", x);
	ChartAppendAttribute(chart, "y", y);
	ChartAppendAttribute(chart, "width", width);
	ChartAppendAttribute(chart, "height", height);
	ChartAppendPaint(chart, paint);
	SaasStrbufAppendText(&chart->body, " fill=\"currentColor\"/>");
}

void
ChartLine(Chart *chart, double x1, double y1, double x2, double y2, ChartPaint paint,
		  const ChartStyle *style)
{
	SaasStrbufAppendText(&chart->body, "<line");
	ChartAppendAttribute(chart, "x1", x1);
	ChartAppendAttribute(chart, "y1", y1);
	ChartAppendAttribute(chart, "x2", x2);
	ChartAppendAttribute(chart, "y2", y2);
	ChartAppendPaint(chart, paint);
	SaasStrbufAppendText(&chart->body, " stroke=\"currentColor\"");
	if (style != NULL)
		SaasStrbufAppendText(&chart->body, " stroke-width=\"3\"");
	if (style != NULL && style->dashes != NULL)
	{
		SaasStrbufAppendText(&chart->body, " stroke-dasharray=\"");
		SaasStrbufAppendText(&chart->body, style->dashes);
		SaasStrbufAppendChar(&chart->body, '"');
	}
	SaasStrbufAppendText(&chart->body, "/>");
}

void
ChartText(Chart *chart, double x, double y, const ChartFont *font, double room, const char *text)
{
	size_t		fit = ChartTextFit(text, font->size * (font->is_bold ? 1.1 : 1), room);

	SaasStrbufAppendText(&chart->body, "<text");
	ChartAppendAttribute(chart, "x", x);
	ChartAppendAttribute(chart, "y", y);
	if (font->size != 12)
		ChartAppendAttribute(chart, "font-size", font->size);
	if (font->is_bold)
		SaasStrbufAppendText(&chart->body, " font-weight=\"600\"");
	if (font->anchor != CHART_START)
		SaasStrbufAppendText(&chart->body, font->anchor == CHART_END ? " text-anchor=\"end\"" : " text-anchor=\"middle\"");
	ChartAppendPaint(chart, font->paint);
	SaasStrbufAppendText(&chart->body, " fill=\"currentColor\">");
	ChartAppendEscaped(&chart->body, text, fit);
	if (text[fit] != '\0')
		SaasStrbufAppendText(&chart->body, CHART_ELLIPSIS);
	SaasStrbufAppendText(&chart->body, "</text>");
}

double
ChartTitle(Chart *chart, double left)
{
	static const ChartFont font = {14, true, CHART_TEXT, CHART_START};

	if (chart->title[0] == '\0')
		return 0;
	ChartText(chart, left, 22, &font, chart->width - left - 12, chart->title);
	return 24;
}

void
ChartNoData(Chart *chart, double center_x, double center_y)
{
	static const ChartFont font = {12, false, CHART_MUTED, CHART_MIDDLE};

	ChartText(chart, center_x, center_y + 4, &font, chart->width, "no data");
}

/* FNV-1a: several pictures in one page have ids of their own, the same picture the same. */
static uint64_t
hash(const char *text)
{
	uint64_t	value = UINT64_C(14695981039346656037);

	for (; *text != '\0'; text++)
		value = (value ^ (unsigned char) *text) * UINT64_C(1099511628211);
	return value;
}

static void
append_style(const Chart *chart, SaasStrbuf *head)
{
	SaasStrbufAppendText(head, "<style>@media (prefers-color-scheme:dark){");
	for (int i = 0; i < CHART_PAINTS; i++)
	{
		if (chart->paints & 1u << i)
			SaasStrbufPrintf(head, ".saas-chart .p%d{color:%s}", i, ChartPaintColors[i].dark);
	}
	SaasStrbufAppendText(head, "}</style>");
}

static void
append_head(Chart *chart, SaasStrbuf *head, const char *name, const char *description)
{
	const char *title = chart->title[0] == '\0' ? name : chart->title;
	uint64_t	hashes = hash(chart->body.data) ^ hash(title) * 31 ^ hash(description) * 37;
	unsigned long long id = (unsigned long long) hashes;

	SaasStrbufPrintf(head, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\""
					 " font-family=\"" FONTS "\" font-size=\"12\" class=\"saas-chart\" role=\"img\""
					 " aria-labelledby=\"t%016llx d%016llx\"><title id=\"t%016llx\">",
					 chart->width, chart->height, chart->width, chart->height, id, id, id);
	ChartAppendEscaped(head, title, strlen(title));
	SaasStrbufPrintf(head, "</title><desc id=\"d%016llx\">", id);
	ChartAppendEscaped(head, description, strlen(description));
	SaasStrbufAppendText(head, "</desc>");
	if (chart->options->theme == SAAS_CHART_AUTO)
		append_style(chart, head);
}

char *
ChartFinish(Chart *chart, const char *name, SaasProblem *problem)
{
	SaasStrbuf	head;
	char	   *description = SaasStrbufFinish(&chart->description);
	char	   *picture;

	SaasStrbufInit(&head, chart->arena);
	if (SaasStrbufFinish(&chart->body) == NULL || description == NULL)
		head.failed = true;
	else
	{
		append_head(chart, &head, name, description);
		SaasStrbufAppend(&head, chart->body.data, chart->body.length);
		SaasStrbufAppendText(&head, "</svg>");
	}
	picture = SaasStrbufFinish(&head);
	if (picture == NULL || head.length > SAAS_CHART_MAX_BYTES)
	{
		SaasProblemSet(problem, "54000", "the picture is too large");
		return NULL;
	}
	return picture;
}
