/*
 * maintain.c
 *	  Rolling up readings behind their writers, and retention.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "server/run_as.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "store/maintain.h"
#include "store/statement.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* Clocks are set back by a little. */
#define CLOSING_LAG		(INT64CONST(5) * USECS_PER_SEC)
#define LOOK_US			2000L

/* Of an advisory lock: those of SQL are 1 and 2, so that nobody takes this one. */
#define DELETER_CLASS	0x5341

/* Further apart two late readings are noted apart: one old sample must not redo a month. */
#define LONGEST_GAP		(INT64CONST(3600) * USECS_PER_SEC)

static SaasStatement note_late = {
	"insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values ($1, $2, $3, $4)",
	4, {UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static SaasStatement step = {
	"select saas_private.maintain_step($1, $2)",
	2, {TIMESTAMPTZOID, BOOLOID}
};

static SaasStatement begun = {
	"update saas_private.maintenance m set started_at = clock_timestamp(), finished_at = null, steps = 0"
};

static SaasStatement ended = {
	"update saas_private.maintenance m set finished_at = clock_timestamp(), steps = $1",
	1, {INT8OID}
};

static TimestampTz
bucket_of(TimestampTz at)
{
	TimestampTz rest = at % SAAS_ROLLUP_USECS;

	return at - (rest < 0 ? rest + SAAS_ROLLUP_USECS : rest);
}

void
SaasMaintainWrote(SaasLateness *lateness, const pg_uuid_t *org_id, const pg_uuid_t *connection_id,
				  TimestampTz at)
{
	TimestampTz bucket = bucket_of(at);

	if (at >= bucket_of(GetCurrentTimestamp()))
		return;
	if (lateness->is_set && (bucket < lateness->from || bucket > lateness->until + LONGEST_GAP))
	{
		SaasMaintainNote(lateness, org_id, connection_id);
		lateness->is_set = false;
	}
	if (!lateness->is_set)
		lateness->from = bucket;
	lateness->until = bucket + SAAS_ROLLUP_USECS;
	lateness->is_set = true;
}

void
SaasMaintainNote(const SaasLateness *lateness, const pg_uuid_t *org_id, const pg_uuid_t *connection_id)
{
	Datum		values[4] = {UUIDPGetDatum(org_id), UUIDPGetDatum(connection_id),
		TimestampTzGetDatum(lateness->from), TimestampTzGetDatum(lateness->until)};

	if (lateness->is_set)
		(void) SaasStatementRun(&note_late, values, NULL);
}

static Oid
reading_oid(void)
{
	return get_relname_relid("reading", get_namespace_oid("saas", false));
}

static void
set_deleter_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, reading_oid(), 0, DELETER_CLASS);
}

void
SaasMaintainDeletes(void)
{
	LOCKTAG		tag;

	set_deleter_tag(&tag);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

static bool
is_among(const VirtualTransactionId *transactions, VirtualTransactionId one)
{
	for (int i = 0; VirtualTransactionIdIsValid(transactions[i]); i++)
	{
		if (VirtualTransactionIdEquals(transactions[i], one))
			return true;
	}
	return false;
}

/*
 * Those who write later have seen a later time when they are done.  Those who
 * only delete are looked up after the writers: they said so before they wrote.
 */
bool
SaasMaintainClose(int wait_ms, TimestampTz *closed_until)
{
	TimestampTz now = GetCurrentTimestamp();
	LOCKTAG		tag;
	VirtualTransactionId *writers;
	VirtualTransactionId *deleters;

	*closed_until = bucket_of(now - CLOSING_LAG);
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, reading_oid());
	writers = GetLockConflicts(&tag, ShareLock, NULL);
	set_deleter_tag(&tag);
	deleters = GetLockConflicts(&tag, ExclusiveLock, NULL);
	for (int i = 0; VirtualTransactionIdIsValid(writers[i]); i++)
	{
		if (is_among(deleters, writers[i]))
			continue;
		while (!VirtualXactLock(writers[i], false))
		{
			if (TimestampDifferenceExceeds(now, GetCurrentTimestamp(), wait_ms))
				return false;
			CHECK_FOR_INTERRUPTS();
			pg_usleep(LOOK_US);
		}
	}
	return true;
}

static void
limit_lock_waits(int wait_ms)
{
	char		text[32];

	snprintf(text, sizeof(text), "%dms", wait_ms);
	(void) set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

int
SaasMaintainStep(TimestampTz closed_until, bool is_small, int wait_ms)
{
	Datum		values[2] = {TimestampTzGetDatum(closed_until), BoolGetDatum(is_small)};
	SaasRunAs	state;
	bool		is_null;
	int			done;

	SaasRunAsBegin(&state, "saas_service");
	/* A worker plans them when it starts, maybe of empty tables, and keeps that for days. */
	SaasStatementPlanByIndex();
	limit_lock_waits(wait_ms);
	(void) SaasStatementRun(&step, values, NULL);
	done = DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
	SaasRunAsEnd(&state);
	return done;
}

void
SaasMaintainBegun(void)
{
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	(void) SaasStatementRun(&begun, NULL, NULL);
	SaasRunAsEnd(&state);
}

void
SaasMaintainEnded(int64 steps)
{
	Datum		value = Int64GetDatum(steps);
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	(void) SaasStatementRun(&ended, &value, NULL);
	SaasRunAsEnd(&state);
}
