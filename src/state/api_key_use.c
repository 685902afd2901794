/*
 * api_key_use.c
 *	  What a request with an API key acts as.
 */
#include "postgres.h"

#include "pure/api_key.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "state/api_key_use.h"
#include "state/lookup.h"

/* Looks the key up.  A mistyped one costs no look-up. */
static void
find(const text *key, SaasIdentity *identity, bool *requires_signature)
{
	uint8_t		hash[SAAS_DIGEST_LENGTH];

	if (!SaasApiKeyIsWellFormed(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)))
		SaasRaise("PT401", "Invalid or expired API key", "malformed", "A character is missing or mistyped.");
	if (!SaasSha256(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), hash))
		elog(ERROR, "could not hash an API key");
	SaasLookupApiKey(hash, identity, requires_signature);
}

void
SaasApiKeyIdentify(const text *key, SaasIdentity *identity)
{
	bool		requires_signature;

	find(key, identity, &requires_signature);
	if (requires_signature)
		SaasRaise("PT401", "This API key works with signed requests only", NULL,
				  "Sign the request with the key's signing secret.");
}
