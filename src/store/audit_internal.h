/*
 * audit_internal.h
 *	  What sealing, verifying and erasing share.  SPI is connected as
 *	  saas_service for all of it.
 */
#ifndef SAAS_AUDIT_INTERNAL_H
#define SAAS_AUDIT_INTERNAL_H

#include "postgres.h"

#include "executor/spi.h"
#include "pure/audit_entry.h"
#include "server/run_as.h"
#include "utils/uuid.h"

/* Of a saas.audit_event e, in the order of SaasAuditColumn. */
#define SAAS_AUDIT_EVENT_COLUMNS \
	"e.id, e.at, e.tx, e.actor_id, e.source, e.api_key_id, e.session_id, e.login, e.ticket_id, e.action," \
	" e.object_type, e.object_id, e.before::text, e.after::text, e.ip::text, e.request_id"

/*
 * Whether an event e has no seal.  Not as a join: without statistics that would
 * read the whole chain for each batch.
 */
#define SAAS_AUDIT_IS_UNSEALED \
	"(select true from saas_private.audit_seal s where s.org_id = e.org_id and s.event_id = e.id) is null"

typedef struct SaasAuditKey
{
	int			version;
	uint8_t		key[SAAS_KEY_LENGTH];
} SaasAuditKey;

/*
 * The key of that version; 0: the newest, which is made where there is none and
 * may_create says so.  False when there is none.  The caller wipes it.  55000
 * without a usable master key.
 */
extern bool SaasAuditGetKey(int version, bool may_create, SaasAuditKey *key);

typedef struct SaasAuditChain
{
	SaasAuditHead head;
	int			key_version;
	uint8_t		mac[SAAS_DIGEST_LENGTH];
	bool		is_broken;
} SaasAuditChain;

/* False when the organization has no chain: then chain is an empty one. */
extern bool SaasAuditGetChain(const pg_uuid_t *org_id, SaasAuditChain *chain);

/* The same by the active snapshot. */
extern bool SaasAuditSeeChain(const pg_uuid_t *org_id, SaasAuditChain *chain);

/* Whether start and head are what was stored. */
extern bool SaasAuditChainHolds(const SaasAuditChain *chain, const SaasAuditKey *key);

/* Reads the chain; whether it holds and ends where its seals end. */
extern bool SaasAuditChainIsWhole(const pg_uuid_t *org_id, SaasAuditChain *chain,
								  const SaasAuditKey *key);

/* Stores start and head under the key. */
extern void SaasAuditPutChain(SaasAuditChain *chain, const SaasAuditKey *key);

/* Keeps sealing from the chain until somebody has looked at it. */
extern void SaasAuditMarkBroken(const pg_uuid_t *org_id);

/* Connects SPI as saas_service, with plans for looking at few rows; SaasRunAsEnd() ends it. */
extern void SaasAuditBegin(SaasRunAs *state);

/* The same, and takes saas_private.audit_sealing's row, waiting at most wait_ms if that is positive. */
extern void SaasAuditLock(SaasRunAs *state, int wait_ms);

/* The event's columns from a row, beginning with that column. */
extern void SaasAuditReadFields(SPITupleTable *table, uint64 row, int first_column,
								SaasAuditField fields[SAAS_AUDIT_COLUMNS]);

/* The entry's hash. */
extern void SaasAuditHash(const SaasAuditKey *key, const SaasAuditEntry *entry,
						  uint8_t hash[SAAS_DIGEST_LENGTH]);

/* A bytea of the last result; false when it is no digest. */
extern bool SaasAuditReadDigest(uint64 row, int column, uint8_t digest[SAAS_DIGEST_LENGTH]);

extern Datum SaasAuditDigestDatum(const uint8_t digest[SAAS_DIGEST_LENGTH]);

#endif							/* SAAS_AUDIT_INTERNAL_H */
