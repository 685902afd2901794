/*
 * raise.c
 *	  The one raiser of errors that clients see.
 */
#include "postgres.h"

#include "base/http.h"
#include "mb/pg_wchar.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/response.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"

#define HEADERS_ARENA_SIZE		(1024 * 1024)

/* Of a 429 whose raiser knows no better. */
#define DEFAULT_RETRY_AFTER_S	"1"

/* What an HTTP layer says for an SQLSTATE: DESIGN.md's table of errors. */
typedef struct HttpError
{
	const char *sqlstate;
	int			status;
	const char *code;
} HttpError;

static const HttpError http_errors[] = {
	{"PT400", 400, "BAD_REQUEST"},
	{"PT401", 401, "UNAUTHORIZED"},
	{"PT402", 402, "PLAN_LIMIT"},
	{"PT403", 403, "FORBIDDEN"},
	{"PT404", 404, "NOT_FOUND"},
	{"PT409", 409, "CONFLICT"},
	{"PT429", 429, "RATE_LIMITED"},
	{"PT503", 503, "UNAVAILABLE"},
	{"22023", 400, "VALIDATION_ERROR"},
	{"22P02", 400, "VALIDATION_ERROR"},
	{"23505", 409, "CONFLICT"},
	{"25001", 409, "CONFLICT"},
};

static const HttpError *
http_error_of(const char *sqlstate)
{
	static const HttpError internal = {"", 500, "INTERNAL_ERROR"};

	for (size_t i = 0; i < lengthof(http_errors); i++)
	{
		if (strcmp(http_errors[i].sqlstate, sqlstate) == 0)
			return &http_errors[i];
	}
	return &internal;
}

static char *
without_controls(const char *text)
{
	char	   *copy;

	if (text == NULL)
		return NULL;
	copy = pstrdup(text);
	for (char *c = copy; *c;)
	{
		int			control = SaasControlLength(c);

		memset(c, ' ', control);
		c += Max(control, 1);
	}
	return copy;
}

static bool
is_http_request(void)
{
	const char *method = GetConfigOption("request.method", true, false);

	return method != NULL && method[0] != '\0';
}

static void
append_member(StringInfo json, const char *name, const char *value)
{
	if (json->len > 1)
		appendStringInfoChar(json, ',');
	escape_json(json, name);
	appendStringInfoChar(json, ':');
	if (value)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/* These speak of the answer that is not given. */
static bool
is_dropped_on_errors(const char *name)
{
	return pg_strncasecmp(name, "Content-", 8) == 0 || pg_strcasecmp(name, "Set-Cookie") == 0 ||
		pg_strcasecmp(name, "ETag") == 0 || pg_strcasecmp(name, "Last-Modified") == 0 ||
		pg_strcasecmp(name, "Location") == 0;
}

/*
 * The headers that the transaction has set so far, the request's id and rate
 * limit among them, and what the status asks for unless one of them says it.
 */
static void
append_headers(StringInfo envelope, int status)
{
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, HEADERS_ARENA_SIZE, &arena);
	StringInfoData headers;
	bool		has_challenge = false;
	bool		has_retry_after = false;

	initStringInfo(&headers);
	appendStringInfoChar(&headers, '{');
	for (const SaasHeader *header = SaasResponseHeaders(arena); header; header = header->next)
	{
		if (is_dropped_on_errors(header->name))
			continue;
		append_member(&headers, header->name,
					  pg_any_to_server(header->value, strlen(header->value), PG_UTF8));
		has_challenge |= pg_strcasecmp(header->name, "WWW-Authenticate") == 0;
		has_retry_after |= pg_strcasecmp(header->name, "Retry-After") == 0;
	}
	if (status == 401 && !has_challenge)
		append_member(&headers, "WWW-Authenticate", "Bearer");
	if (status == 429 && !has_retry_after)
		append_member(&headers, "Retry-After", DEFAULT_RETRY_AFTER_S);
	appendStringInfo(envelope, "\"headers\":%s}", headers.data);
	MemoryContextDelete(context);
}

static void
raise_http(const HttpError *http, const char *sqlstate, const char *message,
		   const char *detail, const char *hint)
{
	StringInfoData body;
	StringInfoData envelope;

	initStringInfo(&body);
	appendStringInfoChar(&body, '{');
	append_member(&body, "code", http->code);
	append_member(&body, "message", http->status == 500 ? "internal error" : message);
	append_member(&body, "details", http->status == 500 ? NULL : detail);
	append_member(&body, "hint", http->status == 500 ? NULL : hint);
	appendStringInfoChar(&body, '}');

	initStringInfo(&envelope);
	appendStringInfo(&envelope, "{\"status\":%d,", http->status);
	append_headers(&envelope, http->status);
	appendStringInfoChar(&envelope, '}');

	if (http->status == 500)
		ereport(LOG,
				(errmsg("request failed with SQLSTATE %s: %s", sqlstate, message),
				 detail ? errdetail("%s", detail) : 0,
				 hint ? errhint("%s", hint) : 0));
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('P', 'G', 'R', 'S', 'T')),
			 errmsg_internal("%s", body.data),
			 errdetail_internal("%s", envelope.data)));
}

void
SaasRaise(const char *sqlstate, const char *message, const char *detail, const char *hint)
{
	char	   *clean_message = without_controls(message);
	char	   *clean_detail = without_controls(detail);
	char	   *clean_hint = without_controls(hint);

	if (strlen(sqlstate) != 5)
		elog(ERROR, "\"%s\" is not an SQLSTATE", sqlstate);
	if (is_http_request())
		raise_http(http_error_of(sqlstate), sqlstate, clean_message, clean_detail, clean_hint);
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])),
			 errmsg_internal("%s", clean_message),
			 clean_detail ? errdetail_internal("%s", clean_detail) : 0,
			 clean_hint ? errhint("%s", clean_hint) : 0));
}

void
SaasRaiseRetryAfter(const char *message, const char *detail, const char *hint, int seconds)
{
	SaasResponseSetHeader("Retry-After", psprintf("%d", Max(seconds, 1)));
	SaasRaise("PT429", message, detail, hint);
}

void
SaasRaiseProblem(const SaasProblem *problem)
{
	SaasRaise(problem->sqlstate[0] ? problem->sqlstate : "XX000",
			  problem->message,
			  problem->detail[0] ? problem->detail : NULL,
			  problem->hint[0] ? problem->hint : NULL);
}
