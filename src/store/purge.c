/*
 * purge.c
 *	  Rows of an organization in the tables of applications.
 *
 * Rows are deleted as each table's owner, in a security-restricted operation
 * and under the table's own policies: triggers of the application run with
 * nobody's rights but its owner's, and reach no other organization.  For that
 * the transaction has, while it lasts, an identity of the organization that
 * holds every permission.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "state/identity.h"
#include "store/purge.h"
#include "store/statement.h"
#include "utils/builtins.h"

/* A table that others refer to comes after them. */
static SaasStatement list_tables = {
	"with recursive candidate as ("
	"    select c.oid, c.relowner, format('%I.%I', n.nspname, c.relname) as name"
	"      from pg_class c"
	"      join pg_namespace n on n.oid = c.relnamespace"
	"      join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped"
	"                         and a.atttypid = 'uuid'::regtype"
	"     where c.relkind in ('r', 'p') and not c.relispartition and c.relrowsecurity and c.relpersistence <> 't'"
	"       and n.nspname not in ('saas', 'saas_api', 'saas_private')"
	"       and exists (select from pg_policy p"
	"                     join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid"
	"                                     and d.refclassid = 'pg_proc'::regclass"
	"                    where p.polrelid = c.oid"
	"                      and d.refobjid in ('saas.org_if(text)'::regprocedure,"
	"                                         'saas.current_org_id()'::regprocedure))),"
	" depth as ("
	"    select c.oid, 0 as n from candidate c"
	"     union"
	"    select k.confrelid, d.n + 1 from depth d"
	"      join pg_constraint k on k.conrelid = d.oid and k.contype = 'f' and k.confrelid <> k.conrelid"
	"     where d.n < 32)"
	" select c.name, pg_get_userbyid(c.relowner)::text"
	"   from candidate c join depth d on d.oid = c.oid"
	"  group by c.oid, c.name, c.relowner"
	"  order by max(d.n), c.name",
	0, {0}
};

typedef struct Table
{
	char	   *name;			/* quoted and qualified */
	char	   *owner;
} Table;

/* One deletion; the arguments of delete_rows for SaasGuardedRun. */
typedef struct Deletion
{
	const Table *table;
	const pg_uuid_t *org_id;
	int			limit;			/* 0: all at once */
	int			deleted;
	bool		left;			/* look_for_rows has seen some */
} Deletion;

static Table *
read_tables(int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	Table	   *tables;

	SaasRunAsBegin(&state, "saas_service");
	*count = (int) SaasStatementRun(&list_tables, NULL, NULL);
	tables = MemoryContextAlloc(caller, sizeof(Table) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bool		is_null;
		Datum		name = SaasStatementColumn(i, 1, &is_null);
		Datum		owner = SaasStatementColumn(i, 2, &is_null);

		tables[i].name = MemoryContextStrdup(caller, TextDatumGetCString(name));
		tables[i].owner = MemoryContextStrdup(caller, TextDatumGetCString(owner));
	}
	SaasRunAsEnd(&state);
	return tables;
}

/*
 * A batch is of one partition, whose rows are gone to by their addresses:
 * joined with (tableoid, ctid) every batch would read all rows that are left.
 */
static char *
deletion_text(const Deletion *deletion)
{
	const char *name = deletion->table->name;

	if (deletion->limit == 0)
		return psprintf("delete from %s as t where t.org_id = $1", name);
	return psprintf("with leaf as materialized (select l.tableoid as id from %s as l where l.org_id = $1 limit 1)"
					" delete from %s as t where t.org_id = $1 and t.tableoid = (select id from leaf)"
					" and t.ctid = any (array(select b.ctid from %s as b where b.org_id = $1"
					" and b.tableoid = (select id from leaf) limit %d))",
					name, name, name, deletion->limit);
}

static void
delete_rows(void *arg)
{
	Deletion   *deletion = arg;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(deletion->org_id)};
	SaasRunAs	state;

	SaasRunAsBegin(&state, deletion->table->owner);
	/* Triggers that wait for the end of the transaction are refused in such an operation. */
	if (SPI_execute("set constraints all immediate", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
	if (SPI_execute_with_args(deletion_text(deletion), lengthof(types), types, values, NULL, false, 0) !=
		SPI_OK_DELETE)
		elog(ERROR, "could not delete from %s", deletion->table->name);
	deletion->deleted = (int) SPI_processed;
	SaasRunAsEnd(&state);
}

/*
 * Whether the table has rows that its policies hide from its owner: those that
 * ask for more than the organization.  Without them, as PostgreSQL checks
 * foreign keys; a deletion never goes without, since triggers would not either.
 */
static void
look_for_rows(void *arg)
{
	Deletion   *deletion = arg;
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(deletion->org_id)};
	SaasRunAs	state;
	Oid			owner;
	int			context;

	SaasRunAsBegin(&state, deletion->table->owner);
	GetUserIdAndSecContext(&owner, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_NOFORCE_RLS);
	if (SPI_execute_with_args(psprintf("select from %s as t where t.org_id = $1", deletion->table->name),
							  lengthof(types), types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look into %s", deletion->table->name);
	deletion->left = SPI_processed > 0;
	SaasRunAsEnd(&state);
}

/*
 * A batch of rows that refer to each other may not go without the rest: then
 * all go at once.
 */
static bool
delete_some(Deletion *deletion, SaasProblem *failure)
{
	if (SaasGuardedRun(delete_rows, deletion, failure))
		return true;
	deletion->limit = 0;
	return SaasGuardedRun(delete_rows, deletion, failure);
}

static bool
is_empty_of(Deletion *deletion, SaasProblem *failure)
{
	if (!SaasGuardedRun(look_for_rows, deletion, failure))
		return false;
	if (deletion->left)
		return SaasProblemSet(failure, "42501", "the table's policies hide some of them from its owner");
	return true;
}

static int
purge_table(const Table *table, const pg_uuid_t *org_id, int limit, char problem[SAAS_PURGE_PROBLEM_SIZE])
{
	Deletion	deletion = {.table = table,.org_id = org_id,.limit = limit};
	SaasProblem failure = {0};

	if (delete_some(&deletion, &failure) && (deletion.deleted > 0 || is_empty_of(&deletion, &failure)))
		return deletion.deleted;
	ereport(LOG,
			(errmsg("could not delete an organization's rows from %s: %s", table->name, failure.message)));
	snprintf(problem, SAAS_PURGE_PROBLEM_SIZE, "%s %s", failure.sqlstate, table->name);
	return 0;
}

static void
install_identity(const pg_uuid_t *org_id)
{
	SaasIdentity identity = {.is_set = true,.source = SAAS_IDENTITY_SUPERUSER,.has_org = true};

	identity.org_id = *org_id;
	identity.permissions = PG_UINT64_MAX;
	strlcpy(identity.actor, "saas_service", sizeof(identity.actor));
	SaasIdentityInstall(&identity);
}

int
SaasPurgeProtected(const pg_uuid_t *org_id, int limit, char problem[SAAS_PURGE_PROBLEM_SIZE])
{
	int			count;
	Table	   *tables = read_tables(&count);
	int			deleted = 0;

	problem[0] = '\0';
	install_identity(org_id);
	for (int i = 0; i < count && deleted < limit; i++)
	{
		int			batch;

		/* Partition by partition; the next table may be what this one refers to. */
		do
		{
			batch = purge_table(&tables[i], org_id, limit - deleted, problem);
			deleted += batch;
		} while (batch > 0 && deleted < limit);
	}
	SaasIdentityClear();
	return deleted;
}
