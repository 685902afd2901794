/*
 * tenant_hook.c
 *	  What a tenant's statements may not do to others, or leave to them.
 *
 * Two kinds.  Some statements reach beyond the organization whoever's session
 * it is: they hear or tell others, count their rows, lock them out, or change
 * the role that all share.  Others leave something in the session for whoever
 * uses it next: harmless where a login is mapped to one member.
 *
 * A setting may be made for the session in many ways, set_config() in an
 * expression among them.  So that is judged at the end of a transaction in
 * which it could have happened, by what would stay.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "server/raise.h"
#include "sql/tenant_hook.h"
#include "state/identity.h"
#include "state/login.h"
#include "state/settings.h"
#include "state/tenant.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"

static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_object_hook = NULL;

/* The transaction at whose end no setting may stay in the session, if any. */
static LocalTransactionId watched_lxid = InvalidLocalTransactionId;

/* What drivers and poolers set on their own behalf, before or between requests. */
static const char *const connection_settings[] = {
	"application_name", "bytea_output", "client_encoding", "client_min_messages", "DateStyle",
	"extra_float_digits", "IntervalStyle", "standard_conforming_strings", "TimeZone"
};

typedef struct Refusal
{
	const char *what;			/* NULL: nothing is refused */
	const char *why;			/* a sentence */
} Refusal;

#define REFUSED(what, why)	return (Refusal) {(what), (why)}

/* What reaches beyond the organization. */
static Refusal
reaches_others(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_ListenStmt:
			REFUSED("LISTEN", "Every session of the database hears what any other notifies.");
		case T_NotifyStmt:
			REFUSED("NOTIFY", "Every session of the database hears what any other notifies.");
		case T_ExplainStmt:
			REFUSED("EXPLAIN", "Its estimates come from the rows of every organization.");
		case T_LockStmt:
			/* The weaker modes, which pg_dump takes, hold up nobody who reads or writes. */
			if (castNode(LockStmt, statement)->mode > RowExclusiveLock)
				REFUSED("LOCK TABLE", "It would keep every organization waiting.");
			break;
		case T_AlterRoleStmt:
		case T_AlterRoleSetStmt:
		case T_GrantRoleStmt:
			REFUSED("changing a role", "Every organization's sessions share it.");
		case T_DropOwnedStmt:
		case T_ReassignOwnedStmt:
			REFUSED("DROP OWNED or REASSIGN OWNED", "Every organization's sessions share the role and what it owns.");
		default:
			break;
	}
	REFUSED(NULL, NULL);
}

static bool
is_temporary(const RangeVar *relation)
{
	return relation &&
		(relation->relpersistence == RELPERSISTENCE_TEMP ||
		 (relation->schemaname && strncmp(relation->schemaname, "pg_temp", strlen("pg_temp")) == 0));
}

static bool
creates_temporary(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateStmt:
			return is_temporary(castNode(CreateStmt, statement)->relation);
		case T_CreateTableAsStmt:
			return is_temporary(castNode(CreateTableAsStmt, statement)->into->rel);
		case T_ViewStmt:
			return is_temporary(castNode(ViewStmt, statement)->view);
		case T_CreateSeqStmt:
			return is_temporary(castNode(CreateSeqStmt, statement)->sequence);
		case T_CreateFunctionStmt:
			return list_length(castNode(CreateFunctionStmt, statement)->funcname) > 1 &&
				strcmp(strVal(linitial(castNode(CreateFunctionStmt, statement)->funcname)), "pg_temp") == 0;
		default:
			return false;
	}
}

/* What stays in the session, but for settings. */
static Refusal
stays_in_session(Node *statement)
{
	if (IsA(statement, DeclareCursorStmt) &&
		(castNode(DeclareCursorStmt, statement)->options & CURSOR_OPT_HOLD) != 0)
		REFUSED("DECLARE ... WITH HOLD", "Its rows would stay for whoever uses the session next.");
	/* Not the protocol's own, which are no statements. */
	if (IsA(statement, PrepareStmt))
		REFUSED("PREPARE", "It would answer whoever executes that name in the session next.");
	if (creates_temporary(statement))
		REFUSED("creating temporary objects", "They would stay for whoever uses the session next.");
	REFUSED(NULL, NULL);
}

/* A mapped login is one member's, a superuser's session the superuser's. */
static bool
is_shared_session(void)
{
	return !superuser_arg(GetSessionUserId()) && !SaasLoginIsMapped();
}

static void
refuse(Refusal refusal)
{
	SaasRaise("PT403", psprintf("%s is not allowed to tenants", refusal.what), NULL,
			  psprintf("%s A superuser may turn saas.restrict_sessions off for a login that is not shared.",
					   refusal.why));
}

static bool
is_connection_setting(const char *name)
{
	for (int i = 0; i < lengthof(connection_settings); i++)
	{
		if (pg_strcasecmp(name, connection_settings[i]) == 0)
			return true;
	}
	return false;
}

/* Whether the statement sets something beyond the transaction, but for roles. */
static bool
sets_for_session(VariableSetStmt *set)
{
	if (set->is_local ||
		(set->kind != VAR_SET_VALUE && set->kind != VAR_SET_CURRENT && set->kind != VAR_SET_MULTI))
		return false;
	return strcmp(set->name, "TRANSACTION") != 0 && strcmp(set->name, "TRANSACTION SNAPSHOT") != 0 &&
		strcmp(set->name, "role") != 0 && strcmp(set->name, "session_authorization") != 0;
}

/* As the login itself on behalf of nobody: what a driver or pooler says. */
static bool
is_connections_own(const char *name)
{
	return GetUserId() == GetSessionUserId() && !SaasIdentityGet()->is_set &&
		(!SaasTenantWasServed() || is_connection_setting(name));
}

static void
watch_settings(void)
{
	if (is_shared_session())
		watched_lxid = SaasLocalTransactionId();
}

static void
check(Node *statement)
{
	Refusal		refusal = reaches_others(statement);

	if (refusal.what && SaasTenantActs())
		refuse(refusal);
	refusal = stays_in_session(statement);
	if (refusal.what && SaasTenantActs() && is_shared_session())
		refuse(refusal);
	/* Asked of RESET ROLE too, by which a session would be seen to serve tenants last. */
	if (IsA(statement, VariableSetStmt) && IsTransactionState() && SaasTenantActs() &&
		sets_for_session(castNode(VariableSetStmt, statement)) &&
		!is_connections_own(castNode(VariableSetStmt, statement)->name))
		watch_settings();
}

static void
process_utility(PlannedStmt *planned, const char *text, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *destination, QueryCompletion *completion)
{
	if (saas_restrict_sessions)
		check(planned->utilityStmt);
	if (previous_utility)
		previous_utility(planned, text, read_only_tree, context, params, environment,
						 destination, completion);
	else
		standard_ProcessUtility(planned, text, read_only_tree, context, params, environment,
								destination, completion);
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_object_hook)
		previous_object_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_FUNCTION_EXECUTE && object_id == F_SET_CONFIG && saas_restrict_sessions &&
		SaasTenantActs() && !is_connections_own(""))
		watch_settings();
}

/* A RESET, and a SET that was rolled back, leave nothing. */
static bool
would_stay(const struct config_generic *setting)
{
	if (setting->stack == NULL ||
		strcmp(setting->name, "role") == 0 || strcmp(setting->name, "session_authorization") == 0)
		return false;
	return setting->stack->state == GUC_SET_LOCAL ||
		(setting->stack->state == GUC_SET && setting->source == PGC_S_SESSION);
}

static void
refuse_settings_that_stay(void)
{
	int			count;
	struct config_generic **settings = SaasGucVariables(&count);

	for (int i = 0; i < count; i++)
	{
		if (would_stay(settings[i]))
			SaasRaise("PT403", psprintf("setting \"%s\" would outlive the transaction", settings[i]->name), NULL,
					  "It would stay for whoever uses the session next: use SET LOCAL, or set_config with true.");
	}
}

static void
at_end(XactEvent event, void *arg)
{
	(void) arg;
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		watched_lxid == SaasLocalTransactionId())
		refuse_settings_that_stay();
}

void
SaasTenantHookInit(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_object_hook = object_access_hook;
	object_access_hook = on_object_access;
	RegisterXactCallback(at_end, NULL);
}
