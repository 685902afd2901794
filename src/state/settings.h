/*
 * settings.h
 *	  Every setting of pg_saas.  docs/settings.md is made from the same texts.
 */
#ifndef SAAS_SETTINGS_H
#define SAAS_SETTINGS_H

#include "postgres.h"

#include "pure/address.h"
#include "pure/client_address.h"

/* The most that saas.poller_workers can be: shared memory is laid out for it. */
#define SAAS_POLLER_WORKERS_MAX	16

extern char *saas_master_key_file;
extern bool saas_reveal_secrets_enabled;
extern char *saas_master_key_command;
extern int	saas_master_key_command_timeout;
extern int	saas_data_key_grace;	/* s */
extern int	saas_bcrypt_cost;
extern int	saas_access_token_lifetime; /* s */
extern char *saas_jwt_issuer;
extern char *saas_jwt_audience;
extern int	saas_jwt_algorithm;	/* a SaasJwtAlgorithm */
extern char *saas_second_factor_issuer;
extern int	saas_invitation_lifetime; /* s */
extern bool saas_sign_up_enabled;
extern bool saas_require_verified_email;
extern int	saas_sign_in_floor; /* ms */
extern bool saas_password_composition;
extern bool saas_restrict_sessions;
extern int	saas_min_poll_interval; /* s */

extern bool saas_poller_enabled;
extern int	saas_poller_max_in_flight;
extern int	saas_poller_max_per_host;
extern int	saas_poller_max_per_org;
extern int	saas_poller_workers;
extern int	saas_poller_history_retention;	/* days */
extern bool saas_maintenance_enabled;
extern int	saas_poller_connect_timeout; /* ms */
extern int	saas_poller_request_timeout; /* ms */
extern int	saas_poller_max_response; /* kB */
extern int	saas_max_series;	/* of a connection */
extern int	saas_refresh_cooldown; /* s */
extern bool saas_allow_plain_http;
extern char *saas_ca_file;
extern int	saas_max_databases;
extern int	saas_limit_entries;
extern int	saas_journal_entries;

extern char *saas_aws_credentials_file;
extern char *saas_aws_endpoints;
extern char *saas_aws_accounts;
extern int	saas_aws_requests_per_second;

typedef enum SaasSmtpTls
{
	SAAS_SMTP_TLS_REQUIRED,
	SAAS_SMTP_TLS_OPPORTUNISTIC,
	SAAS_SMTP_TLS_OFF
} SaasSmtpTls;

extern char *saas_smtp_url;
extern char *saas_smtp_user;
extern char *saas_smtp_password_file;
extern int	saas_smtp_tls;		/* a SaasSmtpTls */
extern int	saas_smtp_timeout;	/* ms */
extern char *saas_mail_from;
extern char *saas_product_name;
extern char *saas_base_url;
extern char *saas_base_domain;

/* saas.allowed_networks, parsed. */
extern const SaasNetworkList *SaasAllowedNetworks(void);

/* saas.trusted_proxies, parsed. */
extern const SaasProxies *SaasTrustedProxies(void);

extern void SaasSettingsInit(void);

#endif							/* SAAS_SETTINGS_H */
