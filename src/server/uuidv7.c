/*
 * uuidv7.c
 *	  Time-ordered UUIDs, and UUIDs as text.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "pure/crypto.h"
#include "server/uuidv7.h"
#include "utils/builtins.h"

#define POOL_BYTES		512
#define RANDOM_BYTES	8

/* One call to the CSPRNG serves many ids; a forked child starts afresh. */
static uint8_t pool[POOL_BYTES];
static int	pool_left = 0;
static int	pool_owner = 0;

static uint64 last_tick = 0;

static void
take_random(uint8_t *bytes)
{
	if (pool_left < RANDOM_BYTES || pool_owner != MyProcPid)
	{
		if (!SaasRandomBytes(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not get random bytes")));
		pool_left = POOL_BYTES;
		pool_owner = MyProcPid;
	}
	pool_left -= RANDOM_BYTES;
	memcpy(bytes, pool + pool_left, RANDOM_BYTES);
}

/* Milliseconds in the upper 48 bits, 1/4096 of one in the lower 12. */
static uint64
next_tick(void)
{
	struct timespec now;
	uint64		tick;

	clock_gettime(CLOCK_REALTIME, &now);
	tick = ((uint64) now.tv_sec * 1000 + (uint64) now.tv_nsec / 1000000) << 12;
	tick |= ((uint64) now.tv_nsec % 1000000) * 4096 / 1000000;
	if (tick <= last_tick)
		tick = last_tick + 1;
	last_tick = tick;
	return tick;
}

void
SaasUuidv7(pg_uuid_t *id)
{
	uint64		tick = next_tick();

	for (int i = 0; i < 6; i++)
		id->data[i] = (unsigned char) (tick >> (12 + 8 * (5 - i)));
	take_random(id->data + 8);
	id->data[6] = (unsigned char) (0x70 | ((tick >> 8) & 0x0f));
	id->data[7] = (unsigned char) (tick & 0xff);
	id->data[8] = (unsigned char) (0x80 | (id->data[8] & 0x3f));
}

char *
SaasUuidText(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}
