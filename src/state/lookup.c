/*
 * lookup.c
 *	  The live rows behind an identity.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "server/plan.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/client.h"
#include "state/limits.h"
#include "state/lookup.h"
#include "state/registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

/*
 * Every operator is qualified, so the plans mean the same under any
 * search_path and none needs to be set on this path of every request.  The
 * columns of SaasColumn come first in each of the two look-ups.
 */
static const char *const user_query =
	"select u.is_active, o.status, m.role, o.status_reason, o.allowed_networks,"
	"       s.id is not null and s.ended_at is null"
	"           and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp(),"
	"       o.requires_second_factor and s.id is not null and s.second_factor_at is null,"
	"       s.created_at operator(pg_catalog.+) o.max_session_age"
	"           operator(pg_catalog.<=) pg_catalog.clock_timestamp()"
	"  from saas.app_user u"
	"  left join saas_private.session s"
	"    on s.id operator(pg_catalog.=) $2 and s.user_id operator(pg_catalog.=) u.id"
	"  left join saas.membership m"
	"    on m.org_id operator(pg_catalog.=) $3 and m.user_id operator(pg_catalog.=) u.id"
	"  left join saas.organization o on o.id operator(pg_catalog.=) m.org_id"
	" where u.id operator(pg_catalog.=) $1";

static const char *const api_key_query =
	"select u.is_active, o.status, m.role, o.status_reason, o.allowed_networks,"
	"       k.created_by, k.org_id, k.id, k.permissions, k.requires_signature"
	"  from saas_private.api_key_hash h"
	"  join saas.api_key k"
	"    on k.org_id operator(pg_catalog.=) h.org_id and k.id operator(pg_catalog.=) h.api_key_id"
	"  join saas.app_user u on u.id operator(pg_catalog.=) k.created_by"
	"  left join saas.membership m"
	"    on m.org_id operator(pg_catalog.=) k.org_id and m.user_id operator(pg_catalog.=) u.id"
	"  left join saas.organization o on o.id operator(pg_catalog.=) m.org_id"
	" where h.key_hash operator(pg_catalog.=) $1 and k.revoked_at is null"
	"   and (h.valid_until is null or h.valid_until operator(pg_catalog.>) pg_catalog.clock_timestamp())"
	"   and (k.expires_at is null or k.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())";

/* Built-in roles are known without their rows. */
static const char *const role_query =
	"select r.rank, r.permissions from saas.role r"
	" where r.org_id operator(pg_catalog.=) $1 and r.name operator(pg_catalog.=) $2 and not r.is_builtin";

typedef enum SaasColumn
{
	USER_IS_ACTIVE = 1,
	ORGANIZATION_STATUS,
	MEMBER_ROLE,
	STATUS_REASON,
	ALLOWED_NETWORKS,
	/* of user_query */
	SESSION_IS_GOOD,
	SESSION_LACKS_FACTOR,
	SESSION_IS_TOO_OLD,
	/* of api_key_query */
	KEY_CREATED_BY = 6,
	KEY_ORG_ID,
	KEY_ID,
	KEY_PERMISSIONS,
	KEY_REQUIRES_SIGNATURE
} SaasColumn;

static SPIPlanPtr user_plan = NULL;
static SPIPlanPtr api_key_plan = NULL;
static SPIPlanPtr role_plan = NULL;

static uint64
permission_mask(Datum permissions)
{
	ArrayType  *array = DatumGetArrayTypeP(permissions);
	Datum	   *items;
	bool	   *nulls;
	int			count;
	uint64		mask = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		text	   *name;

		if (nulls[i])
			continue;
		name = DatumGetTextPP(items[i]);
		mask |= SaasRegistryBit(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	return mask;
}

/* One column of the only row; NULL gives 0 and sets is_null. */
static Datum
column(int number, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, is_null);
}

static bool
column_is_true(int number)
{
	bool		is_null;
	Datum		value = column(number, &is_null);

	return !is_null && DatumGetBool(value);
}

/*
 * Runs a query whose plan is kept.  Always the generic plan: look-ups by key
 * have no better one, and five custom plans would make a session's first
 * requests slow.
 */
static void
run_plan(SPIPlanPtr *plan, const char *query, int count, Oid *types, Datum *values, const char *nulls)
{
	SaasPlanKeep(plan, query, count, types, CURSOR_OPT_GENERIC_PLAN);
	/* Not read-only: a fresh snapshot, so that a revocation counts at once. */
	if (SPI_execute_plan(*plan, values, nulls, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "could not look up an identity");
}

static void
take_custom_role(SaasIdentity *identity)
{
	Oid			types[2] = {UUIDOID, TEXTOID};
	Datum		values[2] = {UUIDPGetDatum(&identity->org_id), CStringGetTextDatum(identity->role)};
	bool		is_null;
	Datum		permissions;

	run_plan(&role_plan, role_query, lengthof(types), types, values, NULL);
	if (SPI_processed != 1)
		return;
	identity->rank = DatumGetInt32(column(1, &is_null));
	permissions = column(2, &is_null);
	identity->permissions = is_null ? 0 : permission_mask(permissions);
}

/* What the organization has against the request, whoever makes it. */
typedef struct Gate
{
	char		status[16];
	char	   *reason;			/* why it is not active, or NULL */
	bool		is_elsewhere;	/* the client is in none of its networks */
	bool		lacks_factor;	/* the session has not seen the second factor that it requires */
	bool		is_too_old;		/* the session began too long ago */
} Gate;

/* An operator's own address is not the member's. */
static bool
is_bound_to_networks(const SaasIdentity *identity)
{
	return identity->source != SAAS_IDENTITY_OPERATOR && identity->source != SAAS_IDENTITY_SUPERUSER;
}

static void
take_gate(const SaasIdentity *identity, Gate *gate)
{
	bool		is_null;
	Datum		value = column(ORGANIZATION_STATUS, &is_null);

	strlcpy(gate->status, is_null ? "" : TextDatumGetCString(value), sizeof(gate->status));
	value = column(STATUS_REASON, &is_null);
	/* Must outlive SPI's memory; only an error reads it. */
	gate->reason = is_null ? NULL : MemoryContextStrdup(CurTransactionContext, TextDatumGetCString(value));
	value = column(ALLOWED_NETWORKS, &is_null);
	gate->is_elsewhere = !is_null && is_bound_to_networks(identity) &&
		!SaasClientIsWithin(DatumGetArrayTypeP(value));
}

/* The member's role with what it may do. */
static void
take_role(SaasIdentity *identity)
{
	const SaasBuiltinRole *builtin;
	bool		is_null;
	Datum		value = column(MEMBER_ROLE, &is_null);

	strlcpy(identity->role, is_null ? "" : TextDatumGetCString(value), sizeof(identity->role));
	builtin = SaasBuiltinRoleFind(identity->role);
	if (builtin == NULL)
	{
		take_custom_role(identity);
		return;
	}
	identity->rank = builtin->rank;
	identity->permissions = SaasRegistryOfRole(builtin);
}

static bool
is_member(void)
{
	bool		is_null;

	(void) column(ORGANIZATION_STATUS, &is_null);
	return !is_null;
}

static void
run_user_query(const SaasIdentity *identity)
{
	Oid			types[3] = {UUIDOID, UUIDOID, UUIDOID};
	Datum		values[3] = {
		UUIDPGetDatum(&identity->user_id),
		UUIDPGetDatum(&identity->session_id),
		UUIDPGetDatum(&identity->org_id)
	};
	char		nulls[3] = {
		' ', identity->has_session ? ' ' : 'n', identity->has_org ? ' ' : 'n'
	};

	run_plan(&user_plan, user_query, lengthof(types), types, values, nulls);
}

/* NULL when the rows stand, else the error's message. */
static const char *
take_user(SaasIdentity *identity, Gate *gate)
{
	if (SPI_processed != 1 || !column_is_true(USER_IS_ACTIVE))
		return "User not found or inactive";
	if (identity->has_session && !column_is_true(SESSION_IS_GOOD))
		return "Invalid or expired token";
	if (!identity->has_org)
		return NULL;
	if (!is_member())
		return "Invalid organization access";
	take_gate(identity, gate);
	gate->lacks_factor = column_is_true(SESSION_LACKS_FACTOR);
	gate->is_too_old = column_is_true(SESSION_IS_TOO_OLD);
	/* The role's own query replaces the row. */
	take_role(identity);
	return NULL;
}

static void
clear_rights(SaasIdentity *identity)
{
	identity->rank = 0;
	identity->permissions = 0;
	identity->role[0] = '\0';
}

static void
require_open(const Gate *gate)
{
	if (strcmp(gate->status, "active") != 0)
		SaasRaise("PT403", psprintf("Organization is %s", gate->status), gate->reason,
				  strcmp(gate->status, "deleting") == 0
				  ? "An owner can restore it for 30 days: restore_organization."
				  : "Contact the operator of this service.");
	if (gate->is_elsewhere)
		SaasRaise("PT403", "the organization does not allow requests from this address", NULL,
				  "An owner can allow its network in the organization's settings.");
	if (gate->lacks_factor)
		SaasRaise("PT403", "Second factor required", NULL,
				  "Refresh the session to work in another organization, or sign in with a second factor.");
	if (gate->is_too_old)
		SaasRaise("PT401", "Session is too old for this organization", NULL, "Sign in again.");
}

static void
refuse(const SaasIdentity *identity, const char *refusal)
{
	if (identity->source == SAAS_IDENTITY_OPERATOR || identity->source == SAAS_IDENTITY_SUPERUSER)
		SaasRaise("PT404", "no such active member of the organization", NULL, NULL);
	if (identity->source == SAAS_IDENTITY_LOGIN)
		SaasRaise("PT401", refusal,
				  psprintf("The login \"%s\" is mapped to somebody who is no longer an active member of the organization.",
						   identity->actor),
				  "Ask the database's administrator to map or unmap the login.");
	SaasRaise("PT401", refusal, NULL, NULL);
}

void
SaasLookupIdentity(SaasIdentity *identity)
{
	SaasRunAs	state;
	const char *refusal;
	Gate		gate;
	bool		is_ended;

	SaasRequireInstalled();
	clear_rights(identity);

	/* Before the row is read: memory lets go of a session only once its row says it. */
	is_ended = identity->has_session && SaasSessionIsEnded(&identity->session_id);
	SaasRunAsBeginQualified(&state, "saas_service");
	run_user_query(identity);
	refusal = take_user(identity, &gate);
	SaasRunAsEnd(&state);

	if (is_ended)
		refusal = "Invalid or expired token";
	if (refusal)
		refuse(identity, refusal);
	if (identity->has_org)
		require_open(&gate);
	identity->is_set = true;
}

static void
run_api_key_query(const uint8_t hash[SAAS_DIGEST_LENGTH])
{
	Oid			types[1] = {BYTEAOID};
	bytea	   *argument = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	Datum		values[1] = {PointerGetDatum(argument)};

	SET_VARSIZE(argument, VARHDRSZ + SAAS_DIGEST_LENGTH);
	memcpy(VARDATA(argument), hash, SAAS_DIGEST_LENGTH);
	run_plan(&api_key_plan, api_key_query, lengthof(types), types, values, NULL);
}

/* False when no good key has that hash or its creator may no longer use it. */
static bool
take_api_key(SaasIdentity *identity, bool *requires_signature, Gate *gate)
{
	bool		is_null;
	uint64		allowed;

	if (SPI_processed != 1 || !column_is_true(USER_IS_ACTIVE) || !is_member())
		return false;
	identity->user_id = *DatumGetUUIDP(column(KEY_CREATED_BY, &is_null));
	identity->org_id = *DatumGetUUIDP(column(KEY_ORG_ID, &is_null));
	identity->api_key_id = *DatumGetUUIDP(column(KEY_ID, &is_null));
	identity->has_org = true;
	*requires_signature = column_is_true(KEY_REQUIRES_SIGNATURE);
	allowed = permission_mask(column(KEY_PERMISSIONS, &is_null));
	take_gate(identity, gate);
	/* The role's own query replaces the row. */
	take_role(identity);
	identity->permissions &= allowed;
	/* A key manages nobody: it works by its permissions only. */
	identity->rank = 0;
	identity->role[0] = '\0';
	return true;
}

void
SaasLookupApiKey(const uint8_t hash[SAAS_DIGEST_LENGTH], SaasIdentity *identity, bool *requires_signature)
{
	SaasRunAs	state;
	Gate		gate = {.status = ""};
	bool		found;

	SaasRequireInstalled();
	memset(identity, 0, sizeof(*identity));
	identity->source = SAAS_IDENTITY_API_KEY;

	SaasRunAsBeginQualified(&state, "saas_service");
	run_api_key_query(hash);
	found = take_api_key(identity, requires_signature, &gate);
	SaasRunAsEnd(&state);

	if (!found)
		SaasRaise("PT401", "Invalid or expired API key", NULL, NULL);
	require_open(&gate);
	identity->is_set = true;
}
