/*
 * token_claims.c
 *	  The claims of an access token.
 */
#include "postgres.h"

#include <time.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "state/settings.h"
#include "state/token_claims.h"
#include "utils/builtins.h"

/* "role" is the database role that PostgREST switches to. */
static const char *const claims_query =
	"select jsonb_strip_nulls(jsonb_build_object("
	"    'iss', $4, 'aud', $5, 'sub', u.id, 'sid', $2, 'org', o.id, 'org_slug', o.slug,"
	"    'org_role', m.role, 'role', 'saas_user', 'type', 'access', 'email', u.email,"
	"    'name', u.first_name || ' ' || u.last_name,"
	"    'iat', $6, 'nbf', $6, 'exp', $6 + $7, 'jti', $8))::text"
	"  from saas.app_user u"
	"  left join saas.membership m on m.user_id = u.id and m.org_id = $3"
	"  left join saas.organization o on o.id = m.org_id"
	" where u.id = $1";

char *
SaasTokenClaims(const pg_uuid_t *user_id, const pg_uuid_t *session_id, const pg_uuid_t *org_id, int lifetime)
{
	Oid			types[8] = {UUIDOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID, INT8OID, INT4OID, UUIDOID};
	Datum		values[8];
	char		nulls[9] = "        ";
	pg_uuid_t	token_id;
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	char	   *claims;

	SaasUuidv7(&token_id);
	values[0] = UUIDPGetDatum(user_id);
	values[1] = UUIDPGetDatum(session_id);
	values[2] = UUIDPGetDatum(org_id);
	nulls[2] = org_id == NULL ? 'n' : ' ';
	values[3] = CStringGetTextDatum(saas_jwt_issuer);
	values[4] = CStringGetTextDatum(saas_jwt_audience);
	values[5] = Int64GetDatum((int64) time(NULL));
	values[6] = Int32GetDatum(lifetime);
	values[7] = UUIDPGetDatum(&token_id);

	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args(claims_query, 8, types, values, nulls, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the claims of an access token");
	claims = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0],
													  SPI_tuptable->tupdesc, 1));
	SaasRunAsEnd(&state);
	return claims;
}
