/*
 * launcher.c
 *	  Starts the pollers of every database that has the extension.
 *
 * At its own start it cannot know which those are, so it starts one in every
 * database that allows connections; a poller that finds no extension gives the
 * slot back and exits.  Later CREATE EXTENSION asks for one.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/launcher.h"
#include "worker/wait_event.h"

#define RESTART_SECONDS		5
#define IDLE_MS				60000L
#define START_RETRY_MS		5000
#define NO_SLOT_RETRY_MS	10000

void
SaasLauncherInit(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	/* Not on a standby: it starts when recovery ends. */
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "pg_saas", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pg_saas_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_saas launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "pg_saas launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static void
forget_launcher(int code, Datum arg)
{
	SaasSharedSetLauncher(NULL);
}

/* Databases that may have the extension and found no slot yet. */
static List *unseen = NIL;

static void
see_databases(void)
{
	ListCell   *cell;

	/* One without the extension gives its slot back soon: the next one follows. */
	foreach(cell, unseen)
	{
		if (!SaasSharedTryWant(lfirst_oid(cell)))
			break;
		unseen = foreach_delete_current(unseen, cell);
	}
}

static void
list_databases(void)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (!database->datallowconn || database->datistemplate)
			continue;
		MemoryContextSwitchTo(TopMemoryContext);
		unseen = lappend_oid(unseen, database->oid);
		MemoryContextSwitchTo(caller);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
}

static bool
start_poller(Oid database, int number)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	/* The launcher starts it again, so a dropped database leaves nothing behind. */
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker.bgw_extra, &number, sizeof(number));
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "pg_saas", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pg_saas_poller_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "pg_saas poller for database %u", database);
	strlcpy(worker.bgw_type, "pg_saas poller", sizeof(worker.bgw_type));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Starts what is wanted; returns how long to sleep. */
static long
start_wanted(void)
{
	long		wait_ms = IDLE_MS;
	int			position = 0;
	Oid			database;
	int			worker;

	while (SaasSharedNextToStart(&position, &database, &worker, &wait_ms))
	{
		bool		started = start_poller(database, worker);
		int			delay_ms = started ? START_RETRY_MS : NO_SLOT_RETRY_MS;

		/* Until the poller has attached, it counts as being started. */
		if (SaasSharedDelayStart(database, worker, delay_ms, !started))
			ereport(LOG,
					(errmsg("no background worker slot for the pg_saas poller of database %u", database),
					 errhint("Raise max_worker_processes; the launcher tries again every %d seconds.",
							 NO_SLOT_RETRY_MS / 1000)));
		wait_ms = Min(wait_ms, delay_ms);
	}
	return wait_ms;
}

void
pg_saas_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(forget_launcher, (Datum) 0);
	SaasSharedSetLauncher(MyLatch);
	list_databases();

	for (;;)
	{
		long		wait_ms;

		see_databases();
		wait_ms = start_wanted();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 SaasWaitEventIdle());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
