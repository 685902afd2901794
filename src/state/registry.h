/*
 * registry.h
 *	  The permissions that applications have registered in saas.permission,
 *	  beside the built-in ones of pure/permissions.h.
 */
#ifndef SAAS_REGISTRY_H
#define SAAS_REGISTRY_H

#include "postgres.h"

#include "pure/permissions.h"

/* Bits of the identity's 64: what is not built in, but for the sign. */
#define SAAS_FIRST_REGISTERED	SAAS_PERMISSION_COUNT
#define SAAS_LAST_REGISTERED	62

/*
 * The bit of a permission, 0 when there is none of that name.  A bit belongs
 * to its name for good: it may be remembered for as long as a query runs.
 */
extern uint64 SaasRegistryBit(const char *name, Size length);

/* The name of permission number n, built in or registered; NULL when there is none. */
extern const char *SaasRegistryName(int number);

/* What a built-in role holds: its built-in permissions, and the registered ones given to it. */
extern uint64 SaasRegistryOfRole(const SaasBuiltinRole *role);

/* To be called by whoever has changed the table: everybody reads it again after the commit. */
extern void SaasRegistryChanged(void);

extern void SaasRegistryInit(void);

#endif							/* SAAS_REGISTRY_H */
