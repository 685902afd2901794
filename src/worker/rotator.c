/*
 * rotator.c
 *	  Rotations of master and data keys, in short transactions.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "server/raise.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
#include "worker/rotator.h"

#define WRAP_BATCH		1000
#define VERSION_BATCH	100
#define FIND_LIMIT		20000

/* A poll that stores a token waits 50 ms for its row. */
#define RESEAL_BATCH	200

#define ROUNDS			5
#define WAIT_MS			200L

static void
wait_for_locks(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS, WAIT_EVENT_PG_SLEEP);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* One pass over the keys; every batch's memory goes with it. */
static void
wrap_pass(const SaasEngineHost *host, SaasRewrap *rewrap, MemoryContext batch_context)
{
	int			count;

	do
	{
		MemoryContext caller = MemoryContextSwitchTo(batch_context);

		CHECK_FOR_INTERRUPTS();
		host->begin();
		count = SaasRewrapBatch(rewrap, WRAP_BATCH);
		host->commit();
		MemoryContextSwitchTo(caller);
		MemoryContextReset(batch_context);
	} while (count > 0);
}

void
SaasRewrapAll(const SaasEngineHost *host, SaasRewrap *rewrap)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "rewrap", ALLOCSET_DEFAULT_SIZES);

	memset(rewrap, 0, sizeof(*rewrap));
	for (int i = 0; i < ROUNDS; i++)
	{
		if (i > 0)
			wait_for_locks();
		SaasRewrapAgain(rewrap);
		wrap_pass(host, rewrap, context);
		if (rewrap->left == 0)
			break;
	}
	host->begin();
	SaasRewrapAudit(rewrap);
	host->commit();
	MemoryContextDelete(context);
	SaasRewrapReport(rewrap);
}

static void
make_versions(const SaasEngineHost *host, SaasRotation *rotation)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "new versions", ALLOCSET_DEFAULT_SIZES);
	int			count;

	do
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		host->begin();
		count = SaasRotationMakeVersions(rotation, VERSION_BATCH);
		host->commit();
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	} while (count > 0);
	MemoryContextDelete(context);
	host->begin();
	SaasRotationRetire();
	host->commit();
}

/* Finds rows once and seals them again; returns how many it found. */
static int
reseal_pass(const SaasEngineHost *host, const SaasReseal *reseal, SaasResealCounts *counts)
{
	ItemPointerData *rows;
	int			count;

	host->begin();
	rows = SaasResealFind(reseal, FIND_LIMIT, &count, counts);
	host->commit();
	for (int i = 0; i < count; i += RESEAL_BATCH)
	{
		CHECK_FOR_INTERRUPTS();
		host->begin();
		SaasResealBatch(reseal, rows + i, Min(RESEAL_BATCH, count - i), counts);
		host->commit();
	}
	return count;
}

/* As long as it gets on; what the last pass could not do is left. */
static void
reseal_column(const SaasEngineHost *host, const SaasReseal *reseal, SaasResealCounts *total)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "reseal", ALLOCSET_DEFAULT_SIZES);
	SaasResealCounts pass;

	do
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		pass = (SaasResealCounts) {0};
		(void) reseal_pass(host, reseal, &pass);
		total->done += pass.done;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	} while (pass.done > 0);
	total->locked += pass.locked;
	total->failed += pass.failed;
	if (pass.problem[0] != '\0')
		strlcpy(total->problem, pass.problem, sizeof(total->problem));
	MemoryContextDelete(context);
}

static SaasSealedUsage *
read_usage(const SaasEngineHost *host, SaasSealedColumn **columns)
{
	SaasSealedUsage *usage;
	int			count;

	host->begin();
	*columns = SaasSealedColumns(&count);
	usage = SaasSealedUsageRead(*columns, count);
	host->commit();
	return usage;
}

/* Seals again what names an old version now; returns how many columns of how many organizations those are. */
static int
reseal_round(const SaasEngineHost *host, SaasResealCounts *counts)
{
	SaasSealedColumn *columns;
	SaasSealedUsage *usage = read_usage(host, &columns);
	SaasReseal *work;
	int			count;

	host->begin();
	work = SaasRotationWork(columns, usage, &count);
	host->commit();
	counts->locked = counts->failed = 0;
	for (int i = 0; i < count; i++)
		reseal_column(host, &work[i], counts);
	return count;
}

/* Until nothing names an old version, or others hold what does. */
static void
reseal_all(const SaasEngineHost *host, SaasResealCounts *counts)
{
	for (int i = 0; i < ROUNDS; i++)
	{
		if (counts->locked > 0)
			wait_for_locks();
		if (reseal_round(host, counts) == 0)
			break;
		if (counts->failed > 0 && counts->locked == 0)
			break;
	}
}

static void
drop_versions(const SaasEngineHost *host, SaasRotationReport *report)
{
	TimestampTz retired_before;
	SaasSealedColumn *columns;
	SaasSealedUsage *usage;
	int			count;

	host->begin();
	retired_before = SaasOldestTransaction();
	host->commit();
	host->begin();
	columns = SaasSealedColumns(&count);
	usage = SaasSealedUsageRead(columns, count);
	SaasRotationMark(usage);
	host->commit();
	host->begin();
	SaasRotationDrop(usage, retired_before, &report->old);
	host->commit();
	report->unregistered = usage->unregistered_count;
}

static void
rotate(const SaasEngineHost *host, const pg_uuid_t *org_id, const Interval *older_than,
	   SaasRotationReport *report)
{
	host->begin();
	SaasRotationStart(org_id, older_than, &report->rotation);
	host->commit();
	make_versions(host, &report->rotation);
	reseal_all(host, &report->counts);
	drop_versions(host, report);
	report->is_finished = report->counts.locked == 0;
	host->begin();
	SaasRotationFinish(&report->rotation, report->counts.done, report->is_finished);
	host->commit();
}

void
SaasRotateAll(const SaasEngineHost *host, const pg_uuid_t *org_id, const Interval *older_than,
			  SaasRotationReport *report)
{
	LOCKTAG		tag;

	memset(report, 0, sizeof(*report));
	host->begin();
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId,
					   get_relname_relid("key_rotation", get_namespace_oid("saas_private", false)), 0);
	host->commit();
	/* Of the session, so that it holds across commits. */
	if (LockAcquire(&tag, ShareUpdateExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		SaasRaise("55P03", "another rotation of data keys is running", NULL, NULL);
	PG_TRY();
	{
		rotate(host, org_id, older_than, report);
	}
	PG_FINALLY();
	{
		LockRelease(&tag, ShareUpdateExclusiveLock, true);
	}
	PG_END_TRY();
}
