/*
 * wake.c
 *	  Waking the poller when what a transaction did is there to see.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "state/shared.h"
#include "worker/wake.h"

static bool is_wanted = false;
static bool is_registered = false;

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (is_wanted && event == XACT_EVENT_COMMIT)
		SaasSharedWake(MyDatabaseId);
	is_wanted = false;
}

void
SaasWakeAtCommit(void)
{
	if (!is_registered)
		RegisterXactCallback(at_transaction_end, NULL);
	is_registered = true;
	is_wanted = true;
}
