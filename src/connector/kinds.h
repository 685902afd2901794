/*
 * kinds.h
 *	  The table of the kinds of connections.
 */
#ifndef SAAS_CONNECTOR_KINDS_H
#define SAAS_CONNECTOR_KINDS_H

#include "connector/connector.h"

/* One line a kind, in the order that people see. */
#define SAAS_CONNECTORS(connector) \
	connector(SaasSalesforceConnector) \
	connector(SaasPrometheusConnector) \
	connector(SaasHttpJsonConnector) \
	connector(SaasAwsConnector) \
	connector(SaasPostgresqlConnector)

#define SAAS_DECLARE_CONNECTOR(name)	extern const SaasConnector name;

SAAS_CONNECTORS(SAAS_DECLARE_CONNECTOR)

#endif							/* SAAS_CONNECTOR_KINDS_H */
