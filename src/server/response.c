/*
 * response.c
 *	  The headers of the HTTP answer that the transaction will give.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pure/headers.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/response.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define HEADERS_SETTING		"response.headers"

/* JSON is UTF-8, the setting's text in the database's encoding. */
SaasHeader *
SaasResponseHeaders(SaasArena *arena)
{
	const char *text = GetConfigOption(HEADERS_SETTING, true, false);
	const char *utf8;

	if (text == NULL || text[0] == '\0')
		return NULL;
	utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);
	return SaasHeadersOfAnswer(utf8, strlen(utf8), arena);
}

static void
store(const char *utf8)
{
	const char *text = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);

	(void) set_config_option(HEADERS_SETTING, text, superuser() ? PGC_SUSET : PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
SaasResponseAddHeaders(SaasHeader **list, SaasArena *arena, const SaasHeaderPair *pairs, int count)
{
	char	   *json;

	for (int i = 0; i < count; i++)
	{
		const char *value = pg_server_to_any(pairs[i].value, strlen(pairs[i].value), PG_UTF8);

		if (!SaasHeadersSet(list, arena, pairs[i].name, value))
			SaasRaise("22023", "this header cannot be set", NULL,
					  psprintf("A header's name is a token of at most %d characters (RFC 9110, section 5.6.2), "
							   "its value has at most %d bytes, and an answer at most %d headers.",
							   SAAS_MAX_HEADER_NAME, SAAS_MAX_HEADER_VALUE, SAAS_MAX_HEADERS));
	}
	json = SaasHeadersWrite(*list, arena);
	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	store(json);
}

void
SaasResponseSetHeader(const char *name, const char *value)
{
	SaasHeaderPair pair = {name, value};
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_ANSWER_ARENA_SIZE, &arena);
	SaasHeader *list = SaasResponseHeaders(arena);

	SaasResponseAddHeaders(&list, arena, &pair, 1);
	MemoryContextDelete(context);
}
