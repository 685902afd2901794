/*
 * mail.c
 *	  A mail's message (RFC 5322, RFC 2045 to 2047).
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/strbuf.h"
#include "pure/crypto.h"
#include "pure/mail.h"

#define MAX_LINE		76
#define MAX_QUOTED		60

/*
 * Bytes of one encoded-word: with "Subject: " before it a line still has 76
 * characters at most.
 */
#define MAX_WORD_BYTES	39

static bool
is_ascii_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
SaasMailAddressIsPlain(const char *address)
{
	const char *at = strchr(address, '@');
	size_t		length = strlen(address);

	if (at == NULL || at == address || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
		length > SAAS_MAIL_MAX_ADDRESS || address[0] == '-' || address[0] == '.')
		return false;
	for (const char *c = address; *c != '\0'; c++)
	{
		if (!is_ascii_alphanumeric(*c) &&
			strchr(c < at ? ".!#$%&'*+/=?^_`{|}~-" : c == at ? "@" : ".-", *c) == NULL)
			return false;
	}
	return true;
}

bool
SaasMailboxParse(SaasArena *arena, const char *text, SaasMailbox *mailbox)
{
	const char *open = strrchr(text, '<');
	size_t		length = strlen(text);
	char	   *name;

	mailbox->name = "";
	if (open == NULL)
	{
		mailbox->address = SaasArenaStrdup(arena, text);
		return mailbox->address != NULL && SaasMailAddressIsPlain(mailbox->address);
	}
	if (text[length - 1] != '>')
		return false;
	mailbox->address = SaasArenaStrndup(arena, open + 1, (size_t) (text + length - 1 - (open + 1)));
	length = (size_t) (open - text);
	while (length > 0 && text[length - 1] == ' ')
		length--;
	if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
	{
		text++;
		length -= 2;
	}
	mailbox->name = name = SaasArenaStrndup(arena, text, length);
	if (name == NULL || mailbox->address == NULL)
		return false;
	SaasCleanText(name);
	return SaasMailAddressIsPlain(mailbox->address);
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text >= 0x7F)
			return false;
	}
	return true;
}

/* As encoded-words, one a line (RFC 2047, section 2), never within a character. */
static void
append_encoded(SaasStrbuf *buf, const char *text)
{
	size_t		left = strlen(text);
	bool		is_first = true;

	while (left > 0)
	{
		size_t		take = left < MAX_WORD_BYTES ? left : MAX_WORD_BYTES;
		unsigned char word[MAX_WORD_BYTES / 3 * 4 + 1];

		while (take < left && take > 1 && ((unsigned char) text[take] & 0xC0) == 0x80)
			take--;
		EVP_EncodeBlock(word, (const unsigned char *) text, (int) take);
		SaasStrbufPrintf(buf, "%s=?UTF-8?B?%s?=", is_first ? "" : "\r\n ", (char *) word);
		SaasWipe(word, sizeof(word));
		text += take;
		left -= take;
		is_first = false;
	}
}

/* A copy that is UTF-8 on one line. */
static char *
one_line(SaasArena *arena, const char *text)
{
	char	   *copy = SaasArenaStrdup(arena, text);

	if (copy != NULL)
		SaasCleanText(copy);
	return copy;
}

static void
append_subject(SaasStrbuf *buf, const char *subject)
{
	char	   *text = one_line(buf->arena, subject);

	if (text == NULL)
	{
		buf->failed = true;
		return;
	}
	SaasStrbufAppendText(buf, "Subject: ");
	/* A blank at an end would be lost, and "=?" taken for an encoded-word. */
	if (is_ascii(text) && strlen(text) <= MAX_LINE - strlen("Subject: ") && strstr(text, "=?") == NULL &&
		text[0] != ' ' && text[0] != '\0' && text[strlen(text) - 1] != ' ')
		SaasStrbufAppendText(buf, text);
	else
		append_encoded(buf, text);
	SaasStrbufAppendText(buf, "\r\n");
}

static void
append_from(SaasStrbuf *buf, const SaasMailbox *from)
{
	char	   *name = one_line(buf->arena, from->name);

	SaasStrbufAppendText(buf, "From: ");
	if (name == NULL)
		buf->failed = true;
	else if (name[0] != '\0' && is_ascii(name) && strlen(name) <= MAX_QUOTED && strstr(name, "=?") == NULL)
	{
		SaasStrbufAppendChar(buf, '"');
		for (const char *c = name; *c != '\0'; c++)
		{
			if (*c == '"' || *c == '\\')
				SaasStrbufAppendChar(buf, '\\');
			SaasStrbufAppendChar(buf, *c);
		}
		SaasStrbufAppendText(buf, "\"\r\n ");
	}
	else if (name[0] != '\0')
	{
		append_encoded(buf, name);
		SaasStrbufAppendText(buf, "\r\n ");
	}
	SaasStrbufPrintf(buf, "<%s>\r\n", from->address);
}

/* In UTC, and in English whatever the locale (RFC 5322, section 3.3). */
static void
append_date(SaasStrbuf *buf, long long date_s)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
	};
	time_t		when = (time_t) date_s;
	struct tm	parts;

	if (gmtime_r(&when, &parts) == NULL)
	{
		buf->failed = true;
		return;
	}
	SaasStrbufPrintf(buf, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[parts.tm_wday],
					 parts.tm_mday, months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
					 parts.tm_min, parts.tm_sec);
}

/*
 * Quoted-printable (RFC 2045, section 6.7).  A "." that begins a line is
 * encoded too: nothing on the way can take it for the end of the mail.
 */
static void
append_quoted_printable(SaasStrbuf *buf, const char *text)
{
	size_t		column = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;
		bool		ends_line;
		bool		is_literal;

		if (byte == '\n' || (byte == '\r' && c[1] == '\n'))
		{
			if (byte == '\n')
				SaasStrbufAppendText(buf, "\r\n");
			column = 0;
			continue;
		}
		ends_line = c[1] == '\n' || c[1] == '\0' || (c[1] == '\r' && c[2] == '\n');
		is_literal = byte == ' ' || byte == '\t' ? !ends_line :
			byte > ' ' && byte < 0x7F && byte != '=';
		/* One column is for the "=" of a soft line break. */
		if (column + (is_literal ? 1 : 3) > MAX_LINE - 1)
		{
			SaasStrbufAppendText(buf, "=\r\n");
			column = 0;
		}
		if (is_literal && !(byte == '.' && column == 0))
		{
			SaasStrbufAppendChar(buf, *c);
			column++;
		}
		else
		{
			SaasStrbufPrintf(buf, "=%02X", byte);
			column += 3;
		}
	}
	SaasStrbufAppendText(buf, "\r\n");
}

static void
append_part(SaasStrbuf *buf, const char *boundary, const char *type, const char *text)
{
	SaasStrbufPrintf(buf, "--%s\r\nContent-Type: text/%s; charset=UTF-8\r\n"
					 "Content-Transfer-Encoding: quoted-printable\r\n\r\n", boundary, type);
	append_quoted_printable(buf, text);
}

/* "=_" occurs in no quoted-printable text (RFC 2045, section 6.7). */
static bool
make_boundary(const char *message_id, char boundary[40])
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];

	if (!SaasSha256(message_id, strlen(message_id), digest))
		return false;
	memcpy(boundary, "=_", 3);
	SaasHexEncode(digest, 16, boundary + 2);
	return true;
}

char *
SaasMailCompose(SaasArena *arena, const SaasMail *mail, size_t *length, SaasProblem *problem)
{
	SaasStrbuf	buf;
	char		boundary[40];
	char	   *message;

	if (!SaasMailAddressIsPlain(mail->to))
		SaasProblemSet(problem, "22023", "the recipient is not an address that mail can be sent to");
	else if (!SaasMailAddressIsPlain(mail->from.address) || !SaasMailAddressIsPlain(mail->message_id))
		SaasProblemSet(problem, "22023", "the sender is not an address that mail can be sent from");
	else if (!SaasUtf8IsValid(mail->text, strlen(mail->text)) ||
			 !SaasUtf8IsValid(mail->html, strlen(mail->html)))
		SaasProblemSet(problem, "22021", "the mail's text is not UTF-8");
	if (problem->sqlstate[0] != '\0')
		return NULL;

	SaasStrbufInit(&buf, arena);
	append_date(&buf, mail->date_s);
	append_from(&buf, &mail->from);
	SaasStrbufPrintf(&buf, "To: <%s>\r\n", mail->to);
	append_subject(&buf, mail->subject);
	SaasStrbufPrintf(&buf, "Message-ID: <%s>\r\n", mail->message_id);
	/* So that no out-of-office answers (RFC 3834). */
	SaasStrbufAppendText(&buf, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
	if (!make_boundary(mail->message_id, boundary))
		buf.failed = true;
	else
	{
		SaasStrbufPrintf(&buf, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n", boundary);
		append_part(&buf, boundary, "plain", mail->text);
		append_part(&buf, boundary, "html", mail->html);
		SaasStrbufPrintf(&buf, "--%s--\r\n", boundary);
	}
	*length = buf.length;
	message = SaasStrbufFinish(&buf);
	if (message == NULL)
		SaasProblemSet(problem, "54000", "the mail is too large");
	return message;
}
