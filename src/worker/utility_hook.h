/*
 * utility_hook.h
 *	  What pg_saas adds to utility commands.
 */
#ifndef SAAS_UTILITY_HOOK_H
#define SAAS_UTILITY_HOOK_H

#include "postgres.h"

/* Installs the hook; call while preloading. */
extern void SaasUtilityHookInit(void);

#endif							/* SAAS_UTILITY_HOOK_H */
