/*
 * statement.c
 *	  Prepared statements of the store.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "server/plan.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"

uint64
SaasStatementRun(SaasStatement *statement, const Datum *values, const char *nulls)
{
	int			result;

	SaasPlanKeep(&statement->plan, statement->sql, statement->count, statement->types, 0);
	result = SPI_execute_plan(statement->plan, (Datum *) values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not run a statement of the store: %s", SPI_result_code_string(result));
	return SPI_processed;
}

Datum
SaasStatementColumn(uint64 row, int column, bool *is_null)
{
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
