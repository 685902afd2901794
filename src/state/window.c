/*
 * window.c
 *	  How far back the plan of the current organization shows its metrics.
 *
 * Policies ask this per row: it is looked up once in a transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "server/plan.h"
#include "server/run_as.h"
#include "state/identity.h"
#include "state/window.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Qualified, as the look-up of an identity is. */
static const char *const window_query =
	"select k.raw_since, k.five_since, k.hour_since, k.day_since from saas_private.retention_of($1) k";

static SPIPlanPtr window_plan = NULL;

/* What this transaction found for that organization. */
static struct
{
	LocalTransactionId lxid;
	pg_uuid_t	org_id;
	TimestampTz since[SAAS_WINDOW_LEVELS];
}			found = {InvalidLocalTransactionId};

/* An organization that is gone shows nothing. */
static void
find(const pg_uuid_t *org_id)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(org_id)};
	SaasRunAs	state;

	found.lxid = InvalidLocalTransactionId;
	SaasRunAsBeginQualified(&state, "saas_service");
	SaasPlanKeep(&window_plan, window_query, lengthof(types), types, CURSOR_OPT_GENERIC_PLAN);
	if (SPI_execute_plan(window_plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up how long metrics are kept");
	for (int level = 0; level < SAAS_WINDOW_LEVELS; level++)
	{
		bool		is_null = true;
		Datum		since = 0;

		if (SPI_processed == 1)
			since = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, level + 1, &is_null);
		found.since[level] = is_null ? DT_NOEND : DatumGetTimestampTz(since);
	}
	SaasRunAsEnd(&state);
	found.org_id = *org_id;
	found.lxid = SaasLocalTransactionId();
}

TimestampTz
SaasWindowSince(int level)
{
	const SaasIdentity *identity = SaasIdentityGet();

	Assert(level >= 0 && level < SAAS_WINDOW_LEVELS);
	if (!identity->has_org)
		return DT_NOBEGIN;
	if (found.lxid != SaasLocalTransactionId() ||
		memcmp(&found.org_id, &identity->org_id, sizeof(pg_uuid_t)) != 0)
		find(&identity->org_id);
	return found.since[level];
}
