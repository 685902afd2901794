/*
 * arena_context.c
 *	  Arenas that a memory context owns.
 */
#include "postgres.h"

#include "server/arena_context.h"
#include "utils/memutils.h"

static void
destroy_arena(void *arena)
{
	SaasArenaDestroy(arena);
}

SaasArena *
SaasArenaCreateIn(MemoryContext context, size_t max_bytes)
{
	/* Allocated first: once the arena exists nothing may throw. */
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(*callback));
	SaasArena  *arena = SaasArenaCreate(max_bytes);

	if (arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to create an arena.")));
	callback->func = destroy_arena;
	callback->arg = arena;
	MemoryContextRegisterResetCallback(context, callback);
	return arena;
}

MemoryContext
SaasArenaContextCreate(MemoryContext parent, size_t max_bytes, SaasArena **arena)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_saas arena",
												  ALLOCSET_SMALL_SIZES);

	*arena = SaasArenaCreateIn(context, max_bytes);
	return context;
}
