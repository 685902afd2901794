/*
 * audit_sql.c
 *	  SQL's side of the audit.
 */
#include "postgres.h"

#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "server/masked_json.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "sql/procedure.h"
#include "state/identity.h"
#include "state/keyring.h"
#include "store/audit.h"
#include "store/audit_chain.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "worker/sealer.h"

PG_FUNCTION_INFO_V1(pg_saas_audit);
PG_FUNCTION_INFO_V1(pg_saas_mask);
PG_FUNCTION_INFO_V1(pg_saas_refuse_change);
PG_FUNCTION_INFO_V1(pg_saas_seal_audit);
PG_FUNCTION_INFO_V1(pg_saas_erase_audit);
PG_FUNCTION_INFO_V1(pg_saas_audit_point);
PG_FUNCTION_INFO_V1(pg_saas_verify_chain);

static const pg_uuid_t *
organization_of_event(FunctionCallInfo fcinfo, int argument)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!PG_ARGISNULL(argument))
		return PG_GETARG_UUID_P(argument);
	return identity->has_org ? &identity->org_id : &SaasPlatformOrg;
}

Datum
pg_saas_audit(PG_FUNCTION_ARGS)
{
	SaasAuditEvent event = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22023", "an event of the audit needs an action and an object type", NULL, NULL);
	event.org_id = organization_of_event(fcinfo, 5);
	event.action = text_to_cstring(PG_GETARG_TEXT_PP(0));
	event.object_type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	event.object_id = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	event.before = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	event.after = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);
	SaasAuditAppend(&event);
	PG_RETURN_VOID();
}

Datum
pg_saas_mask(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(SaasMaskedJson(PG_GETARG_JSONB_P(0)));
}

Datum
pg_saas_refuse_change(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	SaasRaise("PT403", "the audit is append-only", NULL,
			  "saas.prune_audit() removes its oldest entries.");
	return (Datum) 0;
}

Datum
pg_saas_seal_audit(PG_FUNCTION_ARGS)
{
	SaasProcedureRequireTop(fcinfo, "saas.seal_audit");
	SaasRequireInstalled();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	SPI_commit();
	SaasSealAll(&SaasProcedureHost, 0);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
pg_saas_erase_audit(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(SaasAuditErase(PG_GETARG_UUID_P(0), PG_GETARG_INT64(1), PG_GETARG_INT32(2)));
}

static Datum
digest_bytea(const uint8_t *digest)
{
	bytea	   *bytes = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);

	SET_VARSIZE(bytes, VARHDRSZ + SAAS_DIGEST_LENGTH);
	memcpy(VARDATA(bytes), digest, SAAS_DIGEST_LENGTH);
	return PointerGetDatum(bytes);
}

/* The row of a function that returns one. */
static Datum
row_datum(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	shape;

	if (get_call_result_type(fcinfo, NULL, &shape) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls));
}

Datum
pg_saas_audit_point(PG_FUNCTION_ARGS)
{
	SaasAuditPoint point;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!SaasAuditGetPoint(PG_GETARG_UUID_P(0), &point))
		PG_RETURN_NULL();
	values[0] = Int64GetDatum(point.sequence);
	values[1] = digest_bytea(point.hash);
	values[2] = TimestampTzGetDatum(point.at);
	values[3] = Int32GetDatum(point.key_version);
	values[4] = digest_bytea(point.mac);
	return row_datum(fcinfo, values, nulls);
}

/* SQL has checked its shape. */
static void
read_digest(FunctionCallInfo fcinfo, int argument, uint8_t digest[SAAS_DIGEST_LENGTH])
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(argument);

	if (VARSIZE_ANY_EXHDR(bytes) != SAAS_DIGEST_LENGTH)
		SaasRaise("22023", "a checkpoint's hash and mac have 32 bytes", NULL, NULL);
	memcpy(digest, VARDATA_ANY(bytes), SAAS_DIGEST_LENGTH);
}

static SaasAuditPoint *
read_point(FunctionCallInfo fcinfo)
{
	SaasAuditPoint *point;

	for (int i = 1; i <= 5; i++)
	{
		if (PG_ARGISNULL(i))
			return NULL;
	}
	point = palloc0(sizeof(SaasAuditPoint));
	point->sequence = PG_GETARG_INT64(1);
	read_digest(fcinfo, 2, point->hash);
	point->at = PG_GETARG_TIMESTAMPTZ(3);
	point->key_version = PG_GETARG_INT32(4);
	read_digest(fcinfo, 5, point->mac);
	return point;
}

Datum
pg_saas_verify_chain(PG_FUNCTION_ARGS)
{
	SaasAuditVerdict verdict;
	Datum		values[8] = {0};
	bool		nulls[8] = {false};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	SaasAuditVerify(PG_GETARG_UUID_P(0), read_point(fcinfo), &verdict);
	values[0] = BoolGetDatum(verdict.problem == NULL);
	nulls[1] = verdict.first_sequence == 0;
	values[1] = Int64GetDatum(verdict.first_sequence);
	values[2] = Int64GetDatum(verdict.last_sequence);
	values[3] = Int64GetDatum(verdict.checked);
	values[4] = Int64GetDatum(verdict.unsealed);
	nulls[5] = verdict.broken_sequence == 0;
	values[5] = Int64GetDatum(verdict.broken_sequence);
	nulls[6] = !verdict.has_event;
	values[6] = UUIDPGetDatum(&verdict.event_id);
	nulls[7] = verdict.problem == NULL;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(verdict.problem);
	return row_datum(fcinfo, values, nulls);
}
