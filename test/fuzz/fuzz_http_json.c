/*
 * fuzz_http_json.c
 *	  connector/http_json*.c and oauth.c: documents (first byte d), token
 *	  answers (t, then a byte for the status), and configs (c).
 */
#include "polls.h"

#define METRICS	"\"metrics\":[{\"name\":\"a\",\"path\":\"$.a\"},{\"name\":\"b\",\"path\":\"$.i[*].v\"," \
	"\"labels\":{\"n\":\"@.n\",\"c\":\"x\"},\"time_path\":\"@.t\"},{\"name\":\"c\",\"path\":\"$.o.*\"," \
	"\"labels\":{\"k\":\"@\"}},{\"name\":\"d\",\"path\":\"$[0][*].x\",\"time_path\":\"$.time\"}]"

static const char document_config[] = "{\"url\":\"https://a.b/x\",\"auth\":\"bearer\"," METRICS "}";
static const char token_config[] =
	"{\"url\":\"https://a.b/x\",\"auth\":\"client_credentials\",\"token_url\":\"https://i.d/t\"," METRICS "}";

static const SaasConnector *
connector(void)
{
	return SaasConnectorFind("http_json");
}

static void
fuzz_document(SaasArena *arena, const char *body, size_t length)
{
	SaasPoll	poll;

	must(start(connector(), &poll, arena, document_config, "{\"bearer_token\":\"" SECRET "\"}", 0) ==
		 SAAS_STEP_REQUEST);
	check_request(&poll.request);
	must(answer(connector(), &poll, 200, body, length) == SAAS_STEP_DONE);
}

static void
fuzz_token(SaasArena *arena, int status, const char *body, size_t length)
{
	SaasPoll	poll;
	SaasStep	step;

	must(start(connector(), &poll, arena, token_config,
			   "{\"client_id\":\"c\",\"client_secret\":\"" SECRET "\"}", 0) == SAAS_STEP_REQUEST);
	step = answer(connector(), &poll, status, body, length);
	if (step == SAAS_STEP_DONE)
	{
		must(poll.new_secrets == NULL);
		return;
	}
	must(step == SAAS_STEP_STORE && status == 200 && poll.token_expires_ms > NOW_MS &&
		 poll.new_secrets->next == NULL && strlen(poll.new_secrets->value) <= 8192);
	/* Once, whatever the token is. */
	must(answer(connector(), &poll, 401, "", 0) == SAAS_STEP_DONE);
}

/* What is valid is stored in a form that is valid and stays as it is. */
static void
fuzz_config(SaasArena *arena, const char *text, size_t length)
{
	SaasValidation one;
	SaasValidation other;
	const char *config = SaasArenaStrndup(arena, text, length);

	if (!validate(connector(), &one, arena, config, NULL))
	{
		check_problem(&one.problem);
		must(strcmp(one.problem.sqlstate, "22023") == 0);
		return;
	}
	must(validate(connector(), &other, arena, one.normalized, NULL));
	must(strcmp(one.normalized, other.normalized) == 0 && strcmp(one.origin, other.origin) == 0 &&
		 strcmp(one.account_key, other.account_key) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 400, 401, 403, 429, 500, 302, 204};
	const char *body = (const char *) data + 1;
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);

	if (size > 0 && data[0] == 'd')
		fuzz_document(arena, body, size - 1);
	else if (size > 1 && data[0] == 't')
		fuzz_token(arena, statuses[data[1] % 8], body + 1, size - 2);
	else if (size > 0 && data[0] == 'c')
		fuzz_config(arena, body, size - 1);
	must(SaasArenaUsed(arena) <= ARENA_SIZE);
	SaasArenaDestroy(arena);
	return 0;
}
