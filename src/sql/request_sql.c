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
	REQUEST_HEADER_COUNT
};

static const char *const request_headers[REQUEST_HEADER_COUNT] = {
	"authorization", "x-api-key", "x-request-id"
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
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
}

static void
set_answer_headers(SaasHeader **answer, SaasArena *arena, const char *request_id)
{
	SaasHeaderPair pairs[] = {
		{"X-Request-Id", is_request_id(request_id) ? request_id : new_request_id()},
		{"Cache-Control", "no-store"},
		{"Access-Control-Expose-Headers", EXPOSED_HEADERS}
	};

	SaasResponseAddHeaders(answer, arena, pairs, lengthof(pairs));
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

/*
 * Who has no identity is counted by nobody here: behind an HTTP layer all of
 * them are one address.
 */
static void
take_request(SaasHeader **answer, SaasArena *arena)
{
	SaasRateVerdict verdict;

	if (!SaasIdentityGet()->is_set)
		return;
	SaasRateLimitCheck(NULL, &verdict);
	SaasResponseAddHeaders(answer, arena, (SaasHeaderPair[])
	{
		{"RateLimit-Limit", psprintf("%d", verdict.limit)},
		{"RateLimit-Remaining", psprintf("%d", verdict.remaining)},
		{"RateLimit-Reset", psprintf("%d", verdict.reset_s)}
	}, 3);
	if (!verdict.allowed)
		SaasRaiseRetryAfter("Too many requests from your organization, please try again later.", NULL,
							"Try again after the seconds of Retry-After.", verdict.retry_after_s);
}

/*
 * The claims that an HTTP layer verified are in a setting, which any SQL can
 * set: they are not looked at.  Headers first, so that an error carries them.
 */
Datum
pg_saas_pre_request(PG_FUNCTION_ARGS)
{
	const char *values[REQUEST_HEADER_COUNT];
	const char *token;
	const char *api_key;
	SaasHeader *answer;
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, REQUEST_ARENA_SIZE, &arena);

	(void) fcinfo;
	/* Headers that cannot be read are no credentials: the request stays anonymous. */
	(void) SaasRequestHeaders(arena, request_headers, REQUEST_HEADER_COUNT, values);
	answer = SaasResponseHeaders(arena);
	set_answer_headers(&answer, arena, values[HEADER_REQUEST_ID]);

	token = bearer_token(values[HEADER_AUTHORIZATION]);
	api_key = values[HEADER_API_KEY] && values[HEADER_API_KEY][0] ? values[HEADER_API_KEY] : NULL;
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
