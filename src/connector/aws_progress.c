/*
 * aws_progress.c
 *	  How far the stored data of an AWS connection reach.
 *
 * It is kept among the connection's sealed values and stored in the same
 * transaction as the samples, so that it never says more than is there.  It
 * also says which role has passed the check of its external id.
 */
#include <stdlib.h>
#include <string.h>

#include "connector/aws.h"
#include "connector/poll.h"
#include "pure/crypto.h"
#include "pure/json.h"

#define NAME	"progress"

/* Other metrics or regions have gaps of their own: then it begins anew. */
static const char *
fingerprint_of(SaasPoll *poll)
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	char		hex[2 * SAAS_DIGEST_LENGTH + 1];

	if (!SaasSha256(poll->config, strlen(poll->config), digest))
		return NULL;
	SaasHexEncode(digest, sizeof(digest), hex);
	return SaasArenaStrndup(poll->arena, hex, 32);
}

static bool
is_text(const json_t *object, const char *name, const char *expected)
{
	const char *text = SaasJsonText(object, name);

	return text != NULL && expected != NULL && strcmp(text, expected) == 0;
}

void
SaasAwsReadProgress(SaasPoll *poll)
{
	AwsState   *state = poll->state;
	const char *text = SaasPollSecret(poll, NAME);
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *stored = text != NULL ? SaasJsonRead(text, strlen(text), false, "the progress", &problem) : NULL;

	state->fingerprint = fingerprint_of(poll);
	if (stored == NULL)
		return;
	state->is_checked = is_text(stored, "role", state->role_arn) && is_text(stored, "external_id", state->external_id);
	if (is_text(stored, "config", state->fingerprint))
	{
		state->until_s = json_integer_value(json_object_get(stored, "until"));
		state->from_s = json_integer_value(json_object_get(stored, "from"));
	}
	json_decref(stored);
}

bool
SaasAwsKeepProgress(SaasPoll *poll)
{
	const AwsState *state = poll->state;
	json_t	   *progress = json_pack("{sssssssIsI}", "role", state->role_arn, "external_id", state->external_id,
									 "config", state->fingerprint != NULL ? state->fingerprint : "",
									 "until", (json_int_t) state->next_until_s,
									 "from", (json_int_t) state->next_from_s);
	char	   *text = progress != NULL ? json_dumps(progress, JSON_COMPACT) : NULL;
	const char *copy = SaasArenaStrdup(poll->arena, text);

	free(text);
	json_decref(progress);
	return SaasAwsAddSecret(poll, NAME, copy);
}
