/*
 * audit.h
 *	  Appending to the audit.
 */
#ifndef SAAS_AUDIT_H
#define SAAS_AUDIT_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/uuid.h"

typedef struct SaasAuditEvent
{
	const pg_uuid_t *org_id;	/* SaasPlatformOrg: the platform */
	const char *action;
	const char *object_type;
	const char *object_id;		/* may be NULL, as may the rest */
	Jsonb	   *before;
	Jsonb	   *after;
} SaasAuditEvent;

/*
 * Appends the event with who does it, from where and in which request, secrets
 * masked.  23514 for an action or a type that is no such name.
 */
extern void SaasAuditAppend(const SaasAuditEvent *event);

#endif							/* SAAS_AUDIT_H */
