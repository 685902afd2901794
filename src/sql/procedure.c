/*
 * procedure.c
 *	  Procedures that commit between their steps.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "sql/procedure.h"
#include "utils/snapmgr.h"

/* SPI_commit begins the next transaction itself, without a snapshot. */
static void
begin_in_procedure(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit_in_procedure(void)
{
	PopActiveSnapshot();
	SPI_commit();
}

const SaasEngineHost SaasProcedureHost = {begin_in_procedure, commit_in_procedure};

void
SaasProcedureRequireTop(FunctionCallInfo fcinfo, const char *name)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot run inside a transaction block", name),
				 errhint("Run call %s() as a statement of its own.", name)));
}
