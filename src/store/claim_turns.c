/*
 * claim_turns.c
 *	  Which of the connections that are due are claimed: organizations take turns.
 *
 * Each gets as many polls in a turn as its weight, in the order of the ids, from
 * the one that had the last turn on.
 *
 * Where little is due, a window of the oldest holds all of it.  Where more is,
 * the oldest may all be one organization's: then the index by organization
 * leads from one to the next, and each shows no more than it may get.  So
 * neither what one has waiting nor what is not due yet is read through.  The
 * indexes are walked here and not by SQL, because what is due changes faster
 * than the planner's statistics: with those of a quiet minute it took the index
 * by time for every step from one organization to the next, and a claim among
 * ten thousand that were due took half a second.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "store/claim_turns.h"
#include "store/statement.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* The window of the oldest is so much longer than what is asked for. */
#define WINDOW_EXTRA	200

/* What a peer has left lying for so long is anybody's: it may be gone. */
#define LEFT_LYING_US	USECS_PER_SEC

/* Of the organizations asked for, those that may be polled. */
static SaasStatement read_organizations = {
	"select o.id, coalesce(o.poll_weight, p.poll_weight), coalesce(p.retention_days, 0),"
	"       coalesce(extract(epoch from p.min_poll_interval), 0)::integer"
	"  from unnest($1) as k (id)"
	"  join saas.organization o on o.id = k.id"
	"  join saas.plan p on p.name = o.plan"
	" where o.status = 'active'",
	1, {UUIDARRAYOID}
};

typedef struct Organization
{
	pg_uuid_t	id;
	int			weight;
	int			retention_days;
	int			min_interval_s;
} Organization;

/* Polls under way of an organization; -1: it has no place left. */
typedef struct Busy
{
	pg_uuid_t	org_id;
	int			polls;
} Busy;

typedef struct Candidate
{
	pg_uuid_t	org_id;
	pg_uuid_t	connection_id;
	TimestampTz due_at;
	bool		is_behind;		/* its organization's id is before the last turn's */
	const Organization *org;
	int			number;			/* among its organization's, from 1 */
	int			place;
	int			turn;
} Candidate;

typedef struct Walk
{
	const SaasClaimTerms *terms;
	TimestampTz now;
	Relation	status;
	Relation	by_time;
	Relation	by_org;
	AttrNumber	org_id;
	AttrNumber	connection_id;
	AttrNumber	next_poll_at;
	AttrNumber	lease_until;
	Busy	   *busy;			/* sorted */
	int			busy_count;
	Candidate  *items;
	int			count;
	int			size;
} Walk;

static int
compare_ids(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* Busy and Organization begin with the id. */
static int
compare_by_id(const void *a, const void *b)
{
	return compare_ids(a, b);
}

static Relation
open_index(Oid namespace, const char *name)
{
	Oid			index = get_relname_relid(name, namespace);

	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index saas.%s is missing", name),
				 errhint("Create it as the extension's script does, or restore the database.")));
	return index_open(index, AccessShareLock);
}

static void
walk_begin(Walk *walk, const SaasClaimTerms *terms)
{
	Oid			namespace = get_namespace_oid("saas", false);
	Oid			status = get_relname_relid("connection_status", namespace);

	*walk = (Walk) {.terms = terms,.now = GetCurrentTransactionStartTimestamp(),.size = 64};
	walk->status = table_open(status, AccessShareLock);
	walk->by_time = open_index(namespace, "connection_status_due_idx");
	walk->by_org = open_index(namespace, "connection_status_turn_idx");
	walk->org_id = get_attnum(status, "org_id");
	walk->connection_id = get_attnum(status, "connection_id");
	walk->next_poll_at = get_attnum(status, "next_poll_at");
	walk->lease_until = get_attnum(status, "lease_until");
	walk->items = palloc(sizeof(Candidate) * walk->size);
	walk->busy = palloc(sizeof(Busy) * Max(terms->busy_count + terms->full_count, 1));
	for (int i = 0; i < terms->busy_count; i++)
		walk->busy[walk->busy_count++] = (Busy) {terms->busy[i], terms->busy_polls[i]};
	for (int i = 0; i < terms->full_count; i++)
		walk->busy[walk->busy_count++] = (Busy) {terms->full[i], -1};
	qsort(walk->busy, walk->busy_count, sizeof(Busy), compare_by_id);
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
walk_end(Walk *walk)
{
	PopActiveSnapshot();
	index_close(walk->by_org, AccessShareLock);
	index_close(walk->by_time, AccessShareLock);
	table_close(walk->status, AccessShareLock);
}

/* What the organization may have in addition; 0 when it has no place left. */
static int
room_of(const Walk *walk, const pg_uuid_t *org_id)
{
	const Busy *busy = bsearch(org_id, walk->busy, walk->busy_count, sizeof(Busy), compare_by_id);

	if (busy == NULL)
		return walk->terms->max_per_org;
	return busy->polls < 0 ? 0 : Max(walk->terms->max_per_org - busy->polls, 0);
}

static int
polls_of(const Walk *walk, const pg_uuid_t *org_id)
{
	const Busy *busy = bsearch(org_id, walk->busy, walk->busy_count, sizeof(Busy), compare_by_id);

	return busy ? busy->polls : 0;
}

static Datum
column(const Walk *walk, HeapTuple tuple, AttrNumber number, bool *is_null)
{
	return heap_getattr(tuple, number, RelationGetDescr(walk->status), is_null);
}

static pg_uuid_t *
id_column(const Walk *walk, HeapTuple tuple, AttrNumber number)
{
	bool		is_null;

	return DatumGetUUIDP(column(walk, tuple, number, &is_null));
}

static TimestampTz
due_at(const Walk *walk, HeapTuple tuple)
{
	bool		is_null;

	return DatumGetTimestampTz(column(walk, tuple, walk->next_poll_at, &is_null));
}

/* Each of several pollers takes its share, by the connection's id. */
static bool
is_ours(const Walk *walk, HeapTuple tuple)
{
	uint32		hash;

	if (walk->terms->workers <= 1 || due_at(walk, tuple) < walk->now - LEFT_LYING_US)
		return true;
	hash = DatumGetUInt32(DirectFunctionCall1(uuid_hash,
											  UUIDPGetDatum(id_column(walk, tuple, walk->connection_id))));
	return (hash & PG_INT32_MAX) % walk->terms->workers == walk->terms->worker;
}

static bool
is_claimable(const Walk *walk, HeapTuple tuple)
{
	bool		is_null;
	Datum		lease_until = column(walk, tuple, walk->lease_until, &is_null);

	return (is_null || DatumGetTimestampTz(lease_until) < walk->now) && is_ours(walk, tuple);
}

static void
add(Walk *walk, HeapTuple tuple)
{
	Candidate  *item;

	if (walk->count == walk->size)
		walk->items = repalloc(walk->items, sizeof(Candidate) * (walk->size *= 2));
	item = &walk->items[walk->count++];
	*item = (Candidate) {
		.org_id = *id_column(walk, tuple, walk->org_id),
			.connection_id = *id_column(walk, tuple, walk->connection_id),.due_at = due_at(walk, tuple)
	};
	item->is_behind = compare_ids(&item->org_id, &walk->terms->last_org) < 0;
}

/* Adds what is claimable of the index's rows that these keys give, in its order, at most max. */
static int
add_claimable(Walk *walk, Relation index, ScanKey keys, int key_count, int max)
{
	SysScanDesc scan = systable_beginscan_ordered(walk->status, index, GetActiveSnapshot(), key_count, keys);
	int			before = walk->count;
	HeapTuple	tuple;

	while (walk->count - before < max &&
		   (tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_claimable(walk, tuple))
			add(walk, tuple);
	}
	systable_endscan_ordered(scan);
	return walk->count - before;
}

static int
add_oldest(Walk *walk, int max)
{
	ScanKeyData key;

	ScanKeyInit(&key, walk->next_poll_at, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(walk->now));
	return add_claimable(walk, walk->by_time, &key, 1, max);
}

static int
add_oldest_of(Walk *walk, const pg_uuid_t *org_id, int max)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], walk->org_id, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(org_id));
	ScanKeyInit(&keys[1], walk->next_poll_at, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(walk->now));
	return add_claimable(walk, walk->by_org, keys, lengthof(keys), max);
}

/*
 * The organization with the lowest id after this one, or from it on; is_due
 * says whether something of it is.  False when there is none.
 */
static bool
next_organization(const Walk *walk, const pg_uuid_t *after, bool is_from, pg_uuid_t *org_id, bool *is_due)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, walk->org_id, is_from ? BTGreaterEqualStrategyNumber : BTGreaterStrategyNumber,
				is_from ? F_UUID_GE : F_UUID_GT, UUIDPGetDatum(after));
	scan = systable_beginscan_ordered(walk->status, walk->by_org, GetActiveSnapshot(), 1, &key);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (tuple)
	{
		*org_id = *id_column(walk, tuple, walk->org_id);
		*is_due = due_at(walk, tuple) <= walk->now;
	}
	systable_endscan_ordered(scan);
	return tuple != NULL;
}

/* Of the ring's one side, from first on: organizations with something to claim. */
static int
gather_side(Walk *walk, const pg_uuid_t *first, const pg_uuid_t *end, pg_uuid_t *orgs, int max)
{
	pg_uuid_t	org_id = *first;
	int			count = 0;
	bool		is_due;

	for (bool is_from = true; count < max && next_organization(walk, &org_id, is_from, &org_id, &is_due);
		 is_from = false)
	{
		CHECK_FOR_INTERRUPTS();
		if (end && compare_ids(&org_id, end) >= 0)
			break;
		if (!is_due || room_of(walk, &org_id) == 0 || add_oldest_of(walk, &org_id, 1) == 0)
			continue;
		walk->count = 0;
		orgs[count++] = org_id;
	}
	return count;
}

/* In the order of their turns. */
static int
gather(Walk *walk, pg_uuid_t *orgs, int max)
{
	static const pg_uuid_t lowest = {{0}};
	const pg_uuid_t *last = &walk->terms->last_org;
	int			count = gather_side(walk, last, NULL, orgs, max);

	return count + gather_side(walk, &lowest, last, orgs + count, max - count);
}

/* Sorted by id; what is closed is not among them. */
static Organization *
read_terms_of(const pg_uuid_t *ids, int id_count, int *count)
{
	Datum		value = SaasUuidArray(ids, id_count);
	Organization *orgs = palloc(sizeof(Organization) * Max(id_count, 1));
	bool		is_null;

	*count = (int) SaasStatementRun(&read_organizations, &value, NULL);
	for (int i = 0; i < *count; i++)
	{
		orgs[i].id = *DatumGetUUIDP(SaasStatementColumn(i, 1, &is_null));
		orgs[i].weight = DatumGetInt32(SaasStatementColumn(i, 2, &is_null));
		orgs[i].retention_days = DatumGetInt32(SaasStatementColumn(i, 3, &is_null));
		orgs[i].min_interval_s = DatumGetInt32(SaasStatementColumn(i, 4, &is_null));
	}
	qsort(orgs, *count, sizeof(Organization), compare_by_id);
	return orgs;
}

/* By organization, of each the oldest first. */
static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *left = a;
	const Candidate *right = b;
	int			order = compare_ids(&left->org_id, &right->org_id);

	if (order != 0)
		return order;
	if (left->due_at != right->due_at)
		return left->due_at < right->due_at ? -1 : 1;
	return compare_ids(&left->connection_id, &right->connection_id);
}

static int
compare_turns(const void *a, const void *b)
{
	const Candidate *left = a;
	const Candidate *right = b;
	int			order;

	if (left->turn != right->turn)
		return left->turn < right->turn ? -1 : 1;
	if (left->is_behind != right->is_behind)
		return left->is_behind ? 1 : -1;
	order = compare_ids(&left->org_id, &right->org_id);
	return order ? order : left->number - right->number;
}

/* The organizations of candidates that are sorted by them. */
static int
distinct_organizations(const Walk *walk, pg_uuid_t *orgs)
{
	int			count = 0;

	for (int i = 0; i < walk->count; i++)
		if (count == 0 || compare_ids(&orgs[count - 1], &walk->items[i].org_id) != 0)
			orgs[count++] = walk->items[i].org_id;
	return count;
}

/* Numbers them and keeps those that their organization has room for. */
static void
number(Walk *walk, const Organization *orgs, int org_count)
{
	const SaasClaimTerms *terms = walk->terms;
	int			kept = 0;
	int			number = 0;
	pg_uuid_t	last = {{0}};

	for (int i = 0; i < walk->count; i++)
	{
		Candidate	item = walk->items[i];

		number = i > 0 && compare_ids(&last, &item.org_id) == 0 ? number + 1 : 1;
		last = item.org_id;
		item.org = bsearch(&item.org_id, orgs, org_count, sizeof(Organization), compare_by_id);
		if (item.org == NULL || number > room_of(walk, &item.org_id))
			continue;
		item.number = number;
		item.place = number + (compare_ids(&item.org_id, &terms->last_org) == 0 ? terms->last_polls : 0);
		item.turn = (item.place - 1) / item.org->weight;
		walk->items[kept++] = item;
	}
	walk->count = kept;
}

/* Of each as many turns as it takes to give away limit, and one that was begun already. */
static void
add_turns(Walk *walk, const pg_uuid_t *ids, int id_count, const Organization *orgs, int org_count, int limit)
{
	int64		weights = 0;

	for (int i = 0; i < org_count; i++)
		weights += orgs[i].weight;
	for (int i = 0; i < id_count; i++)
	{
		const Organization *org = bsearch(&ids[i], orgs, org_count, sizeof(Organization), compare_by_id);

		if (org)
			(void) add_oldest_of(walk, &ids[i],
								 Min(org->weight * (2 + limit / weights), room_of(walk, &ids[i])));
	}
}

static void
turns_init(SaasTurns *turns, int size)
{
	*turns = (SaasTurns) {
		.orgs = palloc(sizeof(pg_uuid_t) * size),.connections = palloc(sizeof(pg_uuid_t) * size),
			.weights = palloc(sizeof(int) * size),.places = palloc(sizeof(int) * size),
			.retention_days = palloc(sizeof(int) * size),.min_intervals_s = palloc(sizeof(int) * size)
	};
}

/* The last places are for organizations that have little under way. */
static void
choose(const Walk *walk, int limit, SaasTurns *turns)
{
	turns_init(turns, Max(limit, 1));
	for (int i = 0; i < walk->count && turns->count < limit; i++)
	{
		const Candidate *item = &walk->items[i];

		if (i >= limit - walk->terms->reserved &&
			item->number + polls_of(walk, &item->org_id) > item->org->weight)
			continue;
		turns->orgs[turns->count] = item->org_id;
		turns->connections[turns->count] = item->connection_id;
		turns->weights[turns->count] = item->org->weight;
		turns->places[turns->count] = item->place;
		turns->retention_days[turns->count] = item->org->retention_days;
		turns->min_intervals_s[turns->count++] = item->org->min_interval_s;
	}
}

/* Of the window of the oldest, when that holds all that is due. */
static bool
add_window(Walk *walk, int limit)
{
	if (add_oldest(walk, limit + WINDOW_EXTRA) < limit + WINDOW_EXTRA)
		return true;
	walk->count = 0;
	return false;
}

void
SaasTurnsChoose(int limit, const SaasClaimTerms *terms, SaasTurns *turns)
{
	Walk		walk;
	bool		is_short;
	pg_uuid_t  *ids;
	int			id_count;
	Organization *orgs;
	int			org_count;

	walk_begin(&walk, terms);
	is_short = !terms->was_long && add_window(&walk, limit);
	ids = palloc(sizeof(pg_uuid_t) * (limit + WINDOW_EXTRA));
	if (is_short)
	{
		qsort(walk.items, walk.count, sizeof(Candidate), compare_candidates);
		id_count = distinct_organizations(&walk, ids);
	}
	else
		/* One more than can get something: the first may have had its turn. */
		id_count = gather(&walk, ids, limit + 1);
	orgs = read_terms_of(ids, id_count, &org_count);
	if (!is_short)
	{
		add_turns(&walk, ids, id_count, orgs, org_count, limit);
		qsort(walk.items, walk.count, sizeof(Candidate), compare_candidates);
	}
	number(&walk, orgs, org_count);
	qsort(walk.items, walk.count, sizeof(Candidate), compare_turns);
	choose(&walk, limit, turns);
	turns->is_all = turns->count < limit && (is_short || turns->count >= limit - terms->reserved);
	turns->was_long = !is_short && walk.count >= limit;
	walk_end(&walk);
}
