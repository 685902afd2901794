/*
 * test_token_cache.c
 *	  pure/token_cache.c: what is remembered, and for how long.
 */
#include "pure/token_cache.h"

#include "tap.h"

static SaasTokenCache cache;

static const uint8_t *
digest_of(const char *token)
{
	static uint8_t digest[SAAS_DIGEST_LENGTH];

	if (!SaasSha256(token, strlen(token), digest))
		ok(false, "a digest is made");
	return digest;
}

static bool
knows(const char *token, uint64_t generation, int64_t now_s)
{
	return SaasTokenCacheFind(&cache, digest_of(token), generation, now_s) != NULL;
}

static void
add(const char *token, uint64_t generation, int64_t now_s, int64_t good_until_s, uint8_t user)
{
	SaasTokenSubject subject = {.has_org = true};

	memset(subject.user_id, user, sizeof(subject.user_id));
	SaasTokenCacheAdd(&cache, digest_of(token), generation, now_s, good_until_s, &subject);
}

static void
test_one(void)
{
	const SaasTokenSubject *subject;

	ok(!knows("a", 0, 1000), "an empty cache knows nothing");
	add("a", 3, 1000, 1900, 7);
	subject = SaasTokenCacheFind(&cache, digest_of("a"), 3, 1000);
	ok(subject != NULL && subject->has_org && subject->user_id[0] == 7 && subject->user_id[15] == 7,
	   "a token is remembered with its subject");
	ok(knows("a", 3, 1899), "until its time is over");
	ok(!knows("a", 3, 1900), "and no longer");
	ok(!knows("a", 3, 999), "not when the clock went back");
	ok(!knows("a", 2, 1000) && !knows("a", 4, 1000), "not with other keys");
	ok(!knows("b", 3, 1000), "nor does it stand for another one");
}

/* Two digests of one place; the second has taken it. */
static void
test_same_place(void)
{
	uint8_t		first[SAAS_DIGEST_LENGTH] = {5};
	uint8_t		second[SAAS_DIGEST_LENGTH] = {5};
	SaasTokenSubject subject = {.has_org = false};

	second[SAAS_DIGEST_LENGTH - 1] = 1;
	SaasTokenCacheAdd(&cache, first, 3, 1000, 1900, &subject);
	ok(SaasTokenCacheFind(&cache, second, 3, 1000) == NULL, "a digest counts to its last bit");
	SaasTokenCacheAdd(&cache, second, 3, 1000, 1900, &subject);
	ok(SaasTokenCacheFind(&cache, first, 3, 1000) == NULL &&
	   SaasTokenCacheFind(&cache, second, 3, 1000) != NULL, "and the newer one of a place stays");
}

static void
test_many(void)
{
	char		token[16];
	int			known = 0;

	for (int i = 0; i < 1000; i++)
	{
		snprintf(token, sizeof(token), "t%d", i);
		add(token, 3, 1000, 1900, 1);
	}
	for (int i = 0; i < 1000; i++)
	{
		snprintf(token, sizeof(token), "t%d", i);
		known += knows(token, 3, 1000) ? 1 : 0;
	}
	ok(known == SAAS_TOKEN_CACHE_ENTRIES, "of many tokens as many stay as there are places (%d)", known);
}

int
main(void)
{
	test_one();
	test_same_place();
	test_many();
	return tap_done();
}
