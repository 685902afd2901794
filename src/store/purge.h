/*
 * purge.h
 *	  Rows of an organization in the tables of applications.
 */
#ifndef SAAS_PURGE_H
#define SAAS_PURGE_H

#include "postgres.h"

#include "utils/uuid.h"

#define SAAS_PURGE_PROBLEM_SIZE	(NAMEDATALEN * 3)

/*
 * Deletes up to limit rows of the organization from every table outside our
 * schemas that has a column org_id and a policy that compares it with the
 * identity's organization, and returns how many.  problem gets SQLSTATE and
 * name of a table whose rows did not go, or "".  25001 when the transaction has
 * had another identity.
 */
extern int	SaasPurgeProtected(const pg_uuid_t *org_id, int limit,
							   char problem[SAAS_PURGE_PROBLEM_SIZE]);

#endif							/* SAAS_PURGE_H */
