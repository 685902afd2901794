/*
 * test_mail_layout.c
 *	  pure/mail_layout.c: the frame around every mail, branding in it, and that
 *	  neither brings markup of its own.
 */
#include "pure/mail.h"

#include "tap.h"

static SaasArena *arena;

static SaasMailDraft
sample(void)
{
	SaasMailDraft draft = {
		.subject = "{{who}} & {{product_name}}",
		.text = "Hi {{who}}\n\n",
		.html = "<p>Hi {{who}} {{token}} {{code}} {{support_email}} {{organization_name}}</p>",
		.parameters = "{\"who\": \"<Ada>\", \"base_url\": \"https://evil.example\", \"token\": \"theirs\"}",
		.product_name = "Demo",
		.base_url = "https://app.example.com//",
		.recipient = "ada@example.com",
		.token = "a+b",
		.code = "123456",
	};

	return draft;
}

static SaasMail
fill(const SaasMailDraft *draft)
{
	SaasMail	mail = {0};
	SaasProblem problem = {0};

	if (!SaasMailFill(arena, draft, &mail, &problem))
		mail.subject = mail.text = mail.html = mail.from.name = problem.message[0] ? "refused" : "?";
	return mail;
}

static bool
has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void
test_plain(void)
{
	SaasMailDraft draft = sample();
	SaasMail	mail = fill(&draft);

	is_text(mail.subject, "<Ada> & Demo", "a subject is no HTML");
	is_text(mail.text, "Hi <Ada>\n\n-- \nDemo\n", "a text ends with the product's name");
	ok(has(mail.html, "<p>Hi &lt;Ada&gt; a+b 123456  </p>"), "what the template says is in the HTML");
	ok(has(mail.html, "<title>&lt;Ada&gt; &amp; Demo</title>"), "its title is the subject");
	ok(has(mail.html, "<strong style=\"font-size:18px;color:#1f2937\">Demo</strong>"), "without a logo there is a name");
	ok(!has(mail.html, "<img"), "and no picture");
	is_text(mail.from.name, "Demo", "mail of the platform is from the platform");
	draft.html = "{{base_url}}|{{url:token}}";
	ok(has(fill(&draft).html, "https://app.example.com|a%2Bb"), "no parameter stands for the platform's values");
	draft.html = " \n<!doctype html><p>{{who}}</p>";
	is_text(fill(&draft).html, " \n<!doctype html><p>&lt;Ada&gt;</p>", "a whole document stays as it is");
	draft.html = "<HTML><p>";
	is_text(fill(&draft).html, "<HTML><p>", "in any case");
	draft.parameters = "[]";
	is_text(fill(&draft).subject, "refused", "parameters are an object");
}

static void
test_branding(void)
{
	SaasMailDraft draft = sample();
	SaasMail	mail;

	draft.organization = "Acme";
	is_text(fill(&draft).from.name, "Acme via Demo", "mail of an organization says whose it is and who sends it");
	draft.branding.product_name = "Acme <Portal>";
	draft.branding.logo_url = "https://cdn.example.com/a.png?x=1&y=\"><script>";
	draft.branding.primary_color = "#00aaff";
	draft.branding.support_email = "help@example.com";
	draft.branding.footer_text = "Acme & Co.\n<b>Street</b>\n";
	mail = fill(&draft);
	is_text(mail.from.name, "Acme <Portal> via Demo", "the white-label name stands for the organization's");
	is_text(mail.subject, "<Ada> & Acme <Portal>", "and for the product's in what the mail says");
	is_text(mail.text, "Hi <Ada>\n\n-- \nAcme <Portal>\nAcme & Co.\n<b>Street</b>\n\nhelp@example.com\n",
			"the text has the footer");
	ok(has(mail.html, "<img src=\"https://cdn.example.com/a.png?x=1&amp;y=&quot;&gt;&lt;script&gt;\""
		   " alt=\"Acme &lt;Portal&gt;\""), "a logo's URL is escaped");
	ok(has(mail.html, "border-top:4px solid #00aaff") && has(mail.html, "a { color: #00aaff; }"), "the colour is used");
	ok(has(mail.html, "<br>Acme &amp; Co.<br>&lt;b&gt;Street&lt;/b&gt;<br>help@example.com"), "the footer's lines are");
	ok(has(mail.html, " help@example.com Acme</p>"), "a template may name the address and the organization");
	draft.product_name = "";
	is_text(fill(&draft).from.name, "Acme <Portal>", "a platform without a name is not named");

	draft.branding.primary_color = "#fff;}*{x";
	ok(!has(fill(&draft).html, "}*{x"), "what is no colour is not used");
	draft.branding.primary_color = "#00AAFG";
	ok(has(fill(&draft).html, "solid #1f2937"), "nor what only looks like one");
	draft.branding.logo_url = "http://cdn.example.com/a.png";
	ok(!has(fill(&draft).html, "<img"), "nor a logo in plain text");
	draft.branding.logo_url = "javascript:x";
	ok(!has(fill(&draft).html, "javascript:"), "nor a script");
	draft.branding.footer_text = "a\rb\x01\xFF";
	ok(has(fill(&draft).html, "<br>a?b?" "?<br>"), "a footer's control characters are replaced");
	draft = sample();
	draft.product_name = "D\xE4m\xF6";
	mail = fill(&draft);
	ok(has(mail.text, "-- \nD?m?\n") && has(mail.html, ">D?m?</strong>"), "so is what is no UTF-8");
}

static void
test_small(void)
{
	SaasMailDraft draft = sample();
	SaasMail	mail = {0};
	SaasProblem problem = {0};
	SaasArena  *small = SaasArenaCreate(600);

	ok(!SaasMailFill(small, &draft, &mail, &problem) && strcmp(problem.sqlstate, "54000") == 0,
	   "where there is no room the mail is refused");
	SaasArenaDestroy(small);
	mail.from.name = "Operator";
	problem.sqlstate[0] = '\0';
	ok(SaasMailFill(arena, &draft, &mail, &problem) && strcmp(mail.from.name, "Operator") == 0,
	   "a sender that has a name keeps it");
}

int
main(void)
{
	arena = SaasArenaCreate(16 * 1024 * 1024);
	test_plain();
	test_branding();
	test_small();
	SaasArenaDestroy(arena);
	return tap_done();
}
