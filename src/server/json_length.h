/*
 * json_length.h
 *	  How long a JSON value is as text, without writing it down.
 *
 * A number of nine bytes, 1e131071, has 131072 digits as text: a request of 64
 * kB becomes a gigabyte.  So what a client sends is measured before it is
 * written, and no further than to the bound.
 */
#ifndef SAAS_JSON_LENGTH_H
#define SAAS_JSON_LENGTH_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Whether the text of the value has more bytes than that. */
extern bool SaasJsonIsLonger(Jsonb *value, Size max_bytes);

#endif							/* SAAS_JSON_LENGTH_H */
