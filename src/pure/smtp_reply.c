/*
 * smtp_reply.c
 *	  What a mail server answers.
 */
#include <string.h>

#include "base/problem.h"
#include "pure/smtp_reply.h"

#define CODE_LENGTH		3

static bool
begins_with_code(const char *line, size_t length)
{
	if (length < CODE_LENGTH)
		return false;
	for (int i = 0; i < CODE_LENGTH; i++)
	{
		if (line[i] < '0' || line[i] > '9')
			return false;
	}
	return length == CODE_LENGTH || line[CODE_LENGTH] == ' ' || line[CODE_LENGTH] == '-';
}

int
SaasSmtpReplyCode(const char *line)
{
	if (!begins_with_code(line, strlen(line)))
		return 0;
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

static void
copy_line(const char *from, size_t length, char *line, size_t room)
{
	if (length > room - 1)
		length = room - 1;
	memcpy(line, from, length);
	line[length] = '\0';
	SaasCleanText(line);
}

bool
SaasSmtpReplyIsWhole(const char *bytes, size_t length, char *line, size_t room)
{
	const char *end = bytes + length;
	const char *line_end;

	while (bytes < end && (line_end = memchr(bytes, '\n', (size_t) (end - bytes))) != NULL)
	{
		size_t		line_length = (size_t) (line_end - bytes);

		while (line_length > 0 && bytes[line_length - 1] == '\r')
			line_length--;
		if (!begins_with_code(bytes, line_length) || line_length == CODE_LENGTH || bytes[CODE_LENGTH] == ' ')
		{
			copy_line(bytes, line_length, line, room);
			return true;
		}
		bytes = line_end + 1;
	}
	return false;
}
