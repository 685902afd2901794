/*
 * address_sql.c
 *	  What the poller's guard says of a URL's addresses.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "fmgr.h"
#include "funcapi.h"
#include "net/resolve.h"
#include "pure/address.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "state/settings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define URL_ARENA_SIZE	(64 * 1024)
#define LOOKUP_MS		5000

PG_FUNCTION_INFO_V1(pg_saas_check_address);

static void
put_address(const struct sockaddr *address, void *arg)
{
	ReturnSetInfo *result = arg;
	const void *bytes = address->sa_family == AF_INET ?
		(const void *) &((const struct sockaddr_in *) address)->sin_addr :
		(const void *) &((const struct sockaddr_in6 *) address)->sin6_addr;
	const char *reason = NULL;
	char		text[INET6_ADDRSTRLEN];
	Datum		values[3];
	bool		nulls[3] = {false};
	bool		allowed = SaasAddressIsAllowed(address, SaasAllowedNetworks(), &reason);

	if (inet_ntop(address->sa_family, bytes, text, sizeof(text)) == NULL)
		elog(ERROR, "unexpected kind of address");
	values[0] = DirectFunctionCall1(inet_in, CStringGetDatum(text));
	values[1] = BoolGetDatum(allowed);
	nulls[2] = allowed;
	values[2] = allowed ? (Datum) 0 : CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
pg_saas_check_address(PG_FUNCTION_ARGS)
{
	SaasProblem problem = {0};
	SaasArena  *arena;
	MemoryContext context;
	const char *failure;
	SaasUrl		url;

	InitMaterializedSRF(fcinfo, 0);
	context = SaasArenaContextCreate(CurrentMemoryContext, URL_ARENA_SIZE, &arena);
	if (!SaasUrlParse(text_to_cstring(PG_GETARG_TEXT_PP(0)), arena, &url, &problem))
		SaasRaise("22023", problem.message, problem.detail[0] ? problem.detail : NULL, NULL);
	if (strcmp(url.scheme, "https") != 0 && !saas_allow_plain_http)
		SaasRaise("22023", "the URL must begin with https://", NULL,
				  "saas.allow_plain_http lets the poller use plain HTTP.");
	failure = SaasResolve(url.host, LOOKUP_MS, put_address, fcinfo->resultinfo);
	if (failure != NULL)
		SaasRaise("08001", failure, psprintf("The host is %s.", url.host), NULL);
	MemoryContextDelete(context);
	return (Datum) 0;
}
