/*
 * token_claims.h
 *	  The claims of an access token.
 */
#ifndef SAAS_TOKEN_CLAIMS_H
#define SAAS_TOKEN_CLAIMS_H

#include "postgres.h"

#include "utils/uuid.h"

/*
 * The payload for a user's session, in an organization or none (NULL), good for
 * that many seconds, as JSON from the rows as they are now.
 */
extern char *SaasTokenClaims(const pg_uuid_t *user_id, const pg_uuid_t *session_id,
							 const pg_uuid_t *org_id, int lifetime);

#endif							/* SAAS_TOKEN_CLAIMS_H */
