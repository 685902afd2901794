/*
 * poll.h
 *	  What the connectors share while a poll runs: secrets, headers, verdicts.
 */
#ifndef SAAS_CONNECTOR_POLL_H
#define SAAS_CONNECTOR_POLL_H

#include <jansson.h>

#include "connector/connector.h"

#define SAAS_MESSAGE_REAUTH \
	"Access token expired. Please re-authenticate this connection."

/*
 * Ends the poll with that verdict and problem; always SAAS_STEP_DONE.  A
 * message that quotes a secret, because the upstream sent it back, is withheld.
 */
extern SaasStep SaasPollFail(SaasPoll *poll, SaasVerdict verdict, const char *sqlstate,
							 const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* Ends the poll because its arena is exhausted. */
extern SaasStep SaasPollFailMemory(SaasPoll *poll);

/*
 * Ends the poll with what an HTTP status other than success means: 408, 429
 * and 5xx are RETRY with Retry-After honoured, 401 is REAUTH, the rest ERROR.
 * who begins the message, as in "the endpoint"; code, which may be NULL, is
 * the upstream's own word for it.
 */
extern SaasStep SaasPollFailStatus(SaasPoll *poll, const SaasResponse *response,
								   const char *who, const char *code);

/* As RETRY for that response, with a message of its own. */
extern SaasStep SaasPollRetry(SaasPoll *poll, const SaasResponse *response,
							  const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* The stored config; NULL with the verdict set.  Freed with json_decref. */
extern json_t *SaasPollConfig(SaasPoll *poll);

/* The value of a secret, NULL when the connection has none of that name. */
extern const char *SaasPollSecret(const SaasPoll *poll, const char *name);

/* Whether text, which must be whole, quotes one of the connection's secrets. */
extern bool SaasPollHoldsSecret(const SaasPoll *poll, const char *text);

/*
 * The upstream's word for an error, fit to be shown: at most 64 letters,
 * digits, "_", "-" and ".", none of them a secret.  Else NULL.
 */
extern const char *SaasPollErrorCode(const SaasPoll *poll, const char *code);

/*
 * A fresh request; false when the arena is exhausted.  Strings are copied.
 */
extern bool SaasPollRequest(SaasPoll *poll, const char *method, const char *url,
							const char *accept);

/* Authorization headers (RFC 6750, RFC 7617); false when they do not fit into a header. */
extern bool SaasPollAddBearer(SaasPoll *poll, const char *token);
extern bool SaasPollAddBasic(SaasPoll *poll, const char *user, const char *password);

/* Ends the poll well with the samples it has. */
extern SaasStep SaasPollDone(SaasPoll *poll);

#endif							/* SAAS_CONNECTOR_POLL_H */
