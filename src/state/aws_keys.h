/*
 * aws_keys.h
 *	  The operator's own AWS access key.
 */
#ifndef SAAS_AWS_KEYS_H
#define SAAS_AWS_KEYS_H

#include "postgres.h"

#include "base/arena.h"

typedef struct SaasAwsKeys
{
	const char *access_key_id;
	const char *secret_access_key;
} SaasAwsKeys;

/*
 * Reads the file of saas.aws_credentials_file into the arena, which wipes what
 * it frees; leaves both NULL when the setting is empty.  Errors: F0000 with
 * the hint that mends the file.
 */
extern void SaasAwsKeysRead(SaasArena *arena, SaasAwsKeys *keys);

#endif							/* SAAS_AWS_KEYS_H */
