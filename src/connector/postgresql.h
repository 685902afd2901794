/*
 * postgresql.h
 *	  What the files of the PostgreSQL connector share.
 */
#ifndef SAAS_CONNECTOR_POSTGRESQL_H
#define SAAS_CONNECTOR_POSTGRESQL_H

#include "connector/connector.h"

#define SAAS_POSTGRESQL_MAX_QUERIES		20	/* of the owner's */
#define SAAS_POSTGRESQL_MAX_ROWS		1000	/* of one query */
#define SAAS_POSTGRESQL_HEALTH_QUERIES	4

/* The name of our own queries, and what their metrics begin with. */
#define SAAS_POSTGRESQL_PREFIX	"postgresql"

/* postgresql_health.c: what is asked of every server. */
extern const SaasDatabaseQuery SaasPostgresqlHealth[SAAS_POSTGRESQL_HEALTH_QUERIES];

/* postgresql_config.c */
extern bool SaasPostgresqlValidate(SaasValidation *validation);

/* postgresql_rows.c: the samples and the verdict of what came back. */
extern SaasStep SaasPostgresqlRead(SaasPoll *poll, const SaasDatabaseAnswer *answer);

#endif							/* SAAS_CONNECTOR_POSTGRESQL_H */
