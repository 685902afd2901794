/*
 * poller.h
 *	  The background worker that polls one database's connections.
 */
#ifndef SAAS_POLLER_H
#define SAAS_POLLER_H

#include "postgres.h"

extern PGDLLEXPORT void pg_saas_poller_main(Datum arg);

#endif							/* SAAS_POLLER_H */
