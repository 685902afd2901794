/*
 * ingest_reading.c
 *	  The samples of polls as rows: one for each connection and time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "store/ingest_reading.h"
#include "store/layout.h"
#include "store/maintain.h"
#include "store/partition.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* Rows of one statement. */
#define READINGS_AT_ONCE	500

#define MS_PER_DAY	INT64_C(86400000)

/* A row to be. */
typedef struct Reading
{
	const SaasJob *job;
	const SaasSample *const *samples;	/* all of one time */
	int			count;
	TimestampTz at;
	pg_uuid_t	layout_id;
} Reading;

/* The values of all rows stand in one array, each row's from its first to its last. */
#define ADD_READINGS \
	"insert into saas.reading (org_id, connection_id, at, layout_id, \"values\")" \
	" select n.org_id, n.connection_id, n.at, n.layout_id, ($7)[n.first : n.last]" \
	"   from unnest($1, $2, $3, $4, $5, $6) as n (org_id, connection_id, at, layout_id, first, last)"

/*
 * Of times at which there is nothing yet.  Without a look for conflicts a row is
 * one record of WAL less, and less work.
 */
static SaasStatement add_new_readings = {
	ADD_READINGS,
	7, {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
	FLOAT8ARRAYOID}
};

static SaasStatement put_readings = {
	ADD_READINGS
	"     on conflict (org_id, connection_id, at) do update"
	"    set \"values\" = excluded.\"values\""
	"  where saas.reading.layout_id = excluded.layout_id"
	"    and saas.reading.\"values\" is distinct from excluded.\"values\""
	" returning connection_id, at",
	7, {UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
	FLOAT8ARRAYOID}
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
	"), print as materialized (" \
	"    select m.*, sha256(convert_to('series ' || array_to_string(m.ids, ','), 'UTF8')) as fingerprint" \
	"      from merged m)"

static SaasStatement add_merged_layout = {
	MERGED
	" insert into saas.layout (org_id, connection_id, fingerprint, series_ids)"
	" select $1, $2, p.fingerprint, p.ids from print p"
	"     on conflict on constraint layout_fingerprint do update"
	"    set seen_at = now() where saas.layout.seen_at < now() - interval '7 days'",
	5, {UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, FLOAT8ARRAYOID}
};

/* The layout is looked for as layout.c does it, and once. */
static SaasStatement merge_reading = {
	MERGED
	" update saas.reading r"
	"    set layout_id = n.layout_id, \"values\" = n.numbers"
	"   from (select p.numbers,"
	"                (select l.id from saas.layout l"
	"                  where l.org_id = $1 and l.connection_id = $2"
	"                    and l.fingerprint >= p.fingerprint and l.fingerprint <= p.fingerprint"
	"                  order by l.fingerprint limit 1) as layout_id"
	"           from print p offset 0) as n"
	"  where r.org_id = $1 and r.connection_id = $2 and r.at = $3 and n.layout_id is not null",
	5, {UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, FLOAT8ARRAYOID}
};

static TimestampTz
from_unix_ms(int64 ms)
{
	return SetEpochTimestamp() + ms * 1000;
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

/* Before the day from which on the plan keeps readings: it would go unseen. */
static bool
is_past_retention(const SaasSample *sample, const SaasPoll *poll)
{
	int64		since = poll->now_ms - (int64) poll->retention_days * MS_PER_DAY;

	return poll->retention_days > 0 && sample->has_time && sample->time_ms < since - since % MS_PER_DAY;
}

static void
warn_of_times(SaasPoll *poll, int ahead, int old, int unkept)
{
	if (ahead > 0)
		SaasProblemAppend(&poll->warning, "22008", "%d of %zu samples left out: more than %d minutes ahead", ahead,
						  poll->samples.count, (int) (SAAS_FUTURE_SAMPLE_MS / 60000));
	if (old > 0)
		SaasProblemAppend(&poll->warning, "22008", "%d of %zu samples left out: more than %d days past", old,
						  poll->samples.count, (int) (SAAS_OLDEST_SAMPLE_MS / MS_PER_DAY));
	if (unkept > 0)
		SaasProblemAppend(&poll->warning, "22008", "%d of %zu samples left out: the plan keeps them for %d days",
						  unkept, poll->samples.count, poll->retention_days);
}

/*
 * The samples to store, sorted by time and series: the same series in another
 * order are the same layout, and of a series that comes twice the first counts,
 * as it does in Prometheus.
 */
const SaasSample **
SaasReadingSelect(SaasJob *job, int *count)
{
	const SaasSampleList *list = &job->poll.samples;
	const SaasSample **kept = palloc(sizeof(SaasSample *) * Max(list->count, 1));
	int			believable = 0;
	int			unique = 0;
	int			ahead = 0;
	int			old = 0;
	int			unkept = 0;

	for (size_t i = 0; i < list->count; i++)
	{
		const SaasSample *sample = &list->items[i];

		if (!SaasSampleIsTimely(sample, job->poll.now_ms))
			*(sample->time_ms > job->poll.now_ms ? &ahead : &old) += 1;
		else if (is_past_retention(sample, &job->poll))
			unkept++;
		else
			kept[believable++] = sample;
	}
	warn_of_times(&job->poll, ahead, old, unkept);
	qsort(kept, believable, sizeof(SaasSample *), compare_place);
	for (int i = 0; i < believable; i++)
	{
		if (unique == 0 || compare_time(&kept[unique - 1], &kept[i]) != 0)
			kept[unique++] = kept[i];
	}
	*count = unique;
	return kept;
}

static Datum
float_array(Datum *numbers, int count)
{
	return PointerGetDatum(construct_array(numbers, count, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/*
 * What put_readings left alone: the same values again, or other series of that
 * time.  Returns whether it wrote something.
 */
static bool
merge(const Reading *reading)
{
	Datum	   *numbers = palloc(sizeof(Datum) * reading->count);
	Datum		values[5] = {
		UUIDPGetDatum(&reading->job->org_id), UUIDPGetDatum(&reading->job->connection_id),
		TimestampTzGetDatum(reading->at), UUIDPGetDatum(&reading->layout_id)
	};

	int			level = SaasStatementPlanByOrder();
	bool		has_changed;

	for (int i = 0; i < reading->count; i++)
		numbers[i] = Float8GetDatum(reading->samples[i]->value);
	values[4] = float_array(numbers, reading->count);
	(void) SaasStatementRun(&add_merged_layout, values, NULL);
	has_changed = SaasStatementRun(&merge_reading, values, NULL) > 0;
	AtEOXact_GUC(false, level);
	return has_changed;
}

static bool
is_among(const Reading *reading, SPITupleTable *table, uint64 rows)
{
	for (uint64 row = 0; row < rows; row++)
	{
		bool		is_null;
		Datum		connection_id = SPI_getbinval(table->vals[row], table->tupdesc, 1, &is_null);
		Datum		at = SPI_getbinval(table->vals[row], table->tupdesc, 2, &is_null);

		if (DatumGetTimestampTz(at) == reading->at &&
			memcmp(DatumGetUUIDP(connection_id), &reading->job->connection_id, UUID_LEN) == 0)
			return true;
	}
	return false;
}

static void
note(const SaasLateness *lateness, const SaasJob *job)
{
	SaasMaintainNote(lateness, &job->org_id, &job->connection_id);
}

/* Rows of one job stand together.  is_new: there is nothing yet of their times. */
static void
store(const Reading *readings, int count, bool is_new)
{
	SaasLateness lateness = {0};
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * count);
	pg_uuid_t  *connections = palloc(sizeof(pg_uuid_t) * count);
	pg_uuid_t  *layouts = palloc(sizeof(pg_uuid_t) * count);
	Datum	   *times = palloc(sizeof(Datum) * count);
	int		   *firsts = palloc(sizeof(int) * count);
	int		   *lasts = palloc(sizeof(int) * count);
	Datum	   *numbers;
	int			total = 0;
	Datum		values[7];
	uint64		rows;
	SPITupleTable *table;

	for (int i = 0; i < count; i++)
	{
		firsts[i] = total + 1;
		lasts[i] = total += readings[i].count;
		orgs[i] = readings[i].job->org_id;
		connections[i] = readings[i].job->connection_id;
		layouts[i] = readings[i].layout_id;
		times[i] = TimestampTzGetDatum(readings[i].at);
	}
	numbers = palloc(sizeof(Datum) * total);
	for (int i = 0; i < count; i++)
		for (int k = 0; k < readings[i].count; k++)
			numbers[firsts[i] - 1 + k] = Float8GetDatum(readings[i].samples[k]->value);
	values[0] = SaasUuidArray(orgs, count);
	values[1] = SaasUuidArray(connections, count);
	values[2] = PointerGetDatum(construct_array(times, count, TIMESTAMPTZOID, sizeof(TimestampTz),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[3] = SaasUuidArray(layouts, count);
	values[4] = SaasIntegerArray(firsts, count);
	values[5] = SaasIntegerArray(lasts, count);
	values[6] = float_array(numbers, total);
	rows = SaasStatementRun(is_new ? &add_new_readings : &put_readings, values, NULL);
	table = SPI_tuptable;
	for (int i = 0; i < count; i++)
	{
		const SaasJob *job = readings[i].job;

		if (i > 0 && job != readings[i - 1].job)
		{
			note(&lateness, readings[i - 1].job);
			lateness = (SaasLateness) {0};
		}
		if (rows == (uint64) count || is_among(&readings[i], table, rows) || merge(&readings[i]))
			SaasMaintainWrote(&lateness, &job->org_id, &job->connection_id, readings[i].at);
	}
	note(&lateness, readings[count - 1].job);
}

/*
 * The next row of a job's samples, which are sorted by time; *first is where it
 * begins.  Without samples when all of them are of series beyond the limit.
 */
static Reading
next_reading(SaasStoredSamples *stored, int *first)
{
	const SaasSample **samples = stored->samples + *first;
	Reading		reading = {.job = stored->job,.samples = samples};
	int			count = 1;

	while (*first + count < stored->count && is_same_time(samples[0], samples[count]))
		count++;
	*first += count;
	reading.at = samples[0]->has_time ? from_unix_ms(samples[0]->time_ms) : stored->job->polled_at;
	reading.count = SaasLayoutFind(&stored->job->org_id, &stored->job->connection_id, samples, count,
								   &reading.layout_id);
	stored->beyond += count - reading.count;
	if (reading.count > 0)
		SaasPartitionEnsure(reading.at);
	return reading;
}

typedef struct Gathered
{
	Reading    *readings;
	int			count;
	bool		is_new;
} Gathered;

static void
flush(Gathered *gathered)
{
	if (gathered->count > 0)
		store(gathered->readings, gathered->count, gathered->is_new);
	gathered->count = 0;
}

static void
gather(Gathered *gathered, const Reading *reading)
{
	if (reading->count == 0)
		return;
	gathered->readings[gathered->count++] = *reading;
	if (gathered->count == READINGS_AT_ONCE)
		flush(gathered);
}

/*
 * The time of a poll, to the microsecond, is a new one, but for samples of a
 * time of their own that happen to have it.  Then storing many fails, and each
 * is stored alone, as whatever is alone is: with a look for conflicts.
 */
void
SaasReadingsStore(SaasStoredSamples *stored, int count)
{
	Gathered	new = {palloc(sizeof(Reading) * READINGS_AT_ONCE), 0, true};
	Gathered	any = {palloc(sizeof(Reading) * READINGS_AT_ONCE), 0, false};

	for (int i = 0; i < count; i++)
	{
		int			first = 0;

		while (first < stored[i].count)
		{
			bool		is_new = count > 1 && !stored[i].samples[first]->has_time;
			Reading		reading = next_reading(&stored[i], &first);

			gather(is_new ? &new : &any, &reading);
		}
	}
	flush(&new);
	flush(&any);
	pfree(new.readings);
	pfree(any.readings);
}
