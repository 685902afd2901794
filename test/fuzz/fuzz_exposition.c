/*
 * fuzz_exposition.c
 *	  pure/exposition.c: the Prometheus text format (first byte p) and
 *	  OpenMetrics (o).
 */
#include "pure/exposition.h"

#include "polls.h"

/* A reader of lines makes no more samples than there are lines, and needs little more than they. */
static void
check_bounds(const SaasSampleList *samples, const SaasArena *arena, const char *body, size_t length)
{
	size_t		lines = 1;

	for (size_t i = 0; i < length; i++)
		lines += body[i] == '\n';
	must(samples->count <= lines);
	must(SaasArenaUsed(arena) <= 64 * 1024 + 64 * length + 512 * lines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SaasArena  *arena;
	SaasSampleList samples = {0};
	SaasProblem problem = {.sqlstate = ""};
	SaasExpositionFormat format;
	const char *body = (const char *) data + 1;

	if (size == 0 || (data[0] != 'p' && data[0] != 'o'))
		return 0;
	format = data[0] == 'o' ? SAAS_EXPOSITION_OPENMETRICS : SAAS_EXPOSITION_PROMETHEUS;
	arena = SaasArenaCreate(ARENA_SIZE);
	if (!SaasExpositionParse(body, size - 1, format, arena, MAX_SAMPLES, &samples, &problem))
	{
		check_problem(&problem);
		must(strcmp(problem.sqlstate, "22P02") == 0 || strcmp(problem.sqlstate, "54000") == 0 ||
			 strcmp(problem.sqlstate, "53200") == 0);
	}
	check_samples(&samples, MAX_SAMPLES);
	check_bounds(&samples, arena, body, size - 1);
	SaasArenaDestroy(arena);
	return 0;
}
