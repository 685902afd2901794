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
 * A hash of nothing at the current cost, so that an unknown account answers no
 * faster than a known one.
 */
static const char *
dummy_hash(void)
{
	static char hash[64];
	static int	cost = 0;

	if (cost != saas_bcrypt_cost)
	{
		uint8_t		bytes[16];
		char		random[sizeof(bytes) * 2 + 1];

		if (!SaasRandomBytes(bytes, sizeof(bytes)))
			elog(ERROR, "could not get random bytes");
		SaasHexEncode(bytes, sizeof(bytes), random);
		strlcpy(hash, SaasBcryptHash(random, saas_bcrypt_cost), sizeof(hash));
		cost = saas_bcrypt_cost;
	}
	return hash;
}

Datum
pg_saas_check_password(PG_FUNCTION_ARGS)
{
	char	   *password = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		is_known = !PG_ARGISNULL(1);
	bool		matches;

	matches = SaasBcryptMatches(password, is_known ? text_to_cstring(PG_GETARG_TEXT_PP(1)) : dummy_hash());
	SaasWipe(password, strlen(password));
	PG_RETURN_BOOL(matches && is_known);
}
