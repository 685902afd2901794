/*
 * arena_context.h
 *	  Arenas that a memory context owns, so that an error frees and wipes them.
 */
#ifndef SAAS_ARENA_CONTEXT_H
#define SAAS_ARENA_CONTEXT_H

#include "postgres.h"

#include "base/arena.h"

/*
 * A new arena that is destroyed with the context at the latest.  Errors with
 * 53200 when the system has no memory.
 */
extern SaasArena *SaasArenaCreateIn(MemoryContext context, size_t max_bytes);

/*
 * Creates a child of parent that holds one arena: deleting the child destroys
 * it early.
 */
extern MemoryContext SaasArenaContextCreate(MemoryContext parent, size_t max_bytes,
											SaasArena **arena);

#endif							/* SAAS_ARENA_CONTEXT_H */
