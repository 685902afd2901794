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
	SAAS_POLLER_DISABLED,		/* saas.poller_enabled is off */
	SAAS_POLLER_IDLE,
	SAAS_POLLER_POLLING
} SaasPollerState;

/* One database of the cluster. */
typedef struct SaasDatabaseSlot
{
	Oid			database;		/* InvalidOid: free */
	bool		is_wanted;		/* a poller should run */
	int			barred;			/* commands under way that need the database alone */
	TimestampTz start_after;
	pid_t		pid;			/* of the poller, 0 when none */
	Latch	   *latch;
	bool		is_woken;		/* and the poller has not noticed yet */
	SaasPollerState state;
	int			in_flight;
	int			due;
	int64		lag_ms;
	int64		polls;
	int64		failures;
	TimestampTz last_poll_at;	/* 0: none yet */
	char		last_sqlstate[6];	/* of the last failed poll; its text is the tenant's */
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

/* Wakes the database's poller, or the launcher when it has none. */
extern void SaasSharedWake(Oid database);

/*
 * Poller: whether it was woken since the last call.  Its latch alone does not
 * tell, because waiting for a lock resets it.
 */
extern bool SaasSharedTakeWake(Oid database);

/*
 * Launcher: the next slot from *position on whose poller should be started
 * now; false when there is none.  *wait_ms shrinks to the time until the next
 * delayed start.
 */
extern bool SaasSharedNextToStart(int *position, Oid *database, long *wait_ms);

/* Launcher: delays the next try at starting that database's poller. */
extern void SaasSharedDelayStart(Oid database, int delay_ms);

/* Poller: takes the slot; false when the database is barred or has a poller. */
extern bool SaasSharedAttachPoller(Oid database);

/* Poller: gives it up; keep says whether it should be started again. */
extern void SaasSharedDetachPoller(Oid database, bool keep);

/* Poller: publishes how it does. */
extern void SaasSharedReport(Oid database, SaasPollerState state, int in_flight,
							 int due, int64 lag_ms);
extern void SaasSharedCountPoll(Oid database, bool ok, const char *sqlstate);

/*
 * Bars the database's poller and returns its pid (0: none runs).  Unbar lets
 * it start again; with gone it forgets the database.
 */
extern pid_t SaasSharedBar(Oid database);
extern void SaasSharedUnbar(Oid database, bool gone);

/* The database's slot by value; false when it has none. */
extern bool SaasSharedGet(Oid database, SaasDatabaseSlot *slot);

/* Every used slot by value, palloc'd. */
extern SaasDatabaseSlot *SaasSharedList(int *count);

/*
 * Session: queues the request in the segment for this database's poller and
 * wakes it.  The slot is freed when the segment is detached.  PT429 when all
 * slots, or the organization's share of them, are taken.
 */
extern void SaasSharedQueueRequest(dsm_segment *segment);

/* Poller: the handle of a request for the database not taken yet; false when none. */
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
