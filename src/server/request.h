/*
 * request.h
 *	  The headers of the HTTP request that the transaction answers.
 */
#ifndef SAAS_REQUEST_H
#define SAAS_REQUEST_H

#include "postgres.h"

#include "base/arena.h"

/* Of an arena that reads a request's headers. */
#define SAAS_REQUEST_ARENA_SIZE	(64 * 1024 + SAAS_MAX_REQUEST_HEADERS)

/*
 * What HTTP layers let in is some 64 kB, which JSON may write six times as
 * long: a client cannot make its headers unreadable by their length.
 */
#define SAAS_MAX_REQUEST_HEADERS	(512 * 1024)

/*
 * The values of those lower-case names, in UTF-8 and the arena; NULL for what
 * is not there.  False, and all NULL, when there are headers that cannot be
 * read.
 */
extern bool SaasRequestHeaders(SaasArena *arena, const char *const *names, int count, const char **values);

#endif							/* SAAS_REQUEST_H */
