/*
 * strbuf.c
 *	  Growing byte buffer inside an arena, the pure layers' StringInfo.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/problem.h"
#include "base/strbuf.h"

#define INITIAL_CAPACITY	64

void
SaasStrbufInit(SaasStrbuf *buf, SaasArena *arena)
{
	SaasStrbufInitOn(buf, arena, NULL, 0);
}

void
SaasStrbufInitOn(SaasStrbuf *buf, SaasArena *arena, char *memory, size_t size)
{
	memset(buf, 0, sizeof(*buf));
	buf->arena = arena;
	if (size == 0)
		return;
	buf->data = memory;
	buf->data[0] = '\0';
	buf->capacity = size;
}

/* Room for length more bytes and the NUL. */
static bool
reserve(SaasStrbuf *buf, size_t length)
{
	size_t		needed;
	size_t		capacity;
	char	   *data;

	if (buf->failed)
		return false;
	if (length >= SIZE_MAX / 2 - buf->length)
	{
		buf->failed = true;
		return false;
	}
	needed = buf->length + length + 1;
	if (needed <= buf->capacity)
		return true;

	capacity = buf->capacity < INITIAL_CAPACITY ? INITIAL_CAPACITY : buf->capacity * 2;
	if (capacity < needed)
		capacity = needed;
	data = SaasArenaAlloc(buf->arena, capacity);
	if (data == NULL)
	{
		buf->failed = true;
		return false;
	}
	if (buf->length > 0)
		memcpy(data, buf->data, buf->length);
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

void
SaasStrbufAppend(SaasStrbuf *buf, const void *bytes, size_t length)
{
	if (!reserve(buf, length))
		return;
	if (length > 0)
		memcpy(buf->data + buf->length, bytes, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void
SaasStrbufAppendText(SaasStrbuf *buf, const char *text)
{
	SaasStrbufAppend(buf, text, strlen(text));
}

void
SaasStrbufAppendChar(SaasStrbuf *buf, char c)
{
	SaasStrbufAppend(buf, &c, 1);
}

void
SaasStrbufPrintf(SaasStrbuf *buf, const char *format,...)
{
	va_list		args;
	int			length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		buf->failed = true;
	if (length < 0 || !reserve(buf, (size_t) length))
		return;

	va_start(args, format);
	vsnprintf(buf->data + buf->length, (size_t) length + 1, format, args);
	va_end(args);
	buf->length += (size_t) length;
}

static void
append_json_ascii(SaasStrbuf *buf, unsigned char c)
{
	static const char short_names[] = "btn.fr";

	if (c == '"' || c == '\\')
		SaasStrbufPrintf(buf, "\\%c", c);
	else if (c >= '\b' && c <= '\r' && c != '\v')
		SaasStrbufPrintf(buf, "\\%c", short_names[c - '\b']);
	else
		SaasStrbufPrintf(buf, "\\u%04x", c);
}

/*
 * A byte that belongs to no UTF-8 sequence becomes U+FFFD, so that the result
 * is JSON whatever the input.
 */
void
SaasStrbufAppendJson(SaasStrbuf *buf, const char *text, size_t length)
{
	size_t		plain = 0;		/* start of the run not yet appended */
	size_t		i = 0;

	SaasStrbufAppendChar(buf, '"');
	while (i < length)
	{
		unsigned char c = (unsigned char) text[i];
		size_t		step = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
		bool		valid = c < 0x80 || (step <= length - i && SaasUtf8IsValid(text + i, step));

		if (valid && c >= 0x20 && c != '"' && c != '\\')
		{
			i += step;
			continue;
		}
		SaasStrbufAppend(buf, text + plain, i - plain);
		if (valid)
			append_json_ascii(buf, c);
		else
			SaasStrbufAppendText(buf, "\xEF\xBF\xBD");
		i++;
		plain = i;
	}
	SaasStrbufAppend(buf, text + plain, i - plain);
	SaasStrbufAppendChar(buf, '"');
}

void
SaasStrbufAppendUrlEncoded(SaasStrbuf *buf, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			SaasStrbufAppendChar(buf, (char) *p);
		else
		{
			char		escape[3] = {'%', hex[*p >> 4], hex[*p & 15]};

			SaasStrbufAppend(buf, escape, sizeof(escape));
		}
	}
}

char *
SaasStrbufFinish(SaasStrbuf *buf)
{
	if (buf->data == NULL)
		SaasStrbufAppend(buf, "", 0);
	return buf->failed ? NULL : buf->data;
}
