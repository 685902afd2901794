/*
 * postgresql_config.c
 *	  What makes the config and secrets of a PostgreSQL connection valid.
 */
#include <stdio.h>
#include <string.h>

#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/postgresql.h"

#define DEFAULT_PORT	5432
#define MAX_NAME		63		/* PostgreSQL's own for roles and databases */
#define MAX_QUERY		4000
#define MAX_FIELD		64

static const char *const config_keys[] = {"host", "port", "dbname", "user", "sslmode", "queries", NULL};
static const char *const query_keys[] = {"name", "query", NULL};

/*
 * One plain host: what libpq or a resolver would take as a list, a path, a
 * connection string or a zone is refused before it comes near them.
 */
static bool
is_host(const char *host)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
	uint8_t		address[16];

	if (strspn(host, plain) == strlen(host))
		return host[0] != '-' && host[0] != '.';
	return SaasAddressRead(host, strlen(host), address) == 128;
}

static const char *
check_host(SaasConfig *config)
{
	const char *given = SaasConfigText(config, config->object, "host", "host",
									   SAAS_CONFIG_MAX_TEXT, true);
	char	   *host = SaasArenaStrdup(config->validation->arena, given);

	if (host == NULL)
		return NULL;
	for (char *c = host; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	if (!is_host(host))
	{
		SaasConfigError(config, "host", "must be one host name or address");
		return NULL;
	}
	json_object_set_new(config->object, "host", json_string(host));
	return host;
}

static int
check_port(SaasConfig *config)
{
	json_t	   *value = SaasConfigGet(config->object, "port");
	json_int_t	port = json_integer_value(value);

	if (value == NULL)
	{
		json_object_set_new(config->object, "port", json_integer(DEFAULT_PORT));
		return DEFAULT_PORT;
	}
	if (!json_is_integer(value) || port < 1 || port > 65535)
		SaasConfigError(config, "port", "must be an integer from 1 to 65535");
	return (int) port;
}

/* Without TLS they would be kept for nothing, and be taken for a protection. */
static void
check_certificates(SaasConfig *config, const char *mode)
{
	static const char *const names[] = {"ca_certificate", "client_certificate", "client_key"};

	if (mode != NULL && strcmp(mode, "disable") == 0)
	{
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			SaasConfigRefuseSecret(config, names[i], "with sslmode disable");
	}
	SaasConfigCheckCertificates(config);
	if (SaasConfigSecret(config, "client_certificate") == NULL)
		SaasConfigNeedSecret(config, "password", "to sign in");
}

static void
check_sslmode(SaasConfig *config)
{
	const char *mode = SaasConfigOption(config, "sslmode", MAX_NAME, "verify-full");

	if (mode == NULL || strcmp(mode, "verify-full") == 0)
		return;
	if (strcmp(mode, "verify-ca") != 0 && strcmp(mode, "disable") != 0)
		SaasConfigError(config, "sslmode", "must be verify-full, verify-ca or disable");
	else if (!config->validation->allow_http)
		SaasConfigError(config, "sslmode", "must be verify-full: the operator allows no other");
}

/* Lines and tabs, no other control characters: the server's log shows the text. */
static bool
is_text(const char *text)
{
	for (; *text != '\0'; text++)
		if (((unsigned char) *text < 0x20 && strchr("\t\r\n", *text) == NULL) || *text == 0x7F)
			return false;
	return true;
}

/* What can stand in "select * from (...)", as it is asked; the server has the last word. */
static bool
begins_rows(const char *text)
{
	static const char *const words[] = {"select", "with", "values", "table"};

	text += strspn(text, " \t\r\n(");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t		length = strlen(words[i]);
		size_t		same = 0;

		while (same < length && (text[same] | 0x20) == words[i][same])
			same++;
		if (same == length && strchr(" \t\r\n(*'\"", text[length]) != NULL)
			return true;
	}
	return false;
}

static void
check_sql(SaasConfig *config, const json_t *entry, const char *field)
{
	const char *sql = json_string_value(SaasConfigGet(entry, "query"));
	size_t		length = sql != NULL ? strlen(sql) : 0;

	while (length > 0 && strchr(" \t\r\n", sql[length - 1]) != NULL)
		length--;
	if (sql == NULL || length == 0)
		SaasConfigError(config, field, "must be a query");
	else if (strlen(sql) > MAX_QUERY)
		SaasConfigError(config, field, "must not be longer than %d bytes", MAX_QUERY);
	else if (!is_text(sql))
		SaasConfigError(config, field, "must not hold control characters");
	else if (!begins_rows(sql))
		SaasConfigError(config, field, "must begin with select, with, values or table");
	else if (sql[length - 1] == ';')
		SaasConfigError(config, field, "must not end with a semicolon");
}

static bool
is_name(const char *text)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return strspn(text, letters) == strlen(text) && !(*text >= '0' && *text <= '9');
}

static void
check_name(SaasConfig *config, const json_t *queries, size_t index, const char *field)
{
	const char *name = SaasConfigText(config, json_array_get(queries, index), "name", field,
									  MAX_NAME, true);

	if (name == NULL)
		return;
	if (!is_name(name))
		SaasConfigError(config, field, "must be letters, digits and underscores");
	else if (strncmp(name, SAAS_POSTGRESQL_PREFIX, strlen(SAAS_POSTGRESQL_PREFIX)) == 0)
		SaasConfigError(config, field, "must not begin with " SAAS_POSTGRESQL_PREFIX);
	for (size_t i = 0; i < index; i++)
	{
		const char *other = json_string_value(json_object_get(json_array_get(queries, i), "name"));

		if (other != NULL && strcmp(other, name) == 0)
		{
			SaasConfigError(config, field, "occurs twice");
			return;
		}
	}
}

static void
check_queries(SaasConfig *config)
{
	json_t	   *queries = SaasConfigGet(config->object, "queries");

	if (queries == NULL)
	{
		json_object_set_new(config->object, "queries", json_array());
		return;
	}
	if (!json_is_array(queries) || json_array_size(queries) > SAAS_POSTGRESQL_MAX_QUERIES)
	{
		SaasConfigError(config, "queries", "must be an array of at most %d objects",
						SAAS_POSTGRESQL_MAX_QUERIES);
		return;
	}
	for (size_t i = 0; i < json_array_size(queries); i++)
	{
		json_t	   *entry = json_array_get(queries, i);
		char		field[MAX_FIELD];

		snprintf(field, sizeof(field), "queries[%zu]", i);
		if (!json_is_object(entry))
		{
			SaasConfigError(config, field, "must be an object");
			continue;
		}
		snprintf(field, sizeof(field), "queries[%zu].", i);
		SaasConfigRefuseUnknown(config, entry, query_keys, field);
		snprintf(field, sizeof(field), "queries[%zu].name", i);
		check_name(config, queries, i, field);
		snprintf(field, sizeof(field), "queries[%zu].query", i);
		check_sql(config, entry, field);
	}
}

/* A password that was given for a verified server does not go to one that is less. */
static const char *
origin_of(SaasArena *arena, const char *host, int port, const char *mode)
{
	bool		is_full = mode == NULL || strcmp(mode, "verify-full") == 0;

	return SaasArenaPrintf(arena, "postgresql://%s:%d%s%s", host, port, is_full ? "" : "?sslmode=",
						   is_full ? "" : mode);
}

bool
SaasPostgresqlValidate(SaasValidation *validation)
{
	SaasConfig	config;
	const char *host;
	const char *dbname;
	const char *shown;
	const char *mode;
	int			port;

	if (!SaasConfigOpen(&config, validation, &SaasPostgresqlConnector, config_keys))
		return SaasConfigClose(&config);
	host = check_host(&config);
	port = check_port(&config);
	dbname = SaasConfigText(&config, config.object, "dbname", "dbname", MAX_NAME, true);
	(void) SaasConfigText(&config, config.object, "user", "user", MAX_NAME, true);
	check_sslmode(&config);
	check_queries(&config);
	mode = json_string_value(SaasConfigGet(config.object, "sslmode"));
	check_certificates(&config, mode);
	if (host != NULL && dbname != NULL)
	{
		shown = strchr(host, ':') == NULL ? host : SaasArenaPrintf(validation->arena, "[%s]", host);
		validation->origin = origin_of(validation->arena, shown, port, mode);
		validation->account_key = SaasArenaPrintf(validation->arena, "%s:%d/%s", shown, port, dbname);
	}
	return SaasConfigClose(&config);
}
