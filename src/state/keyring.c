/*
 * keyring.c
 *	  Data keys: one per organization and version.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "server/plan.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "server/secret_pages.h"
#include "server/uuidv7.h"
#include "state/journal.h"
#include "state/key_budget.h"
#include "state/keyring.h"
#include "state/master_keys.h"
#include "state/sealed_columns.h"
#include "state/shared.h"
#include "state/wrapped_key.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define CACHE_SIZE		64

/* Replay bumps no generation: a standby reads the keys again after this time. */
#define STANDBY_MS		5000

/* What a row says besides the key. */
typedef struct KeyRow
{
	SaasWrappedKey wrapped;
	int64		sealed_count;
	TimestampTz created_at;
} KeyRow;

typedef struct CacheEntry
{
	bool		in_use;
	bool		is_current;
	uint64		used;
	int64		sealed_count;	/* when it was read */
	SaasDataKey key;
} CacheEntry;

const pg_uuid_t SaasPlatformOrg;

static CacheEntry *cache = NULL;	/* CACHE_SIZE entries in pages of their own */
static uint64 cache_clock;
static uint64 last_serial;
static TimestampTz cache_loaded_at; /* the configuration it belongs to */
static uint64 cache_generation; /* what is cached was read in it */
static TimestampTz cache_emptied_at;

/* Whether the current transaction has made another version or destroyed keys. */
static bool keys_changed = false;

static void
forget_all(void)
{
	SaasAeadForget();
	if (cache != NULL)
		SaasWipe(cache, sizeof(CacheEntry) * CACHE_SIZE);
	cache_emptied_at = GetCurrentTimestamp();
}

/* Before any look into the cache: what is read after it is as new as the generation. */
static void
forget_stale(void)
{
	uint64		generation = SaasSharedDataKeys();

	if (cache == NULL)
		cache = SaasSecretPages(sizeof(CacheEntry) * CACHE_SIZE);
	/* A master key that was taken away opens nothing from the next reload on. */
	if (generation != cache_generation || cache_loaded_at != PgReloadTime)
	{
		forget_all();
		cache_generation = generation;
		cache_loaded_at = PgReloadTime;
	}
	else if (RecoveryInProgress() &&
			 TimestampDifferenceExceeds(cache_emptied_at, GetCurrentTimestamp(), STANDBY_MS))
		forget_all();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	/* A prepared transaction may still be rolled back, by anyone. */
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_all();
	/* OpenSSL expands keys in memory that core dumps show. */
	else if (event == XACT_EVENT_COMMIT)
		SaasAeadForget();
	if (keys_changed && event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed data keys")));
	if (!keys_changed || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	keys_changed = false;
	/* Visible by now, and this process may have cached what never was. */
	SaasSharedDataKeysChanged();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	(void) id;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

void
SaasKeyringInit(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* version 0 looks for the current key. */
static CacheEntry *
search_cache(const pg_uuid_t *org_id, int version)
{
	for (int i = 0; i < CACHE_SIZE; i++)
	{
		CacheEntry *entry = &cache[i];

		if (entry->in_use &&
			memcmp(&entry->key.org_id, org_id, sizeof(*org_id)) == 0 &&
			(version == 0 ? entry->is_current : entry->key.version == version))
		{
			entry->used = ++cache_clock;
			return entry;
		}
	}
	return NULL;
}

static CacheEntry *
find_cached(const pg_uuid_t *org_id, int version)
{
	forget_stale();
	return search_cache(org_id, version);
}

static CacheEntry *
oldest_entry(void)
{
	CacheEntry *oldest = &cache[0];

	for (int i = 0; i < CACHE_SIZE; i++)
	{
		if (!cache[i].in_use)
			return &cache[i];
		if (cache[i].used < oldest->used)
			oldest = &cache[i];
	}
	SaasWipe(oldest, sizeof(*oldest));
	return oldest;
}

static bool
is_destroyed(const pg_uuid_t *org_id)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(org_id)};
	SaasRunAs	state;
	bool		found;

	SaasRunAsBegin(&state, "saas_service");
	PushActiveSnapshot(IsInParallelMode() ? GetTransactionSnapshot() : GetLatestSnapshot());
	if (SPI_execute_with_args("select from saas_private.destroyed_key where org_id = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for a destroyed data key");
	found = SPI_processed > 0;
	PopActiveSnapshot();
	SaasRunAsEnd(&state);
	return found;
}

/*
 * As of now whatever the isolation level: which version is current, and what a
 * rewrap has left, is no matter of the caller's snapshot.  Only an old version
 * that is dropped meanwhile may still stand in that.
 */
static uint64
select_row(SPIPlanPtr plan, Datum *values)
{
	uint64		found;

	PushActiveSnapshot(IsInParallelMode() ? GetTransactionSnapshot() : GetLatestSnapshot());
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a data key");
	found = SPI_processed;
	PopActiveSnapshot();
	if (found > 0 || DatumGetInt32(values[1]) == 0 || !ActiveSnapshotSet() ||
		is_destroyed(DatumGetUUIDP(values[0])))
		return found;
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a data key");
	return SPI_processed;
}

/* Reads a row; version 0 reads the highest.  Returns false when there is none. */
static bool
read_row(const pg_uuid_t *org_id, int version, KeyRow *key)
{
	static const char query[] =
		"select version, master_version, master_fingerprint, wrapped_key, sealed_count, created_at"
		"  from saas_private.data_key"
		" where org_id = $1 and (version = $2 or $2 = 0)"
		"   and not exists (select from saas_private.destroyed_key d where d.org_id = $1)"
		" order by version desc limit 1";
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {UUIDOID, INT4OID};
	Datum		values[2] = {UUIDPGetDatum(org_id), Int32GetDatum(version)};
	SaasWrappedKey *wrapped = &key->wrapped;
	SaasRunAs	state;
	bool		found;

	SaasRunAsBegin(&state, "saas_service");
	SaasPlanKeep(&plan, query, lengthof(types), types, 0);
	found = select_row(plan, values) == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;

		wrapped->org_id = *org_id;
		wrapped->version = DatumGetInt32(SPI_getbinval(row, desc, 1, &is_null));
		wrapped->master_version = DatumGetInt32(SPI_getbinval(row, desc, 2, &is_null));
		strlcpy(wrapped->master_fingerprint,
				TextDatumGetCString(SPI_getbinval(row, desc, 3, &is_null)),
				sizeof(wrapped->master_fingerprint));
		SaasWrappedSetBytes(wrapped, DatumGetByteaPP(SPI_getbinval(row, desc, 4, &is_null)));
		key->sealed_count = DatumGetInt64(SPI_getbinval(row, desc, 5, &is_null));
		key->created_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 6, &is_null));
	}
	SaasRunAsEnd(&state);
	return found;
}

static void
refuse_destroyed(const pg_uuid_t *org_id)
{
	if (is_destroyed(org_id))
		SaasRaise("PT409", "the organization's data keys were destroyed", NULL,
				  "Nothing can be sealed for it any more.");
}

/* Who has lost keys must know it before new values hide that. */
static void
refuse_orphans(const pg_uuid_t *org_id)
{
	char	   *column = SaasSealedColumnInUse(org_id);

	if (column != NULL)
		SaasRaise("55000", "sealed values exist, but the data keys that open them are missing",
				  psprintf("%s holds values of organization %s, and saas_private.data_key holds no key of it.",
						   column, SaasUuidText(org_id)),
				  "Restore saas_private.data_key, or remove the values: without the keys they never open.");
}

void
SaasKeyringLock(const pg_uuid_t *org_id)
{
	Oid			keys = get_relname_relid("data_key", get_namespace_oid("saas_private", false));

	/* Of a space that no SQL reaches; two organizations may share a lock. */
	LockDatabaseObject(keys, hash_bytes(org_id->data, UUID_LEN), 0, ExclusiveLock);
}

static void
insert_row(const SaasWrappedKey *wrapped)
{
	Oid			types[5] = {UUIDOID, INT4OID, INT4OID, TEXTOID, BYTEAOID};
	Datum		values[5] = {
		UUIDPGetDatum(&wrapped->org_id), Int32GetDatum(wrapped->version),
		Int32GetDatum(wrapped->master_version), CStringGetTextDatum(wrapped->master_fingerprint),
		PointerGetDatum(SaasWrappedBytes(wrapped))
	};
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("insert into saas_private.data_key"
							  "  (org_id, version, master_version, master_fingerprint, wrapped_key, created_at)"
							  " values ($1, $2, $3, $4, $5, clock_timestamp())",
							  5, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store a data key");
	SaasRunAsEnd(&state);
}

/* Call with the lock of the organization's keys. */
static void
make_version(const pg_uuid_t *org_id, int version)
{
	SaasWrappedKey wrapped = {.org_id = *org_id,.version = version};
	uint8_t		key[SAAS_KEY_LENGTH];
	SaasMasterKeys masters;

	SaasMasterKeysRead(&masters);
	if (!SaasRandomBytes(key, sizeof(key)))
		elog(ERROR, "could not make a data key");
	SaasWrap(&masters, key, &wrapped);
	SaasWipe(key, sizeof(key));
	SaasWipe(&masters, sizeof(masters));
	insert_row(&wrapped);
}

/* The organization's highest version, made when there is none. */
static void
ensure_row(const pg_uuid_t *org_id, KeyRow *key)
{
	if (read_row(org_id, 0, key))
		return;
	SaasKeyringLock(org_id);
	refuse_destroyed(org_id);
	/* Whom we waited for may have made it. */
	if (read_row(org_id, 0, key))
		return;
	refuse_orphans(org_id);
	make_version(org_id, 1);
	if (!read_row(org_id, 0, key))
		elog(ERROR, "could not read a data key back");
}

/*
 * The master key may be gone because the row was wrapped anew after we read it:
 * then it says so now.
 */
static void
unwrap(KeyRow *row, uint8_t *key)
{
	SaasMasterKeys masters;
	bool		opened;

	SaasMasterKeysRead(&masters);
	opened = SaasUnwrap(&masters, &row->wrapped, key);
	if (!opened && read_row(&row->wrapped.org_id, row->wrapped.version, row))
		opened = SaasUnwrap(&masters, &row->wrapped, key);
	if (!opened)
	{
		/* Their fingerprints are still to be told. */
		for (int i = 0; i < masters.count; i++)
			SaasWipe(masters.items[i].key, SAAS_KEY_LENGTH);
		SaasRaiseNotUnwrapped(&masters, &row->wrapped);
	}
	SaasWipe(&masters, sizeof(masters));
}

/* Into the generation of the last look into the cache, which came before the row was read. */
static CacheEntry *
take(KeyRow *row, bool is_current)
{
	uint8_t		key[SAAS_KEY_LENGTH];
	CacheEntry *entry;

	unwrap(row, key);
	entry = search_cache(&row->wrapped.org_id, row->wrapped.version);
	if (entry == NULL)
		entry = oldest_entry();
	entry->key.org_id = row->wrapped.org_id;
	entry->key.version = row->wrapped.version;
	entry->key.serial = ++last_serial;
	memcpy(entry->key.key, key, sizeof(key));
	entry->is_current = is_current;
	entry->sealed_count = row->sealed_count;
	entry->used = ++cache_clock;
	entry->in_use = true;
	SaasWipe(key, sizeof(key));
	return entry;
}

/* Notes a block now and then (state/key_budget.h), and lets the count be read anew. */
static void
count_use(CacheEntry *entry)
{
	if (pg_prng_uint64(&pg_global_prng_state) % SAAS_KEY_BLOCK != 0 || RecoveryInProgress())
		return;
	entry->is_current = false;
	SaasNoteDown("data_key_used", &entry->key.org_id,
				 psprintf("{\"version\":%d,\"count\":%d}", entry->key.version, SAAS_KEY_BLOCK));
}

const SaasDataKey *
SaasKeyringCurrent(const pg_uuid_t *org_id)
{
	CacheEntry *entry = find_cached(org_id, 0);
	KeyRow		row;

	if (entry == NULL)
	{
		ensure_row(org_id, &row);
		entry = take(&row, true);
	}
	if (entry->sealed_count >= SAAS_KEY_BUDGET_REFUSE)
	{
		int			version = entry->key.version;

		/* The next version must be found as soon as there is one. */
		SaasWipe(entry, sizeof(*entry));
		SaasRaise("55000", "the organization's data key has sealed as much as it may",
				  psprintf("Version %d is near 2^32 values, the bound of AES-GCM with random nonces.", version),
				  "The worker makes the next version at half of that; call saas.rotate_data_keys() does now.");
	}
	count_use(entry);
	return &entry->key;
}

void
SaasKeyringEnsure(const pg_uuid_t *org_id)
{
	KeyRow		row;

	ensure_row(org_id, &row);
}

const SaasDataKey *
SaasKeyringVersion(const pg_uuid_t *org_id, int version)
{
	CacheEntry *entry = find_cached(org_id, version);
	KeyRow		row;

	if (entry != NULL)
		return &entry->key;
	if (version <= 0 || !read_row(org_id, version, &row))
		SaasRaise("22023", "cannot open the sealed value", NULL,
				  "It opens only for the organization, purpose and context it was sealed for.");
	return &take(&row, false)->key;
}

void
SaasKeyringChanged(void)
{
	keys_changed = true;
	forget_all();
}

int
SaasKeyringNext(const pg_uuid_t *org_id, TimestampTz made_before)
{
	KeyRow		row;

	SaasKeyringLock(org_id);
	if (is_destroyed(org_id) || !read_row(org_id, 0, &row) || row.created_at >= made_before)
		return 0;
	make_version(org_id, row.wrapped.version + 1);
	SaasKeyringChanged();
	return row.wrapped.version + 1;
}
