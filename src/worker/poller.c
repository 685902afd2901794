/*
 * poller.c
 *	  The background worker that polls one database's connections, or one of
 *	  several that share them.  The first one does what is one's to do: mail,
 *	  the journal, the audit's seals, rollups, counting what is due.
 *
 * It connects as the bootstrap superuser, because a role that cannot log in
 * cannot connect a worker before 17, and does all its work as saas_poller
 * (server/run_as.h).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "worker/drain.h"
#include "worker/engine.h"
#include "worker/mailer.h"
#include "worker/maintainer.h"
#include "worker/poller.h"
#include "worker/sealer.h"

#define CLAIM_BATCH			500
#define LONGEST_SLEEP_MS	60000L
#define LOOK_PAUSE_MS		100	/* one look for all that becomes due meanwhile */
#define COUNT_BACKLOG_MS	1000
#define SETTLE_MS			1000
#define SETTLE_AGAIN_MS		50
#define LONG_BACKLOG		1000
#define CLAIMS_PER_LOOK		8

/* Whether the launcher should start this database's pollers again. */
static bool keep_running = true;

/* The number of this poller among those of the database. */
static int	worker_number = 0;

/* What pg_stat_activity shows between transactions. */
static const char *waits_for = "pg_saas poller: starts";

static void
give_up_slot(int code, Datum database)
{
	SaasSharedDetachPoller(DatumGetObjectId(database), worker_number, keep_running);
}

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "pg_saas poller: reads and writes tables");
}

static void
commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, waits_for);
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
		case SAAS_STORE_OTHER_VERSION:
			return "the server's library and the database's extension pg_saas are of different versions";
		case SAAS_STORE_NOT_MIGRATED:
			return "pg_saas waits for saas.migrate() in this database";
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
	switch (readiness)
	{
		case SAAS_STORE_NO_EXTENSION:
		case SAAS_STORE_NOT_INSTALLED:
			return SAAS_POLLER_NOT_INSTALLED;
		case SAAS_STORE_COPY:
			return SAAS_POLLER_COPY;
		case SAAS_STORE_OTHER_VERSION:
			return SAAS_POLLER_OTHER_VERSION;
		case SAAS_STORE_NOT_MIGRATED:
			return SAAS_POLLER_NOT_MIGRATED;
		case SAAS_STORE_READY:
			break;
	}
	if (SaasEngineCount(engine) > 0)
		return SAAS_POLLER_POLLING;
	return saas_poller_enabled ? SAAS_POLLER_IDLE : SAAS_POLLER_DISABLED;
}

static bool
is_template(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static SaasStoreReadiness
read_readiness(void)
{
	SaasStoreReadiness readiness;

	begin();
	/* A connection to a template would stand in the way of CREATE DATABASE. */
	readiness = is_template() ? SAAS_STORE_NO_EXTENSION : SaasClaimReadiness();
	commit();
	return readiness;
}

/*
 * Nothing to poll for here.  Who created the extension while the slot was
 * still ours counted on us; who does from now on asks the launcher.
 */
static void
leave(void)
{
	keep_running = false;
	SaasSharedDetachPoller(MyDatabaseId, worker_number, false);
	if (read_readiness() != SAAS_STORE_NO_EXTENSION)
		SaasSharedWant(MyDatabaseId);
	proc_exit(0);
}

/* What the last looks at the tables showed. */
typedef struct Outlook
{
	SaasStoreReadiness readiness;
	SaasStoreReadiness complained;	/* what the log was told */
	SaasBacklog backlog;
	TimestampTz counted_at;
	TimestampTz settled_at;
	bool		is_unsettled;	/* more was closed or opened than one step settles */
	bool		was_woken;		/* somebody has changed something, or asks for something */
	TimestampTz sweep_started_at;
} Outlook;

/* Before 17 the wait event has no name of its own, so the text says what is waited for. */
static void
show(SaasPollerState state)
{
	static const char *const texts[] = {
		[SAAS_POLLER_NOT_INSTALLED] = "pg_saas poller: waits for saas.install()",
		[SAAS_POLLER_COPY] = "pg_saas poller: waits for saas.adopt()",
		[SAAS_POLLER_OTHER_VERSION] = "pg_saas poller: waits for library and extension of one version",
		[SAAS_POLLER_NOT_MIGRATED] = "pg_saas poller: waits for saas.migrate()",
		[SAAS_POLLER_DISABLED] = "pg_saas poller: waits for saas.poller_enabled",
		[SAAS_POLLER_IDLE] = "pg_saas poller: waits until a connection is due",
		[SAAS_POLLER_POLLING] = "pg_saas poller: waits for upstreams"
	};

	if (waits_for == texts[state])
		return;
	waits_for = texts[state];
	pgstat_report_activity(STATE_IDLE, waits_for);
}

static void
report(const SaasEngine *engine, Outlook *outlook)
{
	SaasPollerReport report = {
		.state = state_of(outlook->readiness, engine),
		.waiting = SaasEngineWaiting(engine),
		.due = outlook->backlog.due,
		.lag_ms = outlook->backlog.lag_ms
	};

	report.in_flight = SaasEngineCount(engine) - report.waiting;
	if (SaasEngineCount(engine) == 0 && report.due == 0)
		outlook->sweep_started_at = 0;
	else if (outlook->sweep_started_at == 0)
		outlook->sweep_started_at = GetCurrentTimestamp();
	report.sweep_started_at = outlook->sweep_started_at;
	SaasSharedReport(MyDatabaseId, worker_number, &report);
	show(report.state);
}

/* The pollers but the first end when they are not needed; the launcher starts them again. */
static void
end_if_spare(SaasStoreReadiness readiness)
{
	if (worker_number >= saas_poller_workers || (worker_number > 0 && readiness != SAAS_STORE_READY))
		proc_exit(0);
}

/* Says once what the operator has to do. */
static void
complain(Outlook *outlook)
{
	if (outlook->complained == outlook->readiness)
		return;
	outlook->complained = outlook->readiness;
	if (outlook->readiness == SAAS_STORE_OTHER_VERSION)
		ereport(LOG,
				(errmsg("the poller waits: the server has loaded the library of pg_saas %s, and the database's extension is of another version",
						PG_SAAS_VERSION),
				 errhint("After an upgrade restart the server, then run alter extension pg_saas update and select saas.migrate().")));
	else if (outlook->readiness == SAAS_STORE_NOT_MIGRATED)
		ereport(LOG,
				(errmsg("the poller waits: the tables of pg_saas are older than the extension"),
				 errhint("Run select saas.migrate() as a superuser.")));
}

/* Counting is dear where much is due, and tells more than the next step needs. */
static void
count_backlog(Outlook *outlook, bool is_more_due)
{
	TimestampTz now = GetCurrentTimestamp();

	if (worker_number > 0)
		return;
	if (is_more_due && outlook->backlog.due >= LONG_BACKLOG &&
		!TimestampDifferenceExceeds(outlook->counted_at, now, COUNT_BACKLOG_MS))
		return;
	SaasClaimBacklog(&outlook->backlog);
	outlook->counted_at = now;
}

/*
 * Who opens an organization wakes the poller; the rest can wait a moment.
 * Returns whether there is more to do.
 */
static bool
settle(Outlook *outlook)
{
	TimestampTz now = GetCurrentTimestamp();
	int			count;

	if (worker_number > 0 ||
		(!outlook->was_woken && !outlook->is_unsettled &&
		 !TimestampDifferenceExceeds(outlook->settled_at, now, SETTLE_MS)))
		return false;
	outlook->settled_at = now;
	begin();
	count = SaasClaimSettle();
	commit();
	return count >= SAAS_CLAIM_SETTLED;
}

/*
 * Claims what is due, one organization after the other: who has more than its
 * share is passed over in the next claim.  Returns how long nothing will be
 * due, -1 when nothing is known to become.
 */
static int64
claim(SaasEngine *engine, Outlook *outlook)
{
	SaasClaimTerms terms = {.worker = worker_number,.workers = saas_poller_workers};
	int64		next_ms;
	bool		is_all = false;

	SaasEngineShare(engine, worker_number, saas_poller_workers);
	for (int i = 0; saas_poller_enabled && !is_all && i < CLAIMS_PER_LOOK; i++)
		if (SaasEngineClaimDue(engine, CLAIM_BATCH, &is_all) == 0)
			break;
	begin();
	next_ms = SaasClaimNextMs(&terms);
	count_backlog(outlook, next_ms == 0);
	commit();
	return next_ms;
}

/*
 * Looks at the tables: what state the database is in, what is due.  Returns
 * how long nothing will be due.
 */
static long
look(SaasEngine *engine, SaasMailer *mailer, Outlook *outlook)
{
	int64		mail_ms = -1;
	int64		next_ms = -1;
	long		longest = LONGEST_SLEEP_MS;

	outlook->readiness = read_readiness();
	end_if_spare(outlook->readiness);
	if (outlook->readiness == SAAS_STORE_NO_EXTENSION)
		leave();
	complain(outlook);
	take_requests(engine, outlook->readiness);
	if (outlook->readiness == SAAS_STORE_READY)
	{
		outlook->is_unsettled = settle(outlook);
		next_ms = claim(engine, outlook);
		if (worker_number == 0)
			mail_ms = SaasMailerClaim(mailer);
	}
	else
		outlook->backlog = (SaasBacklog) {0};
	report(engine, outlook);
	if (outlook->is_unsettled)
		longest = Min(longest, SETTLE_AGAIN_MS);
	if (mail_ms >= 0)
		longest = (long) Min(mail_ms, (int64) longest);
	if (next_ms < 0 || !saas_poller_enabled)
		return longest;
	/* What is due but could not be claimed: no room, or a lock. */
	if (next_ms == 0)
		return Min(longest, SaasEngineCount(engine) > 0 ? 50 : 1000);
	return (long) Min(next_ms, (int64) longest);
}

/*
 * Flags and time decide, not the latch: a transaction that waited for a lock
 * has reset it.
 */
static bool
must_look(TimestampTz look_at, bool *was_woken)
{
	bool		was_asked = SaasSharedTakeWake(MyDatabaseId, worker_number);

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		was_asked = true;
	}
	*was_woken = was_asked;
	return was_asked || GetCurrentTimestamp() >= look_at;
}

/* After each look, and every few seconds if there is something to write. */
static void
drain_sometimes(const SaasEngineHost *host, SaasStoreReadiness readiness, TimestampTz *drain_at)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < *drain_at)
		return;
	*drain_at = TimestampTzPlusMilliseconds(now, SAAS_DRAIN_INTERVAL_MS);
	if (worker_number > 0)
		return;
	if ((readiness == SAAS_STORE_READY || readiness == SAAS_STORE_COPY) && SaasDrainIsDue())
		SaasDrain(host);
	if (readiness != SAAS_STORE_READY)
		return;
	SaasSealSometimes(host);
	SaasMaintainSometimes(host);
}

static long
sleep_ms(const SaasMailer *mailer, TimestampTz wake_at)
{
	long		until_wake = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake_at);
	long		until_mail = SaasMailerTimeout(mailer);

	return until_mail < 0 ? until_wake : Min(until_wake, until_mail);
}

static TimestampTz
next_mail_at(SaasMailer *mailer)
{
	int64		wait_ms = SaasMailerClaim(mailer);

	return wait_ms < 0 ? DT_NOEND : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
}

static void
run(void)
{
	SaasEngineHost host = {begin, commit};
	SaasEngine *engine = SaasEngineCreate(TopMemoryContext, &host);
	SaasMailer *mailer = SaasMailerCreate(TopMemoryContext, &host);
	MemoryContext loop_context = AllocSetContextCreate(TopMemoryContext, "pg_saas poller",
													   ALLOCSET_DEFAULT_SIZES);
	Outlook		outlook = {SAAS_STORE_NOT_INSTALLED, SAAS_STORE_READY};
	TimestampTz look_at = 0;
	TimestampTz may_look_at = 0;
	TimestampTz drain_at = 0;

	SaasEngineWatch(engine, SaasMailerDescriptor(mailer));
	for (;;)
	{
		TimestampTz next_due_at;
		int			busy;

		MemoryContextSwitchTo(loop_context);
		MemoryContextReset(loop_context);
		if (must_look(look_at, &outlook.was_woken))
		{
			TimestampTz now = GetCurrentTimestamp();

			look_at = TimestampTzPlusMilliseconds(now, look(engine, mailer, &outlook));
			may_look_at = TimestampTzPlusMilliseconds(now, LOOK_PAUSE_MS);
			drain_at = 0;
			/* Who asked meanwhile is seen after a step that does not sleep. */
			SetLatch(MyLatch);
		}
		drain_sometimes(&host, outlook.readiness, &drain_at);
		busy = SaasEngineCount(engine);
		(void) SaasEngineStep(engine, sleep_ms(mailer, Min(look_at, drain_at)));
		if (SaasMailerStep(mailer) && worker_number == 0 && outlook.readiness == SAAS_STORE_READY)
			look_at = Min(look_at, next_mail_at(mailer));
		next_due_at = SaasEngineTakeNextDue(engine);
		look_at = Max(Min(look_at, next_due_at), may_look_at);
		if (SaasEngineCount(engine) != busy)
			report(engine, &outlook);
	}
}

void
pg_saas_poller_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&worker_number, MyBgworkerEntry->bgw_extra, sizeof(worker_number));
	if (!SaasSharedAttachPoller(database, worker_number))
		proc_exit(0);
	before_shmem_exit(give_up_slot, ObjectIdGetDatum(database));
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	/* What the database's or the role's settings may say is not meant for us. */
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", "pg_saas poller", PGC_USERSET, PGC_S_OVERRIDE);
	run();
}
