/*
 * http_json_config.c
 *	  What makes the config and secrets of an HTTP JSON connection valid.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "connector/config.h"
#include "connector/http_json.h"
#include "connector/kinds.h"
#include "pure/exposition.h"
#include "pure/jsonpath.h"

#define DEFAULT_KEY_HEADER	"X-API-Key"
#define MAX_BODY			32768
#define MAX_HEADERS			50
#define MAX_HEADER_VALUE	1024
#define MAX_SECRET_HEADERS	16
#define MAX_SCOPE			1024
#define MAX_FIELD			128

static const char *const config_keys[] = {
	"url", "method", "headers", "body", "auth", "api_key_header", "api_key_query", "token_url",
	"scope", "audience", "client_auth", "metrics", NULL
};
static const char *const metric_keys[] = {"name", "path", "labels", "time_path", NULL};

static bool
is_any_of(const char *word, size_t length, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strlen(*words) == length && strncasecmp(word, *words, length) == 0)
			return true;
	return false;
}

/*
 * Headers that carry the message itself, where another value would break or
 * smuggle it, and those that ask for a part of the answer or for none.
 */
static bool
is_transport_header(const char *name)
{
	static const char *const names[] = {
		"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
		"trailer", "upgrade", "expect", "accept-encoding", "content-encoding", "range",
		"http2-settings", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since",
		"if-range", NULL
	};

	return strncasecmp(name, "proxy-", 6) == 0 || is_any_of(name, strlen(name), names);
}

/*
 * Whether a header's name says that its value is a secret.  The config is
 * stored and shown as it is, so in doubt the answer is yes: "X-Auth-Token" is,
 * "X-Author" is not.
 */
static bool
is_secret_header(const char *name)
{
	static const char *const words[] = {
		"authorization", "authentication", "auth", "token", "secret", "password", "passwd", "pwd",
		"credential", "credentials", "cookie", "cookie2", "session", "sessionid", "signature",
		"key", "apikey", "accesskey", "secretkey", "accesstoken", "authtoken", "jwt", "bearer", NULL
	};

	while (*name != '\0')
	{
		size_t		length = strcspn(name, "-_.");

		if (is_any_of(name, length, words))
			return true;
		name += length;
		name += *name != '\0' ? 1 : 0;
	}
	return false;
}

static bool
is_header_name(const char *name, SaasArena *arena)
{
	SaasRequest request = {.method = "GET"};

	return strlen(name) <= SAAS_CONFIG_MAX_TEXT && SaasRequestAddHeader(&request, arena, name, "");
}

/* A secret may also show in the value, as a scheme of Authorization. */
static bool
is_secret_value(const char *value)
{
	return strncasecmp(value, "bearer ", 7) == 0 || strncasecmp(value, "basic ", 6) == 0;
}

static void
check_header(SaasConfig *config, const json_t *headers, const char *name)
{
	char		field[MAX_FIELD];
	const char *value;

	snprintf(field, sizeof(field), "headers.%.64s", name);
	if (!is_header_name(name, config->validation->arena))
	{
		SaasConfigError(config, field, "is not a header name");
		return;
	}
	if (is_transport_header(name))
	{
		SaasConfigError(config, field, "is not allowed");
		return;
	}
	if (is_secret_header(name))
	{
		SaasConfigError(config, field, "looks like a secret: use auth and secrets instead");
		return;
	}
	value = SaasConfigText(config, headers, name, field, MAX_HEADER_VALUE, true);
	if (value != NULL && is_secret_value(value))
		SaasConfigError(config, field, "looks like a secret: use auth and secrets instead");
}

/* Two spellings of one name would be sent as two headers. */
static bool
has_name_twice(json_t *headers)
{
	const char *one;
	const char *other;
	json_t	   *value;

	json_object_foreach(headers, one, value)
	{
		int			spellings = 0;

		json_object_foreach(headers, other, value)
			spellings += strcasecmp(one, other) == 0;
		if (spellings > 1)
			return true;
	}
	return false;
}

static void
check_headers(SaasConfig *config)
{
	json_t	   *headers = SaasConfigGet(config->object, "headers");
	const char *name;
	json_t	   *value;

	if (headers == NULL)
	{
		json_object_set_new(config->object, "headers", json_pack("{}"));
		return;
	}
	if (!json_is_object(headers))
	{
		SaasConfigError(config, "headers", "must be an object of strings");
		return;
	}
	if (json_object_size(headers) > MAX_HEADERS)
	{
		SaasConfigError(config, "headers", "must not be more than %d", MAX_HEADERS);
		return;
	}
	json_object_foreach(headers, name, value)
		check_header(config, headers, name);
	if (has_name_twice(headers))
		SaasConfigError(config, "headers", "a name occurs twice");
}

static void
check_method_and_body(SaasConfig *config)
{
	const char *method = SaasConfigOption(config, "method", SAAS_CONFIG_MAX_TEXT, "GET");
	json_t	   *body = SaasConfigGet(config->object, "body");

	if (method != NULL && strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
		SaasConfigError(config, "method", "must be GET or POST");
	if (body == NULL)
		return;
	if (method != NULL && strcmp(method, "GET") == 0)
		SaasConfigError(config, "body", "needs the method POST");
	else if (json_is_string(body) ? json_string_length(body) > MAX_BODY :
			 json_dumpb(body, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > MAX_BODY)
		SaasConfigError(config, "body", "must not be longer than %d bytes", MAX_BODY);
}

static bool
has_header(json_t *headers, const char *name)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(headers, key, value)
		if (strcasecmp(key, name) == 0)
			return true;
	return false;
}

/* Where the key goes: into a header, by default X-API-Key, or into the query. */
static void
check_key_place(SaasConfig *config)
{
	const char *name;

	if (SaasConfigGet(config->object, "api_key_query") != NULL)
	{
		SaasConfigText(config, config->object, "api_key_query", "api_key_query", MAX_FIELD, true);
		if (SaasConfigGet(config->object, "api_key_header") != NULL)
			SaasConfigError(config, "api_key_header", "is not used together with api_key_query");
		return;
	}
	name = SaasConfigOption(config, "api_key_header", SAAS_CONFIG_MAX_TEXT, DEFAULT_KEY_HEADER);
	if (name == NULL)
		return;
	if (!is_header_name(name, config->validation->arena))
		SaasConfigError(config, "api_key_header", "is not a header name");
	else if (is_transport_header(name) || strcasecmp(name, "Cookie") == 0)
		SaasConfigError(config, "api_key_header", "is not allowed");
	else if (has_header(SaasConfigGet(config->object, "headers"), name))
		SaasConfigError(config, "api_key_header", "is one of headers already");
}

/* Where a token is asked for; its origin joins that of the URL. */
static void
check_token_endpoint(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	const char *client_auth = SaasConfigOption(config, "client_auth", SAAS_CONFIG_MAX_TEXT, "basic");
	SaasUrl		url;

	if (client_auth != NULL && strcmp(client_auth, "basic") != 0 && strcmp(client_auth, "body") != 0)
		SaasConfigError(config, "client_auth", "must be basic or body");
	SaasConfigText(config, config->object, "scope", "scope", MAX_SCOPE, false);
	SaasConfigText(config, config->object, "audience", "audience", SAAS_CONFIG_MAX_TEXT, false);
	if (SaasConfigUrl(config, "token_url", NULL, false, &url) != NULL && validation->origin != NULL)
		validation->origin = SaasArenaPrintf(validation->arena, "%s %s", validation->origin, url.origin);
}

static void
refuse_keys(SaasConfig *config, const char *const *keys, const char *why)
{
	for (; *keys != NULL; keys++)
		if (SaasConfigGet(config->object, *keys) != NULL)
			SaasConfigError(config, *keys, "%s", why);
}

static void
check_auth_keys(SaasConfig *config, const char *auth)
{
	static const char *const of_key[] = {"api_key_header", "api_key_query", NULL};
	static const char *const of_client[] = {"token_url", "scope", "audience", "client_auth", NULL};

	if (strcmp(auth, "api_key") == 0)
		check_key_place(config);
	else
		refuse_keys(config, of_key, "needs auth api_key");
	if (strcmp(auth, "client_credentials") == 0)
		check_token_endpoint(config);
	else
		refuse_keys(config, of_client, "needs auth client_credentials");
}

static void
check_secrets(SaasConfig *config, const char *auth)
{
	static const struct
	{
		const char *secret;
		const char *auth;
	}			uses[] = {
		{"bearer_token", "bearer"},
		{"username", "basic"},
		{"password", "basic"},
		{"api_key", "api_key"},
		{"client_id", "client_credentials"},
		{"client_secret", "client_credentials"}
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
	{
		char		why[MAX_FIELD];

		snprintf(why, sizeof(why), "with auth %s", auth);
		if (strcmp(uses[i].auth, auth) == 0)
			SaasConfigNeedSecret(config, uses[i].secret, why);
		else
			SaasConfigRefuseSecret(config, uses[i].secret, why);
	}
	SaasConfigCheckBasicUser(config);
	SaasConfigCheckCertificates(config);
}

/* Whether the request has a header of that name without this secret. */
static bool
is_taken(SaasConfig *config, const SaasSecret *secret, const char *name, const char *auth)
{
	const char *key_header = strcmp(auth, "api_key") == 0 ?
		json_string_value(SaasConfigGet(config->object, "api_key_header")) : NULL;
	size_t		prefix = strlen(SAAS_HTTP_JSON_HEADER);

	if (has_header(SaasConfigGet(config->object, "headers"), name) ||
		(key_header != NULL && strcasecmp(key_header, name) == 0))
		return true;
	if (strcasecmp(name, "Authorization") == 0 && strcmp(auth, "none") != 0 && strcmp(auth, "api_key") != 0)
		return true;
	for (const SaasSecret *other = secret->next; other != NULL; other = other->next)
		if (strncmp(other->name, SAAS_HTTP_JSON_HEADER, prefix) == 0 &&
			strcasecmp(other->name + prefix, name) == 0)
			return true;
	return false;
}

/* Headers whose values are secrets, by their names. */
static void
check_secret_headers(SaasConfig *config, const char *auth)
{
	size_t		prefix = strlen(SAAS_HTTP_JSON_HEADER);
	int			count = 0;

	for (const SaasSecret *secret = config->validation->secret_list; secret != NULL; secret = secret->next)
	{
		const char *name = secret->name + prefix;
		char		field[MAX_FIELD];

		if (strncmp(secret->name, SAAS_HTTP_JSON_HEADER, prefix) != 0)
			continue;
		snprintf(field, sizeof(field), "secrets.%.64s", secret->name);
		if (++count > MAX_SECRET_HEADERS)
			SaasConfigError(config, "secrets", "must not be more than %d headers", MAX_SECRET_HEADERS);
		else if (!is_header_name(name, config->validation->arena))
			SaasConfigError(config, "secrets", "has a \"header:\" that no header's name follows");
		else if (is_transport_header(name))
			SaasConfigError(config, field, "is not allowed");
		else if (is_taken(config, secret, name, auth))
			SaasConfigError(config, field, "is a header that the request has already");
	}
}

static void
check_auth(SaasConfig *config)
{
	static const char *const ways[] = {
		"none", "bearer", "basic", "api_key", "client_credentials", NULL
	};
	const char *auth = SaasConfigOption(config, "auth", SAAS_CONFIG_MAX_TEXT, "none");

	if (auth == NULL)
		return;
	for (const char *const *way = ways; *way != NULL; way++)
		if (strcmp(*way, auth) == 0)
		{
			check_auth_keys(config, auth);
			check_secrets(config, auth);
			check_secret_headers(config, auth);
			return;
		}
	SaasConfigError(config, "auth", "must be none, bearer, basic, api_key or client_credentials");
}

/* [a-zA-Z_][a-zA-Z0-9_]*, and colons in metric names. */
static bool
is_name(const char *text, bool colons)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	if (*text == '\0' || (*text >= '0' && *text <= '9'))
		return false;
	for (; *text != '\0'; text++)
		if (strchr(letters, *text) == NULL && !(colons && *text == ':'))
			return false;
	return true;
}

static SaasJsonPath *
check_path(SaasConfig *config, const char *field, const char *text)
{
	SaasProblem problem = {.sqlstate = ""};
	SaasJsonPath *path = SaasJsonPathParse(text, config->validation->arena, &problem);

	if (path == NULL)
		SaasConfigError(config, field, "%s", problem.message);
	return path;
}

static void
check_labels(SaasConfig *config, const json_t *entry, const char *prefix)
{
	json_t	   *labels = SaasConfigGet(entry, "labels");
	SaasLabel	list[SAAS_HTTP_JSON_MAX_LABELS];
	size_t		count = 0;
	char		field[MAX_FIELD];
	const char *name;
	json_t	   *value;

	if (labels == NULL)
		return;
	snprintf(field, sizeof(field), "%slabels", prefix);
	if (!json_is_object(labels) || json_object_size(labels) > SAAS_HTTP_JSON_MAX_LABELS)
	{
		SaasConfigError(config, field, "must be an object of at most %d strings",
						SAAS_HTTP_JSON_MAX_LABELS);
		return;
	}
	json_object_foreach(labels, name, value)
	{
		const char *text = json_string_value(value);

		snprintf(field, sizeof(field), "%slabels.%.32s", prefix, name);
		if (!is_name(name, false) || strlen(name) > SAAS_CONFIG_MAX_TEXT)
			SaasConfigError(config, field, "is not a label name");
		else if (text == NULL)
			SaasConfigError(config, field, "must be a string");
		else if (SaasHttpJsonIsElementPath(text))
			check_path(config, field, text);
		else
			list[count++] = (SaasLabel) {name, text};
	}
	snprintf(field, sizeof(field), "%slabels", prefix);
	if (SaasLabelsToJson(list, count, config->validation->arena) == NULL)
		SaasConfigError(config, field, "are longer than %d bytes", SAAS_MAX_LABELS_LENGTH);
}

static void
check_metric(SaasConfig *config, const json_t *entry, size_t index)
{
	char		prefix[32];
	char		field[MAX_FIELD];
	const char *name;
	const char *path;
	const char *time_path;
	SaasJsonPath *parsed = NULL;
	SaasJsonPath *parsed_time = NULL;

	snprintf(prefix, sizeof(prefix), "metrics[%zu].", index);
	if (!json_is_object(entry))
	{
		snprintf(field, sizeof(field), "metrics[%zu]", index);
		SaasConfigError(config, field, "must be an object");
		return;
	}
	snprintf(field, sizeof(field), "%sname", prefix);
	name = SaasConfigText(config, entry, "name", field, SAAS_MAX_METRIC_LENGTH, true);
	if (name != NULL && !is_name(name, true))
		SaasConfigError(config, field, "must match [a-zA-Z_:][a-zA-Z0-9_:]*");

	snprintf(field, sizeof(field), "%spath", prefix);
	path = SaasConfigText(config, entry, "path", field, SAAS_JSONPATH_MAX_LENGTH, true);
	if (path != NULL)
		parsed = check_path(config, field, path);
	if (parsed != NULL && SaasJsonPathIsRelative(parsed))
		SaasConfigError(config, field, "must begin with $");

	snprintf(field, sizeof(field), "%stime_path", prefix);
	time_path = SaasConfigText(config, entry, "time_path", field, SAAS_JSONPATH_MAX_LENGTH, false);
	if (time_path != NULL)
		parsed_time = check_path(config, field, time_path);
	if (parsed_time != NULL && SaasJsonPathHasWildcard(parsed_time))
		SaasConfigError(config, field, "must not have a wildcard");

	check_labels(config, entry, prefix);
	SaasConfigRefuseUnknown(config, entry, metric_keys, prefix);
}

/* Two entries of the same name and labels would be one series with two values. */
static bool
is_same_series(const json_t *one, const json_t *other)
{
	json_t	   *name = json_object_get(one, "name");
	json_t	   *one_labels = SaasConfigGet(one, "labels");
	json_t	   *other_labels = SaasConfigGet(other, "labels");

	if (!json_is_string(name) || !json_equal(name, json_object_get(other, "name")))
		return false;
	if (json_object_size(one_labels) == 0)
		return json_object_size(other_labels) == 0;
	return json_equal(one_labels, other_labels);
}

static void
check_metrics(SaasConfig *config)
{
	json_t	   *metrics = SaasConfigGet(config->object, "metrics");
	size_t		count = json_array_size(metrics);

	if (count == 0 || count > SAAS_HTTP_JSON_MAX_METRICS)
	{
		SaasConfigError(config, "metrics", "is required: an array of 1 to %d metrics",
						SAAS_HTTP_JSON_MAX_METRICS);
		return;
	}
	for (size_t i = 0; i < count; i++)
	{
		json_t	   *entry = json_array_get(metrics, i);

		check_metric(config, entry, i);
		for (size_t j = 0; j < i; j++)
			if (is_same_series(entry, json_array_get(metrics, j)))
			{
				char		field[MAX_FIELD];

				snprintf(field, sizeof(field), "metrics[%zu]", i);
				SaasConfigError(config, field, "has the name and labels of metrics[%zu]", j);
				break;
			}
	}
}

bool
SaasHttpJsonValidate(SaasValidation *validation)
{
	SaasConfig	config;
	SaasUrl		url;
	const char *text;
	const char *method;

	if (!SaasConfigOpen(&config, validation, &SaasHttpJsonConnector, config_keys))
		return SaasConfigClose(&config);
	text = SaasConfigUrl(&config, "url", NULL, false, &url);
	check_method_and_body(&config);
	method = json_string_value(json_object_get(config.object, "method"));
	if (text != NULL && method != NULL)
	{
		validation->account_key = SaasArenaPrintf(validation->arena, "%s %s", method, text);
		validation->origin = url.origin;
	}
	check_headers(&config);
	check_auth(&config);
	check_metrics(&config);
	return SaasConfigClose(&config);
}
