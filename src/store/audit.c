/*
 * audit.c
 *	  Appending to the audit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "server/arena_context.h"
#include "server/masked_json.h"
#include "server/response.h"
#include "server/run_as.h"
#include "state/client.h"
#include "state/identity.h"
#include "store/audit.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/memutils.h"

#define LONGEST_OBJECT_ID	255
#define LONGEST_REQUEST_ID	64

enum
{
	C_ORG_ID, C_ACTOR_ID, C_SOURCE, C_API_KEY_ID, C_SESSION_ID, C_LOGIN, C_TICKET_ID, C_ACTION,
	C_OBJECT_TYPE, C_OBJECT_ID, C_BEFORE, C_AFTER, C_IP, C_REQUEST_ID, C_COUNT
};

static SaasStatement append = {
	"insert into saas.audit_event (org_id, actor_id, source, api_key_id, session_id, login, ticket_id,"
	"                              action, object_type, object_id, before, after, ip, request_id)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
	C_COUNT, {UUIDOID, UUIDOID, TEXTOID, UUIDOID, UUIDOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID,
	JSONBOID, JSONBOID, INETOID, TEXTOID}
};

static SaasStatement find_ticket = {
	"select t.id from saas_private.ticket t"
	" where t.org_id operator(pg_catalog.=) $1 and t.opened_by_oid operator(pg_catalog.=) $2"
	"   and t.valid_until operator(pg_catalog.>) pg_catalog.clock_timestamp()"
	" order by t.opened_at desc limit 1",
	2, {UUIDOID, OIDOID}
};

typedef struct Row
{
	Datum		values[C_COUNT];
	char		nulls[C_COUNT];
} Row;

static void
put(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = ' ';
}

static void
put_text(Row *row, int column, const char *text)
{
	if (text)
		put(row, column, CStringGetTextDatum(text));
}

static const char *
source_of(const SaasIdentity *identity)
{
	if (!identity->is_set)
		return "database";
	switch (identity->source)
	{
		case SAAS_IDENTITY_SESSION:
			return "session";
		case SAAS_IDENTITY_API_KEY:
			return "api_key";
		case SAAS_IDENTITY_LOGIN:
			return "login";
		case SAAS_IDENTITY_OPERATOR:
			return "operator";
		case SAAS_IDENTITY_SUPERUSER:
			return "superuser";
	}
	return "database";
}

static void
put_actor(Row *row, const SaasIdentity *identity)
{
	put_text(row, C_SOURCE, source_of(identity));
	put_text(row, C_LOGIN, GetUserNameFromId(GetSessionUserId(), false));
	if (!identity->is_set)
		return;
	put(row, C_ACTOR_ID, UUIDPGetDatum(&identity->user_id));
	if (identity->source == SAAS_IDENTITY_API_KEY)
		put(row, C_API_KEY_ID, UUIDPGetDatum(&identity->api_key_id));
	if (identity->has_session)
		put(row, C_SESSION_ID, UUIDPGetDatum(&identity->session_id));
}

/* What pre_request has told the client. */
static char *
request_id(void)
{
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_ANSWER_ARENA_SIZE, &arena);
	char	   *id = NULL;

	for (const SaasHeader *header = SaasResponseHeaders(arena); header && !id; header = header->next)
	{
		if (pg_strcasecmp(header->name, "X-Request-Id") == 0)
			id = SaasMaskedText(header->value, LONGEST_REQUEST_ID);
	}
	MemoryContextDelete(context);
	return id;
}

static void
put_request(Row *row)
{
	SaasClientAddress client;
	inet	   *address;

	SaasClientGet(&client);
	address = SaasClientInet(&client);
	if (address)
		put(row, C_IP, InetPGetDatum(address));
	put_text(row, C_REQUEST_ID, request_id());
}

static void
put_event(Row *row, const SaasAuditEvent *event)
{
	put(row, C_ORG_ID, UUIDPGetDatum(event->org_id));
	put_text(row, C_ACTION, event->action);
	put_text(row, C_OBJECT_TYPE, event->object_type);
	if (event->object_id)
		put_text(row, C_OBJECT_ID, SaasMaskedText(event->object_id, LONGEST_OBJECT_ID));
	if (event->before)
		put(row, C_BEFORE, JsonbPGetDatum(SaasMaskedJson(event->before)));
	if (event->after)
		put(row, C_AFTER, JsonbPGetDatum(SaasMaskedJson(event->after)));
}

static void
put_ticket(Row *row, const SaasIdentity *identity)
{
	Datum		values[2] = {UUIDPGetDatum(&identity->org_id), ObjectIdGetDatum(GetSessionUserId())};
	bool		is_null;

	if (SaasStatementRun(&find_ticket, values, NULL) > 0)
		put(row, C_TICKET_ID, SaasStatementColumn(0, 1, &is_null));
}

void
SaasAuditAppend(const SaasAuditEvent *event)
{
	const SaasIdentity *identity = SaasIdentityGet();
	Row			row;
	SaasRunAs	state;

	memset(row.nulls, 'n', sizeof(row.nulls));
	put_actor(&row, identity);
	put_request(&row);
	put_event(&row, event);
	SaasRunAsBeginQualified(&state, "saas_service");
	if (identity->is_set && identity->source == SAAS_IDENTITY_OPERATOR)
		put_ticket(&row, identity);
	(void) SaasStatementRun(&append, row.values, row.nulls);
	SaasRunAsEnd(&state);
}
