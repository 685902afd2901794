/*
 * pg_saas.c
 *	  Loading the library: each module announces itself.
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "server/redaction.h"
#include "sql/login_hook.h"
#include "sql/tenant_hook.h"
#include "state/blind_index.h"
#include "state/identity.h"
#include "state/journal.h"
#include "state/keyring.h"
#include "state/limits.h"
#include "state/login.h"
#include "state/registry.h"
#include "state/settings.h"
#include "state/shared.h"
#include "state/tenant.h"
#include "state/upstream_meter.h"
#include "store/layout.h"
#include "store/partition.h"
#include "worker/launcher.h"
#include "worker/utility_hook.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_saas must be loaded via \"shared_preload_libraries\""),
				 errhint("Add pg_saas to shared_preload_libraries and restart the server.")));

	SaasSettingsInit();
	SaasIdentityInit();
	SaasRedactionInit();
	SaasKeyringInit();
	SaasBlindIndexInit();
	SaasSharedInit();
	SaasLimitsInit();
	SaasJournalInit();
	SaasMeterInit();
	SaasLayoutInit();
	SaasPartitionInit();
	SaasUtilityHookInit();
	SaasRegistryInit();
	SaasLoginInit();
	SaasLoginHookInit();
	SaasTenantInit();
	SaasTenantHookInit();
	/* pg_upgrade runs the old server once more: nothing may act or write there. */
	if (!IsBinaryUpgrade)
		SaasLauncherInit();
	MarkGUCPrefixReserved("saas");
}
