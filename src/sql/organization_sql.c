/*
 * organization_sql.c
 *	  SQL functions of organizations.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "pure/svg.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "store/purge.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(pg_saas_purge_protected);
PG_FUNCTION_INFO_V1(pg_saas_sanitize_svg);

Datum
pg_saas_purge_protected(PG_FUNCTION_ARGS)
{
	char		problem[SAAS_PURGE_PROBLEM_SIZE];
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "purge_protected must return a row");
	values[0] = Int32GetDatum(SaasPurgeProtected(PG_GETARG_UUID_P(0), PG_GETARG_INT32(1), problem));
	nulls[1] = problem[0] == '\0';
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(problem);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
pg_saas_sanitize_svg(PG_FUNCTION_ARGS)
{
	bytea	   *image = PG_GETARG_BYTEA_PP(0);
	SaasProblem problem = {0};
	SaasArena  *arena;
	TupleDesc	desc;
	char	   *svg;
	Datum		values[2] = {0};
	bool		nulls[2];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "sanitize_svg must return a row");
	(void) SaasArenaContextCreate(CurrentMemoryContext, SAAS_SVG_ARENA_SIZE, &arena);
	svg = SaasSvgSanitize(VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), arena, &problem);
	if (svg == NULL && strcmp(problem.sqlstate, "22023") != 0)
		SaasRaise(problem.sqlstate, problem.message, NULL, NULL);
	nulls[0] = svg == NULL;
	nulls[1] = svg != NULL;
	if (svg != NULL)
		values[0] = PointerGetDatum(cstring_to_text(svg));	/* a bytea is laid out alike */
	else
		values[1] = CStringGetTextDatum(problem.message);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
