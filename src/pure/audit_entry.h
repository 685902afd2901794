/*
 * audit_entry.h
 *	  The bytes that seal an organization's audit, and their HMAC.
 *
 * Integers are big-endian.  An entry is
 *
 *	  "saas-audit-1" (12 bytes), organization (16), sequence (8),
 *	  sealed_at (8; microseconds since 2000-01-01 00:00 UTC),
 *	  hash of the entry before (32; zeros for the first one)
 *
 * followed by the event's columns in the order of the enumeration below, each
 * as its length (4) and that many bytes, NULL as the length ffffffff alone.  A
 * uuid has 16 bytes; a time 8, like sealed_at; a transaction id 8; everything
 * else is text in UTF-8: jsonb as PostgreSQL prints it, an address with the
 * length of its network ("192.0.2.1/32").
 *
 * The head of a chain is "saas-audit-head-1" (17), organization, sequence, hash,
 * start sequence (8), start hash (32), and a checkpoint "saas-audit-point-1"
 * (18), organization, sequence, hash, time (8).
 */
#ifndef SAAS_AUDIT_ENTRY_H
#define SAAS_AUDIT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/crypto.h"

#define SAAS_UUID_BYTES		16

typedef enum SaasAuditColumn
{
	SAAS_AUDIT_ID,
	SAAS_AUDIT_AT,
	SAAS_AUDIT_TX,
	SAAS_AUDIT_ACTOR_ID,
	SAAS_AUDIT_SOURCE,
	SAAS_AUDIT_API_KEY_ID,
	SAAS_AUDIT_SESSION_ID,
	SAAS_AUDIT_LOGIN,
	SAAS_AUDIT_TICKET_ID,
	SAAS_AUDIT_ACTION,
	SAAS_AUDIT_OBJECT_TYPE,
	SAAS_AUDIT_OBJECT_ID,
	SAAS_AUDIT_BEFORE,
	SAAS_AUDIT_AFTER,
	SAAS_AUDIT_IP,
	SAAS_AUDIT_REQUEST_ID,
	SAAS_AUDIT_COLUMNS
} SaasAuditColumn;

typedef struct SaasAuditField
{
	const void *bytes;			/* NULL for NULL */
	uint32_t	length;
} SaasAuditField;

typedef struct SaasAuditEntry
{
	uint8_t		org_id[SAAS_UUID_BYTES];
	int64_t		sequence;
	int64_t		sealed_at;
	uint8_t		previous[SAAS_DIGEST_LENGTH];
	SaasAuditField fields[SAAS_AUDIT_COLUMNS];
} SaasAuditEntry;

typedef struct SaasAuditHead
{
	uint8_t		org_id[SAAS_UUID_BYTES];
	int64_t		sequence;
	uint8_t		hash[SAAS_DIGEST_LENGTH];
	int64_t		start_sequence; /* of the last entry that was pruned, or 0 */
	uint8_t		start_hash[SAAS_DIGEST_LENGTH];
} SaasAuditHead;

/* How many bytes the entry has, and these bytes. */
extern size_t SaasAuditEntryLength(const SaasAuditEntry *entry);
extern void SaasAuditEntryWrite(const SaasAuditEntry *entry, uint8_t *out);

/* The HMAC-SHA-256 of a head or a checkpoint; false when OpenSSL fails. */
extern bool SaasAuditHeadMac(const uint8_t key[SAAS_KEY_LENGTH], const SaasAuditHead *head,
							 uint8_t mac[SAAS_DIGEST_LENGTH]);
extern bool SaasAuditPointMac(const uint8_t key[SAAS_KEY_LENGTH], const SaasAuditHead *head, int64_t at,
							  uint8_t mac[SAAS_DIGEST_LENGTH]);

#endif							/* SAAS_AUDIT_ENTRY_H */
