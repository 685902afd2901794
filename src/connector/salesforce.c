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
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/strbuf.h"
#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/poll.h"
#include "pure/exposition.h"
#include "pure/json.h"
#include "pure/salesforce.h"

#define DEFAULT_LOGIN_URL		"https://login.salesforce.com"
#define DEFAULT_API_VERSION		"66.0"
#define MIN_API_VERSION			29
#define MAX_LIMITS_ANSWER		(1024 * 1024)
#define MAX_TOKEN_ANSWER		(64 * 1024)
#define MAX_TOKEN				8192
#define REFRESH_AHEAD_MS		(5 * 60 * 1000)
#define TOKEN_LIFE_MS			(2 * 60 * 60 * 1000)	/* the answer gives none */
#define MAX_CLOCK_SKEW_MS		(10 * 60 * 1000)

static const char *const config_keys[] = {
	"org_id", "instance_url", "login_url", "api_version", "auth", "username", NULL
};
static const char *const secret_names[] = {
	"client_id", "client_secret", "access_token", "refresh_token", "private_key", NULL
};

typedef struct SalesforceState
{
	const char *instance_url;
	const char *login_url;
	const char *api_version;
	const char *access_token;
	const char *refresh_token;
	const char *other_instance; /* origin that a token answer named, not followed */
	bool		asks_token;		/* the request under way is the token endpoint's */
	bool		refreshed;
} SalesforceState;

static void
check_org_id(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	const char *text = SaasConfigText(config, config->object, "org_id", "org_id", 18, true);
	char		id[19];

	if (text == NULL)
		return;
	if (!SaasSalesforceIdNormalize(text, id))
	{
		SaasConfigError(config, "org_id", "must be a Salesforce id of 15 or 18 characters");
		return;
	}
	json_object_set_new(config->object, "org_id", json_string(id));
	validation->account_key = SaasArenaStrdup(validation->arena, id);
	validation->external_account_id = validation->account_key;
}

/* "v66.0" and "66.0" are both common; the latter is stored. */
static void
check_api_version(SaasConfig *config)
{
	const char *text = SaasConfigOption(config, "api_version", 16, DEFAULT_API_VERSION);
	size_t		digits;

	if (text == NULL)
		return;
	text += *text == 'v' ? 1 : 0;
	digits = strspn(text, "0123456789");
	if (digits < 2 || digits > 3 || *text == '0' || strcmp(text + digits, ".0") != 0)
		SaasConfigError(config, "api_version", "must be a version such as \"%s\"", DEFAULT_API_VERSION);
	else if (strtol(text, NULL, 10) < MIN_API_VERSION)
		SaasConfigError(config, "api_version", "must be %d.0 or later", MIN_API_VERSION);
	else
		json_object_set_new(config->object, "api_version", json_string(text));
}

static void
check_auth(SaasConfig *config)
{
	const char *auth = SaasConfigOption(config, "auth", SAAS_CONFIG_MAX_TEXT, "refresh_token");

	if (auth != NULL && strcmp(auth, "jwt_bearer") == 0)
		SaasConfigError(config, "auth", "jwt_bearer is not supported by this version");
	else if (auth != NULL && strcmp(auth, "refresh_token") != 0)
		SaasConfigError(config, "auth", "must be refresh_token");

	if (SaasConfigSecret(config, "refresh_token") != NULL)
		SaasConfigNeedSecret(config, "client_id", "with refresh_token");
	else if (SaasConfigSecret(config, "access_token") == NULL)
		SaasConfigNeedSecret(config, "refresh_token", "without access_token");
}

static bool
validate(SaasValidation *validation)
{
	SaasConfig	config;
	SaasUrl		instance;
	SaasUrl		login;
	const char *instance_url;
	const char *login_url;

	if (!SaasConfigOpen(&config, validation, &SaasSalesforceConnector, config_keys))
		return SaasConfigClose(&config);
	check_org_id(&config);
	instance_url = SaasConfigUrl(&config, "instance_url", NULL, true, &instance);
	login_url = SaasConfigUrl(&config, "login_url", DEFAULT_LOGIN_URL, true, &login);
	if (instance_url != NULL && login_url != NULL)
		validation->origin = SaasArenaPrintf(validation->arena, "%s %s",
											 instance.origin, login.origin);
	check_api_version(&config);
	check_auth(&config);
	SaasConfigText(&config, config.object, "username", "username", SAAS_CONFIG_MAX_TEXT, false);
	return SaasConfigClose(&config);
}

static SaasStep
request_limits(SaasPoll *poll, SaasStep step)
{
	SalesforceState *state = poll->state;
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

static bool
can_refresh(const SaasPoll *poll)
{
	const SalesforceState *state = poll->state;

	return state->refresh_token != NULL && !state->refreshed &&
		SaasPollSecret(poll, "client_id") != NULL;
}

static void
append_field(SaasStrbuf *form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	SaasStrbufPrintf(form, "&%s=", name);
	SaasStrbufAppendUrlEncoded(form, value);
}

static SaasStep
request_token(SaasPoll *poll)
{
	SalesforceState *state = poll->state;
	const char *url = SaasArenaPrintf(poll->arena, "%s/services/oauth2/token", state->login_url);
	SaasStrbuf	form;

	state->asks_token = true;
	state->refreshed = true;
	SaasStrbufInit(&form, poll->arena);
	SaasStrbufAppendText(&form, "grant_type=refresh_token");
	append_field(&form, "client_id", SaasPollSecret(poll, "client_id"));
	append_field(&form, "client_secret", SaasPollSecret(poll, "client_secret"));
	append_field(&form, "refresh_token", state->refresh_token);
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
static SaasStep
fail_reauth(SaasPoll *poll)
{
	return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "%s", SAAS_MESSAGE_REAUTH);
}

static bool
read_config(SaasPoll *poll, SalesforceState *state)
{
	json_t	   *config = SaasPollConfig(poll);

	if (config == NULL)
		return false;
	state->instance_url = SaasArenaStrdup(poll->arena, SaasJsonText(config, "instance_url"));
	state->login_url = SaasArenaStrdup(poll->arena, SaasJsonText(config, "login_url"));
	state->api_version = SaasArenaStrdup(poll->arena, SaasJsonText(config, "api_version"));
	json_decref(config);
	if (state->instance_url != NULL && state->login_url != NULL && state->api_version != NULL)
		return true;
	SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
				 "the stored config lacks instance_url, login_url or api_version");
	return false;
}

static SaasStep
start(SaasPoll *poll)
{
	SalesforceState *state = SaasArenaAlloc(poll->arena, sizeof(SalesforceState));
	bool		expires;

	poll->state = state;
	if (state == NULL)
		return SaasPollFailMemory(poll);
	if (!read_config(poll, state))
		return SAAS_STEP_DONE;
	state->access_token = SaasPollSecret(poll, "access_token");
	state->refresh_token = SaasPollSecret(poll, "refresh_token");
	expires = poll->token_expires_ms != 0 &&
		poll->now_ms >= poll->token_expires_ms - REFRESH_AHEAD_MS;

	if ((state->access_token == NULL || expires) && can_refresh(poll))
		return request_token(poll);
	if (state->access_token == NULL)
		return fail_reauth(poll);
	return request_limits(poll, SAAS_STEP_REQUEST);
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
	SalesforceState *state = poll->state;
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
	SalesforceState *state = poll->state;
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
	if (refresh_token != NULL && strcmp(refresh_token, state->refresh_token) != 0 &&
		!add_new_secret(poll, "refresh_token", refresh_token))
		return SaasPollFailMemory(poll);
	poll->token_expires_ms = token_expiry(poll, answer);
	note_instance(poll, answer);
	return request_limits(poll, SAAS_STEP_STORE);
}

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; code != NULL && *codes != NULL; codes++)
		if (strcmp(code, *codes) == 0)
			return true;
	return false;
}

static SaasStep
fail_token(SaasPoll *poll, const SaasResponse *response, const char *code)
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
		return fail_reauth(poll);
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

static SaasStep
read_token(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, false,
									  "Salesforce's token answer", &problem);
	const char *code = SaasPollErrorCode(poll, SaasJsonText(answer, "error"));
	SaasStep	step;

	if (response->status != 200 || code != NULL)
		step = fail_token(poll, response, code);
	else if (answer == NULL)
		step = SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate, "%s", problem.message);
	else
		step = take_token(poll, answer);
	json_decref(answer);
	return step;
}

/* The errorCode of an API error, [{"message","errorCode"}], in the arena. */
static const char *
api_error_code(SaasPoll *poll, const SaasResponse *response)
{
	SaasProblem problem;
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, true, "", &problem);
	json_t	   *first = json_is_array(answer) ? json_array_get(answer, 0) : answer;
	const char *code = SaasArenaStrdup(poll->arena,
									   SaasPollErrorCode(poll, SaasJsonText(first, "errorCode")));

	json_decref(answer);
	return code;
}

static SaasStep
fail_api(SaasPoll *poll, const SaasResponse *response)
{
	SalesforceState *state = poll->state;
	const char *code = api_error_code(poll, response);

	if (response->status == 401 && code != NULL && strcmp(code, "INVALID_SESSION_ID") == 0)
	{
		if (can_refresh(poll))
			return request_token(poll);
		if (!state->refreshed)
			return fail_reauth(poll);
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"Salesforce refused the access token that it has just given (%s)", code);
	}
	if (response->status == 403 && code != NULL && strcmp(code, "REQUEST_LIMIT_EXCEEDED") == 0)
		return SaasPollRetry(poll, response,
							 "the organization's API request limit is used up (%s)", code);
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
	const SalesforceState *state = poll->state;
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
		const char *code = api_error_code(poll, response);

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
	const SalesforceState *state = poll->state;

	if (state->asks_token)
		return read_token(poll, response);
	if (response->status != 200)
		return fail_api(poll, response);
	return read_limits(poll, response);
}

const SaasConnector SaasSalesforceConnector = {
	.kind = "salesforce",
	.title = "Salesforce",
	.secret_names = secret_names,
	.validate = validate,
	.start = start,
	.read = read_answer
};
