/*
 * rate_limit.c
 *	  Which limits a request counts against, and noting who exceeds one.
 */
#include "postgres.h"

#include "base/http.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "server/plan.h"
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

/* A change of a limit counts within this time. */
#define REREAD_AFTER_MS		2000
#define CACHED_LIMITS		64

/* In bytes; a note has 480. */
#define LONGEST_METHOD		20
#define LONGEST_PATH		160

/* If the operator has deleted the row. */
#define DEFAULT_REQUESTS	1000
#define DEFAULT_WINDOW_S	900

/* Whose limit it is; what does not identify it is zero. */
typedef struct LimitOf
{
	SaasLimited scope;
	pg_uuid_t	org_id;
	pg_uuid_t	api_key_id;
} LimitOf;

typedef struct CachedLimit
{
	bool		is_valid;
	LimitOf		of;
	bool		exists;			/* a key may have none */
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
	LimitOf		limit;
} Requester;

static const char *const limit_queries[] = {
	[SAAS_LIMITED_ORGANIZATION] =
	"select l.max_requests, extract(epoch from l.window_length)::integer"
	"  from saas_private.organization_limit($1) l",
	[SAAS_LIMITED_KEY] =
	"select l.max_requests, extract(epoch from l.window_length)::integer"
	"  from saas_private.api_key_limit($1, $2) l",
	[SAAS_LIMITED_ADDRESS] =
	"select l.max_requests, extract(epoch from l.window_length)::integer"
	"  from saas.rate_limit l where l.scope = 'address'"
};

static SPIPlanPtr limit_plans[lengthof(limit_queries)];
static CachedLimit cache[CACHED_LIMITS];

static void
run_query(const LimitOf *of)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	Datum		values[2] = {UUIDPGetDatum(&of->org_id), UUIDPGetDatum(&of->api_key_id)};

	SaasPlanKeep(&limit_plans[of->scope], limit_queries[of->scope], lengthof(types), types, 0);
	if (SPI_execute_plan(limit_plans[of->scope], values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a rate limit");
}

/* False without a row, and when the function that was asked knows of none. */
static bool
take_row(CachedLimit *limit)
{
	HeapTuple	row;
	bool		is_null;

	if (SPI_processed != 1)
		return false;
	row = SPI_tuptable->vals[0];
	limit->max_requests = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
	if (is_null)
		return false;
	limit->window_s = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null));
	return !is_null;
}

static void
read_limit(CachedLimit *limit)
{
	SaasRunAs	state;

	/* First: the entry stands for another key already. */
	limit->is_valid = false;
	SaasRequireInstalled();
	SaasRunAsBegin(&state, "saas_service");
	run_query(&limit->of);
	limit->exists = take_row(limit);
	SaasRunAsEnd(&state);
	if (!limit->exists && limit->of.scope != SAAS_LIMITED_KEY)
	{
		limit->exists = true;
		limit->max_requests = DEFAULT_REQUESTS;
		limit->window_s = DEFAULT_WINDOW_S;
	}
	limit->read_at = GetCurrentTimestamp();
	limit->is_valid = true;
}

static bool
is_same(const LimitOf *one, const LimitOf *other)
{
	return one->scope == other->scope && memcmp(&one->org_id, &other->org_id, UUID_LEN) == 0 &&
		memcmp(&one->api_key_id, &other->api_key_id, UUID_LEN) == 0;
}

static const CachedLimit *
limit_of(const LimitOf *of)
{
	/* The last byte of a version 7 UUID is random. */
	CachedLimit *limit = &cache[(of->org_id.data[UUID_LEN - 1] + of->api_key_id.data[UUID_LEN - 1] +
								 of->scope) % CACHED_LIMITS];

	if (limit->is_valid && is_same(&limit->of, of) &&
		!TimestampDifferenceExceeds(limit->read_at, GetCurrentTimestamp(), REREAD_AFTER_MS))
		return limit;
	limit->of = *of;
	read_limit(limit);
	return limit;
}

static Requester
requester_of_address(const SaasClientAddress *client)
{
	char	   *subject = SaasClientSubject(client);

	return (Requester)
	{
		.kind = "address", .subject = subject, .length = strlen(subject), .limit.scope = SAAS_LIMITED_ADDRESS
	};
}

static Requester
requester_of_identity(const SaasIdentity *identity)
{
	Requester	requester = {.kind = "user", .subject = identity->user_id.data, .length = UUID_LEN};

	if (identity->has_org)
	{
		requester.kind = "organization";
		requester.subject = identity->org_id.data;
		requester.limit.org_id = identity->org_id;
	}
	return requester;
}

static Requester
requester_of_key(const SaasIdentity *identity)
{
	return (Requester)
	{
		.kind = "key", .subject = identity->api_key_id.data, .length = UUID_LEN,
		.limit = {SAAS_LIMITED_KEY, identity->org_id, identity->api_key_id}
	};
}

/* False, and nothing counted, when there is no limit. */
static bool
take(const Requester *requester, SaasRateVerdict *verdict)
{
	const CachedLimit *limit = limit_of(&requester->limit);

	if (!limit->exists)
		return false;
	SaasRateTake(requester->kind, requester->subject, requester->length, limit->max_requests,
				 limit->window_s, verdict);
	return true;
}

static void
give_back(const Requester *requester)
{
	SaasRateGiveBack(requester->kind, requester->subject, requester->length);
}

/*
 * A field of the note, from a setting of PostgREST's, cut where a query string
 * begins: that may hold anything.  What JSON would write longer becomes a
 * question mark, so that no client makes the note too long to keep.
 */
static void
append_setting(StringInfo payload, const char *field, const char *setting, int longest)
{
	const char *value = GetConfigOption(setting, true, false);
	char	   *clean;

	if (value == NULL || value[0] == '\0')
		return;
	clean = pnstrdup(value, pg_mbcliplen(value, (int) strcspn(value, "?#"), longest));
	for (char *c = clean; *c;)
	{
		int			control = *c == '"' || *c == '\\' ? 1 : SaasControlLength(c);

		memset(c, '?', control);
		c += Max(control, 1);
	}
	appendStringInfo(payload, ", \"%s\": ", field);
	escape_json(payload, clean);
}

static void
append_text(StringInfo payload, const char *field, PGFunction out, Datum value)
{
	appendStringInfo(payload, ", \"%s\": \"%s\"", field, DatumGetCString(DirectFunctionCall1(out, value)));
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
	if (requester->limit.scope == SAAS_LIMITED_KEY)
		append_text(&payload, "api_key_id", uuid_out, UUIDPGetDatum(&requester->limit.api_key_id));
	if (address)
		append_text(&payload, "address", inet_out, InetPGetDatum(address));
	append_setting(&payload, "method", "request.method", LONGEST_METHOD);
	append_setting(&payload, "path", "request.path", LONGEST_PATH);
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

/* The one that refuses is noted. */
static void
note_news(const Requester *requester, const inet *address, const SaasRateVerdict *verdict)
{
	SaasClientAddress client;

	if (!verdict->is_news)
		return;
	get_client(address, &client);
	note_refusal(requester, &client, verdict);
}

static SaasLimited
check_identity(const SaasIdentity *identity, const inet *address, SaasRateVerdict *verdict)
{
	Requester	organization = requester_of_identity(identity);
	Requester	key = requester_of_key(identity);
	SaasRateVerdict of_key;
	bool		has_key = identity->source == SAAS_IDENTITY_API_KEY && take(&key, &of_key);

	if (has_key && !of_key.allowed)
	{
		note_news(&key, address, &of_key);
		*verdict = of_key;
		return SAAS_LIMITED_KEY;
	}
	(void) take(&organization, verdict);
	note_news(&organization, address, verdict);
	if (has_key && !verdict->allowed)
		give_back(&key);
	else if (has_key && of_key.remaining <= verdict->remaining)
	{
		*verdict = of_key;
		return SAAS_LIMITED_KEY;
	}
	return SAAS_LIMITED_ORGANIZATION;
}

SaasLimited
SaasRateLimitCheck(const inet *address, SaasRateVerdict *verdict)
{
	const SaasIdentity *identity = SaasIdentityGet();
	SaasClientAddress client;

	if (identity->is_set)
		return check_identity(identity, address, verdict);
	get_client(address, &client);
	SaasRateLimitTakeAddress(&client, verdict);
	SaasRateLimitNoteAddress(&client, verdict);
	return SAAS_LIMITED_ADDRESS;
}

void
SaasRateLimitTakeAddress(const SaasClientAddress *client, SaasRateVerdict *verdict)
{
	Requester	requester = requester_of_address(client);

	(void) take(&requester, verdict);
}

void
SaasRateLimitGiveBackAddress(const SaasClientAddress *client)
{
	Requester	requester = requester_of_address(client);

	give_back(&requester);
}

void
SaasRateLimitNoteAddress(const SaasClientAddress *client, const SaasRateVerdict *verdict)
{
	Requester	requester = requester_of_address(client);

	if (verdict->is_news)
		note_refusal(&requester, client, verdict);
}
