/*
 * plan.h
 *	  Plans that a backend keeps for as long as it lives.
 */
#ifndef SAAS_PLAN_H
#define SAAS_PLAN_H

#include "postgres.h"

#include "executor/spi.h"

/*
 * Prepares the query and keeps its plan in *plan, unless there is one already.
 * Call with SPI connected; the cursor options are those of SPI_prepare_cursor.
 */
extern void SaasPlanKeep(SPIPlanPtr *plan, const char *query, int count, const Oid *types,
						 int cursor_options);

#endif							/* SAAS_PLAN_H */
