/*
 * job.h
 *	  One poll of one connection on its way from claim to ingest.
 */
#ifndef SAAS_JOB_H
#define SAAS_JOB_H

#include "postgres.h"

#include "base/stage.h"
#include "connector/connector.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/uuid.h"

/* What asked for the poll and waits for its end; the engine's own. */
struct SaasWaiter;

struct SaasJob;

typedef enum SaasFlightState
{
	SAAS_FLIGHT_WAITING,		/* for its time, and for a place */
	SAAS_FLIGHT_ACTIVE,
	SAAS_FLIGHT_ENDED
} SaasFlightState;

/* What a job's transfer is tagged with. */
typedef struct SaasFlight
{
	struct SaasJob *job;
	SaasLane   *lane;			/* NULL: the job's only request */
	SaasFlightState state;
	TimestampTz start_at;		/* while it waits: not before */
	SaasStages	stages;
	int			http_status;
} SaasFlight;

typedef struct SaasJob
{
	MemoryContext context;		/* holds the job, its arena and all it made */
	pg_uuid_t	org_id;
	pg_uuid_t	connection_id;
	char	   *origin;			/* what the secrets are bound to */
	const SaasConnector *connector; /* NULL: this library does not know the kind */
	bool		is_test;		/* stores no samples */
	bool		is_asked;		/* a session asked for it, due or not */
	int			failures;		/* in a row, before this poll */
	int			weight;			/* polls that its organization starts in a turn */
	int64		place;			/* among its organization's that were claimed with it, from its turn's
								 * beginning on; 0: claimed for who asked */
	int64		interval_ms;
	TimestampTz due_at;
	TimestampTz next_at;		/* when it is due again; set by ingest */
	TimestampTz claimed_at;
	TimestampTz lease_until;
	TimestampTz polled_at;		/* the time of samples without one of their own */
	int			duration_ms;
	int			requests;		/* made so far */
	int			stored_samples;
	bool		is_lost;		/* connection or lease are gone: nothing to store */
	bool		is_closed;		/* its organization is not active: only tokens to store */
	bool		is_returned;	/* not begun: it goes back as if it had not been claimed */
	SaasStages	stages;			/* of all its requests together */
	int			http_status;	/* of the last answer; 0: none yet */
	SaasPoll	poll;
	SaasFlight	flight;			/* of poll.request */
	SaasFlight *flights;		/* of poll.lanes */
	int			flight_count;
	int			open_flights;	/* of them not ended */
	int			active_flights;
	bool		is_among_lanes; /* in the engine's list of those with flights that wait */
	int			places;			/* of its organization's share that its flights hold */
	struct SaasWaiter *waiters;
	struct SaasJob *next;		/* in the list of its present place */
	dlist_node	all_node;		/* among all jobs of the engine */
} SaasJob;

#endif							/* SAAS_JOB_H */
