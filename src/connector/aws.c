/*
 * aws.c
 *	  Polls CloudWatch metrics of an AWS account.
 *
 * A poll assumes the account's role, unless the session of an earlier one is
 * still good, and asks all regions at once for their metrics.  All of it goes by
 * lanes, that for the role alone too, because AWS counts requests by account.
 * Before a role is used at all it must refuse to be assumed without the connection's external id and
 * with a wrong one: otherwise whoever learns its ARN could have this service
 * read that account for them (the confused deputy).  The external id is made
 * from the connection's id, which nobody chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "connector/aws.h"
#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/poll.h"
#include "pure/sigv4.h"

#define SESSION_MARGIN_MS	(5 * 60 * 1000)
#define MIN_SKEW_S			120 /* less may be the network's */

static const char *const secret_names[] = {"access_key_id", "secret_access_key", NULL};

bool
SaasAwsAddSecret(SaasPoll *poll, const char *name, const char *value)
{
	SaasSecret *secrets = SaasArenaAlloc(poll->arena, 2 * sizeof(SaasSecret));

	if (secrets == NULL || value == NULL)
		return false;
	secrets[0] = (SaasSecret) {name, value, poll->secrets};
	secrets[1] = (SaasSecret) {name, value, poll->new_secrets};
	poll->secrets = &secrets[0];
	poll->new_secrets = &secrets[1];
	return true;
}

/* Host as it is sent: without https's own port. */
static const char *
host_of(const SaasUrl *url, SaasArena *arena)
{
	const char *host = strstr(url->origin, "://") + 3;
	const char *own = strcmp(url->scheme, "https") == 0 ? ":443" : ":80";
	size_t		length = strlen(host);

	if (length > strlen(own) && strcmp(host + length - strlen(own), own) == 0)
		length -= strlen(own);
	return SaasArenaStrndup(arena, host, length);
}

static bool
add_signature(SaasPoll *poll, const SaasSigv4Signature *signature)
{
	SaasRequest *request = &poll->request;

	return SaasRequestAddHeader(request, poll->arena, "X-Amz-Date", signature->date) &&
		(signature->session_token == NULL ||
		 SaasRequestAddHeader(request, poll->arena, "X-Amz-Security-Token", signature->session_token)) &&
		SaasRequestAddHeader(request, poll->arena, "Authorization", signature->authorization);
}

bool
SaasAwsSign(SaasPoll *poll, const SaasAwsSession *who, const char *region, const char *service)
{
	const AwsState *state = poll->state;
	SaasSigv4Signer signer = {
		who->access_key_id, who->secret_access_key, who->session_token, region, service,
		poll->now_ms / 1000 + state->skew_s
	};
	SaasHeader	host = {"Host", NULL, poll->request.headers};
	SaasSigv4Request request = {
		.method = poll->request.method, .headers = &host,
		.body = poll->request.body, .body_length = poll->request.body_length
	};
	SaasProblem problem = {.sqlstate = ""};
	SaasSigv4Signature signature;
	SaasUrl		url;

	if (!SaasUrlParse(poll->request.url, poll->arena, &url, &problem))
		return SaasProblemSet(&poll->problem, problem.sqlstate, "%s", problem.message);
	request.target = url.path;
	host.value = host_of(&url, poll->arena);
	if (host.value == NULL)
		return false;
	if (!SaasSigv4Sign(&signer, &request, poll->arena, &signature, &problem))
		return SaasProblemSet(&poll->problem, problem.sqlstate, "%s", problem.message);
	return add_signature(poll, &signature);
}

bool
SaasAwsCorrectClock(SaasPoll *poll, const SaasResponse *response, int64_t signed_skew_s)
{
	AwsState   *state = poll->state;
	long long	server_s;
	long long	skew_s;

	if (!SaasHttpDate(SaasResponseHeader(response, "date"), poll->now_ms / 1000, &server_s))
		return false;
	skew_s = server_s - poll->now_ms / 1000;
	if (llabs(skew_s - signed_skew_s) < MIN_SKEW_S)
		return false;
	/* Another region may have corrected it while this request was under way. */
	if (state->is_corrected)
		return llabs(skew_s - state->skew_s) < MIN_SKEW_S;
	state->is_corrected = true;
	state->skew_s = skew_s;
	return true;
}

bool
SaasAwsMeter(SaasPoll *poll, SaasLane *lane, const char *service, const char *region, const char *endpoint)
{
	const AwsState *state = poll->state;
	bool		is_operators = strcmp(service, "sts") == 0 && !state->has_own_keys;

	/* What answers elsewhere must not make others wait who ask Amazon for the same account. */
	lane->meter.key = SaasArenaPrintf(poll->arena, "aws %s %s %s %s", service,
									  is_operators ? state->access_key_id : state->account_id, region,
									  endpoint != NULL ? endpoint : state->domain);
	lane->meter.per_second = poll->aws_requests_per_second;
	return lane->meter.key != NULL;
}

int
SaasAwsThrottle(const SaasPoll *poll, SaasLane *lane, const SaasResponse *response, int wait_s)
{
	int			asked_s = SaasRetryAfter(SaasResponseHeader(response, "retry-after"), poll->now_ms / 1000);

	if (asked_s > 0)
		wait_s = asked_s;
	lane->meter.pause_s = wait_s < SAAS_AWS_PAUSE_S ? wait_s : SAAS_AWS_PAUSE_S;
	return wait_s;
}

SaasStep
SaasAwsFailUnanswered(SaasPoll *poll, const SaasLane *lane)
{
	poll->problem = lane->problem;
	poll->verdict = lane->is_transient ? SAAS_VERDICT_RETRY : SAAS_VERDICT_ERROR;
	return SAAS_STEP_DONE;
}

/*
 * A signature is good for five minutes around its time, and a wrong clock looks
 * like a wrong key: AWS's own time has been tried when this is called.
 */
static SaasStep
fail_signature(SaasPoll *poll, const char *code)
{
	const AwsState *state = poll->state;
	long long	behind_s = state->skew_s;
	const char *whose = state->phase != AWS_METRICS && !state->has_own_keys ? "the operator's" : "the";
	SaasVerdict verdict = state->phase != AWS_METRICS && !state->has_own_keys ?
		SAAS_VERDICT_ERROR : SAAS_VERDICT_REAUTH;

	if (!state->is_corrected)
		return SaasPollFail(poll, verdict, "28000",
							"AWS refuses the signature (%s): %s secret access key is wrong", code, whose);
	if (strcmp(code, "SignatureDoesNotMatch") != 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
							"AWS refuses the signature (%s): this server's clock is %lld seconds %s AWS's, and 300 are allowed",
							code, llabs(behind_s), behind_s < 0 ? "ahead of" : "behind");
	return SaasPollFail(poll, verdict, "28000",
						"AWS refuses the signature (%s): %s secret access key is wrong, and this server's clock is %lld seconds %s AWS's",
						code, whose, llabs(behind_s), behind_s < 0 ? "ahead of" : "behind");
}

static SaasStep
fail_denied(SaasPoll *poll, const char *code)
{
	const AwsState *state = poll->state;

	if (state->phase == AWS_METRICS)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"the role may not read metrics in %s (%s): its permission policy must allow cloudwatch:GetMetricData",
							state->asked->name, code);
	return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
						"AWS refuses the role (%s): its trust policy must name this service and the external id %s",
						code, state->external_id);
}

static SaasStep
fail_keys(SaasPoll *poll, const char *code)
{
	const AwsState *state = poll->state;

	if (state->phase == AWS_METRICS)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "28000", "AWS does not take the role's new session (%s)", code);
	if (state->has_own_keys)
		return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
							"AWS does not know the access key (%s): please give new ones", code);
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "28000", "AWS does not know the operator's access key (%s)", code);
}

SaasStep
SaasAwsFail(SaasPoll *poll, const SaasResponse *response, const char *who)
{
	const char *code = SaasPollErrorCode(poll, SaasAwsErrorCode(response, poll->arena));

	switch (SaasAwsFaultOf(code))
	{
		case SAAS_AWS_THROTTLED:
			return SaasPollRetry(poll, response, "%s asks for fewer requests (%s)", who, code);
		case SAAS_AWS_INTERNAL:
			return SaasPollRetry(poll, response, "%s is not available (%s)", who, code);
		case SAAS_AWS_SIGNATURE:
			return fail_signature(poll, code);
		case SAAS_AWS_DENIED:
			return fail_denied(poll, code);
		case SAAS_AWS_EXPIRED:
			return fail_keys(poll, code);
		case SAAS_AWS_REGION:
			return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01",
								"%s: the account has not enabled the region (%s)", who, code);
		case SAAS_AWS_OTHER:
			break;
	}
	return SaasPollFailStatus(poll, response, who, code);
}

/* What has changed since the config was checked: the operator's settings. */
static bool
is_allowed(SaasPoll *poll, const AwsState *state)
{
	const char *const endpoints[] = {state->endpoints.sts, state->endpoints.cloudwatch};

	if (SaasAwsListHas(poll->aws_accounts, state->account_id))
	{
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023", "the account is one of this service's own");
		return false;
	}
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
		if (endpoints[i] != NULL && !SaasAwsListHas(poll->aws_endpoints, endpoints[i]))
		{
			SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023", "the operator does not allow the endpoint %s", endpoints[i]);
			return false;
		}
	return true;
}

/* The connection's own keys; the operator's only towards Amazon's own endpoints. */
static bool
choose_keys(SaasPoll *poll, AwsState *state)
{
	state->access_key_id = SaasPollSecret(poll, "access_key_id");
	state->secret_access_key = SaasPollSecret(poll, "secret_access_key");
	state->has_own_keys = state->access_key_id != NULL && state->secret_access_key != NULL;
	if (state->has_own_keys)
		return true;
	if (state->endpoints.sts != NULL || state->endpoints.cloudwatch != NULL)
	{
		SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "an endpoint of one's own needs access keys of one's own");
		return false;
	}
	state->access_key_id = SaasPollSecret(poll, "operator_access_key_id");
	state->secret_access_key = SaasPollSecret(poll, "operator_secret_access_key");
	if (state->access_key_id != NULL && state->secret_access_key != NULL)
		return true;
	SaasPollFail(poll, SAAS_VERDICT_ERROR, "55000", "the operator has configured no AWS credentials, and the connection has none");
	return false;
}

/* A session of an earlier poll; a changed config has made its time unknown. */
static bool
has_session(const SaasPoll *poll, AwsState *state)
{
	state->session.access_key_id = SaasPollSecret(poll, "session_access_key_id");
	state->session.secret_access_key = SaasPollSecret(poll, "session_secret_access_key");
	state->session.session_token = SaasPollSecret(poll, "session_token");
	return state->session.access_key_id != NULL && state->session.secret_access_key != NULL &&
		state->session.session_token != NULL &&
		poll->token_expires_ms - SESSION_MARGIN_MS > poll->now_ms;
}

static SaasStep
start(SaasPoll *poll)
{
	AwsState   *state = SaasArenaAlloc(poll->arena, sizeof(AwsState));

	poll->state = state;
	if (state == NULL)
		return SaasPollFailMemory(poll);
	if (!SaasAwsReadConfig(poll, state) || !is_allowed(poll, state) || !choose_keys(poll, state))
		return SAAS_STEP_DONE;
	state->external_id = SaasArenaPrintf(poll->arena, AWS_EXTERNAL_ID "%s", poll->connection_id);
	if (poll->connection_id == NULL || state->external_id == NULL)
		return SaasPollFailMemory(poll);
	SaasAwsReadProgress(poll);
	state->is_checked = state->is_checked && !poll->is_test;
	if (!state->is_checked)
		state->phase = AWS_WITHOUT_ID;
	else if (has_session(poll, state))
		return SaasAwsStartMetrics(poll);
	else
		state->phase = AWS_ASSUME;
	return SaasAwsAssumeRole(poll);
}

/*
 * Facts for test_connection, whatever came of it.  That a role which refuses
 * everybody requires the external id is not said.
 */
static void
describe(SaasPoll *poll)
{
	const AwsState *state = poll->state;
	SaasStrbuf	text;

	SaasStrbufInit(&text, poll->arena);
	SaasStrbufPrintf(&text, "{\"account_id\":\"%s\",\"external_id\":\"%s\",\"external_id_required\":%s,"
					 "\"regions\":%zu,\"metrics\":%zu,\"requests\":%d,\"messages\":%zu",
					 state->account_id, state->external_id,
					 state->is_open ? "false" : state->phase == AWS_METRICS ? "true" : "null",
					 state->region_count, state->metric_count, state->requests, state->messages);
	if (state->is_corrected)
		SaasStrbufPrintf(&text, ",\"clock_behind_s\":%lld", (long long) state->skew_s);
	if (poll->warning.sqlstate[0] != '\0')
	{
		SaasStrbufAppendText(&text, ",\"partial\":");
		SaasStrbufAppendJson(&text, poll->warning.message, strlen(poll->warning.message));
	}
	SaasStrbufAppendChar(&text, '}');
	poll->details = SaasStrbufFinish(&text);
}

static SaasStep
end(SaasPoll *poll, SaasStep step)
{
	if (step != SAAS_STEP_DONE)
		return step;
	if (poll->verdict != SAAS_VERDICT_OK)
		poll->samples.count = 0;
	describe(poll);
	return step;
}

/* A lane for the role is the only one there is, and no region's. */
static SaasStep
read_lane(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	lane->meter.pause_s = 0;
	return lane->state == NULL ? SaasAwsReadRole(poll, lane, response) :
		SaasAwsReadMetrics(poll, lane, response);
}

static SaasStep
join(SaasPoll *poll)
{
	return end(poll, SaasAwsJoin(poll));
}

const SaasConnector SaasAwsConnector = {
	.kind = "aws",
	.title = "Amazon Web Services",
	.secret_names = secret_names,
	.uses_aws_keys = true,
	.validate = SaasAwsValidate,
	.start = start,
	.read_lane = read_lane,
	.join = join
};
