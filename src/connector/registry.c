/*
 * registry.c
 *	  Finds the connector of a kind.
 */
#include <string.h>

#include "connector/connector.h"
#include "connector/kinds.h"

#define ADDRESS_OF(name)	&name,

static const SaasConnector *const connectors[] = {
	SAAS_CONNECTORS(ADDRESS_OF)
	NULL
};

const SaasConnector *const *
SaasConnectorList(void)
{
	return connectors;
}

const SaasConnector *
SaasConnectorFind(const char *kind)
{
	if (kind == NULL)
		return NULL;
	for (const SaasConnector *const *connector = connectors; *connector != NULL; connector++)
		if (strcmp((*connector)->kind, kind) == 0)
			return *connector;
	return NULL;
}
