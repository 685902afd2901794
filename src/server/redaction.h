/*
 * redaction.h
 *	  Keeping malformed input out of the server log.
 *
 * PostgreSQL quotes the document that it cannot read in DETAIL and CONTEXT.
 * Sent with bind parameters, secrets are in no statement; but a request whose
 * JSON lacks a brace would put them into the log this way.  In statements that
 * name pg_saas's schemas, errors about JSON lose what they quote.
 */
#ifndef SAAS_REDACTION_H
#define SAAS_REDACTION_H

/* Call while preloading. */
extern void SaasRedactionInit(void);

#endif							/* SAAS_REDACTION_H */
