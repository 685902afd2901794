/*
 * arena.h
 *	  Bounded region of memory for code that knows no PostgreSQL.
 *
 * The pure layers and the connectors run in a backend, in the unit tests and
 * under fuzzers alike, so they cannot palloc.  Everything they make for one
 * poll lives in one arena that its owner destroys; destroying wipes, because
 * tokens and passwords pass through here.
 */
#ifndef SAAS_ARENA_H
#define SAAS_ARENA_H

#include <stddef.h>

typedef struct SaasArena SaasArena;

/*
 * A new arena that hands out at most max_bytes in total; NULL when the system
 * has no memory.
 */
extern SaasArena *SaasArenaCreate(size_t max_bytes);

/* Wipes and frees everything; NULL is allowed. */
extern void SaasArenaDestroy(SaasArena *arena);

/*
 * Zeroed memory aligned for any type, or NULL when the bound or the system's
 * memory is exhausted.  A size of 0 gives a unique non-NULL pointer.
 */
extern void *SaasArenaAlloc(SaasArena *arena, size_t size);

/* NUL-terminated copies; NULL when exhausted or when text is NULL. */
extern char *SaasArenaStrdup(SaasArena *arena, const char *text);
extern char *SaasArenaStrndup(SaasArena *arena, const char *text, size_t length);

/* printf into the arena; NULL when exhausted. */
extern char *SaasArenaPrintf(SaasArena *arena, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Bytes handed out so far. */
extern size_t SaasArenaUsed(const SaasArena *arena);

#endif							/* SAAS_ARENA_H */
