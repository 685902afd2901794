/*
 * mail_sql.c
 *	  What a mail would look like.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "pure/mail.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "state/settings.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#define PREVIEW_ARENA_SIZE	(8 * 1024 * 1024)

PG_FUNCTION_INFO_V1(pg_saas_render_mail);

/* An argument as UTF-8; NULL when it is. */
static const char *
utf8_argument(FunctionCallInfo fcinfo, int number)
{
	char	   *value;

	if (PG_ARGISNULL(number))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(number));
	return pg_server_to_any(value, (int) strlen(value), PG_UTF8);
}

static Datum
server_text(const char *value)
{
	return CStringGetTextDatum(pg_any_to_server(value, (int) strlen(value), PG_UTF8));
}

static const char *
utf8_setting(const char *setting)
{
	return setting ? pg_server_to_any(setting, (int) strlen(setting), PG_UTF8) : "";
}

static void
read_draft(FunctionCallInfo fcinfo, SaasMailDraft *draft)
{
	char	   *json = PG_ARGISNULL(3) ? "{}" :
		DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(3)));

	draft->subject = utf8_argument(fcinfo, 0);
	draft->text = utf8_argument(fcinfo, 1);
	draft->html = utf8_argument(fcinfo, 2);
	draft->parameters = pg_server_to_any(json, (int) strlen(json), PG_UTF8);
	draft->recipient = utf8_argument(fcinfo, 4);
	draft->organization = utf8_argument(fcinfo, 5);
	draft->branding.product_name = utf8_argument(fcinfo, 6);
	draft->branding.logo_url = utf8_argument(fcinfo, 7);
	draft->branding.primary_color = utf8_argument(fcinfo, 8);
	draft->branding.support_email = utf8_argument(fcinfo, 9);
	draft->branding.footer_text = utf8_argument(fcinfo, 10);
	draft->product_name = utf8_setting(saas_product_name);
	draft->base_url = utf8_setting(saas_base_url);
	draft->token = "TOKEN";
}

Datum
pg_saas_render_mail(PG_FUNCTION_ARGS)
{
	SaasMailDraft draft = {0};
	SaasMail	mail = {0};
	SaasProblem problem = {0};
	SaasArena  *arena;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "render_mail must return a row");
	read_draft(fcinfo, &draft);
	if (!draft.subject || !draft.text || !draft.html || !draft.recipient)
		SaasRaise("22023", "a mail has a subject, a text, HTML and a recipient", NULL, NULL);
	(void) SaasArenaContextCreate(CurrentMemoryContext, PREVIEW_ARENA_SIZE, &arena);
	if (!SaasMailFill(arena, &draft, &mail, &problem))
		SaasRaise(problem.sqlstate, problem.message, NULL, NULL);
	values[0] = server_text(mail.from.name);
	values[1] = server_text(mail.subject);
	values[2] = server_text(mail.text);
	values[3] = server_text(mail.html);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
