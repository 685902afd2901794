/*
 * outbox.c
 *	  Taking mails to send, and writing down how that went.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "pure/crypto.h"
#include "server/arena_context.h"
#include "server/guarded.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "state/keyring.h"
#include "state/sealed.h"
#include "store/outbox.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MAIL_ARENA_SIZE		(8 * 1024 * 1024)
#define TOKEN_PURPOSE		"pg_saas:outbox"

/* 1, 3, 9, ... minutes, at most 6 hours. */
#define FIRST_WAIT_MS		INT64CONST(60000)
#define WAIT_FACTOR			3
#define LONGEST_WAIT_MS		(INT64CONST(6) * 60 * 60 * 1000)

/*
 * Mail in the name of an organization that is closed waits until it is opened,
 * or goes with it.  A person's own mail is nobody's and does not wait.
 */
#define IS_NOT_HELD \
	" not exists (select from saas.organization h where h.id = o.org_id and h.status <> 'active')"

static SaasStatement claim_mails = {
	"with claimed as ("
	"    select o.id, o.org_id, o.template"
	"      from saas.outbox o"
	"     where o.status in ('queued', 'sending') and o.next_attempt_at <= now()"
	"       and (o.lease_until is null or o.lease_until < now()) and" IS_NOT_HELD
	"     order by o.next_attempt_at"
	"     limit $3"
	"       for update skip locked)"
	" update saas.outbox o"
	"    set status = 'sending', attempts = o.attempts + 1, lease_id = $1,"
	"        lease_until = now() + $2 * interval '1 millisecond'"
	"   from claimed"
	"   left join saas.organization g on g.id = claimed.org_id"
	"   left join saas.organization_branding b on b.org_id = claimed.org_id"
	"   left join lateral ("
	"        select t.subject, t.text_body, t.html_body from saas.mail_template t"
	"         where t.name = claimed.template and (t.org_id = claimed.org_id or t.org_id is null)"
	"         order by t.org_id nulls last limit 1) t on true"
	"  where o.id = claimed.id"
	" returning o.id, o.attempts, extract(epoch from o.created_at)::bigint, o.recipient,"
	"           o.parameters::text, g.name, t.subject, t.text_body, t.html_body, o.token,"
	"           b.product_name, b.logo_url, b.primary_color, b.support_email, b.footer_text,"
	"           o.token_expires_at <= now()",
	3, {UUIDOID, INT8OID, INT4OID}
};

static SaasStatement record_sent = {
	"update saas.outbox o"
	"   set status = 'sent', sent_at = now(), token = null, lease_id = null, lease_until = null,"
	"       last_error = null, last_error_code = null"
	" where o.id = $1 and o.lease_id = $2",
	2, {UUIDOID, UUIDOID}
};

static SaasStatement record_failure = {
	"update saas.outbox o"
	"   set status = case when $3 then 'failed' else 'queued' end,"
	"       next_attempt_at = now() + $4 * interval '1 millisecond', lease_id = null, lease_until = null,"
	"       last_error = $5, last_error_code = $6"
	" where o.id = $1 and o.lease_id = $2",
	6, {UUIDOID, UUIDOID, BOOLOID, INT8OID, TEXTOID, TEXTOID}
};

static SaasStatement read_next = {
	"select extract(epoch from least("
	"           (select o.next_attempt_at from saas.outbox o"
	"             where o.status in ('queued', 'sending') and o.lease_until is null and" IS_NOT_HELD
	"             order by o.next_attempt_at limit 1),"
	"           (select min(o.lease_until) from saas.outbox o"
	"             where o.status = 'sending' and" IS_NOT_HELD ")) - now())::float8",
	0, {0}
};

/* The column as UTF-8 in the arena; NULL when it is. */
static const char *
text_column(SaasArena *arena, HeapTuple tuple, TupleDesc desc, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(tuple, desc, column, &is_null);
	char	   *server_text;

	if (is_null)
		return NULL;
	server_text = TextDatumGetCString(value);
	return SaasArenaStrdup(arena, pg_server_to_any(server_text, (int) strlen(server_text), PG_UTF8));
}

static void
read_branding(SaasOutboxMail *mail, HeapTuple tuple, TupleDesc desc)
{
	SaasMailBranding *branding = &mail->branding;

	branding->product_name = text_column(mail->arena, tuple, desc, 11);
	branding->logo_url = text_column(mail->arena, tuple, desc, 12);
	branding->primary_color = text_column(mail->arena, tuple, desc, 13);
	branding->support_email = text_column(mail->arena, tuple, desc, 14);
	branding->footer_text = text_column(mail->arena, tuple, desc, 15);
}

static void
open_token(SaasOutboxMail *mail, const struct varlena *sealed)
{
	char	   *id = SaasUuidText(&mail->id);
	Size		length;
	char	   *text = SaasUnseal(&SaasPlatformOrg, sealed, TOKEN_PURPOSE, id, &length);
	char	   *token = SaasArenaStrdup(mail->arena, text);
	char	   *blank = token ? strchr(token, ' ') : NULL;

	SaasWipe(text, length);
	pfree(text);
	if (blank)
	{
		*blank = '\0';
		mail->code = blank + 1;
	}
	mail->token = token;
}

/* A claimed row and the mail to fill from it, for SaasGuardedRun. */
typedef struct ReadMail
{
	SaasOutboxMail *mail;
	HeapTuple	tuple;
	TupleDesc	desc;
} ReadMail;

static void
read_texts(void *arg)
{
	ReadMail   *step = arg;
	SaasOutboxMail *mail = step->mail;
	SaasArena  *arena = mail->arena;
	HeapTuple	tuple = step->tuple;
	TupleDesc	desc = step->desc;
	bool		is_null;
	Datum		token;
	Datum		has_ended;

	mail->recipient = text_column(arena, tuple, desc, 4);
	mail->parameters = text_column(arena, tuple, desc, 5);
	mail->organization = text_column(arena, tuple, desc, 6);
	mail->subject = text_column(arena, tuple, desc, 7);
	mail->text = text_column(arena, tuple, desc, 8);
	mail->html = text_column(arena, tuple, desc, 9);
	read_branding(mail, tuple, desc);
	has_ended = SPI_getbinval(tuple, desc, 16, &is_null);
	if (!is_null && DatumGetBool(has_ended))
	{
		/* Nobody could use it. */
		SaasProblemSet(&mail->problem, "55000", "the link in the mail has expired");
		mail->is_permanent = true;
		return;
	}
	token = SPI_getbinval(tuple, desc, 10, &is_null);
	if (!is_null)
		open_token(mail, PG_DETOAST_DATUM(token));
}

static SaasOutboxMail *
make_mail(MemoryContext context, HeapTuple tuple, TupleDesc desc)
{
	SaasArena  *arena;
	MemoryContext own = SaasArenaContextCreate(context, MAIL_ARENA_SIZE, &arena);
	SaasOutboxMail *mail = MemoryContextAllocZero(own, sizeof(SaasOutboxMail));
	ReadMail	step = {mail, tuple, desc};
	bool		is_null;

	mail->context = own;
	mail->arena = arena;
	mail->id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &is_null));
	mail->attempts = DatumGetInt32(SPI_getbinval(tuple, desc, 2, &is_null));
	mail->created_s = DatumGetInt64(SPI_getbinval(tuple, desc, 3, &is_null));
	/* One mail that cannot be read or opened must not keep the others from being sent. */
	(void) SaasGuardedRun(read_texts, &step, &mail->problem);
	return mail;
}

SaasOutboxMail *
SaasOutboxClaim(MemoryContext context, const pg_uuid_t *lease_id, int64 lease_ms, int limit)
{
	Datum		values[3] = {UUIDPGetDatum(lease_id), Int64GetDatum(lease_ms), Int32GetDatum(limit)};
	SaasOutboxMail *mails = NULL;
	SPITupleTable *table;
	SaasRunAs	state;
	uint64		rows;

	SaasRunAsBegin(&state, "saas_service");
	rows = SaasStatementRun(&claim_mails, values, NULL);
	table = SPI_tuptable;
	for (uint64 row = 0; row < rows; row++)
	{
		SaasOutboxMail *mail = make_mail(context, table->vals[row], table->tupdesc);

		mail->next = mails;
		mails = mail;
	}
	SaasRunAsEnd(&state);
	return mails;
}

/* With up to a quarter more, so that mails that failed together do not come back together. */
static int64
wait_after(int attempts)
{
	int64		wait = FIRST_WAIT_MS;

	for (int i = 1; i < attempts && wait < LONGEST_WAIT_MS; i++)
		wait *= WAIT_FACTOR;
	wait += (int64) (pg_prng_double(&pg_global_prng_state) * (double) wait / 4);
	return Min(wait, LONGEST_WAIT_MS);
}

static Datum
utf8_datum(const char *text)
{
	return CStringGetTextDatum(pg_any_to_server(text, (int) strlen(text), PG_UTF8));
}

void
SaasOutboxRecord(const SaasOutboxMail *mail, const pg_uuid_t *lease_id)
{
	const SaasProblem *problem = &mail->problem;
	bool		is_dead = mail->is_permanent || mail->attempts >= SAAS_OUTBOX_MAX_ATTEMPTS;
	Datum		values[6] = {UUIDPGetDatum(&mail->id), UUIDPGetDatum(lease_id)};
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	if (mail->is_sent)
		(void) SaasStatementRun(&record_sent, values, NULL);
	else
	{
		values[2] = BoolGetDatum(is_dead);
		values[3] = Int64GetDatum(wait_after(mail->attempts));
		values[4] = utf8_datum(problem->detail[0] == '\0' ? problem->message :
							   psprintf("%s: %s", problem->message, problem->detail));
		values[5] = CStringGetTextDatum(problem->sqlstate);
		(void) SaasStatementRun(&record_failure, values, NULL);
	}
	SaasRunAsEnd(&state);
}

int64
SaasOutboxNextDue(void)
{
	SaasRunAs	state;
	int64		result = -1;
	bool		is_null;
	Datum		next;

	SaasRunAsBegin(&state, "saas_service");
	if (SaasStatementRun(&read_next, NULL, NULL) != 1)
		elog(ERROR, "could not read the outbox");
	next = SaasStatementColumn(0, 1, &is_null);
	if (!is_null)
	{
		double		ms = DatumGetFloat8(next) * 1000;

		result = ms > 0 ? (int64) ms + 1 : 0;
	}
	SaasRunAsEnd(&state);
	return result;
}
