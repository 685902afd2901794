/*
 * run_as.c
 *	  SPI under one of our own roles with a pinned search_path.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static void
begin(SaasRunAs *state, const char *role)
{
	GetUserIdAndSecContext(&state->user_id, &state->security_context);
	SetUserIdAndSecContext(get_role_oid(role, false),
						   state->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
SaasRunAsBegin(SaasRunAs *state, const char *role)
{
	state->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	begin(state, role);
}

void
SaasRunAsBeginQualified(SaasRunAs *state, const char *role)
{
	state->guc_level = 0;
	begin(state, role);
}

void
SaasRunAsEnd(SaasRunAs *state)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	SetUserIdAndSecContext(state->user_id, state->security_context);
	if (state->guc_level > 0)
		AtEOXact_GUC(true, state->guc_level);
}

bool
SaasIsInstalled(void)
{
	Oid			schema = get_namespace_oid("saas", true);

	return OidIsValid(schema) &&
		OidIsValid(get_relname_relid("schema_migration", schema));
}

bool
SaasIsInstallationTable(Oid relation)
{
	Oid			schema = get_namespace_oid("saas", true);

	return OidIsValid(schema) && relation == get_relname_relid("schema_migration", schema);
}

void
SaasRequireInstalled(void)
{
	if (!SaasIsInstalled())
		SaasRaise("55000", "pg_saas has no tables in this database", NULL,
				  "Run select saas.install() as a superuser.");
}
