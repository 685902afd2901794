/*
 * login_hook.h
 *	  Where a mapped login's transaction gets its identity.
 */
#ifndef SAAS_LOGIN_HOOK_H
#define SAAS_LOGIN_HOOK_H

extern void SaasLoginHookInit(void);

#endif							/* SAAS_LOGIN_HOOK_H */
