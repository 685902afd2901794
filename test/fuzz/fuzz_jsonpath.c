/*
 * fuzz_jsonpath.c
 *	  pure/jsonpath.c and pure/json.c: a path, a line feed, and the document
 *	  that it is asked of.
 */
#include "pure/jsonpath.h"

#include "polls.h"

static void
select_from(const SaasJsonPath *path, json_t *document, SaasArena *arena)
{
	SaasJsonMatch *matches;
	size_t		count;
	size_t		enough = 1000000;
	size_t		little = 10;
	json_t	   *first = SaasJsonPathFirst(path, document, &enough);

	if (!SaasJsonPathSelect(path, document, arena, MAX_SAMPLES, &enough, &matches, &count))
	{
		must(first != NULL && enough > 0);
		return;
	}
	must(count <= MAX_SAMPLES && (count == 0) == (first == NULL));
	must(count <= 1 || SaasJsonPathHasWildcard(path));
	for (size_t i = 0; i < count; i++)
		must(matches[i].value != NULL && matches[i].element != NULL);
	if (count > 0)
		must(matches[0].value == first);
	must(!SaasJsonPathSelect(path, document, arena, MAX_SAMPLES, &little, &matches, &count) || little > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	SaasArena  *arena;
	SaasProblem problem = {.sqlstate = ""};
	SaasJsonPath *path;
	char	   *text;
	const char *body;

	if (end == NULL)
		return 0;
	arena = SaasArenaCreate(ARENA_SIZE);
	text = SaasArenaStrndup(arena, (const char *) data, (size_t) (end - data));
	body = (const char *) end + 1;
	path = SaasJsonPathParse(text, arena, &problem);
	if (path == NULL)
		must(strcmp(problem.sqlstate, "22023") == 0 && problem.message[0] != '\0');
	else
	{
		json_t	   *document = SaasJsonRead(body, size - (size_t) (body - (const char *) data), true,
											"it", &problem);

		must(*text == '$' || *text == '@');
		if (document != NULL)
			select_from(path, document, arena);
		else
			check_problem(&problem);
		json_decref(document);
	}
	SaasArenaDestroy(arena);
	return 0;
}
