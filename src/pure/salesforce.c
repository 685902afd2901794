/*
 * salesforce.c
 *	  Readers of Salesforce's documents: REST limits and ids.
 */
#include <ctype.h>
#include <string.h>

#include "pure/json.h"
#include "pure/salesforce.h"

#define MAX_LIMITS		2000
#define MAX_LEVELS		8
#define MAX_NAME_LENGTH	1000
#define MAX_SHOWN_NAME	80

typedef struct LimitList
{
	SaasArena  *arena;
	SaasProblem *problem;
	SaasSalesforceLimit *items;
	size_t		count;
	size_t		capacity;
} LimitList;

static bool
fail_memory(SaasProblem *problem)
{
	return SaasProblemSet(problem, "53200", "the limits need too much memory");
}

static bool
add_limit(LimitList *list, const char *name, json_t *max, json_t *remaining)
{
	SaasSalesforceLimit *limit;

	if (list->count >= MAX_LIMITS)
		return SaasProblemSet(list->problem, "22P02", "the answer holds more than %d limits",
							  MAX_LIMITS);
	if (list->count >= list->capacity)
	{
		size_t		capacity = list->capacity == 0 ? 128 : list->capacity * 2;
		SaasSalesforceLimit *items = SaasArenaAlloc(list->arena, capacity * sizeof(*items));

		if (items == NULL)
			return fail_memory(list->problem);
		if (list->count > 0)
			memcpy(items, list->items, list->count * sizeof(*items));
		list->items = items;
		list->capacity = capacity;
	}
	limit = &list->items[list->count++];
	limit->name = name;
	limit->max = json_number_value(max);
	limit->remaining = json_number_value(remaining);
	return true;
}

static const char *
join_name(LimitList *list, const char *parent, const char *key)
{
	const char *name;

	if (*key == '\0' || strlen(parent) + strlen(key) > MAX_NAME_LENGTH)
	{
		SaasProblemSet(list->problem, "22P02", "the name of a limit is empty or too long");
		return NULL;
	}
	name = *parent == '\0' ? SaasArenaStrdup(list->arena, key) :
		SaasArenaPrintf(list->arena, "%s.%s", parent, key);
	if (name == NULL)
		fail_memory(list->problem);
	return name;
}

/* A long name is no limit's, and what it is instead had better not be shown. */
static bool
fail_limit(SaasProblem *problem, const char *name)
{
	if (strlen(name) > MAX_SHOWN_NAME)
		return SaasProblemSet(problem, "22P02", "a limit lacks the numbers Max and Remaining");
	return SaasProblemSet(problem, "22P02", "\"%s\" lacks the numbers Max and Remaining", name);
}

/* Limits inside object, at the given level; Max and Remaining are its own. */
static bool
read_level(LimitList *list, json_t *object, const char *parent, int level)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(object, key, value)
	{
		const char *name;
		json_t	   *max;
		json_t	   *remaining;

		/* Salesforce may add other facts to a limit one day. */
		if (level > 1 && !json_is_object(value))
			continue;
		name = join_name(list, parent, key);
		if (name == NULL)
			return false;
		if (level > MAX_LEVELS)
			return SaasProblemSet(list->problem, "22P02", "limits nested deeper than %d levels",
								  MAX_LEVELS);
		max = json_object_get(value, "Max");
		remaining = json_object_get(value, "Remaining");
		if (!json_is_number(max) || !json_is_number(remaining))
			return fail_limit(list->problem, name);
		if (!add_limit(list, name, max, remaining) || !read_level(list, value, name, level + 1))
			return false;
	}
	return true;
}

bool
SaasSalesforceLimitsRead(const char *body, size_t length, SaasArena *arena,
						 SaasSalesforceLimit **limits, size_t *count,
						 SaasProblem *problem)
{
	LimitList	list = {0};
	json_t	   *document = SaasJsonRead(body, length, true, "the answer", problem);
	bool		done;

	if (document == NULL)
		return false;
	list.arena = arena;
	list.problem = problem;
	done = json_is_object(document) ? read_level(&list, document, "", 1) :
		SaasProblemSet(problem, "22P02", "the answer is not an object of limits");
	json_decref(document);
	*limits = list.items;
	*count = list.count;
	return done;
}

bool
SaasSalesforceIdNormalize(const char *id, char normalized[19])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
	size_t		length = strlen(id);

	if (length != 15 && length != 18)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char) id[i] > 0x7F || !isalnum((unsigned char) id[i]))
			return false;

	memcpy(normalized, id, 15);
	for (int group = 0; group < 3; group++)
	{
		int			bits = 0;

		for (int i = 0; i < 5; i++)
			if (id[group * 5 + i] >= 'A' && id[group * 5 + i] <= 'Z')
				bits |= 1 << i;
		normalized[15 + group] = digits[bits];
	}
	normalized[18] = '\0';
	for (size_t i = 15; i < length; i++)
		if (toupper((unsigned char) id[i]) != normalized[i])
			return false;
	return true;
}
