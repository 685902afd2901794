/*
 * journal.c
 *	  A bounded journal in shared memory.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "state/journal.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define TRANCHE_NAME	"pg_saas_journal"

/* The note with number n is in place n % capacity, if that still says so. */
typedef struct Place
{
	Oid			database;		/* InvalidOid: free */
	int			taken_by;		/* pid, 0: nobody */
	SaasNote	note;
} Place;

typedef struct Journal
{
	int64		oldest;			/* nothing is kept below */
	int64		next;
	int64		lost;
	int			capacity;
	int			used;
	Place		places[FLEXIBLE_ARRAY_MEMBER];
} Journal;

static Journal *journal = NULL;
static LWLock *journal_lock = NULL;
static bool gives_back_at_exit = false;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static Size
journal_size(void)
{
	return add_size(offsetof(Journal, places), mul_size(saas_journal_entries, sizeof(Place)));
}

static void
request_journal(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(journal_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
start_journal(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	journal = ShmemInitStruct("pg_saas journal", journal_size(), &found);
	memset(journal, 0, journal_size());
	journal->capacity = saas_journal_entries;
	journal_lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
SaasJournalInit(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_journal;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_journal;
}

static Place *
place_of(int64 number)
{
	return &journal->places[number % journal->capacity];
}

static void
free_place(Place *place)
{
	place->database = InvalidOid;
	place->taken_by = 0;
	journal->used--;
}

/* Call with the lock held. */
static void
skip_free_places(void)
{
	while (journal->oldest < journal->next && place_of(journal->oldest)->database == InvalidOid)
		journal->oldest++;
}

/* Call with the lock held; the oldest note makes room. */
static Place *
next_place(void)
{
	Place	   *place = place_of(journal->next);

	if (place->database != InvalidOid)
	{
		free_place(place);
		journal->lost++;
	}
	journal->next++;
	journal->oldest = Max(journal->oldest, journal->next - journal->capacity);
	journal->used++;
	return place;
}

static void
fill_note(SaasNote *note, const char *kind, const pg_uuid_t *subject, const char *payload)
{
	size_t		length = strlen(payload);
	int			kind_length = pg_mbcliplen(kind, (int) strlen(kind), SAAS_NOTE_KIND - 1);

	note->at = GetCurrentTimestamp();
	note->has_subject = subject != NULL;
	if (subject)
		note->subject = *subject;
	memcpy(note->kind, kind, kind_length);
	note->kind[kind_length] = '\0';
	if (length < SAAS_NOTE_PAYLOAD)
		memcpy(note->payload, payload, length + 1);
	else
		snprintf(note->payload, SAAS_NOTE_PAYLOAD, "{\"truncated\": %zu}", length);
}

void
SaasNoteDown(const char *kind, const pg_uuid_t *subject, const char *payload)
{
	SaasNote	note;
	Place	   *place;
	bool		is_half_full;

	fill_note(&note, kind, subject, payload);
	LWLockAcquire(journal_lock, LW_EXCLUSIVE);
	place = next_place();
	place->database = MyDatabaseId;
	place->taken_by = 0;
	place->note = note;
	is_half_full = journal->used == journal->capacity / 2;
	LWLockRelease(journal_lock);
	if (is_half_full)
		SaasSharedWake(MyDatabaseId);
}

/* Call with the lock held. */
static bool
is_mine_to_take(const Place *place)
{
	return place->database == MyDatabaseId && place->taken_by == 0;
}

bool
SaasJournalHasNotes(void)
{
	bool		found = false;

	LWLockAcquire(journal_lock, LW_SHARED);
	for (int64 n = journal->oldest; n < journal->next && journal->used > 0 && !found; n++)
		found = is_mine_to_take(place_of(n));
	LWLockRelease(journal_lock);
	return found;
}

static void
give_back(int code, Datum arg)
{
	SaasJournalGiveBack();
}

int
SaasJournalTake(SaasNote *list, int limit)
{
	int			count = 0;

	if (!gives_back_at_exit)
		before_shmem_exit(give_back, (Datum) 0);
	gives_back_at_exit = true;
	LWLockAcquire(journal_lock, LW_EXCLUSIVE);
	for (int64 n = journal->oldest; n < journal->next && count < limit; n++)
	{
		Place	   *place = place_of(n);

		if (!is_mine_to_take(place))
			continue;
		place->taken_by = MyProcPid;
		list[count++] = place->note;
	}
	LWLockRelease(journal_lock);
	return count;
}

/* What became of the notes that this process holds. */
static void
let_go(bool written)
{
	LWLockAcquire(journal_lock, LW_EXCLUSIVE);
	for (int64 n = journal->oldest; n < journal->next; n++)
	{
		Place	   *place = place_of(n);

		if (place->database == InvalidOid || place->taken_by != MyProcPid)
			continue;
		if (written)
			free_place(place);
		else
			place->taken_by = 0;
	}
	skip_free_places();
	LWLockRelease(journal_lock);
}

void
SaasJournalRemoveTaken(void)
{
	let_go(true);
}

void
SaasJournalGiveBack(void)
{
	let_go(false);
}

void
SaasJournalGetStatus(SaasJournalStatus *status)
{
	LWLockAcquire(journal_lock, LW_SHARED);
	status->capacity = journal->capacity;
	status->used = journal->used;
	status->lost = journal->lost;
	LWLockRelease(journal_lock);
}
