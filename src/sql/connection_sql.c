/*
 * connection_sql.c
 *	  Validating and sealing what describes a connection.
 */
#include "postgres.h"

#include "connector/connector.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "pure/crypto.h"
#include "server/arena_context.h"
#include "server/json_length.h"
#include "server/raise.h"
#include "state/sealed.h"
#include "state/secret_context.h"
#include "state/settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "catalog/pg_type.h"

#define VALIDATION_ARENA_SIZE	(4 * 1024 * 1024)
#define MAX_DOCUMENT			65536	/* bytes of a config or of all secrets */

PG_FUNCTION_INFO_V1(pg_saas_check_connection);
PG_FUNCTION_INFO_V1(pg_saas_seal_secrets);
PG_FUNCTION_INFO_V1(pg_saas_connection_kinds);

/* Connectors speak UTF-8, whatever the database's encoding. */
static char *
to_server(const char *text)
{
	return pg_any_to_server(text, (int) strlen(text), PG_UTF8);
}

static char *
jsonb_argument(FunctionCallInfo fcinfo, int number, const char *field)
{
	Jsonb	   *value;
	char	   *text;

	if (PG_ARGISNULL(number))
		return NULL;
	value = PG_GETARG_JSONB_P(number);
	if (SaasJsonIsLonger(value, MAX_DOCUMENT))
		SaasRaise("22023", "invalid input",
				  psprintf("[{\"field\":\"%s\",\"message\":\"must not be longer than %d bytes\"}]", field, MAX_DOCUMENT),
				  NULL);
	text = JsonbToCString(NULL, &value->root, VARSIZE(value));
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

static void
raise_problem(const SaasProblem *problem)
{
	SaasRaise(problem->sqlstate, to_server(problem->message),
			  problem->detail[0] ? to_server(problem->detail) : NULL,
			  problem->hint[0] ? to_server(problem->hint) : NULL);
}

static const SaasConnector *
require_connector(const char *kind)
{
	const SaasConnector *connector = kind ? SaasConnectorFind(kind) : NULL;
	StringInfoData kinds;

	if (connector != NULL)
		return connector;
	initStringInfo(&kinds);
	for (const SaasConnector *const *item = SaasConnectorList(); *item; item++)
		appendStringInfo(&kinds, "%s%s", kinds.len ? ", " : "", (*item)->kind);
	SaasRaise("22023", "unknown kind of connection",
			  psprintf("[{\"field\":\"kind\",\"message\":\"must be one of %s\"}]", kinds.data), NULL);
}

Datum
pg_saas_check_connection(PG_FUNCTION_ARGS)
{
	const SaasConnector *connector;
	SaasValidation validation = {0};
	MemoryContext context;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};
	bool		is_valid;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "check_connection must return a row");
	connector = require_connector(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (PG_ARGISNULL(1))
		SaasRaise("22023", "invalid input", "[{\"field\":\"config\",\"message\":\"is required\"}]", NULL);

	context = SaasArenaContextCreate(CurrentMemoryContext, VALIDATION_ARENA_SIZE, &validation.arena);
	validation.config = jsonb_argument(fcinfo, 1, "config");
	validation.secrets = jsonb_argument(fcinfo, 2, "secrets");
	validation.allow_http = saas_allow_plain_http;
	validation.aws_endpoints = saas_aws_endpoints;
	validation.aws_accounts = saas_aws_accounts;
	is_valid = connector->validate(&validation);
	if (validation.secrets)
		SaasWipe(unconstify(char *, validation.secrets), strlen(validation.secrets));
	if (!is_valid)
		raise_problem(&validation.problem);

	values[0] = DirectFunctionCall1(jsonb_in, CStringGetDatum(to_server(validation.normalized)));
	values[1] = CStringGetTextDatum(to_server(validation.account_key));
	nulls[2] = validation.external_account_id == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(to_server(validation.external_account_id));
	values[3] = CStringGetTextDatum(to_server(validation.origin));
	MemoryContextDelete(context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
pg_saas_seal_secrets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	pg_uuid_t  *org_id;
	Jsonb	   *secrets;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;
	char	   *name = NULL;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		return (Datum) 0;
	org_id = PG_GETARG_UUID_P(0);
	secrets = PG_GETARG_JSONB_P(3);
	iterator = JsonbIteratorInit(&secrets->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		Datum		values[2];
		bool		nulls[2] = {false};
		char	   *plaintext;

		if (token == WJB_KEY)
			name = pnstrdup(item.val.string.val, item.val.string.len);
		if (token != WJB_VALUE)
			continue;
		/* The connector has refused everything but strings. */
		if (item.type != jbvString || name == NULL)
			elog(ERROR, "secret is not a string");
		values[0] = CStringGetTextDatum(name);
		plaintext = pnstrdup(item.val.string.val, item.val.string.len);
		/* In UTF-8, so that it means the same in whatever database it is opened. */
		plaintext = pg_server_to_any(plaintext, (int) strlen(plaintext), PG_UTF8);
		values[1] = PointerGetDatum(SaasSeal(org_id, plaintext, strlen(plaintext),
											 SAAS_SECRET_PURPOSE,
											 SaasSecretContext(PG_GETARG_UUID_P(1), name,
															   text_to_cstring(PG_GETARG_TEXT_PP(2)))));
		SaasWipe(plaintext, strlen(plaintext));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
pg_saas_connection_kinds(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (const SaasConnector *const *item = SaasConnectorList(); *item; item++)
	{
		Datum		names[32];
		int			count = 0;
		Datum		values[3];
		bool		nulls[3] = {false};

		for (const char *const *name = (*item)->secret_names; *name && count < 32; name++)
			names[count++] = CStringGetTextDatum(*name);
		values[0] = CStringGetTextDatum((*item)->kind);
		values[1] = CStringGetTextDatum((*item)->title);
		values[2] = PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
