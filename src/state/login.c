/*
 * login.c
 *	  The identity of a database login that is mapped to a member.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "server/plan.h"
#include "server/run_as.h"
#include "state/identity.h"
#include "state/login.h"
#include "state/lookup.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Qualified, as the look-up of an identity is. */
static const char *const mapping_query =
	"select m.user_id, m.org_id"
	"  from saas_private.login_mapping m"
	" where m.login_oid operator(pg_catalog.=) $1 and m.login operator(pg_catalog.=) $2"
	"   and ($3 or saas_private.login_refusal($1) is null)";

static SPIPlanPtr mapping_plan = NULL;

/*
 * A login known to have no mapping, and one whose role may have one, until
 * something invalidates that.
 */
static Oid	unmapped_login = InvalidOid;
static Oid	allowed_login = InvalidOid;

/* Counts those events: what was read before one is not remembered after it. */
static uint64 changes = 0;

/* The mappings' table, InvalidOid while there is none. */
static Oid	mapping_table = InvalidOid;

/* What this transaction found for that login. */
static struct
{
	LocalTransactionId lxid;
	Oid			login;
	SaasIdentity identity;		/* is_set: mapped */
}			found = {InvalidLocalTransactionId};

/* The look-up runs queries, for which nobody looks up anything. */
static bool is_looking = false;

static void
forget(void)
{
	unmapped_login = InvalidOid;
	allowed_login = InvalidOid;
	mapping_table = InvalidOid;
	changes++;
}

static void
on_relation_change(Datum argument, Oid relation)
{
	(void) argument;
	if (!OidIsValid(relation) || !OidIsValid(mapping_table) || relation == mapping_table)
		forget();
}

static void
on_role_change(Datum argument, int cache, uint32 hash)
{
	(void) argument;
	(void) cache;
	(void) hash;
	forget();
}

static void
find_mapping_table(void)
{
	Oid			schema = get_namespace_oid("saas_private", true);

	mapping_table = OidIsValid(schema) ? get_relname_relid("login_mapping", schema) : InvalidOid;
}

/* The login's one mapping; false for none, and for two. */
static bool
read_mapping(Oid login, SaasIdentity *identity)
{
	Oid			types[3] = {OIDOID, NAMEOID, BOOLOID};
	NameData	name;
	Datum		values[3] = {
		ObjectIdGetDatum(login), NameGetDatum(&name), BoolGetDatum(login == allowed_login)
	};
	SaasRunAs	state;
	bool		is_mapped;
	bool		is_null;

	namestrcpy(&name, GetUserNameFromId(login, false));
	SaasRunAsBeginQualified(&state, "saas_service");
	SaasPlanKeep(&mapping_plan, mapping_query, lengthof(types), types, 0);
	if (SPI_execute_plan(mapping_plan, values, NULL, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a login");
	is_mapped = SPI_processed == 1;
	if (is_mapped)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	columns = SPI_tuptable->tupdesc;

		identity->has_org = true;
		identity->user_id = *DatumGetUUIDP(SPI_getbinval(row, columns, 1, &is_null));
		identity->org_id = *DatumGetUUIDP(SPI_getbinval(row, columns, 2, &is_null));
		strlcpy(identity->actor, NameStr(name), sizeof(identity->actor));
	}
	SaasRunAsEnd(&state);
	return is_mapped;
}

/* The identity as it is now; is_set stays false for a login without a mapping. */
static void
look_up(Oid login, SaasIdentity *identity)
{
	is_looking = true;
	PG_TRY();
	{
		/* Superusers never have one, whatever was mapped before they became that. */
		if (!superuser_arg(login) && read_mapping(login, identity))
			SaasLookupIdentity(identity);
	}
	PG_FINALLY();
	{
		is_looking = false;
	}
	PG_END_TRY();
}

static void
find(Oid login)
{
	SaasIdentity identity = {.source = SAAS_IDENTITY_LOGIN};
	uint64		changes_before = changes;

	find_mapping_table();
	if (OidIsValid(mapping_table))
		look_up(login, &identity);
	if (changes == changes_before && identity.is_set)
		allowed_login = login;
	else if (changes == changes_before)
		unmapped_login = login;
	found.lxid = InvalidLocalTransactionId;
	found.login = login;
	found.identity = identity;
}

void
SaasLoginEnsureIdentity(void)
{
	Oid			login = GetSessionUserId();
	bool		is_new;

	/* A parallel worker has its leader's identity, and a proof the one that it attacks with. */
	if (is_looking || login == unmapped_login || IsInParallelMode() || IsParallelWorker() ||
		!IsTransactionState() || SaasIdentityIsProof())
		return;
	is_new = found.lxid != SaasLocalTransactionId() || found.login != login;
	if (is_new)
		find(login);
	/* It is gone where a savepoint from before it was rolled back to. */
	if (found.identity.is_set && !SaasIdentityWasCleared() && (is_new || !SaasIdentityGet()->is_set))
		SaasIdentityInstall(&found.identity);
	/* Last: after an error in here the next statement starts over. */
	found.lxid = SaasLocalTransactionId();
}

bool
SaasLoginIsMapped(void)
{
	SaasLoginEnsureIdentity();
	return found.lxid == SaasLocalTransactionId() && found.login == GetSessionUserId() &&
		found.identity.is_set;
}

void
SaasLoginMappingsChanged(void)
{
	find_mapping_table();
	if (OidIsValid(mapping_table))
		CacheInvalidateRelcacheByRelid(mapping_table);
}

void
SaasLoginInit(void)
{
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
}
