/*
 * sealed_usage.h
 *	  Which versions of which keys the sealed values of this database name.
 *
 * The tables are scanned themselves, below row-level security: a value that a
 * policy hides needs its key too.  Only the first five bytes of a value are
 * looked at.
 */
#ifndef SAAS_SEALED_USAGE_H
#define SAAS_SEALED_USAGE_H

#include "postgres.h"

#include "state/sealed_columns.h"
#include "utils/hsearch.h"

typedef struct SaasSealedUseKey
{
	int			column;			/* number in the list; -1: of no column in it */
	int			version;
	pg_uuid_t	org_id;			/* zeros for the platform's columns and where the table has no org_id */
} SaasSealedUseKey;

typedef struct SaasSealedUse
{
	SaasSealedUseKey key;
	int64		count;
} SaasSealedUse;

/* A column that can hold sealed values and is not in the list. */
typedef struct SaasUnregisteredColumn
{
	char	   *name;
	bool		is_countable;	/* else an array, a row: nobody can say what is in it */
	int64		count;
} SaasUnregisteredColumn;

typedef struct SaasSealedUsage
{
	HTAB	   *uses;			/* of SaasSealedUse */
	SaasUnregisteredColumn *unregistered;
	int			unregistered_count;
} SaasSealedUsage;

/*
 * Counts the values of this moment, in the current memory context.  Temporary
 * tables, which only their sessions can read, are left out.
 */
extern SaasSealedUsage *SaasSealedUsageRead(const SaasSealedColumn *columns, int count);

/* The version that a value names, from as little of it as possible. */
extern int	SaasSealedDatumVersion(Datum value);

#endif							/* SAAS_SEALED_USAGE_H */
