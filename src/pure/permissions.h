/*
 * permissions.h
 *	  The thirteen built-in permissions and the four built-in roles.
 */
#ifndef SAAS_PERMISSIONS_H
#define SAAS_PERMISSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAAS_PERMISSION_COUNT	13
#define SAAS_BUILTIN_ROLE_COUNT	4

typedef struct SaasBuiltinRole
{
	const char *name;
	int			rank;
	uint64_t	permissions;	/* bit n: permission number n */
} SaasBuiltinRole;

/* The name of permission number n, 0 to SAAS_PERMISSION_COUNT - 1. */
extern const char *SaasPermissionName(int number);

/* The bit of a built-in permission, 0 when there is none of that name. */
extern uint64_t SaasPermissionBit(const char *name, size_t length);

/* The built-in role of that name, or NULL. */
extern const SaasBuiltinRole *SaasBuiltinRoleFind(const char *name);

/* Built-in role number n, 0 to SAAS_BUILTIN_ROLE_COUNT - 1, highest rank first. */
extern const SaasBuiltinRole *SaasBuiltinRoleAt(int number);

#endif							/* SAAS_PERMISSIONS_H */
