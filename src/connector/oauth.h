/*
 * oauth.h
 *	  OAuth 2.0 client credentials (RFC 6749, section 4.4): a connection's own
 *	  access token, bought with its client's id and secret.
 *
 * The token is a sealed secret like any other and serves until it is about to
 * expire or is refused.
 */
#ifndef SAAS_CONNECTOR_OAUTH_H
#define SAAS_CONNECTOR_OAUTH_H

#include "connector/connector.h"

#define SAAS_OAUTH_TOKEN	"access_token"	/* the secret that holds it */

typedef struct SaasOauthClient
{
	const char *token_url;
	const char *scope;			/* NULL when none is asked for */
	const char *audience;		/* as some servers want it; NULL when none */
	bool		in_body;		/* id and secret in the form, not as HTTP Basic */
} SaasOauthClient;

/* The stored token, NULL when there is none or it is about to expire. */
extern const char *SaasOauthToken(const SaasPoll *poll);

/*
 * Makes poll->request the token endpoint's, with the secrets client_id and
 * client_secret.  SAAS_STEP_DONE with the verdict when it cannot be made.
 */
extern SaasStep SaasOauthRequest(SaasPoll *poll, const SaasOauthClient *client);

/*
 * The token out of the endpoint's answer, to be stored before it is used
 * (SAAS_STEP_STORE), with its expiry; NULL with the verdict set.
 */
extern const char *SaasOauthReadToken(SaasPoll *poll, const SaasResponse *response);

#endif							/* SAAS_CONNECTOR_OAUTH_H */
