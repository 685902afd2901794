/*
 * mailer.h
 *	  Sending what is in the outbox: claim, render, hand in, record.
 *
 * A mail is claimed and recorded in short transactions and handed in outside
 * any.  At least once: when the process dies after the server took a mail and
 * before that is recorded, the mail is sent again once the lease has ended,
 * under the same Message-ID.
 */
#ifndef SAAS_MAILER_H
#define SAAS_MAILER_H

#include "postgres.h"

#include "worker/engine.h"

typedef struct SaasMailer SaasMailer;

/* A mailer in a child of context. */
extern SaasMailer *SaasMailerCreate(MemoryContext context, const SaasEngineHost *host);

/* A descriptor that is readable when SaasMailerStep has something to do. */
extern int	SaasMailerDescriptor(const SaasMailer *mailer);

/*
 * Starts what is due as far as there is room, when mail is configured.  Returns
 * how many milliseconds nothing more will be due, -1: until somebody says so.
 */
extern int64 SaasMailerClaim(SaasMailer *mailer);

/* Goes on with the mails under way; true when there is room again for what is due. */
extern bool SaasMailerStep(SaasMailer *mailer);

/* The most milliseconds that SaasMailerStep may be put off, -1: no bound. */
extern long SaasMailerTimeout(const SaasMailer *mailer);

#endif							/* SAAS_MAILER_H */
