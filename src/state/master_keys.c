/*
 * master_keys.c
 *	  The master keys, from a file or a command outside of the database.
 *
 * The file is read each time a data key is unwrapped, which costs
 * microseconds, so that the keys are in memory no longer than that.  A command
 * may ask a key service over the network: its answer is kept.
 */
#include "postgres.h"

#include "server/raise.h"
#include "server/secret_pages.h"
#include "state/master_keys.h"
#include "state/secret_command.h"
#include "state/secret_file.h"
#include "state/settings.h"
#include "utils/timestamp.h"

/* The command's answer, in pages of its own. */
typedef struct KeptKeys
{
	TimestampTz loaded_at;		/* the configuration it belongs to */
	SaasMasterKeys keys;
} KeptKeys;

static KeptKeys *kept = NULL;

static bool
is_set(const char *setting)
{
	return setting != NULL && setting[0] != '\0';
}

bool
SaasMasterKeysAreConfigured(void)
{
	return is_set(saas_master_key_file) || is_set(saas_master_key_command);
}

const char *
SaasMasterKeysSource(void)
{
	return is_set(saas_master_key_command) ? "the answer of the master key command" : "the master key file";
}

const char *
SaasMasterKeysSetting(void)
{
	return is_set(saas_master_key_command) ? "saas.master_key_command" : "saas.master_key_file";
}

static void
parse(char *text, Size length, SaasMasterKeys *keys)
{
	SaasProblem problem = {0};
	bool		parsed = SaasMasterKeysParse(text, length, SaasMasterKeysSource(), keys, &problem);

	SaasWipe(text, length);
	if (parsed)
		return;
	SaasWipe(keys, sizeof(*keys));
	SaasRaiseProblem(&problem);
}

static void
read_file(SaasMasterKeys *keys)
{
	SaasSecretFile file = {
		saas_master_key_file, "saas.master_key_file", "the master key file",
		"Keep only keys that are still in use."
	};
	char		text[SAAS_SECRET_FILE_MAX];
	Size		length = SaasSecretFileRead(&file, text);

	parse(text, length, keys);
}

static void
run_command(SaasMasterKeys *keys)
{
	char		text[SAAS_SECRET_FILE_MAX];
	Size		length = SaasSecretCommandRun(saas_master_key_command, saas_master_key_command_timeout, text);

	parse(text, length, keys);
}

static void
read_kept(SaasMasterKeys *keys)
{
	if (kept == NULL)
		kept = SaasSecretPages(sizeof(KeptKeys));
	if (kept->keys.count == 0 || kept->loaded_at != PgReloadTime)
	{
		SaasWipe(kept, sizeof(*kept));
		run_command(&kept->keys);
		kept->loaded_at = PgReloadTime;
	}
	memcpy(keys, &kept->keys, sizeof(*keys));
}

void
SaasMasterKeysRead(SaasMasterKeys *keys)
{
	bool		has_file = is_set(saas_master_key_file);
	bool		has_command = is_set(saas_master_key_command);

	if (has_file && has_command)
		SaasRaise("F0000", "saas.master_key_file and saas.master_key_command are both set", NULL,
				  "Set one of them to the empty string and reload.");
	if (!has_file && !has_command)
		SaasRaise("55000", "no master key is configured", NULL,
				  "Set saas.master_key_file to a file that holds a line \"1:\" with 64 hex digits, made with openssl rand -hex 32, or saas.master_key_command to a command that prints one, and reload.");
	if (has_command)
		read_kept(keys);
	else
		read_file(keys);
}
