/*
 * ingest.c
 *	  Writing down what polls brought.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "server/run_as.h"
#include "state/sealed.h"
#include "state/secret_context.h"
#include "state/settings.h"
#include "store/ingest.h"
#include "store/ingest_reading.h"
#include "store/schedule.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* An organization may have been suspended, or deleted, since its connection was claimed. */
#define IS_OPEN \
	"   and exists (select from saas.organization o where o.id = s.org_id and o.status = 'active')"

/* Of all polls of a flush; answers which of them, by number, had their lease still. */
static SaasStatement update_statuses = {
	"update saas.connection_status s"
	"   set status = p.status, next_poll_at = p.next_at, lease_until = null, lease_id = null,"
	"       last_polled_at = p.polled_at,"
	"       last_success_at = case when p.error_code is null then p.polled_at else s.last_success_at end,"
	"       last_error = p.error, last_error_code = p.error_code, last_duration_ms = p.duration_ms,"
	"       last_sample_count = coalesce(p.samples, s.last_sample_count),"
	"       consecutive_failures = p.failures, token_expires_at = coalesce(p.token_expires_at, s.token_expires_at),"
	"       last_warning = p.warning"
	"  from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) with ordinality as p"
	"       (org_id, connection_id, lease_until, status, next_at, polled_at, error, error_code, duration_ms,"
	"        samples, failures, token_expires_at, warning, number)"
	" where s.org_id = p.org_id and s.connection_id = p.connection_id"
	"   and s.lease_id = $1 and s.lease_until = p.lease_until"
	IS_OPEN
	" returning p.number::integer",
	14, {UUIDOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
	TIMESTAMPTZARRAYOID, TEXTARRAYOID}
};

/* After the samples, of few polls; the row is locked by the statement above. */
static SaasStatement put_warning = {
	"update saas.connection_status s set last_warning = $3, last_sample_count = $4"
	" where s.org_id = $1 and s.connection_id = $2",
	4, {UUIDOID, UUIDOID, TEXTOID, INT4OID}
};

/* A test tells its asker what it found and leaves the schedule alone. */
static SaasStatement update_tested = {
	"update saas.connection_status s"
	"   set lease_until = null, lease_id = null, last_tested_at = $4,"
	"       token_expires_at = coalesce($5, s.token_expires_at)"
	" where s.org_id = $1 and s.connection_id = $2 and s.lease_id = $3 and s.lease_until = $6"
	IS_OPEN,
	6, {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* As if there had been no poll; it is due again when the organization is opened. */
static SaasStatement update_closed = {
	"update saas.connection_status s"
	"   set lease_until = null, lease_id = null, token_expires_at = coalesce($5, s.token_expires_at)"
	" where s.org_id = $1 and s.connection_id = $2 and s.lease_id = $3 and s.lease_until = $4",
	5, {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static SaasStatement see_open = {
	"select from saas.organization o where o.id = $1 and o.status = 'active'",
	1, {UUIDOID}
};

/* One process claims under one id: the time tells its claims apart. */
static SaasStatement hold_lease = {
	"select from saas.connection_status s"
	" where s.org_id = $1 and s.connection_id = $2 and s.lease_id = $3 and s.lease_until = $4"
	"   for no key update skip locked",
	4, {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID}
};

static SaasStatement see_lease = {
	"select from saas.connection_status s"
	" where s.org_id = $1 and s.connection_id = $2 and s.lease_id = $3 and s.lease_until = $4",
	4, {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID}
};

/* With the tokens themselves: who goes on after a crash knows how long they last. */
static SaasStatement put_expiry = {
	"update saas.connection_status s set token_expires_at = $3"
	" where s.org_id = $1 and s.connection_id = $2 and s.token_expires_at is distinct from $3",
	3, {UUIDOID, UUIDOID, TIMESTAMPTZOID}
};

static SaasStatement put_secret = {
	"insert into saas_private.connection_secret (org_id, connection_id, name, value)"
	" select $1, $2, $3, translate(encode($4, 'base64'), E'\\n', '')::saas.sealed"
	"     on conflict (org_id, connection_id, name) do update"
	"    set value = excluded.value, updated_at = now()",
	4, {UUIDOID, UUIDOID, TEXTOID, BYTEAOID}
};

/* Sums of connections and hours, which nearly always have a row already. */
#define HISTORY \
	"unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) with ordinality as p" \
	"       (org_id, connection_id, hour_at, polls, failures, samples, duration_ms, max_duration_ms," \
	"        late_ms, max_late_ms, last_error_code, number)"
#define HISTORY_ADDED(added) \
	"   set polls = h.polls + " added ".polls, failures = h.failures + " added ".failures," \
	"       samples = h.samples + " added ".samples, duration_ms = h.duration_ms + " added ".duration_ms," \
	"       max_duration_ms = greatest(h.max_duration_ms, " added ".max_duration_ms)," \
	"       late_ms = h.late_ms + " added ".late_ms, max_late_ms = greatest(h.max_late_ms, " added ".max_late_ms)," \
	"       last_error_code = coalesce(" added ".last_error_code, h.last_error_code)"
#define HISTORY_TYPES \
	{UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT8ARRAYOID, \
	INT8ARRAYOID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID}

static SaasStatement add_history = {
	"update saas.poller_history h"
	HISTORY_ADDED("p")
	"  from " HISTORY
	" where h.org_id = p.org_id and h.connection_id = p.connection_id and h.hour_at = p.hour_at"
	" returning p.number::integer",
	11, HISTORY_TYPES
};

/* Those whose connection is gone meanwhile are lost with it. */
static SaasStatement begin_history = {
	"insert into saas.poller_history as h"
	"       (org_id, connection_id, hour_at, polls, failures, samples, duration_ms, max_duration_ms,"
	"        late_ms, max_late_ms, last_error_code)"
	" select p.org_id, p.connection_id, p.hour_at, p.polls, p.failures, p.samples, p.duration_ms, p.max_duration_ms,"
	"        p.late_ms, p.max_late_ms, p.last_error_code"
	"   from " HISTORY
	"  where exists (select from saas.connection c where c.org_id = p.org_id and c.id = p.connection_id)"
	"     on conflict (org_id, connection_id, hour_at) do update"
	HISTORY_ADDED("excluded"),
	11, HISTORY_TYPES
};

static TimestampTz
from_unix_ms(int64 ms)
{
	return SetEpochTimestamp() + ms * 1000;
}

static const char *
status_of(const SaasJob *job)
{
	switch (job->poll.verdict)
	{
		case SAAS_VERDICT_OK:
			return "active";
		case SAAS_VERDICT_REAUTH:
			return "reauth_required";
		case SAAS_VERDICT_RETRY:
		case SAAS_VERDICT_ERROR:
			break;
	}
	return "error";
}

/* Connectors speak UTF-8. */
static char *
to_server(const char *text)
{
	return pg_any_to_server(text, (int) strlen(text), PG_UTF8);
}

static bool
store_tested(SaasJob *job, const pg_uuid_t *lease_id)
{
	Datum		values[6] = {
		UUIDPGetDatum(&job->org_id), UUIDPGetDatum(&job->connection_id), UUIDPGetDatum(lease_id),
		TimestampTzGetDatum(job->polled_at),
		TimestampTzGetDatum(from_unix_ms(job->poll.token_expires_ms)),
		TimestampTzGetDatum(job->lease_until)
	};
	char		nulls[7] = "      ";

	job->next_at = job->due_at;
	nulls[4] = job->poll.token_expires_ms == 0 ? 'n' : ' ';
	return SaasStatementRun(&update_tested, values, nulls) == 1;
}

/* Gives the lease back; false when it is not ours. */
static bool
store_closed(SaasJob *job, const pg_uuid_t *lease_id)
{
	Datum		values[5] = {
		UUIDPGetDatum(&job->org_id), UUIDPGetDatum(&job->connection_id), UUIDPGetDatum(lease_id),
		TimestampTzGetDatum(job->lease_until),
		TimestampTzGetDatum(from_unix_ms(job->poll.token_expires_ms))
	};
	char		nulls[6] = "     ";

	job->next_at = DT_NOEND;
	nulls[4] = job->poll.token_expires_ms == 0 ? 'n' : ' ';
	return SaasStatementRun(&update_closed, values, nulls) == 1;
}

static Datum
make_array(Datum *items, bool *nulls, int count, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(items, nulls, 1, &count, &lower, type, length, by_value,
											  align));
}

/* Columns of a statement's rows, filled from its values; each an array in the end. */
typedef struct Columns
{
	int			count;			/* columns */
	int			rows;
	const Oid  *types;			/* of their items */
	Datum	  **items;
	bool	  **nulls;
} Columns;

static void
columns_init(Columns *columns, const Oid *types, int count, int rows)
{
	*columns = (Columns) {count, 0, types, palloc(sizeof(Datum *) * count), palloc(sizeof(bool *) * count)};
	for (int i = 0; i < count; i++)
	{
		columns->items[i] = palloc0(sizeof(Datum) * rows);
		columns->nulls[i] = palloc0(sizeof(bool) * rows);
	}
}

static void
columns_set(Columns *columns, int column, Datum item)
{
	columns->items[column][columns->rows] = item;
}

static void
columns_set_or_null(Columns *columns, int column, bool is_known, Datum item)
{
	columns->items[column][columns->rows] = item;
	columns->nulls[column][columns->rows] = !is_known;
}

static void
columns_arrays(const Columns *columns, Datum *values)
{
	for (int i = 0; i < columns->count; i++)
		values[i] = make_array(columns->items[i], columns->nulls[i], columns->rows, columns->types[i]);
}

static const Oid status_types[] = {
	UUIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID,
	INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID
};

static void
add_status(Columns *columns, SaasJob *job)
{
	bool		ok = job->poll.verdict == SAAS_VERDICT_OK;
	bool		is_partial = ok && job->poll.warning.sqlstate[0] != '\0';

	job->next_at = SaasScheduleNext(job, GetCurrentTimestamp());
	columns_set(columns, 0, UUIDPGetDatum(&job->org_id));
	columns_set(columns, 1, UUIDPGetDatum(&job->connection_id));
	columns_set(columns, 2, TimestampTzGetDatum(job->lease_until));
	columns_set(columns, 3, CStringGetTextDatum(status_of(job)));
	columns_set(columns, 4, TimestampTzGetDatum(job->next_at));
	columns_set(columns, 5, TimestampTzGetDatum(job->polled_at));
	columns_set_or_null(columns, 6, !ok,
						ok ? (Datum) 0 : CStringGetTextDatum(to_server(job->poll.problem.message)));
	columns_set_or_null(columns, 7, !ok, ok ? (Datum) 0 : CStringGetTextDatum(job->poll.problem.sqlstate));
	columns_set(columns, 8, Int32GetDatum(job->duration_ms));
	columns_set_or_null(columns, 9, ok, Int32GetDatum(job->stored_samples));
	columns_set(columns, 10, Int32GetDatum(ok ? 0 : job->failures + 1));
	columns_set_or_null(columns, 11, job->poll.token_expires_ms != 0,
						TimestampTzGetDatum(from_unix_ms(job->poll.token_expires_ms)));
	columns_set_or_null(columns, 12, is_partial,
						is_partial ? CStringGetTextDatum(to_server(job->poll.warning.message)) : (Datum) 0);
	columns->rows++;
}

/* Those whose status is not written are closed, or lost. */
static void
store_statuses(SaasJob **jobs, int count, const pg_uuid_t *lease_id)
{
	Columns		columns;
	Datum		values[1 + lengthof(status_types)] = {UUIDPGetDatum(lease_id)};
	uint64		rows;

	columns_init(&columns, status_types, lengthof(status_types), count);
	for (int i = 0; i < count; i++)
		add_status(&columns, jobs[i]);
	columns_arrays(&columns, values + 1);
	rows = SaasStatementRun(&update_statuses, values, NULL);
	for (int i = 0; i < count; i++)
		jobs[i]->is_closed = true;
	for (uint64 row = 0; row < rows; row++)
	{
		bool		is_null;

		jobs[DatumGetInt32(SaasStatementColumn(row, 1, &is_null)) - 1]->is_closed = false;
	}
}

/*
 * What the other side has rotated is gone with the old token, so a crash must
 * not take it along, whatever synchronous_commit says.
 */
static void
store_secrets(SaasJob *job)
{
	if (job->poll.new_secrets)
		ForceSyncCommit();
	for (SaasSecret *secret = job->poll.new_secrets; secret; secret = secret->next)
	{
		char	   *context = SaasSecretContext(&job->connection_id, secret->name, job->origin);
		Datum		values[4];

		values[0] = UUIDPGetDatum(&job->org_id);
		values[1] = UUIDPGetDatum(&job->connection_id);
		values[2] = CStringGetTextDatum(secret->name);
		values[3] = PointerGetDatum(SaasSeal(&job->org_id, secret->value, strlen(secret->value),
											 SAAS_SECRET_PURPOSE, context));
		(void) SaasStatementRun(&put_secret, values, NULL);
	}
}

/* One tenant's open transaction must not hold up the others. */
static void
begin_ingest(SaasRunAs *state)
{
	SaasRunAsBegin(state, "saas_poller");
	SaasStatementPlanByIndex();
	(void) set_config_option("lock_timeout", "50ms", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static bool
is_to_store(const SaasJob *job)
{
	return !job->is_closed && !job->is_lost && !job->is_test && job->poll.verdict == SAAS_VERDICT_OK;
}

static int
count_jobs(const SaasJob *jobs)
{
	int			count = 0;

	for (; jobs; jobs = jobs->next)
		count++;
	return count;
}

/*
 * The status first: its lease says whether the rest is ours to write, and it
 * stays locked until the end.
 */
static void
store_all_statuses(SaasJob *jobs, const pg_uuid_t *lease_id)
{
	SaasJob   **polls = palloc(sizeof(SaasJob *) * count_jobs(jobs));
	int			count = 0;

	for (SaasJob *job = jobs; job; job = job->next)
	{
		if (job->is_closed)
			continue;
		if (job->is_test)
			job->is_closed = !store_tested(job, lease_id);
		else
			polls[count++] = job;
	}
	if (count > 0)
		store_statuses(polls, count, lease_id);
	for (SaasJob *job = jobs; job; job = job->next)
		job->is_lost = job->is_closed && !store_closed(job, lease_id);
}

static void
warn_of_series(const SaasStoredSamples *stored)
{
	SaasJob    *job = stored->job;
	Datum		values[4] = {UUIDPGetDatum(&job->org_id), UUIDPGetDatum(&job->connection_id)};

	job->stored_samples -= stored->beyond;
	SaasProblemAppend(&job->poll.warning, "54000", "%d of %zu samples left out: the connection has its %d series",
					  stored->beyond, job->poll.samples.count, saas_max_series);
	values[2] = CStringGetTextDatum(to_server(job->poll.warning.message));
	values[3] = Int32GetDatum(job->stored_samples);
	(void) SaasStatementRun(&put_warning, values, NULL);
}

void
SaasIngestJobs(SaasJob *jobs, const pg_uuid_t *lease_id)
{
	SaasStoredSamples *stored = palloc(sizeof(SaasStoredSamples) * count_jobs(jobs));
	int			count = 0;
	SaasRunAs	state;

	begin_ingest(&state);
	for (SaasJob *job = jobs; job; job = job->next)
	{
		stored[count] = (SaasStoredSamples) {.job = job};
		stored[count].samples = SaasReadingSelect(job, &stored[count].count);
		job->stored_samples = stored[count++].count;
	}
	store_all_statuses(jobs, lease_id);
	/* Of a closed organization only what could not be got again is kept: rotated tokens. */
	for (SaasJob *job = jobs; job; job = job->next)
		if (!job->is_lost)
			store_secrets(job);
	count = 0;
	for (int i = 0, all = count_jobs(jobs); i < all; i++)
		if (is_to_store(stored[i].job))
			stored[count++] = stored[i];
	SaasReadingsStore(stored, count);
	for (int i = 0; i < count; i++)
		if (stored[i].beyond > 0)
			warn_of_series(&stored[i]);
	SaasRunAsEnd(&state);
}

/* What a poll brings into the history; tests, and what was not stored, are no polls. */
static bool
is_history(const SaasJob *job)
{
	return !job->is_test && !job->is_lost && !job->is_closed;
}

/* The polls of a connection in an hour. */
typedef struct Hour
{
	pg_uuid_t	org_id;
	pg_uuid_t	connection_id;
	TimestampTz at;
	int			polls;
	int			failures;
	int64		samples;
	int64		duration_ms;
	int			max_duration_ms;
	int64		late_ms;
	int64		max_late_ms;
	const char *error_code;		/* NULL: all went well */
} Hour;

static Hour
hour_of(const SaasJob *job)
{
	bool		ok = job->poll.verdict == SAAS_VERDICT_OK;
	int64		late = (job->polled_at - job->due_at) / 1000;

	if (job->is_asked || TIMESTAMP_NOT_FINITE(job->due_at))
		late = 0;
	return (Hour) {
		.org_id = job->org_id,.connection_id = job->connection_id,
			.at = job->polled_at - job->polled_at % USECS_PER_HOUR,
			.polls = 1,.failures = ok ? 0 : 1,.samples = ok ? job->stored_samples : 0,
			.duration_ms = job->duration_ms,.max_duration_ms = job->duration_ms,
			.late_ms = Max(late, 0),.max_late_ms = Max(late, 0),
			.error_code = ok ? NULL : job->poll.problem.sqlstate
	};
}

static int
compare_hours(const void *a, const void *b)
{
	const Hour *left = a;
	const Hour *right = b;
	int			order = memcmp(&left->org_id, &right->org_id, UUID_LEN);

	if (order == 0)
		order = memcmp(&left->connection_id, &right->connection_id, UUID_LEN);
	return order ? order : (left->at > right->at) - (left->at < right->at);
}

static void
add_hour(Hour *sum, const Hour *hour)
{
	sum->polls += hour->polls;
	sum->failures += hour->failures;
	sum->samples += hour->samples;
	sum->duration_ms += hour->duration_ms;
	sum->max_duration_ms = Max(sum->max_duration_ms, hour->max_duration_ms);
	sum->late_ms += hour->late_ms;
	sum->max_late_ms = Max(sum->max_late_ms, hour->max_late_ms);
	if (hour->error_code)
		sum->error_code = hour->error_code;
}

/* Sorted, so that two pollers lock them in one order; each connection's hour once. */
static int
gather_hours(SaasJob *jobs, Hour *hours)
{
	int			count = 0;
	int			unique = 0;

	for (SaasJob *job = jobs; job; job = job->next)
		if (is_history(job))
			hours[count++] = hour_of(job);
	qsort(hours, count, sizeof(Hour), compare_hours);
	for (int i = 0; i < count; i++)
	{
		if (unique > 0 && compare_hours(&hours[unique - 1], &hours[i]) == 0)
			add_hour(&hours[unique - 1], &hours[i]);
		else
			hours[unique++] = hours[i];
	}
	return unique;
}

static const Oid history_types[] = {
	UUIDOID, UUIDOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT8OID, INT8OID, INT4OID, INT8OID, INT8OID, TEXTOID
};

static uint64
write_hours(SaasStatement *statement, const Hour *hours, int count)
{
	Columns		columns;
	Datum		values[lengthof(history_types)];

	columns_init(&columns, history_types, lengthof(history_types), count);
	for (int i = 0; i < count; i++)
	{
		const Hour *hour = &hours[i];

		columns_set(&columns, 0, UUIDPGetDatum(&hour->org_id));
		columns_set(&columns, 1, UUIDPGetDatum(&hour->connection_id));
		columns_set(&columns, 2, TimestampTzGetDatum(hour->at));
		columns_set(&columns, 3, Int32GetDatum(hour->polls));
		columns_set(&columns, 4, Int32GetDatum(hour->failures));
		columns_set(&columns, 5, Int64GetDatum(hour->samples));
		columns_set(&columns, 6, Int64GetDatum(hour->duration_ms));
		columns_set(&columns, 7, Int32GetDatum(hour->max_duration_ms));
		columns_set(&columns, 8, Int64GetDatum(hour->late_ms));
		columns_set(&columns, 9, Int64GetDatum(hour->max_late_ms));
		columns_set_or_null(&columns, 10, hour->error_code != NULL,
							hour->error_code ? CStringGetTextDatum(hour->error_code) : (Datum) 0);
		columns.rows++;
	}
	columns_arrays(&columns, values);
	return SaasStatementRun(statement, values, NULL);
}

/* Those that the last statement's rows do not number. */
static int
keep_unwritten(Hour *hours, int count, uint64 rows)
{
	bool	   *is_written = palloc0(sizeof(bool) * count);
	int			kept = 0;

	for (uint64 row = 0; row < rows; row++)
	{
		bool		is_null;

		is_written[DatumGetInt32(SaasStatementColumn(row, 1, &is_null)) - 1] = true;
	}
	for (int i = 0; i < count; i++)
		if (!is_written[i])
			hours[kept++] = hours[i];
	return kept;
}

void
SaasIngestHistory(SaasJob *jobs)
{
	Hour	   *hours;
	int			count;
	uint64		rows;
	SaasRunAs	state;

	if (saas_poller_history_retention == 0)
		return;
	hours = palloc(sizeof(Hour) * Max(count_jobs(jobs), 1));
	count = gather_hours(jobs, hours);
	if (count == 0)
		return;
	begin_ingest(&state);
	rows = write_hours(&add_history, hours, count);
	count = keep_unwritten(hours, count, rows);
	if (count > 0)
		(void) write_hours(&begin_history, hours, count);
	SaasRunAsEnd(&state);
}

void
SaasIngestHoldStatus(SaasJob *job, const pg_uuid_t *lease_id)
{
	Datum		lease[4] = {
		UUIDPGetDatum(&job->org_id), UUIDPGetDatum(&job->connection_id), UUIDPGetDatum(lease_id),
		TimestampTzGetDatum(job->lease_until)
	};
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_poller");
	job->is_lost = SaasStatementRun(&hold_lease, lease, NULL) == 0;
	if (job->is_lost && SaasStatementRun(&see_lease, lease, NULL) == 1)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("somebody holds a lock on the connection's status")));
	SaasRunAsEnd(&state);
}

void
SaasIngestSecrets(SaasJob *job, const pg_uuid_t *lease_id)
{
	Datum		org[1] = {UUIDPGetDatum(&job->org_id)};
	Datum		expiry[3] = {
		UUIDPGetDatum(&job->org_id), UUIDPGetDatum(&job->connection_id),
		TimestampTzGetDatum(from_unix_ms(job->poll.token_expires_ms))
	};
	SaasRunAs	state;

	SaasIngestHoldStatus(job, lease_id);
	if (job->is_lost)
		return;

	begin_ingest(&state);
	store_secrets(job);
	if (job->poll.token_expires_ms != 0)
		(void) SaasStatementRun(&put_expiry, expiry, NULL);
	job->is_closed = SaasStatementRun(&see_open, org, NULL) == 0;
	SaasRunAsEnd(&state);
}
