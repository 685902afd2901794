/*
 * registry.c
 *	  The permissions that applications have registered, cached in the backend.
 *
 * A change invalidates the table's relcache entry, and that message is what
 * empties the cache: it comes with the commit and after it is visible, to the
 * backends of this database alone, to standbys and after a rollback to the
 * backend itself.  A backend reads the messages when a transaction begins.
 *
 * Policies call this per row and parallel workers do too, so the table is read
 * by a plain scan, as a catalog is: no SPI, no change of the current role, a
 * snapshot of the moment.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "state/registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#define NAME_SIZE	64			/* saas.permission limits it to 63 characters of ASCII */

/* The first columns of saas.permission. */
#define COLUMN_NAME		1
#define COLUMN_NUMBER	2
#define COLUMN_ROLES	3
#define COLUMN_WITHDRAWN	4

typedef struct Registered
{
	char		name[NAME_SIZE];	/* "": the number is free */
	Size		length;
	bool		of_role[SAAS_BUILTIN_ROLE_COUNT];
} Registered;

/* By number. */
static Registered registered[SAAS_LAST_REGISTERED + 1];

static bool is_fresh = false;

/* The table that was read, InvalidOid while there is none. */
static Oid	registry_table = InvalidOid;

static void
on_relation_change(Datum argument, Oid relation)
{
	(void) argument;
	if (!OidIsValid(relation) || !OidIsValid(registry_table) || relation == registry_table)
		is_fresh = false;
}

static Oid
find_table(void)
{
	Oid			schema = get_namespace_oid("saas", true);

	return OidIsValid(schema) ? get_relname_relid("permission", schema) : InvalidOid;
}

static void
take_roles(Registered *entry, Datum roles)
{
	Datum	   *items;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(roles), TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = nulls[i] ? NULL : TextDatumGetCString(items[i]);

		for (int role = 0; name != NULL && role < SAAS_BUILTIN_ROLE_COUNT; role++)
			entry->of_role[role] |= strcmp(SaasBuiltinRoleAt(role)->name, name) == 0;
	}
}

/* Its constraints hold for every row, but a name that does not fit would end memory. */
static void
take_row(HeapTuple row, TupleDesc columns)
{
	bool		is_null[3];
	Datum		name = heap_getattr(row, COLUMN_NAME, columns, &is_null[0]);
	Datum		number = heap_getattr(row, COLUMN_NUMBER, columns, &is_null[1]);
	Datum		roles = heap_getattr(row, COLUMN_ROLES, columns, &is_null[2]);
	bool		is_known;
	Registered *entry;

	(void) heap_getattr(row, COLUMN_WITHDRAWN, columns, &is_known);
	if (!is_known || is_null[0] || is_null[1] || is_null[2] ||
		DatumGetInt32(number) < SAAS_FIRST_REGISTERED || DatumGetInt32(number) > SAAS_LAST_REGISTERED)
		return;
	entry = &registered[DatumGetInt32(number)];
	strlcpy(entry->name, TextDatumGetCString(name), sizeof(entry->name));
	entry->length = strlen(entry->name);
	take_roles(entry, roles);
}

static void
read_table(Oid table)
{
	Relation	relation = table_open(table, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
		take_row(row, RelationGetDescr(relation));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

static void
ensure_fresh(void)
{
	Oid			table;

	if (is_fresh)
		return;
	memset(registered, 0, sizeof(registered));
	/* Before reading: what changes meanwhile makes it stale again. */
	is_fresh = true;
	PG_TRY();
	{
		table = find_table();
		registry_table = table;
		if (OidIsValid(table))
			read_table(table);
	}
	PG_CATCH();
	{
		is_fresh = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

uint64
SaasRegistryBit(const char *name, Size length)
{
	uint64		bit = SaasPermissionBit(name, length);

	if (bit != 0 || length == 0)
		return bit;
	ensure_fresh();
	for (int i = SAAS_FIRST_REGISTERED; i <= SAAS_LAST_REGISTERED; i++)
	{
		if (registered[i].length == length && memcmp(registered[i].name, name, length) == 0)
			return UINT64CONST(1) << i;
	}
	return 0;
}

const char *
SaasRegistryName(int number)
{
	if (number < SAAS_PERMISSION_COUNT)
		return SaasPermissionName(number);
	ensure_fresh();
	return number <= SAAS_LAST_REGISTERED && registered[number].length > 0 ? registered[number].name : NULL;
}

uint64
SaasRegistryOfRole(const SaasBuiltinRole *role)
{
	uint64		permissions = role->permissions;
	int			index = 0;

	ensure_fresh();
	while (SaasBuiltinRoleAt(index) != role)
		index++;
	for (int i = SAAS_FIRST_REGISTERED; i <= SAAS_LAST_REGISTERED; i++)
	{
		if (registered[i].of_role[index])
			permissions |= UINT64CONST(1) << i;
	}
	return permissions;
}

void
SaasRegistryChanged(void)
{
	Oid			table = find_table();

	if (OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
}

void
SaasRegistryInit(void)
{
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
}
