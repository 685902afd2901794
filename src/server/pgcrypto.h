/*
 * pgcrypto.h
 *	  bcrypt through the pgcrypto extension.
 */
#ifndef SAAS_PGCRYPTO_H
#define SAAS_PGCRYPTO_H

#include "postgres.h"

/* A bcrypt hash of the password at that cost, palloc'd. */
extern char *SaasBcryptHash(const char *password, int cost);

/* Whether the password has that hash; compares in constant time. */
extern bool SaasBcryptMatches(const char *password, const char *hash);

#endif							/* SAAS_PGCRYPTO_H */
