/*
 * audit_erase.c
 *	  Pruning the audit from its beginning.
 *
 * No role may delete from the audit's tables, and a trigger refuses it to a
 * superuser.  So the rows are deleted below SQL, by their place, and only what
 * a chain's start has moved past.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/raise.h"
#include "state/keyring.h"
#include "store/audit_chain.h"
#include "store/audit_internal.h"
#include "store/statement.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* An event that is gone already, by a superuser's hand, has no place. */
static SaasStatement find_places = {
	"select s.sequence, s.hash, s.ctid, e.ctid"
	"  from saas_private.audit_seal s"
	"  left join saas.audit_event e on e.org_id = s.org_id and e.id = s.event_id"
	" where s.org_id = $1 and s.sequence <= $2 order by s.sequence limit $3",
	3, {UUIDOID, INT8OID, INT8OID}
};

static SaasStatement find_left_behind = {
	"select c.org_id, c.sequence from saas_private.audit_chain c"
	" where c.sequence > c.start_sequence and c.broken_at is null and c.org_id <> $1"
	"   and not exists (select from saas.organization o where o.id = c.org_id) limit 1",
	1, {UUIDOID}
};

static Relation
open_table(const char *schema, const char *name)
{
	return table_open(get_relname_relid(name, get_namespace_oid(schema, false)), RowExclusiveLock);
}

static void
erase_column(Relation table, SPITupleTable *places, uint64 count, int column)
{
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		place = SPI_getbinval(places->vals[i], places->tupdesc, column, &is_null);

		if (!is_null)
			simple_table_tuple_delete(table, (ItemPointer) DatumGetPointer(place), GetActiveSnapshot());
	}
	table_close(table, NoLock);
}

static int64
erase(SaasAuditChain *chain, const SaasAuditKey *key, int64 through, int limit)
{
	Datum		values[3] = {UUIDPGetDatum((pg_uuid_t *) chain->head.org_id), Int64GetDatum(through),
		Int64GetDatum(limit)};
	uint64		count = SaasStatementRun(&find_places, values, NULL);
	SPITupleTable *places = SPI_tuptable;
	bool		is_null;

	if (count == 0)
		return 0;
	chain->head.start_sequence = DatumGetInt64(SaasStatementColumn(count - 1, 1, &is_null));
	if (!SaasAuditReadDigest(count - 1, 2, chain->head.start_hash))
		elog(ERROR, "a seal of the audit has no hash");
	PushActiveSnapshot(GetLatestSnapshot());
	erase_column(open_table("saas", "audit_event"), places, count, 4);
	erase_column(open_table("saas_private", "audit_seal"), places, count, 3);
	PopActiveSnapshot();
	SaasAuditPutChain(chain, key);
	return (int64) count;
}

/* -1 when the chain was tampered with: nothing is erased then. */
static int64
erase_whole_chain(const pg_uuid_t *org_id, int64 through, int limit)
{
	SaasAuditKey key;
	SaasAuditChain chain;
	int64		erased = -1;

	if (!SaasAuditGetKey(0, false, &key))
		return 0;
	if (SaasAuditChainIsWhole(org_id, &chain, &key))
		erased = erase(&chain, &key, through, limit);
	SaasWipe(&key, sizeof(key));
	return erased;
}

int64
SaasAuditErase(const pg_uuid_t *org_id, int64 through, int limit)
{
	SaasRunAs	state;
	int64		erased;

	SaasAuditLock(&state, 0);
	erased = erase_whole_chain(org_id, through, limit);
	SaasRunAsEnd(&state);
	if (erased < 0)
		SaasRaise("PT409", "the audit was tampered with", NULL,
				  "Look at it with saas.verify_audit() before anything of it is erased.");
	return erased;
}

int
SaasAuditBury(int limit, int wait_ms)
{
	Datum		platform = UUIDPGetDatum(&SaasPlatformOrg);
	SaasRunAs	state;
	int64		erased = 0;
	bool		is_null;

	SaasAuditBegin(&state);
	if (SaasStatementRun(&find_left_behind, &platform, NULL) > 0)
	{
		pg_uuid_t	org_id = *DatumGetUUIDP(SaasStatementColumn(0, 1, &is_null));
		int64		through = DatumGetInt64(SaasStatementColumn(0, 2, &is_null));
		SaasRunAs	inner;

		SaasAuditLock(&inner, wait_ms);
		erased = erase_whole_chain(&org_id, through, limit);
		/* What somebody must look at stays, and does not hold up the others. */
		if (erased < 0)
			SaasAuditMarkBroken(&org_id);
		SaasRunAsEnd(&inner);
	}
	SaasRunAsEnd(&state);
	return (int) Max(erased, 0);
}
