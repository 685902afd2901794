/*
 * rate_limit.c
 *	  Which limit a request counts against, and noting who exceeds it.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "server/plan.h"
#include "server/run_as.h"
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
#define MAPPED_V4_OFFSET	12
#define V6_NETWORK_BYTES	8
#define V4_BYTES			4
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

	SaasPlanKeep(&limit_plan, limit_query, lengthof(types), types, 0);
	if (SPI_execute_plan(limit_plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a rate limit");
}

static void
read_limit(CachedLimit *limit)
{
	SaasRunAs	state;
	bool		is_null;

	/* First: the entry stands for another key already. */
	limit->is_valid = false;
	SaasRequireInstalled();
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

/* NULL for a Unix socket and for a process without a client. */
static const inet *
connection_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetInetPP(address);
}

/*
 * Whoever has an IPv6 address has its /64 too.  An IPv4 address mapped into
 * IPv6 counts as what it is.
 */
static void
take_address(Requester *requester, const inet *address)
{
	static const uint8 mapped[MAPPED_V4_OFFSET] = {[10] = 0xff, [11] = 0xff};

	requester->kind = "address";
	if (address == NULL)
	{
		requester->subject = "local";
		requester->length = strlen("local");
		return;
	}
	requester->subject = ip_addr(address);
	requester->length = V4_BYTES;
	if (ip_family(address) != PGSQL_AF_INET6)
		return;
	if (memcmp(ip_addr(address), mapped, MAPPED_V4_OFFSET) == 0)
		requester->subject = ip_addr(address) + MAPPED_V4_OFFSET;
	else
		requester->length = V6_NETWORK_BYTES;
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
note_refusal(const Requester *requester, const inet *address, const SaasRateVerdict *verdict)
{
	const SaasIdentity *identity = SaasIdentityGet();
	const pg_uuid_t *subject = identity->has_org ? &identity->org_id : &identity->user_id;
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

void
SaasRateLimitCheck(const inet *address, SaasRateVerdict *verdict)
{
	const SaasIdentity *identity = SaasIdentityGet();
	Requester	requester = {0};
	const CachedLimit *limit;

	if (address == NULL)
		address = connection_address();
	if (identity->is_set)
		take_identity(&requester, identity);
	else
		take_address(&requester, address);
	limit = limit_of(&requester);
	SaasRateTake(requester.kind, requester.subject, requester.length, limit->max_requests,
				 limit->window_s, verdict);
	if (verdict->is_news)
		note_refusal(&requester, address, verdict);
}
