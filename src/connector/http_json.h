/*
 * http_json.h
 *	  What the two halves of the HTTP JSON connector share.
 */
#ifndef SAAS_CONNECTOR_HTTP_JSON_H
#define SAAS_CONNECTOR_HTTP_JSON_H

#include "connector/connector.h"

#define SAAS_HTTP_JSON_MAX_METRICS	200
#define SAAS_HTTP_JSON_MAX_LABELS	32

/* A secret of this name and a header's is sent as that header. */
#define SAAS_HTTP_JSON_HEADER		"header:"

extern bool SaasHttpJsonValidate(SaasValidation *validation);

/* Whether a label's value is a path from the element ("@.name") and no constant. */
extern bool SaasHttpJsonIsElementPath(const char *label);

#endif							/* SAAS_CONNECTOR_HTTP_JSON_H */
