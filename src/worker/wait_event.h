/*
 * wait_event.h
 *	  What pg_stat_activity shows while our processes wait.
 */
#ifndef SAAS_WAIT_EVENT_H
#define SAAS_WAIT_EVENT_H

#include "postgres.h"

/* Waiting for upstreams. */
extern uint32 SaasWaitEventNetwork(void);

/* A session waiting for the poller's answer. */
extern uint32 SaasWaitEventAnswer(void);

/* The launcher, or a poller with nothing to do. */
extern uint32 SaasWaitEventIdle(void);

#endif							/* SAAS_WAIT_EVENT_H */
