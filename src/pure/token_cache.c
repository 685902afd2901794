/*
 * token_cache.c
 *	  Access tokens that were verified.
 */
#include "pure/token_cache.h"

#include <string.h>

/* The only place of a token: digests spread evenly. */
static size_t
place_of(const uint8_t digest[SAAS_DIGEST_LENGTH])
{
	return digest[0] % SAAS_TOKEN_CACHE_ENTRIES;
}

const SaasTokenSubject *
SaasTokenCacheFind(const SaasTokenCache *cache, const uint8_t digest[SAAS_DIGEST_LENGTH],
				   uint64_t generation, int64_t now_s)
{
	const SaasTokenCacheEntry *entry = &cache->entries[place_of(digest)];

	if (!entry->is_used || entry->generation != generation ||
		now_s < entry->verified_s || now_s >= entry->good_until_s ||
		!SaasEqualConstantTime(entry->digest, digest, SAAS_DIGEST_LENGTH))
		return NULL;
	return &entry->subject;
}

void
SaasTokenCacheAdd(SaasTokenCache *cache, const uint8_t digest[SAAS_DIGEST_LENGTH],
				  uint64_t generation, int64_t now_s, int64_t good_until_s,
				  const SaasTokenSubject *subject)
{
	SaasTokenCacheEntry *entry = &cache->entries[place_of(digest)];

	memcpy(entry->digest, digest, SAAS_DIGEST_LENGTH);
	entry->generation = generation;
	entry->verified_s = now_s;
	entry->good_until_s = good_until_s;
	entry->subject = *subject;
	entry->is_used = true;
}
