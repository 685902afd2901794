/*
 * salesforce_token.c
 *	  Access tokens of a Salesforce connection: the token endpoint, with a
 *	  refresh token (RFC 6749, section 6) or a signed assertion (RFC 7523).
 *
 * A rotated refresh token is good once and the only way back in, so new tokens
 * are handed out to be stored before anything is done with them.  An assertion
 * costs nothing to lose.
 */
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/strbuf.h"
#include "connector/salesforce.h"
#include "pure/address.h"
#include "pure/assertion.h"
#include "pure/json.h"

#define MAX_TOKEN_ANSWER		(64 * 1024)
#define MAX_TOKEN				8192
#define TOKEN_LIFE_MS			(2 * 60 * 60 * 1000)	/* the answer gives none */
#define MAX_CLOCK_SKEW_MS		(10 * 60 * 1000)

/*
 * Salesforce takes three minutes at most.  The time is the poll's start: the
 * requests before this one and a clock that is ahead have half a minute each.
 */
#define ASSERTION_LIFE_S		150

#define GRANT_JWT_BEARER		"urn:ietf:params:oauth:grant-type:jwt-bearer"

bool
SaasSalesforceCanRefresh(const SaasPoll *poll)
{
	const SaasSalesforceState *state = poll->state;

	if (state->refreshed || SaasPollSecret(poll, "client_id") == NULL)
		return false;
	return state->signs ? SaasPollSecret(poll, "private_key") != NULL : state->refresh_token != NULL;
}

static void
append_field(SaasStrbuf *form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	SaasStrbufPrintf(form, "&%s=", name);
	SaasStrbufAppendUrlEncoded(form, value);
}

/* The claims of the assertion; NULL when the arena is exhausted. */
static const char *
write_claims(SaasPoll *poll)
{
	const SaasSalesforceState *state = poll->state;
	const char *client_id = SaasPollSecret(poll, "client_id");
	SaasStrbuf	claims;

	SaasStrbufInit(&claims, poll->arena);
	SaasStrbufAppendText(&claims, "{\"iss\":");
	SaasStrbufAppendJson(&claims, client_id, strlen(client_id));
	SaasStrbufAppendText(&claims, ",\"sub\":");
	SaasStrbufAppendJson(&claims, state->username, strlen(state->username));
	SaasStrbufAppendText(&claims, ",\"aud\":");
	SaasStrbufAppendJson(&claims, state->audience, strlen(state->audience));
	SaasStrbufPrintf(&claims, ",\"exp\":%lld}", (long long) (poll->now_ms / 1000 + ASSERTION_LIFE_S));
	return SaasStrbufFinish(&claims);
}

/* False with the poll failed. */
static bool
append_assertion(SaasPoll *poll, SaasStrbuf *form)
{
	SaasProblem problem = {.sqlstate = ""};
	const char *claims = write_claims(poll);
	const char *assertion;

	if (claims == NULL)
	{
		SaasPollFailMemory(poll);
		return false;
	}
	assertion = SaasAssertionSign(SaasPollSecret(poll, "private_key"), claims, poll->arena, &problem);
	if (assertion == NULL)
	{
		SaasPollFail(poll, strcmp(problem.sqlstate, "22023") == 0 ? SAAS_VERDICT_REAUTH : SAAS_VERDICT_ERROR,
					 problem.sqlstate, "could not sign in to Salesforce: %s", problem.message);
		return false;
	}
	SaasStrbufAppendText(form, "grant_type=");
	SaasStrbufAppendUrlEncoded(form, GRANT_JWT_BEARER);
	append_field(form, "assertion", assertion);
	return true;
}

static void
append_refresh_token(SaasPoll *poll, SaasStrbuf *form)
{
	const SaasSalesforceState *state = poll->state;

	SaasStrbufAppendText(form, "grant_type=refresh_token");
	append_field(form, "client_id", SaasPollSecret(poll, "client_id"));
	append_field(form, "client_secret", SaasPollSecret(poll, "client_secret"));
	append_field(form, "refresh_token", state->refresh_token);
}

SaasStep
SaasSalesforceRequestToken(SaasPoll *poll)
{
	SaasSalesforceState *state = poll->state;
	const char *url = SaasArenaPrintf(poll->arena, "%s/services/oauth2/token", state->login_url);
	SaasStrbuf	form;

	state->asks_token = true;
	state->refreshed = true;
	SaasStrbufInit(&form, poll->arena);
	if (!state->signs)
		append_refresh_token(poll, &form);
	else if (!append_assertion(poll, &form))
		return SAAS_STEP_DONE;
	if (url == NULL || !SaasPollRequest(poll, "POST", url, "application/json") ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "Content-Type",
							  "application/x-www-form-urlencoded"))
		return SaasPollFailMemory(poll);
	poll->request.body = SaasStrbufFinish(&form);
	poll->request.body_length = form.length;
	poll->request.max_response = MAX_TOKEN_ANSWER;
	return poll->request.body != NULL ? SAAS_STEP_REQUEST : SaasPollFailMemory(poll);
}

/* The only way back is the owner's. */
SaasStep
SaasSalesforceFailReauth(SaasPoll *poll)
{
	return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "%s", SAAS_MESSAGE_REAUTH);
}

static bool
add_secret(SaasPoll *poll, SaasSecret **list, const char *name, const char *value)
{
	SaasSecret *secret = SaasArenaAlloc(poll->arena, sizeof(SaasSecret));

	if (secret == NULL)
		return false;
	secret->name = name;
	secret->value = value;
	secret->next = *list;
	*list = secret;
	return true;
}

/*
 * The poller empties new_secrets once they are stored; the token stays among
 * the poll's own secrets, so that no later error can quote it.
 */
static bool
add_new_secret(SaasPoll *poll, const char *name, const char *value)
{
	return add_secret(poll, &poll->new_secrets, name, value) &&
		add_secret(poll, &poll->secrets, name, value);
}

/* A token as the answer gives it: printable ASCII of a sane length. */
static const char *
token_text(SaasPoll *poll, const json_t *answer, const char *name)
{
	const char *text = SaasJsonText(answer, name);

	if (text == NULL || *text == '\0' || strlen(text) > MAX_TOKEN)
		return NULL;
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return NULL;
	return SaasArenaStrdup(poll->arena, text);
}

/* From issued_at, in milliseconds as a string, where our clock agrees with it. */
static int64_t
token_expiry(const SaasPoll *poll, const json_t *answer)
{
	const char *issued_at = SaasJsonText(answer, "issued_at");
	json_t	   *expires_in = json_object_get(answer, "expires_in");
	double		issued_ms;
	double		life_ms = TOKEN_LIFE_MS;

	if (issued_at == NULL || !SaasNumberParse(issued_at, strlen(issued_at), &issued_ms) ||
		issued_ms < (double) poll->now_ms - MAX_CLOCK_SKEW_MS ||
		issued_ms > (double) poll->now_ms + MAX_CLOCK_SKEW_MS)
		issued_ms = (double) poll->now_ms;
	if (json_is_number(expires_in) && json_number_value(expires_in) > 0 &&
		json_number_value(expires_in) < 1e9)
		life_ms = json_number_value(expires_in) * 1000;
	return (int64_t) (issued_ms + life_ms);
}

/* Remembers an instance_url of another origin, to tell the owner. */
static void
note_instance(SaasPoll *poll, const json_t *answer)
{
	SaasSalesforceState *state = poll->state;
	const char *text = SaasJsonText(answer, "instance_url");
	SaasProblem problem;
	SaasUrl		named;
	SaasUrl		configured;

	if (text != NULL && SaasUrlParse(text, poll->arena, &named, &problem) &&
		SaasUrlParse(state->instance_url, poll->arena, &configured, &problem) &&
		strcmp(named.origin, configured.origin) != 0)
		state->other_instance = named.origin;
}

static SaasStep
take_token(SaasPoll *poll, const json_t *answer)
{
	SaasSalesforceState *state = poll->state;
	const char *access_token = token_text(poll, answer, "access_token");
	const char *refresh_token = token_text(poll, answer, "refresh_token");

	if (access_token == NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"Salesforce's token answer holds no access token");
	if (refresh_token == NULL && json_object_get(answer, "refresh_token") != NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"Salesforce's token answer holds a malformed refresh token");
	state->access_token = access_token;
	if (!add_new_secret(poll, "access_token", access_token))
		return SaasPollFailMemory(poll);
	/* With an assertion there is none, whatever the answer says. */
	if (state->refresh_token != NULL && refresh_token != NULL &&
		strcmp(refresh_token, state->refresh_token) != 0 &&
		!add_new_secret(poll, "refresh_token", refresh_token))
		return SaasPollFailMemory(poll);
	poll->token_expires_ms = token_expiry(poll, answer);
	note_instance(poll, answer);
	return SAAS_STEP_STORE;
}

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; code != NULL && *codes != NULL; codes++)
		if (strcmp(code, *codes) == 0)
			return true;
	return false;
}

/*
 * invalid_grant for an assertion: only the description tells what is wrong
 * with it.  It is not shown, since it is the other side's text.
 */
static SaasStep
fail_assertion(SaasPoll *poll, const char *description)
{
	if (description != NULL && strstr(description, "approved") != NULL)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"Salesforce's user has not approved the connected app (invalid_grant)");
	if (description != NULL && strstr(description, "audience") != NULL)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"Salesforce expects another audience of the signed assertion (invalid_grant)");
	if (description != NULL && strstr(description, "expired") != NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"the signed assertion has expired for Salesforce: the clocks differ (invalid_grant)");
	return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
						"Salesforce refused the private key or the user name of this connection (invalid_grant)");
}

static SaasStep
fail_token(SaasPoll *poll, const SaasResponse *response, const char *code,
		   const char *description)
{
	static const char *const client_codes[] = {
		"invalid_client", "invalid_client_id", "invalid_client_credentials", NULL
	};
	static const char *const owner_codes[] = {
		"unauthorized_client", "access_denied", "inactive_user", "inactive_org",
		"invalid_app_access", "org_locked", NULL
	};
	static const char *const passing_codes[] = {
		"rate_limit_exceeded", "server_error", "temporarily_unavailable", NULL
	};

	if (response->status == 408 || response->status == 429 || response->status >= 500)
		return SaasPollFailStatus(poll, response, "Salesforce's sign-in", code);
	if (is_one_of(code, passing_codes))
		return SaasPollRetry(poll, response, "Salesforce's sign-in is not available (%s)", code);
	if (code != NULL && strcmp(code, "invalid_grant") == 0)
		return ((const SaasSalesforceState *) poll->state)->signs ? fail_assertion(poll, description) :
			SaasSalesforceFailReauth(poll);
	if (is_one_of(code, client_codes))
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"Salesforce refused the client id or client secret of this connection (%s)",
							code);
	if (is_one_of(code, owner_codes))
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"Salesforce refused to renew the access of this connection (%s)", code);
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
						"Salesforce refused to renew the access token (HTTP %d%s%s)",
						response->status, code != NULL ? " " : "", code != NULL ? code : "");
}

SaasStep
SaasSalesforceReadToken(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, false,
									  "Salesforce's token answer", &problem);
	const char *code = SaasPollErrorCode(poll, SaasJsonText(answer, "error"));
	SaasStep	step;

	if (response->status != 200 || code != NULL)
		step = fail_token(poll, response, code, SaasJsonText(answer, "error_description"));
	else if (answer == NULL)
		step = SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	else
		step = take_token(poll, answer);
	json_decref(answer);
	return step;
}
