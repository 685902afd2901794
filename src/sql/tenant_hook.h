/*
 * tenant_hook.h
 *	  What a tenant's statements may not do to others, or leave to them.
 */
#ifndef SAAS_TENANT_HOOK_H
#define SAAS_TENANT_HOOK_H

extern void SaasTenantHookInit(void);

#endif							/* SAAS_TENANT_HOOK_H */
