/*
 * keyed.h
 *	  Bounded hash tables in shared memory whose entries expire.
 *
 * A table is cut into partitions with a lock and a fixed share of the entries
 * each.  A key is a hash of 128 bits under a random key of this server start:
 * nobody can choose what collides or which partition fills up, and no subject
 * is kept in clear.  The partition's lock is held for a few instructions (one
 * walk over the partition at most), never across I/O, SPI or another lock.
 */
#ifndef SAAS_KEYED_H
#define SAAS_KEYED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/lwlock.h"

#define SAAS_KEYED_PARTITIONS	64

typedef struct SaasKey
{
	uint64		word[2];
} SaasKey;

/* Every table's entry begins with it. */
typedef struct SaasKeyedEntry
{
	SaasKey		key;
	TimestampTz expires_at;
	int64		worth;			/* for tables that evict: the least goes first */
	int32		next;			/* in the bucket or among the free, -1 at the end */
} SaasKeyedEntry;

/* A table as one process sees it. */
typedef struct SaasKeyedTable
{
	const char *name;
	Size		entry_size;
	bool		evicts;			/* when full: the entry of the least worth makes room */
	int			per_partition;
	LWLockPadded *locks;
	char	   *memory;
} SaasKeyedTable;

/* Bytes that a table of at least that many entries takes. */
extern Size SaasKeyedSize(const SaasKeyedTable *table, int entries);

/* Postmaster: lays an empty table into memory, with locks[SAAS_KEYED_PARTITIONS]. */
extern void SaasKeyedCreate(SaasKeyedTable *table, int entries, char *memory, LWLockPadded *locks);

/* Locks the key's partition; the caller releases the lock. */
extern LWLock *SaasKeyedLock(const SaasKeyedTable *table, const SaasKey *key, LWLockMode mode);

/* With the lock: the entry if it is there and has not expired, else NULL. */
extern void *SaasKeyedFind(const SaasKeyedTable *table, const SaasKey *key, TimestampTz now);

/*
 * With the exclusive lock: the entry, found or made (all zero behind the
 * SaasKeyedEntry, to be given its expires_at at once).  NULL when the
 * partition is full of entries that have not expired and the table does not
 * evict.
 */
extern void *SaasKeyedFindOrAdd(const SaasKeyedTable *table, const SaasKey *key, TimestampTz now,
								bool *found);

/* With the exclusive lock: forgets the key. */
extern void SaasKeyedRemove(const SaasKeyedTable *table, const SaasKey *key);

/*
 * Calls visit for the entries that have not expired, partition by partition
 * under a shared lock, until it returns false.
 */
extern void SaasKeyedVisit(const SaasKeyedTable *table, TimestampTz now,
						   bool (*visit) (const void *entry, void *arg), void *arg);

/* How full it is, and how many entries were evicted or refused for want of room. */
typedef struct SaasKeyedStatus
{
	const char *name;
	int64		capacity;
	int64		used;			/* expired ones that nobody has reused included */
	int64		lost;
} SaasKeyedStatus;

extern void SaasKeyedGetStatus(const SaasKeyedTable *table, SaasKeyedStatus *status);

#endif							/* SAAS_KEYED_H */
