/*
 * aws_join.c
 *	  What the regions of a poll of an AWS connection come to together.
 */
#include "connector/aws.h"
#include "connector/poll.h"

static const AwsRegion *
first_of(const AwsState *state, AwsRegionState what)
{
	for (size_t i = 0; i < state->region_count; i++)
		if (state->regions[i].state == what)
			return &state->regions[i];
	return NULL;
}

/* The longest that one of them asked for. */
static int
longest_wait(const AwsState *state)
{
	int			wait_s = 0;

	for (size_t i = 0; i < state->region_count; i++)
		if (state->regions[i].retry_after_s > wait_s)
			wait_s = state->regions[i].retry_after_s;
	return wait_s;
}

static SaasStep
fail_all(SaasPoll *poll, const AwsRegion *failed)
{
	const AwsState *state = poll->state;

	poll->verdict = failed->verdict;
	poll->problem = failed->problem;
	poll->retry_after_s = longest_wait(state);
	if (state->region_count > 1)
		SaasProblemSet(&poll->problem, failed->problem.sqlstate, "%s: %s", failed->name, failed->problem.message);
	return SAAS_STEP_DONE;
}

/* The others' metrics are good; what is missing is asked for again. */
static void
warn(SaasPoll *poll, const AwsRegion *failed)
{
	const AwsState *state = poll->state;
	size_t		count = 0;

	for (size_t i = 0; i < state->region_count; i++)
		count += state->regions[i].state == AWS_REGION_FAILED;
	if (count > 1)
		SaasProblemSet(&poll->warning, failed->problem.sqlstate, "%zu regions are missing, %s: %s", count,
					   failed->name, failed->problem.message);
	else
		SaasProblemSet(&poll->warning, failed->problem.sqlstate, "%s is missing: %s", failed->name,
					   failed->problem.message);
}

SaasStep
SaasAwsJoin(SaasPoll *poll)
{
	AwsState   *state = poll->state;
	const AwsRegion *failed = first_of(state, AWS_REGION_FAILED);

	/* The lane was the role's, and no region's: there is a session, or a verdict. */
	if (poll->lane_count > 0 && poll->lanes[0].state == NULL)
		return poll->verdict == SAAS_VERDICT_OK ? SaasAwsStartMetrics(poll) : SAAS_STEP_DONE;
	if (first_of(state, AWS_REGION_OUTDATED) != NULL)
	{
		state->phase = AWS_ASSUME;
		return SaasAwsAssumeRole(poll);
	}
	if (failed != NULL && first_of(state, AWS_REGION_GOOD) == NULL)
		return fail_all(poll, failed);
	if (failed != NULL)
		warn(poll, failed);
	if (!poll->is_test && !SaasAwsKeepProgress(poll))
		return SaasPollFailMemory(poll);
	return SaasPollDone(poll);
}
