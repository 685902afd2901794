/*
 * blind_index.c
 *	  Keyed hashes of values that are sealed, for equality search.
 *
 * The key is a sealed value of its own and not the data key: rotation replaces
 * data keys, and an index must find what was written before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "port/pg_bswap.h"
#include "pure/crypto.h"
#include "server/plan.h"
#include "server/run_as.h"
#include "server/secret_pages.h"
#include "state/blind_index.h"
#include "state/sealed.h"
#include "state/shared.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define KEY_PURPOSE		"pg_saas:blind-index"
#define CACHE_SIZE		64

typedef struct CacheEntry
{
	bool		in_use;
	pg_uuid_t	org_id;
	uint8		key[SAAS_KEY_LENGTH];
} CacheEntry;

/* In pages of their own; an organization has one place that it may have. */
static CacheEntry *cache = NULL;
static uint64 cache_generation; /* of the data keys: what they sealed may be gone */
static TimestampTz cache_loaded_at; /* the configuration it belongs to */

static void
forget_all(void)
{
	if (cache != NULL)
		SaasWipe(cache, sizeof(CacheEntry) * CACHE_SIZE);
}

/* A key that this transaction made is in no table once it aborts. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_all();
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
SaasBlindIndexInit(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

static CacheEntry *
place_of(const pg_uuid_t *org_id)
{
	uint64		generation = SaasSharedDataKeys();

	if (cache == NULL)
		cache = SaasSecretPages(sizeof(CacheEntry) * CACHE_SIZE);
	if (cache_generation != generation || cache_loaded_at != PgReloadTime)
		forget_all();
	cache_generation = generation;
	cache_loaded_at = PgReloadTime;
	/* The last bytes of a UUID of version 7 are random. */
	return &cache[org_id->data[UUID_LEN - 1] % CACHE_SIZE];
}

/* The sealed key, palloc'd for the caller's context, or NULL. */
static struct varlena *
read_sealed(const pg_uuid_t *org_id)
{
	static const char query[] = "select key from saas_private.blind_index_key where org_id = $1";
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(org_id)};
	MemoryContext caller = CurrentMemoryContext;
	struct varlena *sealed = NULL;
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	SaasPlanKeep(&plan, query, lengthof(types), types, 0);
	if (SPI_execute_plan(plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up the key of a blind index");
	if (SPI_processed == 1)
	{
		bool		is_null;
		Datum		key = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		sealed = PG_DETOAST_DATUM_COPY(key);
		MemoryContextSwitchTo(spi);
	}
	SaasRunAsEnd(&state);
	return sealed;
}

/* Someone else may make one at the same time: theirs counts. */
static void
create_key(const pg_uuid_t *org_id)
{
	Oid			types[2] = {UUIDOID, BYTEAOID};
	uint8		key[SAAS_KEY_LENGTH];
	char		digits[2 * SAAS_KEY_LENGTH + 1];
	Datum		values[2] = {UUIDPGetDatum(org_id)};
	SaasRunAs	state;

	if (!SaasRandomBytes(key, sizeof(key)))
		elog(ERROR, "could not make the key of a blind index");
	SaasHexEncode(key, sizeof(key), digits);
	/* bytea and saas.sealed have the same representation; the cast is below. */
	values[1] = PointerGetDatum(SaasSeal(org_id, digits, strlen(digits), KEY_PURPOSE, ""));
	SaasWipe(key, sizeof(key));
	SaasWipe(digits, sizeof(digits));
	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("insert into saas_private.blind_index_key (org_id, key)"
							  " values ($1, translate(encode($2, 'base64'), E'\\n', '')::saas.sealed)"
							  " on conflict do nothing",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store the key of a blind index");
	SaasRunAsEnd(&state);
}

static struct varlena *
find_or_create(const pg_uuid_t *org_id)
{
	struct varlena *sealed = read_sealed(org_id);

	if (sealed != NULL)
		return sealed;
	create_key(org_id);
	/* Under repeatable read theirs may not be visible: then this transaction has to begin again. */
	sealed = read_sealed(org_id);
	if (sealed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not read the key of a blind index that another transaction has just made"),
				 errhint("The transaction might succeed if retried.")));
	return sealed;
}

static const uint8 *
key_of(const pg_uuid_t *org_id)
{
	CacheEntry *entry = place_of(org_id);
	char	   *digits;
	Size		length;
	bool		is_key;

	if (entry->in_use && memcmp(&entry->org_id, org_id, sizeof(*org_id)) == 0)
		return entry->key;
	digits = SaasUnseal(org_id, find_or_create(org_id), KEY_PURPOSE, "", &length);
	/* Errors on the way may have emptied the cache. */
	SaasWipe(entry, sizeof(*entry));
	is_key = length == 2 * SAAS_KEY_LENGTH && SaasHexDecode(digits, entry->key, SAAS_KEY_LENGTH);
	SaasWipe(digits, length);
	if (!is_key)
		elog(ERROR, "the key of a blind index is none");
	entry->org_id = *org_id;
	entry->in_use = true;
	return entry->key;
}

void
SaasBlindIndex(const pg_uuid_t *org_id, const char *purpose, const char *value, Size length,
			   uint8 index[SAAS_BLIND_INDEX_LENGTH])
{
	const uint8 *key = key_of(org_id);
	Size		purpose_length = strlen(purpose);
	uint32		prefix = pg_hton32((uint32) purpose_length);
	Size		total = sizeof(prefix) + purpose_length + length;
	char	   *message = palloc(total);
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	bool		done;

	memcpy(message, &prefix, sizeof(prefix));
	memcpy(message + sizeof(prefix), purpose, purpose_length);
	memcpy(message + sizeof(prefix) + purpose_length, value, length);
	done = SaasHmacSha256(key, SAAS_KEY_LENGTH, message, total, digest);
	SaasWipe(message, total);
	pfree(message);
	if (!done)
		elog(ERROR, "could not compute a blind index");
	memcpy(index, digest, SAAS_BLIND_INDEX_LENGTH);
}
