/*
 * config.c
 *	  Reads the config and secrets that a tenant gives for a connection.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "connector/config.h"
#include "pure/certificate.h"
#include "pure/json.h"

#define MAX_DOCUMENT	65536	/* bytes of a config or of all secrets */
#define MAX_SECRET		8192	/* an access token or a private key */
#define MAX_SECRET_NAME	63		/* as the column that stores it */
#define MAX_FIELD		64		/* bytes of a field's name in an error */
#define MAX_MESSAGE		160

void
SaasConfigError(SaasConfig *config, const char *field, const char *format,...)
{
	SaasProblem cleaned;		/* for its way of cutting and cleaning text */
	char		message[MAX_MESSAGE];
	va_list		args;
	SaasStrbuf	entry;
	char	   *text;

	config->errors++;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	SaasProblemSet(&cleaned, "22023", "%.*s", MAX_FIELD, field);
	SaasProblemDetail(&cleaned, "%s", message);
	SaasStrbufInit(&entry, config->validation->arena);
	SaasStrbufAppendText(&entry, config->listed == 0 ? "[{\"field\":" : ",{\"field\":");
	SaasStrbufAppendJson(&entry, cleaned.message, strlen(cleaned.message));
	SaasStrbufAppendText(&entry, ",\"message\":");
	SaasStrbufAppendJson(&entry, cleaned.detail, strlen(cleaned.detail));
	SaasStrbufAppendChar(&entry, '}');
	text = SaasStrbufFinish(&entry);

	/* Entries are left out whole, and the closing bracket keeps its room. */
	if (text == NULL || config->listed < config->errors - 1 ||
		config->details_length + entry.length + 2 > sizeof(config->details))
		return;
	memcpy(config->details + config->details_length, text, entry.length + 1);
	config->details_length += entry.length;
	config->listed++;
}

/* Whether text holds a control character other than those in allowed. */
static bool
has_control(const char *text, const char *allowed)
{
	for (; *text != '\0'; text++)
		if (((unsigned char) *text < 0x20 || *text == 0x7F) && strchr(allowed, *text) == NULL)
			return true;
	return false;
}

/* The object in text, NULL with an error for the field when it holds none. */
static json_t *
read_object(SaasConfig *config, const char *text, const char *field)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *value;

	if (text == NULL)
	{
		SaasConfigError(config, field, "must be a JSON object");
		return NULL;
	}
	if (strlen(text) > MAX_DOCUMENT)
	{
		SaasConfigError(config, field, "must not be longer than %d bytes", MAX_DOCUMENT);
		return NULL;
	}
	value = SaasJsonRead(text, strlen(text), false, "the text", &problem);
	if (value == NULL)
		SaasConfigError(config, field, "%s", problem.message);
	else if (!json_is_object(value))
	{
		SaasConfigError(config, field, "must be a JSON object");
		json_decref(value);
		value = NULL;
	}
	return value;
}

static bool
is_listed(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static bool
is_pem(const char *name)
{
	static const char *const names[] = {
		"private_key", "ca_certificate", "client_certificate", "client_key", NULL
	};

	return is_listed(name, names);
}

/* What is wrong with a secret's value, NULL when nothing is. */
static const char *
secret_fault(const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text == NULL)
		return "must be a string";
	if (*text == '\0')
		return "must not be empty";
	if (strlen(text) > MAX_SECRET)
		return "is too long";
	/* A PEM has lines; everything else travels in a header or a form. */
	if (has_control(text, is_pem(name) ? "\r\n\t" : ""))
		return "must not hold control characters";
	return NULL;
}

/* Whether a name is listed; a listed "header:*" stands for every name with that beginning. */
static bool
is_secret_name(const char *name, const char *const *names)
{
	if (strlen(name) > MAX_SECRET_NAME)
		return false;
	for (; *names != NULL; names++)
	{
		size_t		length = strlen(*names) - 1;

		if (strcmp(*names, name) == 0 && (*names)[length] != '*')
			return true;
		if ((*names)[length] == '*' && strncmp(*names, name, length) == 0 && name[length] != '\0')
			return true;
	}
	return false;
}

/* The name is not quoted: it may be a secret in the wrong place, and errors are logged. */
static void
refuse_secret_name(SaasConfig *config)
{
	SaasStrbuf	names;
	const char *text;

	SaasStrbufInit(&names, config->validation->arena);
	for (const char *const *name = config->connector->secret_names; *name; name++)
		SaasStrbufPrintf(&names, "%s%s", names.length > 0 ? ", " : "", *name);
	text = SaasStrbufFinish(&names);
	SaasConfigError(config, "secrets", "has a name that is none of %s", text != NULL ? text : "this kind's");
}

static void
add_secret(SaasConfig *config, const char *name, const json_t *value)
{
	SaasArena  *arena = config->validation->arena;
	const char *fault = secret_fault(name, value);
	char		field[MAX_FIELD + 16];
	SaasSecret *secret;

	snprintf(field, sizeof(field), "secrets.%.*s", MAX_FIELD, name);
	if (!is_secret_name(name, config->connector->secret_names))
	{
		refuse_secret_name(config);
		return;
	}
	if (fault != NULL)
		SaasConfigError(config, field, "%s", fault);

	/* A faulty one is listed without its value, so as not to be missed too. */
	secret = SaasArenaAlloc(arena, sizeof(SaasSecret));
	if (secret != NULL)
	{
		secret->name = SaasArenaStrdup(arena, name);
		secret->value = SaasArenaStrdup(arena, fault != NULL ? "" : json_string_value(value));
	}
	if (secret == NULL || secret->name == NULL || secret->value == NULL)
	{
		SaasConfigError(config, field, "needs too much memory");
		return;
	}
	secret->next = config->validation->secret_list;
	config->validation->secret_list = secret;
}

static void
read_secrets(SaasConfig *config)
{
	json_t	   *object = read_object(config, config->validation->secrets, "secrets");
	const char *name;
	json_t	   *value;

	json_object_foreach(object, name, value)
		add_secret(config, name, value);
	json_decref(object);
}

bool
SaasConfigOpen(SaasConfig *config, SaasValidation *validation,
			   const SaasConnector *connector, const char *const *keys)
{
	memset(config, 0, sizeof(*config));
	config->validation = validation;
	config->connector = connector;
	config->keys = keys;
	config->object = read_object(config, validation->config, "config");
	validation->secret_list = NULL;
	if (validation->secrets != NULL)
		read_secrets(config);
	return config->object != NULL;
}

void
SaasConfigRefuseUnknown(SaasConfig *config, const json_t *object,
						const char *const *keys, const char *prefix)
{
	const char *key;
	json_t	   *value;

	json_object_foreach((json_t *) object, key, value)
	{
		char		field[MAX_FIELD * 2];

		if (is_listed(key, keys))
			continue;
		snprintf(field, sizeof(field), "%s%.*s", prefix, MAX_FIELD, key);
		SaasConfigError(config, field, "is not a known key");
	}
}

static void
store_normalized(SaasConfig *config)
{
	char	   *text = json_dumps(config->object, JSON_COMPACT | JSON_SORT_KEYS);

	config->validation->normalized = SaasArenaStrdup(config->validation->arena, text);
	free(text);
	if (config->validation->normalized == NULL || config->validation->account_key == NULL ||
		config->validation->origin == NULL)
		SaasConfigError(config, "config", "needs too much memory");
}

bool
SaasConfigClose(SaasConfig *config)
{
	SaasProblem *problem = &config->validation->problem;

	SaasConfigRefuseUnknown(config, config->object, config->keys, "");
	if (config->errors == 0)
		store_normalized(config);
	json_decref(config->object);
	config->object = NULL;
	if (config->errors == 0)
		return true;

	SaasProblemSet(problem, "22023", "invalid configuration for a %s connection",
				   config->connector->kind);
	SaasProblemDetail(problem, "%s%s", config->details, config->listed > 0 ? "]" : "[]");
	if (config->errors > config->listed)
		SaasProblemHint(problem, "%d more errors are not listed.", config->errors - config->listed);
	return false;
}

json_t *
SaasConfigGet(const json_t *object, const char *key)
{
	json_t	   *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

const char *
SaasConfigText(SaasConfig *config, const json_t *object, const char *key,
			   const char *field, size_t max_length, bool required)
{
	json_t	   *value = SaasConfigGet(object, key);
	const char *text = json_string_value(value);

	if (value == NULL)
	{
		if (required)
			SaasConfigError(config, field, "is required");
		return NULL;
	}
	if (text == NULL)
		SaasConfigError(config, field, "must be a string");
	else if (*text == '\0')
		SaasConfigError(config, field, "must not be empty");
	else if (strlen(text) > max_length)
		SaasConfigError(config, field, "must not be longer than %zu bytes", max_length);
	else if (has_control(text, ""))
		SaasConfigError(config, field, "must not hold control characters");
	else
		return text;
	return NULL;
}

const char *
SaasConfigOption(SaasConfig *config, const char *key, size_t max_length,
				 const char *default_value)
{
	if (SaasConfigGet(config->object, key) == NULL)
		json_object_set_new(config->object, key, json_string(default_value));
	return SaasConfigText(config, config->object, key, key, max_length, true);
}

/* The origin as people write it, without the scheme's own port. */
static const char *
short_origin(const SaasUrl *url, SaasArena *arena)
{
	const char *port = strcmp(url->scheme, "https") == 0 ? ":443" : ":80";
	size_t		length = strlen(url->origin);
	size_t		port_length = strlen(port);

	if (length > port_length && strcmp(url->origin + length - port_length, port) == 0)
		length -= port_length;
	return SaasArenaStrndup(arena, url->origin, length);
}

const char *
SaasConfigUrl(SaasConfig *config, const char *key, const char *default_value,
			  bool only_origin, SaasUrl *url)
{
	SaasValidation *validation = config->validation;
	SaasProblem problem = {.sqlstate = ""};
	const char *text;
	const char *canonical;

	if (SaasConfigGet(config->object, key) == NULL && default_value != NULL)
		json_object_set_new(config->object, key, json_string(default_value));
	text = SaasConfigText(config, config->object, key, key, SAAS_CONFIG_MAX_TEXT, true);
	if (text == NULL)
		return NULL;
	if (!SaasUrlParse(text, validation->arena, url, &problem))
	{
		SaasConfigError(config, key, "is not a usable URL. %s", problem.detail);
		return NULL;
	}
	if (strcmp(url->scheme, "https") != 0 && !validation->allow_http)
	{
		SaasConfigError(config, key, "must begin with https://");
		return NULL;
	}
	if (only_origin && strcmp(url->path, "/") != 0)
	{
		SaasConfigError(config, key, "must not have a path or a query");
		return NULL;
	}
	canonical = short_origin(url, validation->arena);
	if (canonical != NULL && !only_origin)
		canonical = SaasArenaPrintf(validation->arena, "%s%s", canonical, url->path);
	if (canonical == NULL)
		SaasConfigError(config, key, "needs too much memory");
	else
		json_object_set_new(config->object, key, json_string(canonical));
	return canonical;
}

bool
SaasConfigHasSecrets(const SaasConfig *config)
{
	return config->validation->secrets != NULL;
}

const char *
SaasConfigSecret(const SaasConfig *config, const char *name)
{
	for (const SaasSecret *secret = config->validation->secret_list; secret != NULL;
		 secret = secret->next)
		if (strcmp(secret->name, name) == 0)
			return secret->value;
	return NULL;
}

void
SaasConfigNeedSecret(SaasConfig *config, const char *name, const char *why)
{
	char		field[MAX_FIELD + 16];

	if (!SaasConfigHasSecrets(config) || SaasConfigSecret(config, name) != NULL)
		return;
	snprintf(field, sizeof(field), "secrets.%s", name);
	SaasConfigError(config, field, "is required %s", why);
}

void
SaasConfigRefuseSecret(SaasConfig *config, const char *name, const char *why)
{
	char		field[MAX_FIELD + 16];

	if (SaasConfigSecret(config, name) == NULL)
		return;
	snprintf(field, sizeof(field), "secrets.%s", name);
	SaasConfigError(config, field, "is not used %s", why);
}

void
SaasConfigCheckBasicUser(SaasConfig *config)
{
	const char *user = SaasConfigSecret(config, "username");

	if (user != NULL && strchr(user, ':') != NULL)
		SaasConfigError(config, "secrets.username", "must not hold a colon");
}

void
SaasConfigCheckCertificates(SaasConfig *config)
{
	const char *ca = SaasConfigSecret(config, "ca_certificate");
	const char *certificate = SaasConfigSecret(config, "client_certificate");
	const char *key = SaasConfigSecret(config, "client_key");

	/* An empty value stands for one that has an error already. */
	if (ca != NULL && *ca != '\0' && !SaasCertificatesAreReadable(ca))
		SaasConfigError(config, "secrets.ca_certificate", "must be certificates in PEM");
	if (certificate != NULL)
		SaasConfigNeedSecret(config, "client_key", "with client_certificate");
	if (key != NULL)
		SaasConfigNeedSecret(config, "client_certificate", "with client_key");
	if (certificate == NULL || key == NULL || *certificate == '\0' || *key == '\0')
		return;
	if (!SaasCertificatesAreReadable(certificate))
		SaasConfigError(config, "secrets.client_certificate", "must be certificates in PEM");
	else if (!SaasCertificateHasKey(certificate, key))
		SaasConfigError(config, "secrets.client_key",
						"must be the private key of client_certificate in PEM, without a passphrase, "
						"and at most 4096 bits long");
}
