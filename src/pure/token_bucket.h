/*
 * token_bucket.h
 *	  How often something may be done: a bucket of tokens by key, filled at a
 *	  rate up to a burst, as an upstream meters an account or a region.
 *
 * A table has a fixed size and no pointers, so that it can live in a process
 * or, under its owner's lock, in shared memory.  When a place is needed, the
 * bucket nearest to full goes: forgetting it gives the least away.
 */
#ifndef SAAS_TOKEN_BUCKET_H
#define SAAS_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define SAAS_TOKEN_BUCKET_ROWS	128 /* a power of two */
#define SAAS_TOKEN_BUCKET_WAYS	8

/* tokens were there at filled_ms. */
typedef struct SaasTokenBucket
{
	uint64_t	key[2];			/* its hash; all zeros: free */
	int64_t		filled_ms;
	double		tokens;
	double		rate;			/* tokens a second */
	double		burst;			/* the most it holds */
} SaasTokenBucket;

/* All zeros is an empty one. */
typedef struct SaasTokenBuckets
{
	uint64_t	secret[2];		/* who does not know it cannot choose what collides */
	SaasTokenBucket buckets[SAAS_TOKEN_BUCKET_ROWS][SAAS_TOKEN_BUCKET_WAYS];
} SaasTokenBuckets;

/*
 * Takes a token of the key's bucket, which begins full: 0.  When there is none,
 * takes nothing and returns in how many milliseconds, at least 1, there will
 * be one; whoever waits asks again then.  key is any text that names what is
 * metered, as in "aws 123456789012 eu-west-1".  rate and burst count from this
 * call on: a rate above 0, a burst of at least 1.  A clock that goes back adds
 * nothing.
 */
extern int64_t SaasTokenBucketTake(SaasTokenBuckets *table, const char *key, double rate, double burst,
								   int64_t now_ms);

/*
 * Empties the key's bucket until that time, or until the end of an earlier and
 * longer pause, as when the upstream has said that it is throttled.
 */
extern void SaasTokenBucketPause(SaasTokenBuckets *table, const char *key, double rate, double burst,
								 int64_t now_ms, int64_t until_ms);

#endif							/* SAAS_TOKEN_BUCKET_H */
