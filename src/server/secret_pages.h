/*
 * secret_pages.h
 *	  Memory for keys that this process keeps.
 */
#ifndef SAAS_SECRET_PAGES_H
#define SAAS_SECRET_PAGES_H

#include "postgres.h"

/*
 * Zeroed memory of whole pages, for the life of the process: left out of core
 * dumps, not written to swap and emptied in a child, as far as the system can.
 * The caller wipes what it no longer needs.
 */
extern void *SaasSecretPages(Size size);

#endif							/* SAAS_SECRET_PAGES_H */
