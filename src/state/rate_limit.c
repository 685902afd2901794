/*
 * rate_limit.c
 *	  Which limit a request counts against, and noting who exceeds it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "server/run_as.h"
#include "state/client.h"
#include "state/identity.h"
#include "state/journal.h"
#include "state/limits.h"
#include "state/rate_limit.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* A change of saas.rate_limit counts within this time. */
#define REREAD_AFTER_MS		2000
#define CACHED_LIMITS		64
#define LONGEST_PATH		160

/* If the operator has deleted the row. */
#define DEFAULT_REQUESTS	1000
#define DEFAULT_WINDOW_S	900

typedef struct CachedLimit
{
	bool		is_valid;
	bool		is_org;			/* else of addresses, org_id all zero */
	pg_uuid_t	org_id;			/* all zero: organizations without a limit of their own */
	int			max_requests;
	int			window_s;
	TimestampTz read_at;
} CachedLimit;

/* Whose request it is. */
typedef struct Requester
{
	const char *kind;
	const void *subject;
	size_t		length;
	bool		is_org;
	pg_uuid_t	org_id;
} Requester;

static const char *const limit_query =
	"select l.max_requests, extract(epoch from l.window_length)::integer"
	"  from saas.rate_limit l"
	" where l.scope = $1 and (l.org_id is null or l.org_id = $2)"
	" order by l.org_id is null limit 1";

static SPIPlanPtr limit_plan = NULL;
static CachedLimit cache[CACHED_LIMITS];

static void
run_query(bool is_org, const pg_uuid_t *org_id)
{
	Oid			types[2] = {TEXTOID, UUIDOID};
	Datum		values[2] = {CStringGetTextDatum(is_org ? "organization" : "address"), UUIDPGetDatum(org_id)};

	if (limit_plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(limit_query, 2, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the look-up of a rate limit: %s", SPI_result_code_string(SPI_result));
		limit_plan = plan;
	}
	if (SPI_execute_plan(limit_plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a rate limit");
}

static void
read_limit(CachedLimit *limit)
{
	SaasRunAs	state;
	bool		is_null;

	SaasRequireInstalled();
	limit->is_valid = false;
	SaasRunAsBegin(&state, "saas_service");
	run_query(limit->is_org, &limit->org_id);
	limit->max_requests = DEFAULT_REQUESTS;
	limit->window_s = DEFAULT_WINDOW_S;
	if (SPI_processed == 1)
	{
		HeapTuple	row = SPI_tuptable->vals[0];

		limit->max_requests = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
		limit->window_s = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null));
	}
	SaasRunAsEnd(&state);
	limit->read_at = GetCurrentTimestamp();
	limit->is_valid = true;
}

static const CachedLimit *
limit_of(const Requester *requester)
{
	/* The last byte of a version 7 UUID is random. */
	CachedLimit *limit = &cache[(requester->org_id.data[UUID_LEN - 1] + requester->is_org) % CACHED_LIMITS];

	if (limit->is_valid && limit->is_org == requester->is_org &&
		memcmp(&limit->org_id, &requester->org_id, UUID_LEN) == 0 &&
		!TimestampDifferenceExceeds(limit->read_at, GetCurrentTimestamp(), REREAD_AFTER_MS))
		return limit;
	limit->is_org = requester->is_org;
	limit->org_id = requester->org_id;
	read_limit(limit);
	return limit;
}

static void
take_address(Requester *requester, const SaasClientAddress *client)
{
	requester->kind = "address";
	requester->subject = SaasClientSubject(client);
	requester->length = strlen(requester->subject);
}

static void
take_identity(Requester *requester, const SaasIdentity *identity)
{
	requester->is_org = true;
	requester->kind = identity->has_org ? "organization" : "user";
	requester->subject = identity->has_org ? identity->org_id.data : identity->user_id.data;
	requester->length = UUID_LEN;
	if (identity->has_org)
		requester->org_id = identity->org_id;
}

/* A field of the note, from a setting of PostgREST's. */
static void
append_setting(StringInfo payload, const char *field, const char *setting)
{
	const char *value = GetConfigOption(setting, true, false);
	char		clipped[LONGEST_PATH + 1];
	int			length;

	if (value == NULL || value[0] == '\0')
		return;
	length = pg_mbcliplen(value, (int) strlen(value), LONGEST_PATH);
	memcpy(clipped, value, length);
	clipped[length] = '\0';
	appendStringInfo(payload, ", \"%s\": ", field);
	escape_json(payload, clipped);
}

static void
note_refusal(const Requester *requester, const SaasClientAddress *client, const SaasRateVerdict *verdict)
{
	const SaasIdentity *identity = SaasIdentityGet();
	const pg_uuid_t *subject = identity->has_org ? &identity->org_id : &identity->user_id;
	inet	   *address = SaasClientInet(client);
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"by\": \"%s\", \"limit\": %d", requester->kind, verdict->limit);
	if (address)
		appendStringInfo(&payload, ", \"address\": \"%s\"",
						 DatumGetCString(DirectFunctionCall1(inet_out, InetPGetDatum(address))));
	append_setting(&payload, "method", "request.method");
	append_setting(&payload, "path", "request.path");
	appendStringInfoChar(&payload, '}');
	SaasNoteDown("rate_limited", identity->is_set ? subject : NULL, payload.data);
	pfree(payload.data);
}

static void
get_client(const inet *address, SaasClientAddress *client)
{
	if (address)
		SaasClientOfInet(address, client);
	else
		SaasClientGet(client);
}

void
SaasRateLimitCheck(const inet *address, SaasRateVerdict *verdict)
{
	const SaasIdentity *identity = SaasIdentityGet();
	SaasClientAddress client;
	Requester	requester = {0};
	const CachedLimit *limit;

	if (identity->is_set)
		take_identity(&requester, identity);
	else
	{
		get_client(address, &client);
		take_address(&requester, &client);
	}
	limit = limit_of(&requester);
	SaasRateTake(requester.kind, requester.subject, requester.length, limit->max_requests,
				 limit->window_s, verdict);
	if (!verdict->is_news)
		return;
	get_client(address, &client);
	note_refusal(&requester, &client, verdict);
}
