/*
 * statement.c
 *	  Prepared statements of the store.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "server/plan.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define PLAN_KEPT_US	(10 * USECS_PER_SEC)

void
SaasStatementPlanByIndex(void)
{
	static const char *const settings[][2] = {
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		/* What is off counts as so dear that it would be compiled where it is used all the same. */
		{"jit", "off"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

int
SaasStatementPlanByOrder(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("enable_sort", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_incremental_sort", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	return level;
}

/*
 * Planned again once in a while: a plan made when a table was empty may take an
 * index that is no good when it is not, and is otherwise kept until somebody
 * analyzes the table.
 */
static void
forget_old_plan(SaasStatement *statement)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	if (statement->plan && now - statement->planned_at < PLAN_KEPT_US)
		return;
	if (statement->plan)
		SPI_freeplan(statement->plan);
	statement->plan = NULL;
	statement->planned_at = now;
}

static uint64
run(SaasStatement *statement, const Datum *values, const char *nulls, bool by_active_snapshot)
{
	int			result;

	forget_old_plan(statement);
	SaasPlanKeep(&statement->plan, statement->sql, statement->count, statement->types, 0);
	result = SPI_execute_plan(statement->plan, (Datum *) values, nulls, by_active_snapshot, 0);
	if (result < 0)
		elog(ERROR, "could not run a statement of the store: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
SaasStatementRun(SaasStatement *statement, const Datum *values, const char *nulls)
{
	return run(statement, values, nulls, false);
}

uint64
SaasStatementRead(SaasStatement *statement, const Datum *values, const char *nulls)
{
	return run(statement, values, nulls, true);
}

/* A superuser may have deleted a row that is always there. */
Datum
SaasStatementColumn(uint64 row, int column, bool *is_null)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals)
		elog(ERROR, "a row of pg_saas' own tables is missing");
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null);
}

Datum
SaasUuidArray(const pg_uuid_t *items, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = UUIDPGetDatum(&items[i]);
	return PointerGetDatum(construct_array(datums, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

Datum
SaasTextArray(const char *const *items, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = CStringGetTextDatum(items[i]);
	return PointerGetDatum(construct_array(datums, count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
SaasIntegerArray(const int *items, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = Int32GetDatum(items[i]);
	return PointerGetDatum(construct_array(datums, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}
