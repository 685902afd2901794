/*
 * wait_event.c
 *	  What pg_stat_activity shows while our processes wait.
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
