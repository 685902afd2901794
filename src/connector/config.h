/*
 * config.h
 *	  Reads the config and secrets that a tenant gives for a connection, and
 *	  collects everything that is wrong with them.
 *
 * A connector opens a reader, asks for each key, and closes it; whatever it
 * did not complain about is stored as the normalized config.
 */
#ifndef SAAS_CONNECTOR_CONFIG_H
#define SAAS_CONNECTOR_CONFIG_H

#include <jansson.h>

#include "connector/connector.h"
#include "pure/address.h"

#define SAAS_CONFIG_MAX_TEXT	255 /* names and URLs */

typedef struct SaasConfig
{
	SaasValidation *validation;
	const SaasConnector *connector;
	const char *const *keys;	/* NULL-terminated: keys of this kind's config */
	json_t	   *object;			/* the config; connectors fill in defaults */
	int			errors;
	int			listed;			/* errors that fit into details */
	char		details[sizeof(((SaasProblem *) 0)->detail)];
	size_t		details_length;
} SaasConfig;

/*
 * Parses both documents and builds validation->secret_list.  False when there
 * is no config to ask for keys.  The reader must be closed in any case.
 * A secret's name "x:*" of the connector is every name that begins with "x:".
 */
extern bool SaasConfigOpen(SaasConfig *config, SaasValidation *validation,
						   const SaasConnector *connector, const char *const *keys);

/*
 * Complains about unknown keys, stores the normalized config or the problem,
 * and frees the documents.  True when there was no error.
 */
extern bool SaasConfigClose(SaasConfig *config);

/* One more field error; the message must not quote a secret. */
extern void SaasConfigError(SaasConfig *config, const char *field, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* The value of a key; null counts as absent. */
extern json_t *SaasConfigGet(const json_t *object, const char *key);

/*
 * A text of 1 to max_length bytes without control characters.  NULL when it is
 * absent or wrong; errors name the field.
 */
extern const char *SaasConfigText(SaasConfig *config, const json_t *object, const char *key,
								  const char *field, size_t max_length, bool required);

/* As above for a key of the config itself, with the default filled in. */
extern const char *SaasConfigOption(SaasConfig *config, const char *key, size_t max_length,
									const char *default_value);

/*
 * The URL under that key, https unless the operator allows http, written in
 * one form (lower-case host, default port dropped) into the config as well.
 * only_origin refuses a path and drops the "/".  The default, which may be
 * NULL, stands in for an absent key.
 */
extern const char *SaasConfigUrl(SaasConfig *config, const char *key, const char *default_value,
								 bool only_origin, SaasUrl *url);

/* Complains about keys of object that are not listed; prefix precedes their names. */
extern void SaasConfigRefuseUnknown(SaasConfig *config, const json_t *object,
									const char *const *keys, const char *prefix);

/* Whether secrets were given to check, and a secret's value or NULL. */
extern bool SaasConfigHasSecrets(const SaasConfig *config);
extern const char *SaasConfigSecret(const SaasConfig *config, const char *name);

/* Complains when the secret is missing, or when it is there and should not be. */
extern void SaasConfigNeedSecret(SaasConfig *config, const char *name, const char *why);
extern void SaasConfigRefuseSecret(SaasConfig *config, const char *name, const char *why);

/*
 * Complains about the secrets ca_certificate, client_certificate and client_key
 * that are no PEM, do not belong together, or lack one another.
 */
extern void SaasConfigCheckCertificates(SaasConfig *config);

/* Complains about a user name that HTTP Basic cannot carry (RFC 7617, section 2). */
extern void SaasConfigCheckBasicUser(SaasConfig *config);

#endif							/* SAAS_CONNECTOR_CONFIG_H */
