/*
 * utility_hook.c
 *	  What pg_saas adds to utility commands: a poller where the extension is
 *	  created, no poller in the way of commands that need a database alone, no
 *	  CASCADE over customers' tables, no WITH HOLD cursor that would outlive an
 *	  identity.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "server/run_as.h"
#include "state/identity.h"
#include "state/shared.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"
#include "worker/utility_hook.h"
#include "worker/wait_event.h"
#include "worker/wake.h"

#define EXTENSION_NAME		"pg_saas"
#define STOP_TIMEOUT_MS		10000

static ProcessUtility_hook_type previous_hook = NULL;
static object_access_hook_type previous_object_hook = NULL;

/*
 * Whether the innermost utility command drops tables by name.  Set anew by
 * every command, so an error need not reset it.
 */
static bool names_tables = false;

static bool
moves_database(AlterDatabaseStmt *alter)
{
	ListCell   *cell;

	foreach(cell, alter->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/* The database that the command needs for itself, InvalidOid when none. */
static Oid
database_needed_alone(Node *statement)
{
	ListCell   *cell;

	if (IsA(statement, DropdbStmt))
		return get_database_oid(castNode(DropdbStmt, statement)->dbname, true);
	if (IsA(statement, RenameStmt) && castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		return get_database_oid(castNode(RenameStmt, statement)->subname, true);
	if (IsA(statement, AlterDatabaseStmt) && moves_database(castNode(AlterDatabaseStmt, statement)))
		return get_database_oid(castNode(AlterDatabaseStmt, statement)->dbname, true);
	if (!IsA(statement, CreatedbStmt))
		return InvalidOid;
	foreach(cell, castNode(CreatedbStmt, statement)->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return get_database_oid(defGetString(option), true);
	}
	return get_database_oid("template1", true);
}

/* Without the right to run the command nobody stops a poller with it. */
static bool
may_stop_poller(Oid database)
{
	return superuser() || SaasIsDatabaseOwner(database);
}

static void
unbar(int code, Datum database)
{
	SaasSharedUnbar(DatumGetObjectId(database), false);
}

/* Tells every poller of the database to end; false when there is none. */
static bool
end_pollers(Oid database, bool is_first)
{
	SaasDatabaseSlot slot;
	bool		has_any = false;

	if (!SaasSharedGet(database, &slot))
		return false;
	for (int i = 0; i < SAAS_POLLER_WORKERS_MAX; i++)
	{
		if (slot.workers[i].pid == 0)
			continue;
		has_any = true;
		if (is_first)
			(void) kill(slot.workers[i].pid, SIGTERM);
	}
	return has_any;
}

static void
stop_pollers(Oid database)
{
	TimestampTz give_up_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOP_TIMEOUT_MS);

	/* Barred, none starts meanwhile. */
	for (bool is_first = true; end_pollers(database, is_first); is_first = false)
	{
		if (GetCurrentTimestamp() >= give_up_at)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 SaasWaitEventIdle());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Fires for every object that a command drops, by name or by CASCADE.  Only a
 * DROP TABLE that names it (saas.uninstall(), pg_restore --clean) may take the
 * table that says we are installed.
 */
static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_object_hook)
		previous_object_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0 &&
		!names_tables && SaasIsInstallationTable(object_id))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop pg_saas or what it needs while its tables exist"),
				 errhint("Remove them and all their data with select saas.uninstall(current_database()) first.")));
}

static void
refuse_held_cursor(Node *statement)
{
	if (IsA(statement, DeclareCursorStmt) &&
		(castNode(DeclareCursorStmt, statement)->options & CURSOR_OPT_HOLD) != 0)
		SaasIdentityHoldCursor();
}

static bool
creates_extension(Node *statement)
{
	return IsA(statement, CreateExtensionStmt) &&
		strcmp(castNode(CreateExtensionStmt, statement)->extname, EXTENSION_NAME) == 0;
}

static bool
updates_extension(Node *statement)
{
	return IsA(statement, AlterExtensionStmt) &&
		strcmp(castNode(AlterExtensionStmt, statement)->extname, EXTENSION_NAME) == 0;
}

static bool
drops_extension(Node *statement)
{
	ListCell   *cell;

	if (!IsA(statement, DropStmt) || castNode(DropStmt, statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, castNode(DropStmt, statement)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), EXTENSION_NAME) == 0)
			return true;
	}
	return false;
}

static void
run_next(PlannedStmt *statement, const char *text, bool read_only_tree,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		 DestReceiver *destination, QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(statement, text, read_only_tree, context, params, environment,
					  destination, completion);
	else
		standard_ProcessUtility(statement, text, read_only_tree, context, params, environment,
								destination, completion);
}

static void
process_utility(PlannedStmt *planned, const char *text, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *destination, QueryCompletion *completion)
{
	Node	   *statement = planned->utilityStmt;
	bool		wakes = creates_extension(statement) || updates_extension(statement) ||
		drops_extension(statement);
	bool		drops_database = IsA(statement, DropdbStmt);
	bool		outer_names_tables = names_tables;
	Oid			database;

	names_tables = IsA(statement, DropStmt) &&
		castNode(DropStmt, statement)->removeType == OBJECT_TABLE;
	refuse_held_cursor(statement);
	database = database_needed_alone(statement);
	if (OidIsValid(database) && may_stop_poller(database))
	{
		SaasSharedBar(database);
		/* Also when this session is terminated: a bar left behind would stay. */
		PG_ENSURE_ERROR_CLEANUP(unbar, ObjectIdGetDatum(database));
		{
			stop_pollers(database);
			run_next(planned, text, read_only_tree, context, params, environment, destination, completion);
		}
		PG_END_ENSURE_ERROR_CLEANUP(unbar, ObjectIdGetDatum(database));
		SaasSharedUnbar(database, drops_database);
	}
	else
		run_next(planned, text, read_only_tree, context, params, environment, destination, completion);
	names_tables = outer_names_tables;
	if (wakes)
		SaasWakeAtCommit();
}

void
SaasUtilityHookInit(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_object_hook = object_access_hook;
	object_access_hook = on_object_access;
}
