/*
 * limits_sql.c
 *	  SQL functions for what counts whatever becomes of the transaction:
 *	  attempts, things used once, sessions ended at once, notes.  A proof of
 *	  isolation leaves nothing behind: in it they count nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "server/raise.h"
#include "state/client.h"
#include "state/identity.h"
#include "state/journal.h"
#include "state/limits.h"
#include "state/rate_limit.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Doubling stays far from what an int64 holds. */
#define LONGEST_TIME	(366 * USECS_PER_DAY)

/* Attempts on one subject in a proof, and subjects told apart. */
#define PROOF_ATTEMPTS	200
#define PROOF_SUBJECTS	8192
#define PROOF_WAIT_S	3600

PG_FUNCTION_INFO_V1(pg_saas_take_attempt);
PG_FUNCTION_INFO_V1(pg_saas_forget_attempts);
PG_FUNCTION_INFO_V1(pg_saas_use_once);
PG_FUNCTION_INFO_V1(pg_saas_is_used);
PG_FUNCTION_INFO_V1(pg_saas_end_session_now);
PG_FUNCTION_INFO_V1(pg_saas_session_is_ended);
PG_FUNCTION_INFO_V1(pg_saas_use_refresh);
PG_FUNCTION_INFO_V1(pg_saas_note);
PG_FUNCTION_INFO_V1(pg_saas_check_rate_limit);
PG_FUNCTION_INFO_V1(pg_saas_limits_status);
PG_FUNCTION_INFO_V1(pg_saas_client_address);
PG_FUNCTION_INFO_V1(pg_saas_client_subject);
PG_FUNCTION_INFO_V1(pg_saas_client_is_within);

/* The kind and subject that begin each function's arguments. */
typedef struct Subject
{
	char	   *kind;
	const char *bytes;
	size_t		length;
} Subject;

static Subject
subject_argument(FunctionCallInfo fcinfo)
{
	text	   *bytes;
	Subject		subject;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22004", "kind and subject must not be null", NULL, NULL);
	bytes = PG_GETARG_TEXT_PP(1);
	subject.kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	subject.bytes = VARDATA_ANY(bytes);
	subject.length = VARSIZE_ANY_EXHDR(bytes);
	if (subject.kind[0] == '\0' || strlen(subject.kind) >= NAMEDATALEN)
		SaasRaise("22023", "kind must have 1 to 63 bytes", NULL, NULL);
	return subject;
}

/* Microseconds; a month has 30 days. */
static int64
time_argument(FunctionCallInfo fcinfo, int number)
{
	Interval   *interval;
	int64		days;

	if (PG_ARGISNULL(number))
		SaasRaise("22004", "a time must not be null", NULL, NULL);
	interval = PG_GETARG_INTERVAL_P(number);
	days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	if (days < 0 || days > 366 || interval->time < 0 || interval->time > LONGEST_TIME ||
		days * USECS_PER_DAY + interval->time <= 0)
		SaasRaise("22023", "a time must be above zero and at most a year", NULL, NULL);
	return Min(days * USECS_PER_DAY + interval->time, LONGEST_TIME);
}

/*
 * A proof's own attempts are on made-up people, and few on each.  But it calls
 * functions of others, which must not guess real people's codes meanwhile.
 */
static int32
take_in_proof(const Subject *subject)
{
	static LocalTransactionId counted = InvalidLocalTransactionId;
	static uint16 attempts[PROOF_SUBJECTS];
	uint32		hash = hash_bytes((const unsigned char *) subject->bytes, (int) subject->length) ^
		hash_bytes((const unsigned char *) subject->kind, (int) strlen(subject->kind));
	uint16	   *taken = &attempts[hash % PROOF_SUBJECTS];

	if (counted != SaasLocalTransactionId())
		memset(attempts, 0, sizeof(attempts));
	counted = SaasLocalTransactionId();
	if (*taken >= PROOF_ATTEMPTS)
		return PROOF_WAIT_S;
	(*taken)++;
	return 0;
}

Datum
pg_saas_take_attempt(PG_FUNCTION_ARGS)
{
	Subject		subject = subject_argument(fcinfo);

	if (PG_ARGISNULL(2) || PG_GETARG_INT32(2) < 0)
		SaasRaise("22023", "the number of free attempts must not be negative", NULL, NULL);
	if (SaasIdentityIsProof())
		PG_RETURN_INT32(take_in_proof(&subject));
	PG_RETURN_INT32(SaasTakeAttempt(subject.kind, subject.bytes, subject.length, PG_GETARG_INT32(2),
									time_argument(fcinfo, 3), time_argument(fcinfo, 4),
									time_argument(fcinfo, 5)));
}

Datum
pg_saas_forget_attempts(PG_FUNCTION_ARGS)
{
	Subject		subject = subject_argument(fcinfo);

	if (SaasIdentityIsProof())
		PG_RETURN_VOID();
	SaasForgetAttempts(subject.kind, subject.bytes, subject.length);
	PG_RETURN_VOID();
}

Datum
pg_saas_use_once(PG_FUNCTION_ARGS)
{
	Subject		subject = subject_argument(fcinfo);

	if (SaasIdentityIsProof())
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(SaasUseOnce(subject.kind, subject.bytes, subject.length, time_argument(fcinfo, 2)));
}

Datum
pg_saas_is_used(PG_FUNCTION_ARGS)
{
	Subject		subject = subject_argument(fcinfo);

	PG_RETURN_BOOL(SaasIsUsed(subject.kind, subject.bytes, subject.length));
}

Datum
pg_saas_end_session_now(PG_FUNCTION_ARGS)
{
	if (!SaasIdentityIsProof())
		SaasEndSessionNow(PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}

Datum
pg_saas_session_is_ended(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SaasSessionIsEnded(PG_GETARG_UUID_P(0)));
}

Datum
pg_saas_use_refresh(PG_FUNCTION_ARGS)
{
	if (SaasIdentityIsProof())
		PG_RETURN_TIMESTAMPTZ(GetCurrentTimestamp());
	PG_RETURN_TIMESTAMPTZ(SaasUseRefresh(PG_GETARG_UUID_P(0), PG_GETARG_INT32(1), time_argument(fcinfo, 2)));
}

Datum
pg_saas_note(PG_FUNCTION_ARGS)
{
	const char *payload = "{}";

	if (PG_ARGISNULL(0))
		SaasRaise("22004", "kind must not be null", NULL, NULL);
	if (SaasIdentityIsProof())
		PG_RETURN_VOID();
	if (!PG_ARGISNULL(2))
	{
		Jsonb	   *json = PG_GETARG_JSONB_P(2);

		payload = JsonbToCString(NULL, &json->root, VARSIZE(json));
	}
	SaasNoteDown(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1),
				 payload);
	PG_RETURN_VOID();
}

/* Of the function's row; found once for all calls of a statement. */
static TupleDesc
row_type(FunctionCallInfo fcinfo)
{
	FmgrInfo   *function = fcinfo->flinfo;

	if (function->fn_extra == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(function->fn_mcxt);
		TupleDesc	description;

		if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "function does not return a row");
		function->fn_extra = BlessTupleDesc(description);
		MemoryContextSwitchTo(caller);
	}
	return function->fn_extra;
}

Datum
pg_saas_check_rate_limit(PG_FUNCTION_ARGS)
{
	SaasRateVerdict verdict = {.allowed = true};
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!SaasIdentityIsProof())
		SaasRateLimitCheck(PG_ARGISNULL(0) ? NULL : PG_GETARG_INET_PP(0), &verdict);
	values[0] = BoolGetDatum(verdict.allowed);
	values[1] = Int32GetDatum(verdict.limit);
	values[2] = Int32GetDatum(verdict.remaining);
	values[3] = Int32GetDatum(verdict.reset_s);
	values[4] = Int32GetDatum(verdict.retry_after_s);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row_type(fcinfo), values, nulls)));
}

static void
put_status(ReturnSetInfo *result, const char *name, int64 capacity, int64 used, int64 lost)
{
	Datum		values[4] = {
		CStringGetTextDatum(name), Int64GetDatum(capacity), Int64GetDatum(used), Int64GetDatum(lost)
	};
	bool		nulls[4] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
pg_saas_limits_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SaasKeyedStatus tables[SAAS_LIMIT_TABLES];
	SaasJournalStatus journal;

	InitMaterializedSRF(fcinfo, 0);
	SaasLimitsGetStatus(tables);
	for (int i = 0; i < SAAS_LIMIT_TABLES; i++)
		put_status(result, tables[i].name, tables[i].capacity, tables[i].used, tables[i].lost);
	SaasJournalGetStatus(&journal);
	put_status(result, "journal", journal.capacity, journal.used, journal.lost);
	return (Datum) 0;
}

Datum
pg_saas_client_address(PG_FUNCTION_ARGS)
{
	SaasClientAddress client;
	inet	   *address;

	SaasClientGet(&client);
	address = SaasClientInet(&client);
	if (address == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INET_P(address);
}

Datum
pg_saas_client_is_within(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_ARGISNULL(0) || SaasClientIsWithin(PG_GETARG_ARRAYTYPE_P(0)));
}

Datum
pg_saas_client_subject(PG_FUNCTION_ARGS)
{
	SaasClientAddress client;

	SaasClientGet(&client);
	if (client.kind == SAAS_CLIENT_UNNAMED)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(SaasClientSubject(&client)));
}
