/*
 * fuzz_svg.c
 *	  pure/svg.c: whatever is given, what comes out is read again as a picture
 *	  without anything that runs, loads or refers outside, and stays as it is.
 *
 * What is forbidden is spelt out here a second time, as a list of what must not
 * be there: the sanitizer knows only what may.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libxml/xmlreader.h>

#include "pure/svg.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
is_no_program(const char *name)
{
	static const char *const forbidden[] = {
		"script", "style", "foreignObject", "image", "feImage", "a", "set", "iframe", "handler", "listener", "audio",
		"video", "embed", "object", "link", "meta", "base", "html", "body", "discard", "metadata", "cursor", "view",
	};

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		must(strcasecmp(name, forbidden[i]) != 0);
	must(strncasecmp(name, "animate", 7) != 0);
}

/* Every url() names a part of the document. */
static void
refers_inside(const char *value)
{
	for (const char *url = strcasestr(value, "url"); url != NULL; url = strcasestr(url + 3, "url"))
	{
		const char *next = url + 3 + strspn(url + 3, " ");

		if (*next != '(')
			continue;
		next += 1 + strspn(next + 1, " ");
		next += *next == '\'' || *next == '"';
		next += strspn(next, " ");
		must(*next == '#');
		must(strcspn(next + 1, " '\")") > 0);
	}
}

static void
check_attribute(const char *name, const char *uri, const char *value)
{
	must(strncasecmp(name, "on", 2) != 0 && strcasecmp(name, "src") != 0 && strcasecmp(name, "base") != 0);
	must(value != NULL && strpbrk(value, "\\<>&@{}\t\n\r") == NULL && strcasestr(value, "expression(") == NULL);
	if (uri != NULL)
		must(strcmp(uri, "http://www.w3.org/1999/xlink") == 0 && strcmp(name, "href") == 0);
	if (strcmp(name, "href") == 0)
		must(uri != NULL && value[0] == '#' && value[1] != '\0' && strpbrk(value, "/( ") == NULL);
	else
	{
		must(strstr(value, "//") == NULL);
		refers_inside(value);
	}
}

static void
check_element(xmlTextReaderPtr reader)
{
	const char *uri = (const char *) xmlTextReaderConstNamespaceUri(reader);

	must(uri != NULL && strcmp(uri, "http://www.w3.org/2000/svg") == 0 && xmlTextReaderConstPrefix(reader) == NULL);
	is_no_program((const char *) xmlTextReaderConstLocalName(reader));
	while (xmlTextReaderMoveToNextAttribute(reader) == 1)
	{
		if (xmlTextReaderIsNamespaceDecl(reader) == 0)
			check_attribute((const char *) xmlTextReaderConstLocalName(reader),
							(const char *) xmlTextReaderConstNamespaceUri(reader),
							(const char *) xmlTextReaderConstValue(reader));
	}
	xmlTextReaderMoveToElement(reader);
}

static void
check_picture(const char *svg, size_t length)
{
	xmlTextReaderPtr reader = xmlReaderForMemory(svg, (int) length, NULL, "UTF-8", XML_PARSE_NONET | XML_PARSE_NOENT);
	int			more;

	must(length <= SAAS_SVG_MAX_BYTES && strncmp(svg, "<svg xmlns=", 11) == 0);
	while ((more = xmlTextReaderRead(reader)) == 1)
	{
		switch (xmlTextReaderNodeType(reader))
		{
			case XML_READER_TYPE_ELEMENT:
				check_element(reader);
				break;
			case XML_READER_TYPE_END_ELEMENT:
			case XML_READER_TYPE_TEXT:
			case XML_READER_TYPE_WHITESPACE:
			case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
				break;
			default:
				abort();
		}
	}
	must(more == 0);
	xmlFreeTextReader(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SaasArena  *arena = SaasArenaCreate(2 * SAAS_SVG_ARENA_SIZE);
	SaasProblem problem;
	SaasProblem again;
	char	   *once;
	char	   *twice;

	once = SaasSvgSanitize((const char *) data, size, arena, &problem);
	if (once != NULL)
	{
		check_picture(once, strlen(once));
		twice = SaasSvgSanitize(once, strlen(once), arena, &again);
		must(twice != NULL && strcmp(once, twice) == 0);
	}
	else
		must(strcmp(problem.sqlstate, "22023") == 0 && problem.message[0] != '\0');
	SaasArenaDestroy(arena);
	return 0;
}
