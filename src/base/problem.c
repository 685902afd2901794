/*
 * problem.c
 *	  What went wrong, as the layers without ereport say it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/problem.h"

#define LOW_BITS	UINT64_C(0x0101010101010101)
#define HIGH_BITS	UINT64_C(0x8080808080808080)

/*
 * Bytes of the well-formed UTF-8 sequence that text starts with, 0 when there
 * is none within length (RFC 3629, section 4: no overlong form, no surrogate,
 * nothing above U+10FFFF).
 */
static size_t
sequence_length(const unsigned char *text, size_t length)
{
	unsigned char lead;
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	size_t		needed;

	if (length == 0)
		return 0;
	lead = text[0];
	if (lead < 0x80)
		return lead == 0 ? 0 : 1;
	if (lead < 0xC2 || lead > 0xF4)
		return 0;
	needed = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
	if (length < needed)
		return 0;

	if (lead == 0xE0)
		low = 0xA0;
	else if (lead == 0xED)
		high = 0x9F;
	else if (lead == 0xF0)
		low = 0x90;
	else if (lead == 0xF4)
		high = 0x8F;
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < needed; i++)
		if ((text[i] & 0xC0) != 0x80)
			return 0;
	return needed;
}

bool
SaasUtf8IsValid(const char *text, unsigned long length)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;

	while (p < end)
	{
		uint64_t	word;
		size_t		step;

		/* Most text is ASCII: eight bytes at a time, none of them NUL and none above 0x7F. */
		if (end - p >= (ptrdiff_t) sizeof(word))
		{
			memcpy(&word, p, sizeof(word));
			if (((word | (word - LOW_BITS)) & HIGH_BITS) == 0)
			{
				p += sizeof(word);
				continue;
			}
		}
		step = sequence_length(p, (size_t) (end - p));
		if (step == 0)
			return false;
		p += step;
	}
	return true;
}

/* C0 controls and DEL, and C1 controls in their two-byte form. */
static bool
is_control(const unsigned char *sequence)
{
	return sequence[0] < 0x20 || sequence[0] == 0x7F ||
		(sequence[0] == 0xC2 && sequence[1] < 0xA0);
}

void
SaasCleanText(char *text)
{
	const unsigned char *from = (const unsigned char *) text;
	const unsigned char *end;
	unsigned char *to;

	/* Most need nothing. */
	while (*from >= 0x20 && *from < 0x7F)
		from++;
	end = from + strlen((const char *) from);
	to = (unsigned char *) text + (from - (const unsigned char *) text);

	while (from < end)
	{
		size_t		step = sequence_length(from, (size_t) (end - from));

		if (step == 0 || is_control(from))
		{
			*to++ = '?';
			from += step == 0 ? 1 : step;
			continue;
		}
		memmove(to, from, step);
		to += step;
		from += step;
	}
	*to = '\0';
}

/* Takes back a sequence that a cut left unfinished at the end of text. */
static void
drop_cut_sequence(char *text)
{
	size_t		length = strlen(text);
	size_t		start = length;

	while (start > 0 && length - start < 3 && (text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start > 0 && (unsigned char) text[start - 1] >= 0xC0 &&
		sequence_length((unsigned char *) text + start - 1, length - start + 1) == 0)
		text[start - 1] = '\0';
}

static void write_text(char *buffer, size_t size, const char *format, va_list args)
			__attribute__((format(printf, 3, 0)));

static void
write_text(char *buffer, size_t size, const char *format, va_list args)
{
	int			length = vsnprintf(buffer, size, format, args);

	if (length < 0)
		buffer[0] = '\0';
	else if ((size_t) length >= size)
		drop_cut_sequence(buffer);
	SaasCleanText(buffer);
}

bool
SaasProblemSet(SaasProblem *problem, const char *sqlstate, const char *format,...)
{
	va_list		args;

	if (sqlstate != problem->sqlstate)
		snprintf(problem->sqlstate, sizeof(problem->sqlstate), "%s", sqlstate);
	va_start(args, format);
	write_text(problem->message, sizeof(problem->message), format, args);
	va_end(args);
	return false;
}

void
SaasProblemAppend(SaasProblem *problem, const char *sqlstate, const char *format,...)
{
	char		before[sizeof(problem->message)];
	char		message[sizeof(problem->message)];
	va_list		args;

	va_start(args, format);
	write_text(message, sizeof(message), format, args);
	va_end(args);
	if (problem->sqlstate[0] == '\0')
		SaasProblemSet(problem, sqlstate, "%s", message);
	else if (strstr(problem->message, message) == NULL)
	{
		memcpy(before, problem->message, sizeof(before));
		SaasProblemSet(problem, problem->sqlstate, "%s; %s", before, message);
	}
}

bool
SaasProblemDetail(SaasProblem *problem, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	write_text(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
	return false;
}

bool
SaasProblemHint(SaasProblem *problem, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	write_text(problem->hint, sizeof(problem->hint), format, args);
	va_end(args);
	return false;
}
