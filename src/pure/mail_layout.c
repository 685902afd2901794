/*
 * mail_layout.c
 *	  What all mails have in common: who they come from, the frame around what
 *	  a template says, and the organization's branding in it.
 *
 * Nothing in the frame says who reads the mail or when: a logo has one address
 * for everybody.
 */
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"
#include "pure/mail.h"

#define DEFAULT_COLOR	"#1f2937"
#define PAGE_COLOR		"#f3f4f6"
#define LINE_COLOR		"#e5e7eb"
#define QUIET_COLOR		"#6b7280"
#define FONT			"font-family:Arial,Helvetica,sans-serif;"
#define TABLE			"<table role=\"presentation\" width=\"100%%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\""

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* Anything else could bring more into a style than a colour. */
static const char *
color(const SaasMailBranding *branding)
{
	const char *text = branding->primary_color;

	return text != NULL && strlen(text) == 7 && text[0] == '#' &&
		strspn(text + 1, "0123456789abcdef") == 6 ? text : DEFAULT_COLOR;
}

static const char *
product(const SaasMailDraft *draft)
{
	return is_set(draft->branding.product_name) ? draft->branding.product_name : draft->product_name;
}

static void
append_logo(SaasStrbuf *buf, const SaasMailDraft *draft)
{
	const char *url = draft->branding.logo_url;

	if (!is_set(url) || strncmp(url, "https://", 8) != 0)
	{
		SaasStrbufPrintf(buf, "<strong style=\"font-size:18px;color:%s\">", color(&draft->branding));
		SaasMailAppendEscaped(buf, product(draft));
		SaasStrbufAppendText(buf, "</strong>");
		return;
	}
	SaasStrbufAppendText(buf, "<img src=\"");
	SaasMailAppendEscaped(buf, url);
	SaasStrbufAppendText(buf, "\" alt=\"");
	SaasMailAppendEscaped(buf, product(draft));
	SaasStrbufAppendText(buf, "\" height=\"40\" style=\"height:40px;max-width:240px;border:0\">");
}

/*
 * A copy in UTF-8 whose only control characters are line feeds, if it may have
 * lines; "" for NULL.
 */
static char *
clean_copy(SaasArena *arena, const char *text, bool has_lines)
{
	char	   *copy = SaasArenaStrdup(arena, text ? text : "");
	char	   *line = copy;

	while (copy != NULL)
	{
		char	   *end = has_lines ? strchr(line, '\n') : NULL;

		if (end != NULL)
			*end = '\0';
		SaasCleanText(line);
		if (end == NULL)
			break;
		*end = '\n';
		line = end + 1;
	}
	return copy;
}

/* What the frame shows comes from settings and tenants. */
static bool
clean_draft(SaasArena *arena, SaasMailDraft *draft)
{
	SaasMailBranding *branding = &draft->branding;

	draft->product_name = clean_copy(arena, draft->product_name, false);
	branding->product_name = clean_copy(arena, branding->product_name, false);
	branding->logo_url = clean_copy(arena, branding->logo_url, false);
	branding->support_email = clean_copy(arena, branding->support_email, false);
	branding->footer_text = clean_copy(arena, branding->footer_text, true);
	return draft->product_name && branding->product_name && branding->logo_url &&
		branding->support_email && branding->footer_text;
}

/* Line by line, each escaped. */
static void
append_lines(SaasStrbuf *buf, const char *text)
{
	while (*text != '\0')
	{
		size_t		length = strcspn(text, "\n");
		char	   *line = SaasArenaStrndup(buf->arena, text, length);

		if (line == NULL)
		{
			buf->failed = true;
			return;
		}
		SaasStrbufAppendText(buf, "<br>");
		SaasMailAppendEscaped(buf, line);
		text += length + (text[length] == '\n');
	}
}

static void
append_footer(SaasStrbuf *buf, const SaasMailDraft *draft)
{
	SaasMailAppendEscaped(buf, product(draft));
	if (is_set(draft->branding.footer_text))
		append_lines(buf, draft->branding.footer_text);
	if (is_set(draft->branding.support_email))
		append_lines(buf, draft->branding.support_email);
}

/* A template that is a whole document has a frame of its own. */
static bool
is_document(const char *html)
{
	html += strspn(html, " \t\r\n");
	return strncasecmp(html, "<!doctype", 9) == 0 || strncasecmp(html, "<html", 5) == 0;
}

static char *
frame_html(SaasArena *arena, const SaasMailDraft *draft, const char *subject, const char *content)
{
	SaasStrbuf	buf;
	const char *main_color = color(&draft->branding);

	SaasStrbufInit(&buf, arena);
	SaasStrbufAppendText(&buf, "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
						 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	SaasMailAppendEscaped(&buf, subject);
	SaasStrbufPrintf(&buf, "</title>\n<style>a { color: %s; }</style>\n</head>\n"
					 "<body style=\"margin:0;padding:0;background-color:" PAGE_COLOR "\">\n"
					 TABLE ">\n<tr><td align=\"center\" style=\"padding:24px 12px\">\n"
					 TABLE " style=\"max-width:600px;background-color:#ffffff;border-top:4px solid %s\">\n"
					 "<tr><td style=\"padding:24px 32px 0;" FONT "\">", main_color, main_color);
	append_logo(&buf, draft);
	SaasStrbufAppendText(&buf, "</td></tr>\n<tr><td style=\"padding:16px 32px 24px;" FONT
						 "font-size:15px;line-height:1.5;color:#111827\">\n");
	SaasStrbufAppendText(&buf, content);
	SaasStrbufAppendText(&buf, "\n</td></tr>\n<tr><td style=\"padding:16px 32px;border-top:1px solid " LINE_COLOR ";"
						 FONT "font-size:12px;line-height:1.5;color:" QUIET_COLOR "\">");
	append_footer(&buf, draft);
	SaasStrbufAppendText(&buf, "</td></tr>\n</table>\n</td></tr>\n</table>\n</body>\n</html>\n");
	return SaasStrbufFinish(&buf);
}

/* With what follows "-- " taken for a signature (RFC 3676, section 4.3). */
static char *
frame_text(SaasArena *arena, const SaasMailDraft *draft, const char *content)
{
	SaasStrbuf	buf;
	size_t		length = strlen(content);

	SaasStrbufInit(&buf, arena);
	while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r'))
		length--;
	SaasStrbufAppend(&buf, content, length);
	SaasStrbufPrintf(&buf, "\n\n-- \n%s\n", product(draft));
	if (is_set(draft->branding.footer_text))
		SaasStrbufPrintf(&buf, "%s\n", draft->branding.footer_text);
	if (is_set(draft->branding.support_email))
		SaasStrbufPrintf(&buf, "%s\n", draft->branding.support_email);
	return SaasStrbufFinish(&buf);
}

/*
 * What a template may name.  Those of the platform come last, so that no
 * parameter stands in their place.
 */
static bool
collect_values(SaasArena *arena, const SaasMailDraft *draft, SaasMailValue **values, SaasProblem *problem)
{
	char	   *base_url = SaasArenaStrdup(arena, draft->base_url);
	size_t		length = base_url ? strlen(base_url) : 0;

	while (length > 0 && base_url[length - 1] == '/')
		base_url[--length] = '\0';
	return SaasMailReadValues(arena, draft->parameters, values, problem) &&
		base_url != NULL &&
		(draft->organization == NULL ||
		 SaasMailAddValue(arena, values, "organization_name", draft->organization)) &&
		SaasMailAddValue(arena, values, "product_name", product(draft)) &&
		SaasMailAddValue(arena, values, "support_email", draft->branding.support_email) &&
		SaasMailAddValue(arena, values, "base_url", base_url) &&
		SaasMailAddValue(arena, values, "recipient", draft->recipient) &&
		SaasMailAddValue(arena, values, "token", draft->token ? draft->token : "") &&
		SaasMailAddValue(arena, values, "code", draft->code ? draft->code : "");
}

/*
 * Whoever names an organization could name it after somebody else: the
 * platform, which sends the mail, is always in the name.
 */
static const char *
sender_name(SaasArena *arena, const SaasMailDraft *draft)
{
	const char *name = is_set(draft->branding.product_name) ? draft->branding.product_name :
		draft->organization;

	if (draft->organization == NULL || !is_set(name))
		return draft->product_name;
	if (!is_set(draft->product_name))
		return name;
	return SaasArenaPrintf(arena, "%s via %s", name, draft->product_name);
}

bool
SaasMailFill(SaasArena *arena, const SaasMailDraft *given, SaasMail *mail, SaasProblem *problem)
{
	SaasMailDraft clean = *given;
	const SaasMailDraft *draft = &clean;
	SaasMailValue *values = NULL;
	const char *text;
	const char *html;

	if (!clean_draft(arena, &clean) || !collect_values(arena, draft, &values, problem))
		return problem->sqlstate[0] != '\0' ? false :
			SaasProblemSet(problem, "54000", "the mail is too large");
	if (!is_set(mail->from.name))
		mail->from.name = sender_name(arena, draft);
	mail->subject = SaasMailRender(arena, draft->subject, SAAS_MAIL_TEXT, values);
	text = SaasMailRender(arena, draft->text, SAAS_MAIL_TEXT, values);
	html = SaasMailRender(arena, draft->html, SAAS_MAIL_HTML, values);
	mail->text = text ? frame_text(arena, draft, text) : NULL;
	mail->html = html == NULL || mail->subject == NULL || is_document(html) ? html :
		frame_html(arena, draft, mail->subject, html);
	if (!mail->from.name || !mail->subject || !mail->text || !mail->html)
		return SaasProblemSet(problem, "54000", "the mail is too large");
	return true;
}
