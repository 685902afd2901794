/*
 * request.c
 *	  The headers of the HTTP request that the transaction answers.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "pure/headers.h"
#include "server/request.h"
#include "utils/guc.h"

/* JSON is UTF-8, the setting's text in the database's encoding. */
bool
SaasRequestHeaders(SaasArena *arena, const char *const *names, int count, const char **values)
{
	const char *text = GetConfigOption("request.headers", true, false);

	memset(values, 0, count * sizeof(*values));
	if (text == NULL || text[0] == '\0')
		return true;
	if (strlen(text) > SAAS_MAX_REQUEST_HEADERS)
		return false;
	text = pg_server_to_any(text, strlen(text), PG_UTF8);
	return SaasHeadersOfRequest(text, strlen(text), names, count, arena, values);
}
