/*
 * poll.c
 *	  What the connectors share while a poll runs: secrets, headers, verdicts.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "connector/poll.h"
#include "pure/address.h"
#include "pure/json.h"

#define MIN_SECRET	4			/* a shorter one occurs in ordinary words */

SaasStep
SaasPollFail(SaasPoll *poll, SaasVerdict verdict, const char *sqlstate,
			 const char *format,...)
{
	char		message[sizeof(poll->problem.message)];
	va_list		args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	poll->verdict = verdict;
	SaasProblemSet(&poll->problem, sqlstate, "%s", SaasPollHoldsSecret(poll, message) ?
				   "the upstream's error quotes a secret and is withheld" : message);
	return SAAS_STEP_DONE;
}

SaasStep
SaasPollFailMemory(SaasPoll *poll)
{
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "53200", "the poll needs too much memory");
}

SaasStep
SaasPollRetry(SaasPoll *poll, const SaasResponse *response, const char *format,...)
{
	char		message[sizeof(poll->problem.message)];
	va_list		args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	poll->retry_after_s = SaasRetryAfter(SaasResponseHeader(response, "retry-after"),
										 poll->now_ms / 1000);
	return SaasPollFail(poll, SAAS_VERDICT_RETRY, "08006", "%s", message);
}

SaasStep
SaasPollFailStatus(SaasPoll *poll, const SaasResponse *response,
				   const char *who, const char *code)
{
	int			status = response->status;
	const char *space = code != NULL ? " " : "";

	code = code != NULL ? code : "";
	if (status == 429)
		return SaasPollRetry(poll, response, "%s asks for fewer requests (HTTP 429%s%s)",
							 who, space, code);
	if (status == 408 || status >= 500)
		return SaasPollRetry(poll, response, "%s is not available (HTTP %d%s%s)",
							 who, status, space, code);
	if (status == 401)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"%s refused the credentials (HTTP 401%s%s)", who, space, code);
	if (status == 403)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"%s denies access (HTTP 403%s%s)", who, space, code);
	if (status == 404)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"%s has no such resource (HTTP 404%s%s)", who, space, code);
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "%s answered HTTP %d%s%s",
						who, status, space, code);
}

json_t *
SaasPollConfig(SaasPoll *poll)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *config;

	if (poll->config == NULL)
	{
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023", "the connection has no config");
		return NULL;
	}
	config = SaasJsonRead(poll->config, strlen(poll->config), false, "the stored config", &problem);
	if (config == NULL)
		SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	return config;
}

const char *
SaasPollSecret(const SaasPoll *poll, const char *name)
{
	for (const SaasSecret *secret = poll->secrets; secret != NULL; secret = secret->next)
		if (strcmp(secret->name, name) == 0)
			return secret->value;
	return NULL;
}

/* Names of users and clients are no secrets in themselves. */
static bool
is_quotable(const SaasSecret *secret)
{
	return strlen(secret->value) < MIN_SECRET || strcmp(secret->name, "username") == 0 ||
		strcmp(secret->name, "client_id") == 0;
}

static bool
quotes_any(const SaasSecret *secret, const char *text)
{
	for (; secret != NULL; secret = secret->next)
		if (!is_quotable(secret) && strstr(text, secret->value) != NULL)
			return true;
	return false;
}

bool
SaasPollHoldsSecret(const SaasPoll *poll, const char *text)
{
	return quotes_any(poll->secrets, text) || quotes_any(poll->new_secrets, text);
}

const char *
SaasPollErrorCode(const SaasPoll *poll, const char *code)
{
	size_t		length = code != NULL ? strlen(code) : 0;

	if (length == 0 || length > 64 ||
		strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") != length)
		return NULL;
	return SaasPollHoldsSecret(poll, code) ? NULL : code;
}

/* Whether the request goes to the origin of the config's url. */
static bool
goes_to_own_origin(SaasPoll *poll)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *config = SaasJsonRead(poll->config, strlen(poll->config), false, "the stored config", &problem);
	const char *url = json_string_value(json_object_get(config, "url"));
	SaasUrl		own;
	SaasUrl		asked;
	bool		same = url != NULL && poll->request.url != NULL &&
		SaasUrlParse(url, poll->arena, &own, &problem) &&
		SaasUrlParse(poll->request.url, poll->arena, &asked, &problem) &&
		strcmp(own.origin, asked.origin) == 0;

	json_decref(config);
	return same;
}

/* A connection's own certificates are for its own host: a token endpoint elsewhere gets none. */
static void
add_certificates(SaasPoll *poll)
{
	const char *ca = SaasPollSecret(poll, "ca_certificate");
	const char *certificate = SaasPollSecret(poll, "client_certificate");

	if ((ca == NULL && certificate == NULL) || poll->config == NULL || !goes_to_own_origin(poll))
		return;
	poll->request.ca_certificate = ca;
	poll->request.client_certificate = certificate;
	poll->request.client_key = SaasPollSecret(poll, "client_key");
}

bool
SaasPollRequest(SaasPoll *poll, const char *method, const char *url, const char *accept)
{
	SaasRequest *request = &poll->request;

	memset(request, 0, sizeof(*request));
	request->method = SaasArenaStrdup(poll->arena, method);
	request->url = SaasArenaStrdup(poll->arena, url);
	add_certificates(poll);
	return request->method != NULL && request->url != NULL &&
		(accept == NULL || SaasRequestAddHeader(request, poll->arena, "Accept", accept));
}

bool
SaasPollAddBearer(SaasPoll *poll, const char *token)
{
	const char *value = SaasArenaPrintf(poll->arena, "Bearer %s", token);

	return SaasRequestAddHeader(&poll->request, poll->arena, "Authorization", value);
}

bool
SaasPollAddBasic(SaasPoll *poll, const char *user, const char *password)
{
	static const char prefix[] = "Basic ";
	const char *pair = SaasArenaPrintf(poll->arena, "%s:%s", user, password);
	size_t		length = pair != NULL ? strlen(pair) : 0;
	char	   *value;

	if (pair == NULL || length > INT_MAX / 2)
		return false;
	value = SaasArenaAlloc(poll->arena, sizeof(prefix) + (length + 2) / 3 * 4);
	if (value == NULL)
		return false;
	memcpy(value, prefix, sizeof(prefix) - 1);
	EVP_EncodeBlock((unsigned char *) value + sizeof(prefix) - 1, (const unsigned char *) pair,
					(int) length);
	return SaasRequestAddHeader(&poll->request, poll->arena, "Authorization", value);
}

SaasStep
SaasPollDone(SaasPoll *poll)
{
	poll->verdict = SAAS_VERDICT_OK;
	return SAAS_STEP_DONE;
}
