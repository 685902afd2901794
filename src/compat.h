/*
 * compat.h
 *	  What differs between the PostgreSQL versions we build on, 15 to 18, and
 *	  nothing else.
 */
#ifndef SAAS_COMPAT_H
#define SAAS_COMPAT_H

#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/*
 * A set that its creator frees with FreeWaitEventSet.  Up to 16 its memory
 * belongs to context; from 17 on it belongs to the session.
 */
static inline WaitEventSet *
SaasCreateWaitEventSet(MemoryContext context, int nevents)
{
#if PG_VERSION_NUM >= 170000
	(void) context;
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(context, nevents);
#endif
}

/* Memory for a setting's "extra": guc.c frees it with its own function. */
#if PG_VERSION_NUM >= 160000
#define SaasGucAlloc(size)	guc_malloc(LOG, (size))
#define SaasGucFree(p)		guc_free(p)
#else
#define SaasGucAlloc(size)	malloc(size)
#define SaasGucFree(p)		free(p)
#endif

/* Every setting; before 16 the array is the server's own. */
static inline struct config_generic **
SaasGucVariables(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* The number that tells this backend's top-level transactions apart. */
#if PG_VERSION_NUM >= 170000
#define SaasLocalTransactionId()	(MyProc->vxid.lxid)
#else
#define SaasLocalTransactionId()	(MyProc->lxid)
#endif

/* A wait event of our own name; before 17 all extensions share one. */
#if PG_VERSION_NUM >= 170000
#define SaasWaitEventNew(name)	WaitEventExtensionNew(name)
#else
#define SaasWaitEventNew(name)	PG_WAIT_EXTENSION
#endif

/* Whether the current role owns the database. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_database.h"
#include "utils/acl.h"
#define SaasIsDatabaseOwner(database) \
	object_ownercheck(DatabaseRelationId, (database), GetUserId())
#else
#include "utils/acl.h"
#define SaasIsDatabaseOwner(database)	pg_database_ownercheck((database), GetUserId())
#endif

/* COPY of a query into a file of the server, which nobody has checked. */
#if PG_VERSION_NUM >= 160000
#define SaasBeginCopyTo(pstate, query, file) \
	BeginCopyTo((pstate), NULL, (query), InvalidOid, (file), false, NULL, NIL, NIL)
#else
#define SaasBeginCopyTo(pstate, query, file) \
	BeginCopyTo((pstate), NULL, (query), InvalidOid, (file), false, NIL, NIL)
#endif

/* The status of a backend, 1 to pgstat_fetch_stat_numbackends(); NULL when there is none. */
#include "utils/backend_status.h"
#if PG_VERSION_NUM >= 160000
#define SaasLocalBackend(number)	pgstat_get_local_beentry_by_index(number)
#else
#define SaasLocalBackend(number)	pgstat_fetch_stat_local_beentry(number)
#endif

static inline const PgBackendStatus *
SaasBackendStatus(int number)
{
	LocalPgBackendStatus *local = SaasLocalBackend(number);

	return local ? &local->backendStatus : NULL;
}

#endif							/* SAAS_COMPAT_H */
