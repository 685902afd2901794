/*
 * mailer.c
 *	  Sending what is in the outbox: claim, render, hand in, record.
 */
#include "postgres.h"

#include "net/smtp.h"
#include "pure/crypto.h"
#include "pure/mail.h"
#include "server/guarded.h"
#include "server/raise.h"
#include "server/uuidv7.h"
#include "state/secret_file.h"
#include "state/settings.h"
#include "store/outbox.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "worker/mailer.h"

#define MAX_IN_FLIGHT		8
#define LEASE_MARGIN_MS		10000
#define ROUND_ARENA_SIZE	(64 * 1024)

/* After the outbox could not be worked on, or a mail was due but locked. */
#define RETRY_MS			60000
#define LOCKED_MS			1000

struct SaasMailer
{
	MemoryContext context;
	SaasEngineHost host;
	SaasSmtpLoop *loop;
	pg_uuid_t	lease_id;
	bool		has_more;		/* the last claim left mails behind */
};

SaasMailer *
SaasMailerCreate(MemoryContext context, const SaasEngineHost *host)
{
	MemoryContext own = AllocSetContextCreate(context, "pg_saas mailer", ALLOCSET_DEFAULT_SIZES);
	SaasMailer *mailer = MemoryContextAllocZero(own, sizeof(SaasMailer));

	mailer->context = own;
	mailer->host = *host;
	mailer->loop = SaasSmtpLoopCreate(own, MAX_IN_FLIGHT);
	SaasUuidv7(&mailer->lease_id);
	return mailer;
}

int
SaasMailerDescriptor(const SaasMailer *mailer)
{
	return SaasSmtpDescriptor(mailer->loop);
}

static bool
is_set(const char *setting)
{
	return setting && setting[0];
}

/* Settings of one round, in one arena that wipes the password. */
typedef struct Round
{
	SaasArena  *arena;
	SaasSmtpOptions options;
	SaasMailbox from;
	SaasProblem problem;		/* why nothing can be sent now */
} Round;

static void
read_password(void *arg)
{
	Round	   *round = arg;
	SaasSecretFile file = {
		saas_smtp_password_file, "saas.smtp_password_file", "the mail server's password file",
		"It holds the password on one line and nothing more."
	};
	char		text[SAAS_SECRET_FILE_MAX];
	Size		length;

	if (!is_set(saas_smtp_password_file))
		SaasRaise("55000", "the mail server's password is not configured", NULL,
				  "Set saas.smtp_password_file.");
	length = SaasSecretFileRead(&file, text);
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	round->options.password = SaasArenaStrndup(round->arena, text, length);
	SaasWipe(text, sizeof(text));
}

/* Inside a transaction, for the password's file. */
static void
read_settings(Round *round)
{
	SaasSmtpOptions *options = &round->options;

	if (!SaasSmtpUrlParse(saas_smtp_url, &options->server, &round->problem))
		return;
	if (!SaasMailboxParse(round->arena, saas_mail_from, &round->from))
	{
		SaasProblemSet(&round->problem, "22023", "saas.mail_from is not an address");
		return;
	}
	options->use_tls = saas_smtp_tls != SAAS_SMTP_TLS_OFF;
	/* Whoever can strip STARTTLS from an answer would be given the password. */
	options->require_tls = saas_smtp_tls == SAAS_SMTP_TLS_REQUIRED ||
		(options->use_tls && is_set(saas_smtp_user));
	options->ca_file = is_set(saas_ca_file) ? saas_ca_file : NULL;
	options->connect_timeout_ms = saas_poller_connect_timeout;
	options->timeout_ms = saas_smtp_timeout;
	if (is_set(saas_smtp_user))
	{
		options->user = saas_smtp_user;
		(void) SaasGuardedRun(read_password, round, &round->problem);
	}
}

/* Of the mail, so that it is the same at every attempt. */
static const char *
message_id(const SaasOutboxMail *mail, const Round *round)
{
	char	   *id = SaasUuidText(&mail->id);

	return SaasArenaPrintf(mail->arena, "%s%s", id, strchr(round->from.address, '@'));
}

static bool
make_message(SaasOutboxMail *mail, const Round *round, size_t *length)
{
	SaasArena  *arena = mail->arena;
	SaasMail	parts = {round->from, mail->recipient};
	SaasMailDraft draft = {
		mail->subject, mail->text, mail->html, mail->parameters, mail->organization, mail->branding,
		saas_product_name, saas_base_url, mail->recipient, mail->token, mail->code
	};

	mail->is_permanent = true;
	if (mail->subject == NULL)
		return SaasProblemSet(&mail->problem, "42704", "there is no mail template of that name");
	parts.message_id = message_id(mail, round);
	parts.date_s = mail->created_s;
	if (parts.message_id == NULL)
		return SaasProblemSet(&mail->problem, "54000", "the mail is too large");
	if (!SaasMailFill(arena, &draft, &parts, &mail->problem))
		return false;
	mail->message = SaasMailCompose(arena, &parts, length, &mail->problem);
	mail->is_permanent = mail->message == NULL;
	return mail->message != NULL;
}

/* Arguments of steps for SaasGuardedRun. */
typedef struct StoreStep
{
	SaasMailer *mailer;
	SaasOutboxMail *mail;		/* to record, or those that were claimed */
	int			room;
	int64		next_ms;
	Round	   *round;
} StoreStep;

/*
 * What goes wrong with mail must not stop the polling: it is logged, and
 * leases end.
 */
static bool
store(SaasMailer *mailer, void (*function) (void *), StoreStep *step)
{
	SaasProblem problem = {0};
	bool		done;

	mailer->host.begin();
	done = SaasGuardedRun(function, step, &problem);
	mailer->host.commit();
	if (!done)
		ereport(LOG,
				(errmsg("could not work on the outbox: %s", problem.message)));
	return done;
}

static void
record_step(void *arg)
{
	StoreStep  *step = arg;

	SaasOutboxRecord(step->mail, &step->mailer->lease_id);
}

/* Writes down how it went and forgets the mail. */
static void
record(SaasMailer *mailer, SaasOutboxMail *mail)
{
	StoreStep	step = {mailer, mail};

	(void) store(mailer, record_step, &step);
	MemoryContextDelete(mail->context);
}

static void
start(SaasMailer *mailer, SaasOutboxMail *mail, const Round *round)
{
	size_t		length = 0;

	if (mail->problem.sqlstate[0] == '\0')
		mail->problem = round->problem;
	if (mail->problem.sqlstate[0] == '\0' && mail->attempts > SAAS_OUTBOX_MAX_ATTEMPTS)
		SaasProblemSet(&mail->problem, "08006", "given up: the server stopped at every attempt");
	if (mail->problem.sqlstate[0] == '\0' && make_message(mail, round, &length) &&
		SaasSmtpStart(mailer->loop, &round->options, round->from.address, mail->recipient,
					  mail->message, length, mail, &mail->problem))
		return;
	record(mailer, mail);
}

static int64
lease_ms(void)
{
	return saas_poller_connect_timeout + (int64) saas_smtp_timeout * SAAS_SMTP_STEPS + LEASE_MARGIN_MS;
}

static void
claim_step(void *arg)
{
	StoreStep  *step = arg;

	step->mail = SaasOutboxClaim(step->mailer->context, &step->mailer->lease_id, lease_ms(), step->room);
	if (step->mail)
		read_settings(step->round);
	step->next_ms = SaasOutboxNextDue();
}

/* Starts what was claimed; returns how many. */
static int
start_all(SaasMailer *mailer, SaasOutboxMail *mails, const Round *round)
{
	int			count = 0;

	for (SaasOutboxMail *next; mails; mails = next, count++)
	{
		next = mails->next;
		start(mailer, mails, round);
	}
	return count;
}

int64
SaasMailerClaim(SaasMailer *mailer)
{
	Round		round = {0};
	StoreStep	step = {mailer, NULL, MAX_IN_FLIGHT - SaasSmtpCount(mailer->loop), -1, &round};

	mailer->has_more = false;
	if (!is_set(saas_smtp_url) || !is_set(saas_mail_from))
		return -1;
	if (step.room == 0)
	{
		mailer->has_more = true;
		return -1;
	}
	round.arena = SaasArenaCreate(ROUND_ARENA_SIZE);
	if (round.arena == NULL || !store(mailer, claim_step, &step))
		step.next_ms = RETRY_MS;
	else
	{
		int			count = start_all(mailer, step.mail, &round);

		/* Due and not claimed although there was room: somebody has it locked. */
		if (step.next_ms == 0 && count < step.room)
			step.next_ms = LOCKED_MS;
		mailer->has_more = step.next_ms == 0;
	}
	SaasArenaDestroy(round.arena);
	return mailer->has_more ? -1 : step.next_ms;
}

/* A server may quote what it refuses: no part of the mail ends up among the errors. */
static void
withhold_quotes(SaasOutboxMail *mail)
{
	const char *const quotable[] = {mail->token, mail->code, mail->recipient};

	for (int i = 0; i < lengthof(quotable); i++)
	{
		if (quotable[i] && quotable[i][0] && strcasestr(mail->problem.detail, quotable[i]))
			mail->problem.detail[0] = '\0';
	}
}

bool
SaasMailerStep(SaasMailer *mailer)
{
	SaasSmtpResult result;
	bool		has_room = false;

	SaasSmtpStep(mailer->loop);
	while (SaasSmtpTake(mailer->loop, &result))
	{
		SaasOutboxMail *mail = result.tag;

		mail->is_sent = result.ok;
		mail->is_permanent = result.permanent;
		mail->problem = result.problem;
		withhold_quotes(mail);
		record(mailer, mail);
		has_room = true;
	}
	return has_room && mailer->has_more;
}

long
SaasMailerTimeout(const SaasMailer *mailer)
{
	return SaasSmtpTimeout(mailer->loop);
}
