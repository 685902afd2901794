/*
 * number.c
 *	  Strict reader of decimal numbers in text that a peer sent.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#define MAX_LENGTH	400

static size_t
skip_digits(const char *text, size_t *at)
{
	size_t		start = *at;

	while (text[*at] >= '0' && text[*at] <= '9')
		(*at)++;
	return *at - start;
}

bool
SaasNumberParse(const char *text, size_t length, double *value)
{
	char		copy[MAX_LENGTH + 1];	/* strtod needs the NUL */
	size_t		at = 0;
	size_t		digits;

	if (length == 0 || length > MAX_LENGTH)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';

	if (copy[at] == '+' || copy[at] == '-')
		at++;
	digits = skip_digits(copy, &at);
	if (copy[at] == '.')
	{
		at++;
		digits += skip_digits(copy, &at);
	}
	if (digits == 0)
		return false;
	if (copy[at] == 'e' || copy[at] == 'E')
	{
		at++;
		if (copy[at] == '+' || copy[at] == '-')
			at++;
		if (skip_digits(copy, &at) == 0)
			return false;
	}
	if (at != length)
		return false;
	*value = strtod(copy, NULL);
	return isfinite(*value);
}
