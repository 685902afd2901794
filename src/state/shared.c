/*
 * shared.c
 *	  Shared memory: the databases' pollers and the polls asked of them.
 */
#include "postgres.h"

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
		slot->start_after = 0;
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
	Latch	   *latch = NULL;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot && slot->pid != 0)
	{
		slot->is_woken = true;
		latch = slot->latch;
	}
	LWLockRelease(shared_lock);
	if (latch)
		SetLatch(latch);
	else
		SaasSharedWant(database);
}

bool
SaasSharedTakeWake(Oid database)
{
	SaasDatabaseSlot *slot;
	bool		is_woken = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		is_woken = slot->is_woken;
		slot->is_woken = false;
	}
	LWLockRelease(shared_lock);
	return is_woken;
}

bool
SaasSharedNextToStart(int *position, Oid *database, long *wait_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found = false;

	LWLockAcquire(shared_lock, LW_SHARED);
	for (; *position < shared->database_count && !found; (*position)++)
	{
		SaasDatabaseSlot *slot = &shared->databases[*position];

		if (slot->database == InvalidOid || !slot->is_wanted || slot->pid != 0 || slot->barred > 0)
			continue;
		if (slot->start_after > now)
		{
			*wait_ms = Min(*wait_ms, TimestampDifferenceMilliseconds(now, slot->start_after) + 1);
			continue;
		}
		*database = slot->database;
		found = true;
	}
	LWLockRelease(shared_lock);
	return found;
}

void
SaasSharedDelayStart(Oid database, int delay_ms)
{
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
		slot->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms);
	LWLockRelease(shared_lock);
}

bool
SaasSharedAttachPoller(Oid database)
{
	SaasDatabaseSlot *slot;
	bool		attached = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot && slot->barred == 0 && slot->pid == 0)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->is_woken = false;
		slot->state = SAAS_POLLER_STARTING;
		slot->in_flight = slot->due = 0;
		slot->lag_ms = slot->polls = slot->failures = 0;
		slot->last_poll_at = 0;
		slot->last_sqlstate[0] = '\0';
		attached = true;
	}
	LWLockRelease(shared_lock);
	return attached;
}

void
SaasSharedDetachPoller(Oid database, bool keep)
{
	SaasDatabaseSlot *slot;
	Latch	   *launcher;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot && slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		slot->state = SAAS_POLLER_STOPPED;
		slot->in_flight = 0;
		if (!keep)
		{
			slot->is_wanted = false;
			if (slot->barred == 0)
				slot->database = InvalidOid;
		}
		else if (slot->barred == 0)
			slot->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
	}
	launcher = shared->launcher;
	LWLockRelease(shared_lock);
	set_latch(launcher);
}

void
SaasSharedReport(Oid database, SaasPollerState state, int in_flight, int due, int64 lag_ms)
{
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		slot->state = state;
		slot->in_flight = in_flight;
		slot->due = due;
		slot->lag_ms = lag_ms;
	}
	LWLockRelease(shared_lock);
}

void
SaasSharedCountPoll(Oid database, bool ok, const char *sqlstate)
{
	SaasDatabaseSlot *slot;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, false);
	if (slot)
	{
		slot->polls++;
		slot->last_poll_at = GetCurrentTimestamp();
		if (!ok)
		{
			slot->failures++;
			strlcpy(slot->last_sqlstate, sqlstate, sizeof(slot->last_sqlstate));
		}
	}
	LWLockRelease(shared_lock);
}

pid_t
SaasSharedBar(Oid database)
{
	SaasDatabaseSlot *slot;
	pid_t		pid = 0;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	slot = find_database(database, true);
	if (slot)
	{
		slot->barred++;
		pid = slot->pid;
	}
	LWLockRelease(shared_lock);
	return pid;
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
		if (slot->barred == 0 && (gone || (!slot->is_wanted && slot->pid == 0)))
			slot->database = InvalidOid;
		slot->start_after = 0;
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

void
SaasSharedQueueRequest(dsm_segment *segment)
{
	SaasPollRequest *request = dsm_segment_address(segment);
	int			number;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	number = find_free_request(&request->org_id);
	if (number >= 0)
	{
		RequestSlot *slot = &shared->requests[number];

		slot->in_use = true;
		slot->is_taken = false;
		slot->database = MyDatabaseId;
		slot->org_id = request->org_id;
		slot->handle = dsm_segment_handle(segment);
	}
	LWLockRelease(shared_lock);
	if (number < 0)
		SaasRaise("PT429", "too many refreshes wait for the poller", NULL,
				  "Try again when the ones under way have answered.");
	on_dsm_detach(segment, free_request, Int32GetDatum(number));
	SaasSharedWake(MyDatabaseId);
}

bool
SaasSharedTakeRequest(Oid database, dsm_handle *handle)
{
	bool		found = false;

	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SAAS_REQUEST_SLOTS && !found; i++)
	{
		RequestSlot *slot = &shared->requests[i];

		if (slot->in_use && !slot->is_taken && slot->database == database)
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
