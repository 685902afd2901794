/*
 * svg.c
 *	  Pictures that strangers upload, written anew from what is known to be harmless.
 *
 * libxml2 reads, as a stream of events: no tree, no document type (a DOCTYPE
 * ends it), hence no entities but XML's five, nothing from disk or network, and
 * the library's own bounds.  Names are compared with their namespace, so a
 * prefix says nothing.  The callbacks never jump, and every message of the
 * library comes to ignore_error: a server that itself uses libxml2 keeps its
 * handlers and hears nothing of ours.
 */
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>

#include "pure/svg.h"
#include "pure/svg_internal.h"

#define SVG_NAMESPACE	"http://www.w3.org/2000/svg"
#define XLINK_NAMESPACE	"http://www.w3.org/1999/xlink"

#define MAX_DEPTH		64

/* libxml2 compares every attribute of an element with all before it. */
#define MAX_ATTRIBUTES	1000

/* One use draws as much as the whole document holds. */
#define MAX_USES		256

/* Five pointers an attribute: local name, prefix, namespace, value, its end. */
#define ATTRIBUTE_WIDTH	5

/* An element's id, or what a use refers to. */
typedef struct SvgName
{
	const char *text;
	bool		holds_use;		/* of an id: a use is below it */
	struct SvgName *next;
} SvgName;

typedef struct SvgOpen
{
	const SvgElement *element;
	SvgName    *id;				/* NULL when it has none */
} SvgOpen;

typedef struct SvgWriter
{
	xmlParserCtxtPtr parser;
	SaasStrbuf	out;
	SaasStrbuf	value;			/* of a style attribute */
	SaasProblem *problem;
	SvgOpen		open[MAX_DEPTH];
	int			depth;			/* of what is written */
	int			skipped;		/* depth below an element that is not written; 0: none */
	bool		is_unclosed;	/* the last start tag lacks its ">" */
	bool		draws;
	SvgName    *ids;
	SvgName    *uses;
	int			use_count;
} SvgWriter;

/* Ends the reading; the first reason counts. */
static void
refuse(SvgWriter *writer, const char *sqlstate, const char *reason)
{
	if (writer->problem->sqlstate[0] == '\0')
		SaasProblemSet(writer->problem, sqlstate, "%s", reason);
	xmlStopParser(writer->parser);
}

static bool
has_ended(const SvgWriter *writer)
{
	return writer->problem->sqlstate[0] != '\0';
}

/* Text of a document or of an attribute, which ends no line: a reader would make it a blank. */
static void
append_escaped(SaasStrbuf *buf, const char *text, size_t length, bool is_attribute)
{
	for (size_t i = 0; i < length; i++)
	{
		switch (text[i])
		{
			case '&':
				SaasStrbufAppendText(buf, "&amp;");
				break;
			case '<':
				SaasStrbufAppendText(buf, "&lt;");
				break;
			case '>':
				SaasStrbufAppendText(buf, "&gt;");
				break;
			case '"':
				SaasStrbufAppendText(buf, "&quot;");
				break;
			case '\t':
			case '\n':
			case '\r':
				SaasStrbufAppendChar(buf, is_attribute ? ' ' : text[i] == '\r' ? '\n' : text[i]);
				break;
			default:
				SaasStrbufAppendChar(buf, text[i]);
		}
	}
}

static void
append_attribute(SvgWriter *writer, const char *name, const char *value, size_t length)
{
	SaasStrbufAppendChar(&writer->out, ' ');
	SaasStrbufAppendText(&writer->out, name);
	SaasStrbufAppendText(&writer->out, "=\"");
	append_escaped(&writer->out, value, length, true);
	SaasStrbufAppendChar(&writer->out, '"');
}

static SvgName *
add_name(SvgWriter *writer, SvgName **list, const char *text, size_t length)
{
	SvgName    *name = SaasArenaAlloc(writer->out.arena, sizeof(SvgName));

	if (name != NULL)
		name->text = SaasArenaStrndup(writer->out.arena, text, length);
	if (name == NULL || name->text == NULL)
	{
		writer->out.failed = true;
		return NULL;
	}
	name->next = *list;
	*list = name;
	return name;
}

static void
write_attribute(SvgWriter *writer, SvgOpen *open, const char *name, const char *value, size_t length)
{
	const SvgAttribute *attribute = SvgAttributeFind(name, strlen(name));

	if (attribute == NULL)
		return;
	switch (attribute->kind)
	{
		case SVG_VALUE:
		case SVG_PROPERTY:
			if (SvgIsHarmless(value, length))
				append_attribute(writer, attribute->name, value, length);
			break;
		case SVG_NAME:
			if (!SvgIsName(value, length))
				break;
			open->id = add_name(writer, &writer->ids, value, length);
			append_attribute(writer, attribute->name, value, length);
			break;
		case SVG_STYLE:
			writer->value.length = 0;
			SvgAppendStyle(&writer->value, value, length);
			if (writer->value.length > 0)
				append_attribute(writer, attribute->name, writer->value.data, writer->value.length);
			break;
	}
}

/* Old renderers know the one of XLink only, new ones both. */
static void
write_reference(SvgWriter *writer, const SvgOpen *open, const char *value, size_t length)
{
	const char *name;
	size_t		name_length;

	if (!SvgIsFragment(value, length, &name, &name_length))
		return;
	append_attribute(writer, "xlink:href", name - 1, name_length + 1);
	if (open->element->flags & SVG_IS_USE)
		(void) add_name(writer, &writer->uses, name, name_length);
}

static void
write_attributes(SvgWriter *writer, SvgOpen *open, int count, const xmlChar **attributes)
{
	const xmlChar **reference = NULL;

	for (int i = 0; i < count; i++, attributes += ATTRIBUTE_WIDTH)
	{
		const char *name = (const char *) attributes[0];
		const char *uri = (const char *) attributes[2];

		if (strcmp(name, "href") == 0 && (uri == NULL || (reference == NULL && strcmp(uri, XLINK_NAMESPACE) == 0)))
			reference = attributes;
		else if (uri == NULL)
			write_attribute(writer, open, name, (const char *) attributes[3],
							(size_t) (attributes[4] - attributes[3]));
	}
	if (reference != NULL)
		write_reference(writer, open, (const char *) reference[3], (size_t) (reference[4] - reference[3]));
}

static void
close_start_tag(SvgWriter *writer)
{
	if (writer->is_unclosed)
		SaasStrbufAppendChar(&writer->out, '>');
	writer->is_unclosed = false;
}

static void
count_use(SvgWriter *writer)
{
	if (++writer->use_count > MAX_USES)
		refuse(writer, "22023", "must have at most 256 use elements");
	for (int i = 0; i < writer->depth; i++)
	{
		if (writer->open[i].id != NULL)
			writer->open[i].id->holds_use = true;
	}
}

/* The element to write for a name; NULL: none. */
static const SvgElement *
allowed_element(SvgWriter *writer, const char *name, const char *uri)
{
	const SvgElement *element = NULL;

	if (uri != NULL && strcmp(uri, SVG_NAMESPACE) == 0)
		element = SvgElementFind(name);
	if (writer->depth == 0)
	{
		if (element == NULL || !(element->flags & SVG_IS_ROOT))
			refuse(writer, "22023", "must be an svg element of the namespace " SVG_NAMESPACE);
		return element;
	}
	return writer->open[writer->depth - 1].element->flags & SVG_HOLDS_NO_ELEMENT ? NULL : element;
}

static void
start_element(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
			  int namespace_count, const xmlChar **namespaces, int attribute_count,
			  int defaulted_count, const xmlChar **attributes)
{
	SvgWriter  *writer = data;
	SvgOpen    *open = &writer->open[writer->depth];
	const SvgElement *element;

	if (has_ended(writer))
		return;
	if (writer->depth + writer->skipped >= MAX_DEPTH)
	{
		refuse(writer, "22023", "must nest at most 64 elements");
		return;
	}
	element = writer->skipped > 0 ? NULL : allowed_element(writer, (const char *) name, (const char *) uri);
	if (element == NULL || has_ended(writer))
	{
		writer->skipped++;
		return;
	}

	close_start_tag(writer);
	SaasStrbufAppendChar(&writer->out, '<');
	SaasStrbufAppendText(&writer->out, element->name);
	if (writer->depth == 0)
		SaasStrbufAppendText(&writer->out, " xmlns=\"" SVG_NAMESPACE "\" xmlns:xlink=\"" XLINK_NAMESPACE "\"");
	open->element = element;
	open->id = NULL;
	write_attributes(writer, open, attribute_count, attributes);
	writer->is_unclosed = true;
	if (element->flags & SVG_DRAWS)
		writer->draws = true;
	if (element->flags & SVG_IS_USE)
		count_use(writer);
	writer->depth++;
	if (writer->out.length > SAAS_SVG_MAX_BYTES)
		refuse(writer, "22023", "must have at most 256 KiB when it is written anew");
}

static void
end_element(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	SvgWriter  *writer = data;

	if (has_ended(writer))
		return;
	if (writer->skipped > 0)
	{
		writer->skipped--;
		return;
	}
	writer->depth--;
	if (writer->is_unclosed)
		SaasStrbufAppendText(&writer->out, "/>");
	else
	{
		SaasStrbufAppendText(&writer->out, "</");
		SaasStrbufAppendText(&writer->out, writer->open[writer->depth].element->name);
		SaasStrbufAppendChar(&writer->out, '>');
	}
	writer->is_unclosed = false;
}

static void
characters(void *data, const xmlChar *text, int length)
{
	SvgWriter  *writer = data;

	if (has_ended(writer) || writer->skipped > 0 || writer->depth == 0 || length <= 0 ||
		!(writer->open[writer->depth - 1].element->flags & SVG_HOLDS_TEXT))
		return;
	close_start_tag(writer);
	append_escaped(&writer->out, (const char *) text, (size_t) length, false);
	if (writer->out.length > SAAS_SVG_MAX_BYTES)
		refuse(writer, "22023", "must have at most 256 KiB when it is written anew");
}

/* Before anything that the document type declares has been read. */
static void
doctype(void *data, const xmlChar *name, const xmlChar *external_id, const xmlChar *system_id)
{
	refuse(data, "22023", "must not have a DOCTYPE");
}

/* libxml2 gives a message to somebody in any case. */
#if LIBXML_VERSION >= 21200
static void
ignore_error(void *data, const xmlError *error)
#else
static void
ignore_error(void *data, xmlError *error)
#endif
{
}

/*
 * Whether no tag can have more attributes than libxml2 should compare.  A "<"
 * stands in no attribute's value.
 */
static bool
has_few_attributes(const char *svg, size_t length)
{
	int			count = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (svg[i] == '<')
			count = 0;
		else if (svg[i] == '=' && ++count > MAX_ATTRIBUTES)
			return false;
	}
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(const SvgName *const *) a)->text, (*(const SvgName *const *) b)->text);
}

static SvgName **
sort_names(SaasArena *arena, SvgName *list, bool only_holding, size_t *count)
{
	SvgName   **names;
	size_t		i = 0;

	*count = 0;
	for (SvgName *name = list; name != NULL; name = name->next)
		*count += !only_holding || name->holds_use;
	names = SaasArenaAlloc(arena, *count * sizeof(SvgName *));
	if (names == NULL)
		return NULL;
	for (SvgName *name = list; name != NULL; name = name->next)
	{
		if (!only_holding || name->holds_use)
			names[i++] = name;
	}
	qsort(names, *count, sizeof(SvgName *), compare_names);
	return names;
}

/*
 * A use of what itself holds uses draws their product: ten levels of ten are
 * ten thousand million pictures in whoever looks.
 */
static bool
is_linear(SvgWriter *writer)
{
	size_t		count;
	SvgName   **holding = sort_names(writer->out.arena, writer->ids, true, &count);

	if (holding == NULL)
		return SaasProblemSet(writer->problem, "54000", "the picture is too large");
	for (SvgName *use = writer->uses; use != NULL; use = use->next)
	{
		if (bsearch(&use, holding, count, sizeof(SvgName *), compare_names) != NULL)
			return SaasProblemSet(writer->problem, "22023", "must not use what itself holds a use element");
	}
	return true;
}

static void
set_handlers(xmlSAXHandler *handlers)
{
	memset(handlers, 0, sizeof(*handlers));
	handlers->initialized = XML_SAX2_MAGIC;
	handlers->internalSubset = doctype;
	handlers->startElementNs = start_element;
	handlers->endElementNs = end_element;
	handlers->characters = characters;
	handlers->ignorableWhitespace = characters;
	handlers->cdataBlock = characters;
	handlers->serror = (xmlStructuredErrorFunc) ignore_error;
}

/* Whether it was read to its end and is well-formed. */
static bool
parse(SvgWriter *writer, const char *svg, size_t length)
{
	bool		is_well_formed;

	writer->parser = xmlCreateMemoryParserCtxt(svg, (int) length);
	if (writer->parser == NULL)
		return SaasProblemSet(writer->problem, "54000", "the picture is too large");
	/* Its bytes are UTF-8 whatever it says of itself; what is made of it says nothing. */
	(void) xmlCtxtUseOptions(writer->parser, XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
	set_handlers(writer->parser->sax);
	writer->parser->userData = writer;
	(void) xmlParseDocument(writer->parser);
	is_well_formed = writer->parser->wellFormed && writer->parser->nsWellFormed;
	xmlFreeDoc(writer->parser->myDoc);
	writer->parser->myDoc = NULL;
	xmlFreeParserCtxt(writer->parser);
	if (has_ended(writer))
		return false;
	return is_well_formed || SaasProblemSet(writer->problem, "22023", "must be well-formed XML");
}

/* What it says before there is a context, or to handlers of nobody, goes nowhere either. */
static bool
parse_silently(SvgWriter *writer, const char *svg, size_t length)
{
	xmlStructuredErrorFunc handler = xmlStructuredError;
	void	   *handler_data = xmlStructuredErrorContext;
	bool		done;

	xmlInitParser();
	xmlSetStructuredErrorFunc(NULL, (xmlStructuredErrorFunc) ignore_error);
	done = parse(writer, svg, length);
	xmlResetLastError();
	xmlSetStructuredErrorFunc(handler_data, handler);
	return done;
}

static char *
finish(SvgWriter *writer)
{
	char	   *result;

	if (!writer->draws)
	{
		SaasProblemSet(writer->problem, "22023", "has nothing that may be shown");
		return NULL;
	}
	if (!is_linear(writer))
		return NULL;
	if (writer->out.length > SAAS_SVG_MAX_BYTES)
	{
		SaasProblemSet(writer->problem, "22023", "must have at most 256 KiB when it is written anew");
		return NULL;
	}
	result = writer->value.failed ? NULL : SaasStrbufFinish(&writer->out);
	if (result == NULL)
		SaasProblemSet(writer->problem, "54000", "the picture is too large");
	return result;
}

char *
SaasSvgSanitize(const char *svg, size_t length, SaasArena *arena, SaasProblem *problem)
{
	SvgWriter	writer = {0};

	writer.problem = problem;
	problem->sqlstate[0] = '\0';
	SaasStrbufInit(&writer.out, arena);
	SaasStrbufInit(&writer.value, arena);
	if (length >= 3 && memcmp(svg, "\xEF\xBB\xBF", 3) == 0)
	{
		svg += 3;
		length -= 3;
	}
	if (length > SAAS_SVG_MAX_BYTES)
		SaasProblemSet(problem, "22023", "must have at most 256 KiB");
	else if (length == 0 || !SaasUtf8IsValid(svg, length))
		SaasProblemSet(problem, "22023", "must be XML in UTF-8");
	else if (!has_few_attributes(svg, length))
		SaasProblemSet(problem, "22023", "must have at most 1000 attributes to an element");
	else if (parse_silently(&writer, svg, length))
		return finish(&writer);
	return NULL;
}
