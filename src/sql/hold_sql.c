/*
 * hold_sql.c
 *	  Locks on words, until the transaction ends.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pg_saas_hold);

/*
 * The lock is on an object of the class of this function, which no statement
 * reaches: advisory locks are anybody's to take, and saas.harden takes them
 * away.  Two words may share a lock.
 */
Datum
pg_saas_hold(PG_FUNCTION_ARGS)
{
	text	   *word = PG_GETARG_TEXT_PP(0);

	LockDatabaseObject(fcinfo->flinfo->fn_oid,
					   hash_bytes((unsigned char *) VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word)),
					   0, ExclusiveLock);
	PG_RETURN_VOID();
}
