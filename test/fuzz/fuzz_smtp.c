/*
 * fuzz_smtp.c
 *	  pure/smtp_url.c and pure/smtp_reply.c: where mail goes and what is
 *	  answered there.
 *
 * The first byte of an input says which: u or r.
 */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pure/smtp_reply.h"
#include "pure/smtp_url.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* What is read is one host and one port, and says the same when written. */
static void
fuzz_url(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);
	char		written[300];
	SaasSmtpServer server;
	SaasSmtpServer again;
	SaasProblem problem = {0};

	memcpy(text, data, size);
	text[size] = '\0';
	if (SaasSmtpUrlParse(text, &server, &problem))
	{
		must(problem.sqlstate[0] == '\0' && server.host[0] != '\0' && server.port > 0 && server.port < 65536);
		for (const char *c = server.host; *c != '\0'; c++)
			must(*c > ' ' && *c < 0x7F && strchr("/?#@\\", *c) == NULL);
		snprintf(written, sizeof(written), "smtp%s://%s:%d", server.is_tls ? "s" : "", server.host, server.port);
		must(SaasSmtpUrlParse(written, &again, &problem) && again.is_tls == server.is_tls &&
			 again.port == server.port && strcmp(again.host, server.host) == 0);
	}
	else
		must(strcmp(problem.sqlstate, "22023") == 0);
	free(text);
}

/* Whole is whole however much more has come, and not before its last line. */
static void
fuzz_reply(const uint8_t *data, size_t size)
{
	char	   *bytes = malloc(size + (size == 0));
	char		line[64];
	char		first[64] = "";
	bool		was_whole = false;

	memcpy(bytes, data, size);
	for (size_t length = 0; length <= size && length < 300; length++)
	{
		bool		is_whole = SaasSmtpReplyIsWhole(bytes, length, line, sizeof(line));
		int			code;

		must(is_whole || !was_whole);
		if (!is_whole)
			continue;
		code = SaasSmtpReplyCode(line);
		must(code >= 0 && code <= 999 && strpbrk(line, "\r\n") == NULL && (code == 0 || line[3] != '-'));
		if (!was_whole)
		{
			must(bytes[length - 1] == '\n');
			memcpy(first, line, sizeof(first));
		}
		must(strcmp(first, line) == 0);
		was_whole = true;
	}
	(void) SaasSmtpReplyIsWhole(bytes, size, line, sizeof(line));
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'u')
		fuzz_url(data + 1, size - 1);
	else if (size > 0 && data[0] == 'r')
		fuzz_reply(data + 1, size - 1);
	return 0;
}
