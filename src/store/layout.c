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
#include "state/settings.h"
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

/* No more of them than it takes to know that there is no room for so many. */
static SaasStatement count_series = {
	"select count(*)::integer from (select from saas.series s where s.org_id = $1 and s.connection_id = $2 limit $3) c",
	3, {UUIDOID, UUIDOID, INT4OID}
};

/* The first of the unknown ones, as many as there is room for. */
static SaasStatement add_some_series = {
	"insert into saas.series (org_id, connection_id, metric, labels)"
	" select $1, $2, n.metric, n.labels::jsonb from unnest($3, $4) with ordinality as n (metric, labels, position)"
	"  where not exists (select from saas.series s where s.org_id = $1 and s.connection_id = $2"
	"                       and s.metric = n.metric and s.labels = n.labels::jsonb)"
	"  order by n.position limit $5"
	"     on conflict on constraint series_identity do nothing",
	5, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID}
};

static SaasStatement see_known = {
	"select n.position::integer from unnest($3, $4) with ordinality as n (metric, labels, position)"
	"  where exists (select from saas.series s where s.org_id = $1 and s.connection_id = $2"
	"                   and s.metric = n.metric and s.labels = n.labels::jsonb)"
	"  order by n.position",
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
names_of(const SaasSample *const *samples, int count, Datum *metrics, Datum *labels)
{
	const char **metric = palloc(sizeof(char *) * count);
	const char **label = palloc(sizeof(char *) * count);

	for (int i = 0; i < count; i++)
	{
		metric[i] = to_server(samples[i]->metric);
		label[i] = to_server(samples[i]->labels);
	}
	*metrics = SaasTextArray(metric, count);
	*labels = SaasTextArray(label, count);
}

static bool
layout_is_known(Datum *values, pg_uuid_t *layout_id)
{
	bool		is_null;

	if (SaasStatementRun(&find_layout, values, NULL) != 1)
		return false;
	*layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
	return true;
}

/* Makes what series there is room for, and takes the samples of others out. */
static int
make_series(const pg_uuid_t *org_id, const pg_uuid_t *connection_id, const SaasSample **samples, int count)
{
	Datum		values[5] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id)};
	bool		is_null;
	int			room;
	int			kept;

	values[2] = Int32GetDatum(saas_max_series);
	(void) SaasStatementRun(&count_series, values, NULL);
	room = saas_max_series - DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
	names_of(samples, count, &values[2], &values[3]);
	if (count <= room)
	{
		(void) SaasStatementRun(&add_series, values, NULL);
		return count;
	}
	values[4] = Int32GetDatum(room);
	if (room > 0)
		(void) SaasStatementRun(&add_some_series, values, NULL);
	kept = (int) SaasStatementRun(&see_known, values, NULL);
	for (int i = 0; i < kept; i++)
		samples[i] = samples[DatumGetInt32(SaasStatementColumn(i, 1, &is_null)) - 1];
	return kept;
}

/* values are those of find_layout. */
static void
make_layout(const Datum *values, const SaasSample *const *samples, int count, pg_uuid_t *layout_id)
{
	Datum		layout[5] = {values[0], values[1], values[2]};
	bool		is_null;

	names_of(samples, count, &layout[3], &layout[4]);
	if (SaasStatementRun(&add_layout, layout, NULL) == 1)
	{
		if (DatumGetInt32(SaasStatementColumn(0, 2, &is_null)) != count)
			elog(ERROR, "layout of %d series found %d", count,
				 DatumGetInt32(SaasStatementColumn(0, 2, &is_null)));
		*layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
		return;
	}
	/* Another poller made the same one meanwhile. */
	if (!layout_is_known(layout, layout_id))
		elog(ERROR, "could not read a layout back");
}

static const LayoutEntry *
recall(const pg_uuid_t *org_id, const LayoutKey *key)
{
	const LayoutEntry *entry = remembered ? hash_search(remembered, key, HASH_FIND, NULL) : NULL;

	return entry && memcmp(&entry->org_id, org_id, sizeof(*org_id)) == 0 ? entry : NULL;
}

/*
 * A layout that is known has series that are, so nothing is counted.  One with
 * samples left out is looked for by those that stay, each time.
 */
int
SaasLayoutFind(const pg_uuid_t *org_id, const pg_uuid_t *connection_id,
			   const SaasSample **samples, int count, pg_uuid_t *layout_id)
{
	LayoutKey	key;
	LayoutEntry *entry;
	const LayoutEntry *known;
	bytea	   *digest = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	Datum		values[3] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id), PointerGetDatum(digest)};
	bool		has_series = false;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.connection_id = *connection_id;
	SET_VARSIZE(digest, VARHDRSZ + SAAS_DIGEST_LENGTH);
	for (;;)
	{
		int			kept;

		fingerprint(samples, count, key.fingerprint);
		known = recall(org_id, &key);
		if (known)
		{
			*layout_id = known->layout_id;
			return count;
		}
		memcpy(VARDATA(digest), key.fingerprint, SAAS_DIGEST_LENGTH);
		if (layout_is_known(values, layout_id))
			break;
		kept = has_series ? count : make_series(org_id, connection_id, samples, count);
		if (kept == 0)
			return 0;
		if (kept == count)
		{
			make_layout(values, samples, count, layout_id);
			break;
		}
		has_series = true;
		count = kept;
	}
	entry = remember(&key, &found);
	entry->org_id = *org_id;
	entry->layout_id = *layout_id;
	return count;
}
