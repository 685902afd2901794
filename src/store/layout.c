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
#include "server/uuidv7.h"
#include "state/settings.h"
#include "store/layout.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
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

/*
 * Where the planner expects few rows of a connection, or of its organization, an
 * index that begins with these costs about the same as the one with the whole
 * key, or less, and may be taken: then each look-up reads all of them, and N
 * look-ups N x N.  It expects few in empty tables and, as it takes organization,
 * connection and metric for independent, in large ones.  Hence all that is looked
 * for here is asked for in the order of the index that is to serve it, "equal" as
 * a range (of what is equal the order would be no matter), and planned with
 * sorting off (SaasStatementPlanByOrder).
 */
static SaasStatement find_layout = {
	"select l.id, l.seen_at from saas.layout l"
	" where l.org_id = $1 and l.connection_id = $2 and l.fingerprint >= $3 and l.fingerprint <= $3"
	" order by l.fingerprint limit 1",
	3, {UUIDOID, UUIDOID, BYTEAOID}
};

/* The series of one name, n. */
#define SERIES_OF_NAME(column) \
	"(select s." column " from saas.series s" \
	"  where s.org_id = $1 and s.connection_id = $2" \
	"    and (s.metric, s.labels) >= (n.metric, n.labels::jsonb)" \
	"    and (s.metric, s.labels) <= (n.metric, n.labels::jsonb)" \
	"  order by s.metric, s.labels limit 1)"

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

static SaasStatement has_series = {
	"select from saas.series s where s.org_id = $1 and s.connection_id = $2"
	" order by s.metric, s.labels limit 1",
	2, {UUIDOID, UUIDOID}
};

/* Before more are added: one that is deleted meanwhile is among those then. */
static SaasStatement see_series = {
	"update saas.series s set seen_at = now()"
	" where s.ctid = any (array(select " SERIES_OF_NAME("ctid") " from unnest($3, $4) as n (metric, labels)))"
	"   and s." IS_STALE
	"   and (select true from saas.series x where x.org_id = $1 and x.connection_id = $2 and x." IS_STALE
	"         order by x.seen_at limit 1)",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

#define ADD_SERIES \
	"insert into saas.series (org_id, id, connection_id, metric, labels)" \
	" select $1, n.id, $2, n.metric, n.labels::jsonb from unnest($3, $4, $5) as n (metric, labels, id)"

/*
 * Of a connection that has none.  Its status is locked, so nobody else adds any,
 * and no name comes twice: labels have one spelling (base/sample.h), and
 * SaasReadingSelect keeps the first.  A look for conflicts would be a sixth of the
 * work.
 */
static SaasStatement add_first_series = {
	ADD_SERIES,
	5, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID}
};

static SaasStatement add_series = {
	ADD_SERIES
	" on conflict on constraint series_identity do nothing",
	5, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID}
};

/* No more of them than it takes to know that there is no room for so many. */
static SaasStatement count_series = {
	"select count(*)::integer"
	"  from (select from saas.series s where s.org_id = $1 and s.connection_id = $2"
	"           and s.seen_at >= now() - interval '" CppAsString2(COUNTED_DAYS) " days'"
	"          order by s.seen_at limit $3) c",
	3, {UUIDOID, UUIDOID, INT4OID}
};

/* The first of the unknown ones, as many as there is room for. */
static SaasStatement add_some_series = {
	"insert into saas.series (org_id, connection_id, metric, labels)"
	" select $1, $2, n.metric, n.labels::jsonb from unnest($3, $4) with ordinality as n (metric, labels, position)"
	"  where " SERIES_OF_NAME("id") " is null"
	"  order by n.position limit $5"
	"     on conflict on constraint series_identity do nothing",
	5, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID}
};

static SaasStatement see_known = {
	"select n.position::integer from unnest($3, $4) with ordinality as n (metric, labels, position)"
	"  where " SERIES_OF_NAME("id") " is not null"
	"  order by n.position",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

static SaasStatement find_series = {
	"select array_agg(known.id order by n.position), count(*)::integer"
	"  from unnest($3, $4) with ordinality as n (metric, labels, position)"
	" cross join lateral " SERIES_OF_NAME("id") " as known",
	4, {UUIDOID, UUIDOID, TEXTARRAYOID, TEXTARRAYOID}
};

static SaasStatement add_layout = {
	"insert into saas.layout (org_id, connection_id, fingerprint, series_ids) values ($1, $2, $3, $4)"
	"    on conflict on constraint layout_fingerprint do nothing"
	" returning id",
	4, {UUIDOID, UUIDOID, BYTEAOID, UUIDARRAYOID}
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
remember(const LayoutKey *key)
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
	return hash_search(remembered, key, HASH_ENTER, NULL);
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

static Datum
new_ids(int count)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);

	for (int i = 0; i < count; i++)
		SaasUuidv7(&ids[i]);
	return SaasUuidArray(ids, count);
}

/* For how many more series there is room. */
static int
room_for_series(const Datum *values)
{
	Datum		limit[3] = {values[0], values[1], Int32GetDatum(saas_max_series)};
	bool		is_null;

	(void) SaasStatementRun(&see_series, values, NULL);
	(void) SaasStatementRun(&count_series, limit, NULL);
	return saas_max_series - DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
}

/*
 * Makes what series there is room for, and takes the samples of others out.
 * *ids are those of the series when all of them are new, else not touched.
 */
static int
make_series(const Datum *connection, const SaasSample **samples, int count, Datum *ids)
{
	Datum		values[5] = {connection[0], connection[1]};
	bool		is_null;
	bool		is_first;
	int			room;
	int			kept;

	names_of(samples, count, &values[2], &values[3]);
	is_first = SaasStatementRun(&has_series, values, NULL) == 0;
	room = is_first ? saas_max_series : room_for_series(values);
	if (count <= room)
	{
		values[4] = new_ids(count);
		if (SaasStatementRun(is_first ? &add_first_series : &add_series, values, NULL) == (uint64) count)
			*ids = values[4];
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

static Datum
ids_of_series(const Datum *connection, const SaasSample *const *samples, int count)
{
	Datum		values[4] = {connection[0], connection[1]};
	int			found;
	bool		is_null;

	names_of(samples, count, &values[2], &values[3]);
	(void) SaasStatementRun(&find_series, values, NULL);
	found = DatumGetInt32(SaasStatementColumn(0, 2, &is_null));
	if (found != count)
		elog(ERROR, "layout of %d series found %d", count, found);
	return SaasStatementColumn(0, 1, &is_null);
}

/* values are those of find_layout. */
static void
make_layout(const Datum *values, Datum ids, LayoutEntry *entry)
{
	Datum		layout[4] = {values[0], values[1], values[2], ids};
	bool		is_null;

	if (SaasStatementRun(&add_layout, layout, NULL) == 1)
	{
		entry->layout_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
		entry->seen_at = GetCurrentTransactionStartTimestamp();
		return;
	}
	/* Another poller made the same one meanwhile. */
	if (!layout_is_known(layout, entry))
		elog(ERROR, "could not read a layout back");
}

static bool
recall(const pg_uuid_t *org_id, const LayoutKey *key, LayoutEntry *entry)
{
	const LayoutEntry *known = remembered ? hash_search(remembered, key, HASH_FIND, NULL) : NULL;

	if (known == NULL || memcmp(&known->org_id, org_id, sizeof(*org_id)) != 0 || is_stale(known->seen_at))
		return false;
	*entry = *known;
	return true;
}

/*
 * A layout that is known has series that are, so nothing is counted.  One with
 * samples left out is looked for by those that stay, each time.
 */
static int
find_or_make(LayoutKey *key, const SaasSample **samples, int count, LayoutEntry *entry)
{
	bytea	   *digest = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	Datum		values[3] = {
		UUIDPGetDatum(&entry->org_id), UUIDPGetDatum(&key->connection_id), PointerGetDatum(digest)
	};
	bool		is_made = false;

	SET_VARSIZE(digest, VARHDRSZ + SAAS_DIGEST_LENGTH);
	for (;;)
	{
		Datum		ids = (Datum) 0;
		int			kept;

		memcpy(VARDATA(digest), key->fingerprint, SAAS_DIGEST_LENGTH);
		if (layout_is_known(values, entry))
			return count;
		kept = is_made ? count : make_series(values, samples, count, &ids);
		if (kept == 0)
			return 0;
		if (kept == count)
		{
			make_layout(values, ids ? ids : ids_of_series(values, samples, count), entry);
			return count;
		}
		is_made = true;
		count = kept;
		fingerprint(samples, count, key->fingerprint);
		if (recall(&entry->org_id, key, entry))
			return count;
	}
}

int
SaasLayoutFind(const pg_uuid_t *org_id, const pg_uuid_t *connection_id,
			   const SaasSample **samples, int count, pg_uuid_t *layout_id)
{
	LayoutKey	key;
	LayoutEntry entry = {.org_id = *org_id};

	memset(&key, 0, sizeof(key));
	key.connection_id = *connection_id;
	fingerprint(samples, count, key.fingerprint);
	if (!recall(org_id, &key, &entry))
	{
		int			level = SaasStatementPlanByOrder();

		count = find_or_make(&key, samples, count, &entry);
		AtEOXact_GUC(false, level);
		if (count == 0)
			return 0;
		entry.key = key;
		*remember(&key) = entry;
	}
	*layout_id = entry.layout_id;
	return count;
}
