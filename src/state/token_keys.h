/*
 * token_keys.h
 *	  The keys that sign and verify access tokens, cached in the backend.
 *
 * The cache is good for one generation of the keys, which shared memory
 * counts, and until the next time at which a key becomes active or retired.
 */
#ifndef SAAS_TOKEN_KEYS_H
#define SAAS_TOKEN_KEYS_H

#include "postgres.h"

#include "base/arena.h"
#include "datatype/timestamp.h"
#include "pure/jwt.h"

/*
 * The keys that verify now; NULL when there is none.  Good until the next
 * call.  reread asks for keys that replay may have brought since, and counts
 * on a standby only: elsewhere the cache is never behind.
 */
extern const SaasJwtKeySet *SaasTokenKeysGet(bool reread);

/* Another number once the keys were read again: what they verified counts no more. */
extern uint64 SaasTokenKeysGeneration(void);

/*
 * Signs a payload with the current key, making the first key when there is
 * none.  Errors: 55000 without a usable master key.
 */
extern char *SaasTokenKeysSign(const char *payload, SaasArena *arena);

/*
 * Makes a key of saas.jwt_algorithm that signs from that time on; its kid,
 * palloc'd.  Notes the change.
 */
extern char *SaasTokenKeysCreate(TimestampTz active_at);

/*
 * This transaction changes the keys, alone: at its end every session reads
 * them again, and PostgREST is told.
 */
extern void SaasTokenKeysChange(void);

#endif							/* SAAS_TOKEN_KEYS_H */
