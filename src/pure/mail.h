/*
 * mail.h
 *	  A mail: its templates filled in, and the message that SMTP carries
 *	  (RFC 5322, RFC 2045 to 2047).
 *
 * Names and subjects come from tenants.  Whatever they hold, a header stays
 * one header: control characters and invalid UTF-8 become '?', the rest is
 * quoted or encoded, and an address that is not plain is refused.
 */
#ifndef SAAS_MAIL_H
#define SAAS_MAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/problem.h"
#include "base/strbuf.h"

#define SAAS_MAIL_MAX_ADDRESS	254 /* RFC 5321, section 4.5.3.1.3, without the brackets */

/* What a placeholder stands for. */
typedef struct SaasMailValue
{
	const char *name;
	const char *value;
	struct SaasMailValue *next;
} SaasMailValue;

typedef enum SaasMailFormat
{
	SAAS_MAIL_TEXT,				/* values as they are */
	SAAS_MAIL_HTML				/* values escaped for text and quoted attributes */
} SaasMailFormat;

typedef struct SaasMailbox
{
	const char *name;			/* "" when none */
	const char *address;
} SaasMailbox;

typedef struct SaasMail
{
	SaasMailbox from;
	const char *to;				/* an address */
	const char *subject;
	const char *text;			/* lines end in LF or CRLF */
	const char *html;
	const char *message_id;		/* left@right, without brackets */
	long long	date_s;			/* Unix time */
} SaasMail;

/* What an organization puts on its mail; NULL or "" where it says nothing. */
typedef struct SaasMailBranding
{
	const char *product_name;	/* in place of the platform's in what the mail says */
	const char *logo_url;		/* https */
	const char *primary_color;	/* #rrggbb, in lower case */
	const char *support_email;
	const char *footer_text;	/* lines end in LF */
} SaasMailBranding;

/* A mail whose templates are not filled in yet. */
typedef struct SaasMailDraft
{
	const char *subject;		/* templates */
	const char *text;
	const char *html;
	const char *parameters;		/* JSON */
	const char *organization;	/* its name; NULL for mail of the platform */
	SaasMailBranding branding;
	const char *product_name;	/* the platform's */
	const char *base_url;
	const char *recipient;
	const char *token;			/* NULL when none */
	const char *code;			/* the same */
} SaasMailDraft;

/*
 * Adds the members of a JSON object to values: texts, numbers and booleans;
 * others are left out.  False with problem set when it is no object or the
 * arena is exhausted.
 */
extern bool SaasMailReadValues(SaasArena *arena, const char *json, SaasMailValue **values,
							   SaasProblem *problem);

/* Puts a value before those that are there; the first of a name counts. */
extern bool SaasMailAddValue(SaasArena *arena, SaasMailValue **values, const char *name,
							 const char *value);

/*
 * Replaces {{name}} by the value of that name and {{url:name}} by the same
 * percent-encoded.  A name that has no value stands for nothing: a mail with a
 * blank reaches its reader, one that is refused does not.  Anything else in
 * braces stays as it is.  NULL when the arena is exhausted.
 */
extern char *SaasMailRender(SaasArena *arena, const char *pattern, SaasMailFormat format,
							const SaasMailValue *values);

/* Appends text as HTML shows it: in text, and in quoted attributes. */
extern void SaasMailAppendEscaped(SaasStrbuf *buf, const char *text);

/*
 * Fills the draft's templates in: the mail's subject, text and HTML, the last
 * two in the frame that all mails have (but not HTML that is a document
 * already), and the sender's name when the mail has none.  False with problem
 * set when the parameters are no object or the arena is exhausted.
 */
extern bool SaasMailFill(SaasArena *arena, const SaasMailDraft *draft, SaasMail *mail, SaasProblem *problem);

/* Whether SMTP and every header can carry it as it stands: one "@", no blank, quote or bracket. */
extern bool SaasMailAddressIsPlain(const char *address);

/* Reads "address" or "Name <address>"; false when it is neither. */
extern bool SaasMailboxParse(SaasArena *arena, const char *text, SaasMailbox *mailbox);

/*
 * The message with CRLF line ends, NUL-terminated: multipart/alternative of
 * text and HTML, quoted-printable, no line longer than 76 but one that holds
 * an address.  NULL with problem set when an address is not plain, a body is
 * not UTF-8, or the arena is exhausted.
 */
extern char *SaasMailCompose(SaasArena *arena, const SaasMail *mail, size_t *length,
							 SaasProblem *problem);

#endif							/* SAAS_MAIL_H */
