/*
 * token_bucket.c
 *	  How often something may be done.
 */
#include "pure/token_bucket.h"

#include <math.h>
#include <string.h>

#include "pure/siphash.h"

/* No wait is longer: a rate so low is a mistake, and the number stays one. */
#define LONGEST_WAIT_MS		86400000.0

/* What adding up fractions may lose of a token. */
#define ROUNDING			1e-9

static double
level_at(const SaasTokenBucket *bucket, int64_t now_ms)
{
	double		added = now_ms > bucket->filled_ms ?
		(double) (now_ms - bucket->filled_ms) * bucket->rate / 1000.0 : 0;

	return fmin(bucket->burst, bucket->tokens + added);
}

static bool
is_free(const SaasTokenBucket *bucket)
{
	return bucket->key[0] == 0 && bucket->key[1] == 0;
}

/* What a bucket would lose if it were forgotten: tokens that it lacks. */
static double
missing(const SaasTokenBucket *bucket, int64_t now_ms)
{
	return is_free(bucket) ? -1 : bucket->burst - level_at(bucket, now_ms);
}

static SaasTokenBucket *
find(SaasTokenBuckets *table, const char *key, double burst, int64_t now_ms)
{
	uint64_t	hash[2];
	SaasTokenBucket *row;
	SaasTokenBucket *victim;

	SaasSipHash128(table->secret, key, strlen(key), hash);
	/* All zeros would be a free one. */
	hash[1] |= 1;
	row = table->buckets[hash[0] & (SAAS_TOKEN_BUCKET_ROWS - 1)];
	victim = row;
	for (int i = 0; i < SAAS_TOKEN_BUCKET_WAYS; i++)
	{
		if (row[i].key[0] == hash[0] && row[i].key[1] == hash[1])
			return &row[i];
		if (missing(&row[i], now_ms) < missing(victim, now_ms))
			victim = &row[i];
	}
	victim->key[0] = hash[0];
	victim->key[1] = hash[1];
	victim->tokens = victim->burst = burst;
	victim->filled_ms = now_ms;
	return victim;
}

/* The bucket filled up to now, with the rate and the burst that count from now on. */
static SaasTokenBucket *
fill(SaasTokenBuckets *table, const char *key, double rate, double burst, int64_t now_ms)
{
	SaasTokenBucket *bucket = find(table, key, burst, now_ms);
	double		level = level_at(bucket, now_ms);

	if (now_ms > bucket->filled_ms)
		bucket->filled_ms = now_ms;
	bucket->rate = rate;
	bucket->burst = burst;
	bucket->tokens = fmin(level, burst);
	return bucket;
}

int64_t
SaasTokenBucketTake(SaasTokenBuckets *table, const char *key, double rate, double burst, int64_t now_ms)
{
	SaasTokenBucket *bucket = fill(table, key, rate, burst, now_ms);
	double		wait;

	/* What a clock that went back owes, and a pause, lie in filled_ms. */
	if (bucket->tokens >= 1 - ROUNDING)
	{
		bucket->tokens -= 1;
		return 0;
	}
	wait = ceil((1 - ROUNDING - bucket->tokens) * 1000.0 / rate) + (double) (bucket->filled_ms - now_ms);
	return (int64_t) fmin(fmax(wait, 1), LONGEST_WAIT_MS);
}

void
SaasTokenBucketPause(SaasTokenBuckets *table, const char *key, double rate, double burst, int64_t now_ms,
					 int64_t until_ms)
{
	SaasTokenBucket *bucket = fill(table, key, rate, burst, now_ms);

	/* One token is there when the pause ends; a longer one is not cut short. */
	bucket->tokens = fmin(bucket->tokens,
						  1 - rate * (double) (until_ms > now_ms ? until_ms - now_ms : 0) / 1000.0);
}
