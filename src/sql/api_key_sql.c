/*
 * api_key_sql.c
 *	  Making API keys.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "pure/api_key.h"
#include "pure/crypto.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pg_saas_new_api_key);

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
