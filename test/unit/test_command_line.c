/*
 * test_command_line.c
 *	  pure/command_line.c: words, quotes, and what is refused.
 */
#include "pure/command_line.h"

#include <string.h>

#include "tap.h"

static void
splits(const char *command, const char *expected)
{
	SaasCommandLine line;
	char		joined[SAAS_COMMAND_LINE_MAX + SAAS_COMMAND_WORDS_MAX];
	int			length = 0;

	if (!SaasCommandLineSplit(command, &line))
	{
		ok(false, "%s is split", command);
		return;
	}
	for (int i = 0; i < line.count; i++)
		length += snprintf(joined + length, sizeof(joined) - length, "%s%s", i > 0 ? "|" : "", line.words[i]);
	is_text(joined, expected, "%s", command);
	ok(line.words[line.count] == NULL, "and ends with NULL");
}

static void
refused(const char *command, const char *what)
{
	SaasCommandLine line;

	ok(!SaasCommandLineSplit(command, &line), "%s is refused", what);
}

int
main(void)
{
	char		longest[SAAS_COMMAND_LINE_MAX + 1];
	char		many[2 * SAAS_COMMAND_WORDS_MAX + 3];

	splits("/bin/key", "/bin/key");
	splits("  /bin/key \t --stage\nproduction ", "/bin/key|--stage|production");
	splits("/bin/key \"two words\" \"\" x\"y z\"w", "/bin/key|two words||xy zw");
	splits("/bin/key \"a\\\"b\\\\c\" a\\b", "/bin/key|a\"b\\c|a\\b");
	splits("/bin/key $HOME `id` ; rm * > x | y 'a b'", "/bin/key|$HOME|`id`|;|rm|*|>|x|||y|'a|b'");
	splits("\"/opt/my tools/key\" -v", "/opt/my tools/key|-v");

	refused("", "nothing");
	refused("   ", "blanks");
	refused("key", "a relative path");
	refused("\"\" /bin/key", "an empty first word");
	refused("/bin/key \"open", "an open quote");
	refused("/bin/key \"open\\", "a backslash at the end");
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[SAAS_COMMAND_LINE_MAX] = '\0';
	refused(longest, "a command that is too long");
	longest[SAAS_COMMAND_LINE_MAX - 1] = '\0';
	splits(longest, longest);
	for (int i = 0; i <= SAAS_COMMAND_WORDS_MAX; i++)
		memcpy(many + 2 * i, "/ ", 3);
	refused(many, "a word too many");
	return tap_done();
}
