/*
 * transfer_rate.c
 *	  The poller's transfers alone, without tables: a function that requests
 *	  addresses in turn through the loop that the poller uses, and drops what
 *	  they answer.
 *
 * A library of the benchmark's own.  What it calls is in pg_saas, which
 * shared_preload_libraries has loaded before.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/transfer.h"
#include "portability/instr_time.h"
#include "server/arena_context.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(transfer_rate);

#define ARENA_SIZE	(1024 * 1024)
#define TIMEOUT_MS	60000

typedef struct Fetch
{
	MemoryContext context;
	SaasArena  *arena;
	SaasRequest request;
} Fetch;

static void
start(SaasTransferLoop *loop, const char *url)
{
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, ARENA_SIZE, &arena);
	Fetch	   *fetch = MemoryContextAllocZero(context, sizeof(Fetch));
	SaasProblem problem;

	fetch->context = context;
	fetch->arena = arena;
	fetch->request.method = "GET";
	fetch->request.url = url;
	if (!SaasTransferStart(loop, arena, &fetch->request, TIMEOUT_MS, fetch, &problem))
		elog(ERROR, "%s", problem.message);
}

static void
run(SaasTransferLoop *loop, char **urls, int url_count, int total, int at_once)
{
	int			started = 0;
	int			done = 0;

	while (done < total)
	{
		SaasTransferResult result;

		while (started < total && started - done < at_once)
		{
			start(loop, urls[started % url_count]);
			started++;
		}
		(void) SaasTransferWait(loop, -1, PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
		while (SaasTransferTake(loop, &result))
		{
			if (!result.ok || result.response.status != 200)
				elog(ERROR, "a transfer has failed: %s", result.ok ? "status" : result.problem.message);
			MemoryContextDelete(((Fetch *) result.tag)->context);
			done++;
		}
	}
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* transfer_rate(urls text[], total integer, at_once integer): seconds that it took, and of CPU */
Datum
transfer_rate(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			total = PG_GETARG_INT32(1);
	int			at_once = PG_GETARG_INT32(2);
	SaasTransferOptions options = {
		.max_in_flight = at_once,.max_per_host = at_once,.connect_timeout_ms = TIMEOUT_MS,
		.max_response = ARENA_SIZE / 2,.allow_http = true,.user_agent = "pg_saas"
	};
	SaasNetworkList networks;
	SaasProblem problem;
	Datum	   *datums;
	int			count;
	char	  **urls;
	instr_time	begun;
	instr_time	took;
	double		cpu;
	Datum		seconds[2];

	if (!SaasNetworkListParse("127.0.0.0/8", &networks, &problem))
		elog(ERROR, "%s", problem.message);
	options.allowed_networks = &networks;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, &count);
	urls = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
		urls[i] = TextDatumGetCString(datums[i]);
	cpu = cpu_seconds();
	INSTR_TIME_SET_CURRENT(begun);
	run(SaasTransferLoopCreate(CurrentMemoryContext, &options), urls, count, total, at_once);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, begun);
	seconds[0] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(took));
	seconds[1] = Float8GetDatum(cpu_seconds() - cpu);
	PG_RETURN_ARRAYTYPE_P(construct_array(seconds, lengthof(seconds), FLOAT8OID, sizeof(float8),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
