/*
 * vault_status.h
 *	  What a DBA needs to know of master keys, data keys and sealed values.
 */
#ifndef SAAS_VAULT_STATUS_H
#define SAAS_VAULT_STATUS_H

#include "postgres.h"

/* Takes one fact; subject and detail may be NULL. */
typedef void (*SaasFactTaker) (void *arg, const char *fact, const char *subject, int64 value,
							   const char *detail);

extern void SaasVaultStatus(SaasFactTaker take, void *arg);

#endif							/* SAAS_VAULT_STATUS_H */
