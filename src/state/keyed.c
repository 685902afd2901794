/*
 * keyed.c
 *	  Bounded hash tables in shared memory whose entries expire.
 */
#include "postgres.h"

#include "state/keyed.h"
#include "storage/shmem.h"

/* Among how many entries the one of the least worth is sought: Redis's approximation. */
#define EVICTION_SAMPLE	16

#define NOBODY			(-1)

typedef struct Partition
{
	int32		first_free;
	int32		used;
	int32		hand;			/* where the next search for room begins */
	int64		lost;
	TimestampTz full_until;		/* nothing expires before: no need to search */
	int32		buckets[FLEXIBLE_ARRAY_MEMBER]; /* per_partition of them, then the entries */
} Partition;

static int
share_of(int entries)
{
	return (entries + SAAS_KEYED_PARTITIONS - 1) / SAAS_KEYED_PARTITIONS;
}

static Size
header_size(int per_partition)
{
	return MAXALIGN(add_size(offsetof(Partition, buckets), mul_size(per_partition, sizeof(int32))));
}

static Size
partition_size(Size entry_size, int per_partition)
{
	Size		size = add_size(header_size(per_partition), mul_size(per_partition, entry_size));

	return TYPEALIGN(PG_CACHE_LINE_SIZE, size);
}

Size
SaasKeyedSize(const SaasKeyedTable *table, int entries)
{
	return mul_size(SAAS_KEYED_PARTITIONS, partition_size(table->entry_size, share_of(entries)));
}

static Partition *
partition_at(const SaasKeyedTable *table, int number)
{
	return (Partition *) (table->memory + number * partition_size(table->entry_size, table->per_partition));
}

static int
partition_number(const SaasKey *key)
{
	return (int) (key->word[0] % SAAS_KEYED_PARTITIONS);
}

static SaasKeyedEntry *
entry_at(const SaasKeyedTable *table, Partition *partition, int number)
{
	return (SaasKeyedEntry *) ((char *) partition + header_size(table->per_partition) +
							   number * table->entry_size);
}

static int32 *
bucket_of(const SaasKeyedTable *table, Partition *partition, const SaasKey *key)
{
	return &partition->buckets[key->word[1] % table->per_partition];
}

void
SaasKeyedCreate(SaasKeyedTable *table, int entries, char *memory, LWLockPadded *locks)
{
	table->per_partition = share_of(entries);
	table->memory = memory;
	table->locks = locks;
	memset(memory, 0, SaasKeyedSize(table, entries));
	for (int i = 0; i < SAAS_KEYED_PARTITIONS; i++)
	{
		Partition  *partition = partition_at(table, i);

		for (int n = 0; n < table->per_partition; n++)
		{
			partition->buckets[n] = NOBODY;
			entry_at(table, partition, n)->next = n + 1 < table->per_partition ? n + 1 : NOBODY;
		}
	}
}

LWLock *
SaasKeyedLock(const SaasKeyedTable *table, const SaasKey *key, LWLockMode mode)
{
	LWLock	   *lock = &table->locks[partition_number(key)].lock;

	LWLockAcquire(lock, mode);
	return lock;
}

static bool
is_key_of(const SaasKeyedEntry *entry, const SaasKey *key)
{
	return entry->key.word[0] == key->word[0] && entry->key.word[1] == key->word[1];
}

/* The link that leads to the key's entry, or to the end of its bucket. */
static int32 *
link_to(const SaasKeyedTable *table, Partition *partition, const SaasKey *key)
{
	int32	   *link = bucket_of(table, partition, key);

	while (*link != NOBODY)
	{
		SaasKeyedEntry *entry = entry_at(table, partition, *link);

		if (is_key_of(entry, key))
			break;
		link = &entry->next;
	}
	return link;
}

void *
SaasKeyedFind(const SaasKeyedTable *table, const SaasKey *key, TimestampTz now)
{
	Partition  *partition = partition_at(table, partition_number(key));
	int32		number = *link_to(table, partition, key);
	SaasKeyedEntry *entry = number == NOBODY ? NULL : entry_at(table, partition, number);

	return entry && entry->expires_at > now ? entry : NULL;
}

static void
free_entry(const SaasKeyedTable *table, Partition *partition, const SaasKey *key)
{
	int32	   *link = link_to(table, partition, key);
	int32		number = *link;
	SaasKeyedEntry *entry;

	if (number == NOBODY)
		return;
	entry = entry_at(table, partition, number);
	*link = entry->next;
	entry->next = partition->first_free;
	partition->first_free = number;
	partition->used--;
}

void
SaasKeyedRemove(const SaasKeyedTable *table, const SaasKey *key)
{
	free_entry(table, partition_at(table, partition_number(key)), key);
}

/*
 * Frees an expired entry of a full partition, or the one of the least worth
 * among the next few; false when neither may go.
 */
static bool
make_room(const SaasKeyedTable *table, Partition *partition, TimestampTz now)
{
	int			steps = table->evicts ? Min(EVICTION_SAMPLE, table->per_partition) : table->per_partition;
	SaasKeyedEntry *victim = NULL;
	TimestampTz first_expiry = DT_NOEND;

	partition->lost++;
	if (now < partition->full_until)
		return false;
	for (int i = 0; i < steps; i++)
	{
		SaasKeyedEntry *entry = entry_at(table, partition, partition->hand);

		partition->hand = (partition->hand + 1) % table->per_partition;
		if (entry->expires_at <= now)
		{
			partition->lost--;
			victim = entry;
			break;
		}
		first_expiry = Min(first_expiry, entry->expires_at);
		if (table->evicts && (victim == NULL || entry->worth < victim->worth))
			victim = entry;
	}
	if (victim)
		free_entry(table, partition, &victim->key);
	else
		partition->full_until = first_expiry;
	return victim != NULL;
}

static SaasKeyedEntry *
add(const SaasKeyedTable *table, Partition *partition, const SaasKey *key, TimestampTz now)
{
	int32	   *bucket = bucket_of(table, partition, key);
	SaasKeyedEntry *entry;
	int32		number;

	if (partition->first_free == NOBODY && !make_room(table, partition, now))
		return NULL;
	number = partition->first_free;
	entry = entry_at(table, partition, number);
	partition->first_free = entry->next;
	partition->used++;
	/* The new entry may expire before all that were here at the last search. */
	partition->full_until = 0;
	entry->key = *key;
	entry->next = *bucket;
	*bucket = number;
	return entry;
}

void *
SaasKeyedFindOrAdd(const SaasKeyedTable *table, const SaasKey *key, TimestampTz now, bool *found)
{
	Partition  *partition = partition_at(table, partition_number(key));
	int32		number = *link_to(table, partition, key);
	SaasKeyedEntry *entry = number == NOBODY ? NULL : entry_at(table, partition, number);

	*found = entry && entry->expires_at > now;
	if (*found)
		return entry;
	if (entry == NULL)
		entry = add(table, partition, key, now);
	if (entry)
		memset((char *) entry + sizeof(SaasKeyedEntry), 0, table->entry_size - sizeof(SaasKeyedEntry));
	return entry;
}

void
SaasKeyedVisit(const SaasKeyedTable *table, TimestampTz now,
			   bool (*visit) (const void *entry, void *arg), void *arg)
{
	bool		go_on = true;

	for (int i = 0; i < SAAS_KEYED_PARTITIONS && go_on; i++)
	{
		Partition  *partition = partition_at(table, i);

		LWLockAcquire(&table->locks[i].lock, LW_SHARED);
		for (int n = 0; n < table->per_partition && partition->used > 0 && go_on; n++)
		{
			int32		number = partition->buckets[n];

			while (number != NOBODY && go_on)
			{
				SaasKeyedEntry *entry = entry_at(table, partition, number);

				if (entry->expires_at > now)
					go_on = visit(entry, arg);
				number = entry->next;
			}
		}
		LWLockRelease(&table->locks[i].lock);
	}
}

void
SaasKeyedGetStatus(const SaasKeyedTable *table, SaasKeyedStatus *status)
{
	status->name = table->name;
	status->capacity = (int64) table->per_partition * SAAS_KEYED_PARTITIONS;
	status->used = status->lost = 0;
	for (int i = 0; i < SAAS_KEYED_PARTITIONS; i++)
	{
		Partition  *partition = partition_at(table, i);

		LWLockAcquire(&table->locks[i].lock, LW_SHARED);
		status->used += partition->used;
		status->lost += partition->lost;
		LWLockRelease(&table->locks[i].lock);
	}
}
