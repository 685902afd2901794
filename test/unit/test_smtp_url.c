/*
 * test_smtp_url.c
 *	  pure/smtp_url.c: where mail is handed in.
 */
#include "pure/smtp_url.h"

#include "tap.h"

static const struct
{
	const char *text;
	bool		is_tls;
	const char *host;
	int			port;
}			readable[] = {
	{"smtp://mail.example.com", false, "mail.example.com", 587},
	{"smtps://mail.example.com", true, "mail.example.com", 465},
	{"smtp://mail.example.com:25", false, "mail.example.com", 25},
	{"SMTPS://Mail.Example.com:2465", true, "mail.example.com", 2465},
	{"smtp://10.0.0.5:80", false, "10.0.0.5", 80},
	{"smtp://[fd00::5]", false, "[fd00::5]", 587},
	{"smtps://[fd00::5]:1465", true, "[fd00::5]", 1465},
};

static const char *const refused[] = {
	"", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://a b", "smtp://host/path", "smtp://host/",
	"smtp://user@host", "smtp://user:password@host", "smtp://host:0", "smtp://host:65536", "smtp://host:",
	"smtp://host?x", "smtp://host#x", "smtp://host\r\nx", "smtp:host", "smtp://[fd00::5", "smtp://fd00::5"
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
	{
		SaasSmtpServer server;
		SaasProblem problem = {0};

		ok(SaasSmtpUrlParse(readable[i].text, &server, &problem) && server.is_tls == readable[i].is_tls &&
		   server.port == readable[i].port, "%s is read", readable[i].text);
		is_text(server.host, readable[i].host, "its host is %s", readable[i].host);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		SaasSmtpServer server;
		SaasProblem problem = {0};

		ok(!SaasSmtpUrlParse(refused[i], &server, &problem) && strcmp(problem.sqlstate, "22023") == 0 &&
		   strstr(problem.detail, "password") == NULL, "refused: case %zu", i);
	}
	return tap_done();
}
