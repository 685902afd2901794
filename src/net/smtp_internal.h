/*
 * smtp_internal.h
 *	  What the files of the SMTP loop share.
 *
 * A mail is first libcurl's, until its connection is signed in; then its
 * conversation is ours, on the same connection; then it has a result.
 *
 *	  smtp_loop.c	  the life of a loop, libcurl's part, the public calls
 *	  smtp_talk.c	  the conversation from MAIL to the reply to the message
 *	  smtp_failure.c  what went wrong, in words
 */
#ifndef SAAS_SMTP_INTERNAL_H
#define SAAS_SMTP_INTERNAL_H

#include "net/smtp.h"
#include "net/transfer_internal.h"
#include "pure/smtp_reply.h"

#define SAAS_SMTP_MAX_REPLY		8192	/* bytes of one reply, all its lines */

typedef enum SmtpStep
{
	SMTP_CONNECTING,			/* libcurl's: up to TLS, then greeting to AUTH */
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_MESSAGE,				/* until the reply to its end */
	SMTP_FINISHED				/* result is set */
} SmtpStep;

typedef struct SmtpMail
{
	struct SmtpMail *next;
	SaasSmtpLoop *loop;
	CURL	   *easy;			/* NULL when finished */
	int			fd;				/* of the conversation; -1 before */
	SmtpStep	step;
	int64		deadline;
	int			timeout_ms;
	int			connect_timeout_ms;
	SaasSmtpServer server;
	bool		has_connected;	/* a socket was opened */
	char	   *from;
	char	   *to;
	char	   *message;		/* with dots doubled and the final dot */
	size_t		message_length;
	const char *output;			/* what is left to send */
	size_t		output_left;
	char		command[512];
	char		reply[SAAS_SMTP_MAX_REPLY];
	size_t		reply_length;
	char		last_line[256];	/* of libcurl's part and of ours */
	char		curl_error[CURL_ERROR_SIZE];
	SaasSmtpResult result;
} SmtpMail;

struct SaasSmtpLoop
{
	MemoryContextCallback on_reset;
	CURLM	   *multi;
	int			epoll_fd;
	int			reserved_fds;
	int			max_in_flight;
	int			count;
	int64		timer_at;		/* libcurl wants to run then; -1: no timer */
	SmtpMail   *mails;
};

/* smtp_loop.c */

/* Lets go of a mail's connection; its result is set. */
extern void SaasSmtpFinish(SmtpMail *mail);

/* Whether to wait for the connection's room to write too. */
extern bool SaasSmtpWatch(SmtpMail *mail, bool for_output);

/* smtp_talk.c */

/* The connection is signed in: begins the conversation. */
extern void SaasSmtpTalkBegin(SmtpMail *mail);

/* Goes on as far as the connection lets it. */
extern void SaasSmtpTalk(SmtpMail *mail);

/* smtp_failure.c: each sets the result. */
extern void SaasSmtpFailConnect(SmtpMail *mail, CURLcode code);
extern void SaasSmtpFailReply(SmtpMail *mail);
extern void SaasSmtpFailBroken(SmtpMail *mail);
extern void SaasSmtpFailTimeout(SmtpMail *mail);

#endif							/* SAAS_SMTP_INTERNAL_H */
