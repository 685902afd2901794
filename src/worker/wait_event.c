/*
 * wait_event.c
 *	  What pg_stat_activity shows while our processes wait.
 *
 * Before 17 the server has one name for all waits of extensions, whatever
 * number comes with it.  Names of our own could be had as LWLocks, which would
 * tell of a contention that is none; so there the text of the activity says what
 * is waited for (worker/poller.c).
 */
#include "postgres.h"

#include "compat.h"
#include "worker/wait_event.h"

uint32
SaasWaitEventNetwork(void)
{
	static uint32 event = 0;

	return event ? event : (event = SaasWaitEventNew("PgSaasNetwork"));
}

uint32
SaasWaitEventAnswer(void)
{
	static uint32 event = 0;

	return event ? event : (event = SaasWaitEventNew("PgSaasAnswer"));
}

uint32
SaasWaitEventIdle(void)
{
	static uint32 event = 0;

	return event ? event : (event = SaasWaitEventNew("PgSaasIdle"));
}
