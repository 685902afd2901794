/*
 * uuidv7.h
 *	  Time-ordered UUIDs (RFC 9562, section 5.7), and UUIDs as text.
 */
#ifndef SAAS_UUIDV7_H
#define SAAS_UUIDV7_H

#include "postgres.h"

#include "utils/uuid.h"

/*
 * The next id: 48 bits of Unix milliseconds, 12 bits of sub-millisecond time
 * as in section 6.2, method 3, the rest random.  Strictly increasing within
 * the process, also when the clock steps back.
 */
extern void SaasUuidv7(pg_uuid_t *id);

/* Any UUID in its text form of 36 characters, palloc'd. */
extern char *SaasUuidText(const pg_uuid_t *id);

#endif							/* SAAS_UUIDV7_H */
