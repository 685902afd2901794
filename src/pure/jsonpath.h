/*
 * jsonpath.h
 *	  The part of JSONPath (RFC 9535) that picks values out of an answer:
 *	  $.name, ["name"], [0], [-1], [*] and .*; no filter, slice or descent.
 *
 * A path that begins with "@" starts at the element that another path's last
 * wildcard stands on.
 */
#ifndef SAAS_JSONPATH_H
#define SAAS_JSONPATH_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/problem.h"

#define SAAS_JSONPATH_MAX_LENGTH	1024
#define SAAS_JSONPATH_MAX_STEPS		32

typedef struct SaasJsonPath SaasJsonPath;

/* A value that a path selects; both belong to the document. */
typedef struct SaasJsonMatch
{
	json_t	   *value;
	json_t	   *element;		/* the last wildcard's element, the start when none */
} SaasJsonMatch;

/* NULL with 22023 and the position in the message when text is no such path. */
extern SaasJsonPath *SaasJsonPathParse(const char *text, SaasArena *arena, SaasProblem *problem);

/* Whether the path begins with "@", and whether it has a wildcard. */
extern bool SaasJsonPathIsRelative(const SaasJsonPath *path);
extern bool SaasJsonPathHasWildcard(const SaasJsonPath *path);

/*
 * Both take from budget, the values that may still be looked at, one for each
 * that they look at, and stop when it is 0: a wildcard that finds nothing goes
 * through all there is, for each path that has it.
 */

/*
 * All values that path selects from start, in the document's order.  False
 * when there are more than max of them, or the budget or the arena is
 * exhausted.
 */
extern bool SaasJsonPathSelect(const SaasJsonPath *path, json_t *start, SaasArena *arena,
							   size_t max, size_t *budget, SaasJsonMatch **matches, size_t *count);

/* The first value that path selects, or NULL. */
extern json_t *SaasJsonPathFirst(const SaasJsonPath *path, json_t *start, size_t *budget);

#endif							/* SAAS_JSONPATH_H */
