/*
 * outbox.h
 *	  Taking mails to send, and writing down how that went.  Call inside a
 *	  transaction; runs as saas_service.
 */
#ifndef SAAS_OUTBOX_H
#define SAAS_OUTBOX_H

#include "postgres.h"

#include "base/arena.h"
#include "base/problem.h"
#include "datatype/timestamp.h"
#include "pure/mail.h"
#include "utils/uuid.h"

#define SAAS_OUTBOX_MAX_ATTEMPTS	8

/* A mail that was claimed; every text is UTF-8 and lives in the arena. */
typedef struct SaasOutboxMail
{
	struct SaasOutboxMail *next;
	MemoryContext context;		/* the mail's own; deleting it wipes and frees all */
	SaasArena  *arena;
	pg_uuid_t	id;
	int			attempts;		/* with this one */
	long long	created_s;		/* Unix time */
	const char *recipient;
	const char *parameters;		/* JSON */
	const char *organization;	/* its name; NULL for mail of the platform */
	SaasMailBranding branding;	/* the organization's */
	const char *subject;		/* templates; NULL when there is none of that name */
	const char *text;
	const char *html;
	const char *token;			/* NULL when none */
	const char *code;			/* that followed the token; NULL when none */
	const char *message;		/* the sender's; NULL until it is made */
	SaasProblem problem;		/* why it cannot be sent */
	bool		is_permanent;	/* ... however often it is tried */
	bool		is_sent;
} SaasOutboxMail;

/*
 * Claims at most limit mails that are due, oldest first, none of an
 * organization that is suspended or being deleted, each in a child of context;
 * nobody else takes them before the lease ends.  One that does not open, or
 * whose link has ended, comes with its problem set.
 */
extern SaasOutboxMail *SaasOutboxClaim(MemoryContext context, const pg_uuid_t *lease_id, int64 lease_ms,
									   int limit);

/*
 * Writes down that the mail was sent, whereupon its token is erased, or that
 * it is to be tried again, or never, as is_sent, is_permanent, attempts and
 * problem say.  Nothing when the lease is no longer ours.
 */
extern void SaasOutboxRecord(const SaasOutboxMail *mail, const pg_uuid_t *lease_id);

/* Milliseconds until a mail is due, 0 when one is, -1 when none waits that is not held. */
extern int64 SaasOutboxNextDue(void);

#endif							/* SAAS_OUTBOX_H */
