/*
 * sample.c
 *	  Samples: which times are believed, and a growing list in an arena.
 */
#include <string.h>

#include "base/arena.h"
#include "base/sample.h"

#define INITIAL_CAPACITY	64

bool
SaasSampleIsTimely(const SaasSample *sample, int64_t now_ms)
{
	return !sample->has_time ||
		(sample->time_ms >= now_ms - SAAS_OLDEST_SAMPLE_MS &&
		 sample->time_ms <= now_ms + SAAS_FUTURE_SAMPLE_MS);
}

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
