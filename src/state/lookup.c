/*
 * lookup.c
 *	  The live rows behind an identity.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "pure/permissions.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/limits.h"
#include "state/lookup.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * Every operator is qualified, so the plan means the same under any
 * search_path and none needs to be set on this path of every request.
 */
static const char *const lookup_query =
	"select u.is_active,"
	"       s.id is not null and s.ended_at is null"
	"           and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp(),"
	"       o.status, m.role, r.is_builtin, r.rank, r.permissions,"
	"       o.requires_second_factor and s.id is not null and s.second_factor_at is null"
	"  from saas.app_user u"
	"  left join saas_private.session s"
	"    on s.id operator(pg_catalog.=) $2 and s.user_id operator(pg_catalog.=) u.id"
	"  left join saas.membership m"
	"    on m.org_id operator(pg_catalog.=) $3 and m.user_id operator(pg_catalog.=) u.id"
	"  left join saas.organization o on o.id operator(pg_catalog.=) m.org_id"
	"  left join saas.role r"
	"    on r.org_id operator(pg_catalog.=) m.org_id and r.name operator(pg_catalog.=) m.role"
	" where u.id operator(pg_catalog.=) $1";

static SPIPlanPtr lookup_plan = NULL;

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
		mask |= SaasPermissionBit(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
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

static void
take_role(SaasIdentity *identity)
{
	bool		is_null;
	Datum		value = column(4, &is_null);

	strlcpy(identity->role, is_null ? "" : TextDatumGetCString(value), sizeof(identity->role));
	if (column_is_true(5))
	{
		const SaasBuiltinRole *builtin = SaasBuiltinRoleFind(identity->role);

		identity->rank = builtin ? builtin->rank : 0;
		identity->permissions = builtin ? builtin->permissions : 0;
		return;
	}
	value = column(6, &is_null);
	identity->rank = is_null ? 0 : DatumGetInt32(value);
	value = column(7, &is_null);
	identity->permissions = is_null ? 0 : permission_mask(value);
}

/*
 * NULL when the row stands, else the error's message; the organization's status
 * goes to *status, and whether the session lacks the second factor that it
 * requires to *lacks_factor.
 */
static const char *
judge(SaasIdentity *identity, char **status, bool *lacks_factor)
{
	bool		is_null;
	Datum		value;

	if (SPI_processed != 1 || !column_is_true(1))
		return "User not found or inactive";
	if (identity->has_session && (!column_is_true(2) || SaasSessionIsEnded(&identity->session_id)))
		return "Invalid or expired token";
	if (!identity->has_org)
		return NULL;
	value = column(3, &is_null);
	if (is_null)
		return "Invalid organization access";
	*status = TextDatumGetCString(value);
	*lacks_factor = column_is_true(8);
	take_role(identity);
	return NULL;
}

static void
run_query(const SaasIdentity *identity)
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

	if (lookup_plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(lookup_query, 3, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the look-up of an identity: %s",
				 SPI_result_code_string(SPI_result));
		lookup_plan = plan;
	}
	/* Not read-only: a fresh snapshot, so that a revocation counts at once. */
	if (SPI_execute_plan(lookup_plan, values, nulls, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "could not look up an identity");
}

static void
refuse(const SaasIdentity *identity, const char *refusal)
{
	if (identity->source == SAAS_IDENTITY_OPERATOR)
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
	char		status[32] = "";
	char	   *found_status = NULL;
	bool		lacks_factor = false;

	SaasRequireInstalled();
	identity->rank = 0;
	identity->permissions = 0;
	identity->role[0] = '\0';

	SaasRunAsBeginQualified(&state, "saas_service");
	run_query(identity);
	refusal = judge(identity, &found_status, &lacks_factor);
	if (found_status)
		strlcpy(status, found_status, sizeof(status));
	SaasRunAsEnd(&state);

	if (refusal)
		refuse(identity, refusal);
	if (identity->has_org && strcmp(status, "active") != 0)
		SaasRaise("PT403", psprintf("Organization is %s", status), NULL,
				  "Contact the operator of this service.");
	if (lacks_factor)
		SaasRaise("PT403", "Second factor required", NULL,
				  "Refresh the session to work in another organization, or sign in with a second factor.");
	identity->is_set = true;
}
