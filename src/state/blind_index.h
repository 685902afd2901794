/*
 * blind_index.h
 *	  Keyed hashes of values that are sealed, for equality search.
 */
#ifndef SAAS_BLIND_INDEX_H
#define SAAS_BLIND_INDEX_H

#include "postgres.h"

#include "utils/uuid.h"

#define SAAS_BLIND_INDEX_LENGTH	16

/*
 * The first 16 bytes of HMAC-SHA256 under the organization's key, which is
 * made when it has none: over the length of purpose (4 bytes, big-endian),
 * purpose and value.  Errors: the keyring's.
 */
extern void SaasBlindIndex(const pg_uuid_t *org_id, const char *purpose,
						   const char *value, Size length, uint8 index[SAAS_BLIND_INDEX_LENGTH]);

extern void SaasBlindIndexInit(void);

#endif							/* SAAS_BLIND_INDEX_H */
