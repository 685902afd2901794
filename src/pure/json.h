/*
 * json.h
 *	  Guarded door to jansson for documents that a peer sent.
 *
 * jansson needs up to 80 bytes of memory for one byte of "[[],[],...", and
 * the excerpts in its error texts may hold a token; both end here.
 */
#ifndef SAAS_JSON_H
#define SAAS_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/problem.h"

#define SAAS_JSON_MAX_VALUES	200000	/* values of one document */

/*
 * Reads any JSON value.  Duplicate keys, NUL, bad UTF-8, numbers beyond their
 * type, nesting beyond 2,048 levels and more than SAAS_JSON_MAX_VALUES values
 * are refused with 22P02 and a message that begins with what ("the answer")
 * and says where, never quoting the document.  all_real makes integers double
 * too, for documents whose integers may exceed 64 bits.  The caller frees the
 * value with json_decref; whatever jansson frees is wiped first, because
 * answers and configs hold tokens.
 */
extern json_t *SaasJsonRead(const char *text, size_t length, bool all_real,
							const char *what, SaasProblem *problem);

/* Has jansson wipe what it frees.  Called by whatever makes its values. */
extern void SaasJsonSetUp(void);

/* The string member of that name, or NULL when there is none. */
extern const char *SaasJsonText(const json_t *object, const char *name);

#endif							/* SAAS_JSON_H */
