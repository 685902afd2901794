/*
 * mail_template.c
 *	  Templates of mails and the values that fill them.
 */
#include <string.h>

#include "pure/json.h"
#include "pure/mail.h"

#define MAX_NAME	63

bool
SaasMailAddValue(SaasArena *arena, SaasMailValue **values, const char *name, const char *value)
{
	SaasMailValue *added = SaasArenaAlloc(arena, sizeof(SaasMailValue));
	char	   *copy = SaasArenaStrdup(arena, value);

	if (added == NULL || copy == NULL || (added->name = SaasArenaStrdup(arena, name)) == NULL)
		return false;
	/* A value is a word or a line: it makes no lines of its own in the mail. */
	SaasCleanText(copy);
	added->value = copy;
	added->next = *values;
	*values = added;
	return true;
}

static bool
add_json(SaasArena *arena, SaasMailValue **values, const char *name, const json_t *value)
{
	const char *text;

	if (json_is_string(value))
		text = json_string_value(value);
	else if (json_is_boolean(value))
		text = json_is_true(value) ? "true" : "false";
	else if (json_is_integer(value))
		text = SaasArenaPrintf(arena, "%lld", (long long) json_integer_value(value));
	else if (json_is_real(value))
		text = SaasArenaPrintf(arena, "%.15g", json_real_value(value));
	else
		return true;
	return text != NULL && SaasMailAddValue(arena, values, name, text);
}

bool
SaasMailReadValues(SaasArena *arena, const char *json, SaasMailValue **values, SaasProblem *problem)
{
	json_t	   *object = SaasJsonRead(json, strlen(json), false, "the mail's parameters", problem);
	const char *name;
	json_t	   *value;
	bool		done = true;

	if (object == NULL)
		return false;
	if (!json_is_object(object))
		done = SaasProblemSet(problem, "22023", "the mail's parameters are no JSON object");
	json_object_foreach(object, name, value)
	{
		if (done && !add_json(arena, values, name, value))
			done = SaasProblemSet(problem, "54000", "the mail's parameters are too large");
	}
	json_decref(object);
	return done;
}

static const char *
find_value(const SaasMailValue *values, const char *name, size_t length)
{
	for (; values != NULL; values = values->next)
	{
		if (strlen(values->name) == length && memcmp(values->name, name, length) == 0)
			return values->value;
	}
	return "";
}

void
SaasMailAppendEscaped(SaasStrbuf *buf, const char *text)
{
	for (; *text != '\0'; text++)
	{
		switch (*text)
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
			case '\'':
				SaasStrbufAppendText(buf, "&#39;");
				break;
			default:
				SaasStrbufAppendChar(buf, *text);
				break;
		}
	}
}

/* Length of the name that text begins with: lower-case letters, digits, "_". */
static size_t
name_length(const char *text)
{
	size_t		length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return length <= MAX_NAME ? length : 0;
}

/* Appends a placeholder's value; returns what follows it, NULL when text begins with none. */
static const char *
append_placeholder(SaasStrbuf *buf, const char *text, SaasMailFormat format, const SaasMailValue *values)
{
	bool		is_url = strncmp(text, "{{url:", 6) == 0;
	const char *name = text + (is_url ? 6 : 2);
	size_t		length;
	const char *value;

	if (strncmp(text, "{{", 2) != 0)
		return NULL;
	length = name_length(name);
	if (length == 0 || strncmp(name + length, "}}", 2) != 0)
		return NULL;
	value = find_value(values, name, length);
	if (is_url)
		SaasStrbufAppendUrlEncoded(buf, value);
	else if (format == SAAS_MAIL_HTML)
		SaasMailAppendEscaped(buf, value);
	else
		SaasStrbufAppendText(buf, value);
	return name + length + 2;
}

char *
SaasMailRender(SaasArena *arena, const char *pattern, SaasMailFormat format, const SaasMailValue *values)
{
	SaasStrbuf	buf;

	SaasStrbufInit(&buf, arena);
	while (*pattern != '\0')
	{
		const char *brace = strchr(pattern, '{');
		const char *after;

		if (brace == NULL)
			brace = pattern + strlen(pattern);
		SaasStrbufAppend(&buf, pattern, (size_t) (brace - pattern));
		pattern = brace;
		if (*pattern == '\0')
			break;
		after = append_placeholder(&buf, pattern, format, values);
		if (after == NULL)
		{
			SaasStrbufAppendChar(&buf, '{');
			after = pattern + 1;
		}
		pattern = after;
	}
	return SaasStrbufFinish(&buf);
}
