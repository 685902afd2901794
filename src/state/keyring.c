/*
 * keyring.c
 *	  Data keys: one per organization and version.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/raise.h"
#include "server/plan.h"
#include "server/run_as.h"
#include "server/secret_pages.h"
#include "server/uuidv7.h"
#include "state/keyring.h"
#include "state/master_keys.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define CACHE_SIZE		64
#define WRAPPED_LENGTH	(SAAS_NONCE_LENGTH + SAAS_KEY_LENGTH + SAAS_TAG_LENGTH)
#define WRAP_PURPOSE	"pg_saas:data-key"

/* A wrapped key as its row holds it. */
typedef struct WrappedKey
{
	int			version;
	int			master_version;
	char		master_fingerprint[SAAS_FINGERPRINT_SIZE];
	uint8_t		bytes[WRAPPED_LENGTH];
} WrappedKey;

typedef struct CacheEntry
{
	bool		in_use;
	bool		is_current;
	uint64		used;
	SaasDataKey key;
} CacheEntry;

const pg_uuid_t SaasPlatformOrg;

static CacheEntry *cache = NULL;	/* CACHE_SIZE entries in pages of their own */
static uint64 cache_clock;
static uint64 last_serial;
static TimestampTz cache_loaded_at; /* the configuration it belongs to */

static void
forget_all(void)
{
	SaasAeadForget();
	if (cache != NULL)
		SaasWipe(cache, sizeof(CacheEntry) * CACHE_SIZE);
}

/* A master key that was taken away opens nothing from the next reload on. */
static void
prepare_cache(void)
{
	if (cache == NULL)
		cache = SaasSecretPages(sizeof(CacheEntry) * CACHE_SIZE);
	if (cache_loaded_at != PgReloadTime)
		forget_all();
	cache_loaded_at = PgReloadTime;
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
static const SaasDataKey *
find_cached(const pg_uuid_t *org_id, int version)
{
	prepare_cache();
	for (int i = 0; i < CACHE_SIZE; i++)
	{
		CacheEntry *entry = &cache[i];

		if (entry->in_use &&
			memcmp(&entry->key.org_id, org_id, sizeof(*org_id)) == 0 &&
			(version == 0 ? entry->is_current : entry->key.version == version))
		{
			entry->used = ++cache_clock;
			return &entry->key;
		}
	}
	return NULL;
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

/* Organization, version and master version: a moved row does not unwrap. */
static char *
wrap_context(const pg_uuid_t *org_id, int version, int master_version)
{
	return psprintf(WRAP_PURPOSE "|%s|%d|%d",
					SaasUuidText(org_id),
					version, master_version);
}

static bool
wrap(const SaasMasterKey *master, const char *context, const uint8_t *key, uint8_t *wrapped)
{
	return SaasRandomBytes(wrapped, SAAS_NONCE_LENGTH) &&
		SaasAeadSeal(master->key, wrapped, context, strlen(context), key, SAAS_KEY_LENGTH,
					 wrapped + SAAS_NONCE_LENGTH,
					 wrapped + SAAS_NONCE_LENGTH + SAAS_KEY_LENGTH);
}

static void
unwrap(const pg_uuid_t *org_id, const WrappedKey *wrapped, uint8_t *key)
{
	char	   *context = wrap_context(org_id, wrapped->version, wrapped->master_version);
	char		found[SAAS_FINGERPRINT_SIZE] = "none";
	const SaasMasterKey *master;
	SaasMasterKeys masters;
	bool		opened = false;

	SaasMasterKeysRead(&masters);
	master = SaasMasterKeyFind(&masters, wrapped->master_version);
	if (master != NULL)
	{
		strlcpy(found, master->fingerprint, sizeof(found));
		opened = strcmp(found, wrapped->master_fingerprint) == 0 &&
			SaasAeadOpen(master->key, wrapped->bytes, context, strlen(context),
						 wrapped->bytes + SAAS_NONCE_LENGTH, SAAS_KEY_LENGTH,
						 wrapped->bytes + SAAS_NONCE_LENGTH + SAAS_KEY_LENGTH, key);
	}
	SaasWipe(&masters, sizeof(masters));
	if (!opened)
		SaasRaise("55000", "the master key does not open this database's data keys",
				  psprintf("Version %d with fingerprint %s is needed; %s has %s.",
						   wrapped->master_version, wrapped->master_fingerprint,
						   SaasMasterKeysSource(), found),
				  psprintf("Put the master key that this database was used with into what %s names.",
						   SaasMasterKeysSetting()));
}

/* Reads a row; version 0 reads the highest.  Returns false when there is none. */
static bool
read_wrapped(const pg_uuid_t *org_id, int version, WrappedKey *wrapped)
{
	static const char query[] =
		"select version, master_version, master_fingerprint, wrapped_key"
		"  from saas_private.data_key"
		" where org_id = $1 and (version = $2 or $2 = 0)"
		" order by version desc limit 1";
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {UUIDOID, INT4OID};
	Datum		values[2] = {UUIDPGetDatum(org_id), Int32GetDatum(version)};
	SaasRunAs	state;
	bool		found;

	SaasRunAsBegin(&state, "saas_service");
	SaasPlanKeep(&plan, query, lengthof(types), types, 0);
	if (SPI_execute_plan(plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a data key");
	found = SPI_processed == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;
		bytea	   *bytes;

		wrapped->version = DatumGetInt32(SPI_getbinval(row, desc, 1, &is_null));
		wrapped->master_version = DatumGetInt32(SPI_getbinval(row, desc, 2, &is_null));
		strlcpy(wrapped->master_fingerprint,
				TextDatumGetCString(SPI_getbinval(row, desc, 3, &is_null)),
				sizeof(wrapped->master_fingerprint));
		bytes = DatumGetByteaPP(SPI_getbinval(row, desc, 4, &is_null));
		if (VARSIZE_ANY_EXHDR(bytes) != WRAPPED_LENGTH)
			elog(ERROR, "wrapped data key has %d bytes", (int) VARSIZE_ANY_EXHDR(bytes));
		memcpy(wrapped->bytes, VARDATA_ANY(bytes), WRAPPED_LENGTH);
	}
	SaasRunAsEnd(&state);
	return found;
}

static void
insert_wrapped(const pg_uuid_t *org_id, const WrappedKey *wrapped)
{
	Oid			types[5] = {UUIDOID, INT4OID, INT4OID, TEXTOID, BYTEAOID};
	bytea	   *bytes = palloc(VARHDRSZ + WRAPPED_LENGTH);
	Datum		values[5];
	SaasRunAs	state;

	SET_VARSIZE(bytes, VARHDRSZ + WRAPPED_LENGTH);
	memcpy(VARDATA(bytes), wrapped->bytes, WRAPPED_LENGTH);
	values[0] = UUIDPGetDatum(org_id);
	values[1] = Int32GetDatum(wrapped->version);
	values[2] = Int32GetDatum(wrapped->master_version);
	values[3] = CStringGetTextDatum(wrapped->master_fingerprint);
	values[4] = PointerGetDatum(bytes);
	SaasRunAsBegin(&state, "saas_service");
	/* Someone else may have made the same version meanwhile: theirs counts. */
	if (SPI_execute_with_args("insert into saas_private.data_key"
							  "  (org_id, version, master_version, master_fingerprint, wrapped_key)"
							  " values ($1, $2, $3, $4, $5) on conflict do nothing",
							  5, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store a data key");
	SaasRunAsEnd(&state);
}

static void
create_key(const pg_uuid_t *org_id)
{
	WrappedKey	wrapped = {.version = 1};
	uint8_t		key[SAAS_KEY_LENGTH];
	const SaasMasterKey *master;
	SaasMasterKeys masters;
	bool		done;

	SaasMasterKeysRead(&masters);
	master = SaasMasterKeyFind(&masters, 0);
	wrapped.master_version = master->version;
	strlcpy(wrapped.master_fingerprint, master->fingerprint, sizeof(wrapped.master_fingerprint));
	done = SaasRandomBytes(key, sizeof(key)) &&
		wrap(master, wrap_context(org_id, wrapped.version, wrapped.master_version), key, wrapped.bytes);
	SaasWipe(key, sizeof(key));
	SaasWipe(&masters, sizeof(masters));
	if (!done)
		elog(ERROR, "could not make a data key");
	insert_wrapped(org_id, &wrapped);
}

static const SaasDataKey *
take(const pg_uuid_t *org_id, const WrappedKey *wrapped, bool is_current)
{
	uint8_t		key[SAAS_KEY_LENGTH];
	CacheEntry *entry;

	unwrap(org_id, wrapped, key);
	entry = oldest_entry();
	entry->key.org_id = *org_id;
	entry->key.version = wrapped->version;
	entry->key.serial = ++last_serial;
	memcpy(entry->key.key, key, sizeof(key));
	entry->is_current = is_current;
	entry->used = ++cache_clock;
	entry->in_use = true;
	SaasWipe(key, sizeof(key));
	return &entry->key;
}

const SaasDataKey *
SaasKeyringCurrent(const pg_uuid_t *org_id, bool create)
{
	const SaasDataKey *key = find_cached(org_id, 0);
	WrappedKey	wrapped;

	if (key != NULL)
		return key;
	if (!read_wrapped(org_id, 0, &wrapped))
	{
		if (!create)
			SaasRaise("PT404", "the organization has no data key", NULL, NULL);
		create_key(org_id);
		if (!read_wrapped(org_id, 0, &wrapped))
			elog(ERROR, "could not read a data key back");
	}
	return take(org_id, &wrapped, true);
}

const SaasDataKey *
SaasKeyringVersion(const pg_uuid_t *org_id, int version)
{
	const SaasDataKey *key = find_cached(org_id, version);
	WrappedKey	wrapped;

	if (key != NULL)
		return key;
	if (version <= 0 || !read_wrapped(org_id, version, &wrapped))
		SaasRaise("22023", "cannot open the sealed value", NULL,
				  "It opens only for the organization, purpose and context it was sealed for.");
	return take(org_id, &wrapped, false);
}
