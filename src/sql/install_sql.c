/*
 * install_sql.c
 *	  Running migrations, and what identifies this cluster.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "server/run_as.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pg_saas_run_script);
PG_FUNCTION_INFO_V1(pg_saas_system_identifier);

/*
 * One statement at a time: each is planned after the one before it ran, and an
 * error names the statement it belongs to.
 */
static void
run_statements(const char *script)
{
	List	   *statements = raw_parser(script, RAW_PARSE_DEFAULT);
	ListCell   *cell;

	foreach(cell, statements)
	{
		RawStmt    *statement = lfirst_node(RawStmt, cell);
		int			start = statement->stmt_location;
		int			length = statement->stmt_len > 0 ? statement->stmt_len
			: (int) strlen(script) - start;
		int			result;

		CHECK_FOR_INTERRUPTS();
		result = SPI_execute(pnstrdup(script + start, length), false, 0);
		if (result < 0)
			elog(ERROR, "could not run a migration: %s", SPI_result_code_string(result));
	}
}

Datum
pg_saas_run_script(PG_FUNCTION_ARGS)
{
	SaasRunAs	state;
	char	   *script;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to run a migration")));
	script = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SaasRunAsBegin(&state, "saas_owner");
	run_statements(script);
	SaasRunAsEnd(&state);
	PG_RETURN_VOID();
}

Datum
pg_saas_system_identifier(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}
