/*
 * sealed_columns.h
 *	  The sealed columns whose purposes and contexts we know: ours, and those
 *	  that applications have registered.
 */
#ifndef SAAS_SEALED_COLUMNS_H
#define SAAS_SEALED_COLUMNS_H

#include "postgres.h"

#include "utils/uuid.h"

typedef struct SaasSealedColumn
{
	Oid			relation;
	char	   *relation_name;	/* quoted and qualified */
	char	   *column;			/* quoted */
	char	   *role;			/* that may read and update it */
	bool		is_platform;	/* sealed for the platform; else by the row's org_id */
	bool		is_registered;	/* of an application */
	char	   *purpose;
	char	   *context;		/* an expression over the row t */
} SaasSealedColumn;

/* All of them, palloc'd. */
extern SaasSealedColumn *SaasSealedColumns(int *count);

/*
 * The quoted name of a column that holds a sealed value of the organization, as
 * far as its role sees; NULL without any.
 */
extern char *SaasSealedColumnInUse(const pg_uuid_t *org_id);

#endif							/* SAAS_SEALED_COLUMNS_H */
