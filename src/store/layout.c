/*
 * layout.c
 *	  Which series a poll's values belong to.
 *
 * A connection's layout changes rarely, so the last ones are remembered by
 * connection and fingerprint, and a poll costs no look-up.
 *
 * Maintenance deletes layouts and series that were not seen for so long that
 * nothing with them is kept (saas_private.delete_unused).  What is used is
 * marked as seen where its mark is SEEN_EVERY old, with its row locked until the
 * end: one that is being deleted is waited for and made anew.  What was seen
 * later than that is never deleted, the time between SEEN_EVERY and the shortest
 * retention being much longer than any transaction of ours, so it is used
 * without a look at it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "pure/crypto.h"
#include "state/settings.h"
#include "store/layout.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_REMEMBERED	20000

/* Both are known to saas_private.delete_unused(). */
#define SEEN_EVERY_DAYS	7
#define IS_STALE		"seen_at < now() - interval '" CppAsString2(SEEN_EVERY_DAYS) " days'"

/* Series that were not seen for longer leave room for others. */
#define COUNTED_DAYS	31

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
	TimestampTz seen_at;
} LayoutEntry;

static HTAB *remembered = NULL;
static Oid	layout_table = InvalidOid;	/* while there is something to forget */

static SaasStatement find_layout = {
	"select l.id, l.seen_at from saas.layout l"
	" where l.org_id = $1 and l.connection_id = $2 and l.fingerprint = $3",
	3, {UUIDOID, UUIDOID, BYTEAOID}
};

/* The layout first: who deletes takes series last. */
static SaasStatement see_layout = {
	"with seen as ("
	"    update saas.layout l set seen_at = now() where l.org_id = $1 and l.id = $2 returning l.series_ids"
	"), series as ("
	"    update saas.series s set seen_at = now()"
	"      from seen cross join unnest(seen.series_ids) as u (id)"
	"     where s.org_id = $1 and s.id = u.id and s." IS_STALE
	"    returning 1"
	") select from seen",
	2, {UUIDOID, UUIDOID}
};

/* Before more are added: one that is deleted meanwhile is among those then. */
static SaasStatement see_series = {
	"update saas.series s set seen_at = now()"
	"  from unnest($3, $4) as n (metric, labels)"
	" where s.org_id = $1 and s.connection_id = $2 and s.metric = n.metric and s.labels = n.labels::jsonb"
	"   and s." IS_STALE
	"   and exists (select from saas.series x"
	"                where x.org_id = $1 and x.connection_id = $2 and x." IS_STALE ")",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

static SaasStatement add_series = {
	"insert into saas.series (org_id, connection_id, metric, labels)"
	" select $1, $2, n.metric, n.labels::jsonb from unnest($3, $4) as n (metric, labels)"
	"     on conflict on constraint series_identity do nothing",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* No more of them than it takes to know that there is no room for so many. */
static SaasStatement count_series = {
	"select count(*)::integer"
	"  from (select from saas.series s where s.org_id = $1 and s.connection_id = $2"
	"           and s.seen_at >= now() - interval '" CppAsString2(COUNTED_DAYS) " days' limit $3) c",
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
	layout_table = InvalidOid;
}

/* Layouts were deleted: saas_private.forget_layouts() tells. */
static void
at_invalidation(Datum arg, Oid relation)
{
	if (layout_table != InvalidOid && (relation == InvalidOid || relation == layout_table))
		forget_all();
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
	CacheRegisterRelcacheCallback(at_invalidation, (Datum) 0);
}

static Oid
layout_relation(void)
{
	return get_relname_relid("layout", get_namespace_oid("saas", false));
}

void
SaasLayoutForgetEverywhere(void)
{
	CacheInvalidateRelcacheByRelid(layout_relation());
}

static LayoutEntry *
remember(const LayoutKey *key, bool *found)
{
	if (remembered && hash_get_num_entries(remembered) >= MAX_REMEMBERED)
		forget_all();
	if (remembered == NULL)
	{
		HASHCTL		control = {0};

		layout_table = layout_relation();
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
is_stale(TimestampTz seen_at)
{
	return seen_at < GetCurrentTransactionStartTimestamp() - SEEN_EVERY_DAYS * USECS_PER_DAY;
}

/* Of one that was deleted under our eyes it says that it is not known. */
static bool
layout_is_known(const Datum *values, LayoutEntry *entry)
{
	Datum		seen[2] = {values[0]};
	bool		is_null;

	if (SaasStatementRun(&find_layout, values, NULL) != 1)
		return false;
	entry->layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
	entry->seen_at = DatumGetTimestampTz(SaasStatementColumn(0, 2, &is_null));
	if (!is_stale(entry->seen_at))
		return true;
	entry->seen_at = GetCurrentTransactionStartTimestamp();
	seen[1] = UUIDPGetDatum(&entry->layout_id);
	return SaasStatementRun(&see_layout, seen, NULL) == 1;
}

/* Makes what series there is room for, and takes the samples of others out. */
static int
make_series(const pg_uuid_t *org_id, const pg_uuid_t *connection_id, const SaasSample **samples, int count)
{
	Datum		values[5] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id)};
	Datum		limit[3] = {values[0], values[1], Int32GetDatum(saas_max_series)};
	bool		is_null;
	int			room;
	int			kept;

	names_of(samples, count, &values[2], &values[3]);
	(void) SaasStatementRun(&see_series, values, NULL);
	(void) SaasStatementRun(&count_series, limit, NULL);
	room = saas_max_series - DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
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
make_layout(const Datum *values, const SaasSample *const *samples, int count, LayoutEntry *entry)
{
	Datum		layout[5] = {values[0], values[1], values[2]};
	bool		is_null;

	names_of(samples, count, &layout[3], &layout[4]);
	if (SaasStatementRun(&add_layout, layout, NULL) == 1)
	{
		if (DatumGetInt32(SaasStatementColumn(0, 2, &is_null)) != count)
			elog(ERROR, "layout of %d series found %d", count,
				 DatumGetInt32(SaasStatementColumn(0, 2, &is_null)));
		entry->layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
		entry->seen_at = GetCurrentTransactionStartTimestamp();
		return;
	}
	/* Another poller made the same one meanwhile. */
	if (!layout_is_known(layout, entry))
		elog(ERROR, "could not read a layout back");
}

static const LayoutEntry *
recall(const pg_uuid_t *org_id, const LayoutKey *key)
{
	const LayoutEntry *entry = remembered ? hash_search(remembered, key, HASH_FIND, NULL) : NULL;

	if (entry == NULL || memcmp(&entry->org_id, org_id, sizeof(*org_id)) != 0 || is_stale(entry->seen_at))
		return NULL;
	return entry;
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
	LayoutEntry made = {.org_id = *org_id};
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
		if (layout_is_known(values, &made))
			break;
		kept = has_series ? count : make_series(org_id, connection_id, samples, count);
		if (kept == 0)
			return 0;
		if (kept == count)
		{
			make_layout(values, samples, count, &made);
			break;
		}
		has_series = true;
		count = kept;
	}
	*layout_id = made.layout_id;
	entry = remember(&key, &found);
	made.key = key;
	*entry = made;
	return count;
}
