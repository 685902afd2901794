/*
 * fuzz_mail.c
 *	  pure/mail.c and pure/mail_template.c: whatever names, templates and
 *	  values hold, a mail's headers stay what they are and its lines lines.
 *
 * The first byte of an input says which: t a JSON object of values, a line end
 * and a template; m a sender, a recipient, a subject and a text, a line each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pure/mail.h"

#define ARENA_SIZE	((size_t) 4 * 1024 * 1024)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* The text up to the next line end, which becomes a NUL. */
static char *
next_line(char **text)
{
	char	   *line = *text;
	char	   *end = strchr(line, '\n');

	*text = end == NULL ? line + strlen(line) : end + 1;
	if (end != NULL)
		*end = '\0';
	return line;
}

static size_t
count_of(const char *text, char c)
{
	size_t		count = 0;

	for (; *text != '\0'; text++)
		count += *text == c;
	return count;
}

static void
fuzz_template(char *text)
{
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	SaasMailValue *values = NULL;
	SaasProblem problem = {0};
	bool		done = SaasMailReadValues(arena, next_line(&text), &values, &problem);
	char	   *plain;
	char	   *html;

	must(done == (problem.sqlstate[0] == '\0'));
	for (const SaasMailValue *value = values; value != NULL; value = value->next)
		must(strpbrk(value->value, "\r\n\t") == NULL);
	plain = SaasMailRender(arena, text, SAAS_MAIL_TEXT, values);
	html = SaasMailRender(arena, text, SAAS_MAIL_HTML, values);
	/* No value makes a line of a text, or a tag or the end of an attribute. */
	if (plain != NULL)
		must(count_of(plain, '\n') == count_of(text, '\n'));
	if (html != NULL)
		must(count_of(html, '<') == count_of(text, '<') && count_of(html, '>') == count_of(text, '>') &&
			 count_of(html, '"') == count_of(text, '"') && count_of(html, '\'') == count_of(text, '\''));
	SaasArenaDestroy(arena);
}

/* Goes by line: printable ASCII and CRLF alone; returns what follows the headers. */
static const char *
check_headers(const char *message)
{
	static const char *const names[] = {
		"Date: ", "From: ", "To: ", "Subject: ", "Message-ID: ", "Auto-Submitted: ", "MIME-Version: ", "Content-Type: "
	};
	size_t		count = 0;

	while (strncmp(message, "\r\n", 2) != 0)
	{
		const char *end = strstr(message, "\r\n");

		must(end != NULL && end - message <= 998);
		if (message[0] != ' ')
		{
			must(count < sizeof(names) / sizeof(names[0]) &&
				 strncmp(message, names[count], strlen(names[count])) == 0);
			count++;
		}
		message = end + 2;
	}
	must(count == sizeof(names) / sizeof(names[0]));
	return message + 2;
}

static void
check_body(const char *body)
{
	int			boundaries = 0;

	while (*body != '\0')
	{
		const char *end = strstr(body, "\r\n");

		must(end != NULL && end - body <= 76 && body[0] != '.');
		boundaries += strncmp(body, "--=_", 4) == 0;
		body = end + 2;
	}
	must(boundaries == 3);
}

static void
fuzz_message(char *text)
{
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	SaasMail	mail = {.message_id = "1@example.com", .date_s = 1300819380};
	SaasProblem problem = {0};
	bool		has_sender = SaasMailboxParse(arena, next_line(&text), &mail.from);
	size_t		length = 0;
	char	   *message;

	mail.to = next_line(&text);
	mail.subject = next_line(&text);
	mail.text = mail.html = text;
	if (mail.from.address == NULL)
		mail.from.address = "";
	message = SaasMailCompose(arena, &mail, &length, &problem);
	must((message == NULL) == (problem.sqlstate[0] != '\0'));
	if (message != NULL)
	{
		must(has_sender && SaasMailAddressIsPlain(mail.to) && strlen(message) == length);
		for (size_t i = 0; i < length; i++)
		{
			must((message[i] >= ' ' && message[i] < 0x7F) || message[i] == '\t' ||
				 message[i] == '\r' || message[i] == '\n');
			must((message[i] == '\r') == (message[i + 1] == '\n'));
		}
		check_body(check_headers(message));
	}
	SaasArenaDestroy(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == 't')
		fuzz_template(text);
	else if (data[0] == 'm')
		fuzz_message(text);
	free(text);
	return 0;
}
