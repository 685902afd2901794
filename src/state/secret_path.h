/*
 * secret_path.h
 *	  Whether anybody else could have put another file at a path.
 */
#ifndef SAAS_SECRET_PATH_H
#define SAAS_SECRET_PATH_H

#include "postgres.h"

/*
 * NULL when every directory above the absolute path, links followed, belongs
 * to the server's user or root and is writable by nobody else; else the
 * reason.  A sticky directory such as /tmp may be writable: what stands in it
 * is its owner's.
 */
extern const char *SaasSecretPathProblem(const char *path);

#endif							/* SAAS_SECRET_PATH_H */
