/*
 * request_sql.c
 *	  What surrounds an HTTP request: who asks, and the answer's headers.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pure/headers.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/request.h"
#include "server/response.h"
#include "server/uuidv7.h"
#include "sql/authenticate.h"
#include "state/identity.h"
#include "state/rate_limit.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define REQUEST_ARENA_SIZE		(SAAS_ANSWER_ARENA_SIZE + SAAS_REQUEST_ARENA_SIZE)
#define MAX_REQUEST_ID			64

/* What a browser's script may read of an answer from another origin. */
#define EXPOSED_HEADERS \
	"X-Request-Id, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, " \
	"WWW-Authenticate, Content-Location, Content-Range, Location, Preference-Applied"

PG_FUNCTION_INFO_V1(pg_saas_pre_request);
PG_FUNCTION_INFO_V1(pg_saas_set_header);

enum
{
	HEADER_AUTHORIZATION,
	HEADER_API_KEY,
	HEADER_REQUEST_ID,
	HEADER_FORWARDED_FOR,
	REQUEST_HEADER_COUNT
};

static const char *const request_headers[REQUEST_HEADER_COUNT] = {
	"authorization", "x-api-key", "x-request-id", "x-forwarded-for"
};

/* The token of "Bearer token" (RFC 6750, section 2.1); NULL for other schemes and without one. */
static const char *
bearer_token(const char *authorization)
{
	static const char scheme[] = "Bearer ";

	if (authorization == NULL || pg_strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	authorization += strlen(scheme);
	while (*authorization == ' ')
		authorization++;
	return *authorization == '\0' ? NULL : authorization;
}

/* Whether the client's own id may stand in headers and logs. */
static bool
is_request_id(const char *id)
{
	size_t		length = id ? strlen(id) : 0;

	return length > 0 && length <= MAX_REQUEST_ID &&
		strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=:") == length;
}

static const char *
new_request_id(void)
{
	pg_uuid_t	id;

	SaasUuidv7(&id);
	return SaasUuidText(&id);
}

/* Three headers of an answer. */
static void
fill_limit(SaasHeaderPair pairs[3], const SaasRateVerdict *verdict)
{
	pairs[0] = (SaasHeaderPair) {"RateLimit-Limit", psprintf("%d", verdict->limit)};
	pairs[1] = (SaasHeaderPair) {"RateLimit-Remaining", psprintf("%d", verdict->remaining)};
	pairs[2] = (SaasHeaderPair) {"RateLimit-Reset", psprintf("%d", verdict->reset_s)};
}

/* verdict is NULL where no address is counted. */
static void
set_answer_headers(SaasHeader **answer, SaasArena *arena, const char *request_id,
				   const SaasRateVerdict *verdict)
{
	SaasHeaderPair pairs[6] = {
		{"X-Request-Id", is_request_id(request_id) ? request_id : new_request_id()},
		{"Cache-Control", "no-store"},
		{"Access-Control-Expose-Headers", EXPOSED_HEADERS}
	};

	if (verdict)
		fill_limit(pairs + 3, verdict);
	SaasResponseAddHeaders(answer, arena, pairs, verdict ? 6 : 3);
}

/*
 * PostgREST knows no API keys and runs such a request as nobody.  SET ROLE
 * itself checks that the session's login may be saas_user.
 */
static void
become_user(void)
{
	if (GetUserId() != get_role_oid("saas_anon", true))
		return;
	(void) set_config_option("role", "saas_user", superuser() ? PGC_SUSET : PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
refuse(const char *message, const SaasRateVerdict *verdict)
{
	SaasRaiseRetryAfter(message, NULL, "Try again after the seconds of Retry-After.", verdict->retry_after_s);
}

static void
refuse_address(const SaasClientAddress *client, const SaasRateVerdict *verdict)
{
	SaasRateLimitNoteAddress(client, verdict);
	refuse("Too many requests from your address, please try again later.", verdict);
}

/* Counts the request of somebody for organization and API key. */
static void
take_request(SaasHeader **answer, SaasArena *arena)
{
	SaasRateVerdict verdict;
	SaasHeaderPair pairs[3];
	SaasLimited limited = SaasRateLimitCheck(NULL, &verdict);

	fill_limit(pairs, &verdict);
	SaasResponseAddHeaders(answer, arena, pairs, lengthof(pairs));
	if (!verdict.allowed)
		refuse(limited == SAAS_LIMITED_KEY ?
			   "Too many requests with your API key, please try again later." :
			   "Too many requests from your organization, please try again later.", &verdict);
}

/* The identity of whatever token the request has. */
static void
identify(const char *authorization, const char *api_key)
{
	const char *token = bearer_token(authorization);

	if (api_key && api_key[0] == '\0')
		api_key = NULL;
	if (token && api_key)
		SaasRaise("PT400", "a request has one identity", NULL,
				  "Send either Authorization: Bearer or X-API-Key.");
	if (token)
		SaasAuthenticateToken(cstring_to_text(token));
	if (api_key)
	{
		SaasAuthenticateToken(cstring_to_text(api_key));
		become_user();
	}
}

/* Whether the error is an answer to the client, not the server's own trouble. */
static bool
is_refusal(int sqlstate)
{
	return sqlstate == MAKE_SQLSTATE('P', 'G', 'R', 'S', 'T') ||
		sqlstate == MAKE_SQLSTATE('P', 'T', '4', '0', '0') ||
		sqlstate == MAKE_SQLSTATE('P', 'T', '4', '0', '1');
}

/*
 * The address has been counted before, whatever becomes of the request.  Good
 * tokens are taken back, so that nobody is held up by others behind the same
 * address; who has asked too often with bad ones is no longer told so.
 */
static void
identify_counted(const char *const *values, const SaasClientAddress *client, const SaasRateVerdict *verdict)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		identify(values[HEADER_AUTHORIZATION], values[HEADER_API_KEY]);
	}
	PG_CATCH();
	{
		if (!verdict->allowed && is_refusal(geterrcode()))
		{
			MemoryContextSwitchTo(caller);
			FlushErrorState();
			refuse_address(client, verdict);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!SaasIdentityGet()->is_set && !verdict->allowed)
		refuse_address(client, verdict);
	if (SaasIdentityGet()->is_set && verdict->allowed)
		SaasRateLimitGiveBackAddress(client);
}

/*
 * The claims that an HTTP layer verified are in a setting, which any SQL can
 * set: they are not looked at.  Headers first, so that an error carries them.
 * An address that everybody has, a proxy's, is not counted.
 */
Datum
pg_saas_pre_request(PG_FUNCTION_ARGS)
{
	const char *values[REQUEST_HEADER_COUNT];
	SaasHeader *answer;
	SaasClientAddress client;
	SaasRateVerdict verdict;
	bool		is_readable;
	bool		is_counted;
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, REQUEST_ARENA_SIZE, &arena);

	(void) fcinfo;
	/* Headers that cannot be read are no credentials: the request stays anonymous. */
	is_readable = SaasRequestHeaders(arena, request_headers, REQUEST_HEADER_COUNT, values);
	SaasClientGetForwarded(values[HEADER_FORWARDED_FOR], is_readable, &client);
	is_counted = client.kind == SAAS_CLIENT_KNOWN;
	if (is_counted)
		SaasRateLimitTakeAddress(&client, &verdict);
	answer = SaasResponseHeaders(arena);
	set_answer_headers(&answer, arena, values[HEADER_REQUEST_ID], is_counted ? &verdict : NULL);

	if (is_counted)
		identify_counted(values, &client, &verdict);
	else
		identify(values[HEADER_AUTHORIZATION], values[HEADER_API_KEY]);
	if (SaasIdentityGet()->is_set)
		take_request(&answer, arena);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}

Datum
pg_saas_set_header(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22023", "a header needs a name and a value", NULL, NULL);
	SaasResponseSetHeader(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}
