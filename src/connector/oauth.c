/*
 * oauth.c
 *	  OAuth 2.0 client credentials (RFC 6749, section 4.4).
 */
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/strbuf.h"
#include "connector/oauth.h"
#include "connector/poll.h"
#include "pure/json.h"

#define MAX_ANSWER			(64 * 1024)
#define MAX_TOKEN			8192
#define MAX_LIFE_S			(366.0 * 86400)
#define DEFAULT_LIFE_MS		(60 * 60 * 1000)	/* the answer gives none */
#define REFRESH_AHEAD_MS	(30 * 1000)

const char *
SaasOauthToken(const SaasPoll *poll)
{
	if (poll->token_expires_ms != 0 && poll->now_ms >= poll->token_expires_ms - REFRESH_AHEAD_MS)
		return NULL;
	return SaasPollSecret(poll, SAAS_OAUTH_TOKEN);
}

static void
append_field(SaasStrbuf *form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	SaasStrbufPrintf(form, "&%s=", name);
	SaasStrbufAppendUrlEncoded(form, value);
}

static const char *
url_encoded(SaasPoll *poll, const char *text)
{
	SaasStrbuf	encoded;

	SaasStrbufInit(&encoded, poll->arena);
	SaasStrbufAppendUrlEncoded(&encoded, text);
	return SaasStrbufFinish(&encoded);
}

/* RFC 6749, section 2.3.1: id and secret are encoded as in a form first. */
static bool
add_client(SaasPoll *poll, const char *id, const char *secret)
{
	id = url_encoded(poll, id);
	secret = url_encoded(poll, secret);
	return id != NULL && secret != NULL && SaasPollAddBasic(poll, id, secret);
}

SaasStep
SaasOauthRequest(SaasPoll *poll, const SaasOauthClient *client)
{
	const char *id = SaasPollSecret(poll, "client_id");
	const char *secret = SaasPollSecret(poll, "client_secret");
	SaasStrbuf	form;

	if (id == NULL || secret == NULL || client->token_url == NULL)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
							"no token can be asked for with the stored config and secrets");
	SaasStrbufInit(&form, poll->arena);
	SaasStrbufAppendText(&form, "grant_type=client_credentials");
	append_field(&form, "scope", client->scope);
	append_field(&form, "audience", client->audience);
	append_field(&form, "client_id", client->in_body ? id : NULL);
	append_field(&form, "client_secret", client->in_body ? secret : NULL);
	if (!SaasPollRequest(poll, "POST", client->token_url, "application/json") ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "Content-Type",
							  "application/x-www-form-urlencoded") ||
		!(client->in_body || add_client(poll, id, secret)))
		return SaasPollFailMemory(poll);
	poll->request.body = SaasStrbufFinish(&form);
	poll->request.body_length = form.length;
	poll->request.max_response = MAX_ANSWER;
	return poll->request.body != NULL ? SAAS_STEP_REQUEST : SaasPollFailMemory(poll);
}

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; code != NULL && *codes != NULL; codes++)
		if (strcmp(code, *codes) == 0)
			return true;
	return false;
}

/* RFC 6749, section 5.2, and the codes of its section 4.1.2.1 that servers answer here too. */
static void
fail_token(SaasPoll *poll, const SaasResponse *response, const char *code)
{
	static const char *const client_codes[] = {
		"invalid_client", "unauthorized_client", "invalid_grant", "access_denied", NULL
	};
	static const char *const passing_codes[] = {"server_error", "temporarily_unavailable", NULL};

	if (is_one_of(code, passing_codes))
		SaasPollRetry(poll, response, "the token endpoint is not available (%s)", code);
	else if (is_one_of(code, client_codes))
		SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
					 "the token endpoint refused the client id or client secret (%s)", code);
	else if (code != NULL && response->status < 401)
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the token endpoint gave no token (%s)", code);
	else
		SaasPollFailStatus(poll, response, "the token endpoint", code);
}

/* A token as the answer gives it: printable ASCII of a sane length, in the arena. */
static const char *
token_text(SaasPoll *poll, const json_t *answer)
{
	const char *text = SaasJsonText(answer, "access_token");

	if (text == NULL || *text == '\0' || strlen(text) > MAX_TOKEN)
		return NULL;
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return NULL;
	return SaasArenaStrdup(poll->arena, text);
}

/* Some servers write the number as a string. */
static int64_t
expiry(const SaasPoll *poll, const json_t *answer)
{
	const json_t *expires_in = json_object_get(answer, "expires_in");
	const char *text = json_string_value(expires_in);
	double		life_s = json_number_value(expires_in);

	if (text != NULL && !SaasNumberParse(text, strlen(text), &life_s))
		life_s = 0;
	if (life_s <= 0)
		return poll->now_ms + DEFAULT_LIFE_MS;
	return poll->now_ms + (int64_t) ((life_s < MAX_LIFE_S ? life_s : MAX_LIFE_S) * 1000);
}

/*
 * The poller empties new_secrets once they are stored; the token stays among
 * the poll's own secrets, so that no later error can quote it.
 */
static bool
keep_token(SaasPoll *poll, const char *token)
{
	SaasSecret *secrets = SaasArenaAlloc(poll->arena, 2 * sizeof(SaasSecret));

	if (secrets == NULL)
		return false;
	secrets[0] = (SaasSecret) {SAAS_OAUTH_TOKEN, token, poll->new_secrets};
	secrets[1] = (SaasSecret) {SAAS_OAUTH_TOKEN, token, poll->secrets};
	poll->new_secrets = &secrets[0];
	poll->secrets = &secrets[1];
	return true;
}

static const char *
take_token(SaasPoll *poll, const json_t *answer)
{
	const char *type = SaasJsonText(answer, "token_type");
	const char *token = token_text(poll, answer);

	if (token == NULL)
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
					 "the token endpoint's answer holds no access token");
	else if (type != NULL && strcasecmp(type, "bearer") != 0)
	{
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
					 "the token endpoint gives another kind of token than Bearer");
		token = NULL;
	}
	else if (!keep_token(poll, token))
	{
		SaasPollFailMemory(poll);
		token = NULL;
	}
	else
		poll->token_expires_ms = expiry(poll, answer);
	return token;
}

const char *
SaasOauthReadToken(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, false,
									  "the token endpoint's answer", &problem);
	const char *code = SaasPollErrorCode(poll, SaasJsonText(answer, "error"));
	const char *token = NULL;

	if (response->status != 200 || code != NULL)
		fail_token(poll, response, code);
	else if (answer == NULL)
		SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	else
		token = take_token(poll, answer);
	json_decref(answer);
	return token;
}
