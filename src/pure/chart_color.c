/*
 * chart_color.c
 *	  Colours of charts, and which series has which.
 *
 * Every colour has at least three times the luminance of its background, or a
 * third (WCAG 2.1, 1.4.11), texts 4.5 times.  The six of the series differ by a
 * CIE76 distance of 30 or more from each other, also as protanopes,
 * deuteranopes and tritanopes see them (Machado et al. 2009).
 */
#include <string.h>

#include "pure/chart_internal.h"
#include "pure/chart_paints.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

const ChartColors ChartPaintColors[CHART_PAINTS] = {
	[CHART_BACKGROUND] = {"#ffffff", "#161b22"},
	[CHART_TEXT] = {"#1f2328", "#e6edf3"},
	[CHART_MUTED] = {"#59636e", "#9da7b3"},
	[CHART_GRID] = {"#d8dee4", "#30363d"},
	[CHART_ENVIRONMENT_NONE] = {"#6e7781", "#9198a1"},
	[CHART_PRODUCTION] = {"#cf222e", "#ff6a69"},
	[CHART_STAGING] = {"#bf8700", "#e3b341"},
	[CHART_DEVELOPMENT] = {"#0969da", "#58a6ff"},
	[CHART_OK] = {"#1a7f37", "#3fb950"},
	[CHART_INFO] = {"#0969da", "#58a6ff"},
	[CHART_WARNING] = {"#bf8700", "#e3b341"},
	[CHART_CRITICAL] = {"#cf222e", "#ff6a69"},
	[CHART_SERIES] = {"#0072b2", "#4da3e0"},
	[CHART_SERIES + 1] = {"#e61e6e", "#ce5555"},
	[CHART_SERIES + 2] = {"#b37314", "#ffd942"},
	[CHART_SERIES + 3] = {"#394508", "#61ffa0"},
	[CHART_SERIES + 4] = {"#8a00e6", "#8161ff"},
	[CHART_SERIES + 5] = {"#6b0056", "#cce1f0"},
};

/* Once every colour was used. */
static const char *const dashes[] = {NULL, "7 3", "2 2", "8 3 2 3", "14 4", "1 4"};

static const ChartPaint environment_paints[] = {
	[SAAS_CHART_NONE] = CHART_ENVIRONMENT_NONE,
	[SAAS_CHART_PRODUCTION] = CHART_PRODUCTION,
	[SAAS_CHART_STAGING] = CHART_STAGING,
	[SAAS_CHART_DEVELOPMENT] = CHART_DEVELOPMENT,
};

static const char *const environment_names[] = {
	[SAAS_CHART_PRODUCTION] = "production",
	[SAAS_CHART_STAGING] = "staging",
	[SAAS_CHART_DEVELOPMENT] = "development",
};

const char *
ChartEnvironmentName(SaasChartEnvironment environment)
{
	return environment < LENGTH_OF(environment_names) ? environment_names[environment] : NULL;
}

SaasChartEnvironment
SaasChartEnvironmentByName(const char *name)
{
	for (size_t i = 0; name != NULL && i < LENGTH_OF(environment_names); i++)
	{
		if (environment_names[i] != NULL && strcmp(environment_names[i], name) == 0)
			return (SaasChartEnvironment) i;
	}
	return SAAS_CHART_NONE;
}

bool
SaasChartUnitByName(const char *name, SaasChartUnit *unit)
{
	static const char *const names[] = {"plain", "si", "bytes", "percent", "seconds"};

	for (size_t i = 0; i < LENGTH_OF(names); i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*unit = (SaasChartUnit) i;
			return true;
		}
	}
	return false;
}

bool
SaasChartThemeByName(const char *name, SaasChartTheme *theme)
{
	static const char *const names[] = {"auto", "light", "dark"};

	for (size_t i = 0; i < LENGTH_OF(names); i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*theme = (SaasChartTheme) i;
			return true;
		}
	}
	return false;
}

bool
ChartChooseStyles(const SaasChartEnvironment *environments, int count, ChartStyle *styles)
{
	int			known[SAAS_CHART_DEVELOPMENT + 1] = {0};
	bool		is_shared = false;

	for (int i = 0; i < count; i++)
		is_shared |= ++known[environments[i]] > 1;
	for (int i = 0; i < count; i++)
	{
		styles[i].dashes = NULL;
		if (!is_shared && known[SAAS_CHART_UNKNOWN] == 0)
			styles[i].paint = environment_paints[environments[i]];
		else
		{
			styles[i].paint = (ChartPaint) (CHART_SERIES + i % CHART_SERIES_PAINTS);
			styles[i].dashes = dashes[i / CHART_SERIES_PAINTS % (int) LENGTH_OF(dashes)];
		}
	}
	return is_shared && known[SAAS_CHART_UNKNOWN] == 0;
}
