/*
 * password_sql.c
 *	  Hashing and checking of passwords.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pure/crypto.h"
#include "server/pgcrypto.h"
#include "server/raise.h"
#include "state/settings.h"
#include "utils/builtins.h"

#define MIN_LENGTH	8
#define MAX_LENGTH	72			/* bcrypt ignores what follows */

PG_FUNCTION_INFO_V1(pg_saas_hash_password);
PG_FUNCTION_INFO_V1(pg_saas_check_password);

Datum
pg_saas_hash_password(PG_FUNCTION_ARGS)
{
	char	   *password;
	char	   *hash;

	if (PG_ARGISNULL(0))
		SaasRaise("22023", "invalid password",
				  "[{\"field\":\"password\",\"message\":\"is required\"}]", NULL);
	password = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (strlen(password) < MIN_LENGTH || strlen(password) > MAX_LENGTH)
		SaasRaise("22023", "invalid password",
				  "[{\"field\":\"password\",\"message\":\"must have 8 to 72 bytes\"}]",
				  "Longer passwords are refused, because bcrypt would ignore their end.");
	hash = SaasBcryptHash(password, saas_bcrypt_cost);
	SaasWipe(password, strlen(password));
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}

/*
 * A salt at the current cost stands in for the hash of an unknown account, so
 * that it answers no faster than a known one.  crypt() reads no more of a hash
 * than this, and no password's hash equals its salt.
 */
static char *
dummy_hash(void)
{
	return psprintf("$2a$%02d$pgsaaspgsaaspgsaaspgsa", saas_bcrypt_cost);
}

Datum
pg_saas_check_password(PG_FUNCTION_ARGS)
{
	char	   *password = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		is_known = !PG_ARGISNULL(1);
	/* bcrypt would take any longer password for its first 72 bytes. */
	bool		is_possible = strlen(password) <= MAX_LENGTH;
	bool		matches;

	matches = SaasBcryptMatches(password, is_known ? text_to_cstring(PG_GETARG_TEXT_PP(1)) : dummy_hash());
	SaasWipe(password, strlen(password));
	PG_RETURN_BOOL(matches && is_known && is_possible);
}
