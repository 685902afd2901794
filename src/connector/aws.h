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

/* One query of one region for a window of time, as many pages as it takes. */
typedef struct AwsCall
{
	size_t		region;			/* its number */
	int			period_s;
	int64_t		start_s;
	int64_t		end_s;			/* exclusive */
	const size_t *members;		/* numbers of metrics */
	size_t		count;
	bool		is_backfill;
} AwsCall;

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
	const char *regions[AWS_MAX_REGIONS];	/* the given ones, then those of metrics */
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

	/* how far the stored data reach */
	const char *fingerprint;	/* of the config */
	int64_t		until_s;		/* exclusive; 0: nothing yet */
	int64_t		from_s;
	int64_t		next_until_s;
	int64_t		next_from_s;

	AwsCall    *calls;
	size_t		call_count;
	size_t		call;			/* the one under way */
	const char *next_token;
	bool		is_partial;		/* AWS has more than it gave */
	size_t		messages;		/* of CloudWatch about its answers */
	int			requests;
} AwsState;

/* aws_config.c */
extern bool SaasAwsValidate(SaasValidation *validation);

/* aws_config.c: the stored config; false with the verdict set. */
extern bool SaasAwsReadConfig(SaasPoll *poll, AwsState *state);

/* aws.c: signs poll->request, which is complete, as service in region. */
extern bool SaasAwsSign(SaasPoll *poll, const SaasAwsSession *who, const char *region,
						const char *service);

/* aws.c: ends the poll with what an answer's error means; who is "AWS STS". */
extern SaasStep SaasAwsFail(SaasPoll *poll, const SaasResponse *response, const char *who);

/* aws_role.c: asks for a session, in the phase that state->phase says. */
extern SaasStep SaasAwsAssumeRole(SaasPoll *poll);
extern SaasStep SaasAwsReadRole(SaasPoll *poll, const SaasResponse *response);

/* aws_metrics.c: asks for the metrics with the session. */
extern SaasStep SaasAwsStartMetrics(SaasPoll *poll);
extern SaasStep SaasAwsReadMetrics(SaasPoll *poll, const SaasResponse *response);

/* aws_progress.c: what was stored of earlier polls, and what to store of this one. */
extern void SaasAwsReadProgress(SaasPoll *poll);
extern bool SaasAwsKeepProgress(SaasPoll *poll);

/* aws.c: the newest of that name wins, here and in the store. */
extern bool SaasAwsAddSecret(SaasPoll *poll, const char *name, const char *value);

#endif							/* SAAS_CONNECTOR_AWS_H */
