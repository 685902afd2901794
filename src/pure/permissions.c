/*
 * permissions.c
 *	  The thirteen permissions and the four built-in roles.
 */
#include "pure/permissions.h"

#include <string.h>

/* One line per permission, a column per role: the order gives the bit. */
#define PERMISSIONS(X) \
	/* name                 owner admin member viewer */ \
	X(view_dashboard,        1,    1,    1,     1) \
	X(manage_connections,    1,    1,    0,     0) \
	X(manage_services,       1,    1,    0,     0) \
	X(manage_applications,   1,    1,    0,     0) \
	X(manage_workflows,      1,    1,    1,     0) \
	X(manage_members,        1,    1,    0,     0) \
	X(manage_settings,       1,    0,    0,     0) \
	X(view_reports,          1,    1,    0,     0) \
	X(manage_billing,        1,    0,    0,     0) \
	X(export_data,           1,    1,    0,     0) \
	X(import_data,           1,    1,    0,     0) \
	X(delete_data,           1,    0,    0,     0) \
	X(delete_organization,   1,    0,    0,     0)

#define NUMBER(name, owner, admin, member, viewer) PERMISSION_##name,
enum
{
	PERMISSIONS(NUMBER)
};

#define NAME(name, owner, admin, member, viewer) #name,
static const char *const permission_names[SAAS_PERMISSION_COUNT] = {PERMISSIONS(NAME)};

#define OWNER(name, owner, admin, member, viewer) | ((uint64_t) (owner) << PERMISSION_##name)
#define ADMIN(name, owner, admin, member, viewer) | ((uint64_t) (admin) << PERMISSION_##name)
#define MEMBER(name, owner, admin, member, viewer) | ((uint64_t) (member) << PERMISSION_##name)
#define VIEWER(name, owner, admin, member, viewer) | ((uint64_t) (viewer) << PERMISSION_##name)
static const SaasBuiltinRole builtin_roles[SAAS_BUILTIN_ROLE_COUNT] = {
	{"owner", 40, 0 PERMISSIONS(OWNER)},
	{"admin", 30, 0 PERMISSIONS(ADMIN)},
	{"member", 20, 0 PERMISSIONS(MEMBER)},
	{"viewer", 10, 0 PERMISSIONS(VIEWER)},
};

const char *
SaasPermissionName(int number)
{
	return permission_names[number];
}

uint64_t
SaasPermissionBit(const char *name, size_t length)
{
	for (int i = 0; i < SAAS_PERMISSION_COUNT; i++)
	{
		if (strlen(permission_names[i]) == length &&
			memcmp(permission_names[i], name, length) == 0)
			return UINT64_C(1) << i;
	}
	return 0;
}

const SaasBuiltinRole *
SaasBuiltinRoleFind(const char *name)
{
	for (int i = 0; i < SAAS_BUILTIN_ROLE_COUNT; i++)
	{
		if (strcmp(builtin_roles[i].name, name) == 0)
			return &builtin_roles[i];
	}
	return NULL;
}

const SaasBuiltinRole *
SaasBuiltinRoleAt(int number)
{
	return &builtin_roles[number];
}
