/*
 * salesforce.h
 *	  What the three parts of the Salesforce connector share: config, tokens,
 *	  limits.
 */
#ifndef SAAS_CONNECTOR_SALESFORCE_H
#define SAAS_CONNECTOR_SALESFORCE_H

#include "connector/poll.h"

/* How a connection gets its access tokens, as config says. */
#define SAAS_SALESFORCE_REFRESH_TOKEN	"refresh_token"
#define SAAS_SALESFORCE_JWT_BEARER		"jwt_bearer"

typedef struct SaasSalesforceState
{
	const char *instance_url;
	const char *login_url;
	const char *api_version;
	const char *username;		/* with JWT bearer only, as audience */
	const char *audience;
	const char *access_token;
	const char *refresh_token;	/* NULL with JWT bearer */
	const char *other_instance; /* origin that a token answer named, not followed */
	bool		signs;			/* JWT bearer: an assertion instead of a refresh token */
	bool		asks_token;		/* the request under way is the token endpoint's */
	bool		refreshed;
} SaasSalesforceState;

extern bool SaasSalesforceValidate(SaasValidation *validation);

/* Where an organization of that host signs in when its owner does not say. */
extern const char *SaasSalesforceLoginUrl(const char *host);

/*
 * Whether a new access token can be asked for: once a poll, with what the
 * connection has.
 */
extern bool SaasSalesforceCanRefresh(const SaasPoll *poll);

/* Asks the token endpoint; its answer goes to read, whose token is then in state. */
extern SaasStep SaasSalesforceRequestToken(SaasPoll *poll);

/*
 * Reads the token endpoint's answer.  SAAS_STEP_STORE: the new tokens are in
 * poll->new_secrets and in state, and the caller goes on.
 */
extern SaasStep SaasSalesforceReadToken(SaasPoll *poll, const SaasResponse *response);

/* The only way back is the owner's. */
extern SaasStep SaasSalesforceFailReauth(SaasPoll *poll);

#endif							/* SAAS_CONNECTOR_SALESFORCE_H */
