/*
 * sealed_usage.c
 *	  Which versions of which keys the sealed values of this database name.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "server/run_as.h"
#include "state/sealed.h"
#include "store/sealed_usage.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Format and version. */
#define NAMED_BYTES		5

/*
 * Every stored column whose type is, or contains, the sealed one.  A partition
 * is read itself, under the name of its root if that is in the list.
 */
static SaasStatement list_places = {
	"with recursive carrier (oid, is_plain) as ("
	"    select 'saas.sealed'::regtype::oid, true"
	"     union"
	"    select n.oid, n.is_plain"
	"      from carrier c,"
	"   lateral (select t.oid, c.is_plain from pg_type t where t.typbasetype = c.oid"
	"             union all"
	"            select t.oid, false from pg_type t where t.typelem = c.oid"
	"             union all"
	"            select r.reltype, false from pg_attribute a join pg_class r on r.oid = a.attrelid"
	"             where a.atttypid = c.oid and a.attnum > 0 and not a.attisdropped and r.reltype <> 0) as n)"
	" select r.oid, a.attnum::int4, format('%I.%I.%I', n.nspname, r.relname, a.attname), bool_or(c.is_plain),"
	"        l.relation, l.column_name"
	"   from pg_attribute a"
	"   join carrier c on c.oid = a.atttypid"
	"   join pg_class r on r.oid = a.attrelid and r.relkind in ('r', 'm') and r.relpersistence <> 't'"
	"   join pg_namespace n on n.oid = r.relnamespace"
	"   left join saas_private.sealed_columns() l"
	"          on l.column_name = quote_ident(a.attname)"
	"         and (l.relation = r.oid"
	"              or r.relispartition and l.relation in (select p.relid from pg_partition_ancestors(r.oid) p))"
	"  where a.attnum > 0 and not a.attisdropped"
	"  group by r.oid, a.attnum, n.nspname, r.relname, a.attname, l.relation, l.column_name"
	"  order by 3",
	0, {0}
};

/* A stored column. */
typedef struct Place
{
	Oid			relation;
	AttrNumber	attribute;
	char	   *name;
	bool		is_plain;
	int			column;			/* in the list, -1 */
} Place;

int
SaasSealedDatumVersion(Datum value)
{
	struct varlena *start = PG_DETOAST_DATUM_SLICE(value, 0, NAMED_BYTES);
	int			version = VARSIZE_ANY_EXHDR(start) < NAMED_BYTES ? 0 : SaasSealedKeyVersion(start);

	if ((Pointer) start != DatumGetPointer(value))
		pfree(start);
	return version;
}

static int
find_column(const SaasSealedColumn *columns, int count, Oid relation, const char *name)
{
	for (int i = 0; i < count; i++)
	{
		if (columns[i].relation == relation && strcmp(columns[i].column, name) == 0)
			return i;
	}
	return -1;
}

static Place *
read_places(const SaasSealedColumn *columns, int column_count, int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	Place	   *places;

	SaasRunAsBegin(&state, "saas_service");
	*count = (int) SaasStatementRun(&list_places, NULL, NULL);
	places = MemoryContextAllocZero(caller, sizeof(Place) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		Place	   *place = &places[i];
		bool		is_null;
		Datum		relation;

		place->relation = DatumGetObjectId(SaasStatementColumn(i, 1, &is_null));
		place->attribute = (AttrNumber) DatumGetInt32(SaasStatementColumn(i, 2, &is_null));
		place->name = MemoryContextStrdup(caller, TextDatumGetCString(SaasStatementColumn(i, 3, &is_null)));
		place->is_plain = DatumGetBool(SaasStatementColumn(i, 4, &is_null));
		relation = SaasStatementColumn(i, 5, &is_null);
		place->column = is_null ? -1 :
			find_column(columns, column_count, DatumGetObjectId(relation),
						TextDatumGetCString(SaasStatementColumn(i, 6, &is_null)));
	}
	SaasRunAsEnd(&state);
	return places;
}

static HTAB *
create_uses(void)
{
	HASHCTL		info = {
		.keysize = sizeof(SaasSealedUseKey),.entrysize = sizeof(SaasSealedUse),.hcxt = CurrentMemoryContext
	};

	return hash_create("sealed values by key", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The column that says whose the row is; 0 when there is none. */
static AttrNumber
org_attribute(Oid relation)
{
	AttrNumber	number = get_attnum(relation, "org_id");

	return number > 0 && get_atttype(relation, number) == UUIDOID ? number : 0;
}

static void
count_row(HTAB *uses, TupleTableSlot *slot, const Place *place, AttrNumber org_number)
{
	SaasSealedUseKey key = {.column = place->column};
	SaasSealedUse *use;
	bool		is_null;
	bool		found;
	Datum		value = slot_getattr(slot, place->attribute, &is_null);

	if (is_null)
		return;
	key.version = SaasSealedDatumVersion(value);
	if (org_number != 0)
	{
		Datum		org_id = slot_getattr(slot, org_number, &is_null);

		if (!is_null)
			key.org_id = *DatumGetUUIDP(org_id);
	}
	use = hash_search(uses, &key, HASH_ENTER, &found);
	use->count = found ? use->count + 1 : 1;
}

static void
scan_place(HTAB *uses, const Place *place, bool is_platform)
{
	Relation	relation = table_open(place->relation, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	AttrNumber	org_number = is_platform ? 0 : org_attribute(place->relation);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		count_row(uses, slot, place, org_number);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);
}

static int64
count_uses(HTAB *uses)
{
	HASH_SEQ_STATUS scan;
	SaasSealedUse *use;
	int64		count = 0;

	hash_seq_init(&scan, uses);
	while ((use = hash_seq_search(&scan)) != NULL)
		count += use->count;
	return count;
}

static void
add_unregistered(SaasSealedUsage *usage, const Place *place)
{
	SaasUnregisteredColumn *column = &usage->unregistered[usage->unregistered_count++];

	column->name = place->name;
	column->is_countable = place->is_plain;
	column->count = 0;
	if (place->is_plain)
	{
		HTAB	   *uses = create_uses();

		scan_place(uses, place, false);
		column->count = count_uses(uses);
		hash_destroy(uses);
	}
}

SaasSealedUsage *
SaasSealedUsageRead(const SaasSealedColumn *columns, int count)
{
	SaasSealedUsage *usage = palloc0(sizeof(SaasSealedUsage));
	int			place_count;
	Place	   *places = read_places(columns, count, &place_count);

	usage->uses = create_uses();
	usage->unregistered = palloc(sizeof(SaasUnregisteredColumn) * Max(place_count, 1));
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < place_count; i++)
	{
		const Place *place = &places[i];

		/* Dropped since the list was made. */
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(place->relation)))
			continue;
		if (place->column < 0)
			add_unregistered(usage, place);
		else
			scan_place(usage->uses, place, columns[place->column].is_platform);
	}
	PopActiveSnapshot();
	return usage;
}
