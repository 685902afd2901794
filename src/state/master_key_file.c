/*
 * master_key_file.c
 *	  The file that saas.master_key_file names.
 */
#include "postgres.h"

#include "server/raise.h"
#include "state/master_key_file.h"
#include "state/secret_file.h"
#include "state/settings.h"

void
SaasMasterKeyFileRead(SaasMasterKeys *keys)
{
	SaasSecretFile file = {
		saas_master_key_file, "saas.master_key_file", "the master key file",
		"Keep only keys that are still in use."
	};
	char		text[SAAS_SECRET_FILE_MAX];
	SaasProblem problem = {0};
	Size		length;
	bool		parsed;

	if (saas_master_key_file == NULL || saas_master_key_file[0] == '\0')
		SaasRaise("55000", "no master key is configured", NULL,
				  "Set saas.master_key_file to a file that holds a line \"1:\" with 64 hex digits, made with openssl rand -hex 32, and reload.");
	length = SaasSecretFileRead(&file, text);
	parsed = SaasMasterKeysParse(text, length, keys, &problem);
	SaasWipe(text, sizeof(text));
	if (!parsed)
	{
		SaasWipe(keys, sizeof(*keys));
		SaasRaiseProblem(&problem);
	}
}
