/*
 * poller_sql.c
 *	  SQL's side of the poller: polling in a session, asking the worker, and
 *	  seeing how it does.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "sql/procedure.h"
#include "state/settings.h"
#include "state/shared.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"
#include "worker/drain.h"
#include "worker/engine.h"
#include "worker/wait_event.h"
#include "worker/wake.h"

#define CLAIM_BATCH		500
#define CLAIM_AGAIN_MS	100
#define LOOK_MS			500

PG_FUNCTION_INFO_V1(pg_saas_poll);
PG_FUNCTION_INFO_V1(pg_saas_poll_now);
PG_FUNCTION_INFO_V1(pg_saas_poller_status);
PG_FUNCTION_INFO_V1(pg_saas_wake_poller);

Datum
pg_saas_wake_poller(PG_FUNCTION_ARGS)
{
	SaasWakeAtCommit();
	PG_RETURN_VOID();
}

static void
require_ready(SaasStoreReadiness readiness)
{
	SaasRequireInstalled();
	if (readiness == SAAS_STORE_COPY)
		SaasRaise("55000", "this database is a copy of the one that pg_saas was installed in", NULL,
				  "A superuser lets it poll with select saas.adopt().");
	if (readiness == SAAS_STORE_OTHER_VERSION)
		SaasRaise("55000", "the server's library and the database's extension pg_saas are of different versions", NULL,
				  "Restart the server after an upgrade, then run alter extension pg_saas update.");
	if (readiness == SAAS_STORE_NOT_MIGRATED)
		SaasRaise("55000", "the tables of pg_saas are older than the extension", NULL,
				  "Run select saas.migrate() as a superuser.");
}

/* Whether what ended since a claim that gave nothing is worth another one. */
static bool
may_claim_again(SaasEngine *engine, int count_then, TimestampTz asked_at)
{
	int			count = SaasEngineCount(engine);

	return count == 0 || count < count_then - count_then / 4 ||
		(count < count_then && TimestampDifferenceExceeds(asked_at, GetCurrentTimestamp(), CLAIM_AGAIN_MS));
}

/*
 * Claims again whenever there is room, so that a slow upstream holds back
 * nobody else, until once nothing more is due.
 */
static void
poll_due(SaasEngine *engine, int limit)
{
	int			left = limit;

	for (;;)
	{
		bool		is_all = true;
		int			claimed = left > 0 ? SaasEngineClaimDue(engine, Min(left, CLAIM_BATCH), &is_all) : 0;
		int			count = SaasEngineCount(engine);
		TimestampTz asked_at = GetCurrentTimestamp();

		left -= claimed;
		if (claimed > 0 && !is_all)
			continue;
		if (claimed == 0 && !SaasEngineIsFull(engine))
			left = 0;
		if (claimed == 0 && count == 0)
			return;
		while (SaasEngineCount(engine) > 0 && (left == 0 || !may_claim_again(engine, count, asked_at)))
			(void) SaasEngineStep(engine, -1);
	}
}

/* All of it: nobody settles the rest where the worker is off. */
static void
settle(const SaasEngineHost *host)
{
	int			count;

	do
	{
		host->begin();
		count = SaasClaimSettle();
		host->commit();
	} while (count >= SAAS_CLAIM_SETTLED);
}

Datum
pg_saas_poll(PG_FUNCTION_ARGS)
{
	const SaasEngineHost *host = &SaasProcedureHost;
	int			limit = PG_ARGISNULL(0) ? PG_INT32_MAX : PG_GETARG_INT32(0);
	SaasEngine *engine;

	SaasProcedureRequireTop(fcinfo, "saas.poll");
	if (limit < 0)
		SaasRaise("22023", "max_connections must not be negative", NULL, NULL);
	require_ready(SaasClaimReadiness());
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	engine = SaasEngineCreate(PortalContext, host);
	SPI_commit();
	SaasDrain(host);
	settle(host);
	poll_due(engine, limit);
	SaasEngineDestroy(engine);
	SPI_finish();
	PG_RETURN_VOID();
}

static dsm_segment *
make_request(const pg_uuid_t *org_id, ArrayType *ids, bool is_test)
{
	SaasPollRequest *request;
	dsm_segment *segment;
	Datum	   *items;
	bool	   *nulls;
	int			count;
	Size		size;

	deconstruct_array(ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &items, &nulls, &count);
	size = add_size(offsetof(SaasPollRequest, outcomes), mul_size(sizeof(SaasPollOutcome), count));
	segment = dsm_create(size, 0);
	request = dsm_segment_address(segment);
	memset(request, 0, size);
	request->org_id = *org_id;
	request->is_test = is_test;
	request->count = count;
	request->latch = MyLatch;
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			SaasRaise("22004", "a connection id is null", NULL, NULL);
		request->outcomes[i].connection_id = *DatumGetUUIDP(items[i]);
		pg_atomic_init_u32(&request->outcomes[i].is_done, 0);
	}
	return segment;
}

static int
count_open(SaasPollRequest *request)
{
	int			open = 0;

	for (int i = 0; i < request->count; i++)
		open += pg_atomic_read_u32(&request->outcomes[i].is_done) == 0;
	pg_read_barrier();
	return open;
}

/* Waits for the answers; false when the poller went away meanwhile. */
static bool
wait_for_answers(SaasPollRequest *request, pid_t poller, int timeout_ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	while (count_open(request) > 0)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			return true;
		if (!SaasSharedHasPoller(poller))
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, LOOK_MS), SaasWaitEventAnswer());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/* The poller writes UTF-8. */
static char *
to_server(const char *text)
{
	return pg_any_to_server(text, (int) strlen(text), PG_UTF8);
}

static const struct
{
	const char *name;
	const char *hint;			/* when the upstream's answer gives none */
}			stages[SAAS_STAGES] = {
	{"resolve", "Check the host name and that the server's DNS knows it."},
	{"connect", "Check host and port, and that a firewall lets this server in."},
	{"tls", "Check the host's certificate; one of an authority of your own needs the secret ca_certificate."},
	{"authenticate", "Give the connection new credentials with set_connection_secrets."},
	{"authorize", "Let the account of these credentials read what is polled."},
	{"read", "Look at the upstream: it is reached and does not answer well."},
	{"parse", "Check that the address is that of the data, and what the connection's kind expects."}
};

/* Every stage that was reached, and the one that failed with its error and what to do. */
static char *
stages_json(const SaasPollOutcome *outcome)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '[');
	for (int i = 0; i < SAAS_STAGES; i++)
	{
		bool		failed = outcome->stages.failed == i;

		if (outcome->stages.ms[i] < 0 && !failed)
			continue;
		appendStringInfo(&text, "%s{\"step\":\"%s\",\"ok\":%s,\"ms\":%d,\"error\":", text.len > 1 ? "," : "",
						 stages[i].name, failed ? "false" : "true", Max(outcome->stages.ms[i], 0));
		if (failed)
		{
			escape_json(&text, to_server(outcome->error));
			appendStringInfoString(&text, ",\"hint\":");
			escape_json(&text, outcome->hint[0] ? to_server(outcome->hint) : stages[i].hint);
			appendStringInfoChar(&text, '}');
			break;
		}
		appendStringInfoString(&text, "null,\"hint\":null}");
	}
	appendStringInfoChar(&text, ']');
	return text.data;
}

static void
put_outcome(ReturnSetInfo *result, SaasPollOutcome *outcome, int timeout_ms, bool poller_left)
{
	bool		done = pg_atomic_read_u32(&outcome->is_done) != 0;
	const char *error = outcome->error;
	Datum		values[8];
	bool		nulls[8] = {false};

	if (!done)
		error = poller_left ? "the poller stopped before it answered"
			: psprintf("no answer within %d ms", timeout_ms);
	values[0] = UUIDPGetDatum(&outcome->connection_id);
	values[1] = BoolGetDatum(done && outcome->ok);
	nulls[2] = done && outcome->ok;
	values[2] = CStringGetTextDatum(to_server(error));
	nulls[3] = !done || outcome->details[0] == '\0';
	values[3] = nulls[3] ? (Datum) 0
		: DirectFunctionCall1(jsonb_in, CStringGetDatum(to_server(outcome->details)));
	values[4] = Int32GetDatum(done ? outcome->samples : 0);
	values[5] = Int32GetDatum(done ? outcome->duration_ms : timeout_ms);
	values[6] = BoolGetDatum(done && outcome->from_store);
	nulls[7] = !done;
	values[7] = done ? DirectFunctionCall1(jsonb_in, CStringGetDatum(stages_json(outcome))) : (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
pg_saas_poll_now(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			timeout_ms = PG_GETARG_INT32(3);
	SaasPollRequest *request;
	dsm_segment *segment;
	bool		answered;

	InitMaterializedSRF(fcinfo, 0);
	/* The worker could not see what this transaction wrote, and would wait for its locks. */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		SaasRaise("25001", "cannot wait for a poll in a transaction that has written", NULL,
				  "Commit first, then ask for the poll.");
	segment = make_request(PG_GETARG_UUID_P(0), PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_BOOL(2));
	request = dsm_segment_address(segment);
	if (request->count > 0)
	{
		pid_t		poller = SaasSharedQueueRequest(segment);

		answered = wait_for_answers(request, poller, timeout_ms);
		for (int i = 0; i < request->count; i++)
			put_outcome(result, &request->outcomes[i], timeout_ms, !answered);
	}
	dsm_detach(segment);
	return (Datum) 0;
}

static const char *
state_name(SaasPollerState state)
{
	static const char *const names[] = {
		"stopped", "starting", "not installed", "copy", "other version", "not migrated",
		"disabled", "idle", "polling"
	};

	return names[state];
}

static Datum
interval_of(int64 us)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	return IntervalPGetDatum(interval);
}

static void
put_status(ReturnSetInfo *result, const char *database, int number, const SaasWorkerSlot *worker)
{
	const SaasPollerReport *report = &worker->report;
	TimestampTz now = GetCurrentTimestamp();
	int64		swept = worker->sweep_polls;
	Datum		values[18];
	bool		nulls[18] = {false};

	values[0] = DirectFunctionCall1(namein, CStringGetDatum(database));
	nulls[1] = worker->pid == 0;
	values[1] = Int32GetDatum(worker->pid);
	values[2] = CStringGetTextDatum(state_name(report->state));
	values[3] = Int32GetDatum(report->in_flight);
	values[4] = Int32GetDatum(report->due);
	values[5] = interval_of(report->lag_ms * 1000);
	values[6] = Int64GetDatum(worker->polls);
	values[7] = Int64GetDatum(worker->failures);
	nulls[8] = worker->last_poll_at == 0;
	values[8] = TimestampTzGetDatum(worker->last_poll_at);
	nulls[9] = worker->last_sqlstate[0] == '\0';
	values[9] = nulls[9] ? (Datum) 0 : CStringGetTextDatum(worker->last_sqlstate);
	values[10] = Int32GetDatum(number);
	nulls[11] = worker->started_at == 0;
	values[11] = TimestampTzGetDatum(worker->started_at);
	values[12] = Int32GetDatum(report->waiting);
	values[13] = Float8GetDatum(SaasSharedRate(worker, now));
	nulls[14] = nulls[15] = nulls[16] = report->sweep_started_at == 0;
	values[14] = TimestampTzGetDatum(report->sweep_started_at);
	values[15] = Int64GetDatum(swept);
	values[16] = Int64GetDatum((int64) report->due + report->in_flight + report->waiting);
	nulls[17] = report->sweep_started_at == 0 || swept == 0;
	values[17] = nulls[17] ? (Datum) 0 :
		interval_of((now - report->sweep_started_at) / swept * DatumGetInt64(values[16]));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
pg_saas_poller_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SaasDatabaseSlot *slots;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	slots = SaasSharedList(&count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = get_database_name(slots[i].database);

		/* The first one stands for the database when none runs. */
		for (int number = 0; name && number < SAAS_POLLER_WORKERS_MAX; number++)
		{
			if (number == 0 || slots[i].workers[number].pid != 0)
				put_status(result, name, number, &slots[i].workers[number]);
		}
	}
	return (Datum) 0;
}
