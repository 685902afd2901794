/*
 * command_line.h
 *	  Splits a command into words, since no shell does.
 */
#ifndef SAAS_COMMAND_LINE_H
#define SAAS_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define SAAS_COMMAND_LINE_MAX	1024
#define SAAS_COMMAND_WORDS_MAX	32

typedef struct SaasCommandLine
{
	int			count;
	char	   *words[SAAS_COMMAND_WORDS_MAX + 1];	/* ends with NULL, as execv wants */
	char		text[SAAS_COMMAND_LINE_MAX];
} SaasCommandLine;

/*
 * Words stand between blanks.  Double quotes keep blanks in a word; within
 * them a backslash stands for the character after it.  Nothing else has a
 * meaning: no variables, no globs, no redirection.  False for no word, too
 * many, too long, an open quote, or a first word that is not an absolute path.
 */
extern bool SaasCommandLineSplit(const char *command, SaasCommandLine *line);

#endif							/* SAAS_COMMAND_LINE_H */
