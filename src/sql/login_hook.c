/*
 * login_hook.c
 *	  Where a mapped login's transaction gets its identity: before its first
 *	  statement that could use one.
 *
 * Planning comes first, and there the policies' functions are evaluated for
 * the row estimates; a plan from the cache is only executed; DO and CALL
 * evaluate expressions with neither.  BEGIN, SET and the like must not take
 * the snapshot that a look-up needs, and need no identity.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "optimizer/planner.h"
#include "sql/login_hook.h"
#include "state/login.h"
#include "tcop/utility.h"

static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

static PlannedStmt *
plan(Query *query, const char *text, int cursor_options, ParamListInfo params)
{
	SaasLoginEnsureIdentity();
	if (previous_planner)
		return previous_planner(query, text, cursor_options, params);
	return standard_planner(query, text, cursor_options, params);
}

static void
start(QueryDesc *query, int flags)
{
	SaasLoginEnsureIdentity();
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
process_utility(PlannedStmt *planned, const char *text, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *destination, QueryCompletion *completion)
{
	if (IsA(planned->utilityStmt, DoStmt) || IsA(planned->utilityStmt, CallStmt))
		SaasLoginEnsureIdentity();
	if (previous_utility)
		previous_utility(planned, text, read_only_tree, context, params, environment,
						 destination, completion);
	else
		standard_ProcessUtility(planned, text, read_only_tree, context, params, environment,
								destination, completion);
}

void
SaasLoginHookInit(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
