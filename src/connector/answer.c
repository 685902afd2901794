/*
 * answer.c
 *	  What the connectors to an endpoint of the tenant's own choice share when
 *	  they read its document.
 */
#include <string.h>
#include <strings.h>

#include "connector/answer.h"
#include "connector/poll.h"

#define MAX_TYPE	80			/* shown in an error */

const char *
SaasAnswerType(SaasPoll *poll, const SaasResponse *response, const char *expected)
{
	const char *type = response->content_type != NULL ? response->content_type : "";
	size_t		length;
	const char *text;

	type += strspn(type, " \t");
	length = strcspn(type, "; \t");
	if (length == 0 || length > MAX_TYPE ||
		strspn(type, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+-._") < length)
		return "";
	if (expected != NULL && strlen(expected) == length && strncasecmp(type, expected, length) == 0)
		return "";
	text = SaasArenaPrintf(poll->arena, " (%.*s)", (int) length, type);
	return text != NULL && !SaasPollHoldsSecret(poll, text) ? text : "";
}

static SaasStep
fail_times(SaasPoll *poll, size_t ahead)
{
	poll->samples.count = 0;
	if (ahead > 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22008",
							"the times of the samples are more than %d minutes ahead: "
							"the endpoint's clock is wrong",
							(int) (SAAS_FUTURE_SAMPLE_MS / 60000));
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22008",
						"the times of the samples are more than %d days old",
						(int) (SAAS_OLDEST_SAMPLE_MS / 86400000));
}

SaasStep
SaasAnswerDone(SaasPoll *poll, const char *facts)
{
	size_t		untimely = 0;
	size_t		ahead = 0;

	for (size_t i = 0; i < poll->samples.count; i++)
	{
		const SaasSample *sample = &poll->samples.items[i];

		if (SaasSampleIsTimely(sample, poll->now_ms))
			continue;
		untimely++;
		ahead += sample->time_ms > poll->now_ms;
	}
	if (untimely > 0 && untimely == poll->samples.count)
		return fail_times(poll, ahead);
	if (facts != NULL)
		poll->details = untimely > 0 ?
			SaasArenaPrintf(poll->arena, "%s,\"untimely\":%zu}", facts, untimely) :
			SaasArenaPrintf(poll->arena, "%s}", facts);
	return SaasPollDone(poll);
}
