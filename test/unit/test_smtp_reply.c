/*
 * test_smtp_reply.c
 *	  pure/smtp_reply.c: what a mail server answers.
 */
#include "pure/smtp_reply.h"

#include <stdlib.h>

#include "tap.h"

static const struct
{
	const char *bytes;
	const char *line;			/* NULL: more is to come */
	int			code;
}			replies[] = {
	{"", NULL, 0},
	{"2", NULL, 0},
	{"250 OK", NULL, 0},
	{"250 OK\r", NULL, 0},
	{"250 OK\r\n", "250 OK", 250},
	{"250 OK\n", "250 OK", 250},
	{"250\r\n", "250", 250},
	{"250 \r\n", "250 ", 250},
	{"354 go on\r\nrest", "354 go on", 354},
	{"250-first\r\n", NULL, 0},
	{"250-first\r\n250-second\r\n250", NULL, 0},
	{"250-first\r\n250 last\r\n", "250 last", 250},
	{"250-first\r\n550 refused\r\n", "550 refused", 550},
	{"550 no\tone\r\n", "550 no?one", 550},
	{"550 \xE4\r\n", "550 ?", 550},
	{"\r\n", "", 0},
	{"2\r\n", "2", 0},
	{"25\r\n", "25", 0},
	{"2500 OK\r\n", "2500 OK", 0},
	{"250OK\r\n", "250OK", 0},
	{"2xx OK\r\n", "2xx OK", 0},
	{" 250 OK\r\n", " 250 OK", 0},
	{"250-first\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK", 0},
};

int
main(void)
{
	char		line[256];
	char		shorter[8];
	char		nul[] = "25\0 OK\r\n";

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
	{
		size_t		length = strlen(replies[i].bytes);
		/* Of its own size, so that a byte read beyond is found. */
		char	   *bytes = malloc(length + (length == 0));
		bool		is_whole;

		memcpy(bytes, replies[i].bytes, length);
		is_whole = SaasSmtpReplyIsWhole(bytes, length, line, sizeof(line));
		ok(is_whole == (replies[i].line != NULL), "reply %zu is %s", i, is_whole ? "whole" : "not whole");
		if (is_whole)
		{
			is_text(line, replies[i].line, "its last line is that");
			ok(SaasSmtpReplyCode(line) == replies[i].code, "and its code %d", replies[i].code);
		}
		free(bytes);
	}
	ok(SaasSmtpReplyIsWhole("550 a long reason\r\n", 19, shorter, sizeof(shorter)), "a long line is a line");
	is_text(shorter, "550 a l", "that is cut");
	ok(SaasSmtpReplyIsWhole(nul, sizeof(nul) - 1, line, sizeof(line)) && SaasSmtpReplyCode(line) == 0,
	   "a NUL within the code makes it none");
	ok(SaasSmtpReplyCode("250-more") == 250 && SaasSmtpReplyCode("421") == 421, "a line of more has a code too");
	return tap_done();
}
