/*
 * aws_sql.c
 *	  Signing of requests to AWS as an SQL function.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "pure/address.h"
#include "pure/crypto.h"
#include "pure/sigv4.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SIGNING_ARENA_SIZE	(64 * 1024 * 1024)
#define MICROSECONDS		INT64CONST(1000000)

PG_FUNCTION_INFO_V1(pg_saas_aws_sigv4);

/* Called for each member of an object; names and values are palloc'd UTF-8. */
typedef void (*MemberTaker) (const char *name, char *value, void *state);

static char *
utf8_of(const JsonbValue *value)
{
	char	   *text = pnstrdup(value->val.string.val, value->val.string.len);

	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

/* what names the argument; its values are not quoted, because they may be secrets. */
static void
take_members(Jsonb *object, const char *what, MemberTaker take, void *state)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	char	   *name = NULL;

	if (!JB_ROOT_IS_OBJECT(object))
		SaasRaise("22023", psprintf("%s must be an object", what), NULL, NULL);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = utf8_of(&item);
		if (token != WJB_VALUE)
			continue;
		if (item.type != jbvString)
			SaasRaise("22023", psprintf("%s must be an object of strings", what), NULL, NULL);
		take(name, utf8_of(&item), state);
	}
}

static void
take_credential(const char *name, char *value, void *state)
{
	SaasSigv4Signer *signer = state;

	if (strcmp(name, "access_key_id") == 0)
		signer->access_key_id = value;
	else if (strcmp(name, "secret_access_key") == 0)
		signer->secret_access_key = value;
	else if (strcmp(name, "session_token") == 0)
		signer->session_token = value;
	else
		SaasRaise("22023", "unknown credential", NULL,
				  "Credentials are access_key_id, secret_access_key and session_token.");
}

/* Headers on their way into a request, and the arena that they go to. */
typedef struct HeaderTaker
{
	SaasRequest request;
	SaasArena  *arena;
	bool		has_host;
} HeaderTaker;

static void
take_header(const char *name, char *value, void *state)
{
	HeaderTaker *taker = state;

	if (!SaasRequestAddHeader(&taker->request, taker->arena, name, value))
		SaasRaise("22023", "headers must be names and values that can be sent", NULL, NULL);
	taker->has_host = taker->has_host || pg_strcasecmp(name, "host") == 0;
}

static char *
required_text(FunctionCallInfo fcinfo, int number, const char *name)
{
	char	   *given;

	if (PG_ARGISNULL(number))
		SaasRaise("22023", psprintf("%s is required", name), NULL, NULL);
	given = text_to_cstring(PG_GETARG_TEXT_PP(number));
	return pg_server_to_any(given, (int) strlen(given), PG_UTF8);
}

static void
read_signer(FunctionCallInfo fcinfo, SaasSigv4Signer *signer)
{
	TimestampTz at;

	if (PG_ARGISNULL(4))
		SaasRaise("22023", "credentials is required", NULL, NULL);
	if (PG_ARGISNULL(7))
		SaasRaise("22023", "at is required", NULL, NULL);
	at = PG_GETARG_TIMESTAMPTZ(7);
	if (TIMESTAMP_NOT_FINITE(at))
		SaasRaise("22008", "at must be a finite time", NULL, NULL);
	take_members(PG_GETARG_JSONB_P(4), "credentials", take_credential, signer);
	signer->region = required_text(fcinfo, 5, "region");
	signer->service = required_text(fcinfo, 6, "service");
	signer->now_s = (at - SetEpochTimestamp()) / MICROSECONDS;
}

/* Host as clients send it: without the scheme's own port. */
static const char *
host_of(const SaasUrl *url)
{
	const char *host = strstr(url->origin, "://") + 3;
	size_t		length = strlen(host);
	const char *own = strcmp(url->scheme, "https") == 0 ? ":443" : ":80";

	if (length > strlen(own) && strcmp(host + length - strlen(own), own) == 0)
		length -= strlen(own);
	return pnstrdup(host, length);
}

static void
read_headers(FunctionCallInfo fcinfo, const SaasUrl *url, HeaderTaker *taker)
{
	if (!PG_ARGISNULL(2))
		take_members(PG_GETARG_JSONB_P(2), "headers", take_header, taker);
	if (!taker->has_host)
		take_header("Host", unconstify(char *, host_of(url)), taker);
}

static void
push_text(JsonbParseState **state, const char *name, const char *value)
{
	JsonbValue	item;

	if (value == NULL)
		return;
	item.type = jbvString;
	item.val.string.val = unconstify(char *, name);
	item.val.string.len = (int) strlen(name);
	pushJsonbValue(state, WJB_KEY, &item);
	item.val.string.val = unconstify(char *, value);
	item.val.string.len = (int) strlen(value);
	pushJsonbValue(state, WJB_VALUE, &item);
}

static Datum
answer_with(const SaasSigv4Signature *signature, const SaasHeader *headers)
{
	JsonbParseState *state = NULL;
	const SaasHeader *host = headers;

	while (pg_strcasecmp(host->name, "host") != 0)
		host = host->next;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "Host", host->value);
	push_text(&state, "X-Amz-Date", signature->date);
	push_text(&state, "X-Amz-Security-Token", signature->session_token);
	push_text(&state, "Authorization", signature->authorization);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

Datum
pg_saas_aws_sigv4(PG_FUNCTION_ARGS)
{
	SaasSigv4Signer signer = {0};
	SaasSigv4Request request = {0};
	SaasSigv4Signature signature;
	HeaderTaker taker = {{0}};
	SaasProblem problem = {0};
	SaasUrl		url;
	MemoryContext context;
	Datum		answer;

	request.method = required_text(fcinfo, 0, "method");
	if (!SaasHttpIsToken(request.method))
		SaasRaise("22023", "method is malformed", NULL, NULL);
	read_signer(fcinfo, &signer);
	context = SaasArenaContextCreate(CurrentMemoryContext, SIGNING_ARENA_SIZE, &taker.arena);
	if (!SaasUrlParse(required_text(fcinfo, 1, "url"), taker.arena, &url, &problem))
		SaasRaiseProblem(&problem);
	read_headers(fcinfo, &url, &taker);
	request.target = url.path;
	request.headers = taker.request.headers;
	if (!PG_ARGISNULL(3))
	{
		bytea	   *body = PG_GETARG_BYTEA_PP(3);

		request.body = VARDATA_ANY(body);
		request.body_length = VARSIZE_ANY_EXHDR(body);
	}
	if (!SaasSigv4Sign(&signer, &request, taker.arena, &signature, &problem))
		SaasRaiseProblem(&problem);
	answer = answer_with(&signature, taker.request.headers);
	SaasWipe(unconstify(char *, signer.secret_access_key), strlen(signer.secret_access_key));
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}
