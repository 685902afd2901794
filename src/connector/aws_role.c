/*
 * aws_role.c
 *	  Assumes the role of an AWS connection, after two attempts that it must
 *	  refuse.
 */
#include <string.h>

#include "base/strbuf.h"
#include "connector/aws.h"
#include "connector/poll.h"
#include "pure/crypto.h"

#define SESSION_S			3600
#define MAX_ANSWER			(64 * 1024)
#define MAX_LIFE_MS			(2 * 3600 * INT64_C(1000))
#define WHO					"AWS STS"
#define THROTTLE_WAIT_S		2

/* Of the form of an external id of ours, so that a pattern in a trust policy lets it in. */
static const char *
wrong_id(SaasPoll *poll)
{
	uint8_t		bytes[16];
	char		hex[2 * sizeof(bytes) + 1];

	if (!SaasRandomBytes(bytes, sizeof(bytes)))
		return NULL;
	SaasHexEncode(bytes, sizeof(bytes), hex);
	return SaasArenaPrintf(poll->arena, AWS_EXTERNAL_ID "%.8s-%.4s-%.4s-%.4s-%.12s",
						   hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static void
append_field(SaasStrbuf *form, const char *name, const char *value)
{
	SaasStrbufPrintf(form, "&%s=", name);
	SaasStrbufAppendUrlEncoded(form, value);
}

static bool
make_form(SaasPoll *poll, const AwsState *state)
{
	const char *external_id = state->phase == AWS_WRONG_ID ? wrong_id(poll) : state->external_id;
	const char *session = SaasArenaPrintf(poll->arena, "pg-saas-%s", state->account_id);
	SaasStrbuf	form;

	if (external_id == NULL || session == NULL)
		return false;
	SaasStrbufInit(&form, poll->arena);
	SaasStrbufAppendText(&form, "Action=AssumeRole&Version=2011-06-15");
	append_field(&form, "RoleArn", state->role_arn);
	append_field(&form, "RoleSessionName", session);
	SaasStrbufPrintf(&form, "&DurationSeconds=%d", SESSION_S);
	if (state->phase != AWS_WITHOUT_ID)
		append_field(&form, "ExternalId", external_id);
	poll->request.body = SaasStrbufFinish(&form);
	poll->request.body_length = form.length;
	poll->request.max_response = MAX_ANSWER;
	return poll->request.body != NULL;
}

/* Makes the lane's request for the phase that state->phase says. */
static SaasStep
request_role(SaasPoll *poll, SaasLane *lane)
{
	AwsState   *state = poll->state;
	const SaasAwsSession who = {state->access_key_id, state->secret_access_key, NULL, 0};
	const char *region = state->regions[0].name;
	const char *url = state->endpoints.sts != NULL ?
		SaasArenaPrintf(poll->arena, "%s/", state->endpoints.sts) :
		SaasArenaPrintf(poll->arena, "https://sts.%s.%s/", region, state->domain);

	if (url == NULL || !SaasPollRequest(poll, "POST", url, NULL) || !make_form(poll, state) ||
		!SaasRequestAddHeader(&poll->request, poll->arena, "Content-Type",
							  "application/x-www-form-urlencoded; charset=utf-8"))
		return SaasPollFailMemory(poll);
	if (!SaasAwsSign(poll, &who, region, "sts"))
		return poll->problem.sqlstate[0] == '\0' ? SaasPollFailMemory(poll) :
			SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000", "the access keys cannot sign: %s", poll->problem.message);
	lane->request = poll->request;
	state->signed_skew_s = state->skew_s;
	state->requests++;
	return SAAS_STEP_REQUEST;
}

SaasStep
SaasAwsAssumeRole(SaasPoll *poll)
{
	const AwsState *state = poll->state;
	SaasStep	step;

	poll->lanes = SaasArenaAlloc(poll->arena, sizeof(SaasLane));
	poll->lane_count = 1;
	if (poll->lanes == NULL ||
		!SaasAwsMeter(poll, poll->lanes, "sts", state->regions[0].name, state->endpoints.sts))
		return SaasPollFailMemory(poll);
	step = request_role(poll, poll->lanes);
	return step == SAAS_STEP_REQUEST ? SAAS_STEP_PARALLEL : step;
}

/* The answer's time by our clock, where that is believable. */
static int64_t
expiry_of(const SaasPoll *poll, const SaasAwsSession *session)
{
	const AwsState *state = poll->state;
	int64_t		expires_ms = session->expires_ms - state->skew_s * 1000;

	if (expires_ms > poll->now_ms && expires_ms < poll->now_ms + MAX_LIFE_MS)
		return expires_ms;
	return poll->now_ms + SESSION_S * INT64_C(1000);
}

static SaasStep
take_session(SaasPoll *poll, const SaasResponse *response)
{
	AwsState   *state = poll->state;

	if (!SaasAwsReadSession(response->body, poll->arena, &state->session))
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer of " WHO " holds no credentials");
	if (!SaasAwsAddSecret(poll, "session_access_key_id", state->session.access_key_id) ||
		!SaasAwsAddSecret(poll, "session_secret_access_key", state->session.secret_access_key) ||
		!SaasAwsAddSecret(poll, "session_token", state->session.session_token))
		return SaasPollFailMemory(poll);
	poll->token_expires_ms = expiry_of(poll, &state->session);
	state->session_is_new = true;
	return SAAS_STEP_DONE;
}

/* Others of the account wait as well; this poll does not, and is tried again later. */
static SaasStep
fail(SaasPoll *poll, SaasLane *lane, const SaasResponse *response, SaasAwsFault fault)
{
	if (fault == SAAS_AWS_THROTTLED || response->status == 429)
		(void) SaasAwsThrottle(poll, lane, response, THROTTLE_WAIT_S);
	return SaasAwsFail(poll, response, WHO);
}

/*
 * The role let somebody in whom it must refuse.  What it gave is forgotten
 * with the poll, unused.
 */
static SaasStep
fail_open(SaasPoll *poll)
{
	AwsState   *state = poll->state;

	state->is_open = true;
	return SaasPollFail(poll, SAAS_VERDICT_REAUTH, "28000",
						"the role can be assumed %s external id: anybody could have it read here; its trust policy must require sts:ExternalId %s",
						state->phase == AWS_WITHOUT_ID ? "without an" : "with a wrong", state->external_id);
}

SaasStep
SaasAwsReadRole(SaasPoll *poll, SaasLane *lane, const SaasResponse *response)
{
	AwsState   *state = poll->state;
	SaasAwsFault fault;

	if (response == NULL)
		return SaasAwsFailUnanswered(poll, lane);
	if (response->status == 200)
		return state->phase == AWS_ASSUME ? take_session(poll, response) : fail_open(poll);
	fault = SaasAwsFaultOf(SaasAwsErrorCode(response, poll->arena));
	if (fault == SAAS_AWS_SIGNATURE && SaasAwsCorrectClock(poll, response, state->signed_skew_s))
		return request_role(poll, lane);
	if (state->phase == AWS_ASSUME || response->status != 403 || fault != SAAS_AWS_DENIED)
		return fail(poll, lane, response, fault);
	state->is_checked = state->phase == AWS_WRONG_ID;
	state->phase = state->phase == AWS_WITHOUT_ID ? AWS_WRONG_ID : AWS_ASSUME;
	return request_role(poll, lane);
}
