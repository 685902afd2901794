/*
 * salesforce.h
 *	  Readers of Salesforce's documents: REST limits, ids, error shapes.
 */
#ifndef SAAS_SALESFORCE_H
#define SAAS_SALESFORCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/problem.h"

typedef struct SaasSalesforceLimit
{
	const char *name;			/* nested limits as "Parent.Child" */
	double		max;
	double		remaining;		/* may be negative */
} SaasSalesforceLimit;

/*
 * Reads the body of GET /services/data/vNN.N/limits/.  Not an object of
 * {Max, Remaining} objects: 22P02.  At most 2,000 limits and 8 levels.
 */
extern bool SaasSalesforceLimitsRead(const char *body, size_t length, SaasArena *arena,
									 SaasSalesforceLimit **limits, size_t *count,
									 SaasProblem *problem);

/*
 * The 18-character form of a 15- or 18-character id (the checksum of an
 * 18-character one is verified, ignoring its case); false when malformed.
 */
extern bool SaasSalesforceIdNormalize(const char *id, char normalized[19]);

#endif							/* SAAS_SALESFORCE_H */
