/*
 * sealed_columns.c
 *	  The sealed columns whose purposes and contexts we know.
 *
 * The list is saas_private.sealed_columns(); its texts become parts of
 * statements, so nothing that a tenant or an application says may stand in it
 * unquoted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "state/keyring.h"
#include "state/sealed_columns.h"
#include "utils/builtins.h"

static char *
text_of(HeapTuple row, int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(row, SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

static bool
is_true(HeapTuple row, int column)
{
	bool		is_null;

	return DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, column, &is_null)) && !is_null;
}

SaasSealedColumn *
SaasSealedColumns(int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	SaasSealedColumn *columns;
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute("select c.relation, c.relation_name, c.column_name, c.role, c.is_platform, c.is_registered,"
					"       c.purpose, c.context"
					"  from saas_private.sealed_columns() c", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list sealed columns");
	*count = (int) SPI_processed;
	columns = MemoryContextAlloc(caller, sizeof(SaasSealedColumn) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		is_null;

		columns[i].relation = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
		columns[i].relation_name = text_of(row, 2, caller);
		columns[i].column = text_of(row, 3, caller);
		columns[i].role = text_of(row, 4, caller);
		columns[i].is_platform = is_true(row, 5);
		columns[i].is_registered = is_true(row, 6);
		columns[i].purpose = text_of(row, 7, caller);
		columns[i].context = text_of(row, 8, caller);
	}
	SaasRunAsEnd(&state);
	return columns;
}

/* The arguments of look for SaasGuardedRun. */
typedef struct Look
{
	const SaasSealedColumn *column;
	const pg_uuid_t *org_id;
	bool		found;
} Look;

static void
look(void *arg)
{
	Look	   *step = arg;
	const SaasSealedColumn *column = step->column;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(step->org_id)};
	SaasRunAs	state;

	SaasRunAsBegin(&state, column->role);
	if (SPI_execute_with_args(psprintf("select from %s as t where t.%s is not null%s limit 1",
									   column->relation_name, column->column,
									   column->is_platform ? "" : " and t.org_id = $1"),
							  column->is_platform ? 0 : 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look into %s", column->relation_name);
	step->found = SPI_processed > 0;
	SaasRunAsEnd(&state);
}

char *
SaasSealedColumnInUse(const pg_uuid_t *org_id)
{
	bool		is_platform = memcmp(org_id, &SaasPlatformOrg, sizeof(*org_id)) == 0;
	int			count;
	SaasSealedColumn *columns = SaasSealedColumns(&count);

	for (int i = 0; i < count; i++)
	{
		Look		step = {&columns[i], org_id, false};
		SaasProblem problem;

		if (columns[i].is_platform != is_platform)
			continue;
		/* What is wrong with an application's table must not keep anybody from sealing. */
		if (!columns[i].is_registered)
			look(&step);
		else if (!SaasGuardedRun(look, &step, &problem))
			continue;
		if (step.found)
			return psprintf("%s.%s", columns[i].relation_name, columns[i].column);
	}
	return NULL;
}
