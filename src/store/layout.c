/*
 * layout.c
 *	  Which series a poll's values belong to.
 *
 * A connection's layout changes rarely, so the last ones are remembered by
 * connection and fingerprint, and a poll costs no look-up.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "pure/crypto.h"
#include "store/layout.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define MAX_REMEMBERED	20000

typedef struct LayoutKey
{
	pg_uuid_t	connection_id;
	uint8_t		fingerprint[SAAS_DIGEST_LENGTH];
} LayoutKey;

typedef struct LayoutEntry
{
	LayoutKey	key;
	pg_uuid_t	org_id;
	pg_uuid_t	layout_id;
} LayoutEntry;

static HTAB *remembered = NULL;

static SaasStatement find_layout = {
	"select l.id from saas.layout l where l.org_id = $1 and l.connection_id = $2 and l.fingerprint = $3",
	3, {UUIDOID, UUIDOID, BYTEAOID}
};

static SaasStatement add_series = {
	"insert into saas.series (org_id, connection_id, metric, labels)"
	" select $1, $2, n.metric, n.labels::jsonb from unnest($3, $4) as n (metric, labels)"
	"     on conflict on constraint series_identity do nothing",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

static SaasStatement add_layout = {
	"insert into saas.layout (org_id, connection_id, fingerprint, series_ids)"
	" select $1, $2, $3, array_agg(s.id order by n.position)"
	"   from unnest($4, $5) with ordinality as n (metric, labels, position)"
	"   join saas.series s on s.org_id = $1 and s.connection_id = $2"
	"    and s.metric = n.metric and s.labels = n.labels::jsonb"
	"     on conflict on constraint layout_fingerprint do nothing"
	" returning id, cardinality(series_ids)",
	5, {UUIDOID, UUIDOID, BYTEAOID, TEXTARRAYOID, TEXTARRAYOID}
};

static void
forget_all(void)
{
	if (remembered)
		hash_destroy(remembered);
	remembered = NULL;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		forget_all();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

void
SaasLayoutInit(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

static LayoutEntry *
remember(const LayoutKey *key, bool *found)
{
	if (remembered && hash_get_num_entries(remembered) >= MAX_REMEMBERED)
		forget_all();
	if (remembered == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(LayoutKey);
		control.entrysize = sizeof(LayoutEntry);
		control.hcxt = TopMemoryContext;
		remembered = hash_create("pg_saas layouts", 1024, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	return hash_search(remembered, key, HASH_ENTER, found);
}

/* Lengths go in too, so that no two lists of names read alike. */
static void
fingerprint(const SaasSample *const *samples, int count, uint8_t *digest)
{
	StringInfoData bytes;

	initStringInfo(&bytes);
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&bytes, "%zu:%zu:", strlen(samples[i]->metric), strlen(samples[i]->labels));
		appendStringInfoString(&bytes, samples[i]->metric);
		appendStringInfoString(&bytes, samples[i]->labels);
	}
	if (!SaasSha256(bytes.data, bytes.len, digest))
		elog(ERROR, "could not hash a layout");
	pfree(bytes.data);
}

/* The readers give UTF-8. */
static char *
to_server(const char *text)
{
	return pg_any_to_server(text, (int) strlen(text), PG_UTF8);
}

static void
make_layout(const pg_uuid_t *org_id, const pg_uuid_t *connection_id, Datum digest,
			const SaasSample *const *samples, int count, pg_uuid_t *layout_id)
{
	const char **metrics = palloc(sizeof(char *) * count);
	const char **labels = palloc(sizeof(char *) * count);
	Datum		series[4] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id)};
	Datum		layout[5] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id), digest};
	bool		is_null;

	for (int i = 0; i < count; i++)
	{
		metrics[i] = to_server(samples[i]->metric);
		labels[i] = to_server(samples[i]->labels);
	}
	series[2] = layout[3] = SaasTextArray(metrics, count);
	series[3] = layout[4] = SaasTextArray(labels, count);
	(void) SaasStatementRun(&add_series, series, NULL);
	if (SaasStatementRun(&add_layout, layout, NULL) == 1)
	{
		if (DatumGetInt32(SaasStatementColumn(0, 2, &is_null)) != count)
			elog(ERROR, "layout of %d series found %d", count,
				 DatumGetInt32(SaasStatementColumn(0, 2, &is_null)));
		*layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
		return;
	}
	/* Another poller made the same one meanwhile. */
	if (SaasStatementRun(&find_layout, layout, NULL) != 1)
		elog(ERROR, "could not read a layout back");
	*layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
}

void
SaasLayoutFind(const pg_uuid_t *org_id, const pg_uuid_t *connection_id,
			   const SaasSample *const *samples, int count, pg_uuid_t *layout_id)
{
	LayoutKey	key;
	LayoutEntry *entry;
	bytea	   *digest = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	Datum		values[3];
	bool		found;
	bool		is_null;

	memset(&key, 0, sizeof(key));
	key.connection_id = *connection_id;
	fingerprint(samples, count, key.fingerprint);
	entry = remembered ? hash_search(remembered, &key, HASH_FIND, NULL) : NULL;
	if (entry && memcmp(&entry->org_id, org_id, sizeof(*org_id)) == 0)
	{
		*layout_id = entry->layout_id;
		return;
	}

	SET_VARSIZE(digest, VARHDRSZ + SAAS_DIGEST_LENGTH);
	memcpy(VARDATA(digest), key.fingerprint, SAAS_DIGEST_LENGTH);
	values[0] = UUIDPGetDatum(org_id);
	values[1] = UUIDPGetDatum(connection_id);
	values[2] = PointerGetDatum(digest);
	if (SaasStatementRun(&find_layout, values, NULL) == 1)
		*layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
	else
		make_layout(org_id, connection_id, values[2], samples, count, layout_id);

	entry = remember(&key, &found);
	entry->org_id = *org_id;
	entry->layout_id = *layout_id;
}
