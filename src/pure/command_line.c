/*
 * command_line.c
 *	  Splits a command into words, since no shell does.
 */
#include "pure/command_line.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Copies one word from *in to *out with its terminator and moves both behind
 * it; false for an open quote.  A word never grows, so out has room.
 */
static bool
copy_word(const char **in, char **out)
{
	bool		quoted = false;

	for (; **in != '\0' && (quoted || !is_blank(**in)); (*in)++)
	{
		if (**in == '"')
		{
			quoted = !quoted;
			continue;
		}
		if (quoted && **in == '\\' && *++(*in) == '\0')
			return false;
		*(*out)++ = **in;
	}
	*(*out)++ = '\0';
	return !quoted;
}

bool
SaasCommandLineSplit(const char *command, SaasCommandLine *line)
{
	const char *in = command;
	char	   *out = line->text;

	line->count = 0;
	if (strlen(command) >= sizeof(line->text))
		return false;
	for (;;)
	{
		while (is_blank(*in))
			in++;
		if (*in == '\0')
			break;
		if (line->count == SAAS_COMMAND_WORDS_MAX)
			return false;
		line->words[line->count++] = out;
		if (!copy_word(&in, &out))
			return false;
	}
	line->words[line->count] = NULL;
	return line->count > 0 && line->words[0][0] == '/';
}
