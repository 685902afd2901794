/*
 * connector.h
 *	  The contract between a connector and the poller.
 *
 * A connector validates the config and secrets of its kind, builds requests
 * and reads responses.  It is pure: no PostgreSQL, no libcurl, no clock, no
 * knowledge of other connectors; everything it allocates lives in the poll's
 * arena.  A new kind is one file and one line in kinds.h.
 *
 * The life of a poll: start() fills poll->request and answers
 * SAAS_STEP_REQUEST; each response goes to read(), which answers with a
 * further request or SAAS_STEP_DONE.  A kind that asks a database instead
 * fills poll->database and answers SAAS_STEP_ASK; what comes goes to
 * read_rows().  SAAS_STEP_STORE asks the poller to
 * commit poll->new_secrets (a rotated refresh token is single-use) before it
 * performs poll->request.
 *
 * A kind that can ask several places at once fills poll->lanes and answers
 * SAAS_STEP_PARALLEL.  Each lane goes its own way: what comes, or that nothing
 * came, goes to read_lane(), which answers with the lane's next request or
 * SAAS_STEP_DONE.  When all lanes are done, join() says how the poll goes on.
 */
#ifndef SAAS_CONNECTOR_H
#define SAAS_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/database.h"
#include "base/http.h"
#include "base/problem.h"
#include "base/sample.h"

#define SAAS_POLL_MAX_REQUESTS	64	/* requests that one poll may make */
#define SAAS_POLL_MAX_SAMPLES	20000	/* samples that one poll may yield */
#define SAAS_POLL_PARALLEL		4	/* requests that one poll has under way at once */

/* A named secret, opened only in the poller's memory. */
typedef struct SaasSecret
{
	const char *name;
	const char *value;
	struct SaasSecret *next;
} SaasSecret;

typedef enum SaasVerdict
{
	SAAS_VERDICT_OK,
	SAAS_VERDICT_RETRY,			/* transient: back off, honour retry_after_s */
	SAAS_VERDICT_ERROR,			/* will not heal alone soon; backs off too */
	SAAS_VERDICT_REAUTH			/* the owner must give new credentials */
} SaasVerdict;

typedef enum SaasStep
{
	SAAS_STEP_REQUEST,			/* perform poll->request, then read() */
	SAAS_STEP_ASK,				/* perform poll->database, then read_rows() */
	SAAS_STEP_STORE,			/* commit poll->new_secrets, then as REQUEST */
	SAAS_STEP_PARALLEL,			/* perform poll->lanes, then read_lane() each, then join() */
	SAAS_STEP_DONE				/* verdict and samples are final */
} SaasStep;

/* What an upstream counts requests by: an account in a region. */
typedef struct SaasMeter
{
	const char *key;			/* names it, for all organizations; NULL: nothing is counted */
	int			per_second;		/* requests; as many may come at once */
	int			pause_s;		/* out: the upstream throttles; nobody asks for so long.  Set anew by
								 * each read_lane() */
} SaasMeter;

/* One of several ways that a poll goes at the same time. */
typedef struct SaasLane
{
	/* filled by the connector */
	SaasRequest request;
	SaasMeter	meter;
	void	   *state;			/* the connector's own, in the arena */

	/* given by the poller to read_lane() when no answer came */
	SaasProblem problem;
	bool		is_transient;
} SaasLane;

typedef struct SaasPoll
{
	/* given by the poller */
	SaasArena  *arena;
	const char *config;			/* normalized JSON text, as validate() made it */
	SaasSecret *secrets;		/* the connector puts newer ones in front */
	int64_t		now_ms;			/* start of the poll, Unix milliseconds */
	size_t		max_samples;	/* at most SAAS_POLL_MAX_SAMPLES */
	const char *connection_id;	/* as text */
	bool		is_test;		/* of test_connection: samples are not stored */
	const char *aws_endpoints;	/* settings of those names; NULL: empty */
	const char *aws_accounts;
	int			aws_requests_per_second;
	int			retention_days; /* how long the organization's plan keeps samples; 0: for ever */

	/* filled by the connector */
	SaasRequest request;
	SaasLane   *lanes;
	size_t		lane_count;
	SaasDatabaseRequest database;
	SaasVerdict verdict;
	SaasProblem problem;		/* set unless the verdict is OK; message is what the tenant sees */
	SaasProblem warning;		/* with the verdict OK: what is missing, for the tenant */
	int			retry_after_s;	/* 0: none was asked for */
	SaasSampleList samples;
	SaasSecret *new_secrets;	/* to seal in place of those of the same name */
	int64_t		token_expires_ms;	/* in: when the stored token expires, 0 when
									 * unknown; out: when the newest one does */
	const char *details;		/* JSON object of facts for test_connection, NULL when none */

	void	   *state;			/* the connector's own, in the arena */
} SaasPoll;

/* What validate() is given and gives back. */
typedef struct SaasValidation
{
	SaasArena  *arena;
	const char *config;			/* JSON object text from the tenant */
	const char *secrets;		/* JSON object text; NULL: leave secrets unchecked */
	bool		allow_http;		/* operator allows plain HTTP */
	const char *aws_endpoints;	/* settings of those names; NULL: empty */
	const char *aws_accounts;

	const char *normalized;		/* config to store: defaults filled, ids normalized */
	const char *account_key;	/* names the upstream account: the same twice is a duplicate */
	const char *external_account_id;	/* shown to people; NULL when the kind has none */
	const char *origin;			/* scheme://host:port that the secrets belong to, several
								 * separated by a space: compare, do not take apart */
	SaasSecret *secret_list;	/* the given secrets, by name */

	SaasProblem problem;		/* 22023 with DETAIL [{"field","message"}] */
} SaasValidation;

typedef struct SaasConnector
{
	const char *kind;
	const char *title;			/* for people */
	const char *const *secret_names;	/* NULL-terminated: secrets this kind knows */
	bool		uses_aws_keys;	/* polls get the operator's as secrets operator_access_key_id and
								 * operator_secret_access_key, where there are any */

	/*
	 * Refuses unknown kinds of keys, missing and malformed ones; every field
	 * error is collected before it returns false.
	 */
	bool		(*validate) (SaasValidation *validation);
	SaasStep	(*start) (SaasPoll *poll);
	SaasStep	(*read) (SaasPoll *poll, const SaasResponse *response);	/* NULL: asks by lanes only */
	SaasStep	(*read_rows) (SaasPoll *poll, const SaasDatabaseAnswer *answer);	/* NULL: never asks */
	/* NULL: has no lanes.  response is NULL when none came: lane->problem says why. */
	SaasStep	(*read_lane) (SaasPoll *poll, SaasLane *lane, const SaasResponse *response);
	SaasStep	(*join) (SaasPoll *poll);
} SaasConnector;

/* registry.c: the connector of a kind, or NULL. */
extern const SaasConnector *SaasConnectorFind(const char *kind);

/* registry.c: all connectors, NULL-terminated. */
extern const SaasConnector *const *SaasConnectorList(void);

#endif							/* SAAS_CONNECTOR_H */
