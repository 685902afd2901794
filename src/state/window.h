/*
 * window.h
 *	  How far back the plan of the current organization shows its metrics.
 */
#ifndef SAAS_WINDOW_H
#define SAAS_WINDOW_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Readings, and rollups by 5 minutes, hour and day. */
#define SAAS_WINDOW_LEVELS	4

/*
 * The time from which on a level is shown, the same for the whole transaction;
 * -infinity without a limit, and without an organization.
 */
extern TimestampTz SaasWindowSince(int level);

#endif							/* SAAS_WINDOW_H */
