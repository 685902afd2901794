/*
 * vault_status.c
 *	  What a DBA needs to know of master keys, data keys and sealed values.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "state/key_budget.h"
#include "state/master_keys.h"
#include "store/sealed_usage.h"
#include "store/statement.h"
#include "store/vault_status.h"
#include "utils/array.h"
#include "utils/builtins.h"

static SaasStatement list_masters = {
	"select k.master_version, k.master_fingerprint, count(*) from saas_private.data_key k"
	" group by 1, 2 order by 1, 2",
	0, {0}
};

/* Facts of one query each: fact, subject, value, detail. */
static SaasStatement list_keys = {
	"with key as ("
	"    select k.*, k.version = max(k.version) over (partition by k.org_id) as is_current"
	"      from saas_private.data_key k)"
	" select 'data_keys', s.state, (select count(*) from key k"
	"                                where case when k.is_current then 'current'"
	"                                           when k.emptied_at is not null then 'empty' else 'superseded' end = s.state),"
	"        s.detail"
	"   from (values ('current', 'they seal'),"
	"                ('superseded', 'values under them may remain: call saas.rotate_data_keys()'),"
	"                ('empty', 'nothing is under them: a rotation drops them after saas.data_key_grace'))"
	"        as s (state, detail)"
	" union all"
	" (select 'oldest_key_days', k.org_id::text, extract(day from clock_timestamp() - k.created_at)::bigint,"
	"         format('version %s, made at %s', k.version, k.created_at)"
	"    from key k where k.is_current order by k.created_at limit 1)"
	" union all"
	" (select 'most_used_key', k.org_id::text, k.sealed_count,"
	"         format('version %s, %s %% of 2^32 values; the next version comes at 50 %%', k.version,"
	"                round(k.sealed_count * 100.0 / $1, 1))"
	"    from key k where k.is_current order by k.sealed_count desc, k.org_id limit 1)"
	" union all"
	" select 'unfinished_rotation', r.only_org_id::text, r.resealed_count,"
	"        format('begun at %s; the next call saas.rotate_data_keys() goes on with it', r.started_at)"
	"   from saas_private.key_rotation r where r.finished_at is null"
	" union all"
	" select 'destroyed_organizations', null, count(*), 'nothing is sealed for them any more'"
	"   from saas_private.destroyed_key",
	1, {INT8OID}
};

static SaasStatement list_values = {
	"select u.number, sum(u.count)::bigint,"
	"       coalesce(sum(u.count) filter (where k.version < c.version), 0)::bigint,"
	"       coalesce(sum(u.count) filter (where k.version is null), 0)::bigint"
	"  from unnest($1, $2, $3, $4) as u (number, org_id, version, count)"
	"  left join saas_private.data_key k on k.org_id = u.org_id and k.version = u.version"
	"  left join (select org_id, max(version) as version from saas_private.data_key group by org_id) c"
	"         on c.org_id = u.org_id"
	" group by u.number order by u.number",
	4, {INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT8ARRAYOID}
};

typedef struct Taker
{
	SaasFactTaker take;
	void	   *arg;
} Taker;

/* The arguments of read_masters for SaasGuardedRun. */
static void
read_masters(void *arg)
{
	SaasMasterKeys *masters = arg;

	SaasMasterKeysRead(masters);
	for (int i = 0; i < masters->count; i++)
		SaasWipe(masters->items[i].key, SAAS_KEY_LENGTH);
}

/* One master key that wraps data keys. */
typedef struct Wrapping
{
	int			version;
	char		fingerprint[SAAS_FINGERPRINT_SIZE];
	int64		count;
} Wrapping;

static Wrapping *
read_wrappings(int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	Wrapping   *list;

	SaasRunAsBegin(&state, "saas_service");
	*count = (int) SaasStatementRun(&list_masters, NULL, NULL);
	list = MemoryContextAlloc(caller, sizeof(Wrapping) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bool		is_null;

		list[i].version = DatumGetInt32(SaasStatementColumn(i, 1, &is_null));
		strlcpy(list[i].fingerprint, TextDatumGetCString(SaasStatementColumn(i, 2, &is_null)),
				sizeof(list[i].fingerprint));
		list[i].count = DatumGetInt64(SaasStatementColumn(i, 3, &is_null));
	}
	SaasRunAsEnd(&state);
	return list;
}

static void
tell_wrapping(const Taker *taker, const SaasMasterKeys *masters, const Wrapping *wrapping)
{
	const SaasMasterKey *master = SaasMasterKeyFind(masters, wrapping->version);
	const SaasMasterKey *newest = SaasMasterKeyFind(masters, 0);
	const char *state;

	if (master == NULL)
		state = "missing: the data keys it wraps do not open";
	else if (strcmp(master->fingerprint, wrapping->fingerprint) != 0)
		state = psprintf("missing: what is found has fingerprint %s", master->fingerprint);
	else if (master != newest)
		state = "found, not the newest: call saas.rewrap_data_keys()";
	else
		state = "found, the newest";
	taker->take(taker->arg, "master_key", psprintf("%d", wrapping->version), wrapping->count,
				psprintf("fingerprint %s, %s", wrapping->fingerprint, state));
}

static bool
is_wrapping(const Wrapping *wrappings, int count, const SaasMasterKey *master)
{
	for (int i = 0; i < count; i++)
	{
		if (wrappings[i].version == master->version)
			return true;
	}
	return false;
}

static void
tell_masters(const Taker *taker)
{
	SaasMasterKeys *masters = palloc0(sizeof(SaasMasterKeys));
	SaasProblem problem = {0};
	int			count;
	Wrapping   *wrappings = read_wrappings(&count);

	if (!SaasGuardedRun(read_masters, masters, &problem))
	{
		masters->count = 0;
		taker->take(taker->arg, "master_key_problem", NULL, 1, problem.message);
	}
	for (int i = 0; i < count; i++)
		tell_wrapping(taker, masters, &wrappings[i]);
	for (int i = 0; i < masters->count; i++)
	{
		if (!is_wrapping(wrappings, count, &masters->items[i]))
			taker->take(taker->arg, "master_key", psprintf("%d", masters->items[i].version), 0,
						psprintf("fingerprint %s, found, wraps nothing", masters->items[i].fingerprint));
	}
}

static char *
text_column(uint64 row, int column)
{
	bool		is_null;
	Datum		value = SaasStatementColumn(row, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

static void
tell_keys(const Taker *taker)
{
	Datum		value = Int64GetDatum(SAAS_KEY_BUDGET);
	SaasRunAs	state;
	uint64		count;

	SaasRunAsBegin(&state, "saas_service");
	count = SaasStatementRun(&list_keys, &value, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;

		taker->take(taker->arg, text_column(i, 1), text_column(i, 2),
					DatumGetInt64(SaasStatementColumn(i, 3, &is_null)), text_column(i, 4));
	}
	SaasRunAsEnd(&state);
}

/* The usage as the arguments of list_values. */
static void
usage_arrays(const SaasSealedUsage *usage, Datum *values)
{
	int			count = (int) hash_get_num_entries(usage->uses);
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	Datum	   *items[3];
	HASH_SEQ_STATUS scan;
	SaasSealedUse *use;
	int			i = 0;

	for (int n = 0; n < 3; n++)
		items[n] = palloc(sizeof(Datum) * Max(count, 1));
	hash_seq_init(&scan, usage->uses);
	while ((use = hash_seq_search(&scan)) != NULL)
	{
		orgs[i] = use->key.org_id;
		items[0][i] = Int32GetDatum(use->key.column);
		items[1][i] = Int32GetDatum(use->key.version);
		items[2][i++] = Int64GetDatum(use->count);
	}
	values[0] = PointerGetDatum(construct_array(items[0], count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[1] = SaasUuidArray(orgs, count);
	values[2] = PointerGetDatum(construct_array(items[1], count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(items[2], count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
}

static void
tell_column(const Taker *taker, const SaasSealedColumn *column, uint64 row)
{
	char	   *name = psprintf("%s.%s", column->relation_name, column->column);
	bool		is_null;
	int64		total = DatumGetInt64(SaasStatementColumn(row, 2, &is_null));
	int64		old = DatumGetInt64(SaasStatementColumn(row, 3, &is_null));
	int64		keyless = DatumGetInt64(SaasStatementColumn(row, 4, &is_null));

	taker->take(taker->arg, "old_values", name, old,
				psprintf("under superseded keys, of " INT64_FORMAT, total));
	if (keyless > 0)
		taker->take(taker->arg, "keyless_values", name, keyless, "their data keys are gone: they never open");
}

static void
tell_values(const Taker *taker)
{
	int			column_count;
	SaasSealedColumn *columns = SaasSealedColumns(&column_count);
	SaasSealedUsage *usage = SaasSealedUsageRead(columns, column_count);
	Datum		values[4];
	SaasRunAs	state;
	uint64		count;

	usage_arrays(usage, values);
	SaasRunAsBegin(&state, "saas_service");
	count = SaasStatementRun(&list_values, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;

		tell_column(taker, &columns[DatumGetInt32(SaasStatementColumn(i, 1, &is_null))], i);
	}
	SaasRunAsEnd(&state);
	for (int i = 0; i < usage->unregistered_count; i++)
		taker->take(taker->arg, "unregistered_column", usage->unregistered[i].name,
					usage->unregistered[i].count,
					usage->unregistered[i].is_countable ?
					"no superseded key is dropped while it holds values: saas.register_sealed_column()" :
					"no superseded key is dropped while it exists: what it holds cannot be looked at");
}

void
SaasVaultStatus(SaasFactTaker take, void *arg)
{
	Taker		taker = {take, arg};

	tell_masters(&taker);
	tell_keys(&taker);
	tell_values(&taker);
}
