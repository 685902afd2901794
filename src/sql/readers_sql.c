/*
 * readers_sql.c
 *	  The pure readers and verifiers as SQL functions.
 */
#include "postgres.h"

#include <math.h>
#include <time.h>

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "pure/exposition.h"
#include "pure/jwt.h"
#include "pure/salesforce.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define READER_ARENA_SIZE	(256 * 1024 * 1024)
#define READER_MAX_SAMPLES	1000000

PG_FUNCTION_INFO_V1(pg_saas_verify_jwt);
PG_FUNCTION_INFO_V1(pg_saas_parse_exposition);
PG_FUNCTION_INFO_V1(pg_saas_read_salesforce_limits);

/* A key set is malloc'd: the context that owns it frees it after an error. */
static void
free_keys(void *keys)
{
	SaasJwtKeySetFree(keys);
}

static const char *
text_option(Jsonb *options, const char *name)
{
	JsonbValue	found;

	if (getKeyJsonValueFromContainer(&options->root, name, (int) strlen(name), &found) == NULL)
		return NULL;
	if (found.type != jbvString)
		SaasRaise("22023", psprintf("option \"%s\" must be a string", name), NULL, NULL);
	return pnstrdup(found.val.string.val, found.val.string.len);
}

static int64
integer_option(Jsonb *options, const char *name, int64 absent)
{
	JsonbValue	found;

	if (getKeyJsonValueFromContainer(&options->root, name, (int) strlen(name), &found) == NULL)
		return absent;
	if (found.type != jbvNumeric)
		SaasRaise("22023", psprintf("option \"%s\" must be a number", name), NULL, NULL);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(found.val.numeric)));
}

/* One name of the option "algorithms" as its bit. */
static unsigned
algorithm_bit(const JsonbValue *name)
{
	SaasJwtAlgorithm algorithm;

	if (name->type != jbvString ||
		!SaasJwtAlgorithmByName(pnstrdup(name->val.string.val, name->val.string.len), &algorithm))
		SaasRaise("22023", "option \"algorithms\" names an unknown algorithm", NULL,
				  "Algorithms are ES256, ES384, RS256, PS256, HS256 and EdDSA.");
	return SAAS_JWT_BIT(algorithm);
}

/* The accepted algorithms; 0, which is all, only when the option is absent. */
static unsigned
algorithms_option(Jsonb *options)
{
	static const char name[] = "algorithms";
	JsonbValue	found;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;
	unsigned	algorithms = 0;

	if (getKeyJsonValueFromContainer(&options->root, name, (int) strlen(name), &found) == NULL)
		return 0;
	if (found.type != jbvBinary || !JsonContainerIsArray(found.val.binary.data) ||
		JsonContainerSize(found.val.binary.data) == 0)
		SaasRaise("22023", "option \"algorithms\" must be an array that is not empty", NULL, NULL);
	iterator = JsonbIteratorInit(found.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			algorithms |= algorithm_bit(&item);
	return algorithms;
}

static void
check_options(Jsonb *options)
{
	static const char *const known[] = {"issuer", "audience", "type", "leeway_s", "now", "algorithms"};
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbIteratorToken token;
	JsonbValue	item;

	if (!JB_ROOT_IS_OBJECT(options))
		SaasRaise("22023", "options must be an object", NULL, NULL);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		bool		is_known = false;

		if (token != WJB_KEY)
			continue;
		for (size_t i = 0; i < lengthof(known); i++)
			is_known = is_known || ((int) strlen(known[i]) == item.val.string.len &&
									memcmp(known[i], item.val.string.val, item.val.string.len) == 0);
		if (!is_known)
			SaasRaise("22023", "unknown option", NULL,
					  "Options are issuer, audience, type, leeway_s, now and algorithms.");
	}
}

Datum
pg_saas_verify_jwt(PG_FUNCTION_ARGS)
{
	SaasProblem problem = {0};
	SaasJwtClaims claims = {0};
	SaasJwtRules rules = {.wants_json = true};
	MemoryContextCallback *callback;
	MemoryContext context;
	SaasArena  *arena;
	SaasJwtKeySet *keys;
	Jsonb	   *jwks;
	Jsonb	   *options;
	char	   *jwks_text;
	text	   *token;
	Datum		answer;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		SaasRaise("PT401", "Access token required", NULL, NULL);
	token = PG_GETARG_TEXT_PP(0);
	jwks = PG_GETARG_JSONB_P(1);
	options = PG_GETARG_JSONB_P(2);
	check_options(options);
	rules.issuer = text_option(options, "issuer");
	rules.audience = text_option(options, "audience");
	rules.type = text_option(options, "type");
	rules.leeway_s = (int) Min(Max(integer_option(options, "leeway_s", 30), 0), 86400);
	rules.algorithms = algorithms_option(options);
	rules.now_s = integer_option(options, "now", (int64) time(NULL));

	context = SaasArenaContextCreate(CurrentMemoryContext, 1024 * 1024, &arena);
	callback = MemoryContextAlloc(context, sizeof(*callback));
	jwks_text = JsonbToCString(NULL, &jwks->root, VARSIZE(jwks));
	keys = SaasJwtKeySetParse(jwks_text, strlen(jwks_text), &problem);
	if (keys == NULL)
		SaasRaiseProblem(&problem);
	callback->func = free_keys;
	callback->arg = keys;
	MemoryContextRegisterResetCallback(context, callback);
	if (!SaasJwtVerify(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), keys, &rules, arena,
					   &claims, &problem))
		SaasRaiseProblem(&problem);
	answer = DirectFunctionCall1(jsonb_in, CStringGetDatum(claims.json));
	MemoryContextDelete(context);
	PG_RETURN_DATUM(answer);
}

/*
 * The readers take UTF-8: in a database of another encoding the body is
 * converted first and what comes out is converted back.
 */
static char *
body_argument(FunctionCallInfo fcinfo, Size *length)
{
	text	   *body = PG_GETARG_TEXT_PP(0);
	char	   *copy = pnstrdup(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	char	   *utf8 = pg_server_to_any(copy, (int) strlen(copy), PG_UTF8);

	*length = strlen(utf8);
	return utf8;
}

static Datum
text_datum(const char *utf8)
{
	return CStringGetTextDatum(pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8));
}

static Datum
jsonb_datum(const char *utf8)
{
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8)));
}

Datum
pg_saas_parse_exposition(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SaasProblem problem = {0};
	SaasSampleList samples = {0};
	SaasExpositionFormat kind = SAAS_EXPOSITION_PROMETHEUS;
	MemoryContext context;
	SaasArena  *arena;
	char	   *format;
	char	   *body;
	Size		length;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	format = PG_ARGISNULL(1) ? pstrdup("prometheus") : text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(format, "openmetrics") == 0)
		kind = SAAS_EXPOSITION_OPENMETRICS;
	else if (strcmp(format, "prometheus") != 0)
		SaasRaise("22023", "format must be prometheus or openmetrics", NULL, NULL);

	body = body_argument(fcinfo, &length);
	context = SaasArenaContextCreate(CurrentMemoryContext, READER_ARENA_SIZE, &arena);
	if (!SaasExpositionParse(body, length, kind, arena, READER_MAX_SAMPLES, &samples, &problem))
		SaasRaiseProblem(&problem);
	for (size_t i = 0; i < samples.count; i++)
	{
		const SaasSample *sample = &samples.items[i];
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = text_datum(sample->metric);
		values[1] = jsonb_datum(sample->labels);
		values[2] = Float8GetDatum(sample->value);
		nulls[3] = !sample->has_time;
		values[3] = TimestampTzGetDatum(time_t_to_timestamptz(0) + sample->time_ms * 1000);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	MemoryContextDelete(context);
	return (Datum) 0;
}

Datum
pg_saas_read_salesforce_limits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SaasProblem problem = {0};
	SaasSalesforceLimit *limits;
	MemoryContext context;
	SaasArena  *arena;
	size_t		count;
	char	   *body;
	Size		length;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	body = body_argument(fcinfo, &length);
	context = SaasArenaContextCreate(CurrentMemoryContext, READER_ARENA_SIZE, &arena);
	if (!SaasSalesforceLimitsRead(body, length, arena, &limits, &count, &problem))
		SaasRaiseProblem(&problem);
	for (size_t i = 0; i < count; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = text_datum(limits[i].name);
		values[1] = Float8GetDatum(limits[i].max);
		values[2] = Float8GetDatum(limits[i].remaining);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	MemoryContextDelete(context);
	return (Datum) 0;
}
