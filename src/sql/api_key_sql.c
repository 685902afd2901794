/*
 * api_key_sql.c
 *	  Making API keys, and requests that are signed with their secrets.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "pure/api_key.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "state/api_key_use.h"
#include "state/identity.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(pg_saas_new_api_key);
PG_FUNCTION_INFO_V1(pg_saas_seal_signing_secret);
PG_FUNCTION_INFO_V1(pg_saas_verify_request);

Datum
pg_saas_new_api_key(PG_FUNCTION_ARGS)
{
	char		key[SAAS_API_KEY_LENGTH + 1];
	bytea	   *hash = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "new_api_key must return a row");
	SET_VARSIZE(hash, VARHDRSZ + SAAS_DIGEST_LENGTH);
	if (!SaasApiKeyGenerate(key) ||
		!SaasSha256(key, SAAS_API_KEY_LENGTH, (uint8_t *) VARDATA(hash)))
		elog(ERROR, "could not make an API key");
	values[0] = CStringGetTextDatum(key);
	values[1] = PointerGetDatum(cstring_to_text_with_len(key, SAAS_API_KEY_SHOWN));
	values[2] = PointerGetDatum(hash);
	SaasWipe(key, sizeof(key));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
pg_saas_seal_signing_secret(PG_FUNCTION_ARGS)
{
	text	   *secret = PG_GETARG_TEXT_PP(2);

	PG_RETURN_POINTER(SaasApiKeySealSecret(PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1),
										   VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)));
}

/*
 * A part of a request in UTF-8.  A line feed in one would let two requests
 * have the same string to sign.
 */
static char *
request_text(FunctionCallInfo fcinfo, int number, const char *name, bool may_be_null)
{
	char	   *value;

	if (PG_ARGISNULL(number) && may_be_null)
		return pstrdup("");
	if (PG_ARGISNULL(number))
		SaasRaise("22023", psprintf("%s is required", name), NULL, NULL);
	value = text_to_cstring(PG_GETARG_TEXT_PP(number));
	for (const char *c = value; *c; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			SaasRaise("22023", psprintf("%s must not hold control characters", name), NULL, NULL);
	}
	return pg_server_to_any(value, (int) strlen(value), PG_UTF8);
}

/* The one header of that name in any case, or raises. */
static char *
require_header(Jsonb *headers, const char *name)
{
	JsonbIterator *iterator = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	char	   *found = NULL;
	bool		is_it = false;

	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			is_it = item.val.string.len == (int) strlen(name) &&
				pg_strncasecmp(item.val.string.val, name, strlen(name)) == 0;
		if (token != WJB_VALUE || !is_it)
			continue;
		if (found != NULL || item.type != jbvString)
			SaasRaise("PT401", "Invalid signature", psprintf("%s must be there once", name), NULL);
		found = pnstrdup(item.val.string.val, item.val.string.len);
	}
	if (found == NULL)
		SaasRaise("PT401", "Invalid signature", psprintf("%s is missing", name), NULL);
	return found;
}

static Datum
identity_answer(const SaasIdentity *identity)
{
	char	   *json = psprintf("{\"org_id\":\"%s\",\"user_id\":\"%s\",\"api_key_id\":\"%s\"}",
								SaasUuidText(&identity->org_id), SaasUuidText(&identity->user_id),
								SaasUuidText(&identity->api_key_id));

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

Datum
pg_saas_verify_request(PG_FUNCTION_ARGS)
{
	SaasSignedRequest request = {0};
	SaasIdentity identity;
	Jsonb	   *headers = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);

	SaasRequireInstalled();
	if (headers == NULL || !JB_ROOT_IS_OBJECT(headers))
		SaasRaise("22023", "headers must be an object", NULL, NULL);
	request.method = request_text(fcinfo, 0, "method", false);
	request.path = request_text(fcinfo, 1, "path", false);
	request.query = request_text(fcinfo, 2, "query", true);
	request.body = PG_ARGISNULL(3) ? NULL : PG_GETARG_BYTEA_PP(3);
	request.api_key = cstring_to_text(require_header(headers, "x-api-key"));
	request.timestamp = require_header(headers, "x-saas-timestamp");
	request.nonce = require_header(headers, "x-saas-nonce");
	request.signature = require_header(headers, "x-saas-signature");

	SaasApiKeyVerify(&request, &identity);
	SaasIdentityInstall(&identity);
	return identity_answer(&identity);
}
