/*
 * masked_json.h
 *	  JSON as it may be written down: without secrets, and bounded.
 */
#ifndef SAAS_MASKED_JSON_H
#define SAAS_MASKED_JSON_H

#include "postgres.h"

#include "utils/jsonb.h"

/* A longer string shows its beginning and its length. */
#define SAAS_MASKED_STRING	1024
/* A larger value shows the sizes of its large members; else all names of its members, or their number. */
#define SAAS_MASKED_VALUE	8192

/*
 * A copy in which every string that looks like a secret (pure/mask.h), in
 * names too, and everything but booleans and null below a name that says
 * secret is "(masked)".
 */
extern Jsonb *SaasMaskedJson(Jsonb *json);

/* Text that looks like a secret as "(masked)", else a copy of at most limit bytes. */
extern char *SaasMaskedText(const char *text, int limit);

#endif							/* SAAS_MASKED_JSON_H */
