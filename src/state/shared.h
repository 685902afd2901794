/*
 * shared.h
 *	  Shared memory: which databases have a poller and how it does, and the
 *	  polls that sessions ask of it.
 *
 * One LWLock guards everything in SaasShared.  It is held for a few
 * instructions only, never across I/O, SPI or another lock.  Requests carry
 * their data in a dynamic segment of their own: the asking session creates it,
 * the poller attaches it, and whoever detaches last frees it; a session that
 * ends in any way frees its slot when its segment is detached.
 */
#ifndef SAAS_SHARED_H
#define SAAS_SHARED_H

#include "postgres.h"

#include "base/stage.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/dsm.h"
#include "state/settings.h"
#include "storage/latch.h"
#include "utils/uuid.h"

#define SAAS_REQUEST_SLOTS		128
#define SAAS_REQUESTS_PER_ORG	8

typedef enum SaasPollerState
{
	SAAS_POLLER_STOPPED,
	SAAS_POLLER_STARTING,
	SAAS_POLLER_NOT_INSTALLED,	/* waits for saas.install() */
	SAAS_POLLER_COPY,			/* waits for saas.adopt() */
	SAAS_POLLER_OTHER_VERSION,	/* the extension is not of the loaded library */
	SAAS_POLLER_NOT_MIGRATED,	/* waits for saas.migrate() */
	SAAS_POLLER_DISABLED,		/* saas.poller_enabled is off */
	SAAS_POLLER_IDLE,
	SAAS_POLLER_POLLING
} SaasPollerState;

/* What a poller says of itself. */
typedef struct SaasPollerReport
{
	SaasPollerState state;
	int			in_flight;		/* requests under way, or answers being stored */
	int			waiting;		/* claimed, and not begun for a limit's sake */
	int			due;			/* of all pollers' shares; only the first one looks */
	int64		lag_ms;
	TimestampTz sweep_started_at;	/* since when something was due without a break; 0: nothing is */
} SaasPollerReport;

/* One poller of a database. */
typedef struct SaasWorkerSlot
{
	pid_t		pid;			/* 0 when none runs */
	Latch	   *latch;
	bool		is_woken;		/* and the poller has not noticed yet */
	bool		lacks_slot;		/* the log has been told */
	TimestampTz start_after;
	TimestampTz started_at;
	SaasPollerReport report;
	int64		polls;
	int64		failures;
	int64		sweep_polls;	/* since report.sweep_started_at */
	double		rate;			/* polls a second at last_poll_at, the last minute's */
	TimestampTz last_poll_at;	/* 0: none yet */
	char		last_sqlstate[6];	/* of the last failed poll; its text is the tenant's */
} SaasWorkerSlot;

/* One database of the cluster. */
typedef struct SaasDatabaseSlot
{
	Oid			database;		/* InvalidOid: free */
	bool		is_wanted;		/* pollers should run */
	int			barred;			/* commands under way that need the database alone */
	SaasWorkerSlot workers[SAAS_POLLER_WORKERS_MAX];
} SaasDatabaseSlot;

/* What became of one connection of a request. */
typedef struct SaasPollOutcome
{
	pg_uuid_t	connection_id;
	pg_atomic_uint32 is_done;	/* set last, with a barrier */
	bool		ok;
	bool		from_store;
	int			samples;
	int			duration_ms;
	char		error[256];		/* "" when ok */
	char		details[512];	/* JSON object, "" when none */
	SaasStages	stages;
	char		hint[256];		/* what to do about the error, "" when nothing is known */
} SaasPollOutcome;

/* A request, at the start of its segment. */
typedef struct SaasPollRequest
{
	pg_uuid_t	org_id;
	bool		is_test;
	int			count;
	Latch	   *latch;			/* of the asking session */
	SaasPollOutcome outcomes[FLEXIBLE_ARRAY_MEMBER];
} SaasPollRequest;

extern void SaasSharedInit(void);

/* Launcher: its latch, to be set when a database is wanted. */
extern void SaasSharedSetLauncher(Latch *latch);

/* Marks a database as one that should have a poller, and wakes the launcher. */
extern void SaasSharedWant(Oid database);

/* The same without the message: false when no slot is free. */
extern bool SaasSharedTryWant(Oid database);

/* Wakes the database's pollers, or the launcher when it has none. */
extern void SaasSharedWake(Oid database);

/*
 * Poller: whether it was woken since the last call.  Its latch alone does not
 * tell, because waiting for a lock resets it.
 */
extern bool SaasSharedTakeWake(Oid database, int worker);

/*
 * Launcher: the next poller from *position on that should be started now;
 * false when there is none.  *wait_ms shrinks to the time until the next
 * delayed start.
 */
extern bool SaasSharedNextToStart(int *position, Oid *database, int *worker, long *wait_ms);

/*
 * Launcher: delays the next try at starting that poller.  Returns true the
 * first time that it had no free slot.
 */
extern bool SaasSharedDelayStart(Oid database, int worker, int delay_ms, bool lacks_slot);

/* Poller: takes its place; false when the database is barred or the place taken. */
extern bool SaasSharedAttachPoller(Oid database, int worker);

/* Poller: gives it up; keep says whether the database should have pollers still. */
extern void SaasSharedDetachPoller(Oid database, int worker, bool keep);

/* Poller: publishes how it does. */
extern void SaasSharedReport(Oid database, int worker, const SaasPollerReport *report);
extern void SaasSharedCountPoll(Oid database, int worker, bool ok, const char *sqlstate);

/* The rate of polls now, which is less the longer ago the last one was. */
extern double SaasSharedRate(const SaasWorkerSlot *worker, TimestampTz now);

/*
 * Bars the database's pollers, which are then to be stopped.  Unbar lets them
 * start again; with gone it forgets the database.
 */
extern void SaasSharedBar(Oid database);
extern void SaasSharedUnbar(Oid database, bool gone);

/* The database's slot by value; false when it has none. */
extern bool SaasSharedGet(Oid database, SaasDatabaseSlot *slot);

/* Every used slot by value, palloc'd. */
extern SaasDatabaseSlot *SaasSharedList(int *count);

/*
 * Session: queues the request in the segment for one of this database's
 * pollers, the least busy, wakes it and returns its process id.  The slot is
 * freed when the segment is detached.  PT429 when all slots, or the
 * organization's share of them, are taken; PT503 when no poller runs.
 */
extern pid_t SaasSharedQueueRequest(dsm_segment *segment);

/* Session: whether that poller of this database still runs. */
extern bool SaasSharedHasPoller(pid_t pid);

/* Poller: the handle of a request for it that it has not taken yet; false when none. */
extern bool SaasSharedTakeRequest(Oid database, dsm_handle *handle);

/*
 * The generation of the token keys, of all databases together, outside of the
 * lock: whoever caches keys reads it first, the keys then, and caches them
 * under what was read.  Never 0.  Changed is called once the change is visible.
 */
extern uint64 SaasSharedTokenKeys(void);
extern void SaasSharedTokenKeysChanged(void);

/* The same of the vault's data keys: another version is current, or keys were destroyed. */
extern uint64 SaasSharedDataKeys(void);
extern void SaasSharedDataKeysChanged(void);

#endif							/* SAAS_SHARED_H */
