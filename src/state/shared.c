/*
 * shared.c
 *	  Shared memory: the databases' pollers and the polls asked of them.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "server/raise.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

typedef struct RequestSlot
{
	bool		in_use;
	bool		is_taken;
	Oid			database;
	pid_t		poller;			/* whom it was given to */
	pg_uuid_t	org_id;
	dsm_handle	handle;
} RequestSlot;

typedef struct SaasShared
{
	pg_atomic_uint64 token_keys;	/* counts their changes */
	pg_atomic_uint64 data_keys;		/* likewise */
	Latch	   *launcher;
	RequestSlot requests[SAAS_REQUEST_SLOTS];
	int			database_count;
	SaasDatabaseSlot databases[FLEXIBLE_ARRAY_MEMBER];
} SaasShared;

#define TRANCHE_NAME	"pg_saas"

/* A rate is that of about the last minute. */
#define RATE_SECONDS	60.0

static SaasShared *shared = NULL;
static LWLock *shared_lock = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(SaasShared, databases),
					mul_size(saas_max_databases, sizeof(SaasDatabaseSlot)));
}

static void
request_shared(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
start_shared(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_saas", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->database_count = saas_max_databases;
		pg_atomic_init_u64(&shared->token_keys, 1);
		pg_atomic_init_u64(&shared->data_keys, 1);
	}
	shared_lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
SaasSharedInit(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared;
}

/* Call with the lock held; with create a free slot becomes the database's. */
static SaasDatabaseSlot *
find_database(Oid database, bool create)
{
	SaasDatabaseSlot *free_slot = NULL;

	for (int i = 0; i < shared->database_count; i++)
	{
		SaasDatabaseSlot *slot = &shared->databases[i];

		if (slot->database == database)
			return slot;
		if (slot->database == InvalidOid && free_slot == NULL)
			free_slot = slot;
	}
	if (!create || free_slot == NULL)
		return NULL;
	memset(free_slot, 0, sizeof(*free_slot));
	free_slot->database = database;
	return free_slot;
}

void
SaasSharedSetLauncher(Latch *latch)
{
	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	shared->launcher = latch;
	LWLockRelease(shared_lock);
}

static void
set_latch(Latch *latch)
{
	if (latch)
		SetLatch(latch);
}

/* Call with the lock held. */
static void
let_start(SaasDatabaseSlot *slot)
{
	for (int i = 0; i < SAAS_POLLER_WORKERS_MAX; i++)
		slot->workers[i].start_after = 0;
}

static bool
has_pollers(const SaasDatabaseSlot *slot)
{
	for (int i = 0; i < SAAS_POLLER_WORKERS_MAX; i++)
	{
		if (slot->workers[i].pid != 0)
			return true;
	}
	return false;
}

/* Call with the lock held: the place of this process, or NULL. */
static SaasWorkerSlot *
own_place(Oid database, int worker)
{
	SaasDatabaseSlot *slot = find_database(database, false);

	return slot && slot->workers[worker].pid == MyProcPid ? &slot->workers[worker] : NULL;
}

bool
SaasSharedTryWant(Oid database)
{
	SaasDatabaseSlot *slot;
	Latch	   *launcher;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, true);
	if (slot)
	{
		slot->is_wanted = true;
		let_start(slot);
	}
	launcher = shared->launcher;
	LWLockRelease(shared_lock);
	set_latch(launcher);
	return slot != NULL;
}

void
SaasSharedWant(Oid database)
{
	if (!SaasSharedTryWant(database))
		ereport(LOG,
				(errmsg("no poller for database %u: saas.max_databases is reached", database),
				 errhint("Raise saas.max_databases and restart the server.")));
}

void
SaasSharedWake(Oid database)
{
	SaasDatabaseSlot *slot;
	bool		has_any = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	for (int i = 0; slot && i < SAAS_POLLER_WORKERS_MAX; i++)
	{
		SaasWorkerSlot *place = &slot->workers[i];

		if (place->pid == 0)
			continue;
		has_any = true;
		place->is_woken = true;
		SetLatch(place->latch);
	}
	LWLockRelease(shared_lock);
	if (!has_any)
		SaasSharedWant(database);
}

bool
SaasSharedTakeWake(Oid database, int worker)
{
	SaasWorkerSlot *place;
	bool		is_woken = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	place = own_place(database, worker);
	if (place)
	{
		is_woken = place->is_woken;
		place->is_woken = false;
	}
	LWLockRelease(shared_lock);
	return is_woken;
}

bool
SaasSharedNextToStart(int *position, Oid *database, int *worker, long *wait_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found = false;

	LWLockAcquire(shared_lock, LW_SHARED);
	for (; *position < shared->database_count * SAAS_POLLER_WORKERS_MAX && !found; (*position)++)
	{
		SaasDatabaseSlot *slot = &shared->databases[*position / SAAS_POLLER_WORKERS_MAX];
		int			number = *position % SAAS_POLLER_WORKERS_MAX;
		SaasWorkerSlot *place = &slot->workers[number];

		if (slot->database == InvalidOid || !slot->is_wanted || slot->barred > 0 ||
			number >= saas_poller_workers || place->pid != 0)
			continue;
		/* The first one finds out whether there is anything to poll for. */
		if (number > 0 && slot->workers[0].report.state < SAAS_POLLER_DISABLED)
			continue;
		if (place->start_after > now)
		{
			*wait_ms = Min(*wait_ms, TimestampDifferenceMilliseconds(now, place->start_after) + 1);
			continue;
		}
		*database = slot->database;
		*worker = number;
		found = true;
	}
	LWLockRelease(shared_lock);
	return found;
}

bool
SaasSharedDelayStart(Oid database, int worker, int delay_ms, bool lacks_slot)
{
	SaasDatabaseSlot *slot;
	bool		is_news = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		SaasWorkerSlot *place = &slot->workers[worker];

		place->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
		is_news = lacks_slot && !place->lacks_slot;
		place->lacks_slot = lacks_slot;
	}
	LWLockRelease(shared_lock);
	return is_news;
}

bool
SaasSharedAttachPoller(Oid database, int worker)
{
	SaasDatabaseSlot *slot;
	bool		attached = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot && slot->barred == 0 && slot->workers[worker].pid == 0)
	{
		SaasWorkerSlot *place = &slot->workers[worker];

		memset(place, 0, sizeof(*place));
		place->pid = MyProcPid;
		place->latch = MyLatch;
		place->started_at = GetCurrentTimestamp();
		place->report.state = SAAS_POLLER_STARTING;
		attached = true;
	}
	LWLockRelease(shared_lock);
	return attached;
}

void
SaasSharedDetachPoller(Oid database, int worker, bool keep)
{
	SaasDatabaseSlot *slot;
	SaasWorkerSlot *place;
	Latch	   *launcher;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	place = own_place(database, worker);
	if (place)
	{
		place->pid = 0;
		place->latch = NULL;
		memset(&place->report, 0, sizeof(place->report));
		place->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
		if (!keep)
			slot->is_wanted = false;
		if (!slot->is_wanted && slot->barred == 0 && !has_pollers(slot))
			slot->database = InvalidOid;
	}
	launcher = shared->launcher;
	LWLockRelease(shared_lock);
	set_latch(launcher);
}

void
SaasSharedReport(Oid database, int worker, const SaasPollerReport *report)
{
	SaasWorkerSlot *place;
	Latch	   *launcher = NULL;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	place = own_place(database, worker);
	if (place)
	{
		if (place->report.sweep_started_at != report->sweep_started_at)
			place->sweep_polls = 0;
		/* Now its peers may start. */
		if (place->report.state < SAAS_POLLER_DISABLED && report->state >= SAAS_POLLER_DISABLED)
			launcher = shared->launcher;
		place->report = *report;
	}
	LWLockRelease(shared_lock);
	set_latch(launcher);
}

double
SaasSharedRate(const SaasWorkerSlot *worker, TimestampTz now)
{
	double		seconds = (double) (now - worker->last_poll_at) / USECS_PER_SEC;

	return worker->last_poll_at == 0 ? 0 : worker->rate * exp(-Max(seconds, 0) / RATE_SECONDS);
}

void
SaasSharedCountPoll(Oid database, int worker, bool ok, const char *sqlstate)
{
	TimestampTz now = GetCurrentTimestamp();
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		/* Polls that a session does itself count as the first poller's. */
		SaasWorkerSlot *place = &slot->workers[worker];

		place->polls++;
		place->sweep_polls++;
		place->rate = SaasSharedRate(place, now) + 1 / RATE_SECONDS;
		place->last_poll_at = now;
		if (!ok)
		{
			place->failures++;
			strlcpy(place->last_sqlstate, sqlstate, sizeof(place->last_sqlstate));
		}
	}
	LWLockRelease(shared_lock);
}

void
SaasSharedBar(Oid database)
{
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, true);
	if (slot)
		slot->barred++;
	LWLockRelease(shared_lock);
}

void
SaasSharedUnbar(Oid database, bool gone)
{
	SaasDatabaseSlot *slot;
	Latch	   *launcher;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		if (slot->barred > 0)
			slot->barred--;
		if (slot->barred == 0 && (gone || (!slot->is_wanted && !has_pollers(slot))))
			slot->database = InvalidOid;
		let_start(slot);
	}
	launcher = shared->launcher;
	LWLockRelease(shared_lock);
	set_latch(launcher);
}

bool
SaasSharedGet(Oid database, SaasDatabaseSlot *copy)
{
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_SHARED);
	slot = find_database(database, false);
	if (slot)
		*copy = *slot;
	LWLockRelease(shared_lock);
	return slot != NULL;
}

SaasDatabaseSlot *
SaasSharedList(int *count)
{
	SaasDatabaseSlot *list = palloc(shared->database_count * sizeof(SaasDatabaseSlot));

	*count = 0;
	LWLockAcquire(shared_lock, LW_SHARED);
	for (int i = 0; i < shared->database_count; i++)
	{
		if (shared->databases[i].database != InvalidOid)
			list[(*count)++] = shared->databases[i];
	}
	LWLockRelease(shared_lock);
	return list;
}

static void
free_request(dsm_segment *segment, Datum number)
{
	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	shared->requests[DatumGetInt32(number)].in_use = false;
	LWLockRelease(shared_lock);
}

/* Call with the lock held; -1 when there is no room for the organization. */
static int
find_free_request(const pg_uuid_t *org_id)
{
	int			free_number = -1;
	int			of_org = 0;

	for (int i = 0; i < SAAS_REQUEST_SLOTS; i++)
	{
		RequestSlot *slot = &shared->requests[i];

		if (!slot->in_use)
			free_number = i;
		else if (memcmp(&slot->org_id, org_id, sizeof(*org_id)) == 0)
			of_org++;
	}
	return of_org < SAAS_REQUESTS_PER_ORG ? free_number : -1;
}

/* Call with the lock held: the poller with the fewest connections under way, or NULL. */
static SaasWorkerSlot *
least_busy(Oid database)
{
	SaasDatabaseSlot *slot = find_database(database, false);
	SaasWorkerSlot *best = NULL;

	for (int i = 0; slot && i < SAAS_POLLER_WORKERS_MAX; i++)
	{
		SaasWorkerSlot *place = &slot->workers[i];

		if (place->pid != 0 &&
			(best == NULL || place->report.in_flight + place->report.waiting <
			 best->report.in_flight + best->report.waiting))
			best = place;
	}
	return best;
}

pid_t
SaasSharedQueueRequest(dsm_segment *segment)
{
	SaasPollRequest *request = dsm_segment_address(segment);
	SaasWorkerSlot *poller;
	pid_t		pid = 0;
	int			number = -1;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	poller = least_busy(MyDatabaseId);
	if (poller)
	{
		pid = poller->pid;
		number = find_free_request(&request->org_id);
	}
	if (number >= 0)
	{
		RequestSlot *slot = &shared->requests[number];

		slot->in_use = true;
		slot->is_taken = false;
		slot->database = MyDatabaseId;
		slot->poller = pid;
		slot->org_id = request->org_id;
		slot->handle = dsm_segment_handle(segment);
		poller->is_woken = true;
		SetLatch(poller->latch);
	}
	LWLockRelease(shared_lock);
	if (pid == 0)
		SaasRaise("PT503", "no poller runs in this database", NULL,
				  "See saas.poller_status() and the server's log.");
	if (number < 0)
		SaasRaise("PT429", "too many refreshes wait for the poller", NULL,
				  "Try again when the ones under way have answered.");
	on_dsm_detach(segment, free_request, Int32GetDatum(number));
	return pid;
}

bool
SaasSharedHasPoller(pid_t pid)
{
	SaasDatabaseSlot *slot;
	bool		found = false;

	LWLockAcquire(shared_lock, LW_SHARED);
	slot = find_database(MyDatabaseId, false);
	for (int i = 0; slot && i < SAAS_POLLER_WORKERS_MAX && !found; i++)
		found = slot->workers[i].pid == pid;
	LWLockRelease(shared_lock);
	return found;
}

bool
SaasSharedTakeRequest(Oid database, dsm_handle *handle)
{
	bool		found = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SAAS_REQUEST_SLOTS && !found; i++)
	{
		RequestSlot *slot = &shared->requests[i];

		if (slot->in_use && !slot->is_taken && slot->database == database && slot->poller == MyProcPid)
		{
			slot->is_taken = true;
			*handle = slot->handle;
			found = true;
		}
	}
	LWLockRelease(shared_lock);
	return found;
}

uint64
SaasSharedTokenKeys(void)
{
	uint64		generation = pg_atomic_read_u64(&shared->token_keys);

	/* What is read of the keys afterwards must not be older. */
	pg_memory_barrier();
	return generation;
}

void
SaasSharedTokenKeysChanged(void)
{
	pg_atomic_fetch_add_u64(&shared->token_keys, 1);
}

uint64
SaasSharedDataKeys(void)
{
	uint64		generation = pg_atomic_read_u64(&shared->data_keys);

	/* What is read of the keys afterwards must not be older. */
	pg_read_barrier();
	return generation;
}

void
SaasSharedDataKeysChanged(void)
{
	pg_atomic_fetch_add_u64(&shared->data_keys, 1);
}
