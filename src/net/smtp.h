/*
 * smtp.h
 *	  Handing mails in over SMTP (RFC 5321), several at a time, on a loop of
 *	  its own that never blocks.
 *
 * libcurl does what is hard: look-up, TCP, TLS, greeting, EHLO, STARTTLS and
 * AUTH.  The mail itself (MAIL, RCPT, DATA) is spoken here, because libcurl
 * waits for the answer to a message in a blocking loop, and the process that
 * sends mail polls upstreams too.  The discipline is that of transfer.h.
 *
 * The address guard does not apply: where mail is handed in is the operator's
 * word, and often a private network.
 */
#ifndef SAAS_SMTP_H
#define SAAS_SMTP_H

#include "postgres.h"

#include "base/problem.h"
#include "pure/smtp_url.h"

typedef struct SaasSmtpLoop SaasSmtpLoop;

/* How the server is reached; fixed for a mail once it was started. */
typedef struct SaasSmtpOptions
{
	SaasSmtpServer server;
	bool		use_tls;		/* STARTTLS where the server offers it */
	bool		require_tls;
	const char *user;			/* NULL: no AUTH */
	const char *password;
	const char *ca_file;		/* NULL: the system's */
	int			connect_timeout_ms; /* name look-up, TCP and TLS together */
	int			timeout_ms;		/* of signing in, and of each step after it */
} SaasSmtpOptions;

/* Steps that may each take timeout_ms, after the connection. */
#define SAAS_SMTP_STEPS		6

typedef struct SaasSmtpResult
{
	void	   *tag;			/* as given to SaasSmtpStart */
	bool		ok;				/* the server has taken the mail on */
	bool		permanent;		/* when not ok: the server refuses this recipient or mail for good */
	int			reply;			/* the server's last reply code, 0 when none */
	SaasProblem problem;		/* when not ok */
} SaasSmtpResult;

/*
 * A loop that lives in context, for at most max_in_flight mails: resetting or
 * deleting the context closes every socket.  Errors with 53000 or 58000.
 */
extern SaasSmtpLoop *SaasSmtpLoopCreate(MemoryContext context, int max_in_flight);

/* Readable when SaasSmtpStep has something to do. */
extern int	SaasSmtpDescriptor(const SaasSmtpLoop *loop);

/*
 * Starts to hand a mail in.  Addresses go without brackets and must be plain
 * (SaasMailAddressIsPlain); message ends in CRLF.  Everything is copied.
 * False with problem set when the loop is full or memory is out.
 */
extern bool SaasSmtpStart(SaasSmtpLoop *loop, const SaasSmtpOptions *options,
						  const char *from, const char *to, const char *message, Size length,
						  void *tag, SaasProblem *problem);

/* Mails started whose result was not taken yet. */
extern int	SaasSmtpCount(const SaasSmtpLoop *loop);

/* Milliseconds until SaasSmtpStep is due by time alone; -1: never. */
extern long SaasSmtpTimeout(const SaasSmtpLoop *loop);

/* Does what can be done without waiting. */
extern void SaasSmtpStep(SaasSmtpLoop *loop);

/* Takes one finished mail; false when there is none now. */
extern bool SaasSmtpTake(SaasSmtpLoop *loop, SaasSmtpResult *result);

#endif							/* SAAS_SMTP_H */
