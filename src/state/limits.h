/*
 * limits.h
 *	  What must count whatever becomes of the transaction: requests, attempts,
 *	  things used once, sessions ended at once, refresh tokens that were used.
 *
 * A caller can roll back what it wrote after seeing the outcome, so all of
 * this lives in shared memory and is counted before anything is verified.
 * None of it takes a transaction id; it works in READ ONLY transactions and on
 * a standby (whose memory is its own).  A restart or crash of the server
 * forgets everything but the sessions and uses of refresh tokens that were
 * written down meanwhile.
 *
 * Six tables of saas.limit_entries each, so that a flood of one kind does not
 * touch another.  Requests make room by forgetting who has asked longest ago,
 * attempts by forgetting who has made the fewest: refused instead, one client
 * with made-up addresses could keep everybody from signing in.  The other four
 * never forget before their time and fail closed with PT503.
 * Everything is kept per database.
 */
#ifndef SAAS_LIMITS_H
#define SAAS_LIMITS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "state/keyed.h"
#include "utils/uuid.h"

/* Shared memory; call while preloading, after the settings. */
extern void SaasLimitsInit(void);

typedef struct SaasRateVerdict
{
	bool		allowed;
	bool		is_news;		/* the first refusal of the key within a second */
	int			limit;
	int			remaining;
	int			reset_s;		/* until the whole limit is there again */
	int			retry_after_s;	/* until one more would be allowed; 0 when allowed */
} SaasRateVerdict;

/*
 * Counts one request of the key against limit requests per window.  The window
 * slides in sixteen steps: who keeps to the limit in every window is never
 * refused, and no fifteen sixteenths of a window see more than the limit.  A
 * refused request is not counted.  Another window length begins anew.
 */
extern void SaasRateTake(const char *kind, const void *subject, size_t length, int limit, int window_s,
						 SaasRateVerdict *verdict);

/*
 * Takes one counted request back: it was none, or another limit has refused
 * it.
 */
extern void SaasRateGiveBack(const char *kind, const void *subject, size_t length);

/*
 * Counts an attempt before it is verified: 0 to go on, else the seconds to
 * wait.  The first `free` attempts go on; each further one waits after the one
 * before for base_wait, doubled per attempt, at most max_wait.  An attempt
 * that must wait is not counted; all are forgotten when none was counted for
 * the window.  Times in microseconds.
 */
extern int	SaasTakeAttempt(const char *kind, const void *subject, size_t length, int free_attempts,
							int64 base_wait, int64 max_wait, int64 window);
extern void SaasForgetAttempts(const char *kind, const void *subject, size_t length);

/* True the first time within the time, in microseconds. */
extern bool SaasUseOnce(const char *kind, const void *subject, size_t length, int64 valid_for);

/*
 * The same for the nonces of requests that an organization's keys have signed,
 * in a memory of their own of which no organization takes more than its share:
 * false with allowed unset, and the time to wait, when it has.
 */
extern bool SaasUseNonce(const pg_uuid_t *org_id, const char *nonce, size_t length, int valid_for_s,
						 SaasRateVerdict *verdict);
extern bool SaasIsUsed(const char *kind, const void *subject, size_t length);

/* From here on the session's tokens are refused; the worker writes it down. */
extern void SaasEndSessionNow(const pg_uuid_t *session_id);
extern bool SaasSessionIsEnded(const pg_uuid_t *session_id);

/* A session that was ended and is not written down. */
typedef struct SaasEndedSession
{
	pg_uuid_t	id;
	TimestampTz ended_at;
} SaasEndedSession;

/* Up to limit of this database's into list; returns how many. */
extern int	SaasEndedSessions(SaasEndedSession *list, int limit);

/* The row says it now, committed. */
extern void SaasForgetEndedSession(const pg_uuid_t *session_id);

/*
 * A use of a session's refresh tokens of one generation, which all go with the
 * first of them that is used, and when that was.
 */
typedef struct SaasRefresh
{
	pg_uuid_t	session_id;
	int			generation;
	TimestampTz used_at;
} SaasRefresh;

/*
 * Uses a session's refresh tokens of that generation and says when they were
 * used first; DT_NOBEGIN when later ones were used already.  Memory keeps the
 * newest use of each session for valid_for microseconds, or until the worker
 * has written it down.
 */
extern TimestampTz SaasUseRefresh(const pg_uuid_t *session_id, int generation, int64 valid_for);

/* Up to limit of this database's into list; returns how many. */
extern int	SaasRefreshes(SaasRefresh *list, int limit);

/* The rows say it now, committed; a newer use of the session stays. */
extern void SaasForgetRefresh(const SaasRefresh *refresh);

#define SAAS_LIMIT_TABLES	6

extern void SaasLimitsGetStatus(SaasKeyedStatus status[SAAS_LIMIT_TABLES]);

#endif							/* SAAS_LIMITS_H */
