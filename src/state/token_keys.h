/*
 * token_keys.h
 *	  The keys that sign and verify access tokens, cached in the backend.
 */
#ifndef SAAS_TOKEN_KEYS_H
#define SAAS_TOKEN_KEYS_H

#include "postgres.h"

#include "base/arena.h"
#include "pure/jwt.h"

/*
 * The public keys; read from saas_private.jwt_key once per backend, and again
 * when reread is true.  NULL when there is no key yet.
 */
extern const SaasJwtKeySet *SaasTokenKeysGet(bool reread);

/* Another number once the keys were read again: what they verified counts no more. */
extern uint64 SaasTokenKeysGeneration(void);

/*
 * Signs a payload with the current key, making the first key when there is
 * none.  Errors: 55000 without a usable master key.
 */
extern char *SaasTokenKeysSign(const char *payload, SaasArena *arena);

#endif							/* SAAS_TOKEN_KEYS_H */
