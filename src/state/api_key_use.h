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

/*
 * SHA-256 of the key that was presented for the identity, which has it as one of
 * two that are good after a rotation.  NULL where the identity comes from no key,
 * or in a parallel worker.
 */
extern const uint8_t *SaasApiKeyPresented(const SaasIdentity *identity);

/* A request as a gateway has received it; texts in UTF-8 without control characters. */
typedef struct SaasSignedRequest
{
	const char *method;
	const char *path;
	const char *query;			/* without "?", "" when there is none */
	const bytea *body;			/* NULL when there is none */
	const text *api_key;
	const char *timestamp;
	const char *nonce;
	const char *signature;
} SaasSignedRequest;

/*
 * The identity of a request's key once its signature holds, its time is close
 * and its nonce is new.  PT401 otherwise; PT503 when no more nonces can be
 * remembered.
 */
extern void SaasApiKeyVerify(const SaasSignedRequest *request, SaasIdentity *identity);

/* The signing secret of a key, sealed for its organization. */
extern struct varlena *SaasApiKeySealSecret(const pg_uuid_t *org_id, const pg_uuid_t *api_key_id,
											const char *secret, Size length);

#endif							/* SAAS_API_KEY_USE_H */
