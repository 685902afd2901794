/*
 * identity_sql.c
 *	  Accessors of the identity.  Policies call them per row: no allocation
 *	  where a static buffer does.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "pure/crypto.h"
#include "state/api_key_use.h"
#include "state/identity.h"
#include "state/registry.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define LONGEST_NAME_SHOWN	255

PG_FUNCTION_INFO_V1(pg_saas_clear_identity);
PG_FUNCTION_INFO_V1(pg_saas_current_user_id);
PG_FUNCTION_INFO_V1(pg_saas_current_org_id);
PG_FUNCTION_INFO_V1(pg_saas_current_role_name);
PG_FUNCTION_INFO_V1(pg_saas_current_session_id);
PG_FUNCTION_INFO_V1(pg_saas_current_api_key_id);
PG_FUNCTION_INFO_V1(pg_saas_current_api_key_hash);
PG_FUNCTION_INFO_V1(pg_saas_identity_source);
PG_FUNCTION_INFO_V1(pg_saas_current_permissions);
PG_FUNCTION_INFO_V1(pg_saas_current_rank);
PG_FUNCTION_INFO_V1(pg_saas_has_permission);
PG_FUNCTION_INFO_V1(pg_saas_org_if);
PG_FUNCTION_INFO_V1(pg_saas_is_authenticated);
PG_FUNCTION_INFO_V1(pg_saas_require_permission);
PG_FUNCTION_INFO_V1(pg_saas_builtin_roles);
PG_FUNCTION_INFO_V1(pg_saas_permissions_changed);

Datum
pg_saas_clear_identity(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	SaasIdentityClear();
	PG_RETURN_VOID();
}

Datum
pg_saas_current_user_id(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->is_set)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(&identity->user_id);
}

Datum
pg_saas_current_org_id(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->has_org)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(&identity->org_id);
}

Datum
pg_saas_current_session_id(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->has_session)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(&identity->session_id);
}

Datum
pg_saas_current_api_key_id(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->is_set || identity->source != SAAS_IDENTITY_API_KEY)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(&identity->api_key_id);
}

Datum
pg_saas_current_api_key_hash(PG_FUNCTION_ARGS)
{
	const uint8_t *hash = SaasApiKeyPresented(SaasIdentityGet());
	bytea	   *result;

	(void) fcinfo;
	if (hash == NULL)
		PG_RETURN_NULL();
	result = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);
	SET_VARSIZE(result, VARHDRSZ + SAAS_DIGEST_LENGTH);
	memcpy(VARDATA(result), hash, SAAS_DIGEST_LENGTH);
	PG_RETURN_BYTEA_P(result);
}

static const char *
source_name(SaasIdentitySource source)
{
	switch (source)
	{
		case SAAS_IDENTITY_SESSION:
			return "session";
		case SAAS_IDENTITY_API_KEY:
			return "api_key";
		case SAAS_IDENTITY_LOGIN:
			return "login";
		case SAAS_IDENTITY_OPERATOR:
			return "operator";
		case SAAS_IDENTITY_SUPERUSER:
			return "superuser";
	}
	return "unknown";
}

Datum
pg_saas_identity_source(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->is_set)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(source_name(identity->source)));
}

Datum
pg_saas_current_role_name(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->has_org)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(identity->role));
}

Datum
pg_saas_current_rank(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->has_org)
		PG_RETURN_NULL();
	PG_RETURN_INT32(identity->rank);
}

static ArrayType *
permission_array(uint64 permissions)
{
	Datum		names[SAAS_LAST_REGISTERED + 1];
	int			count = 0;

	for (int i = 0; i <= SAAS_LAST_REGISTERED; i++)
	{
		const char *name = (permissions >> i) & 1 ? SaasRegistryName(i) : NULL;

		if (name != NULL)
			names[count++] = CStringGetTextDatum(name);
	}
	return construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum
pg_saas_current_permissions(PG_FUNCTION_ARGS)
{
	const SaasIdentity *identity = SaasIdentityGet();

	(void) fcinfo;
	PG_RETURN_ARRAYTYPE_P(permission_array(identity->has_org ? identity->permissions : 0));
}

/*
 * The name is a constant in every policy: its bit is looked up once per plan.
 * One that is unknown may become known while the state lives.
 */
typedef struct PermissionCache
{
	bool		is_constant;
	uint64		bit;
} PermissionCache;

/*
 * Not get_fn_expr_arg_stable: it counts a parameter too, and PL/pgSQL keeps an
 * expression's state while its variables change.
 */
static bool
argument_is_constant(FmgrInfo *flinfo)
{
	Node	   *call = flinfo->fn_expr;

	return call != NULL && IsA(call, FuncExpr) && castNode(FuncExpr, call)->args != NIL &&
		IsA(linitial(castNode(FuncExpr, call)->args), Const);
}

static uint64
permission_bit(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	PermissionCache *cache = flinfo ? flinfo->fn_extra : NULL;
	text	   *name;
	uint64		bit;

	if (cache != NULL && cache->is_constant)
		return cache->bit;
	name = PG_GETARG_TEXT_PP(0);
	bit = SaasRegistryBit(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	if (flinfo != NULL && cache == NULL && bit != 0)
	{
		cache = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(PermissionCache));
		cache->is_constant = argument_is_constant(flinfo);
		cache->bit = bit;
		flinfo->fn_extra = cache;
	}
	return bit;
}

Datum
pg_saas_has_permission(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(SaasIdentityOrgIf(permission_bit(fcinfo)) != NULL);
}

Datum
pg_saas_org_if(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *org_id;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	org_id = SaasIdentityOrgIf(permission_bit(fcinfo));
	if (org_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(org_id);
}

Datum
pg_saas_is_authenticated(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(SaasIdentityGet()->is_set);
}

/* A refusal repeats the name; a longer one is no permission's, clipped or not. */
Datum
pg_saas_require_permission(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));

	name[pg_mbcliplen(name, (int) strlen(name), LONGEST_NAME_SHOWN)] = '\0';
	SaasIdentityRequire(name);
	PG_RETURN_VOID();
}

Datum
pg_saas_builtin_roles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < SAAS_BUILTIN_ROLE_COUNT; i++)
	{
		const SaasBuiltinRole *role = SaasBuiltinRoleAt(i);
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = CStringGetTextDatum(role->name);
		values[1] = Int32GetDatum(role->rank);
		values[2] = PointerGetDatum(permission_array(SaasRegistryOfRole(role)));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
pg_saas_permissions_changed(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	SaasRegistryChanged();
	PG_RETURN_VOID();
}
