/*
 * aws_keys.c
 *	  The operator's own AWS access key.
 */
#include "postgres.h"

#include "pure/aws.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "state/aws_keys.h"
#include "state/secret_file.h"
#include "state/settings.h"

void
SaasAwsKeysRead(SaasArena *arena, SaasAwsKeys *keys)
{
	SaasSecretFile file = {
		saas_aws_credentials_file, "saas.aws_credentials_file", "the AWS credentials file",
		"It holds two lines and nothing more."
	};
	char		text[SAAS_SECRET_FILE_MAX];
	SaasProblem problem = {0};
	Size		length;
	bool		parsed;

	if (saas_aws_credentials_file == NULL || saas_aws_credentials_file[0] == '\0')
		return;
	length = SaasSecretFileRead(&file, text);
	parsed = SaasAwsKeysParse(text, length, arena, &keys->access_key_id, &keys->secret_access_key, &problem);
	SaasWipe(text, sizeof(text));
	if (parsed)
		return;
	keys->access_key_id = keys->secret_access_key = NULL;
	SaasRaiseProblem(&problem);
}
