/*
 * smtp_failure.c
 *	  Why a mail was not handed in, in words.
 *
 * What is wrong with the server, the way to it or its settings is worth
 * another try; only a refusal of this recipient or this message is for good.
 */
#include "net/smtp_internal.h"

#define CANNOT_CONNECT	"08001"
#define CONNECTION_FAILED	"08006"

static const char *
step_name(const SmtpMail *mail)
{
	switch (mail->step)
	{
		case SMTP_CONNECTING:
			return mail->has_connected ? "before the sign-in was through" : "during the connect";
		case SMTP_MAIL:
			return "at MAIL FROM";
		case SMTP_RCPT:
			return "at RCPT TO";
		case SMTP_DATA:
			return "at DATA";
		case SMTP_MESSAGE:
		case SMTP_FINISHED:
			break;
	}
	return "at the end of the message";
}

static void
add_reply(SmtpMail *mail)
{
	if (mail->last_line[0] != '\0')
		SaasProblemDetail(&mail->result.problem, "%s", mail->last_line);
}

void
SaasSmtpFailConnect(SmtpMail *mail, CURLcode code)
{
	SaasProblem *problem = &mail->result.problem;
	const char *host = mail->server.host;

	mail->result.reply = SaasSmtpReplyCode(mail->last_line);
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			SaasProblemSet(problem, CANNOT_CONNECT, "the mail server's name %s could not be resolved", host);
			break;
		case CURLE_COULDNT_CONNECT:
			SaasProblemSet(problem, CANNOT_CONNECT, "could not connect to the mail server %s port %d", host,
						   mail->server.port);
			break;
		case CURLE_OPERATION_TIMEDOUT:
			SaasSmtpFailTimeout(mail);
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			SaasProblemSet(problem, CANNOT_CONNECT, "the certificate of the mail server %s is not acceptable",
						   host);
			SaasProblemDetail(problem, "%s", mail->curl_error);
			break;
		case CURLE_SSL_CONNECT_ERROR:
			SaasProblemSet(problem, CANNOT_CONNECT, "the TLS handshake with the mail server %s failed", host);
			SaasProblemDetail(problem, "%s", mail->curl_error);
			break;
		case CURLE_USE_SSL_FAILED:
			SaasProblemSet(problem, CANNOT_CONNECT, "the mail server %s does not offer TLS", host);
			SaasProblemHint(problem, "saas.smtp_tls says whether mail may be handed in without.");
			break;
		case CURLE_LOGIN_DENIED:
			SaasProblemSet(problem, "28000", "the mail server %s refuses the user or password", host);
			add_reply(mail);
			break;
		case CURLE_OUT_OF_MEMORY:
			SaasProblemSet(problem, "53200", "out of memory for a mail");
			break;
		default:
			SaasProblemSet(problem, CONNECTION_FAILED, "the mail server %s does not let us in", host);
			add_reply(mail);
			break;
	}
}

void
SaasSmtpFailReply(SmtpMail *mail)
{
	int			code = mail->result.reply = SaasSmtpReplyCode(mail->last_line);

	/*
	 * A refused sender is the operator's to mend and would take every mail
	 * with it; 421 and the like mean another time (RFC 5321, section 4.2.1).
	 */
	mail->result.permanent = code >= 500 && code < 600 && mail->step != SMTP_MAIL;
	if (code == 0)
		SaasProblemSet(&mail->result.problem, CONNECTION_FAILED,
					   "the mail server does not answer in SMTP %s", step_name(mail));
	else
		SaasProblemSet(&mail->result.problem, CONNECTION_FAILED, "the mail server answered %d %s", code,
					   step_name(mail));
	add_reply(mail);
}

void
SaasSmtpFailBroken(SmtpMail *mail)
{
	SaasProblemSet(&mail->result.problem, CONNECTION_FAILED, "the mail server broke the connection off %s",
				   step_name(mail));
}

void
SaasSmtpFailTimeout(SmtpMail *mail)
{
	SaasProblemSet(&mail->result.problem, mail->step == SMTP_CONNECTING ? CANNOT_CONNECT : CONNECTION_FAILED,
				   "the mail server timed out %s", step_name(mail));
}
