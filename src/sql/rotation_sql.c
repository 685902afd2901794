/*
 * rotation_sql.c
 *	  SQL's side of rotation, of the budget and of the end of data keys.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "sql/procedure.h"
#include "state/key_budget.h"
#include "state/keyring.h"
#include "store/vault_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
#include "worker/rotator.h"

PG_FUNCTION_INFO_V1(pg_saas_rewrap_data_keys);
PG_FUNCTION_INFO_V1(pg_saas_rotate_data_keys);
PG_FUNCTION_INFO_V1(pg_saas_next_data_key);
PG_FUNCTION_INFO_V1(pg_saas_lock_data_keys);
PG_FUNCTION_INFO_V1(pg_saas_vault_status);

static void
begin_procedure(FunctionCallInfo fcinfo, const char *name)
{
	SaasProcedureRequireTop(fcinfo, name);
	SaasRequireInstalled();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	SPI_commit();
}

Datum
pg_saas_rewrap_data_keys(PG_FUNCTION_ARGS)
{
	SaasRewrap	rewrap;

	begin_procedure(fcinfo, "saas.rewrap_data_keys");
	SaasRewrapAll(&SaasProcedureHost, &rewrap);
	ereport(NOTICE,
			(errmsg("wrapped " INT64_FORMAT " data keys with version %d of the master key", rewrap.done,
					rewrap.master_version)));
	if (rewrap.left > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " data keys are left, because other transactions hold them", rewrap.left),
				 errhint("Call saas.rewrap_data_keys() again.")));
	SPI_finish();
	PG_RETURN_VOID();
}

static void
tell_rotation(const SaasRotationReport *report)
{
	if (report->rotation.is_resumed)
		ereport(NOTICE,
				(errmsg("went on with the rotation that was begun at %s",
						timestamptz_to_str(report->rotation.started_at))));
	ereport(NOTICE,
			(errmsg("sealed " INT64_FORMAT " values again; %d old keys dropped, %d kept", report->counts.done,
					report->old.dropped, report->old.kept)));
	if (report->counts.locked > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " values are left, because other transactions hold them",
						report->counts.locked),
				 errhint("Call saas.rotate_data_keys() again: it goes on with this rotation.")));
	if (report->counts.failed > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " values could not be sealed again: %s", report->counts.failed,
						report->counts.problem)));
	if (report->unregistered > 0)
		ereport(NOTICE,
				(errmsg("%d sealed columns are not registered, so the old keys of their values stay",
						report->unregistered),
				 errhint("saas.vault_status() names them; saas.register_sealed_column() registers them.")));
}

Datum
pg_saas_rotate_data_keys(PG_FUNCTION_ARGS)
{
	SaasRotationReport report;
	Interval	older_than = {0};
	pg_uuid_t	org_id;
	bool		has_org = !PG_ARGISNULL(0);

	if (has_org)
		org_id = *PG_GETARG_UUID_P(0);
	if (!PG_ARGISNULL(1))
		older_than = *PG_GETARG_INTERVAL_P(1);
	if (older_than.time < 0 || older_than.day < 0 || older_than.month < 0)
		SaasRaise("22023", "older_than must not be negative", NULL, NULL);
	begin_procedure(fcinfo, "saas.rotate_data_keys");
	SaasRotateAll(&SaasProcedureHost, has_org ? &org_id : NULL, &older_than, &report);
	tell_rotation(&report);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
pg_saas_next_data_key(PG_FUNCTION_ARGS)
{
	int			version;

	if (PG_GETARG_INT64(1) < SAAS_KEY_BUDGET_ROTATE)
		PG_RETURN_NULL();
	version = SaasKeyringNext(PG_GETARG_UUID_P(0), DT_NOEND);
	if (version == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(version);
}

Datum
pg_saas_lock_data_keys(PG_FUNCTION_ARGS)
{
	SaasKeyringLock(PG_GETARG_UUID_P(0));
	SaasKeyringChanged();
	PG_RETURN_VOID();
}

static void
put_fact(void *arg, const char *fact, const char *subject, int64 value, const char *detail)
{
	ReturnSetInfo *result = arg;
	Datum		values[4] = {
		CStringGetTextDatum(fact), subject ? CStringGetTextDatum(subject) : (Datum) 0, Int64GetDatum(value),
		detail ? CStringGetTextDatum(detail) : (Datum) 0
	};
	bool		nulls[4] = {false, subject == NULL, false, detail == NULL};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
pg_saas_vault_status(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	SaasRequireInstalled();
	SaasVaultStatus(put_fact, fcinfo->resultinfo);
	return (Datum) 0;
}
