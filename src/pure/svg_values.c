/*
 * svg_values.c
 *	  Which values of attributes and style properties do nothing but draw.
 *
 * A value is not searched for what is bad.  It may have no character that CSS
 * or a URL needs to escape, comment, nest or name a scheme, and a word before a
 * parenthesis must be one of a short list; url() may name a part of the same
 * document only.
 */
#include <string.h>
#include <strings.h>

#include "pure/svg_internal.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

static const char *const functions[] = {
	"rgb", "rgba", "hsl", "hsla", "matrix", "translate", "translateX", "translateY", "scale", "scaleX",
	"scaleY", "rotate", "skew", "skewX", "skewY",
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		c == '_' || (unsigned char) c >= 0x80;
}

static void
trim(const char **text, size_t *length)
{
	while (*length > 0 && is_blank((*text)[0]))
	{
		(*text)++;
		(*length)--;
	}
	while (*length > 0 && is_blank((*text)[*length - 1]))
		(*length)--;
}

/* Drawing programs put colons and dots into their ids. */
bool
SvgIsName(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (!is_word(text[i]) && text[i] != ':' && text[i] != '.')
			return false;
	}
	return length > 0;
}

bool
SvgIsFragment(const char *text, size_t length, const char **name, size_t *name_length)
{
	trim(&text, &length);
	if (length < 2 || text[0] != '#' || !SvgIsName(text + 1, length - 1))
		return false;
	*name = text + 1;
	*name_length = length - 1;
	return true;
}

/* What stands in "url(" and ")", in quotes or not. */
static bool
is_local_url(const char *text, size_t length)
{
	const char *name;
	size_t		name_length;

	trim(&text, &length);
	if (length >= 2 && (text[0] == '\'' || text[0] == '"') && text[length - 1] == text[0])
	{
		text++;
		length -= 2;
	}
	return SvgIsFragment(text, length, &name, &name_length);
}

static bool
is_function(const char *word, size_t length)
{
	for (size_t i = 0; i < LENGTH_OF(functions); i++)
	{
		if (strlen(functions[i]) == length && strncasecmp(functions[i], word, length) == 0)
			return true;
	}
	return false;
}

/*
 * The parenthesis at text[at]: how many bytes from there are harmless, 0 when
 * it opens what it may not.  Transforms may have blanks before it.
 */
static size_t
harmless_call(const char *text, size_t length, size_t at)
{
	size_t		word_end = at;
	size_t		word;
	const char *close;

	while (word_end > 0 && is_blank(text[word_end - 1]))
		word_end--;
	word = word_end;
	while (word > 0 && is_word(text[word - 1]))
		word--;
	if (word_end - word != 3 || strncasecmp(text + word, "url", 3) != 0)
		return is_function(text + word, word_end - word) ? 1 : 0;

	close = memchr(text + at, ')', length - at);
	if (close == NULL || !is_local_url(text + at + 1, (size_t) (close - text) - at - 1))
		return 0;
	return (size_t) (close - text) - at + 1;
}

bool
SvgIsHarmless(const char *text, size_t length)
{
	int			single = 0;
	int			twofold = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '(')
		{
			size_t		harmless = harmless_call(text, length, i);

			if (harmless == 0)
				return false;
			i += harmless - 1;
		}
		else if (strchr("&<>\\{}@`:/=[]$^|~", text[i]) != NULL)
			return false;
		single += text[i] == '\'';
		twofold += text[i] == '"';
	}
	return single % 2 == 0 && twofold % 2 == 0;
}

static void
append_declaration(SaasStrbuf *buf, const char *text, size_t length)
{
	const char *colon = memchr(text, ':', length);
	const char *value;
	size_t		name_length;
	size_t		value_length;
	const SvgAttribute *attribute;

	if (colon == NULL)
		return;
	name_length = (size_t) (colon - text);
	value = colon + 1;
	value_length = length - name_length - 1;
	trim(&text, &name_length);
	trim(&value, &value_length);
	attribute = SvgAttributeFind(text, name_length);
	if (attribute == NULL || attribute->kind != SVG_PROPERTY || value_length == 0 ||
		!SvgIsHarmless(value, value_length))
		return;
	if (buf->length > 0)
		SaasStrbufAppendChar(buf, ';');
	SaasStrbufAppendText(buf, attribute->name);
	SaasStrbufAppendChar(buf, ':');
	SaasStrbufAppend(buf, value, value_length);
}

void
SvgAppendStyle(SaasStrbuf *buf, const char *text, size_t length)
{
	while (length > 0)
	{
		const char *end = memchr(text, ';', length);
		size_t		part = end == NULL ? length : (size_t) (end - text);

		append_declaration(buf, text, part);
		part += end != NULL;
		text += part;
		length -= part;
	}
}
