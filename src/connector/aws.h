/*
 * aws.h
 *	  The parts of the AWS connector among themselves.
 */
#ifndef SAAS_CONNECTOR_AWS_H
#define SAAS_CONNECTOR_AWS_H

#include "connector/connector.h"
#include "pure/aws.h"

#define AWS_MAX_REGIONS		32
#define AWS_MAX_SERIES		1000	/* metrics times regions */
#define AWS_EXTERNAL_ID		"pg-saas-"	/* the connection's id follows */

/* Another endpoint than Amazon's own: its origin, or NULL. */
typedef struct AwsEndpoints
{
	const char *sts;
	const char *cloudwatch;
} AwsEndpoints;

typedef struct AwsMetric
{
	const char *query;			/* the MetricStat of GetMetricData */
	const char *metric;
	const char **labels;		/* by number of the region */
	const char *region;			/* only there; NULL: everywhere */
	int			period_s;
} AwsMetric;

/* One query of a region for a window of time, as many pages as it takes. */
typedef struct AwsCall
{
	int			period_s;
	int64_t		start_s;
	int64_t		end_s;			/* exclusive */
	const size_t *members;		/* numbers of metrics */
	size_t		count;
	bool		is_backfill;
} AwsCall;

/* How far the stored data of a region reach. */
typedef struct AwsReach
{
	int64_t		until_s;		/* exclusive; 0: nothing yet */
	int64_t		from_s;
} AwsReach;

typedef enum AwsRegionState
{
	AWS_REGION_OPEN,			/* to be asked, or under way */
	AWS_REGION_OUTDATED,		/* refuses the session: asked again with another */
	AWS_REGION_GOOD,
	AWS_REGION_FAILED			/* verdict and problem say why */
} AwsRegionState;

/* A region, which is asked on a lane of its own. */
typedef struct AwsRegion
{
	const char *name;
	size_t		number;
	AwsRegionState state;
	AwsReach	reach;			/* before this poll */
	AwsReach	next;			/* after it, when it ends well */
	AwsCall    *calls;			/* NULL: not planned yet */
	size_t		call_count;
	size_t		call;			/* the one under way */
	const char *next_token;
	int64_t		signed_skew_s;	/* of its last request */
	bool		is_partial;		/* AWS has more than it gave */
	int			throttled;		/* times in a row */
	SaasVerdict verdict;
	SaasProblem problem;
	int			retry_after_s;
} AwsRegion;

typedef enum AwsPhase
{
	AWS_WITHOUT_ID,				/* AssumeRole without an external id: must be refused */
	AWS_WRONG_ID,				/* with a wrong one: must be refused */
	AWS_ASSUME,
	AWS_METRICS
} AwsPhase;

typedef struct AwsState
{
	/* from the config */
	const char *account_id;
	const char *role_arn;
	const char *domain;			/* "amazonaws.com" */
	AwsEndpoints endpoints;
	AwsRegion	regions[AWS_MAX_REGIONS];	/* the given ones, then those of metrics */
	size_t		region_count;
	size_t		given_regions;
	AwsMetric  *metrics;
	size_t		metric_count;

	const char *external_id;
	const char *access_key_id;	/* who assumes the role */
	const char *secret_access_key;
	bool		has_own_keys;	/* and not the operator's */
	SaasAwsSession session;		/* the role's */
	bool		session_is_new;
	bool		is_checked;		/* the role refuses what it must */
	bool		is_open;		/* it does not */
	AwsPhase	phase;

	const AwsRegion *asked;		/* whose answer is being read */

	const char *fingerprint;	/* of the config: progress is for that one */
	bool		is_corrected;	/* skew_s was taken from AWS */
	int64_t		skew_s;			/* what AWS's clock is ahead of ours */
	int64_t		signed_skew_s;	/* of the last request to STS */

	size_t		messages;		/* of CloudWatch about its answers */
	int			requests;
} AwsState;

/* aws_config.c */
extern bool SaasAwsValidate(SaasValidation *validation);

/* aws_config.c: the stored config; false with the verdict set. */
extern bool SaasAwsReadConfig(SaasPoll *poll, AwsState *state);

/*
 * aws.c: whether what was signed at our time plus that many seconds is worth
 * another try: the answer's date tells that it was signed for a wrong time.  The
 * first time in a poll AWS's time is taken from it.
 */
extern bool SaasAwsCorrectClock(SaasPoll *poll, const SaasResponse *response, int64_t signed_skew_s);

/* aws.c: signs poll->request, which is complete, as service in region. */
extern bool SaasAwsSign(SaasPoll *poll, const SaasAwsSession *who, const char *region,
						const char *service);

/* aws.c: ends the poll with what an answer's error means; who is "AWS STS". */
extern SaasStep SaasAwsFail(SaasPoll *poll, const SaasResponse *response, const char *who);

/*
 * aws.c: names what counts the lane's requests: those of the account to that
 * service in that region, or at an endpoint of its own.  What goes to STS with
 * the operator's keys counts for these: AWS counts it for whom they belong to,
 * whatever the account of the role.
 */
extern bool SaasAwsMeter(SaasPoll *poll, SaasLane *lane, const char *service, const char *region,
						 const char *endpoint);

/*
 * aws.c: AWS throttles: whoever is counted with the lane waits for as many
 * seconds as the answer says, or else for wait_s.  Returns how many, which may
 * be more than anybody is made to wait: SAAS_AWS_PAUSE_S.
 */
#define SAAS_AWS_PAUSE_S	20
extern int	SaasAwsThrottle(const SaasPoll *poll, SaasLane *lane, const SaasResponse *response, int wait_s);

/* aws.c: ends the poll, or the lane, for which no answer came. */
extern SaasStep SaasAwsFailUnanswered(SaasPoll *poll, const SaasLane *lane);

/*
 * aws_role.c: asks for a session on a lane, in the phase that state->phase
 * says.  The lane ends with the session, or with the poll's verdict.
 */
extern SaasStep SaasAwsAssumeRole(SaasPoll *poll);
extern SaasStep SaasAwsReadRole(SaasPoll *poll, SaasLane *lane, const SaasResponse *response);

/* aws_metrics.c: asks each region for its metrics with the session. */
extern SaasStep SaasAwsStartMetrics(SaasPoll *poll);
extern SaasStep SaasAwsReadMetrics(SaasPoll *poll, SaasLane *lane, const SaasResponse *response);

/* aws_window.c: what this poll asks the region for, and how far its data will reach. */
extern bool SaasAwsPlanCalls(SaasPoll *poll, AwsRegion *region);

/* aws_window.c: whether the metric is asked for in that region with that period. */
extern bool SaasAwsIsAsked(const AwsState *state, const AwsMetric *metric, size_t region, int period_s);

/* aws_join.c: how the poll goes on when every region is done. */
extern SaasStep SaasAwsJoin(SaasPoll *poll);

/* aws_progress.c: what was stored of earlier polls, and what to store of this one. */
extern void SaasAwsReadProgress(SaasPoll *poll);
extern bool SaasAwsKeepProgress(SaasPoll *poll);

/* aws.c: the newest of that name wins, here and in the store. */
extern bool SaasAwsAddSecret(SaasPoll *poll, const char *name, const char *value);

#endif							/* SAAS_CONNECTOR_AWS_H */
