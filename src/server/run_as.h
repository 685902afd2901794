/*
 * run_as.h
 *	  SPI under one of our own roles with a pinned search_path.
 *
 * The C code that must look across organizations does so as saas_service,
 * saas_poller or saas_owner, each with explicit policies on the tables it
 * needs, never as the session's user.
 */
#ifndef SAAS_RUN_AS_H
#define SAAS_RUN_AS_H

#include "postgres.h"

typedef struct SaasRunAs
{
	Oid			user_id;
	int			security_context;
	int			guc_level;
} SaasRunAs;

/*
 * Switches user and search_path and connects SPI.  An error in between is
 * undone by the (sub)transaction's abort, as PostgreSQL does for its own
 * switches.  42704 when the role is missing.
 */
extern void SaasRunAsBegin(SaasRunAs *state, const char *role);
extern void SaasRunAsEnd(SaasRunAs *state);

/*
 * Like Begin and End without the cost of setting search_path, for statements
 * whose every name and operator is qualified.
 */
extern void SaasRunAsBeginQualified(SaasRunAs *state, const char *role);

/* Whether the schema that saas.install() makes is there. */
extern bool SaasIsInstalled(void);

/* Whether it is the table whose presence SaasIsInstalled() goes by. */
extern bool SaasIsInstallationTable(Oid relation);

/* Errors with 55000 and the missing command unless SaasIsInstalled(). */
extern void SaasRequireInstalled(void);

#endif							/* SAAS_RUN_AS_H */
