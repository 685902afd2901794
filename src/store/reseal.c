/*
 * reseal.c
 *	  Sealing values again under their organization's current key.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "state/identity.h"
#include "state/keyring.h"
#include "state/sealed.h"
#include "store/reseal.h"
#include "store/sealed_usage.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define FETCH_ROWS		1000

/* One transaction that holds a table must not hold up all the rest. */
#define LOCK_TIMEOUT	"1s"

static void
begin(SaasRunAs *state, const SaasSealedColumn *column)
{
	SaasRunAsBegin(state, column->role);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* Triggers that wait for the end of the transaction are refused in such an operation. */
	if (column->is_registered && SPI_execute("set constraints all immediate", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
}

static void
take_identity(const SaasReseal *reseal)
{
	SaasIdentity identity = {.is_set = true,.source = SAAS_IDENTITY_SUPERUSER,.has_org = true};

	if (!reseal->column->is_registered)
		return;
	identity.org_id = reseal->org_id;
	identity.permissions = PG_UINT64_MAX;
	strlcpy(identity.actor, "saas_service", sizeof(identity.actor));
	SaasIdentityInstall(&identity);
}

static void
drop_identity(const SaasReseal *reseal)
{
	if (reseal->column->is_registered)
		SaasIdentityClear();
}

static const char *
whose(const SaasReseal *reseal, int parameter)
{
	return reseal->column->is_platform ? "" : psprintf(" and t.org_id = $%d", parameter);
}

static bool
is_old(const SaasReseal *reseal, Datum value)
{
	return SaasSealedDatumVersion(value) < reseal->version;
}

static bool
is_locked(const SaasProblem *problem)
{
	return strcmp(problem->sqlstate, "55P03") == 0 || strcmp(problem->sqlstate, "40P01") == 0 ||
		strcmp(problem->sqlstate, "40001") == 0;
}

static void
count_problem(const SaasReseal *reseal, const SaasProblem *problem, int64 rows, SaasResealCounts *counts)
{
	if (is_locked(problem))
		counts->locked += rows;
	else
		counts->failed += rows;
	snprintf(counts->problem, sizeof(counts->problem), "%s.%s: %s", reseal->column->relation_name,
			 reseal->column->column, problem->message);
}

/* The arguments of find for SaasGuardedRun. */
typedef struct Find
{
	const SaasReseal *reseal;
	ItemPointerData *rows;
	int			limit;
	int			count;
} Find;

static void
keep_old(Find *step)
{
	for (uint64 i = 0; i < SPI_processed && step->count < step->limit; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		is_null;
		Datum		place = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null);

		if (is_old(step->reseal, SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null)))
			step->rows[step->count++] = *(ItemPointer) DatumGetPointer(place);
	}
}

static void
find(void *arg)
{
	Find	   *step = arg;
	const SaasSealedColumn *column = step->reseal->column;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(&step->reseal->org_id)};
	SaasRunAs	state;
	Portal		portal;

	begin(&state, column);
	portal = SPI_cursor_open_with_args(NULL, psprintf("select t.ctid, t.%s from %s as t where t.%s is not null%s",
													  column->column, column->relation_name, column->column,
													  whose(step->reseal, 1)),
									   column->is_platform ? 0 : 1, types, values, NULL, true,
									   CURSOR_OPT_NO_SCROLL);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		keep_old(step);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed == FETCH_ROWS && step->count < step->limit);
	SPI_cursor_close(portal);
	SaasRunAsEnd(&state);
}

ItemPointerData *
SaasResealFind(const SaasReseal *reseal, int limit, int *count, SaasResealCounts *counts)
{
	Find		step = {reseal, palloc(sizeof(ItemPointerData) * limit), limit, 0};
	SaasProblem problem = {0};

	take_identity(reseal);
	if (!SaasGuardedRun(find, &step, &problem))
	{
		step.count = 0;
		count_problem(reseal, &problem, 1, counts);
	}
	drop_identity(reseal);
	*count = step.count;
	return step.rows;
}

/* The arguments of reseal_rows for SaasGuardedRun. */
typedef struct Batch
{
	const SaasReseal *reseal;
	const ItemPointerData *rows;
	int			count;
	int64		seen;			/* rows that were not locked */
	int64		done;
} Batch;

static struct varlena *
seal_again(const SaasReseal *reseal, Datum value, const char *context)
{
	const SaasSealedColumn *column = reseal->column;
	struct varlena *volatile sealed = NULL;
	Size		length;
	char	   *plaintext = SaasUnseal(&reseal->org_id, PG_DETOAST_DATUM(value), column->purpose, context,
									   &length);

	PG_TRY();
	{
		sealed = SaasSeal(&reseal->org_id, plaintext, length, column->purpose, context);
	}
	PG_FINALLY();
	{
		SaasWipe(plaintext, length);
	}
	PG_END_TRY();
	pfree(plaintext);
	return sealed;
}

static ArrayType *
tid_array(const ItemPointerData *rows, int count)
{
	Datum	   *items = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		items[i] = PointerGetDatum(&rows[i]);
	return construct_array(items, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT);
}

/* Rows and what they hold from now on. */
typedef struct Replacement
{
	Datum	   *relations;
	Datum	   *rows;
	Datum	   *values;
	int			count;
} Replacement;

static void
add_row(Replacement *replacement, HeapTuple row, TupleDesc desc, const SaasReseal *reseal)
{
	bool		is_null;
	Datum		context = SPI_getbinval(row, desc, 4, &is_null);
	struct varlena *sealed = seal_again(reseal, SPI_getbinval(row, desc, 3, &is_null),
										is_null ? "" : TextDatumGetCString(context));
	int			i = replacement->count++;

	replacement->relations[i] = SPI_getbinval(row, desc, 1, &is_null);
	replacement->rows[i] = SPI_getbinval(row, desc, 2, &is_null);
	replacement->values[i] = PointerGetDatum(sealed);
}

static Oid
sealed_type(void)
{
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("sealed"),
						   ObjectIdGetDatum(get_namespace_oid("saas", false)));
}

static void
update_rows(const Replacement *replacement, const SaasSealedColumn *column)
{
	Oid			sealed = sealed_type();
	Oid			types[3] = {OIDARRAYOID, TIDARRAYOID, get_array_type(sealed)};
	int			count = replacement->count;
	Datum		values[3] = {
		PointerGetDatum(construct_array(replacement->relations, count, OIDOID, sizeof(Oid), true,
										TYPALIGN_INT)),
		PointerGetDatum(construct_array(replacement->rows, count, TIDOID, sizeof(ItemPointerData), false,
										TYPALIGN_SHORT)),
		PointerGetDatum(construct_array(replacement->values, count, sealed, -1, false, TYPALIGN_INT))
	};

	if (SPI_execute_with_args(psprintf("update %s as t set %s = n.value"
									   "  from unnest($1, $2, $3) as n (relation, place, value)"
									   " where t.ctid = n.place and t.tableoid = n.relation",
									   column->relation_name, column->column),
							  3, types, values, NULL, false, 0) != SPI_OK_UPDATE || SPI_processed != count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("%s does not let its rows be updated", column->relation_name)));
}

static void
reseal_rows(void *arg)
{
	Batch	   *step = arg;
	const SaasSealedColumn *column = step->reseal->column;
	Oid			types[2] = {TIDARRAYOID, UUIDOID};
	Datum		values[2] = {
		PointerGetDatum(tid_array(step->rows, step->count)), UUIDPGetDatum(&step->reseal->org_id)
	};
	SaasRunAs	state;
	SPITupleTable *found;
	Replacement replacement = {0};
	uint64		count;

	step->seen = step->done = 0;
	begin(&state, column);
	if (SPI_execute_with_args(psprintf("select t.tableoid, t.ctid, t.%s, (%s)::text from %s as t"
									   " where t.ctid = any ($1)%s and t.%s is not null"
									   "   for no key update of t skip locked",
									   column->column, column->context, column->relation_name,
									   whose(step->reseal, 2), column->column),
							  column->is_platform ? 1 : 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read sealed values of %s", column->relation_name);
	found = SPI_tuptable;
	count = step->seen = SPI_processed;
	replacement.relations = palloc(sizeof(Datum) * Max(count, 1));
	replacement.rows = palloc(sizeof(Datum) * Max(count, 1));
	replacement.values = palloc(sizeof(Datum) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;

		if (is_old(step->reseal, SPI_getbinval(found->vals[i], found->tupdesc, 3, &is_null)))
			add_row(&replacement, found->vals[i], found->tupdesc, step->reseal);
	}
	if (replacement.count > 0)
		update_rows(&replacement, column);
	step->done = replacement.count;
	SaasRunAsEnd(&state);
}

/* Returns false when the rows should be tried one by one. */
static bool
run_batch(const SaasReseal *reseal, const ItemPointerData *rows, int count, SaasResealCounts *counts)
{
	Batch		step = {reseal, rows, count, 0, 0};
	SaasProblem problem = {0};

	if (SaasGuardedRun(reseal_rows, &step, &problem))
	{
		counts->done += step.done;
		counts->locked += Max(count - step.seen, 0);
		return true;
	}
	if (count > 1 && !is_locked(&problem))
		return false;
	count_problem(reseal, &problem, count, counts);
	return true;
}

void
SaasResealBatch(const SaasReseal *reseal, const ItemPointerData *rows, int count, SaasResealCounts *counts)
{
	take_identity(reseal);
	if (!run_batch(reseal, rows, count, counts))
	{
		for (int i = 0; i < count; i++)
			(void) run_batch(reseal, &rows[i], 1, counts);
	}
	drop_identity(reseal);
}
