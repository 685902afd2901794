/*
 * test_token_bucket.c
 *	  pure/token_bucket.c: how often something may be done.
 */
#include "pure/token_bucket.h"

#include "tap.h"

static SaasTokenBuckets table;

#define EAST	"aws 111111111111 us-east-1"
#define WEST	"aws 111111111111 eu-west-1"

static int64_t
take(const char *key, double rate, double burst, int64_t now_ms)
{
	return SaasTokenBucketTake(&table, key, rate, burst, now_ms);
}

/* How many tokens there are at once. */
static int
drain(const char *key, double rate, double burst, int64_t now_ms)
{
	int			taken = 0;

	while (taken < 1000 && take(key, rate, burst, now_ms) == 0)
		taken++;
	return taken;
}

static void
test_burst_and_rate(void)
{
	int			taken = 0;

	memset(&table, 0, sizeof(table));
	ok(drain(EAST, 2, 5, 1000) == 5, "a bucket begins full");
	ok(take(EAST, 2, 5, 1000) == 500, "and tells when the next token will be there");
	ok(take(EAST, 2, 5, 1000) == 500, "which asking does not put off");
	ok(take(EAST, 2, 5, 1499) == 1, "to the millisecond");
	ok(take(EAST, 2, 5, 1500) == 0, "when it is");
	ok(take(EAST, 2, 5, 1500) == 500, "one at a time");
	ok(drain(EAST, 2, 5, 100000) == 5, "a long pause fills it to the burst and no further");
	/* Who waits as told never asks in vain, and gets the rate. */
	for (int64_t now_ms = 200000; now_ms < 210000;)
	{
		int64_t		wait = take(EAST, 2, 5, now_ms);

		taken += wait == 0;
		now_ms += wait;
	}
	ok(taken == 5 + 19, "over ten seconds the burst and the rate are given, not more");
	ok(drain(EAST, 3, 1, 300000) == 1 && take(EAST, 3, 1, 300000) == 334, "thirds of a second are waited for in full");
}

static void
test_keys(void)
{
	memset(&table, 0, sizeof(table));
	ok(drain(EAST, 1, 3, 0) == 3, "one key's tokens");
	ok(drain(WEST, 1, 3, 0) == 3, "are not another's");
	ok(drain(EAST, 10, 10, 0) == 0, "a greater burst adds nothing at once");
	ok(take(EAST, 10, 10, 0) == 100, "a greater rate counts from now on");
	ok(drain(EAST, 10, 10, 1000) == 10, "and so does the burst");
	ok(drain(WEST, 1, 2, 100000) == 2, "a smaller burst takes away what is above it");
}

static void
test_clock(void)
{
	memset(&table, 0, sizeof(table));
	ok(drain(EAST, 1, 2, 10000) == 2, "taken at ten seconds");
	ok(take(EAST, 1, 2, 4000) == 7000, "a clock that goes back adds nothing");
	ok(take(EAST, 1, 2, 11000) == 0, "and takes nothing away");
	ok(take(EAST, 1e-9, 1, 11000) == 86400000, "no wait is longer than a day");
}

static void
test_pause(void)
{
	memset(&table, 0, sizeof(table));
	ok(drain(EAST, 4, 8, 0) == 8, "before a pause");
	SaasTokenBucketPause(&table, EAST, 4, 8, 0, 30000);
	ok(take(EAST, 4, 8, 0) == 30000, "a pause lasts as long as told");
	ok(take(EAST, 4, 8, 29999) == 1, "to the millisecond");
	ok(drain(EAST, 4, 8, 30000) == 1, "and ends with one token, not with the burst");
	SaasTokenBucketPause(&table, WEST, 4, 8, 0, 1000);
	ok(take(WEST, 4, 8, 0) == 1000, "a key that was never used can be paused");
	SaasTokenBucketPause(&table, WEST, 4, 8, 2000, 1500);
	ok(drain(WEST, 4, 8, 2000) == 1, "a pause that is over leaves one token");
	SaasTokenBucketPause(&table, WEST, 4, 8, 2000, 9000);
	SaasTokenBucketPause(&table, WEST, 4, 8, 3000, 4000);
	ok(take(WEST, 4, 8, 4000) == 5000, "a shorter pause does not end a longer one");
}

/* More keys than there are places: who has taken most is forgotten last. */
static void
test_eviction(void)
{
	char		key[32];
	int			forgotten = 0;

	memset(&table, 0, sizeof(table));
	(void) drain(EAST, 0.001, 100, 0);
	for (int i = 0; i < 20000; i++)
	{
		snprintf(key, sizeof(key), "key %d", i);
		forgotten += take(key, 0.001, 100, i) != 0;
	}
	ok(forgotten == 0, "a new key begins full when there is no room for it either");
	ok(take(EAST, 0.001, 100, 20000) > 0, "an empty bucket is kept over those that lack little");
}

int
main(void)
{
	test_burst_and_rate();
	test_keys();
	test_clock();
	test_pause();
	test_eviction();
	return tap_done();
}
