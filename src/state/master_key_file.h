/*
 * master_key_file.h
 *	  The file that saas.master_key_file names.
 */
#ifndef SAAS_MASTER_KEY_FILE_H
#define SAAS_MASTER_KEY_FILE_H

#include "postgres.h"

#include "pure/master_key.h"

/*
 * Reads the keys; the caller wipes them.  Errors with 55000 when the setting
 * is empty and F0000 when the file is missing, a symbolic link, of another
 * owner, open to others, in a directory that others may write, or malformed;
 * each with the hint that mends it.
 */
extern void SaasMasterKeyFileRead(SaasMasterKeys *keys);

#endif							/* SAAS_MASTER_KEY_FILE_H */
