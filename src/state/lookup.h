/*
 * lookup.h
 *	  The live rows behind an identity: user, session, membership, role,
 *	  organization, API key.
 */
#ifndef SAAS_LOOKUP_H
#define SAAS_LOOKUP_H

#include "postgres.h"

#include "pure/crypto.h"
#include "state/identity.h"

/*
 * Completes an identity whose user (and organization, session, where it has
 * them) is known but not checked: fills role, rank and permissions from the
 * tables as they are now.  PT401 for a user who is missing or inactive, an
 * ended session, one that is too old for the organization, or no membership
 * (PT404 where an operator named them); PT403 for an organization that is not
 * active (DETAIL: why), does not allow the client's address, or requires a
 * second factor that the session does not have.
 */
extern void SaasLookupIdentity(SaasIdentity *identity);

/*
 * The identity of the API key with that SHA-256: its creator, limited to the
 * permissions of the key that the creator's role holds now.  PT401 with one
 * message for a key that is unknown, expired, revoked, or whose creator is
 * inactive or no longer a member; PT403 for an organization that is not active
 * or does not allow the client's address.
 */
extern void SaasLookupApiKey(const uint8_t hash[SAAS_DIGEST_LENGTH], SaasIdentity *identity,
							 bool *requires_signature);

#endif							/* SAAS_LOOKUP_H */
