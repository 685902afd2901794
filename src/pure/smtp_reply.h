/*
 * smtp_reply.h
 *	  What a mail server answers (RFC 5321, section 4.2).
 */
#ifndef SAAS_SMTP_REPLY_H
#define SAAS_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the bytes that came hold a whole reply.  Its last line, the one
 * without "-" after the code, is copied then, without its line end, cleaned
 * (SaasCleanText) and cut to room bytes with the NUL.  A line that is none of
 * a reply ends it too; its code is 0.
 */
extern bool SaasSmtpReplyIsWhole(const char *bytes, size_t length, char *line, size_t room);

/* The code of a line, 0 when it does not begin with three digits and a blank, "-" or nothing. */
extern int	SaasSmtpReplyCode(const char *line);

#endif							/* SAAS_SMTP_REPLY_H */
