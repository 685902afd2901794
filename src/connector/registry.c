/*
 * registry.c
 *	  The connectors that this build has, one line each.
 */
#include <string.h>

#include "connector/connector.h"
#include "connector/kinds.h"

static const SaasConnector *const connectors[] = {
	&SaasSalesforceConnector,
	&SaasPrometheusConnector,
	&SaasHttpJsonConnector,
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
