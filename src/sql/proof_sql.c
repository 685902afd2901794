/*
 * proof_sql.c
 *	  The identities that saas.prove_isolation attacks with, and statements as
 *	  somebody else.
 *
 * A superuser runs the proof, but tables bring code of their owners with them:
 * triggers, defaults, checks, policies, casts.  It must never run as the
 * superuser.  SET SESSION AUTHORIZATION alone does not do: whatever runs then
 * may RESET it.  So a statement runs as in VACUUM or REFRESH: in a security
 * context that refuses SET ROLE, SET SESSION AUTHORIZATION, temporary objects,
 * PREPARE and triggers that wait for the commit, and with settings that go
 * back to what they were before anything of ours resolves a name again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_node.h"
#include "pure/permissions.h"
#include "server/raise.h"
#include "state/identity.h"
#include "state/registry.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(pg_saas_begin_proof);
PG_FUNCTION_INFO_V1(pg_saas_prove_as);
PG_FUNCTION_INFO_V1(pg_saas_run_confined);
PG_FUNCTION_INFO_V1(pg_saas_run_as_session);
PG_FUNCTION_INFO_V1(pg_saas_copy_confined);

#define PROOF_PATH	"saas_proof.path"

/*
 * One proof at a time in a database.  Nobody else can take this lock: the
 * function's owner alone may, with weaker ones, and advisory keys are anybody's.
 */
static void
lock_proof(Oid function)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ProcedureRelationId, function, 0);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		SaasRaise("55P03", "another proof of isolation runs in this database", NULL,
				  "Wait until it has ended.");
}

Datum
pg_saas_begin_proof(PG_FUNCTION_ARGS)
{
	SaasIdentityBeginProof();
	lock_proof(fcinfo->flinfo->fn_oid);
	PG_RETURN_VOID();
}

/* What switching to somebody else is undone from. */
typedef struct Disguise
{
	Oid			user_id;
	int			security_context;
	Oid			role;
	int			guc_level;
} Disguise;

/* An error in between is undone by the subtransaction's abort. */
static void
put_on(Disguise *state, const char *role, int flags)
{
	const char *path = GetConfigOption(PROOF_PATH, true, false);

	SaasIdentityRequireProof();
	state->role = get_role_oid(role, false);
	if (superuser_arg(state->role))
		SaasRaise("42501", "a proof runs nothing as a superuser", role, NULL);
	GetUserIdAndSecContext(&state->user_id, &state->security_context);
	state->guc_level = NewGUCNestLevel();
	(void) set_config_option("session_authorization", role, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, ERROR, false);
	(void) set_config_option("search_path", path ? path : "", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, ERROR, false);
	SetUserIdAndSecContext(state->role, flags);
}

static void
take_off(Disguise *state)
{
	/* session_authorization returns outside of any security context only. */
	SetUserIdAndSecContext(state->role, 0);
	AtEOXact_GUC(false, state->guc_level);
	SetUserIdAndSecContext(state->user_id, state->security_context);
}

/* The first value of the first row, in the caller's memory. */
static char *
answer(MemoryContext caller)
{
	char	   *value;

	if (SPI_tuptable == NULL || SPI_processed == 0 || SPI_tuptable->tupdesc->natts == 0)
		return NULL;
	value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return value ? MemoryContextStrdup(caller, value) : NULL;
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *said, uint64 rows)
{
	TupleDesc	description;
	Datum		values[2];
	bool		nulls[2] = {said == NULL, false};

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function does not return a row");
	values[0] = said ? CStringGetTextDatum(said) : (Datum) 0;
	values[1] = Int64GetDatum((int64) rows);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

static Datum
run_as(FunctionCallInfo fcinfo, bool wants_answer, int flags)
{
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MemoryContext caller = CurrentMemoryContext;
	Disguise	state;
	char	   *said = NULL;
	uint64		rows;
	int			status;

	put_on(&state, NameStr(*PG_GETARG_NAME(0)), flags);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	status = SPI_execute(statement, false, 0);
	if (status < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot be run in a proof: %s", SPI_result_code_string(status))));
	rows = SPI_processed;
	if (wants_answer)
		said = answer(caller);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	take_off(&state);
	return result_row(fcinfo, said, rows);
}

Datum
pg_saas_run_confined(PG_FUNCTION_ARGS)
{
	return run_as(fcinfo, PG_GETARG_BOOL(2),
				  SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION |
				  (PG_GETARG_BOOL(3) ? SECURITY_NOFORCE_RLS : 0));
}

/* For statements without anybody's code in them. */
Datum
pg_saas_run_as_session(PG_FUNCTION_ARGS)
{
	return run_as(fcinfo, false, 0);
}

static CopyStmt *
parse_copy(const char *text)
{
	List	   *parsed = pg_parse_query(text);
	RawStmt    *raw = list_length(parsed) == 1 ? linitial_node(RawStmt, parsed) : NULL;

	if (raw == NULL || !IsA(raw->stmt, CopyStmt))
		elog(ERROR, "not a COPY statement");
	return (CopyStmt *) raw->stmt;
}

/* Where nothing refuses it, it is not carried out: there is nothing to read. */
static uint64
copy_in(ParseState *pstate, CopyStmt *copy)
{
	Oid			relation = RangeVarGetRelid(copy->relation, RowExclusiveLock, false);
	uint64		rows = 0;

	if (check_enable_rls(relation, InvalidOid, true) != RLS_ENABLED &&
		pg_class_aclcheck(relation, GetUserId(), ACL_INSERT) == ACLCHECK_OK)
		return 0;
	DoCopy(pstate, copy, 0, 0, &rows);
	return rows;
}

/*
 * Of a query, past the check that roles which write the server's files alone
 * may name one: the role's code must not have that right.
 */
static uint64
copy_out(ParseState *pstate, CopyStmt *copy)
{
	RawStmt    *query = makeNode(RawStmt);
	CopyToState state;
	uint64		rows;

	query->stmt = copy->query;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	state = SaasBeginCopyTo(pstate, query, "/dev/null");
	rows = DoCopyTo(state);
	EndCopyTo(state);
	PopActiveSnapshot();
	return rows;
}

Datum
pg_saas_copy_confined(PG_FUNCTION_ARGS)
{
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	CopyStmt   *copy = parse_copy(statement);
	ParseState *pstate = make_parsestate(NULL);
	Disguise	state;
	uint64		rows;

	pstate->p_sourcetext = statement;
	put_on(&state, NameStr(*PG_GETARG_NAME(0)),
		   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	rows = copy->is_from ? copy_in(pstate, copy) : copy_out(pstate, copy);
	take_off(&state);
	free_parsestate(pstate);
	return result_row(fcinfo, NULL, rows);
}

static uint64
permission_bits(ArrayType *names)
{
	Datum	   *elements;
	int			count;
	uint64		bits = 0;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);

		bits |= SaasRegistryBit(name, strlen(name));
	}
	return bits;
}

/* An API key holds what an owner does, and so every permission. */
static void
set_api_key(SaasIdentity *identity)
{
	identity->source = SAAS_IDENTITY_API_KEY;
	identity->api_key_id = identity->user_id;
	identity->permissions = SaasRegistryOfRole(SaasBuiltinRoleAt(0));
}

static void
set_role(SaasIdentity *identity, const char *role, FunctionCallInfo fcinfo)
{
	const SaasBuiltinRole *builtin = SaasBuiltinRoleFind(role);

	if (builtin == NULL && (PG_ARGISNULL(3) || PG_ARGISNULL(4)))
		SaasRaise("22023", "not a built-in role", role, NULL);
	identity->rank = builtin ? builtin->rank : PG_GETARG_INT32(4);
	identity->permissions = builtin ? SaasRegistryOfRole(builtin) : permission_bits(PG_GETARG_ARRAYTYPE_P(3));
	strlcpy(identity->role, role, sizeof(identity->role));
}

/* Without a user: no identity.  Without a role: one without an organization. */
Datum
pg_saas_prove_as(PG_FUNCTION_ARGS)
{
	SaasIdentity identity = {.is_set = true, .source = SAAS_IDENTITY_SESSION};
	char	   *role;

	if (PG_ARGISNULL(0))
	{
		SaasIdentityInstallInProof(NULL);
		PG_RETURN_VOID();
	}
	identity.user_id = *PG_GETARG_UUID_P(0);
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
	{
		identity.org_id = *PG_GETARG_UUID_P(1);
		identity.has_org = true;
		role = text_to_cstring(PG_GETARG_TEXT_PP(2));
		if (role[0] == '\0')
			set_api_key(&identity);
		else
			set_role(&identity, role, fcinfo);
	}
	SaasIdentityInstallInProof(&identity);
	PG_RETURN_VOID();
}
