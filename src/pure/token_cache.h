/*
 * token_cache.h
 *	  Access tokens that were verified, so that one that comes again costs a
 *	  hash instead of a signature.
 *
 * Only what a signature proves is remembered: whom the token names and until
 * when.  The rows behind it are the caller's to read each time.
 */
#ifndef SAAS_TOKEN_CACHE_H
#define SAAS_TOKEN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "pure/crypto.h"

/* A pooled backend serves few people at a time. */
#define SAAS_TOKEN_CACHE_ENTRIES	64
#define SAAS_TOKEN_ID_LENGTH		16

/* Whom a token names. */
typedef struct SaasTokenSubject
{
	bool		has_org;
	uint8_t		user_id[SAAS_TOKEN_ID_LENGTH];
	uint8_t		org_id[SAAS_TOKEN_ID_LENGTH];
	uint8_t		session_id[SAAS_TOKEN_ID_LENGTH];
} SaasTokenSubject;

typedef struct SaasTokenCacheEntry
{
	bool		is_used;
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	uint64_t	generation;
	int64_t		verified_s;
	int64_t		good_until_s;
	SaasTokenSubject subject;
} SaasTokenCacheEntry;

/* All zeros is an empty one. */
typedef struct SaasTokenCache
{
	SaasTokenCacheEntry entries[SAAS_TOKEN_CACHE_ENTRIES];
} SaasTokenCache;

/*
 * The subject of the token with that digest; NULL when it is not remembered,
 * its time is over, the clock went back behind its verification, or it was
 * added with another generation of keys.
 */
extern const SaasTokenSubject *SaasTokenCacheFind(const SaasTokenCache *cache,
												  const uint8_t digest[SAAS_DIGEST_LENGTH],
												  uint64_t generation, int64_t now_s);

/* Remembers a token until that time, in place of another one. */
extern void SaasTokenCacheAdd(SaasTokenCache *cache, const uint8_t digest[SAAS_DIGEST_LENGTH],
							  uint64_t generation, int64_t now_s, int64_t good_until_s,
							  const SaasTokenSubject *subject);

#endif							/* SAAS_TOKEN_CACHE_H */
