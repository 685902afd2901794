/*
 * response.h
 *	  The headers of the HTTP answer that the transaction will give.
 *
 * They live in response.headers, the setting from which PostgREST takes them:
 * local to the transaction and undone with a savepoint, as all settings are.
 */
#ifndef SAAS_RESPONSE_H
#define SAAS_RESPONSE_H

#include "postgres.h"

#include "base/arena.h"
#include "base/http.h"

typedef struct SaasHeaderPair
{
	const char *name;
	const char *value;
} SaasHeaderPair;

/*
 * Sets a header: replaces one of the same name, Set-Cookie appends; control
 * characters are left out.  22023 for a name that is no token (RFC 9110,
 * section 5.6.2) and beyond the bounds of pure/headers.h.
 */
extern void SaasResponseSetHeader(const char *name, const char *value);

/* The headers set so far, in the arena. */
extern SaasHeader *SaasResponseHeaders(SaasArena *arena);

/*
 * The same for several, for who has the headers set so far at hand: adds to the
 * list and stores it.
 */
extern void SaasResponseAddHeaders(SaasHeader **list, SaasArena *arena,
								   const SaasHeaderPair *pairs, int count);

/* Of an arena that reads and writes an answer's headers a few times. */
#define SAAS_ANSWER_ARENA_SIZE	(4 * 1024 * 1024)

#endif							/* SAAS_RESPONSE_H */
