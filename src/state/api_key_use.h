/*
 * api_key_use.h
 *	  What a request with an API key acts as.
 */
#ifndef SAAS_API_KEY_USE_H
#define SAAS_API_KEY_USE_H

#include "postgres.h"

#include "state/identity.h"

/*
 * The identity of a key.  PT401 for a text that is no key, a key that is not
 * good any more, or one that works with signed requests only; PT403 for an
 * organization that is not active.
 */
extern void SaasApiKeyIdentify(const text *key, SaasIdentity *identity);

#endif							/* SAAS_API_KEY_USE_H */
