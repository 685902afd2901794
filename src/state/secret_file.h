/*
 * secret_file.h
 *	  Reading a file that holds a secret, and refusing one that others may read.
 */
#ifndef SAAS_SECRET_FILE_H
#define SAAS_SECRET_FILE_H

#include "postgres.h"

#define SAAS_SECRET_FILE_MAX	8192

typedef struct SaasSecretFile
{
	const char *path;
	const char *setting;		/* that names it */
	const char *what;			/* "the master key file" */
	const char *too_large_hint; /* NULL: to check the setting */
} SaasSecretFile;

/*
 * Reads the file's bytes, which the caller wipes; not terminated.  Errors with
 * F0000 when it is missing, a symbolic link, of another owner, open to others,
 * too large, or in a directory that others may write; each with the hint that
 * mends it.
 */
extern Size SaasSecretFileRead(const SaasSecretFile *file, char text[SAAS_SECRET_FILE_MAX]);

#endif							/* SAAS_SECRET_FILE_H */
