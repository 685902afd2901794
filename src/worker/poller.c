/*
 * poller.c
 *	  The background worker that polls one database's connections.
 *
 * It connects as the bootstrap superuser, because a role that cannot log in
 * cannot connect a worker before 17, and does all its work as saas_poller
 * (server/run_as.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/engine.h"
#include "worker/poller.h"

#define CLAIM_BATCH			500
#define LONGEST_SLEEP_MS	60000L

/* Whether the launcher should start this database's poller again. */
static bool keep_running = true;

static void
give_up_slot(int code, Datum database)
{
	SaasSharedDetachPoller(DatumGetObjectId(database), keep_running);
}

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "pg_saas poller");
}

static void
commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static const char *
refusal_of(SaasStoreReadiness readiness)
{
	switch (readiness)
	{
		case SAAS_STORE_COPY:
			return "this database is a copy: its poller waits for saas.adopt()";
		case SAAS_STORE_NO_EXTENSION:
		case SAAS_STORE_NOT_INSTALLED:
			return "pg_saas has no tables in this database";
		case SAAS_STORE_READY:
			break;
	}
	return NULL;
}

static void
take_requests(SaasEngine *engine, SaasStoreReadiness readiness)
{
	dsm_handle	handle;

	while (SaasSharedTakeRequest(MyDatabaseId, &handle))
	{
		dsm_segment *segment = dsm_attach(handle);
		const char *refusal = refusal_of(readiness);

		/* The session has given up meanwhile. */
		if (segment == NULL)
			continue;
		dsm_pin_mapping(segment);
		if (refusal)
			SaasEngineRefuseRequest(segment, refusal);
		else
			SaasEngineTakeRequest(engine, segment);
	}
}

static SaasPollerState
state_of(SaasStoreReadiness readiness, const SaasEngine *engine)
{
	if (readiness == SAAS_STORE_COPY)
		return SAAS_POLLER_COPY;
	if (readiness != SAAS_STORE_READY)
		return SAAS_POLLER_NOT_INSTALLED;
	if (SaasEngineCount(engine) > 0)
		return SAAS_POLLER_POLLING;
	return saas_poller_enabled ? SAAS_POLLER_IDLE : SAAS_POLLER_DISABLED;
}

/*
 * Looks at the tables: what state the database is in, what is due.  Returns
 * how long nothing will be due.
 */
static long
look(SaasEngine *engine, SaasStoreReadiness *readiness)
{
	SaasBacklog backlog = {0, 0, -1};

	begin();
	*readiness = SaasClaimReadiness();
	commit();
	if (*readiness == SAAS_STORE_NO_EXTENSION)
	{
		keep_running = false;
		proc_exit(0);
	}
	take_requests(engine, *readiness);
	if (*readiness == SAAS_STORE_READY)
	{
		if (saas_poller_enabled)
			(void) SaasEngineClaimDue(engine, CLAIM_BATCH);
		begin();
		SaasClaimBacklog(&backlog);
		commit();
	}
	SaasSharedReport(MyDatabaseId, state_of(*readiness, engine), SaasEngineCount(engine),
					 backlog.due, backlog.lag_ms);
	if (backlog.next_ms < 0 || !saas_poller_enabled)
		return LONGEST_SLEEP_MS;
	/* What is due but could not be claimed: no room, or a lock. */
	if (backlog.next_ms == 0)
		return SaasEngineCount(engine) > 0 ? 50 : 1000;
	return (long) Min(backlog.next_ms, (int64) LONGEST_SLEEP_MS);
}

static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

static void
run(void)
{
	SaasEngineHost host = {begin, commit};
	SaasEngine *engine = SaasEngineCreate(TopMemoryContext, &host);
	MemoryContext loop_context = AllocSetContextCreate(TopMemoryContext, "pg_saas poller",
													   ALLOCSET_DEFAULT_SIZES);
	SaasStoreReadiness readiness = SAAS_STORE_NOT_INSTALLED;
	TimestampTz look_at = 0;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		woken;

		MemoryContextSwitchTo(loop_context);
		MemoryContextReset(loop_context);
		if (now >= look_at)
			look_at = TimestampTzPlusMilliseconds(now, look(engine, &readiness));
		woken = SaasEngineStep(engine, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), look_at));
		reload_settings();
		if (woken)
			look_at = 0;
		else if (SaasEngineCount(engine) == 0 && state_of(readiness, engine) == SAAS_POLLER_IDLE)
			SaasSharedReport(MyDatabaseId, SAAS_POLLER_IDLE, 0, 0, 0);
	}
}

void
pg_saas_poller_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!SaasSharedAttachPoller(database))
		proc_exit(0);
	before_shmem_exit(give_up_slot, ObjectIdGetDatum(database));
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", "pg_saas poller", PGC_USERSET, PGC_S_OVERRIDE);
	run();
}
