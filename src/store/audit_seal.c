/*
 * audit_seal.c
 *	  Sealing what was appended to the audit.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "store/audit_chain.h"
#include "store/audit_internal.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* Where to begin to look; nowhere known in another cluster than the row's. */
#define KNOWS_WHERE \
	"g.system_identifier = $1 and g.sealed_below <= pg_snapshot_xmin(pg_current_snapshot())"
#define LOOK_FROM \
	"case when " KNOWS_WHERE " then g.sealed_below else '0'::xid8 end"
#define LOOK_AFTER \
	"case when " KNOWS_WHERE " then g.sealed_id else '00000000-0000-0000-0000-000000000000' end"
/* Greater ones are of another cluster, where they were sealed, and would be looked at for ever. */
#define LOOK_BEFORE \
	"case when " KNOWS_WHERE " then pg_snapshot_xmax(pg_current_snapshot()) else '18446744073709551615'::xid8 end"

#define CHAIN_IS_WHOLE \
	"(select true from saas_private.audit_chain c where c.org_id = e.org_id and c.broken_at is not null) is null"

static SaasStatement is_due = {
	"select g.system_identifier <> $1"
	"       or exists (select from saas.audit_event e"
	"                   where (e.tx, e.id) > (" LOOK_FROM ", " LOOK_AFTER ")"
	"                     and e.tx < " LOOK_BEFORE
	"                     and " SAAS_AUDIT_IS_UNSEALED " and " CHAIN_IS_WHOLE ")"
	"  from saas_private.audit_sealing g",
	1, {INT8OID}
};

static SaasStatement find_horizon = {
	"select " LOOK_FROM ", " LOOK_AFTER ", " LOOK_BEFORE ", pg_snapshot_xmin(pg_current_snapshot()), " KNOWS_WHERE
	"  from saas_private.audit_sealing g",
	1, {INT8OID}
};

static SaasStatement find_events = {
	"select e.org_id, e.tx, " SAAS_AUDIT_EVENT_COLUMNS
	"  from saas.audit_event e"
	" where (e.tx, e.id) > ($1, $2) and e.tx < $3 and " SAAS_AUDIT_IS_UNSEALED " and " CHAIN_IS_WHOLE
	" order by e.tx, e.id limit $4",
	4, {XID8OID, UUIDOID, XID8OID, INT8OID}
};

static SaasStatement add_seals = {
	"insert into saas_private.audit_seal (org_id, sequence, event_id, sealed_at, key_version, hash)"
	" select u.org_id, u.sequence, u.event_id, $4, $5, u.hash"
	"   from unnest($1, $2, $3, $6) as u (org_id, sequence, event_id, hash)",
	6, {UUIDARRAYOID, INT8ARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID, INT4OID, BYTEAARRAYOID}
};

static SaasStatement move_horizon = {
	"update saas_private.audit_sealing g set sealed_below = $1, sealed_id = $2, system_identifier = $3"
	" where $4 or g.system_identifier <> $3",
	4, {XID8OID, UUIDOID, INT8OID, BOOLOID}
};

/* A chain in the batch; the key of the hash table comes first. */
typedef struct OpenChain
{
	pg_uuid_t	org_id;
	SaasAuditChain chain;
	bool		is_tampered;
} OpenChain;

typedef struct Batch
{
	SaasAuditKey key;
	TimestampTz sealed_at;
	SPITupleTable *events;
	uint64		found;
	HTAB	   *chains;
	int			count;			/* of the arrays, which have room for all found */
	pg_uuid_t  *org_ids;
	Datum	   *sequences;
	pg_uuid_t  *event_ids;
	Datum	   *hashes;
	bool		skipped;
} Batch;

bool
SaasAuditSealIsDue(void)
{
	Datum		system = Int64GetDatum((int64) GetSystemIdentifier());
	SaasRunAs	state;
	bool		is_null;
	bool		due;

	SaasAuditBegin(&state);
	(void) SaasStatementRun(&is_due, &system, NULL);
	due = DatumGetBool(SaasStatementColumn(0, 1, &is_null));
	SaasRunAsEnd(&state);
	return due;
}

static void
open_batch(Batch *batch)
{
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(OpenChain),
		.hcxt = CurrentMemoryContext};

	batch->events = SPI_tuptable;
	batch->found = SPI_processed;
	batch->sealed_at = GetCurrentTimestamp();
	batch->chains = hash_create("chains of audits", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	batch->count = 0;
	batch->skipped = false;
	batch->org_ids = palloc(sizeof(pg_uuid_t) * batch->found);
	batch->event_ids = palloc(sizeof(pg_uuid_t) * batch->found);
	batch->sequences = palloc(sizeof(Datum) * batch->found);
	batch->hashes = palloc(sizeof(Datum) * batch->found);
}

/* A head that was tampered with is not built upon: that would make it look whole. */
static OpenChain *
open_chain(Batch *batch, const pg_uuid_t *org_id)
{
	bool		is_open;
	OpenChain  *open = hash_search(batch->chains, org_id, HASH_ENTER, &is_open);

	if (is_open)
		return open;
	open->is_tampered = !SaasAuditChainIsWhole(org_id, &open->chain, &batch->key);
	if (open->is_tampered)
	{
		SaasAuditMarkBroken(org_id);
		ereport(LOG,
				(errmsg("the audit of organization %s was tampered with: it is not sealed any more",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(org_id)))),
				 errhint("See saas.verify_audit().")));
	}
	return open;
}

static void
seal_event(Batch *batch, uint64 row)
{
	bool		is_null;
	pg_uuid_t	org_id = *DatumGetUUIDP(SPI_getbinval(batch->events->vals[row], batch->events->tupdesc, 1,
													  &is_null));
	OpenChain  *open = open_chain(batch, &org_id);
	SaasAuditHead *head = &open->chain.head;
	SaasAuditEntry entry;

	if (open->is_tampered)
	{
		batch->skipped = true;
		return;
	}
	SaasAuditReadFields(batch->events, row, 3, entry.fields);
	memcpy(entry.org_id, org_id.data, UUID_LEN);
	entry.sequence = ++head->sequence;
	entry.sealed_at = batch->sealed_at;
	memcpy(entry.previous, head->hash, SAAS_DIGEST_LENGTH);
	SaasAuditHash(&batch->key, &entry, head->hash);

	batch->org_ids[batch->count] = org_id;
	memcpy(&batch->event_ids[batch->count], entry.fields[SAAS_AUDIT_ID].bytes, UUID_LEN);
	batch->sequences[batch->count] = Int64GetDatum(head->sequence);
	batch->hashes[batch->count] = SaasAuditDigestDatum(head->hash);
	batch->count++;
}

static void
store_seals(Batch *batch)
{
	Datum		values[6];

	values[0] = SaasUuidArray(batch->org_ids, batch->count);
	values[1] = PointerGetDatum(construct_array(batch->sequences, batch->count, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = SaasUuidArray(batch->event_ids, batch->count);
	values[3] = TimestampTzGetDatum(batch->sealed_at);
	values[4] = Int32GetDatum(batch->key.version);
	values[5] = PointerGetDatum(construct_array(batch->hashes, batch->count, BYTEAOID, -1, false,
												TYPALIGN_INT));
	(void) SaasStatementRun(&add_seals, values, NULL);
}

static void
store_heads(Batch *batch)
{
	HASH_SEQ_STATUS status;
	OpenChain  *open;

	hash_seq_init(&status, batch->chains);
	while ((open = hash_seq_search(&status)) != NULL)
	{
		if (!open->is_tampered)
			SaasAuditPutChain(&open->chain, &batch->key);
	}
}

/*
 * Where the next sealing begins to look.  A full batch has left some, perhaps
 * of its last transaction; that one has committed, so all its events could be
 * seen.
 */
static void
next_place(const Batch *batch, int limit, Datum horizon, Datum place[2])
{
	static const pg_uuid_t first_id;
	bool		is_null;
	HeapTuple	last;
	Datum		last_tx;

	place[0] = horizon;
	place[1] = UUIDPGetDatum(&first_id);
	if (batch->found < limit)
		return;
	last = batch->events->vals[batch->found - 1];
	last_tx = SPI_getbinval(last, batch->events->tupdesc, 2, &is_null);
	if (DatumGetUInt64(last_tx) >= DatumGetUInt64(horizon))
		return;
	place[0] = last_tx;
	place[1] = SPI_getbinval(last, batch->events->tupdesc, 3, &is_null);
}

static void
seal_batch(Batch *batch)
{
	if (!SaasAuditGetKey(0, true, &batch->key))
		elog(ERROR, "the audit has no key");
	for (uint64 i = 0; i < batch->found; i++)
		seal_event(batch, i);
	if (batch->count > 0)
	{
		store_seals(batch);
		store_heads(batch);
	}
	SaasWipe(batch->key.key, sizeof(batch->key.key));
}

/*
 * The horizon is of a statement before the one that finds events: whatever
 * commits in between is found too, or is above it.
 */
int
SaasAuditSeal(int limit, int wait_ms)
{
	Datum		system = Int64GetDatum((int64) GetSystemIdentifier());
	SaasRunAs	state;
	Batch		batch;
	Datum		values[4];
	Datum		horizon;
	bool		knows_where;
	bool		is_null;

	SaasAuditLock(&state, wait_ms);
	(void) SaasStatementRun(&find_horizon, &system, NULL);
	values[0] = SaasStatementColumn(0, 1, &is_null);
	values[1] = SaasStatementColumn(0, 2, &is_null);
	values[2] = SaasStatementColumn(0, 3, &is_null);
	horizon = SaasStatementColumn(0, 4, &is_null);
	knows_where = DatumGetBool(SaasStatementColumn(0, 5, &is_null));
	values[3] = Int64GetDatum(limit);
	(void) SaasStatementRun(&find_events, values, NULL);
	open_batch(&batch);
	if (batch.found > 0)
		seal_batch(&batch);
	next_place(&batch, limit, horizon, values);
	values[2] = system;
	values[3] = BoolGetDatum(batch.count > 0);
	/* In a cluster that is new to us only once all is sealed. */
	if (!batch.skipped && (knows_where || batch.found < limit))
		(void) SaasStatementRun(&move_horizon, values, NULL);
	SaasRunAsEnd(&state);
	return (int) batch.found;
}
