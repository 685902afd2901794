/*
 * smtp_url.h
 *	  Where mail is handed in: smtp://host:587 or smtps://host:465.
 */
#ifndef SAAS_SMTP_URL_H
#define SAAS_SMTP_URL_H

#include <stdbool.h>

#include "base/problem.h"

typedef struct SaasSmtpServer
{
	bool		is_tls;			/* TLS from the first byte, not STARTTLS */
	char		host[256];		/* an IPv6 address in brackets */
	int			port;
} SaasSmtpServer;

/*
 * Reads scheme, host and port (587 and 465 when absent); a user, path or query
 * is refused.  False with problem set.
 */
extern bool SaasSmtpUrlParse(const char *text, SaasSmtpServer *server, SaasProblem *problem);

#endif							/* SAAS_SMTP_URL_H */
