/*
 * second_factor_sql.c
 *	  SQL functions of authenticator applications' codes.
 */
#include "postgres.h"

#include <time.h>

#include "compat.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "pure/crypto.h"
#include "pure/totp.h"
#include "server/arena_context.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define URI_ARENA_SIZE	(16 * 1024)
#define SECRET_ROOM		64

PG_FUNCTION_INFO_V1(pg_saas_random_base32);
PG_FUNCTION_INFO_V1(pg_saas_totp_uri);
PG_FUNCTION_INFO_V1(pg_saas_match_totp);

Datum
pg_saas_random_base32(PG_FUNCTION_ARGS)
{
	uint8_t		bytes[SAAS_TOTP_SECRET_LENGTH];
	char		digits[SAAS_TOTP_SECRET_LENGTH * 2];
	text	   *result;

	(void) fcinfo;
	if (!SaasRandomBytes(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not get random bytes")));
	SaasBase32Encode(bytes, sizeof(bytes), digits);
	result = cstring_to_text(digits);
	SaasWipe(bytes, sizeof(bytes));
	SaasWipe(digits, sizeof(digits));
	PG_RETURN_TEXT_P(result);
}

/* A URI percent-encodes UTF-8 (RFC 3986, section 2.5), whatever the database's encoding. */
static char *
utf8_argument(FunctionCallInfo fcinfo, int number)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(number));

	return pg_server_to_any(value, (int) strlen(value), PG_UTF8);
}

Datum
pg_saas_totp_uri(PG_FUNCTION_ARGS)
{
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, URI_ARENA_SIZE, &arena);
	char	   *uri = SaasTotpUri(utf8_argument(fcinfo, 0), utf8_argument(fcinfo, 1),
								  utf8_argument(fcinfo, 2), arena);
	text	   *result;

	if (uri == NULL)
		elog(ERROR, "the URI of a second factor is too long");
	result = cstring_to_text(uri);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(result);
}

Datum
pg_saas_match_totp(PG_FUNCTION_ARGS)
{
	text	   *digits = PG_GETARG_TEXT_PP(0);
	text	   *code = PG_GETARG_TEXT_PP(1);
	uint8_t		secret[SECRET_ROOM];
	long		length = -1;
	int64_t		step = -1;

	if (VARSIZE_ANY_EXHDR(digits) <= SECRET_ROOM)
		length = SaasBase32Decode(VARDATA_ANY(digits), VARSIZE_ANY_EXHDR(digits), secret);
	if (length <= 0)
		elog(ERROR, "a second factor's secret is not base32");
	step = SaasTotpMatch(secret, (size_t) length, (int64_t) time(NULL),
						 VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code));
	SaasWipe(secret, sizeof(secret));
	if (step < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(step);
}
