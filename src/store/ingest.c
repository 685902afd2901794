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
#include "store/layout.h"
#include "store/maintain.h"
#include "store/partition.h"
#include "store/schedule.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* An organization may have been suspended, or deleted, since its connection was claimed. */
#define IS_OPEN \
	"   and exists (select from saas.organization o where o.id = s.org_id and o.status = 'active')"

static SaasStatement update_status = {
	"update saas.connection_status s"
	"   set status = $4, next_poll_at = $5, lease_until = null, lease_id = null,"
	"       last_polled_at = $6, last_success_at = case when $7 then $6 else s.last_success_at end,"
	"       last_error = $8, last_error_code = $9, last_duration_ms = $10,"
	"       last_sample_count = case when $7 then $11 else s.last_sample_count end,"
	"       consecutive_failures = $12, token_expires_at = coalesce($13, s.token_expires_at),"
	"       last_tested_at = case when $14 then $6 else s.last_tested_at end"
	" where s.org_id = $1 and s.connection_id = $2 and s.lease_id = $3 and s.lease_until = $15"
	IS_OPEN,
	15, {UUIDOID, UUIDOID, UUIDOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, TEXTOID,
	TEXTOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, BOOLOID, TIMESTAMPTZOID}
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

static SaasStatement add_reading = {
	"insert into saas.reading (org_id, connection_id, at, layout_id, \"values\")"
	" values ($1, $2, $3, $4, $5)"
	"     on conflict (org_id, connection_id, at) do update"
	"    set \"values\" = excluded.\"values\""
	"  where saas.reading.layout_id = excluded.layout_id"
	"    and saas.reading.\"values\" is distinct from excluded.\"values\"",
	5, {UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, FLOAT8ARRAYOID}
};

/*
 * The time has a reading of other series already, as when an endpoint gives
 * each series a time of its own: both belong into one row, whose layout holds
 * the series of both.
 */
#define MERGED \
	"with other as (" \
	"    select l.series_ids, r.\"values\"" \
	"      from saas.reading r" \
	"      join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id" \
	"     where r.org_id = $1 and r.connection_id = $2 and r.at = $3 and r.layout_id <> $4" \
	"), own as (" \
	"    select l.series_ids from saas.layout l where l.org_id = $1 and l.id = $4" \
	"), merged as (" \
	"    select array_agg(m.id order by m.id) as ids, array_agg(m.value order by m.id) as numbers" \
	"      from (select n.id, n.value from own, other, unnest(own.series_ids, $5) as n (id, value)" \
	"             union all" \
	"            select o.id, o.value from own, other, unnest(other.series_ids, other.\"values\") as o (id, value)" \
	"             where o.id <> all (own.series_ids)) as m" \
	"    having count(*) > 0" \
	"), print as (" \
	"    select m.*, sha256(convert_to('series ' || array_to_string(m.ids, ','), 'UTF8')) as fingerprint" \
	"      from merged m)"

static SaasStatement add_merged_layout = {
	MERGED
	" insert into saas.layout (org_id, connection_id, fingerprint, series_ids)"
	" select $1, $2, p.fingerprint, p.ids from print p"
	"     on conflict on constraint layout_fingerprint do nothing",
	5, {UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, FLOAT8ARRAYOID}
};

static SaasStatement merge_reading = {
	MERGED
	" update saas.reading r"
	"    set layout_id = l.id, \"values\" = p.numbers"
	"   from print p"
	"   join saas.layout l on l.org_id = $1 and l.connection_id = $2 and l.fingerprint = p.fingerprint"
	"  where r.org_id = $1 and r.connection_id = $2 and r.at = $3",
	5, {UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, FLOAT8ARRAYOID}
};

static SaasStatement put_secret = {
	"insert into saas_private.connection_secret (org_id, connection_id, name, value)"
	" select $1, $2, $3, translate(encode($4, 'base64'), E'\\n', '')::saas.sealed"
	"     on conflict (org_id, connection_id, name) do update"
	"    set value = excluded.value, updated_at = now()",
	4, {UUIDOID, UUIDOID, TEXTOID, BYTEAOID}
};

/*
 * A batch of polls in one statement, the sum of each connection and hour.  Those
 * whose connection is gone meanwhile are lost with it.
 */
static SaasStatement add_history = {
	"insert into saas.poller_history as h"
	"       (org_id, connection_id, hour_at, polls, failures, samples, duration_ms, max_duration_ms,"
	"        late_ms, max_late_ms, last_error_code)"
	" select p.org_id, p.connection_id, date_trunc('hour', p.polled_at, 'UTC'), count(*),"
	"        count(p.error_code), sum(p.samples), sum(p.duration_ms), max(p.duration_ms),"
	"        sum(p.late_ms), max(p.late_ms), max(p.error_code)"
	"   from unnest($1, $2, $3, $4, $5, $6, $7) as p"
	"        (org_id, connection_id, polled_at, error_code, samples, duration_ms, late_ms)"
	"  where exists (select from saas.connection c where c.org_id = p.org_id and c.id = p.connection_id)"
	"  group by 1, 2, 3"
	"  order by 1, 2, 3"
	"     on conflict (org_id, connection_id, hour_at) do update"
	"    set polls = h.polls + excluded.polls, failures = h.failures + excluded.failures,"
	"        samples = h.samples + excluded.samples, duration_ms = h.duration_ms + excluded.duration_ms,"
	"        max_duration_ms = greatest(h.max_duration_ms, excluded.max_duration_ms),"
	"        late_ms = h.late_ms + excluded.late_ms, max_late_ms = greatest(h.max_late_ms, excluded.max_late_ms),"
	"        last_error_code = coalesce(excluded.last_error_code, h.last_error_code)",
	7, {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
	INT8ARRAYOID}
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

static void
set_text(Datum *values, char *nulls, int number, const char *text)
{
	nulls[number] = text == NULL ? 'n' : ' ';
	values[number] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
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

static bool
store_status(SaasJob *job, const pg_uuid_t *lease_id)
{
	bool		ok = job->poll.verdict == SAAS_VERDICT_OK;
	Datum		values[15];
	char		nulls[16] = "               ";

	job->next_at = SaasScheduleNext(job, GetCurrentTimestamp());
	values[0] = UUIDPGetDatum(&job->org_id);
	values[1] = UUIDPGetDatum(&job->connection_id);
	values[2] = UUIDPGetDatum(lease_id);
	values[3] = CStringGetTextDatum(status_of(job));
	values[4] = TimestampTzGetDatum(job->next_at);
	values[5] = TimestampTzGetDatum(job->polled_at);
	values[6] = BoolGetDatum(ok);
	set_text(values, nulls, 7, ok ? NULL : to_server(job->poll.problem.message));
	set_text(values, nulls, 8, ok ? NULL : job->poll.problem.sqlstate);
	values[9] = Int32GetDatum(job->duration_ms);
	values[10] = Int32GetDatum(job->stored_samples);
	values[11] = Int32GetDatum(ok ? 0 : job->failures + 1);
	values[12] = TimestampTzGetDatum(from_unix_ms(job->poll.token_expires_ms));
	nulls[12] = job->poll.token_expires_ms == 0 ? 'n' : ' ';
	values[13] = BoolGetDatum(job->is_test);
	values[14] = TimestampTzGetDatum(job->lease_until);
	return SaasStatementRun(&update_status, values, nulls) == 1;
}

static int
compare_time(const void *a, const void *b)
{
	const SaasSample *left = *(const SaasSample *const *) a;
	const SaasSample *right = *(const SaasSample *const *) b;
	int			order;

	if (left->has_time != right->has_time)
		return left->has_time ? 1 : -1;
	if (left->has_time && left->time_ms != right->time_ms)
		return left->time_ms < right->time_ms ? -1 : 1;
	order = strcmp(left->metric, right->metric);
	return order ? order : strcmp(left->labels, right->labels);
}

/* As above; of a series that comes twice the first is first. */
static int
compare_place(const void *a, const void *b)
{
	const SaasSample *left = *(const SaasSample *const *) a;
	const SaasSample *right = *(const SaasSample *const *) b;
	int			order = compare_time(a, b);

	return order ? order : (left > right) - (left < right);
}

static bool
is_same_time(const SaasSample *a, const SaasSample *b)
{
	return a->has_time == b->has_time && (!a->has_time || a->time_ms == b->time_ms);
}

/* Stores the samples of one time as one row. */
static void
store_reading(SaasJob *job, const SaasSample *const *samples, int count, SaasLateness *lateness)
{
	TimestampTz at = samples[0]->has_time ? from_unix_ms(samples[0]->time_ms) : job->polled_at;
	Datum	   *numbers = palloc(sizeof(Datum) * count);
	Datum		values[5];
	pg_uuid_t	layout_id;

	for (int i = 0; i < count; i++)
		numbers[i] = Float8GetDatum(samples[i]->value);
	SaasLayoutFind(&job->org_id, &job->connection_id, samples, count, &layout_id);
	values[0] = UUIDPGetDatum(&job->org_id);
	values[1] = UUIDPGetDatum(&job->connection_id);
	values[2] = TimestampTzGetDatum(at);
	values[3] = UUIDPGetDatum(&layout_id);
	values[4] = PointerGetDatum(construct_array(numbers, count, FLOAT8OID, sizeof(float8),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SaasPartitionEnsure(at);
	if (SaasStatementRun(&add_reading, values, NULL) == 0)
	{
		(void) SaasStatementRun(&add_merged_layout, values, NULL);
		if (SaasStatementRun(&merge_reading, values, NULL) == 0)
			return;
	}
	SaasMaintainWrote(lateness, &job->org_id, &job->connection_id, at);
}

/*
 * The samples to store, sorted by time and series: the same series in another
 * order are the same layout, and of a series that comes twice the first counts,
 * as it does in Prometheus.
 */
static const SaasSample **
select_samples(const SaasJob *job, int *count)
{
	const SaasSampleList *list = &job->poll.samples;
	const SaasSample **kept = palloc(sizeof(SaasSample *) * Max(list->count, 1));
	int			believable = 0;
	int			unique = 0;

	for (size_t i = 0; i < list->count; i++)
	{
		if (SaasSampleIsTimely(&list->items[i], job->poll.now_ms))
			kept[believable++] = &list->items[i];
	}
	qsort(kept, believable, sizeof(SaasSample *), compare_place);
	for (int i = 0; i < believable; i++)
	{
		if (unique == 0 || compare_time(&kept[unique - 1], &kept[i]) != 0)
			kept[unique++] = kept[i];
	}
	*count = unique;
	return kept;
}

static void
store_samples(SaasJob *job, const SaasSample *const *samples, int count)
{
	SaasLateness lateness = {0};
	int			first = 0;

	for (int i = 1; i <= count; i++)
	{
		if (i == count || !is_same_time(samples[first], samples[i]))
		{
			store_reading(job, samples + first, i - first, &lateness);
			first = i;
		}
	}
	SaasMaintainNote(&lateness, &job->org_id, &job->connection_id);
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
limit_lock_waits(void)
{
	(void) set_config_option("lock_timeout", "50ms", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
SaasIngestJob(SaasJob *job, const pg_uuid_t *lease_id)
{
	const SaasSample **samples;
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_poller");
	limit_lock_waits();
	samples = select_samples(job, &job->stored_samples);
	/*
	 * The status first: its lease says whether the rest is ours to write, and
	 * it stays locked until the end.  Of a closed organization only what could
	 * not be got again is kept: tokens, which the other side may have rotated.
	 */
	if (!job->is_closed)
		job->is_closed = !(job->is_test ? store_tested(job, lease_id) : store_status(job, lease_id));
	job->is_lost = job->is_closed && !store_closed(job, lease_id);
	if (!job->is_lost)
		store_secrets(job);
	if (!job->is_closed && !job->is_test && job->poll.verdict == SAAS_VERDICT_OK)
		store_samples(job, samples, job->stored_samples);
	SaasRunAsEnd(&state);
}

/* What a poll brings into the history; tests, and what was not stored, are no polls. */
static bool
is_history(const SaasJob *job)
{
	return !job->is_test && !job->is_lost && !job->is_closed;
}

static Datum
make_array(Datum *items, bool *nulls, int count, Oid type, int16 length, bool by_value, char align)
{
	int			lower = 1;

	return PointerGetDatum(construct_md_array(items, nulls, 1, &count, &lower, type, length, by_value,
											  align));
}

void
SaasIngestHistory(SaasJob *jobs)
{
	int			count = 0;
	int			i = 0;
	Datum	   *columns[7];
	bool	   *has_no_error;
	Datum		values[7];
	SaasRunAs	state;

	for (SaasJob *job = jobs; job; job = job->next)
		count += is_history(job);
	if (count == 0 || saas_poller_history_retention == 0)
		return;
	SaasRunAsBegin(&state, "saas_poller");
	limit_lock_waits();
	for (int column = 0; column < lengthof(columns); column++)
		columns[column] = palloc(sizeof(Datum) * count);
	has_no_error = palloc(sizeof(bool) * count);
	for (SaasJob *job = jobs; job; job = job->next)
	{
		bool		ok = job->poll.verdict == SAAS_VERDICT_OK;
		int64		late = (job->polled_at - job->due_at) / 1000;

		if (!is_history(job))
			continue;
		columns[0][i] = UUIDPGetDatum(&job->org_id);
		columns[1][i] = UUIDPGetDatum(&job->connection_id);
		columns[2][i] = TimestampTzGetDatum(job->polled_at);
		has_no_error[i] = ok;
		columns[3][i] = ok ? (Datum) 0 : CStringGetTextDatum(job->poll.problem.sqlstate);
		columns[4][i] = Int32GetDatum(ok ? job->stored_samples : 0);
		columns[5][i] = Int32GetDatum(job->duration_ms);
		if (job->is_asked || TIMESTAMP_NOT_FINITE(job->due_at))
			late = 0;
		columns[6][i++] = Int64GetDatum(Max(late, 0));
	}
	values[0] = make_array(columns[0], NULL, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	values[1] = make_array(columns[1], NULL, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	values[2] = make_array(columns[2], NULL, count, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
						   TYPALIGN_DOUBLE);
	values[3] = make_array(columns[3], has_no_error, count, TEXTOID, -1, false, TYPALIGN_INT);
	values[4] = make_array(columns[4], NULL, count, INT4OID, sizeof(int32), true, TYPALIGN_INT);
	values[5] = make_array(columns[5], NULL, count, INT4OID, sizeof(int32), true, TYPALIGN_INT);
	values[6] = make_array(columns[6], NULL, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	(void) SaasStatementRun(&add_history, values, NULL);
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

	SaasRunAsBegin(&state, "saas_poller");
	limit_lock_waits();
	store_secrets(job);
	if (job->poll.token_expires_ms != 0)
		(void) SaasStatementRun(&put_expiry, expiry, NULL);
	job->is_closed = SaasStatementRun(&see_open, org, NULL) == 0;
	SaasRunAsEnd(&state);
}
