/*
 * chart_label.c
 *	  Texts in charts: what tenants and upstreams call things, made harmless.
 *
 * Besides what XML 1.0 forbids (section 2.2), characters go that would hide
 * text or reorder what stands around it: controls, marks of direction, tags.
 */
#include <string.h>

#include "pure/chart_internal.h"

/*
 * The character at text and its bytes; 0 bytes at the end.  A byte that belongs
 * to no UTF-8 sequence is one without a character.
 */
static size_t
decode(const char *text, uint32_t *character)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t		length = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

	*character = 0;
	if (p[0] == '\0')
		return 0;
	if (length > 1 && (strnlen(text, length) < length || !SaasUtf8IsValid(text, length)))
		return 1;
	*character = length == 1 ? p[0] : (uint32_t) (p[0] & (0xFF >> (length + 1)));
	for (size_t i = 1; i < length; i++)
		*character = *character << 6 | (p[i] & 0x3F);
	return length;
}

static bool
is_between(uint32_t c, uint32_t first, uint32_t last)
{
	return c >= first && c <= last;
}

static bool
is_blank(uint32_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || is_between(c, 0x2028, 0x2029);
}

static bool
is_harmful(uint32_t c)
{
	return c < 0x20 || is_between(c, 0x7F, 0x9F) || c == 0xAD || c == 0x061C ||
		is_between(c, 0x200B, 0x200F) || is_between(c, 0x202A, 0x202E) || is_between(c, 0x2060, 0x206F) ||
		is_between(c, 0xD800, 0xDFFF) || is_between(c, 0xFDD0, 0xFDEF) || c == 0xFEFF ||
		is_between(c, 0xFFF0, 0xFFFB) || (c & 0xFFFE) == 0xFFFE || is_between(c, 0xE0000, 0xE0FFF);
}

/* What is drawn upon the character before it. */
static bool
is_mark(uint32_t c)
{
	return is_between(c, 0x0300, 0x036F) || is_between(c, 0x1AB0, 0x1AFF) || is_between(c, 0x1DC0, 0x1DFF) ||
		is_between(c, 0x20D0, 0x20FF) || is_between(c, 0xFE00, 0xFE0F) || is_between(c, 0xFE20, 0xFE2F) ||
		is_between(c, 0x1F3FB, 0x1F3FF);
}

const char *
ChartClean(SaasArena *arena, const char *text)
{
	SaasStrbuf	buf;
	uint32_t	c;
	size_t		length;
	int			marks = 0;
	int			count = 0;
	const char *cleaned;

	SaasStrbufInit(&buf, arena);
	for (; text != NULL && (length = decode(text, &c)) > 0; text += length)
	{
		bool		blank = is_blank(c);

		if (!blank && is_harmful(c))
			continue;
		/* A few stand on one letter in some languages; more climb over the picture. */
		marks = is_mark(c) ? marks + 1 : 0;
		if (marks > 4)
			continue;
		if (++count > SAAS_CHART_MAX_NAME)
		{
			SaasStrbufAppendText(&buf, "\xE2\x80\xA6");
			break;
		}
		if (blank)
			SaasStrbufAppendChar(&buf, ' ');
		else
			SaasStrbufAppend(&buf, text, length);
	}
	cleaned = SaasStrbufFinish(&buf);
	return cleaned == NULL ? "" : cleaned;
}

/* In thousandths of the font's size, those of a wide font. */
static int
advance(uint32_t c)
{
	static const short ascii[] = {
		330, 410, 470, 840, 640, 960, 800, 290, 400, 400, 510, 840, 330, 370, 330, 350,
		640, 640, 640, 640, 640, 640, 640, 640, 640, 640, 350, 350, 840, 840, 840, 540,
		1010, 700, 700, 710, 780, 640, 590, 790, 760, 310, 310, 670, 570, 870, 760, 800,
		620, 800, 710, 640, 630, 740, 700, 1000, 700, 630, 700, 400, 350, 400, 840, 510,
		510, 630, 640, 560, 640, 630, 370, 640, 640, 290, 290, 590, 290, 980, 640, 620,
		640, 640, 430, 530, 400, 640, 600, 830, 600, 600, 540, 640, 350, 640, 840, 640,
	};

	if (is_between(c, 0x20, 0x7F))
		return ascii[c - 0x20];
	if (is_mark(c))
		return 0;
	return c < 0x1100 || is_between(c, 0x1E00, 0x2027) || is_between(c, 0x2030, 0x214F) ? 800 : 1050;
}

double
ChartTextWidth(const char *text, double size)
{
	double		width = 0;
	uint32_t	c;
	size_t		length;

	for (; (length = decode(text, &c)) > 0; text += length)
		width += advance(c);
	return width * size / 1000;
}

size_t
ChartTextFit(const char *text, double size, double room)
{
	double		left = room - size;	/* the ellipsis */
	size_t		fit = 0;
	size_t		at = 0;
	size_t		length;
	uint32_t	c;

	if (ChartTextWidth(text, size) <= room)
		return strlen(text);
	for (; (length = decode(text + at, &c)) > 0; at += length)
	{
		double		width = advance(c) * size / 1000;

		if (width > left)
			break;
		left -= width;
		fit = at + length;
	}
	return fit;
}

void
ChartAppendEscaped(SaasStrbuf *buf, const char *text, size_t length)
{
	size_t		plain = 0;

	for (size_t i = 0; i < length; i++)
	{
		const char *name = text[i] == '&' ? "&amp;" : text[i] == '<' ? "&lt;" : text[i] == '>' ? "&gt;" :
			text[i] == '"' ? "&quot;" : NULL;
		bool		is_ellipsis = length - i >= 3 && memcmp(text + i, "\xE2\x80\xA6", 3) == 0;

		if (name == NULL && !is_ellipsis)
			continue;
		SaasStrbufAppend(buf, text + plain, i - plain);
		SaasStrbufAppendText(buf, is_ellipsis ? CHART_ELLIPSIS : name);
		i += is_ellipsis ? 2 : 0;
		plain = i + 1;
	}
	SaasStrbufAppend(buf, text + plain, length - plain);
}
