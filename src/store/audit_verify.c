/*
 * audit_verify.c
 *	  Whether the audit is what was sealed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "server/plan.h"
#include "server/raise.h"
#include "store/audit_chain.h"
#include "store/audit_internal.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FETCH_COUNT		500

/* Columns of the walk before those of the event. */
enum
{
	W_SEQUENCE = 1, W_EVENT_ID, W_SEALED_AT, W_KEY_VERSION, W_HASH, W_EVENT
};

static SPIPlanPtr walk_plan = NULL;
static const char walk_query[] =
"select s.sequence, s.event_id, s.sealed_at, s.key_version, s.hash, " SAAS_AUDIT_EVENT_COLUMNS
"  from saas_private.audit_seal s"
"  left join saas.audit_event e on e.org_id = s.org_id and e.id = s.event_id"
" where s.org_id = $1 order by s.sequence";

static SaasStatement count_unsealed = {
	"select count(*),"
	"       (array_agg(e.id order by e.tx, e.id)"
	"        filter (where g.system_identifier = $2"
	"                  and (e.tx < g.sealed_below or e.tx >= pg_snapshot_xmax(pg_current_snapshot()))"
	"                  and e.tx is distinct from pg_current_xact_id_if_assigned()))[1]"
	"  from saas.audit_event e left join saas_private.audit_sealing g on true"
	" where e.org_id = $1 and " SAAS_AUDIT_IS_UNSEALED,
	2, {UUIDOID, INT8OID}
};

typedef struct Walk
{
	SaasAuditKey key;
	SaasAuditChain chain;
	SaasAuditEntry entry;		/* with the hash and sequence of the one before */
	const SaasAuditPoint *point;
	bool		met_point;
	SaasAuditVerdict *verdict;
} Walk;

static bool
stop(Walk *walk, int64 sequence, const pg_uuid_t *event_id, const char *problem)
{
	walk->verdict->broken_sequence = sequence;
	walk->verdict->has_event = event_id != NULL;
	if (event_id)
		walk->verdict->event_id = *event_id;
	walk->verdict->problem = problem;
	return false;
}

static void
use_key(Walk *walk, int version)
{
	if (walk->key.version != version && !SaasAuditGetKey(version, false, &walk->key))
		walk->key.version = 0;
}

static bool
meet_point(Walk *walk, int64 sequence, const uint8_t hash[SAAS_DIGEST_LENGTH], const pg_uuid_t *event_id)
{
	if (walk->point == NULL || walk->point->sequence != sequence)
		return true;
	walk->met_point = memcmp(walk->point->hash, hash, SAAS_DIGEST_LENGTH) == 0;
	return walk->met_point ||
		stop(walk, sequence, event_id, "the entry is another one than when the checkpoint was taken");
}

/* False when the entry does not hold: then the verdict says so. */
static bool
check_entry(Walk *walk, SPITupleTable *rows, uint64 row)
{
	HeapTuple	tuple = rows->vals[row];
	TupleDesc	shape = rows->tupdesc;
	SaasAuditEntry *entry = &walk->entry;
	bool		is_null;
	int64		sequence = DatumGetInt64(SPI_getbinval(tuple, shape, W_SEQUENCE, &is_null));
	pg_uuid_t	event_id = *DatumGetUUIDP(SPI_getbinval(tuple, shape, W_EVENT_ID, &is_null));
	int			version = DatumGetInt32(SPI_getbinval(tuple, shape, W_KEY_VERSION, &is_null));
	bytea	   *hash = DatumGetByteaPP(SPI_getbinval(tuple, shape, W_HASH, &is_null));
	uint8_t		expected[SAAS_DIGEST_LENGTH];

	if (sequence > entry->sequence + 1)
		return stop(walk, entry->sequence + 1, NULL, "the entry is missing");
	if (sequence <= entry->sequence)
		return stop(walk, sequence, &event_id, "the entry was inserted");
	entry->sequence = sequence;
	entry->sealed_at = DatumGetTimestampTz(SPI_getbinval(tuple, shape, W_SEALED_AT, &is_null));
	SaasAuditReadFields(rows, row, W_EVENT, entry->fields);
	if (entry->fields[SAAS_AUDIT_ID].bytes == NULL)
		return stop(walk, sequence, &event_id, "the event is missing");
	if (walk->key.version != version)
		return stop(walk, sequence, &event_id, "the entry names a key that there is not");
	SaasAuditHash(&walk->key, entry, expected);
	if (VARSIZE_ANY_EXHDR(hash) != SAAS_DIGEST_LENGTH ||
		!SaasEqualConstantTime(VARDATA_ANY(hash), expected, SAAS_DIGEST_LENGTH))
		return stop(walk, sequence, &event_id, "the entry was altered, inserted or moved");
	memcpy(entry->previous, expected, SAAS_DIGEST_LENGTH);
	walk->verdict->checked++;
	return meet_point(walk, sequence, expected, &event_id);
}

static bool
check_rows(Walk *walk, SPITupleTable *rows, uint64 count, MemoryContext scratch)
{
	bool		holds = true;

	for (uint64 i = 0; i < count && holds; i++)
	{
		bool		is_null;
		MemoryContext caller;

		use_key(walk, DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, W_KEY_VERSION, &is_null)));
		caller = MemoryContextSwitchTo(scratch);
		holds = check_entry(walk, rows, i);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
	}
	return holds;
}

static bool
check_entries(Walk *walk, const pg_uuid_t *org_id)
{
	static const Oid types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(org_id)};
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "an audit's entry", ALLOCSET_DEFAULT_SIZES);
	Portal		portal;
	bool		holds = true;

	SaasPlanKeep(&walk_plan, walk_query, 1, types, CURSOR_OPT_NO_SCROLL);
	portal = SPI_cursor_open(NULL, walk_plan, values, NULL, true);
	while (holds)
	{
		SPITupleTable *rows;

		SPI_cursor_fetch(portal, true, FETCH_COUNT);
		if (SPI_processed == 0)
			break;
		rows = SPI_tuptable;
		holds = check_rows(walk, rows, SPI_processed, scratch);
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
	return holds;
}

static bool
check_head(Walk *walk, bool exists)
{
	const SaasAuditHead *head = &walk->chain.head;

	if (!exists)
		return true;
	use_key(walk, walk->chain.key_version);
	if (!SaasAuditChainHolds(&walk->chain, &walk->key))
		return stop(walk, head->sequence, NULL, "the head of the chain was altered");
	return meet_point(walk, head->start_sequence, head->start_hash, NULL);
}

/* After the last entry that is there. */
static bool
check_end(Walk *walk)
{
	const SaasAuditHead *head = &walk->chain.head;
	int64		last = walk->entry.sequence;

	if (last < head->sequence)
		return stop(walk, last + 1, NULL, "the entry is missing");
	if (last > head->sequence)
		return stop(walk, head->sequence + 1, NULL, "the entry was inserted, or the head of the chain put back");
	if (memcmp(walk->entry.previous, head->hash, SAAS_DIGEST_LENGTH) != 0)
		return stop(walk, last, NULL, "the head of the chain was altered");
	if (walk->point == NULL || walk->met_point)
		return true;
	if (walk->point->sequence < head->start_sequence)
		return stop(walk, walk->point->sequence, NULL, "the entry of the checkpoint was pruned");
	return stop(walk, walk->point->sequence, NULL, "the entry of the checkpoint is missing");
}

/* What is older than the last sealing and was not sealed then was not there. */
static bool
check_unsealed(Walk *walk, const pg_uuid_t *org_id)
{
	Datum		values[2] = {UUIDPGetDatum(org_id), Int64GetDatum((int64) GetSystemIdentifier())};
	Datum		event_id;
	bool		is_null;

	(void) SaasStatementRun(&count_unsealed, values, NULL);
	walk->verdict->unsealed = DatumGetInt64(SaasStatementColumn(0, 1, &is_null));
	event_id = SaasStatementColumn(0, 2, &is_null);
	if (is_null || walk->verdict->problem)
		return true;
	return stop(walk, 0, DatumGetUUIDP(event_id), "the event was inserted behind the chain's back");
}

static void
require_point(Walk *walk, const SaasAuditPoint *point)
{
	uint8_t		mac[SAAS_DIGEST_LENGTH];
	SaasAuditHead head = walk->chain.head;

	head.sequence = point->sequence;
	memcpy(head.hash, point->hash, SAAS_DIGEST_LENGTH);
	use_key(walk, point->key_version);
	if (walk->key.version == 0 || !SaasAuditPointMac(walk->key.key, &head, point->at, mac) ||
		!SaasEqualConstantTime(mac, point->mac, sizeof(mac)))
	{
		SaasWipe(&walk->key, sizeof(walk->key));
		SaasRaise("22023", "the checkpoint is not one of this audit", NULL,
				  "Give it as saas.audit_checkpoint() gave it.");
	}
}

static void
verify(Walk *walk, const pg_uuid_t *org_id)
{
	bool		exists = SaasAuditSeeChain(org_id, &walk->chain);
	const SaasAuditHead *head = &walk->chain.head;

	if (walk->point)
		require_point(walk, walk->point);
	memcpy(walk->entry.org_id, org_id->data, UUID_LEN);
	walk->entry.sequence = head->start_sequence;
	memcpy(walk->entry.previous, head->start_hash, SAAS_DIGEST_LENGTH);
	walk->verdict->last_sequence = head->sequence;
	walk->verdict->first_sequence = head->sequence > head->start_sequence ? head->start_sequence + 1 : 0;
	if (check_head(walk, exists) && check_entries(walk, org_id))
		(void) check_end(walk);
	(void) check_unsealed(walk, org_id);
}

/*
 * Head and entries are of one snapshot: what is sealed or pruned while we walk
 * would look like tampering.
 */
void
SaasAuditVerify(const pg_uuid_t *org_id, const SaasAuditPoint *point, SaasAuditVerdict *verdict)
{
	Walk		walk = {.point = point, .verdict = verdict};
	SaasRunAs	state;

	memset(verdict, 0, sizeof(*verdict));
	SaasRunAsBegin(&state, "saas_service");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	verify(&walk, org_id);
	PopActiveSnapshot();
	SaasRunAsEnd(&state);
	SaasWipe(&walk.key, sizeof(walk.key));
}

/* Who puts another head there gets no checkpoint that speaks for it. */
static void
require_holding(const SaasAuditChain *chain, SaasAuditKey *key)
{
	if (SaasAuditChainHolds(chain, key))
		return;
	SaasWipe(key, sizeof(*key));
	SaasRaise("PT409", "the audit was tampered with", NULL, "Look at it with saas.verify_audit().");
}

bool
SaasAuditGetPoint(const pg_uuid_t *org_id, SaasAuditPoint *point)
{
	SaasRunAs	state;
	SaasAuditChain chain;
	SaasAuditKey key;
	bool		exists;

	SaasRunAsBegin(&state, "saas_service");
	exists = SaasAuditGetChain(org_id, &chain) && SaasAuditGetKey(0, false, &key);
	if (exists)
	{
		require_holding(&chain, &key);
		point->sequence = chain.head.sequence;
		memcpy(point->hash, chain.head.hash, SAAS_DIGEST_LENGTH);
		point->at = GetCurrentTimestamp();
		point->key_version = key.version;
		if (!SaasAuditPointMac(key.key, &chain.head, point->at, point->mac))
			elog(ERROR, "could not authenticate a checkpoint");
		SaasWipe(&key, sizeof(key));
	}
	SaasRunAsEnd(&state);
	return exists;
}
