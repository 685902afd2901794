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

/* Each as in "eu-west-1": {"until": 1762950600, "from": 1760358600}. */
static void
read_regions(AwsState *state, const json_t *stored)
{
	const json_t *regions = json_object_get(stored, "regions");

	for (size_t i = 0; i < state->region_count; i++)
	{
		AwsRegion  *region = &state->regions[i];
		const json_t *reach = json_object_get(regions, region->name);

		region->reach.until_s = json_integer_value(json_object_get(reach, "until"));
		region->reach.from_s = json_integer_value(json_object_get(reach, "from"));
	}
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
		read_regions(state, stored);
	json_decref(stored);
}

/* What a region lacks is asked for again: with partial data the samples are good all the same. */
static bool
has_advanced(const AwsRegion *region)
{
	return region->state == AWS_REGION_GOOD && !region->is_partial;
}

bool
SaasAwsKeepProgress(SaasPoll *poll)
{
	const AwsState *state = poll->state;
	json_t	   *progress = json_pack("{sssssss{}}", "role", state->role_arn, "external_id", state->external_id,
									 "config", state->fingerprint != NULL ? state->fingerprint : "", "regions");
	char	   *text;
	const char *copy;

	for (size_t i = 0; progress != NULL && i < state->region_count; i++)
	{
		const AwsRegion *region = &state->regions[i];
		const AwsReach *reach = has_advanced(region) ? &region->next : &region->reach;

		json_object_set_new(json_object_get(progress, "regions"), region->name,
							json_pack("{sIsI}", "until", (json_int_t) reach->until_s,
									  "from", (json_int_t) reach->from_s));
	}
	text = progress != NULL ? json_dumps(progress, JSON_COMPACT) : NULL;
	copy = SaasArenaStrdup(poll->arena, text);
	free(text);
	json_decref(progress);
	return SaasAwsAddSecret(poll, NAME, copy);
}
