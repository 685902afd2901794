/*
 * salesforce_config.c
 *	  Config and secrets of a Salesforce connection.
 */
#include <stdlib.h>
#include <string.h>

#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/salesforce.h"
#include "pure/assertion.h"
#include "pure/salesforce.h"

#define PRODUCTION_URL			"https://login.salesforce.com"
#define SANDBOX_URL				"https://test.salesforce.com"
#define DEFAULT_API_VERSION		"66.0"
#define MIN_API_VERSION			29

static const char *const config_keys[] = {
	"org_id", "instance_url", "login_url", "api_version", "auth", "username", "audience", NULL
};

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);
	size_t		end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/*
 * A sandbox's My Domain is NAME--SANDBOX.sandbox.my.salesforce.com, without
 * ".sandbox" where enhanced domains are off.
 */
const char *
SaasSalesforceLoginUrl(const char *host)
{
	bool		is_sandbox = strcmp(host, "test.salesforce.com") == 0 ||
		ends_with(host, ".sandbox.my.salesforce.com") ||
		ends_with(host, ".scratch.my.salesforce.com") ||
		(ends_with(host, ".my.salesforce.com") && strstr(host, "--") != NULL);

	return is_sandbox ? SANDBOX_URL : PRODUCTION_URL;
}

static void
check_org_id(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	const char *text = SaasConfigText(config, config->object, "org_id", "org_id", 18, true);
	char		id[19];

	if (text == NULL)
		return;
	if (!SaasSalesforceIdNormalize(text, id))
	{
		SaasConfigError(config, "org_id", "must be a Salesforce id of 15 or 18 characters");
		return;
	}
	json_object_set_new(config->object, "org_id", json_string(id));
	validation->account_key = SaasArenaStrdup(validation->arena, id);
	validation->external_account_id = validation->account_key;
}

/* "v66.0" and "66.0" are both common; the latter is stored. */
static void
check_api_version(SaasConfig *config)
{
	const char *text = SaasConfigOption(config, "api_version", 16, DEFAULT_API_VERSION);
	size_t		digits;

	if (text == NULL)
		return;
	text += *text == 'v' ? 1 : 0;
	digits = strspn(text, "0123456789");
	if (digits < 2 || digits > 3 || *text == '0' || strcmp(text + digits, ".0") != 0)
		SaasConfigError(config, "api_version", "must be a version such as \"%s\"", DEFAULT_API_VERSION);
	else if (strtol(text, NULL, 10) < MIN_API_VERSION)
		SaasConfigError(config, "api_version", "must be %d.0 or later", MIN_API_VERSION);
	else
		json_object_set_new(config->object, "api_version", json_string(text));
}

/* What people copy from the browser's address bar answers no request of the API. */
static void
check_host(SaasConfig *config, const char *key, const char *host)
{
	if (ends_with(host, ".lightning.force.com") || ends_with(host, ".salesforce-setup.com"))
		SaasConfigError(config, key, "must be the My Domain host, which ends in .my.salesforce.com");
}

static void
check_urls(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	SaasUrl		instance;
	SaasUrl		login;
	const char *instance_url = SaasConfigUrl(config, "instance_url", NULL, true, &instance);
	const char *default_login = instance_url != NULL ? SaasSalesforceLoginUrl(instance.host) : PRODUCTION_URL;
	const char *login_url = SaasConfigUrl(config, "login_url", default_login, true, &login);

	if (instance_url != NULL)
		check_host(config, "instance_url", instance.host);
	if (login_url != NULL)
		check_host(config, "login_url", login.host);
	if (instance_url != NULL && login_url != NULL)
		validation->origin = SaasArenaPrintf(validation->arena, "%s %s",
											 instance.origin, login.origin);
}

static void
check_private_key(SaasConfig *config)
{
	const char *pem = SaasConfigSecret(config, "private_key");
	SaasProblem problem = {.sqlstate = ""};

	SaasConfigNeedSecret(config, "private_key", "with jwt_bearer");
	if (pem != NULL && !SaasAssertionKeyCheck(pem, &problem))
		SaasConfigError(config, "secrets.private_key", "%s", problem.detail);
}

static void
check_jwt_bearer(SaasConfig *config)
{
	SaasConfigNeedSecret(config, "client_id", "with jwt_bearer");
	check_private_key(config);
	SaasConfigRefuseSecret(config, "refresh_token", "with jwt_bearer");
	SaasConfigRefuseSecret(config, "client_secret", "with jwt_bearer");
}

static void
check_refresh_token(SaasConfig *config)
{
	if (SaasConfigSecret(config, "refresh_token") != NULL)
		SaasConfigNeedSecret(config, "client_id", "with refresh_token");
	else if (SaasConfigSecret(config, "access_token") == NULL)
		SaasConfigNeedSecret(config, "refresh_token", "without access_token");
	SaasConfigRefuseSecret(config, "private_key", "without jwt_bearer");
	if (SaasConfigGet(config->object, "audience") != NULL)
		SaasConfigError(config, "audience", "is not used without jwt_bearer");
}

static void
check_auth(SaasConfig *config)
{
	const char *auth = SaasConfigOption(config, "auth", SAAS_CONFIG_MAX_TEXT, SAAS_SALESFORCE_REFRESH_TOKEN);
	bool		signs = auth != NULL && strcmp(auth, SAAS_SALESFORCE_JWT_BEARER) == 0;

	if (auth != NULL && !signs && strcmp(auth, SAAS_SALESFORCE_REFRESH_TOKEN) != 0)
		SaasConfigError(config, "auth", "must be " SAAS_SALESFORCE_REFRESH_TOKEN " or "
						SAAS_SALESFORCE_JWT_BEARER);
	SaasConfigText(config, config->object, "username", "username", SAAS_CONFIG_MAX_TEXT, signs);
	SaasConfigText(config, config->object, "audience", "audience", SAAS_CONFIG_MAX_TEXT, false);
	if (signs)
		check_jwt_bearer(config);
	else
		check_refresh_token(config);
}

bool
SaasSalesforceValidate(SaasValidation *validation)
{
	SaasConfig	config;

	if (!SaasConfigOpen(&config, validation, &SaasSalesforceConnector, config_keys))
		return SaasConfigClose(&config);
	check_org_id(&config);
	check_urls(&config);
	check_api_version(&config);
	check_auth(&config);
	return SaasConfigClose(&config);
}
