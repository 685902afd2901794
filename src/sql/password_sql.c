/*
 * password_sql.c
 *	  Hashing and checking of passwords, in time that does not tell whose.
 */
#include "postgres.h"

#include <ctype.h>

#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pure/crypto.h"
#include "server/pgcrypto.h"
#include "server/raise.h"
#include "state/identity.h"
#include "state/settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MIN_LENGTH	8
#define BCRYPT_LOWEST_COST	4
#define MAX_LENGTH	72			/* bcrypt ignores what follows */
#define MAX_WAIT_MS 60000L

PG_FUNCTION_INFO_V1(pg_saas_hash_password);
PG_FUNCTION_INFO_V1(pg_saas_check_password);
PG_FUNCTION_INFO_V1(pg_saas_keyed_hash);
PG_FUNCTION_INFO_V1(pg_saas_wait_until);

/* A proof calls what checks passwords hundreds of times, for made-up people. */
static int
bcrypt_cost(void)
{
	return SaasIdentityIsProof() ? BCRYPT_LOWEST_COST : saas_bcrypt_cost;
}

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
	hash = SaasBcryptHash(password, bcrypt_cost());
	SaasWipe(password, strlen(password));
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}

/*
 * A salt at that cost stands in for the hash of an unknown account, so that it
 * answers no faster than a known one.  crypt() reads no more of a hash than
 * this, and no password's hash equals its salt.
 */
static char *
dummy_hash(int cost)
{
	return psprintf("$2a$%02d$pgsaaspgsaaspgsaaspgsa", cost);
}

/* The cost that a bcrypt hash names in its bytes 4 and 5. */
static int
cost_of(const char *hash)
{
	if (strlen(hash) < 7 || !isdigit((unsigned char) hash[4]) || !isdigit((unsigned char) hash[5]))
		return bcrypt_cost();
	return (hash[4] - '0') * 10 + (hash[5] - '0');
}

/*
 * A hash made before the cost was raised is checked faster than the dummy of
 * an unknown account.  Cost c takes 2^c rounds, and 2^c + 2^c + 2^(c+1) + ...
 * + 2^(n-1) = 2^n: these comparisons add what is missing.
 */
static void
make_up_rounds(const char *password, int cost)
{
	for (; cost < bcrypt_cost(); cost++)
		(void) SaasBcryptMatches(password, dummy_hash(cost));
}

Datum
pg_saas_check_password(PG_FUNCTION_ARGS)
{
	char	   *password = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		is_known = !PG_ARGISNULL(1);
	char	   *hash = is_known ? text_to_cstring(PG_GETARG_TEXT_PP(1)) : dummy_hash(bcrypt_cost());
	/* bcrypt would take any longer password for its first 72 bytes. */
	bool		is_possible = strlen(password) <= MAX_LENGTH;
	bool		matches;

	matches = SaasBcryptMatches(password, hash);
	make_up_rounds(password, cost_of(hash));
	SaasWipe(password, strlen(password));
	PG_RETURN_BOOL(matches && is_known && is_possible);
}

Datum
pg_saas_keyed_hash(PG_FUNCTION_ARGS)
{
	text	   *key = PG_GETARG_TEXT_PP(0);
	text	   *value = PG_GETARG_TEXT_PP(1);
	bytea	   *digest = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);

	SET_VARSIZE(digest, VARHDRSZ + SAAS_DIGEST_LENGTH);
	if (!SaasHmacSha256(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key),
						VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), (uint8_t *) VARDATA(digest)))
		elog(ERROR, "could not compute an HMAC");
	PG_RETURN_BYTEA_P(digest);
}

Datum
pg_saas_wait_until(PG_FUNCTION_ARGS)
{
	TimestampTz moment = PG_GETARG_TIMESTAMPTZ(0);
	long		remaining;

	if (SaasIdentityIsProof())
		PG_RETURN_VOID();
	while ((remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), moment)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(remaining, MAX_WAIT_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_VOID();
}
