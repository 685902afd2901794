/*
 * http.c
 *	  An HTTP request and its response.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/http.h"

#define MAX_RETRY_AFTER_S	86400

bool
SaasHttpIsToken(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		char		c = *text;

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			strchr("!#$%&'*+-.^_`|~", c) == NULL)
			return false;
	}
	return true;
}

int
SaasControlLength(const char *text)
{
	unsigned char c = (unsigned char) text[0];

	if (c != '\0' && (c < 0x20 || c == 0x7F))
		return 1;
	return c == 0xC2 && (unsigned char) text[1] >= 0x80 && (unsigned char) text[1] <= 0x9F ? 2 : 0;
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

bool
SaasRequestAddHeader(SaasRequest *request, SaasArena *arena,
					 const char *name, const char *value)
{
	SaasHeader *header;
	SaasHeader **last = &request->headers;

	if (name == NULL || value == NULL || !SaasHttpIsToken(name) || has_control(value))
		return false;
	header = SaasArenaAlloc(arena, sizeof(SaasHeader));
	if (header == NULL)
		return false;
	header->name = SaasArenaStrdup(arena, name);
	header->value = SaasArenaStrdup(arena, value);
	if (header->name == NULL || header->value == NULL)
		return false;

	while (*last != NULL)
		last = &(*last)->next;
	*last = header;
	return true;
}

const char *
SaasResponseHeader(const SaasResponse *response, const char *name)
{
	for (const SaasHeader *header = response->headers; header != NULL; header = header->next)
		if (strcmp(header->name, name) == 0)
			return header->value;
	return NULL;
}

/*
 * The three date forms that a recipient must take (RFC 9110, section 5.6.7).
 * Fields are bounded by their widths; SaasCalendarSeconds checks the ranges.
 */
static bool
scan_http_date(const char *text, int length, long long now_s, SaasDate *date, char month[4])
{
	int			end = 0;

	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &date->day, month,
			   &date->year, &date->hour, &date->minute, &date->second, &end) == 6 &&
		end == length)
		return true;

	if (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &date->day, month,
			   &date->year, &date->hour, &date->minute, &date->second, &end) == 6 &&
		end == length)
	{
		/* A two-digit year that looks over 50 years ahead is a past one. */
		date->year += 2000;
		if (date->year > 1970 + now_s / 31556952 + 50)
			date->year -= 100;
		return true;
	}

	return sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &date->day,
				  &date->hour, &date->minute, &date->second, &date->year, &end) == 6 &&
		end == length;
}

static bool
parse_http_date(const char *text, int length, long long now_s, int64_t *seconds)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	SaasDate	date = {0};
	char		month[4] = "";
	const char *found;

	if (!scan_http_date(text, length, now_s, &date, month))
		return false;
	found = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (found == NULL || (found - months) % 3 != 0)
		return false;
	date.month = (int) (found - months) / 3 + 1;
	return SaasCalendarSeconds(&date, seconds);
}

bool
SaasHttpDate(const char *value, long long now_s, long long *seconds)
{
	size_t		length = value != NULL ? strlen(value) : 0;
	int64_t		found;

	if (length == 0 || length >= 64 || !parse_http_date(value, (int) length, now_s, &found))
		return false;
	*seconds = found;
	return true;
}

int
SaasRetryAfter(const char *value, long long now_s)
{
	char		text[64];
	size_t		length;
	int64_t		seconds = 0;

	if (value == NULL)
		return 0;
	value += strspn(value, " \t");
	length = strlen(value);
	while (length > 0 && strchr(" \t", value[length - 1]) != NULL)
		length--;
	if (length == 0 || length >= sizeof(text))
		return 0;
	memcpy(text, value, length);
	text[length] = '\0';

	if (strspn(text, "0123456789") == length)
	{
		for (const char *p = text; *p != '\0' && seconds <= MAX_RETRY_AFTER_S; p++)
			seconds = seconds * 10 + (*p - '0');
	}
	else if (parse_http_date(text, (int) length, now_s, &seconds))
		seconds -= now_s;
	else
		return 0;

	if (seconds < 0)
		return 0;
	return seconds > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : (int) seconds;
}
