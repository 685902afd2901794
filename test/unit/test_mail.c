/*
 * test_mail.c
 *	  pure/mail.c and pure/mail_template.c: what a mail says, and that nothing
 *	  in it becomes a header of its own.
 */
#include <stdlib.h>

#include "pure/mail.h"

#include "tap.h"

static SaasArena *arena;

static const char *const values_json =
	"{\"first_name\": \"Ada <b>\\\"&'\", \"valid_hours\": 24, \"ratio\": 1.5, \"flag\": true,"
	" \"list\": [1], \"nothing\": null, \"lines\": \"a\\r\\nBcc: x@example.com\"}";

static const char *
render(const char *pattern, SaasMailFormat format)
{
	SaasMailValue *values = NULL;
	SaasProblem problem = {0};

	if (!SaasMailReadValues(arena, values_json, &values, &problem))
		return "unreadable";
	SaasMailAddValue(arena, &values, "token", "a+b/c=");
	return SaasMailRender(arena, pattern, format, values);
}

static void
test_render(void)
{
	SaasMailValue *values = NULL;
	SaasProblem problem = {0};

	is_text(render("Hello {{first_name}}!", SAAS_MAIL_TEXT), "Hello Ada <b>\"&'!", "text is not escaped");
	is_text(render("Hello {{first_name}}!", SAAS_MAIL_HTML), "Hello Ada &lt;b&gt;&quot;&amp;&#39;!",
			"HTML is");
	is_text(render("{{valid_hours}} {{ratio}} {{flag}}", SAAS_MAIL_TEXT), "24 1.5 true",
			"numbers and booleans are written out");
	is_text(render("t={{url:token}}&u={{token}}", SAAS_MAIL_TEXT), "t=a%2Bb%2Fc%3D&u=a+b/c=",
			"url: percent-encodes");
	is_text(render("<{{unknown}}|{{url:unknown}}|{{list}}|{{nothing}}>", SAAS_MAIL_TEXT), "<|||>",
			"a name without a value stands for nothing");
	is_text(render("{ {{ {{}} {{A}} {{first_name} {{{valid_hours}}} {{url:}}", SAAS_MAIL_TEXT),
			"{ {{ {{}} {{A}} {{first_name} {24} {{url:}}", "other braces stay");
	is_text(render("{{lines}}", SAAS_MAIL_TEXT), "a??Bcc: x@example.com", "a value makes no lines");
	is_text(render("", SAAS_MAIL_TEXT), "", "an empty pattern is an empty text");
	ok(!SaasMailReadValues(arena, "[1]", &values, &problem) && strcmp(problem.sqlstate, "22023") == 0,
	   "parameters are an object");
	ok(!SaasMailReadValues(arena, "{", &values, &problem), "of JSON");
}

static void
test_addresses(void)
{
	static const char *const plain[] = {"a@b", "ada.lovelace+x@mail.example.com", "o'neill@example.com",
	"{a}@example.fullcpy"};
	static const char *const refused[] = {
		"", "@", "a@", "@b", "a", "a@b@c", "a b@c", "a@b c", "a@b\r\nRCPT TO:<c@d>", "a\n@b", "<a@b>", "a@b>",
		"\"a b\"@c", "a@[127.0.0.1]", "a,b@c", "-f@b", ".a@b", "\xC3\xA4@b", "a@\xC3\xA4", "a\x7F@b", "a;b@c"
	};
	char		huge[400];
	SaasMailbox mailbox;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		ok(SaasMailAddressIsPlain(plain[i]), "%s is an address", plain[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(!SaasMailAddressIsPlain(refused[i]), "no address: case %zu", i);
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	huge[10] = '@';
	ok(!SaasMailAddressIsPlain(huge), "nor one of 399 characters");

	ok(SaasMailboxParse(arena, "no-reply@example.com", &mailbox) && mailbox.name[0] == '\0',
	   "a mailbox may be an address");
	is_text(mailbox.address, "no-reply@example.com", "which it is");
	ok(SaasMailboxParse(arena, "Acme, Inc. <no-reply@example.com>", &mailbox), "or have a name");
	is_text(mailbox.name, "Acme, Inc.", "which comes first");
	ok(SaasMailboxParse(arena, "\"Acme\" <a@example.com>", &mailbox), "quoted or not");
	is_text(mailbox.name, "Acme", "without its quotes");
	ok(!SaasMailboxParse(arena, "Acme <a@example.com", &mailbox), "a bracket must close");
	ok(!SaasMailboxParse(arena, "Acme <a@example.com> x", &mailbox), "at the end");
	ok(!SaasMailboxParse(arena, "", &mailbox), "nothing is no mailbox");
}

static SaasMail
sample(void)
{
	SaasMail	mail = {
		{"Acme", "no-reply@example.com"}, "ada@example.com", "Hello", "text\n", "<p>html</p>\n",
		"0190@example.com", 1700000000
	};

	return mail;
}

static const char *
compose(const SaasMail *mail)
{
	SaasProblem problem = {0};
	size_t		length = 0;
	char	   *message = SaasMailCompose(arena, mail, &length, &problem);

	if (message != NULL && strlen(message) != length)
		return "length is wrong";
	return message != NULL ? message : SaasArenaPrintf(arena, "%s %s", problem.sqlstate, problem.message);
}

/* Lines of at most 76, CRLF only, no control character, no NUL. */
static bool
is_well_formed(const char *message)
{
	size_t		column = 0;

	for (const char *c = message; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;

		if (byte == '\r' && c[1] == '\n')
		{
			column = 0;
			c++;
			continue;
		}
		if ((byte < ' ' && byte != '\t') || byte >= 0x7F || ++column > 76)
			return false;
	}
	return column == 0;
}

/* How many header lines begin with that name. */
static int
count_headers(const char *message, const char *name)
{
	int			count = strncmp(message, name, strlen(name)) == 0;
	const char *end = strstr(message, "\r\n\r\n");

	for (const char *line = message; (line = strstr(line, "\r\n")) != NULL && line < end; line += 2)
		count += strncmp(line + 2, name, strlen(name)) == 0;
	return count;
}

static void
test_message(void)
{
	SaasMail	mail = sample();

	is_text(compose(&mail),
			"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
			"From: \"Acme\"\r\n"
			" <no-reply@example.com>\r\n"
			"To: <ada@example.com>\r\n"
			"Subject: Hello\r\n"
			"Message-ID: <0190@example.com>\r\n"
			"Auto-Submitted: auto-generated\r\n"
			"MIME-Version: 1.0\r\n"
			"Content-Type: multipart/alternative;\r\n"
			" boundary=\"=_e256d296f7ff5d150dc4fa662a276eb3\"\r\n"
			"\r\n"
			"--=_e256d296f7ff5d150dc4fa662a276eb3\r\n"
			"Content-Type: text/plain; charset=UTF-8\r\n"
			"Content-Transfer-Encoding: quoted-printable\r\n"
			"\r\n"
			"text\r\n"
			"\r\n"
			"--=_e256d296f7ff5d150dc4fa662a276eb3\r\n"
			"Content-Type: text/html; charset=UTF-8\r\n"
			"Content-Transfer-Encoding: quoted-printable\r\n"
			"\r\n"
			"<p>html</p>\r\n"
			"\r\n"
			"--=_e256d296f7ff5d150dc4fa662a276eb3--\r\n",
			"a mail is its headers, a text and an HTML part");
}

static void
test_encoding(void)
{
	SaasMail	mail = sample();
	const char *message;

	mail.subject = "Gr\xC3\xBC\xC3\x9F" "e";
	message = compose(&mail);
	ok(strstr(message, "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n") != NULL, "a subject beyond ASCII is encoded");
	mail.subject = "=?UTF-8?Q?x?=";
	ok(strstr(compose(&mail), "Subject: =?UTF-8?B?PT9VVEYtOD9RP3g/PQ==?=\r\n") != NULL,
	   "and one that only looks encoded");
	mail.subject = "";
	ok(strstr(compose(&mail), "Subject: \r\n") != NULL, "an empty subject is one");
	mail.subject = "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"
		"x\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC";
	message = compose(&mail);
	ok(is_well_formed(message) && strstr(message, "?=\r\n =?UTF-8?B?4oKs") != NULL,
	   "a long one is cut between characters");
	mail = sample();
	mail.from.name = "Ada \"the\\first\", Inc.";
	ok(strstr(compose(&mail), "From: \"Ada \\\"the\\\\first\\\", Inc.\"\r\n <no-reply@example.com>\r\n") != NULL,
	   "a display name is quoted");
	mail.from.name = "M\xC3\xBCller";
	ok(strstr(compose(&mail), "From: =?UTF-8?B?TcO8bGxlcg==?=\r\n <no-reply@example.com>\r\n") != NULL,
	   "or encoded");
	mail.from.name = "";
	ok(strstr(compose(&mail), "From: <no-reply@example.com>\r\n") != NULL, "or absent");
	mail = sample();
	mail.text = ".\n..x\r\na=b \n\tz\t\nf\xC3\xBCr\n\nFrom x";
	message = compose(&mail);
	ok(strstr(message, "\r\n\r\n=2E\r\n=2E.x\r\na=3Db=20\r\n\tz=09\r\nf=C3=BCr\r\n\r\nFrom x\r\n--=_") != NULL,
	   "a body is quoted-printable");
	mail.text = "a\rb\vc";
	ok(strstr(compose(&mail), "a=0Db=0Bc\r\n") != NULL, "control characters are encoded");
}

static void
test_hostile(void)
{
	static const char *const evil[] = {
		"x\r\nBcc: victim@example.com", "x\nBcc: victim@example.com", "x\rBcc: victim@example.com",
		"\r\n\r\nBcc: victim@example.com", "x\xC2\x85" "Bcc: y", "\xFF\xFE\xC3", "\x01\x7F", "\"\r\nBcc: y\""
	};
	SaasMail	mail = sample();
	SaasProblem problem = {0};
	SaasArena  *small = SaasArenaCreate(2000);
	char	   *huge = malloc(500001);
	size_t		length;

	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++)
	{
		const char *message;

		mail = sample();
		mail.subject = mail.from.name = evil[i];
		message = compose(&mail);
		ok(is_well_formed(message) && count_headers(message, "Bcc") == 0 &&
		   count_headers(message, "Subject:") == 1 && count_headers(message, "From:") == 1,
		   "no header out of a subject or name: case %zu", i);
	}
	mail = sample();
	mail.to = "a@b\r\nBcc: c@d";
	is_text(compose(&mail), "22023 the recipient is not an address that mail can be sent to",
			"nor out of a recipient");
	mail = sample();
	mail.from.address = "a@b\nBcc: c@d";
	is_text(compose(&mail), "22023 the sender is not an address that mail can be sent from", "or a sender");
	mail = sample();
	mail.message_id = "a@b>\r\nBcc: c@d";
	is_text(compose(&mail), "22023 the sender is not an address that mail can be sent from", "or an id");
	mail = sample();
	mail.html = "\xC3";
	is_text(compose(&mail), "22021 the mail's text is not UTF-8", "a body is UTF-8");

	memset(huge, 'x', 500000);
	huge[500000] = '\0';
	mail = sample();
	mail.subject = mail.from.name = mail.text = huge;
	ok(is_well_formed(compose(&mail)), "huge parts are folded");
	ok(SaasMailCompose(small, &mail, &length, &problem) == NULL && strcmp(problem.sqlstate, "54000") == 0,
	   "or refused where there is no room");
	ok(SaasMailRender(small, huge, SAAS_MAIL_TEXT, NULL) == NULL, "by the template too");
	free(huge);
	SaasArenaDestroy(small);
}

int
main(void)
{
	arena = SaasArenaCreate(64 * 1024 * 1024);
	test_render();
	test_addresses();
	test_message();
	test_encoding();
	test_hostile();
	SaasArenaDestroy(arena);
	return tap_done();
}
