/*
 * launcher.h
 *	  The one process that starts the pollers of every database that has the
 *	  extension.  It runs outside recovery only and reads nothing but
 *	  pg_database.
 */
#ifndef SAAS_LAUNCHER_H
#define SAAS_LAUNCHER_H

#include "postgres.h"

/* Registers the launcher with the postmaster; call while preloading. */
extern void SaasLauncherInit(void);

extern PGDLLEXPORT void pg_saas_launcher_main(Datum arg);

#endif							/* SAAS_LAUNCHER_H */
