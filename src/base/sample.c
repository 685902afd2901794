/*
 * sample.c
 *	  A growing list of samples in an arena.
 */
#include <string.h>

#include "base/arena.h"
#include "base/sample.h"

#define INITIAL_CAPACITY	64

bool
SaasSampleListAdd(SaasSampleList *list, struct SaasArena *arena,
				  const SaasSample *sample, size_t max_samples)
{
	if (list->count >= max_samples)
		return false;
	if (list->count >= list->capacity)
	{
		size_t		capacity = list->capacity == 0 ? INITIAL_CAPACITY : list->capacity * 2;
		SaasSample *items;

		if (capacity > max_samples)
			capacity = max_samples;
		if (capacity > (size_t) -1 / sizeof(SaasSample))
			return false;
		items = SaasArenaAlloc(arena, capacity * sizeof(SaasSample));
		if (items == NULL)
			return false;
		if (list->count > 0)
			memcpy(items, list->items, list->count * sizeof(SaasSample));
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = *sample;
	return true;
}
