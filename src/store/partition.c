/*
 * partition.c
 *	  The weekly partitions of saas.reading.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "store/partition.h"
#include "store/statement.h"
#include "utils/timestamp.h"

#define REMEMBERED_DAYS	8

/* Days since 2000-01-01 whose partition is known to be there. */
static int64 known_days[REMEMBERED_DAYS];
static int	known_count = 0;

static SaasStatement ensure = {
	"select saas_private.ensure_reading_partition($1)",
	1, {TIMESTAMPTZOID}
};

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		known_count = 0;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		known_count = 0;
}

void
SaasPartitionInit(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

static void
ensure_day(int64 day)
{
	Datum		at = TimestampTzGetDatum((TimestampTz) day * USECS_PER_DAY);

	for (int i = 0; i < known_count; i++)
	{
		if (known_days[i] == day)
			return;
	}
	(void) SaasStatementRun(&ensure, &at, NULL);
	if (known_count == REMEMBERED_DAYS)
		known_count = 0;
	known_days[known_count++] = day;
}

void
SaasPartitionEnsure(TimestampTz at)
{
	int64		day = at / USECS_PER_DAY - (at < 0 ? 1 : 0);

	ensure_day(day);
	ensure_day(day + 1);
}
