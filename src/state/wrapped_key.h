/*
 * wrapped_key.h
 *	  A data key as its row holds it: wrapped by a master key.
 */
#ifndef SAAS_WRAPPED_KEY_H
#define SAAS_WRAPPED_KEY_H

#include "postgres.h"

#include "pure/master_key.h"
#include "utils/uuid.h"

#define SAAS_WRAPPED_LENGTH	(SAAS_NONCE_LENGTH + SAAS_KEY_LENGTH + SAAS_TAG_LENGTH)

typedef struct SaasWrappedKey
{
	pg_uuid_t	org_id;
	int			version;
	int			master_version;
	char		master_fingerprint[SAAS_FINGERPRINT_SIZE];
	uint8_t		bytes[SAAS_WRAPPED_LENGTH];
} SaasWrappedKey;

/* Wraps with the newest of the keys; org_id and version are given. */
extern void SaasWrap(const SaasMasterKeys *masters, const uint8_t key[SAAS_KEY_LENGTH],
					 SaasWrappedKey *wrapped);

/* False when the master key is missing or another one. */
extern bool SaasUnwrap(const SaasMasterKeys *masters, const SaasWrappedKey *wrapped,
					   uint8_t key[SAAS_KEY_LENGTH]);

/* 55000 with the fingerprint that is needed and the one that is there. */
extern void SaasRaiseNotUnwrapped(const SaasMasterKeys *masters, const SaasWrappedKey *wrapped)
			__attribute__((noreturn));

/* wrapped_key as the table takes it, palloc'd; and back. */
extern bytea *SaasWrappedBytes(const SaasWrappedKey *wrapped);
extern void SaasWrappedSetBytes(SaasWrappedKey *wrapped, const bytea *bytes);

#endif							/* SAAS_WRAPPED_KEY_H */
