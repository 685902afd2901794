/*
 * fuzz_salesforce.c
 *	  pure/salesforce.c and connector/salesforce.c: limits (first byte l), token
 *	  answers (t) and errors of the API (e), the latter with a byte for the
 *	  status.
 */
#include "pure/salesforce.h"

#include "polls.h"

static const char config[] =
	"{\"org_id\":\"00D000000000062EAA\",\"instance_url\":\"https://a.b\",\"login_url\":\"https://l.b\"}";
static const char secrets[] =
	"{\"client_id\":\"c\",\"client_secret\":\"" SECRET "\",\"refresh_token\":\"r" SECRET "\",\"access_token\":\"a" SECRET "\"}";

static const SaasConnector *
connector(void)
{
	return SaasConnectorFind("salesforce");
}

static void
fuzz_limits(SaasArena *arena, const char *body, size_t length)
{
	SaasSalesforceLimit *limits;
	size_t		count = 0;
	SaasProblem problem = {.sqlstate = ""};
	SaasPoll	poll;

	if (!SaasSalesforceLimitsRead(body, length, arena, &limits, &count, &problem))
		check_problem(&problem);
	else
	{
		must(count <= 2000);
		for (size_t i = 0; i < count; i++)
			must(limits[i].name[0] != '\0' && isfinite(limits[i].max) && isfinite(limits[i].remaining));
	}
	must(start(connector(), &poll, arena, config, secrets, 0) == SAAS_STEP_REQUEST);
	check_request(&poll.request);
	answer(connector(), &poll, 200, body, length);
}

/* With a token that has expired the first answer is the token endpoint's. */
static void
fuzz_token(SaasArena *arena, int status, const char *body, size_t length)
{
	SaasPoll	poll;
	SaasStep	step;

	must(start(connector(), &poll, arena, config, secrets, NOW_MS - 1) == SAAS_STEP_REQUEST);
	check_request(&poll.request);
	step = answer(connector(), &poll, status, body, length);
	must(step == SAAS_STEP_STORE || step == SAAS_STEP_DONE);
	for (const SaasSecret *secret = poll.new_secrets; secret != NULL; secret = secret->next)
		must(secret->value[0] != '\0' && strlen(secret->value) <= 8192);
}

static void
fuzz_error(SaasArena *arena, int status, const char *body, size_t length)
{
	SaasPoll	poll;
	SaasStep	step;

	must(start(connector(), &poll, arena, config, secrets, 0) == SAAS_STEP_REQUEST);
	step = answer(connector(), &poll, status, body, length);
	if (step == SAAS_STEP_REQUEST)
		must(answer(connector(), &poll, status, body, length) == SAAS_STEP_DONE ||
			 status < 300);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 400, 401, 403, 429, 500, 302, 404};
	const char *body = (const char *) data + 1;
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);

	if (size > 0 && data[0] == 'l')
		fuzz_limits(arena, body, size - 1);
	else if (size > 1 && data[0] == 't')
		fuzz_token(arena, statuses[data[1] % 8], body + 1, size - 2);
	else if (size > 1 && data[0] == 'e')
		fuzz_error(arena, statuses[data[1] % 8], body + 1, size - 2);
	SaasArenaDestroy(arena);
	return 0;
}
