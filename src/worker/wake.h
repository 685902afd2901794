/*
 * wake.h
 *	  Waking the poller when what a transaction did is there to see.
 */
#ifndef SAAS_WAKE_H
#define SAAS_WAKE_H

#include "postgres.h"

/* Wakes this database's poller when the transaction commits, once. */
extern void SaasWakeAtCommit(void);

#endif							/* SAAS_WAKE_H */
