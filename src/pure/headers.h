/*
 * headers.h
 *	  The HTTP headers that PostgREST hands over and takes back as JSON:
 *	  request.headers is an object, response.headers an array of objects with
 *	  one member each.
 */
#ifndef SAAS_HEADERS_H
#define SAAS_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/http.h"

/* Bounds of an answer's headers; common proxies refuse more than 8 kB of them. */
#define SAAS_MAX_HEADERS			64
#define SAAS_MAX_HEADER_NAME		64
#define SAAS_MAX_HEADER_VALUE		4096

/*
 * Reads the strings of those lower-case names from the object of a request's
 * headers; NULL for a name that is absent or no string.  False, and all NULL,
 * when the text is no JSON object: nothing of it is reported, for it may hold
 * a token.
 */
extern bool SaasHeadersOfRequest(const char *text, size_t length, const char *const *names,
								 int count, SaasArena *arena, const char **values);

/*
 * Reads an answer's headers in order.  What is no header is left out: other
 * code may have written the text.
 */
extern SaasHeader *SaasHeadersOfAnswer(const char *text, size_t length, SaasArena *arena);

/*
 * Sets a header: replaces those of the same name whatever its case, but
 * Set-Cookie appends (RFC 6265, section 3).  The value is UTF-8; its control
 * characters and the blanks around it are left out.  False, with the list as
 * it was, when the name is no token or a bound is exceeded.
 */
extern bool SaasHeadersSet(SaasHeader **list, SaasArena *arena, const char *name, const char *value);

/* The answer's headers as JSON; NULL when the arena is exhausted. */
extern char *SaasHeadersWrite(const SaasHeader *list, SaasArena *arena);

#endif							/* SAAS_HEADERS_H */
