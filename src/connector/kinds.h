/*
 * kinds.h
 *	  The connectors' descriptors, for registry.c.
 */
#ifndef SAAS_CONNECTOR_KINDS_H
#define SAAS_CONNECTOR_KINDS_H

#include "connector/connector.h"

extern const SaasConnector SaasSalesforceConnector;
extern const SaasConnector SaasPrometheusConnector;
extern const SaasConnector SaasHttpJsonConnector;

#endif							/* SAAS_CONNECTOR_KINDS_H */
