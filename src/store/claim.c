/*
 * claim.c
 *	  Taking connections to poll.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pure/crypto.h"
#include "server/arena_context.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "state/aws_keys.h"
#include "state/sealed.h"
#include "state/secret_context.h"
#include "state/settings.h"
#include "store/claim.h"
#include "store/claim_turns.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define JOB_ARENA_SIZE	(64 * 1024 * 1024)

/* Columns of both claims, in this order.  A plan may let poll less often than a connection wants. */
#define CLAIMED \
	"select s.org_id, s.connection_id, c.kind, c.config::text, c.origin," \
	"       s.consecutive_failures, greatest(extract(epoch from c.poll_interval), h.min_interval_s)::float8," \
	"       s.next_poll_at, s.token_expires_at, "

/* What somebody has locked is theirs: a peer's, or of a transaction that may stay open for long. */
#define LOCKED(condition) \
	" cross join lateral (select k.org_id, k.connection_id, k.consecutive_failures, k.next_poll_at, k.token_expires_at" \
	"                       from saas.connection_status k" \
	"                      where k.org_id = h.org_id and k.connection_id = h.connection_id" \
	"                        and (k.lease_until is null or k.lease_until < now())" condition \
	"                        for update skip locked) as s" \
	"  join saas.connection c on c.org_id = s.org_id and c.id = s.connection_id"

/*
 * Of what was chosen; again what is due, because a peer may have taken it since.
 * In a CASE, so that the planner takes no index of what is due for each of them.
 */
static SaasStatement lock_chosen = {
	CLAIMED "h.retention_days, h.weight, h.place"
	"  from unnest($1, $2, $3, $4, $5, $6) with ordinality as h"
	"       (org_id, connection_id, weight, place, retention_days, min_interval_s, number)"
	LOCKED(" and case when k.is_active and k.is_open then k.next_poll_at <= now() end")
	" where c.is_active"
	" order by h.number",
	6, {UUIDARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}
};

static SaasStatement lock_given = {
	CLAIMED "o.retention_days, o.weight, 0"
	"  from (select o.id, coalesce(o.poll_weight, p.poll_weight) as weight,"
	"               coalesce(p.retention_days, 0) as retention_days,"
	"               coalesce(extract(epoch from p.min_poll_interval), 0)::integer as min_interval_s"
	"          from saas.organization o"
	"          join saas.plan p on p.name = o.plan"
	"         where o.id = $1 and o.status = 'active') as o"
	" cross join lateral (select o.id as org_id, u.id as connection_id, o.min_interval_s from unnest($2) as u (id)) as h"
	LOCKED(""),
	2, {UUIDOID, UUIDARRAYOID}
};

static SaasStatement mark = {
	"update saas.connection_status s"
	"   set lease_until = now() + $2 * interval '1 millisecond', lease_id = $1"
	"  from unnest($3, $4) as k (org_id, connection_id)"
	" where s.org_id = k.org_id and s.connection_id = k.connection_id",
	4, {UUIDOID, INT4OID, UUIDARRAYOID, UUIDARRAYOID}
};

/* As store/claim_turns.c has it. */
#define SHARE(worker, workers) \
	"   and ((uuid_hash(s.connection_id) & 2147483647) % " workers " = " worker \
	"        or s.next_poll_at < now() - interval '1 second')"

static SaasStatement read_secrets = {
	"select s.org_id, s.connection_id, s.name, s.value, null::text"
	"  from unnest($1, $2) as k (org_id, connection_id)"
	"  join saas_private.connection_secret s on s.org_id = k.org_id and s.connection_id = k.connection_id"
	" union all"
	/* The organization's own, for what brings none and asks for tokens where they may go. */
	" select d.org_id, k.connection_id, d.name, d.value, f.origin"
	"  from unnest($1, $2) as k (org_id, connection_id)"
	"  join saas.connection c on c.org_id = k.org_id and c.id = k.connection_id and c.kind = 'salesforce'"
	"  join saas.salesforce_default f on f.org_id = k.org_id and f.origin = split_part(c.origin, ' ', 2)"
	"  join saas_private.salesforce_default_secret d on d.org_id = k.org_id"
	" where not exists (select from saas_private.connection_secret o"
	"                    where o.org_id = k.org_id and o.connection_id = k.connection_id"
	"                      and o.name in ('client_id', 'client_secret'))",
	2, {UUIDARRAYOID, UUIDARRAYOID}
};

static SaasStatement read_fresh = {
	"select s.connection_id, coalesce(s.last_sample_count, 0)"
	"  from saas.connection_status s"
	" where s.org_id = $1 and s.connection_id = any ($2)"
	"   and s.consecutive_failures = 0 and s.status = 'active'"
	"   and s.last_success_at > now() - $3 * interval '1 second'",
	3, {UUIDOID, UUIDARRAYOID, INT4OID}
};

/* A poll that was under way at that time counts too. */
static SaasStatement read_elsewhere = {
	"select s.connection_id, coalesce(s.last_sample_count, 0), s.last_error,"
	"       coalesce(s.last_duration_ms, 0),"
	"       coalesce(s.last_polled_at + s.last_duration_ms * interval '1 millisecond' >= $3, false)"
	"  from saas.connection_status s"
	"  join saas.organization o on o.id = s.org_id"
	" where s.org_id = $1 and s.connection_id = any ($2) and o.status = 'active'",
	3, {UUIDOID, UUIDARRAYOID, TIMESTAMPTZOID}
};

static SaasStatement read_installation = {
	"select i.system_identifier, i.database_oid,"
	"       (select e.extversion from pg_extension e where e.extname = 'pg_saas'),"
	"       (select max(m.version) from saas.schema_migration m)"
	"  from saas_private.installation i",
	0, {0}
};

/*
 * When something is there to be claimed: now, if anything is.  Else a due
 * connection's lease is somebody's: it is looked at again when the lease ends,
 * should they have died; and a peer's own, a second after it was due.
 */
#define UNLEASED \
	"  from saas.connection_status s" \
	" where s.is_active and s.is_open and (s.lease_until is null or s.lease_until < now())"

static SaasStatement read_backlog = {
	"with own as materialized ("
	"    select s.next_poll_at" UNLEASED SHARE("$1", "$2") " order by s.next_poll_at limit 1)"
	" select case when exists (select from own o where o.next_poll_at <= now()) then 0"
	"             else extract(epoch from least("
	"                  (select o.next_poll_at from own o where o.next_poll_at < 'infinity'),"
	"                  (select s.next_poll_at + interval '1 second'" UNLEASED
	"                      and $2 > 1 and s.next_poll_at > now() - interval '1 second'"
	"                      and s.next_poll_at < 'infinity' order by s.next_poll_at limit 1),"
	"                  (select min(l.lease_until) from saas.connection_status l"
	"                    where l.is_active and l.is_open and l.next_poll_at <= now()"
	"                      and l.lease_until >= now())) - now())::float8 end",
	2, {INT4OID, INT4OID}
};

static SaasStatement settle_closed = {
	"select saas_private.settle_closed_organizations()",
	0, {0}
};

/* Counted to a bound: an exact count of a very long backlog would cost more than it tells. */
static SaasStatement count_backlog = {
	"select (select count(*)::integer"
	"          from (select" UNLEASED " and s.next_poll_at <= now() limit 100000) as due),"
	"       extract(epoch from now() - (select s.next_poll_at" UNLEASED
	"                                      and s.next_poll_at <= now()"
	"                                    order by s.next_poll_at limit 1))::float8",
	0, {0}
};

/* What the one row of the installation says. */
static SaasStoreReadiness
readiness_of_row(void)
{
	bool		is_null;
	Datum		version;

	if ((uint64) DatumGetInt64(SaasStatementColumn(0, 1, &is_null)) != GetSystemIdentifier() ||
		DatumGetObjectId(SaasStatementColumn(0, 2, &is_null)) != MyDatabaseId)
		return SAAS_STORE_COPY;
	/* Statements of another version may not fit the tables, nor those tables these. */
	version = SaasStatementColumn(0, 3, &is_null);
	if (is_null || strcmp(TextDatumGetCString(version), PG_SAAS_VERSION) != 0)
		return SAAS_STORE_OTHER_VERSION;
	if (DatumGetInt32(SaasStatementColumn(0, 4, &is_null)) < PG_SAAS_SCHEMA_VERSION)
		return SAAS_STORE_NOT_MIGRATED;
	return SAAS_STORE_READY;
}

SaasStoreReadiness
SaasClaimReadiness(void)
{
	SaasStoreReadiness readiness = SAAS_STORE_COPY;
	SaasRunAs	state;

	if (!OidIsValid(get_extension_oid("pg_saas", true)))
		return SAAS_STORE_NO_EXTENSION;
	if (!SaasIsInstalled())
		return SAAS_STORE_NOT_INSTALLED;
	SaasRunAsBegin(&state, "saas_poller");
	if (SaasStatementRun(&read_installation, NULL, NULL) == 1)
		readiness = readiness_of_row();
	SaasRunAsEnd(&state);
	return readiness;
}

/* Connectors take UTF-8, whatever the database's encoding. */
static const char *
to_utf8(SaasArena *arena, const char *text)
{
	return SaasArenaStrdup(arena, pg_server_to_any(text, (int) strlen(text), PG_UTF8));
}

static const char *
uuid_text(SaasArena *arena, const pg_uuid_t *id)
{
	return SaasArenaStrdup(arena, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))));
}

/* A job from a claimed row, allocated in a context of its own. */
static SaasJob *
make_job(MemoryContext context, uint64 row, int lease_ms)
{
	SaasArena  *arena;
	MemoryContext own = SaasArenaContextCreate(context, JOB_ARENA_SIZE, &arena);
	SaasJob    *job = MemoryContextAllocZero(own, sizeof(SaasJob));
	bool		is_null;
	Datum		expires;

	job->context = own;
	job->stages = (SaasStages) SAAS_STAGES_NONE;
	job->org_id = *DatumGetUUIDP(SaasStatementColumn(row, 1, &is_null));
	job->connection_id = *DatumGetUUIDP(SaasStatementColumn(row, 2, &is_null));
	job->connector = SaasConnectorFind(TextDatumGetCString(SaasStatementColumn(row, 3, &is_null)));
	job->origin = MemoryContextStrdup(own, TextDatumGetCString(SaasStatementColumn(row, 5, &is_null)));
	job->failures = DatumGetInt32(SaasStatementColumn(row, 6, &is_null));
	job->interval_ms = (int64) (DatumGetFloat8(SaasStatementColumn(row, 7, &is_null)) * 1000);
	job->due_at = DatumGetTimestampTz(SaasStatementColumn(row, 8, &is_null));
	job->claimed_at = GetCurrentTransactionStartTimestamp();
	job->lease_until = TimestampTzPlusMilliseconds(job->claimed_at, lease_ms);
	job->poll.arena = arena;
	job->poll.config = to_utf8(arena, TextDatumGetCString(SaasStatementColumn(row, 4, &is_null)));
	job->poll.max_samples = SAAS_POLL_MAX_SAMPLES;
	job->poll.connection_id = uuid_text(arena, &job->connection_id);
	job->poll.aws_endpoints = SaasArenaStrdup(arena, saas_aws_endpoints);
	job->poll.aws_accounts = SaasArenaStrdup(arena, saas_aws_accounts);
	job->poll.aws_requests_per_second = saas_aws_requests_per_second;
	expires = SaasStatementColumn(row, 9, &is_null);
	if (!is_null && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(expires)))
		job->poll.token_expires_ms = (DatumGetTimestampTz(expires) - SetEpochTimestamp()) / 1000;
	job->poll.retention_days = DatumGetInt32(SaasStatementColumn(row, 10, &is_null));
	job->weight = DatumGetInt32(SaasStatementColumn(row, 11, &is_null));
	job->place = DatumGetInt32(SaasStatementColumn(row, 12, &is_null));
	return job;
}

static int
compare_connections(const void *a, const void *b)
{
	const SaasJob *left = *(SaasJob *const *) a;
	const SaasJob *right = *(SaasJob *const *) b;

	return memcmp(&left->connection_id, &right->connection_id, sizeof(pg_uuid_t));
}

/* Of jobs sorted by connection; NULL when it is of another organization. */
static SaasJob *
find_job(SaasJob **sorted, int count, const pg_uuid_t *org_id, const pg_uuid_t *connection_id)
{
	SaasJob		sought = {.connection_id = *connection_id};
	SaasJob    *key = &sought;
	SaasJob   **found = bsearch(&key, sorted, count, sizeof(SaasJob *), compare_connections);

	return found && memcmp(&(*found)->org_id, org_id, sizeof(*org_id)) == 0 ? *found : NULL;
}

/*
 * Opens one secret into the job's arena.  default_origin is where one of the
 * organization may go, which is of no connection; NULL for the connection's.
 */
static void
open_secret(SaasJob *job, const char *name, const struct varlena *sealed, const char *default_origin)
{
	static const pg_uuid_t no_connection = {{0}};
	char	   *context = default_origin ? SaasSecretContext(&no_connection, name, default_origin) :
		SaasSecretContext(&job->connection_id, name, job->origin);
	Size		length;
	char	   *value = SaasUnseal(&job->org_id, sealed, SAAS_SECRET_PURPOSE, context, &length);
	SaasSecret *secret = SaasArenaAlloc(job->poll.arena, sizeof(SaasSecret));

	if (secret)
	{
		secret->name = SaasArenaStrdup(job->poll.arena, name);
		secret->value = SaasArenaStrdup(job->poll.arena, value);
		secret->next = job->poll.secrets;
		job->poll.secrets = secret;
	}
	SaasWipe(value, length);
	pfree(value);
}

/* Arguments of open_secret for SaasGuardedRun. */
typedef struct OpenSecret
{
	SaasJob    *job;
	const char *name;
	const struct varlena *sealed;
	const char *default_origin;
} OpenSecret;

static void
open_secret_step(void *arg)
{
	OpenSecret *step = arg;

	open_secret(step->job, step->name, step->sealed, step->default_origin);
}

/*
 * One organization's missing key or one row that does not open must not keep
 * the others from being polled: a failure ends this job alone.
 */
static void
open_secret_guarded(SaasJob *job, const char *name, const struct varlena *sealed, const char *default_origin)
{
	OpenSecret	step = {job, name, sealed, default_origin};
	SaasProblem problem = {0};

	if (SaasGuardedRun(open_secret_step, &step, &problem))
		return;
	job->poll.verdict = SAAS_VERDICT_ERROR;
	SaasProblemSet(&job->poll.problem, "55000", "cannot open the connection's secrets: %s",
				   problem.message);
}

/* The join gives the rows in any order. */
static void
open_secrets(SaasJob *jobs, int count)
{
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * count);
	pg_uuid_t  *connections = palloc(sizeof(pg_uuid_t) * count);
	Datum		values[2];
	uint64		rows;
	SPITupleTable *table;
	SaasJob   **sorted = palloc(sizeof(SaasJob *) * count);
	int			i = 0;

	for (SaasJob *job = jobs; job; job = job->next, i++)
	{
		orgs[i] = job->org_id;
		connections[i] = job->connection_id;
		sorted[i] = job;
	}
	qsort(sorted, count, sizeof(SaasJob *), compare_connections);
	values[0] = SaasUuidArray(orgs, count);
	values[1] = SaasUuidArray(connections, count);
	rows = SaasStatementRun(&read_secrets, values, NULL);
	table = SPI_tuptable;
	for (uint64 row = 0; row < rows; row++)
	{
		HeapTuple	tuple = table->vals[row];
		bool		is_null;
		pg_uuid_t  *org_id = DatumGetUUIDP(SPI_getbinval(tuple, table->tupdesc, 1, &is_null));
		pg_uuid_t  *connection_id = DatumGetUUIDP(SPI_getbinval(tuple, table->tupdesc, 2, &is_null));
		SaasJob    *job = find_job(sorted, count, org_id, connection_id);
		bool		is_own;
		Datum		origin = SPI_getbinval(tuple, table->tupdesc, 5, &is_own);

		if (job && job->poll.problem.sqlstate[0] == '\0')
			open_secret_guarded(job, TextDatumGetCString(SPI_getbinval(tuple, table->tupdesc, 3, &is_null)),
								PG_DETOAST_DATUM(SPI_getbinval(tuple, table->tupdesc, 4, &is_null)),
								is_own ? NULL : TextDatumGetCString(origin));
	}
	SPI_freetuptable(table);
}

/* Arguments of read_aws_keys for SaasGuardedRun. */
typedef struct ReadAwsKeys
{
	SaasArena  *arena;
	SaasAwsKeys *keys;
} ReadAwsKeys;

static void
read_aws_keys(void *arg)
{
	ReadAwsKeys *step = arg;

	SaasAwsKeysRead(step->arena, step->keys);
}

static bool
has_secret(const SaasJob *job, const char *name)
{
	for (const SaasSecret *secret = job->poll.secrets; secret; secret = secret->next)
		if (strcmp(secret->name, name) == 0)
			return true;
	return false;
}

static void
add_secret(SaasJob *job, const char *name, const char *value)
{
	SaasSecret *secret = value ? SaasArenaAlloc(job->poll.arena, sizeof(SaasSecret)) : NULL;

	if (secret == NULL)
		return;
	*secret = (SaasSecret) {name, value, job->poll.secrets};
	job->poll.secrets = secret;
}

/*
 * The operator's keys for those that have none.  What is wrong with the file
 * is for the operator's log; the tenant reads that there are none.
 */
static void
add_aws_keys(SaasJob *jobs)
{
	for (SaasJob *job = jobs; job; job = job->next)
	{
		SaasAwsKeys keys = {NULL, NULL};
		ReadAwsKeys step = {job->poll.arena, &keys};
		SaasProblem problem = {0};

		if (job->connector == NULL || !job->connector->uses_aws_keys || has_secret(job, "access_key_id"))
			continue;
		if (!SaasGuardedRun(read_aws_keys, &step, &problem))
			ereport(LOG,
					(errmsg("could not read the operator's AWS credentials: %s", problem.message)));
		add_secret(job, "operator_access_key_id", keys.access_key_id);
		add_secret(job, "operator_secret_access_key", keys.secret_access_key);
	}
}

static void
mark_taken(const SaasJob *jobs, int count, const pg_uuid_t *lease_id, int lease_ms)
{
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * count);
	pg_uuid_t  *connections = palloc(sizeof(pg_uuid_t) * count);
	Datum		values[4] = {UUIDPGetDatum(lease_id), Int32GetDatum(lease_ms)};
	int			i = 0;

	for (const SaasJob *job = jobs; job; job = job->next, i++)
	{
		orgs[i] = job->org_id;
		connections[i] = job->connection_id;
	}
	values[2] = SaasUuidArray(orgs, count);
	values[3] = SaasUuidArray(connections, count);
	(void) SaasStatementRun(&mark, values, NULL);
}

/* What the statement locks, as saas_poller. */
static SaasJob *
take(MemoryContext context, SaasStatement *lock, const Datum *values, const pg_uuid_t *lease_id, int lease_ms)
{
	SaasJob    *jobs = NULL;
	int			rows = (int) SaasStatementRun(lock, values, NULL);

	/* From the last one on, so that they keep their order. */
	for (int row = rows; row-- > 0;)
	{
		SaasJob    *job = make_job(context, row, lease_ms);

		job->next = jobs;
		jobs = job;
	}
	if (jobs)
	{
		mark_taken(jobs, rows, lease_id, lease_ms);
		open_secrets(jobs, rows);
		add_aws_keys(jobs);
	}
	return jobs;
}

int
SaasClaimSettle(void)
{
	SaasRunAs	state;
	bool		is_null;
	int			count;

	SaasRunAsBegin(&state, "saas_poller");
	(void) SaasStatementRun(&settle_closed, NULL, NULL);
	count = DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
	SaasRunAsEnd(&state);
	return count;
}

SaasJob *
SaasClaimDue(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms, int limit,
			 SaasClaimTerms *terms, bool *is_all)
{
	SaasRunAs	state;
	SaasTurns	turns;
	SaasJob    *jobs = NULL;

	SaasRunAsBegin(&state, "saas_poller");
	SaasStatementPlanByIndex();
	SaasTurnsChoose(limit, terms, &turns);
	*is_all = turns.is_all;
	terms->was_long = turns.was_long;
	if (turns.count > 0)
	{
		Datum		values[6] = {
			SaasUuidArray(turns.orgs, turns.count), SaasUuidArray(turns.connections, turns.count),
			SaasIntegerArray(turns.weights, turns.count), SaasIntegerArray(turns.places, turns.count),
			SaasIntegerArray(turns.retention_days, turns.count),
			SaasIntegerArray(turns.min_intervals_s, turns.count)
		};

		jobs = take(context, &lock_chosen, values, lease_id, lease_ms);
	}
	SaasRunAsEnd(&state);
	return jobs;
}

SaasJob *
SaasClaimGiven(MemoryContext context, const pg_uuid_t *lease_id, int lease_ms,
			   const pg_uuid_t *org_id, const pg_uuid_t *connection_ids, int count)
{
	Datum		values[2] = {UUIDPGetDatum(org_id), SaasUuidArray(connection_ids, count)};
	SaasRunAs	state;
	SaasJob    *jobs;

	SaasRunAsBegin(&state, "saas_poller");
	SaasStatementPlanByIndex();
	jobs = take(context, &lock_given, values, lease_id, lease_ms);
	SaasRunAsEnd(&state);
	return jobs;
}

SaasStoredPoll *
SaasClaimFresh(const pg_uuid_t *org_id, const pg_uuid_t *connection_ids, int count,
			   int max_age_s, int *found)
{
	Datum		values[3] = {
		UUIDPGetDatum(org_id), SaasUuidArray(connection_ids, count), Int32GetDatum(max_age_s)
	};
	MemoryContext caller = CurrentMemoryContext;
	SaasStoredPoll *polls;
	SaasRunAs	state;
	uint64		rows;

	SaasRunAsBegin(&state, "saas_poller");
	rows = SaasStatementRun(&read_fresh, values, NULL);
	polls = MemoryContextAllocZero(caller, sizeof(SaasStoredPoll) * Max(rows, 1));
	for (uint64 row = 0; row < rows; row++)
	{
		bool		is_null;

		polls[row].connection_id = *DatumGetUUIDP(SaasStatementColumn(row, 1, &is_null));
		polls[row].samples = DatumGetInt32(SaasStatementColumn(row, 2, &is_null));
	}
	SaasRunAsEnd(&state);
	*found = (int) rows;
	return polls;
}

SaasStoredPoll *
SaasClaimElsewhere(const pg_uuid_t *org_id, const pg_uuid_t *connection_ids, int count,
				   TimestampTz since, int *found)
{
	Datum		values[3] = {
		UUIDPGetDatum(org_id), SaasUuidArray(connection_ids, count), TimestampTzGetDatum(since)
	};
	MemoryContext caller = CurrentMemoryContext;
	SaasStoredPoll *polls;
	SaasRunAs	state;
	uint64		rows;

	SaasRunAsBegin(&state, "saas_poller");
	rows = SaasStatementRun(&read_elsewhere, values, NULL);
	polls = MemoryContextAllocZero(caller, sizeof(SaasStoredPoll) * Max(rows, 1));
	for (uint64 row = 0; row < rows; row++)
	{
		bool		is_null;
		Datum		error;

		polls[row].connection_id = *DatumGetUUIDP(SaasStatementColumn(row, 1, &is_null));
		polls[row].samples = DatumGetInt32(SaasStatementColumn(row, 2, &is_null));
		error = SaasStatementColumn(row, 3, &is_null);
		if (!is_null)
		{
			char	   *words = TextDatumGetCString(error);

			words = pg_server_to_any(words, (int) strlen(words), PG_UTF8);
			polls[row].error = MemoryContextStrdup(caller, words);
		}
		polls[row].duration_ms = DatumGetInt32(SaasStatementColumn(row, 4, &is_null));
		polls[row].is_done = DatumGetBool(SaasStatementColumn(row, 5, &is_null));
	}
	SaasRunAsEnd(&state);
	*found = (int) rows;
	return polls;
}

int64
SaasClaimNextMs(const SaasClaimTerms *terms)
{
	Datum		values[2] = {Int32GetDatum(terms->worker), Int32GetDatum(terms->workers)};
	SaasRunAs	state;
	bool		is_null;
	Datum		next;
	int64		next_ms = -1;

	SaasRunAsBegin(&state, "saas_poller");
	SaasStatementPlanByIndex();
	(void) SaasStatementRun(&read_backlog, values, NULL);
	next = SaasStatementColumn(0, 1, &is_null);
	if (!is_null)
	{
		double		ms = DatumGetFloat8(next) * 1000;

		next_ms = ms > 0 ? (int64) ms + 1 : 0;
	}
	SaasRunAsEnd(&state);
	return next_ms;
}

void
SaasClaimBacklog(SaasBacklog *backlog)
{
	SaasRunAs	state;
	bool		is_null;
	Datum		late;

	SaasRunAsBegin(&state, "saas_poller");
	SaasStatementPlanByIndex();
	(void) SaasStatementRun(&count_backlog, NULL, NULL);
	backlog->due = DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
	late = SaasStatementColumn(0, 2, &is_null);
	backlog->lag_ms = is_null ? 0 : (int64) (DatumGetFloat8(late) * 1000);
	SaasRunAsEnd(&state);
}
