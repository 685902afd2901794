/*
 * statement.h
 *	  Prepared statements of the store.
 */
#ifndef SAAS_STATEMENT_H
#define SAAS_STATEMENT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/uuid.h"

#define SAAS_STATEMENT_MAX_ARGUMENTS	16

/* A statement and, once prepared, its plan, which is made anew after some seconds; declare it static. */
typedef struct SaasStatement
{
	const char *sql;
	int			count;
	Oid			types[SAAS_STATEMENT_MAX_ARGUMENTS];
	SPIPlanPtr	plan;
	TimestampTz planned_at;
} SaasStatement;

/*
 * Runs it with SPI connected as the role that it is for, preparing it the first
 * time; returns the number of rows.  nulls may be NULL.
 */
extern uint64 SaasStatementRun(SaasStatement *statement, const Datum *values, const char *nulls);

/* The same for one that only reads, by the active snapshot: several see the same then. */
extern uint64 SaasStatementRead(SaasStatement *statement, const Datum *values, const char *nulls);

/*
 * Until the GUC nest level ends (SaasRunAsEnd): plans are generic and go by
 * index.  Claims and flushes take a few rows of tables that may have very many,
 * which the planner does not know of arrays and limits that are parameters.
 */
extern void SaasStatementPlanByIndex(void);

/*
 * Until the GUC nest level that it returns is ended (AtEOXact_GUC): plans do not
 * sort, so that an "order by" says which index serves a look-up.
 */
extern int	SaasStatementPlanByOrder(void);

/* A column of a row of the last result; an error where there is no such row. */
extern Datum SaasStatementColumn(uint64 row, int column, bool *is_null);

/* Arrays for unnest(). */
extern Datum SaasUuidArray(const pg_uuid_t *items, int count);
extern Datum SaasTextArray(const char *const *items, int count);
extern Datum SaasIntegerArray(const int *items, int count);

#endif							/* SAAS_STATEMENT_H */
