/*
 * smtp_talk.c
 *	  The conversation from MAIL to the reply to the message (RFC 5321,
 *	  section 3.3).
 */
#include "net/smtp_internal.h"

/* Bytes that one call writes at most, so that others get their turn. */
#define WRITES_PER_TURN		64

static void
say(SmtpMail *mail, SmtpStep step, const char *output, size_t length)
{
	mail->step = step;
	mail->output = output;
	mail->output_left = length;
	mail->reply_length = 0;
	mail->deadline = SaasTransferNow() + (int64) mail->timeout_ms * 1000;
}

static void
say_command(SmtpMail *mail, SmtpStep step, const char *verb, const char *address)
{
	int			length = address ? snprintf(mail->command, sizeof(mail->command), "%s:<%s>\r\n", verb, address) :
		snprintf(mail->command, sizeof(mail->command), "%s\r\n", verb);

	/* An address has at most SAAS_MAIL_MAX_ADDRESS bytes, which SaasSmtpStart's contract asks for. */
	Assert(length > 0 && length < sizeof(mail->command));
	say(mail, step, mail->command, (size_t) length);
}

/*
 * The mail is the server's or it is not: nobody waits for the answer to QUIT.
 */
static void
leave(SmtpMail *mail)
{
	size_t		sent;

	(void) curl_easy_send(mail->easy, "QUIT\r\n", 6, &sent);
	SaasSmtpFinish(mail);
}

/* A whole reply has come: the next step. */
static void
take_reply(SmtpMail *mail)
{
	int			class = SaasSmtpReplyCode(mail->last_line) / 100;

	if (class != (mail->step == SMTP_DATA ? 3 : 2))
	{
		SaasSmtpFailReply(mail);
		leave(mail);
		return;
	}
	switch (mail->step)
	{
		case SMTP_MAIL:
			say_command(mail, SMTP_RCPT, "RCPT TO", mail->to);
			break;
		case SMTP_RCPT:
			say_command(mail, SMTP_DATA, "DATA", NULL);
			break;
		case SMTP_DATA:
			say(mail, SMTP_MESSAGE, mail->message, mail->message_length);
			break;
		case SMTP_MESSAGE:
			mail->result.ok = true;
			mail->result.reply = 250;
			leave(mail);
			break;
		case SMTP_CONNECTING:
		case SMTP_FINISHED:
			break;
	}
}

/* False when there is nothing to be done now, or nothing more at all. */
static bool
send_some(SmtpMail *mail)
{
	size_t		sent = 0;
	CURLcode	code = curl_easy_send(mail->easy, mail->output, Min(mail->output_left, 16384), &sent);

	if (code == CURLE_OK)
	{
		mail->output += sent;
		mail->output_left -= sent;
		return true;
	}
	if (code == CURLE_AGAIN)
		return false;
	SaasSmtpFailBroken(mail);
	SaasSmtpFinish(mail);
	return false;
}

static bool
receive_some(SmtpMail *mail)
{
	size_t		received = 0;
	CURLcode	code = curl_easy_recv(mail->easy, mail->reply + mail->reply_length,
									  SAAS_SMTP_MAX_REPLY - mail->reply_length, &received);

	if (code == CURLE_AGAIN)
		return false;
	if (code != CURLE_OK || received == 0)
	{
		SaasSmtpFailBroken(mail);
		SaasSmtpFinish(mail);
		return false;
	}
	mail->reply_length += received;
	/* One that is too long has no last line, and is refused as no reply. */
	mail->last_line[0] = '\0';
	if (SaasSmtpReplyIsWhole(mail->reply, mail->reply_length, mail->last_line, sizeof(mail->last_line)) ||
		mail->reply_length == SAAS_SMTP_MAX_REPLY)
		take_reply(mail);
	return mail->step != SMTP_FINISHED;
}

void
SaasSmtpTalk(SmtpMail *mail)
{
	int			turns = 0;

	while (turns++ < WRITES_PER_TURN && (mail->output_left > 0 ? send_some(mail) : receive_some(mail)))
		;
	if (mail->step == SMTP_FINISHED || SaasSmtpWatch(mail, mail->output_left > 0))
		return;
	SaasSmtpFailBroken(mail);
	SaasSmtpFinish(mail);
}

void
SaasSmtpTalkBegin(SmtpMail *mail)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (curl_easy_getinfo(mail->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
	{
		SaasSmtpFailBroken(mail);
		SaasSmtpFinish(mail);
		return;
	}
	mail->fd = fd;
	mail->last_line[0] = '\0';
	say_command(mail, SMTP_MAIL, "MAIL FROM", mail->from);
	SaasSmtpTalk(mail);
}
