/*
 * plan.c
 *	  Plans that a backend keeps for as long as it lives.
 */
#include "postgres.h"

#include "server/plan.h"

void
SaasPlanKeep(SPIPlanPtr *plan, const char *query, int count, const Oid *types, int cursor_options)
{
	SPIPlanPtr	fresh;

	if (*plan != NULL)
		return;
	fresh = SPI_prepare_cursor(query, count, (Oid *) types, cursor_options);
	/* Set once it is kept: an error in between leaves none. */
	if (fresh == NULL || SPI_keepplan(fresh) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
	*plan = fresh;
}
