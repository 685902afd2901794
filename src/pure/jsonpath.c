/*
 * jsonpath.c
 *	  The part of JSONPath (RFC 9535) that picks values out of an answer.
 *
 * A path is a short array of steps.  Selecting walks the document depth first
 * and keeps its place on a stack as deep as the path, so that neither a
 * hostile path nor a hostile document decides the depth of the C stack.
 */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "pure/jsonpath.h"

typedef enum StepKind
{
	STEP_NAME,
	STEP_INDEX,
	STEP_WILDCARD
} StepKind;

typedef struct Step
{
	StepKind	kind;
	const char *name;
	long		index;			/* negative: from the end */
} Step;

struct SaasJsonPath
{
	bool		relative;
	bool		wildcard;
	int			step_count;
	Step		steps[SAAS_JSONPATH_MAX_STEPS];
};

typedef struct Parser
{
	const char *text;
	const char *p;
	SaasArena  *arena;
	SaasProblem *problem;
} Parser;

static bool
fail(Parser *parser, const char *what)
{
	return SaasProblemSet(parser->problem, "22023", "%s at character %ld", what,
						  (long) (parser->p - parser->text) + 1);
}

static bool
is_name_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c >= 0x80;
}

/* ".name" and ".*"; the cursor is behind the point. */
static bool
parse_member(Parser *parser, Step *step)
{
	const char *start = parser->p;

	if (*start == '*')
	{
		step->kind = STEP_WILDCARD;
		parser->p++;
		return true;
	}
	while (is_name_char((unsigned char) *parser->p))
		parser->p++;
	if (parser->p == start)
		return fail(parser, "expected a name or *");
	step->kind = STEP_NAME;
	step->name = SaasArenaStrndup(parser->arena, start, (size_t) (parser->p - start));
	return step->name != NULL || fail(parser, "the path needs too much memory");
}

/* A name in quotes, single or double; a backslash takes the next character as it is. */
static bool
parse_quoted(Parser *parser, Step *step)
{
	char		quote = *parser->p++;
	SaasStrbuf	name;

	SaasStrbufInit(&name, parser->arena);
	for (; *parser->p != '\0' && *parser->p != quote; parser->p++)
	{
		if (*parser->p == '\\' && strchr("\\\"'/", parser->p[1]) == NULL)
			return fail(parser, "unknown escape");
		if (*parser->p == '\\' && *++parser->p == '\0')
			break;
		SaasStrbufAppendChar(&name, *parser->p);
	}
	if (*parser->p != quote)
		return fail(parser, "a quoted name does not end");
	parser->p++;
	step->kind = STEP_NAME;
	step->name = SaasStrbufFinish(&name);
	return step->name != NULL || fail(parser, "the path needs too much memory");
}

static bool
parse_index(Parser *parser, Step *step)
{
	const char *digits = *parser->p == '-' ? parser->p + 1 : parser->p;
	size_t		length = strspn(digits, "0123456789");

	if (length == 0)
		return fail(parser, "expected an index, a quoted name or *");
	if (length > 9)
		return fail(parser, "the index is too large");
	step->kind = STEP_INDEX;
	step->index = strtol(parser->p, NULL, 10);
	parser->p = digits + length;
	return true;
}

static bool
parse_step(Parser *parser, Step *step)
{
	if (*parser->p == '.')
	{
		parser->p++;
		return parse_member(parser, step);
	}
	if (*parser->p != '[')
		return fail(parser, "expected . or [");
	parser->p++;
	if (*parser->p == '*')
	{
		step->kind = STEP_WILDCARD;
		parser->p++;
	}
	else if (*parser->p == '"' || *parser->p == '\'')
	{
		if (!parse_quoted(parser, step))
			return false;
	}
	else if (!parse_index(parser, step))
		return false;
	if (*parser->p != ']')
		return fail(parser, "expected ]");
	parser->p++;
	return true;
}

SaasJsonPath *
SaasJsonPathParse(const char *text, SaasArena *arena, SaasProblem *problem)
{
	Parser		parser = {text, text, arena, problem};
	SaasJsonPath *path;

	if (strlen(text) > SAAS_JSONPATH_MAX_LENGTH)
	{
		SaasProblemSet(problem, "22023", "the path is longer than %d bytes",
					   SAAS_JSONPATH_MAX_LENGTH);
		return NULL;
	}
	if (*text != '$' && *text != '@')
	{
		fail(&parser, "expected $");
		return NULL;
	}
	path = SaasArenaAlloc(arena, sizeof(SaasJsonPath));
	if (path == NULL)
	{
		fail(&parser, "the path needs too much memory");
		return NULL;
	}
	path->relative = *parser.p++ == '@';
	while (*parser.p != '\0')
	{
		Step	   *step = &path->steps[path->step_count];

		if (path->step_count >= SAAS_JSONPATH_MAX_STEPS)
		{
			fail(&parser, "too many steps");
			return NULL;
		}
		if (!parse_step(&parser, step))
			return NULL;
		path->wildcard = path->wildcard || step->kind == STEP_WILDCARD;
		path->step_count++;
	}
	return path;
}

bool
SaasJsonPathIsRelative(const SaasJsonPath *path)
{
	return path->relative;
}

bool
SaasJsonPathHasWildcard(const SaasJsonPath *path)
{
	return path->wildcard;
}

/* A place on the way: the value a step starts from, and what was taken from it. */
typedef struct Place
{
	json_t	   *value;
	json_t	   *element;
	size_t		next;			/* of an array, or 0 for a step that gives one value */
	void	   *iterator;		/* of an object */
	bool		started;
} Place;

static json_t *
next_of_array(const Step *step, Place *place)
{
	size_t		size = json_array_size(place->value);

	if (step->kind == STEP_WILDCARD)
		return place->next < size ? json_array_get(place->value, place->next++) : NULL;
	if (step->kind == STEP_NAME || place->started)
		return NULL;
	place->started = true;
	if (step->index >= 0)
		return json_array_get(place->value, (size_t) step->index);
	return (size_t) -step->index <= size ?
		json_array_get(place->value, size - (size_t) -step->index) : NULL;
}

static json_t *
next_of_object(const Step *step, Place *place)
{
	if (step->kind == STEP_WILDCARD)
	{
		place->iterator = place->started ?
			json_object_iter_next(place->value, place->iterator) :
			json_object_iter(place->value);
		place->started = true;
		return place->iterator != NULL ? json_object_iter_value(place->iterator) : NULL;
	}
	if (step->kind == STEP_INDEX || place->started)
		return NULL;
	place->started = true;
	return json_object_get(place->value, step->name);
}

/* The next value that the step takes from its place, NULL when there is none. */
static json_t *
next_value(const Step *step, Place *place)
{
	if (json_is_array(place->value))
		return next_of_array(step, place);
	if (json_is_object(place->value))
		return next_of_object(step, place);
	return NULL;
}

typedef struct Walk
{
	const SaasJsonPath *path;
	Place		places[SAAS_JSONPATH_MAX_STEPS + 1];
	int			depth;			/* -1: at the end */
	size_t	   *budget;
} Walk;

static void
walk_start(Walk *walk, const SaasJsonPath *path, json_t *start, size_t *budget)
{
	walk->path = path;
	walk->depth = 0;
	walk->budget = budget;
	memset(&walk->places[0], 0, sizeof(Place));
	walk->places[0].value = start;
	walk->places[0].element = start;
}

static bool
walk_next(Walk *walk, SaasJsonMatch *match)
{
	while (walk->depth >= 0 && *walk->budget > 0)
	{
		Place	   *place = &walk->places[walk->depth];
		const Step *step = &walk->path->steps[walk->depth];
		json_t	   *value;

		--*walk->budget;
		if (walk->depth == walk->path->step_count)
		{
			match->value = place->value;
			match->element = place->element;
			walk->depth--;
			return true;
		}
		value = next_value(step, place);
		if (value == NULL)
		{
			walk->depth--;
			continue;
		}
		walk->depth++;
		memset(&place[1], 0, sizeof(Place));
		place[1].value = value;
		place[1].element = step->kind == STEP_WILDCARD ? value : place->element;
	}
	return false;
}

bool
SaasJsonPathSelect(const SaasJsonPath *path, json_t *start, SaasArena *arena,
				   size_t max, size_t *budget, SaasJsonMatch **matches, size_t *count)
{
	Walk		walk;
	SaasJsonMatch match;
	size_t		capacity = 0;

	*matches = NULL;
	*count = 0;
	walk_start(&walk, path, start, budget);
	while (walk_next(&walk, &match))
	{
		if (*count >= max)
			return false;
		if (*count >= capacity)
		{
			SaasJsonMatch *more;

			capacity = capacity == 0 ? 4 : capacity * 2;
			more = SaasArenaAlloc(arena, capacity * sizeof(SaasJsonMatch));
			if (more == NULL)
				return false;
			if (*count > 0)
				memcpy(more, *matches, *count * sizeof(SaasJsonMatch));
			*matches = more;
		}
		(*matches)[(*count)++] = match;
	}
	return *budget > 0;
}

json_t *
SaasJsonPathFirst(const SaasJsonPath *path, json_t *start, size_t *budget)
{
	Walk		walk;
	SaasJsonMatch match;

	walk_start(&walk, path, start, budget);
	return walk_next(&walk, &match) ? match.value : NULL;
}
