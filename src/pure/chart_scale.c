/*
 * chart_scale.c
 *	  Axes of values: ticks of 1, 2 or 5 times a power, and numbers as people read them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pure/chart_internal.h"

/* Steps of less than this part of the values cannot be told apart in a label. */
#define LEAST_RANGE		1e-9
#define SMALLEST_VALUE	1e-300

static const char *const si_prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
static const char *const byte_units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
static const char *const small_seconds[] = {" s", " ms", " \xC2\xB5s", " ns"};

#define MAX_PREFIX		6

double
ChartClamp(double value)
{
	if (fabs(value) < SMALLEST_VALUE)
		return 0;
	return value > CHART_MAX_VALUE ? CHART_MAX_VALUE : value < -CHART_MAX_VALUE ? -CHART_MAX_VALUE : value;
}

/* The least of 1, 2, 5 times a power of ten that is not below. */
static double
round_step(double least)
{
	double		power = pow(10, floor(log10(least)));
	double		digit = least / power;

	/* As pow and log10 round, a step that fits exactly may seem a little larger. */
	digit -= digit * 1e-9;
	return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* The power of base that a number of the unit is written in, from 0 to MAX_PREFIX. */
static int
prefix_of(double value, double base)
{
	int			prefix = 0;

	for (value = fabs(value); value >= base && prefix < MAX_PREFIX; value /= base)
		prefix++;
	return prefix;
}

static double
choose_step(double least, SaasChartUnit unit)
{
	int			prefix;
	double		factor;
	double		step;

	if (unit != SAAS_CHART_BYTES || least < 1)
		return round_step(least);
	prefix = prefix_of(least, 1024);
	factor = pow(1024, prefix);
	step = round_step(least / factor);
	/* Half of the next unit, where there is one, and that itself. */
	return factor * (step < 500 || prefix == MAX_PREFIX ? step : step < 1000 ? 512 : 1024);
}

void
ChartScaleChoose(ChartScale *scale, double min, double max, int max_steps, bool from_zero, SaasChartUnit unit)
{
	double		largest = fmax(fabs(min), fabs(max));

	if (from_zero || (min > 0 && min <= max / 2))
		min = fmin(min, 0);
	if (from_zero || (max < 0 && max >= min / 2))
		max = fmax(max, 0);
	if (max - min <= largest * LEAST_RANGE)
	{
		double		pad = largest == 0 ? 1 : largest / 10;

		min -= max == 0 ? 0 : pad;
		max += pad;
	}
	scale->unit = unit;
	scale->step = choose_step((max - min) / max_steps, unit);
	for (;;)
	{
		scale->low = floor(min / scale->step + 1e-9) * scale->step;
		scale->steps = (int) ceil((max - scale->low) / scale->step - 1e-9);
		if (scale->steps <= max_steps)
			break;
		/* Rounding outwards took one more than there is room for. */
		scale->step = choose_step(scale->step * 1.1, unit);
	}
	scale->steps = scale->steps < 1 ? 1 : scale->steps;
	scale->high = ChartScaleTick(scale, scale->steps);
}

double
ChartScaleTick(const ChartScale *scale, int i)
{
	/* Of whole steps, so that 0 is 0. */
	return (round(scale->low / scale->step) + i) * scale->step;
}

static void
drop_zeros(char *text)
{
	char	   *end = text + strlen(text);

	if (strchr(text, '.') == NULL || strchr(text, 'e') != NULL)
		return;
	while (end[-1] == '0')
		*--end = '\0';
	if (end[-1] == '.')
		end[-1] = '\0';
}

/* "-1234567.5" to "-1,234,567.5". */
static void
group_digits(char *text)
{
	char		plain[CHART_NUMBER_SIZE];
	size_t		start = text[0] == '-';
	size_t		whole;
	char	   *p = text + start;

	if (strchr(text, 'e') != NULL)
		return;
	memcpy(plain, text, strlen(text) + 1);
	whole = strspn(plain + start, "0123456789");
	if (strlen(plain) + whole / 3 >= CHART_NUMBER_SIZE)
		return;
	for (size_t i = 0; i < whole; i++)
	{
		if (i > 0 && (whole - i) % 3 == 0)
			*p++ = ',';
		*p++ = plain[start + i];
	}
	memcpy(p, plain + start + whole, strlen(plain + start + whole) + 1);
}

/* Decimals, as many as count after rounding to so many digits; of huge and tiny numbers an exponent. */
static void
format_digits(char *text, double value, int digits)
{
	double		size = fabs(value);
	int			decimals = 0;

	if (size >= 1e15 || (size > 0 && size < 1e-5))
	{
		(void) snprintf(text, CHART_NUMBER_SIZE, "%.*g", digits, value);
		return;
	}
	if (size > 0)
		decimals = digits - 1 - (int) floor(log10(size));
	decimals = decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
	(void) snprintf(text, CHART_NUMBER_SIZE, "%.*f", decimals, value);
	drop_zeros(text);
	group_digits(text);
}

static void
append_unit(char *text, const char *unit)
{
	size_t		length = strlen(text);

	(void) snprintf(text + length, CHART_NUMBER_SIZE - length, "%s", unit);
}

/* In the largest prefix that leaves at least 1; 999.96k is 1M. */
static void
format_prefixed(char *text, double value, double base, const char *const *units, int digits)
{
	int			prefix = prefix_of(value, base);
	double		scaled = value / pow(base, prefix);

	if (prefix < MAX_PREFIX && fabs(scaled) >= base * (1 - 0.5 * pow(10, -digits)))
		scaled = value / pow(base, ++prefix);
	format_digits(text, scaled, digits);
	append_unit(text, units[prefix]);
}

static void
format_seconds(char *text, double value, int digits)
{
	int			prefix = 0;
	double		size = fabs(value);

	while (size > 0 && size < 1 - 1e-9 && prefix < 3)
	{
		size *= 1000;
		prefix++;
	}
	format_digits(text, value * pow(1000, prefix), digits);
	append_unit(text, small_seconds[prefix]);
}

static void
format_number(char *text, double value, SaasChartUnit unit, int digits)
{
	value = ChartClamp(value);
	switch (unit)
	{
		case SAAS_CHART_PLAIN:
			/* Whole numbers are whole: it may be people that are counted. */
			format_digits(text, value, value == floor(value) && digits < 15 ? 15 : digits);
			break;
		case SAAS_CHART_SI:
			format_prefixed(text, value, 1000, si_prefixes, digits);
			break;
		case SAAS_CHART_BYTES:
			format_prefixed(text, value, 1024, byte_units, digits);
			break;
		case SAAS_CHART_PERCENT:
			format_digits(text, value, digits);
			append_unit(text, "%");
			break;
		case SAAS_CHART_SECONDS:
			format_seconds(text, value, digits);
			break;
	}
}

void
ChartFormatNumber(char *text, double value, SaasChartUnit unit)
{
	format_number(text, value, unit, 4);
}

/* Digits from the first of the tick to the first of the step, so that neighbours differ. */
void
ChartFormatTick(char *text, const ChartScale *scale, int i)
{
	double		value = ChartScaleTick(scale, i);
	int			digits = 1;

	if (value != 0)
		digits += (int) fmax(0, floor(log10(fabs(value)) + 1e-9) - floor(log10(scale->step) + 1e-9));
	if (scale->unit == SAAS_CHART_BYTES && scale->step >= 1)
	{
		/* In one unit, whose halves or multiples the steps are. */
		int			prefix = prefix_of(scale->step * 2, 1024);

		format_digits(text, value / pow(1024, prefix), 15);
		append_unit(text, byte_units[prefix]);
		return;
	}
	format_number(text, value, scale->unit, digits);
}
