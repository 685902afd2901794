/*
 * audit_chain.h
 *	  The chain that seals an organization's audit.
 *
 * Writers only insert events.  Sealing comes behind them and takes whatever is
 * committed and has no seal yet, in any order of commits; it alone locks the
 * row of saas_private.audit_sealing, then chains' heads.  Where it begins to
 * look, sealed_below, is the oldest transaction that was still running before
 * it looked the last time, so that a writer who commits late is not skipped.
 */
#ifndef SAAS_AUDIT_CHAIN_H
#define SAAS_AUDIT_CHAIN_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pure/audit_entry.h"
#include "utils/uuid.h"

/* Whether there is an event to seal.  Gives the transaction no id. */
extern bool SaasAuditSealIsDue(void);

/*
 * Seals up to limit events and returns how many it has found, also those of a
 * chain that turned out to be tampered with, which it passes by the next time.
 * It waits for another sealer, wait_ms at most if that is positive (55P03).  55000 without a usable master
 * key.
 */
extern int	SaasAuditSeal(int limit, int wait_ms);

/*
 * Erases the events of chains whose organization is gone, up to limit, after
 * they are sealed; their heads stay.  Returns how many.
 */
extern int	SaasAuditBury(int limit, int wait_ms);

/*
 * Erases the organization's oldest entries, up to and with that sequence, at
 * most limit, and moves the chain's start there.  Returns how many.  PT409 when
 * the chain's head was tampered with.
 */
extern int64 SaasAuditErase(const pg_uuid_t *org_id, int64 through, int limit);

typedef struct SaasAuditPoint
{
	int64		sequence;
	uint8_t		hash[SAAS_DIGEST_LENGTH];
	TimestampTz at;
	int			key_version;
	uint8_t		mac[SAAS_DIGEST_LENGTH];
} SaasAuditPoint;

typedef struct SaasAuditVerdict
{
	int64		first_sequence; /* the chain's, 0 when it is empty */
	int64		last_sequence;
	int64		checked;		/* entries that hold */
	int64		unsealed;
	int64		broken_sequence;	/* 0: none */
	bool		has_event;
	pg_uuid_t	event_id;
	const char *problem;		/* NULL when all holds */
} SaasAuditVerdict;

/*
 * The chain's head with a time, authenticated; false when nothing is sealed.
 * PT409 when the head was tampered with.
 */
extern bool SaasAuditGetPoint(const pg_uuid_t *org_id, SaasAuditPoint *point);

/*
 * Verifies the chain against its events, its head and, unless that is NULL, a
 * checkpoint: 22023 for one that was not made here.
 */
extern void SaasAuditVerify(const pg_uuid_t *org_id, const SaasAuditPoint *point,
							SaasAuditVerdict *verdict);

#endif							/* SAAS_AUDIT_CHAIN_H */
