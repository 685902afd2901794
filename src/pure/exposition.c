/*
 * exposition.c
 *	  Reader of the Prometheus text format 0.0.4 and of OpenMetrics 1.0.
 *
 * Both formats are lines, so the reader goes line by line with one cursor.
 * Where they differ OpenMetrics is the stricter: single spaces, no empty line,
 * no free comment, and an end marker.  Label names and values are unescaped
 * into a scratch buffer that every line uses again; only their canonical JSON
 * reaches the arena.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/calendar.h"
#include "base/number.h"
#include "base/strbuf.h"
#include "pure/exposition.h"

/*
 * A label takes at least seven bytes of JSON, so more of them than this, or
 * more text than the scratch buffer holds, cannot fit into the result.
 */
#define MAX_LABELS		(SAAS_MAX_LABELS_LENGTH / 7 + 1)
#define SCRATCH_SIZE	(SAAS_MAX_LABELS_LENGTH + SAAS_MAX_METRIC_LENGTH + 16)

typedef struct Reader
{
	const char *p;				/* cursor within the line */
	const char *end;			/* of the line */
	size_t		line;
	bool		openmetrics;
	bool		ended;			/* "# EOF" was read */
	SaasArena  *arena;
	SaasProblem *problem;
	const char *metric;			/* of the last sample, to share its copy */
	SaasLabel	labels[MAX_LABELS];
	size_t		label_count;
	char		scratch[SCRATCH_SIZE];
	size_t		scratch_used;
} Reader;

static bool
fail(Reader *reader, const char *what)
{
	return SaasProblemSet(reader->problem, "22P02", "line %zu: %s", reader->line, what);
}

static bool
fail_memory(Reader *reader)
{
	return SaasProblemSet(reader->problem, "53200", "line %zu: the samples need too much memory",
						  reader->line);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
at_char(const Reader *reader, char c)
{
	return reader->p < reader->end && *reader->p == c;
}

/* Skips what may separate two parts of a line; true when there was something. */
static bool
skip_blanks(Reader *reader)
{
	const char *start = reader->p;

	if (reader->openmetrics)
	{
		if (at_char(reader, ' '))
			reader->p++;
	}
	else
		while (reader->p < reader->end && is_blank(*reader->p))
			reader->p++;
	return reader->p > start;
}

/* Blanks that only the older format allows. */
static void
skip_free_blanks(Reader *reader)
{
	if (!reader->openmetrics)
		skip_blanks(reader);
}

/* Whether the rest of a token is exactly word, whatever its case. */
static bool
token_is(const char *token, size_t length, const char *word)
{
	return length == strlen(word) && strncasecmp(token, word, length) == 0;
}

static size_t
read_token(Reader *reader, const char **token)
{
	*token = reader->p;
	while (reader->p < reader->end && !is_blank(*reader->p))
		reader->p++;
	return (size_t) (reader->p - *token);
}

static bool
scratch_append(Reader *reader, const char *bytes, size_t length)
{
	if (length > SCRATCH_SIZE - reader->scratch_used)
		return fail(reader, "the labels are too long");
	memcpy(reader->scratch + reader->scratch_used, bytes, length);
	reader->scratch_used += length;
	return true;
}

/* [a-zA-Z_][a-zA-Z0-9_]*, and colons in metric names. */
static bool
read_name(Reader *reader, bool colons, const char **name)
{
	const char *start = reader->p;

	for (; reader->p < reader->end; reader->p++)
	{
		char		c = *reader->p;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':'))
			continue;
		if (reader->p > start && c >= '0' && c <= '9')
			continue;
		break;
	}
	if (reader->p == start)
		return fail(reader, colons ? "expected a metric name" : "expected a label name");
	*name = reader->scratch + reader->scratch_used;
	return scratch_append(reader, start, (size_t) (reader->p - start)) &&
		scratch_append(reader, "", 1);
}

/*
 * A quoted string with its escapes.  A backslash before any other character
 * stays, as OpenMetrics says and as Prometheus reads the older format too.
 */
static bool
read_quoted(Reader *reader, const char **text)
{
	*text = reader->scratch + reader->scratch_used;
	for (reader->p++; reader->p < reader->end && *reader->p != '"'; reader->p++)
	{
		char		c = *reader->p;

		if (c == '\\')
		{
			if (reader->p + 1 == reader->end)
				break;
			c = *++reader->p;
			if (c == 'n')
				c = '\n';
			else if (c != '\\' && c != '"' && !scratch_append(reader, "\\", 1))
				return false;
		}
		if (!scratch_append(reader, &c, 1))
			return false;
	}
	if (!at_char(reader, '"'))
		return fail(reader, "a quoted text does not end");
	reader->p++;
	return scratch_append(reader, "", 1);
}

/*
 * One member of the braces: name="value", or a quoted metric name, once and
 * when no name precedes the braces.  It comes first as the format has it;
 * Prometheus takes it in any place.
 */
static bool
read_label(Reader *reader, const char **metric)
{
	bool		quoted = at_char(reader, '"');
	const char *name;
	const char *value;

	if (quoted ? !read_quoted(reader, &name) : !read_name(reader, false, &name))
		return false;
	skip_free_blanks(reader);
	if (quoted && *metric == NULL && !at_char(reader, '='))
	{
		*metric = name;
		return true;
	}
	if (name[0] == '\0')
		return fail(reader, "a label name is empty");
	if (!at_char(reader, '='))
		return fail(reader, "expected = after a label name");
	reader->p++;
	skip_free_blanks(reader);
	if (!at_char(reader, '"'))
		return fail(reader, "expected a quoted label value");
	if (!read_quoted(reader, &value))
		return false;
	if (reader->label_count >= MAX_LABELS)
		return fail(reader, "too many labels");
	reader->labels[reader->label_count].name = name;
	reader->labels[reader->label_count++].value = value;
	return true;
}

/* The braces; the cursor is on the opening one. */
static bool
read_labels(Reader *reader, const char **metric)
{
	reader->p++;
	skip_free_blanks(reader);
	while (!at_char(reader, '}'))
	{
		if (!read_label(reader, metric))
			return false;
		skip_free_blanks(reader);
		if (at_char(reader, ','))
		{
			reader->p++;
			skip_free_blanks(reader);
		}
		else if (!at_char(reader, '}'))
			return fail(reader, "expected , or } after a label");
	}
	reader->p++;
	return true;
}

static bool
read_value(Reader *reader, double *value)
{
	const char *token;
	size_t		length = read_token(reader, &token);
	bool		negative = length > 0 && *token == '-';

	if (length == 0)
		return fail(reader, "expected a value");
	if (SaasNumberParse(token, length, value))
		return true;
	if (token_is(token, length, "nan"))
	{
		*value = NAN;
		return true;
	}
	if (*token == '+' || *token == '-')
	{
		token++;
		length--;
	}
	if (!token_is(token, length, "inf") && !token_is(token, length, "infinity"))
		return fail(reader, "the value is not a number");
	*value = negative ? -INFINITY : INFINITY;
	return true;
}

/* Milliseconds as an integer, or OpenMetrics' seconds as a real number. */
static bool
read_time(Reader *reader, int64_t *time_ms)
{
	const char *token;
	size_t		length = read_token(reader, &token);
	double		number;

	if (!SaasNumberParse(token, length, &number))
		return fail(reader, "the timestamp is not a number");
	if (reader->openmetrics)
		number *= 1000;
	else if (memchr(token, '.', length) != NULL || memchr(token, 'e', length) != NULL ||
			 memchr(token, 'E', length) != NULL)
		return fail(reader, "the timestamp is not an integer of milliseconds");
	if (number < SAAS_MIN_TIME_MS || number > SAAS_MAX_TIME_MS)
		return fail(reader, "the timestamp is out of range");
	*time_ms = llround(number);
	return true;
}

/* OpenMetrics' " # {labels} value [timestamp]"; checked and thrown away. */
static bool
skip_exemplar(Reader *reader)
{
	const char *no_metric = "";
	double		value;
	int64_t		time_ms;

	reader->p++;
	if (!skip_blanks(reader) || !at_char(reader, '{'))
		return fail(reader, "expected labels after #");
	reader->label_count = 0;
	reader->scratch_used = 0;
	if (!read_labels(reader, &no_metric))
		return false;
	if (!skip_blanks(reader))
		return fail(reader, "expected the value of an exemplar");
	if (!read_value(reader, &value))
		return false;
	return !skip_blanks(reader) || read_time(reader, &time_ms);
}

/* Metric name and labels, and the blank before the value. */
static bool
read_series(Reader *reader, SaasSample *sample)
{
	const char *metric = NULL;
	bool		blank;

	reader->label_count = 0;
	reader->scratch_used = 0;
	if (!at_char(reader, '{') && !read_name(reader, true, &metric))
		return false;
	blank = !reader->openmetrics && skip_blanks(reader);
	if (at_char(reader, '{'))
	{
		if (!read_labels(reader, &metric))
			return false;
		blank = skip_blanks(reader) || !reader->openmetrics;
	}
	else if (!blank)
		blank = skip_blanks(reader);
	if (!blank)
		return fail(reader, "expected a blank before the value");
	if (metric == NULL || *metric == '\0')
		return fail(reader, "the metric has no name");
	if (strlen(metric) > SAAS_MAX_METRIC_LENGTH)
		return fail(reader, "the metric name is too long");

	if (reader->metric == NULL || strcmp(reader->metric, metric) != 0)
		reader->metric = SaasArenaStrdup(reader->arena, metric);
	sample->metric = reader->metric;
	return sample->metric != NULL || fail_memory(reader);
}

static bool
convert_labels(Reader *reader, SaasSample *sample)
{
	sample->labels = "{}";
	if (reader->label_count == 0)
		return true;
	sample->labels = SaasLabelsToJson(reader->labels, reader->label_count, reader->arena);
	if (sample->labels != NULL)
		return true;

	/* It does not say why not; the labels are sorted by now. */
	for (size_t i = 1; i < reader->label_count; i++)
		if (strcmp(reader->labels[i - 1].name, reader->labels[i].name) == 0)
			return fail(reader, "a label name occurs twice");
	if (SaasArenaAlloc(reader->arena, SAAS_MAX_LABELS_LENGTH + 1) == NULL)
		return fail_memory(reader);
	return fail(reader, "the labels are too long");
}

static bool
read_sample(Reader *reader, SaasSampleList *samples, size_t max_samples)
{
	SaasSample	sample = {0};

	if (!read_series(reader, &sample) || !convert_labels(reader, &sample) ||
		!read_value(reader, &sample.value))
		return false;

	if (skip_blanks(reader) && reader->p < reader->end && *reader->p != '#')
	{
		if (!read_time(reader, &sample.time_ms))
			return false;
		sample.has_time = true;
		skip_blanks(reader);
	}
	if (reader->openmetrics && at_char(reader, '#') && !skip_exemplar(reader))
		return false;
	if (reader->p < reader->end || (reader->openmetrics && is_blank(reader->p[-1])))
		return fail(reader, "unexpected text after the sample");

	if (samples->count >= max_samples)
		return SaasProblemSet(reader->problem, "54000", "line %zu: more than %zu samples",
							  reader->line, max_samples);
	return SaasSampleListAdd(samples, reader->arena, &sample, max_samples) || fail_memory(reader);
}

static bool
is_metric_type(const Reader *reader, const char *type, size_t length)
{
	static const char *const old_types[] = {
		"counter", "gauge", "histogram", "summary", "untyped", NULL
	};
	static const char *const new_types[] = {
		"counter", "gauge", "histogram", "gaugehistogram", "stateset", "info", "summary",
		"unknown", NULL
	};

	for (const char *const *known = reader->openmetrics ? new_types : old_types; *known != NULL; known++)
		if (strlen(*known) == length && memcmp(*known, type, length) == 0)
			return true;
	return false;
}

/* HELP, TYPE and UNIT describe a metric; what they say is not kept. */
static bool
read_description(Reader *reader, bool is_type)
{
	const char *name;
	const char *type;
	size_t		length;

	reader->scratch_used = 0;
	if (!skip_blanks(reader))
		return fail(reader, "expected a metric name");
	if (at_char(reader, '"') ? !read_quoted(reader, &name) : !read_name(reader, true, &name))
		return false;
	if (reader->p < reader->end && !skip_blanks(reader))
		return fail(reader, "a metric name holds a foreign character");
	if (!is_type)
		return true;
	length = read_token(reader, &type);
	skip_free_blanks(reader);
	if (reader->p < reader->end || !is_metric_type(reader, type, length))
		return fail(reader, "unknown metric type");
	return true;
}

static bool
read_comment(Reader *reader)
{
	const char *word;
	size_t		length;

	reader->p++;
	if (!skip_blanks(reader) && reader->openmetrics)
		return fail(reader, "expected a space after #");
	length = read_token(reader, &word);
	if (length == 4 && (memcmp(word, "TYPE", 4) == 0 || memcmp(word, "HELP", 4) == 0))
		return read_description(reader, *word == 'T');
	if (!reader->openmetrics)
		return true;
	if (length == 4 && memcmp(word, "UNIT", 4) == 0)
		return read_description(reader, false);
	if (length == 3 && memcmp(word, "EOF", 3) == 0 && reader->p == reader->end)
	{
		reader->ended = true;
		return true;
	}
	return fail(reader, "expected # HELP, # TYPE, # UNIT or # EOF");
}

static bool
read_line(Reader *reader, SaasSampleList *samples, size_t max_samples)
{
	if (!SaasUtf8IsValid(reader->p, (size_t) (reader->end - reader->p)))
		return fail(reader, "a NUL byte or invalid UTF-8");
	if (reader->ended)
		return fail(reader, "text after # EOF");
	skip_free_blanks(reader);
	if (reader->p == reader->end)
		return !reader->openmetrics || fail(reader, "an empty line");
	if (*reader->p == '#')
		return read_comment(reader);
	return read_sample(reader, samples, max_samples);
}

bool
SaasExpositionParse(const char *body, size_t length, SaasExpositionFormat format,
					SaasArena *arena, size_t max_samples,
					SaasSampleList *samples, SaasProblem *problem)
{
	const char *next = body;
	const char *end = body + length;
	Reader	   *reader = SaasArenaAlloc(arena, sizeof(Reader));

	if (reader == NULL)
		return SaasProblemSet(problem, "53200", "the samples need too much memory");
	reader->openmetrics = format == SAAS_EXPOSITION_OPENMETRICS;
	reader->arena = arena;
	reader->problem = problem;
	while (next < end)
	{
		const char *newline = memchr(next, '\n', (size_t) (end - next));

		reader->p = next;
		reader->end = newline != NULL ? newline : end;
		reader->line++;
		next = newline != NULL ? newline + 1 : end;
		if (!read_line(reader, samples, max_samples))
			return false;
	}
	if (reader->openmetrics && !reader->ended)
	{
		reader->line++;
		return fail(reader, "the end marker # EOF is missing");
	}
	return true;
}

SaasExpositionFormat
SaasExpositionFormatOf(const char *content_type)
{
	static const char name[] = "application/openmetrics-text";
	size_t		length = sizeof(name) - 1;

	if (content_type == NULL)
		return SAAS_EXPOSITION_PROMETHEUS;
	content_type += strspn(content_type, " \t");
	if (strncasecmp(content_type, name, length) == 0 && strchr("; \t", content_type[length]) != NULL)
		return SAAS_EXPOSITION_OPENMETRICS;
	return SAAS_EXPOSITION_PROMETHEUS;
}

static int
compare_labels(const void *a, const void *b)
{
	return strcmp(((const SaasLabel *) a)->name, ((const SaasLabel *) b)->name);
}

const char *
SaasLabelsToJson(SaasLabel *labels, size_t count, SaasArena *arena)
{
	char		memory[SAAS_MAX_LABELS_LENGTH + 1];
	SaasStrbuf	json;

	if (count > 1)
		qsort(labels, count, sizeof(SaasLabel), compare_labels);
	SaasStrbufInitOn(&json, arena, memory, sizeof(memory));
	SaasStrbufAppendChar(&json, '{');
	for (size_t i = 0; i < count; i++)
	{
		size_t		name_length = strlen(labels[i].name);
		size_t		value_length = strlen(labels[i].value);

		if (i > 0 && strcmp(labels[i - 1].name, labels[i].name) == 0)
			return NULL;

		/* Too long already without escapes: spare the arena. */
		if (json.length + name_length + value_length + 6 > SAAS_MAX_LABELS_LENGTH)
			return NULL;
		if (i > 0)
			SaasStrbufAppendChar(&json, ',');
		SaasStrbufAppendJson(&json, labels[i].name, name_length);
		SaasStrbufAppendChar(&json, ':');
		SaasStrbufAppendJson(&json, labels[i].value, value_length);
	}
	SaasStrbufAppendChar(&json, '}');
	if (json.failed || json.length > SAAS_MAX_LABELS_LENGTH)
		return NULL;
	return SaasArenaStrndup(arena, json.data, json.length);
}
