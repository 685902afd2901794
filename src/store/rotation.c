/*
 * rotation.c
 *	  The steps of a rotation of data keys.
 *
 * When is nothing left that may need an old version?  Who sealed under it read
 * it before it was retired, so in a transaction that began before.  Once all of
 * those have ended, a scan finds whatever they left; what it finds is sealed
 * again.  Who reads values under it has a snapshot from before a scan found
 * none.  So it may go when the oldest transaction began after it was retired,
 * a scan then finds nothing, and the oldest transaction began after that scan.
 * The grace is for values that were sealed in one transaction and are stored
 * in another.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "miscadmin.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/keyring.h"
#include "state/settings.h"
#include "state/shared.h"
#include "store/audit.h"
#include "store/rotation.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

static SaasStatement find_unfinished = {
	"select r.id, r.only_org_id, r.started_at, r.made_before from saas_private.key_rotation r"
	" where r.finished_at is null",
	0, {0}
};

static SaasStatement add_rotation = {
	"insert into saas_private.key_rotation (only_org_id, made_before)"
	" select $1, clock_timestamp() - $2"
	"  where $1 is null or exists (select from saas_private.data_key k where k.org_id = $1)"
	" returning id, only_org_id, started_at, made_before",
	2, {UUIDOID, INTERVALOID}
};

static SaasStatement find_keys = {
	"select k.org_id from saas_private.data_key k"
	" where ($1 is null or k.org_id = $1) and ($2 is null or k.org_id > $2)"
	" group by k.org_id having max(k.created_at) < $3"
	" order by k.org_id limit $4",
	4, {UUIDOID, UUIDOID, TIMESTAMPTZOID, INT4OID}
};

static SaasStatement find_superseded = {
	"update saas_private.data_key k set retired_at = 'infinity'"
	" where k.retired_at is null"
	"   and exists (select from saas_private.data_key n where n.org_id = k.org_id and n.version > k.version)",
	0, {0}
};

static SaasStatement retire = {
	"update saas_private.data_key k set retired_at = clock_timestamp() where k.retired_at = 'infinity'",
	0, {0}
};

static SaasStatement find_current = {
	"select k.org_id, max(k.version) from saas_private.data_key k group by k.org_id having count(*) > 1",
	0, {0}
};

static SaasStatement mark = {
	"update saas_private.data_key k"
	"   set emptied_at = case when u.org_id is null then greatest(clock_timestamp(), k.retired_at) end"
	"  from saas_private.data_key o"
	"  left join unnest($1, $2) as u (org_id, version) on u.org_id = o.org_id and u.version = o.version"
	" where o.org_id = k.org_id and o.version = k.version and k.retired_at is not null"
	"   and (k.emptied_at is null) = (u.org_id is null)",
	2, {UUIDARRAYOID, INT4ARRAYOID}
};

static SaasStatement drop = {
	"delete from saas_private.data_key k"
	" where k.retired_at < $1 and k.retired_at < clock_timestamp() - $2 * interval '1 second'"
	"   and k.emptied_at < $3",
	3, {TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID}
};

static SaasStatement count_kept = {
	"select count(*) from saas_private.data_key k where k.retired_at is not null",
	0, {0}
};

static SaasStatement finish = {
	"update saas_private.key_rotation r"
	"   set resealed_count = r.resealed_count + $2, finished_at = case when $3 then clock_timestamp() end"
	" where r.id = $1",
	3, {UUIDOID, INT8OID, BOOLOID}
};

static void
read_rotation(SaasRotation *rotation)
{
	bool		is_null;
	Datum		org_id = SaasStatementColumn(0, 2, &is_null);

	rotation->has_org = !is_null;
	if (rotation->has_org)
		rotation->org_id = *DatumGetUUIDP(org_id);
	rotation->id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
	rotation->started_at = DatumGetTimestampTz(SaasStatementColumn(0, 3, &is_null));
	rotation->made_before = DatumGetTimestampTz(SaasStatementColumn(0, 4, &is_null));
}

void
SaasRotationStart(const pg_uuid_t *org_id, const Interval *older_than, SaasRotation *rotation)
{
	Datum		values[2] = {org_id ? UUIDPGetDatum(org_id) : (Datum) 0, IntervalPGetDatum(older_than)};
	SaasRunAs	state;

	memset(rotation, 0, sizeof(*rotation));
	SaasRunAsBegin(&state, "saas_service");
	rotation->is_resumed = SaasStatementRun(&find_unfinished, NULL, NULL) == 1;
	if (!rotation->is_resumed && SaasStatementRun(&add_rotation, values, org_id ? "  " : "n ") != 1)
		SaasRaise("PT404", "the organization has no data key", NULL, NULL);
	read_rotation(rotation);
	SaasRunAsEnd(&state);
}

static void
audit_version(const pg_uuid_t *org_id, int version)
{
	char	   *json = psprintf("{\"version\":%d}", version);
	SaasAuditEvent event = {
		.org_id = org_id,.action = "data_key.rotated",.object_type = "data_key",
		.object_id = psprintf("%d", version)
	};

	event.after = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	SaasAuditAppend(&event);
}

int
SaasRotationMakeVersions(SaasRotation *rotation, int limit)
{
	Datum		values[4] = {
		UUIDPGetDatum(&rotation->org_id), UUIDPGetDatum(&rotation->next_from),
		TimestampTzGetDatum(rotation->made_before), Int32GetDatum(limit)
	};
	char		nulls[5] = {rotation->has_org ? ' ' : 'n', rotation->has_next_from ? ' ' : 'n', ' ', ' '};
	pg_uuid_t  *orgs;
	SaasRunAs	state;
	int			count;

	orgs = palloc(sizeof(pg_uuid_t) * limit);
	SaasRunAsBegin(&state, "saas_service");
	count = (int) SaasStatementRun(&find_keys, values, nulls);
	for (int i = 0; i < count; i++)
	{
		bool		is_null;

		orgs[i] = *DatumGetUUIDP(SaasStatementColumn(i, 1, &is_null));
	}
	SaasRunAsEnd(&state);
	for (int i = 0; i < count; i++)
	{
		int			version = SaasKeyringNext(&orgs[i], rotation->made_before);

		if (version > 0)
			audit_version(&orgs[i], version);
	}
	rotation->has_next_from |= count > 0;
	if (count > 0)
		rotation->next_from = orgs[count - 1];
	return count;
}

void
SaasRotationRetire(void)
{
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	(void) SaasStatementRun(&find_superseded, NULL, NULL);
	/* Whoever has made the versions above may be about to. */
	SaasSharedDataKeysChanged();
	(void) SaasStatementRun(&retire, NULL, NULL);
	SaasRunAsEnd(&state);
}

/* An organization's current version. */
typedef struct Current
{
	pg_uuid_t	org_id;
	int			version;
} Current;

static HTAB *
read_current(void)
{
	HASHCTL		info = {
		.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(Current),.hcxt = CurrentMemoryContext
	};
	HTAB	   *table = hash_create("current data keys", 256, &info,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SaasRunAs	state;
	uint64		count;

	SaasRunAsBegin(&state, "saas_service");
	count = SaasStatementRun(&find_current, NULL, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Current    *current = hash_search(table, DatumGetUUIDP(SaasStatementColumn(i, 1, &is_null)),
										  HASH_ENTER, NULL);

		current->version = DatumGetInt32(SaasStatementColumn(i, 2, &is_null));
	}
	SaasRunAsEnd(&state);
	return table;
}

static HTAB *
create_listed(void)
{
	HASHCTL		info = {
		.keysize = sizeof(SaasSealedUseKey),.entrysize = sizeof(SaasSealedUseKey),.hcxt = CurrentMemoryContext
	};

	return hash_create("work of a rotation", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

SaasReseal *
SaasRotationWork(const SaasSealedColumn *columns, const SaasSealedUsage *usage, int *count)
{
	HTAB	   *currents = read_current();
	HTAB	   *listed = create_listed();
	SaasReseal *work = palloc(sizeof(SaasReseal) * Max(hash_get_num_entries(usage->uses), 1));
	HASH_SEQ_STATUS scan;
	SaasSealedUse *use;

	*count = 0;
	hash_seq_init(&scan, usage->uses);
	while ((use = hash_seq_search(&scan)) != NULL)
	{
		Current    *current = hash_search(currents, &use->key.org_id, HASH_FIND, NULL);
		SaasSealedUseKey key = use->key;
		bool		is_listed;

		if (current == NULL || use->key.version >= current->version)
			continue;
		/* Of several old versions the work is one. */
		key.version = 0;
		(void) hash_search(listed, &key, HASH_ENTER, &is_listed);
		if (!is_listed)
			work[(*count)++] = (SaasReseal) {&columns[key.column], key.org_id, current->version};
	}
	hash_destroy(listed);
	hash_destroy(currents);
	return work;
}

static void
usage_arrays(const SaasSealedUsage *usage, Datum *values)
{
	int			count = (int) hash_get_num_entries(usage->uses);
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	Datum	   *versions = palloc(sizeof(Datum) * Max(count, 1));
	HASH_SEQ_STATUS scan;
	SaasSealedUse *use;
	int			i = 0;

	hash_seq_init(&scan, usage->uses);
	while ((use = hash_seq_search(&scan)) != NULL)
	{
		orgs[i] = use->key.org_id;
		versions[i++] = Int32GetDatum(use->key.version);
	}
	values[0] = SaasUuidArray(orgs, count);
	values[1] = PointerGetDatum(construct_array(versions, count, INT4OID, sizeof(int32), true,
												TYPALIGN_INT));
}

void
SaasRotationMark(const SaasSealedUsage *usage)
{
	Datum		values[2];
	SaasRunAs	state;

	usage_arrays(usage, values);
	SaasRunAsBegin(&state, "saas_service");
	(void) SaasStatementRun(&mark, values, NULL);
	SaasRunAsEnd(&state);
}

/* A prepared transaction began nobody knows when; it blocks as one that always ran. */
static bool
has_prepared_transactions(void)
{
	SaasRunAs	state;
	bool		found;

	/* Who may see them on a hardened database too. */
	SaasRunAsBegin(&state, "pg_read_all_stats");
	if (SPI_execute("select from pg_prepared_xacts x where x.database = current_database() limit 1",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for prepared transactions");
	found = SPI_processed > 0;
	SaasRunAsEnd(&state);
	return found;
}

TimestampTz
SaasOldestTransaction(void)
{
	TimestampTz oldest = DT_NOEND;
	int			count;

	if (has_prepared_transactions())
		return DT_NOBEGIN;
	pgstat_clear_backend_activity_snapshot();
	count = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= count; i++)
	{
		const PgBackendStatus *backend = SaasBackendStatus(i);

		if (backend == NULL || backend->st_procpid == MyProcPid || backend->st_databaseid != MyDatabaseId)
			continue;
		/* With track_activities off it does not tell. */
		if (backend->st_state == STATE_DISABLED)
			return DT_NOBEGIN;
		if (backend->st_xact_start_timestamp != 0)
			oldest = Min(oldest, backend->st_xact_start_timestamp);
	}
	return oldest;
}

/* Nobody knows which organizations' values stand in a column that is not in the list. */
static bool
has_unknown_values(const SaasSealedUsage *usage)
{
	for (int i = 0; i < usage->unregistered_count; i++)
	{
		if (!usage->unregistered[i].is_countable || usage->unregistered[i].count > 0)
			return true;
	}
	return false;
}

void
SaasRotationDrop(const SaasSealedUsage *usage, TimestampTz retired_before, SaasOldVersions *versions)
{
	Datum		values[3] = {
		TimestampTzGetDatum(retired_before), Int32GetDatum(saas_data_key_grace),
		TimestampTzGetDatum(SaasOldestTransaction())
	};
	SaasRunAs	state;
	bool		is_null;

	SaasRunAsBegin(&state, "saas_service");
	if (!has_unknown_values(usage))
		versions->dropped = (int) SaasStatementRun(&drop, values, NULL);
	if (versions->dropped > 0)
		SaasKeyringChanged();
	(void) SaasStatementRun(&count_kept, NULL, NULL);
	versions->kept = (int) DatumGetInt64(SaasStatementColumn(0, 1, &is_null));
	SaasRunAsEnd(&state);
}

void
SaasRotationFinish(const SaasRotation *rotation, int64 resealed, bool is_finished)
{
	Datum		values[3] = {
		UUIDPGetDatum(&rotation->id), Int64GetDatum(resealed), BoolGetDatum(is_finished)
	};
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	(void) SaasStatementRun(&finish, values, NULL);
	SaasRunAsEnd(&state);
}
