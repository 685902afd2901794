/*
 * ids_sql.c
 *	  SQL functions for identifiers and random tokens.
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "pure/crypto.h"
#include "server/uuidv7.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#define TOKEN_BYTES		32

PG_FUNCTION_INFO_V1(pg_saas_uuidv7);
PG_FUNCTION_INFO_V1(pg_saas_random_token);
PG_FUNCTION_INFO_V1(pg_saas_token_hash);

Datum
pg_saas_uuidv7(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	(void) fcinfo;
	SaasUuidv7(id);
	PG_RETURN_UUID_P(id);
}

Datum
pg_saas_random_token(PG_FUNCTION_ARGS)
{
	uint8_t		bytes[TOKEN_BYTES];
	char		text[TOKEN_BYTES * 2];

	(void) fcinfo;
	if (!SaasRandomBytes(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not get random bytes")));
	SaasBase64UrlEncode(bytes, sizeof(bytes), text);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

Datum
pg_saas_token_hash(PG_FUNCTION_ARGS)
{
	text	   *token = PG_GETARG_TEXT_PP(0);
	bytea	   *digest = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);

	SET_VARSIZE(digest, VARHDRSZ + SAAS_DIGEST_LENGTH);
	if (!SaasSha256(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), (uint8_t *) VARDATA(digest)))
		elog(ERROR, "could not hash a token");
	PG_RETURN_BYTEA_P(digest);
}
