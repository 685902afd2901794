/*
 * limits.c
 *	  What must count whatever becomes of the transaction.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pure/siphash.h"
#include "server/raise.h"
#include "state/limits.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define TRANCHE_NAME	"pg_saas_limits"
#define RATE_STEPS		16
#define MAX_SUBJECT		512

/* Of the memory of nonces one organization takes at most this part. */
#define NONCE_SHARES	8

/*
 * No refresh token outlives it: who is ended and never written down, because
 * no worker ran, stays ended.
 */
#define ENDED_FOR		(31 * USECS_PER_DAY)

typedef enum TableNumber
{
	RATES,
	ATTEMPTS,
	USES,
	NONCES,
	ENDED,
	REFRESHES
} TableNumber;

typedef struct RateEntry
{
	SaasKeyedEntry head;
	int64		width;			/* of a step */
	TimestampTz step_at;		/* when the newest step began */
	TimestampTz refused_at;		/* when a refusal was last news */
	uint32		total;
	uint32		newest;			/* its place in counts */
	uint32		counts[RATE_STEPS];
} RateEntry;

typedef struct AttemptEntry
{
	SaasKeyedEntry head;
	int64		count;
	TimestampTz last_at;
} AttemptEntry;

typedef struct UseEntry
{
	SaasKeyedEntry head;
} UseEntry;

typedef struct EndedEntry
{
	SaasKeyedEntry head;
	Oid			database;
	SaasEndedSession session;
} EndedEntry;

typedef struct RefreshEntry
{
	SaasKeyedEntry head;
	Oid			database;
	SaasRefresh refresh;
} RefreshEntry;

static SaasKeyedTable tables[SAAS_LIMIT_TABLES] = {
	[RATES] = {"requests", sizeof(RateEntry), true},
	[ATTEMPTS] = {"attempts", sizeof(AttemptEntry), true},
	[USES] = {"used once", sizeof(UseEntry), false},
	[NONCES] = {"nonces", sizeof(UseEntry), false},
	[ENDED] = {"ended sessions", sizeof(EndedEntry), false},
	[REFRESHES] = {"refreshed sessions", sizeof(RefreshEntry), false},
};

/* Hashes the keys; made anew by each start of the server, then inherited. */
static uint64 hash_key[2];

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static Size
limits_size(void)
{
	Size		size = 0;

	for (int i = 0; i < SAAS_LIMIT_TABLES; i++)
		size = add_size(size, SaasKeyedSize(&tables[i], saas_limit_entries));
	return size;
}

static void
request_limits(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(limits_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, SAAS_LIMIT_TABLES * SAAS_KEYED_PARTITIONS);
}

static void
start_limits(void)
{
	LWLockPadded *locks;
	char	   *memory;
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("pg_saas limits", limits_size(), &found);
	locks = GetNamedLWLockTranche(TRANCHE_NAME);
	if (!pg_strong_random(hash_key, sizeof(hash_key)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not get random bytes")));
	for (int i = 0; i < SAAS_LIMIT_TABLES; i++)
	{
		SaasKeyedCreate(&tables[i], saas_limit_entries, memory, locks);
		memory += SaasKeyedSize(&tables[i], saas_limit_entries);
		locks += SAAS_KEYED_PARTITIONS;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
SaasLimitsInit(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_limits;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_limits;
}

/* Of database, kind and subject; a long subject is hashed beforehand. */
static SaasKey
key_of(const char *kind, const void *subject, size_t length)
{
	uint8		text[sizeof(Oid) + NAMEDATALEN + MAX_SUBJECT];
	size_t		kind_size = strnlen(kind, NAMEDATALEN - 1) + 1;
	uint64		digest[2];
	uint8	   *end = text;
	SaasKey		key;

	memcpy(end, &MyDatabaseId, sizeof(Oid));
	end += sizeof(Oid);
	memcpy(end, kind, kind_size - 1);
	end[kind_size - 1] = '\0';
	end += kind_size;
	if (length > MAX_SUBJECT)
	{
		SaasSipHash128(hash_key, subject, length, digest);
		subject = digest;
		length = sizeof(digest);
	}
	memcpy(end, subject, length);
	end += length;
	SaasSipHash128(hash_key, text, end - text, key.word);
	return key;
}

static void
refuse_full(LWLock *lock)
{
	LWLockRelease(lock);
	SaasRaise("PT503", "the server keeps too many counters", NULL,
			  "Try again later. The operator sees them in saas.limits_status() and can raise saas.limit_entries.");
}

/* Seconds, rounded up, at least one. */
static int
seconds_until(TimestampTz at, TimestampTz now)
{
	int64		seconds = (at - now + USECS_PER_SEC - 1) / USECS_PER_SEC;

	return (int) Max(1, Min(seconds, PG_INT32_MAX));
}

/* Moves on to the step that now falls in; what falls out of the window is forgotten. */
static void
advance(RateEntry *entry, TimestampTz now)
{
	int64		steps = (now - entry->step_at) / entry->width;

	if (steps >= RATE_STEPS)
	{
		memset(entry->counts, 0, sizeof(entry->counts));
		entry->total = 0;
	}
	else
	{
		/* A clock set back stays in the newest step. */
		for (; steps > 0; steps--)
		{
			entry->newest = (entry->newest + 1) % RATE_STEPS;
			entry->total -= entry->counts[entry->newest];
			entry->counts[entry->newest] = 0;
			entry->step_at += entry->width;
		}
	}
	if (entry->total == 0)
		entry->step_at = now;
}

/* When the total has fallen to that many. */
static TimestampTz
falls_to(const RateEntry *entry, uint32 total)
{
	uint32		left = entry->total;
	TimestampTz at = entry->step_at;

	for (int age = RATE_STEPS - 1; age >= 0 && left > total; age--)
	{
		left -= entry->counts[(entry->newest + RATE_STEPS - age) % RATE_STEPS];
		at = entry->step_at + (RATE_STEPS - age) * entry->width;
	}
	return at;
}

static void
judge_rate(RateEntry *entry, int limit, TimestampTz now, SaasRateVerdict *verdict)
{
	verdict->limit = limit;
	verdict->allowed = entry->total < (uint32) limit;
	verdict->is_news = !verdict->allowed && now - entry->refused_at >= USECS_PER_SEC;
	if (verdict->is_news)
		entry->refused_at = now;
	if (verdict->allowed)
	{
		entry->counts[entry->newest]++;
		entry->total++;
	}
	verdict->remaining = Max(0, limit - (int) entry->total);
	verdict->reset_s = seconds_until(falls_to(entry, 0), now);
	verdict->retry_after_s = verdict->allowed ? 0 : seconds_until(falls_to(entry, limit - 1), now);
}

void
SaasRateTake(const char *kind, const void *subject, size_t length, int limit, int window_s,
			 SaasRateVerdict *verdict)
{
	SaasKey		key = key_of(kind, subject, length);
	int64		width = (window_s * USECS_PER_SEC + RATE_STEPS - 1) / RATE_STEPS;
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(&tables[RATES], &key, LW_EXCLUSIVE);
	bool		found;
	RateEntry  *entry = SaasKeyedFindOrAdd(&tables[RATES], &key, now, &found);

	if (!found || entry->width != width)
	{
		memset((char *) entry + sizeof(SaasKeyedEntry), 0, sizeof(RateEntry) - sizeof(SaasKeyedEntry));
		entry->width = width;
	}
	advance(entry, now);
	judge_rate(entry, Max(limit, 1), now, verdict);
	entry->head.worth = now;
	entry->head.expires_at = entry->step_at + RATE_STEPS * width;
	LWLockRelease(lock);
}

void
SaasRateGiveBack(const char *kind, const void *subject, size_t length)
{
	SaasKey		key = key_of(kind, subject, length);
	LWLock	   *lock = SaasKeyedLock(&tables[RATES], &key, LW_EXCLUSIVE);
	RateEntry  *entry = SaasKeyedFind(&tables[RATES], &key, GetCurrentTimestamp());

	/* Not always from the step that it was counted in: the newest that has any. */
	for (int age = 0; entry && age < RATE_STEPS; age++)
	{
		uint32	   *count = &entry->counts[(entry->newest + RATE_STEPS - age) % RATE_STEPS];

		if (*count == 0)
			continue;
		(*count)--;
		entry->total--;
		break;
	}
	LWLockRelease(lock);
}

/* How long after the last of count attempts the next one may come. */
static int64
attempt_wait(int64 count, int free_attempts, int64 base_wait, int64 max_wait)
{
	int64		wait = base_wait;

	if (count < free_attempts)
		return 0;
	for (int64 i = free_attempts; i < count && wait < max_wait; i++)
		wait *= 2;
	return Min(wait, max_wait);
}

int
SaasTakeAttempt(const char *kind, const void *subject, size_t length, int free_attempts,
				int64 base_wait, int64 max_wait, int64 window)
{
	SaasKey		key = key_of(kind, subject, length);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(&tables[ATTEMPTS], &key, LW_EXCLUSIVE);
	bool		found;
	AttemptEntry *entry = SaasKeyedFindOrAdd(&tables[ATTEMPTS], &key, now, &found);
	int64		wait;
	int			seconds = 0;

	wait = attempt_wait(entry->count, free_attempts, base_wait, max_wait);
	if (found && now < entry->last_at + wait)
		seconds = seconds_until(entry->last_at + wait, now);
	else
	{
		entry->count++;
		entry->last_at = now;
		wait = attempt_wait(entry->count, free_attempts, base_wait, max_wait);
		entry->head.expires_at = now + Max(window, wait);
		/* A flood of new subjects drives out itself, not those that must wait. */
		entry->head.worth = entry->count;
	}
	LWLockRelease(lock);
	return seconds;
}

void
SaasForgetAttempts(const char *kind, const void *subject, size_t length)
{
	SaasKey		key = key_of(kind, subject, length);
	LWLock	   *lock = SaasKeyedLock(&tables[ATTEMPTS], &key, LW_EXCLUSIVE);

	SaasKeyedRemove(&tables[ATTEMPTS], &key);
	LWLockRelease(lock);
}

static bool
use_in(SaasKeyedTable *table, const char *kind, const void *subject, size_t length, int64 valid_for)
{
	SaasKey		key = key_of(kind, subject, length);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(table, &key, LW_EXCLUSIVE);
	bool		found;
	UseEntry   *entry = SaasKeyedFindOrAdd(table, &key, now, &found);

	if (entry == NULL)
		refuse_full(lock);
	if (!found)
		entry->head.expires_at = now + valid_for;
	LWLockRelease(lock);
	return !found;
}

bool
SaasUseOnce(const char *kind, const void *subject, size_t length, int64 valid_for)
{
	return use_in(&tables[USES], kind, subject, length, valid_for);
}

static bool
is_in(SaasKeyedTable *table, const char *kind, const void *subject, size_t length)
{
	SaasKey		key = key_of(kind, subject, length);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(table, &key, LW_SHARED);
	bool		is_used = SaasKeyedFind(table, &key, now) != NULL;

	LWLockRelease(lock);
	return is_used;
}

/* What the rate bounds within fifteen sixteenths of its window are all that are kept. */
bool
SaasUseNonce(const pg_uuid_t *org_id, const char *nonce, size_t length, int valid_for_s,
			 SaasRateVerdict *verdict)
{
	int			window_s = valid_for_s * RATE_STEPS / (RATE_STEPS - 1) + 1;

	/* Whoever replays a request uses up nothing of the organization's. */
	verdict->allowed = true;
	if (is_in(&tables[NONCES], "nonce", nonce, length))
		return false;
	SaasRateTake("nonces", org_id->data, UUID_LEN, saas_limit_entries / NONCE_SHARES, window_s, verdict);
	return verdict->allowed &&
		use_in(&tables[NONCES], "nonce", nonce, length, valid_for_s * USECS_PER_SEC);
}

bool
SaasIsUsed(const char *kind, const void *subject, size_t length)
{
	return is_in(&tables[USES], kind, subject, length);
}

static SaasKey
session_key(const pg_uuid_t *session_id)
{
	return key_of("session", session_id->data, UUID_LEN);
}

void
SaasEndSessionNow(const pg_uuid_t *session_id)
{
	SaasKey		key = session_key(session_id);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(&tables[ENDED], &key, LW_EXCLUSIVE);
	bool		found;
	EndedEntry *entry = SaasKeyedFindOrAdd(&tables[ENDED], &key, now, &found);

	if (entry == NULL)
		refuse_full(lock);
	if (!found)
	{
		entry->database = MyDatabaseId;
		entry->session.id = *session_id;
		entry->session.ended_at = now;
		entry->head.expires_at = now + ENDED_FOR;
	}
	LWLockRelease(lock);
	SaasSharedWake(MyDatabaseId);
}

bool
SaasSessionIsEnded(const pg_uuid_t *session_id)
{
	SaasKey		key = session_key(session_id);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(&tables[ENDED], &key, LW_SHARED);
	bool		is_ended = SaasKeyedFind(&tables[ENDED], &key, now) != NULL;

	LWLockRelease(lock);
	return is_ended;
}

typedef struct EndedList
{
	SaasEndedSession *list;
	int			count;
	int			limit;
} EndedList;

static bool
collect_ended(const void *entry, void *arg)
{
	const EndedEntry *ended = entry;
	EndedList  *list = arg;

	if (ended->database == MyDatabaseId)
		list->list[list->count++] = ended->session;
	return list->count < list->limit;
}

int
SaasEndedSessions(SaasEndedSession *list, int limit)
{
	EndedList	found = {list, 0, limit};

	SaasKeyedVisit(&tables[ENDED], GetCurrentTimestamp(), collect_ended, &found);
	return found.count;
}

void
SaasForgetEndedSession(const pg_uuid_t *session_id)
{
	SaasKey		key = session_key(session_id);
	LWLock	   *lock = SaasKeyedLock(&tables[ENDED], &key, LW_EXCLUSIVE);

	SaasKeyedRemove(&tables[ENDED], &key);
	LWLockRelease(lock);
}

TimestampTz
SaasUseRefresh(const pg_uuid_t *session_id, int generation, int64 valid_for)
{
	SaasKey		key = session_key(session_id);
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock = SaasKeyedLock(&tables[REFRESHES], &key, LW_EXCLUSIVE);
	bool		found;
	RefreshEntry *entry = SaasKeyedFindOrAdd(&tables[REFRESHES], &key, now, &found);
	TimestampTz used_at;

	if (entry == NULL)
		refuse_full(lock);
	if (!found || entry->refresh.generation < generation)
	{
		entry->database = MyDatabaseId;
		entry->refresh.session_id = *session_id;
		entry->refresh.generation = generation;
		entry->refresh.used_at = now;
		entry->head.expires_at = now + valid_for;
	}
	used_at = entry->refresh.generation == generation ? entry->refresh.used_at : DT_NOBEGIN;
	LWLockRelease(lock);
	return used_at;
}

typedef struct RefreshList
{
	SaasRefresh *list;
	int			count;
	int			limit;
} RefreshList;

static bool
collect_refresh(const void *entry, void *arg)
{
	const RefreshEntry *refreshed = entry;
	RefreshList *list = arg;

	if (refreshed->database == MyDatabaseId)
		list->list[list->count++] = refreshed->refresh;
	return list->count < list->limit;
}

int
SaasRefreshes(SaasRefresh *list, int limit)
{
	RefreshList found = {list, 0, limit};

	SaasKeyedVisit(&tables[REFRESHES], GetCurrentTimestamp(), collect_refresh, &found);
	return found.count;
}

void
SaasForgetRefresh(const SaasRefresh *refresh)
{
	SaasKey		key = session_key(&refresh->session_id);
	LWLock	   *lock = SaasKeyedLock(&tables[REFRESHES], &key, LW_EXCLUSIVE);
	RefreshEntry *entry = SaasKeyedFind(&tables[REFRESHES], &key, GetCurrentTimestamp());

	if (entry != NULL && entry->refresh.generation == refresh->generation)
		SaasKeyedRemove(&tables[REFRESHES], &key);
	LWLockRelease(lock);
}

void
SaasLimitsGetStatus(SaasKeyedStatus status[SAAS_LIMIT_TABLES])
{
	for (int i = 0; i < SAAS_LIMIT_TABLES; i++)
		SaasKeyedGetStatus(&tables[i], &status[i]);
}
