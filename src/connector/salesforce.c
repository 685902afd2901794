/*
 * salesforce.c
 *	  Polls the REST limits of a Salesforce organization.
 *
 * A poll is at most three requests: the limits, and when the access token is
 * missing, about to expire or refused, the token endpoint once and the limits
 * (again).  New tokens are stored before their first use, because a rotated
 * refresh token is the only way back in.  Tokens go to the configured
 * instance_url and login_url and nowhere else, whatever an answer names.
 */
#include <string.h>

#include "base/strbuf.h"
#include "connector/kinds.h"
#include "connector/salesforce.h"
#include "pure/address.h"
#include "pure/exposition.h"
#include "pure/json.h"
#include "pure/salesforce.h"

#define MAX_LIMITS_ANSWER		(1024 * 1024)
#define REFRESH_AHEAD_MS		(5 * 60 * 1000)

/*
 * The daily allowance is of the last 24 hours at any moment: some of it is free
 * again whenever requests of yesterday leave that window, and nothing says when.
 */
#define DAILY_LIMIT_PAUSE_S		3600

static const char *const secret_names[] = {
	"client_id", "client_secret", "access_token", "refresh_token", "private_key", NULL
};

static SaasStep
request_limits(SaasPoll *poll, SaasStep step)
{
	SaasSalesforceState *state = poll->state;
	const char *url = SaasArenaPrintf(poll->arena, "%s/services/data/v%s/limits/",
									  state->instance_url, state->api_version);

	state->asks_token = false;
	if (url == NULL || !SaasPollRequest(poll, "GET", url, "application/json"))
		return SaasPollFailMemory(poll);
	if (!SaasPollAddBearer(poll, state->access_token))
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"the access token does not fit into a request");
	poll->request.max_response = MAX_LIMITS_ANSWER;
	return step;
}

/* The login URL's own, or that of the pool which stands behind a My Domain. */
static const char *
default_audience(SaasPoll *poll, const char *login_url)
{
	static const char my_domain[] = ".my.salesforce.com";
	SaasProblem problem;
	SaasUrl		login;
	size_t		length;

	if (!SaasUrlParse(login_url, poll->arena, &login, &problem))
		return login_url;
	length = strlen(login.host);
	if (length > strlen(my_domain) && strcmp(login.host + length - strlen(my_domain), my_domain) == 0)
		return SaasSalesforceLoginUrl(login.host);
	return login_url;
}

static const char *
config_text(SaasPoll *poll, const json_t *config, const char *key)
{
	return SaasArenaStrdup(poll->arena, SaasJsonText(config, key));
}

static bool
read_config(SaasPoll *poll, SaasSalesforceState *state)
{
	json_t	   *config = SaasPollConfig(poll);
	const char *auth;

	if (config == NULL)
		return false;
	auth = SaasJsonText(config, "auth");
	state->signs = auth != NULL && strcmp(auth, SAAS_SALESFORCE_JWT_BEARER) == 0;
	state->instance_url = config_text(poll, config, "instance_url");
	state->login_url = config_text(poll, config, "login_url");
	state->api_version = config_text(poll, config, "api_version");
	state->username = config_text(poll, config, "username");
	state->audience = config_text(poll, config, "audience");
	json_decref(config);
	if (state->instance_url == NULL || state->login_url == NULL || state->api_version == NULL ||
		(state->signs && state->username == NULL))
	{
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
					 "the stored config lacks instance_url, login_url, api_version or username");
		return false;
	}
	if (state->audience == NULL)
		state->audience = default_audience(poll, state->login_url);
	return true;
}

static SaasStep
start(SaasPoll *poll)
{
	SaasSalesforceState *state = SaasArenaAlloc(poll->arena, sizeof(SaasSalesforceState));
	bool		expires;

	poll->state = state;
	if (state == NULL)
		return SaasPollFailMemory(poll);
	if (!read_config(poll, state))
		return SAAS_STEP_DONE;
	state->access_token = SaasPollSecret(poll, "access_token");
	state->refresh_token = state->signs ? NULL : SaasPollSecret(poll, "refresh_token");
	expires = poll->token_expires_ms != 0 &&
		poll->now_ms >= poll->token_expires_ms - REFRESH_AHEAD_MS;

	if ((state->access_token == NULL || expires) && SaasSalesforceCanRefresh(poll))
		return SaasSalesforceRequestToken(poll);
	if (state->access_token == NULL)
		return SaasSalesforceFailReauth(poll);
	return request_limits(poll, SAAS_STEP_REQUEST);
}

typedef struct ApiError
{
	const char *code;			/* NULL when there is none that can be shown */
	bool		is_daily;		/* which limit REQUEST_LIMIT_EXCEEDED speaks of: */
	bool		is_concurrent;	/* "TotalRequests", "Concurrent..." */
} ApiError;

/* The first of [{"message","errorCode"}], in the arena. */
static ApiError
read_api_error(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem;
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, true, "", &problem);
	json_t	   *first = json_is_array(answer) ? json_array_get(answer, 0) : answer;
	const char *message = SaasJsonText(first, "message");
	ApiError	error = {
		SaasArenaStrdup(poll->arena, SaasPollErrorCode(poll, SaasJsonText(first, "errorCode"))),
		message != NULL && strncmp(message, "TotalRequests", strlen("TotalRequests")) == 0,
		message != NULL && strncmp(message, "Concurrent", strlen("Concurrent")) == 0
	};

	json_decref(answer);
	return error;
}

static SaasStep
fail_limit_exceeded(SaasPoll *poll, const SaasResponse *response, const ApiError *error)
{
	if (error->is_concurrent)
		return SaasPollRetry(poll, response, "too many requests of the organization are running (%s)",
							 error->code);
	SaasPollRetry(poll, response, "the organization's %sAPI request limit is used up (%s)",
				  error->is_daily ? "daily " : "", error->code);
	if (poll->retry_after_s == 0)
		poll->retry_after_s = DAILY_LIMIT_PAUSE_S;
	return SAAS_STEP_DONE;
}

static SaasStep
fail_api(SaasPoll *poll, const SaasResponse *response)
{
	SaasSalesforceState *state = poll->state;
	ApiError	error = read_api_error(poll, response);
	const char *code = error.code;

	if (response->status == 401 && code != NULL && strcmp(code, "INVALID_SESSION_ID") == 0)
	{
		if (SaasSalesforceCanRefresh(poll))
			return SaasSalesforceRequestToken(poll);
		if (!state->refreshed)
			return SaasSalesforceFailReauth(poll);
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"Salesforce refused the access token that it has just given (%s)", code);
	}
	if (response->status == 403 && code != NULL && strcmp(code, "REQUEST_LIMIT_EXCEEDED") == 0)
		return fail_limit_exceeded(poll, response, &error);
	if (code != NULL && (strcmp(code, "NOT_FOUND") == 0 || strcmp(code, "UNSUPPORTED_API_VERSION") == 0))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"the organization has no REST API of version %s (HTTP %d %s)",
							state->api_version, response->status, code);
	if (response->status == 401)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"Salesforce refused the request (HTTP 401%s%s)",
							code != NULL ? " " : "", code != NULL ? code : "");
	return SaasPollFailStatus(poll, response, "Salesforce", code);
}

static bool
add_sample(SaasPoll *poll, const char *metric, const char *labels, double value)
{
	SaasSample	sample = {.metric = metric, .labels = labels, .value = value};

	return SaasSampleListAdd(&poll->samples, poll->arena, &sample, poll->max_samples);
}

static bool
add_limit(SaasPoll *poll, const SaasSalesforceLimit *limit)
{
	SaasLabel	label = {"limit", limit->name};
	const char *labels = SaasLabelsToJson(&label, 1, poll->arena);
	double		used = limit->max - limit->remaining;
	double		percent = limit->max == 0 ? 0 : used / limit->max * 100;

	return labels != NULL &&
		add_sample(poll, "salesforce_limit_max", labels, limit->max) &&
		add_sample(poll, "salesforce_limit_remaining", labels, limit->remaining) &&
		add_sample(poll, "salesforce_limit_used", labels, used) &&
		add_sample(poll, "salesforce_limit_percent", labels, percent);
}

static const char *
describe(SaasPoll *poll, size_t count)
{
	const SaasSalesforceState *state = poll->state;
	SaasStrbuf	details;

	SaasStrbufInit(&details, poll->arena);
	SaasStrbufPrintf(&details, "{\"limits\":%zu,\"api_version\":\"%s\"", count, state->api_version);
	if (state->other_instance != NULL)
	{
		SaasStrbufAppendText(&details, ",\"instance_url_not_followed\":");
		SaasStrbufAppendJson(&details, state->other_instance, strlen(state->other_instance));
	}
	SaasStrbufAppendChar(&details, '}');
	return SaasStrbufFinish(&details);
}

static SaasStep
read_limits(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem = {.sqlstate = ""};
	SaasSalesforceLimit *limits;
	size_t		count;

	if (!SaasSalesforceLimitsRead(response->body, response->body_length, poll->arena,
								  &limits, &count, &problem))
	{
		const char *code = read_api_error(poll, response).code;

		if (code != NULL)
			return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
								"Salesforce answered HTTP 200 with the error %s", code);
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	}
	if (count == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer holds no limits");
	for (size_t i = 0; i < count; i++)
		if (!add_limit(poll, &limits[i]))
		{
			poll->samples.count = 0;
			return SaasPollFail(poll, SAAS_VERDICT_ERROR, "54000",
								"the limits make more samples than one poll may yield");
		}
	poll->details = describe(poll, count);
	return SaasPollDone(poll);
}

static SaasStep
read_answer(SaasPoll *poll, const SaasResponse *response)
{
	const SaasSalesforceState *state = poll->state;
	SaasStep	step;

	if (state->asks_token)
	{
		step = SaasSalesforceReadToken(poll, response);
		return step == SAAS_STEP_STORE ? request_limits(poll, SAAS_STEP_STORE) : step;
	}
	if (response->status != 200)
		return fail_api(poll, response);
	return read_limits(poll, response);
}

const SaasConnector SaasSalesforceConnector = {
	.kind = "salesforce",
	.title = "Salesforce",
	.secret_names = secret_names,
	.validate = SaasSalesforceValidate,
	.start = start,
	.read = read_answer
};
