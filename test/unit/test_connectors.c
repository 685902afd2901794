/*
 * test_connectors.c
 *	  src/connector: the registry, and what makes configs and secrets valid.
 */
#include <jansson.h>

#include "pure/json.h"

#include "polls.h"
#include "tap.h"

#define SF_SECRETS	"{\"client_id\":\"cid\",\"refresh_token\":\"rt\"}"
#define SF_CONFIG	"{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"https://acme.my.salesforce.com\"}"
#define METRICS		"\"metrics\":[{\"name\":\"m\",\"path\":\"$.a\"}]"

/* Whether the problem lists the field, with that message when it is not NULL. */
static bool
lists(const char *field, const char *message)
{
	json_t	   *list = json_loads(validation.problem.detail, 0, NULL);
	json_t	   *entry;
	size_t		i;
	bool		found = false;

	json_array_foreach(list, i, entry)
		if (strcmp(SaasJsonText(entry, "field"), field) == 0 &&
			(message == NULL || strcmp(SaasJsonText(entry, "message"), message) == 0))
			found = true;
	json_decref(list);
	return found;
}

static size_t
listed(void)
{
	json_t	   *list = json_loads(validation.problem.detail, 0, NULL);
	size_t		count = json_array_size(list);

	json_decref(list);
	return count;
}

static void
test_registry(void)
{
	size_t		count = 0;

	for (const SaasConnector *const *c = SaasConnectorList(); *c != NULL; c++, count++)
		ok(SaasConnectorFind((*c)->kind) == *c && (*c)->title && (*c)->secret_names &&
		   (*c)->validate && (*c)->start && ((*c)->read || (*c)->read_lane), "%s is complete", (*c)->kind);
	ok(count == 5, "five kinds");
	ok(SaasConnectorFind("nothing") == NULL && SaasConnectorFind("") == NULL &&
	   SaasConnectorFind(NULL) == NULL, "unknown kinds");
}

static void
test_salesforce_valid(void)
{
	char		stored[512];

	ok(validate_with("salesforce", SF_CONFIG, SF_SECRETS, false), "a small config");
	is_text(validation.normalized,
			"{\"api_version\":\"66.0\",\"auth\":\"refresh_token\","
			"\"instance_url\":\"https://acme.my.salesforce.com\","
			"\"login_url\":\"https://login.salesforce.com\",\"org_id\":\"00D5e000001N20QEAS\"}",
			"defaults are filled in");
	is_text(validation.account_key, "00D5e000001N20QEAS", "the account is the 18-character id");
	is_text(validation.external_account_id, "00D5e000001N20QEAS", "which people see");
	is_text(validation.origin, "https://acme.my.salesforce.com:443 https://login.salesforce.com:443",
			"secrets belong to both origins");
	is_text(secret_of(validation.secret_list, "refresh_token"), "rt", "the secrets are read");

	ok(validate_with("salesforce",
					 "{\"org_id\":\"00D5e000001N20QEAS\",\"instance_url\":\"HTTPS://ACME.example:443/\","
					 "\"login_url\":\"https://test.salesforce.com:8443\",\"api_version\":\"v29.0\","
					 "\"auth\":\"refresh_token\",\"username\":null}",
					 "{\"access_token\":\"at\"}", false), "a full config and only an access token");
	ok(strstr(validation.normalized, "\"api_version\":\"29.0\"") != NULL &&
	   strstr(validation.normalized, "\"instance_url\":\"https://acme.example\"") != NULL &&
	   strstr(validation.normalized, "\"login_url\":\"https://test.salesforce.com:8443\"") != NULL,
	   "in one spelling: %s", validation.normalized);
	snprintf(stored, sizeof(stored), "%s", validation.normalized);
	ok(validate_with("salesforce", stored, NULL, false) &&
	   strcmp(validation.normalized, stored) == 0, "a stored config is valid, secrets unchecked");
	ok(validate_with("salesforce",
					 "{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"http://127.0.0.1:8080\"}",
					 "{\"access_token\":\"a\"}", true), "plain HTTP where it is allowed");
}

static void
test_salesforce_invalid(void)
{
	ok(!validate_with("salesforce", "{}", "{}", false), "an empty config");
	is_text(validation.problem.sqlstate, "22023", "is 22023");
	is_text(validation.problem.message, "invalid configuration for a salesforce connection", "named");
	ok(listed() == 3 && lists("org_id", "is required") && lists("instance_url", "is required") &&
	   lists("secrets.refresh_token", NULL), "with every missing field: %s", validation.problem.detail);

	ok(!validate_with("salesforce",
					  "{\"org_id\":\"00D5e000001N20QAAA\",\"instance_url\":\"http://a.b\","
					  "\"login_url\":\"https://a.b/path\",\"api_version\":\"28.0\","
					  "\"auth\":\"password\",\"username\":7,\"region\":1}",
					  "{\"refresh_token\":\"rt\"}", false), "many errors");
	ok(lists("org_id", NULL) && lists("instance_url", "must begin with https://") &&
	   lists("login_url", "must not have a path or a query") &&
	   lists("api_version", "must be 29.0 or later"), "are collected: %s", validation.problem.detail);
	ok(listed() == 8 && lists("auth", "must be refresh_token or jwt_bearer") && lists("username", "must be a string") &&
	   lists("region", "is not a known key") && lists("secrets.client_id", NULL) &&
	   validation.problem.hint[0] == '\0', "all eight of them");

	ok(!validate_with("salesforce", SF_CONFIG, "{\"refresh_token\":\"rt\"}", false) && listed() == 1 &&
	   lists("secrets.client_id", NULL), "a refresh token needs a client id");
	ok(!validate_with("salesforce", SF_CONFIG, "{\"client_id\":\"\",\"refresh_token\":\"a\\nb\"}", false) &&
	   listed() == 2 && lists("secrets.client_id", "must not be empty") &&
	   lists("secrets.refresh_token", "must not hold control characters"), "faulty secrets: %s",
	   validation.problem.detail);
	ok(!validate_with("salesforce", SF_CONFIG, "{\"access_token\":1,\"hunter23\":\"hunter22\"}", false) &&
	   lists("secrets.access_token", "must be a string") &&
	   lists("secrets", "has a name that is none of client_id, client_secret, access_token, refresh_token,"
			 " private_key") &&
	   !is_shown(&validation.problem, "hunter"), "unknown secrets, and neither name nor value is quoted");
}

static void
test_versions_and_types(void)
{
	static const char *const bad_versions[] = {
		"\"66\"", "66", "66.0", "\"66.1\"", "\"066.0\"", "\"vv66.0\"", "\"66.0x\"", "\"\"", "\"9.0\"",
		"\"6600.0\"", "[]"
	};
	char		config[512];

	for (size_t i = 0; i < sizeof(bad_versions) / sizeof(bad_versions[0]); i++)
	{
		snprintf(config, sizeof(config), "{\"org_id\":\"00D5e000001N20Q\","
				 "\"instance_url\":\"https://a.b\",\"api_version\":%s}", bad_versions[i]);
		ok(!validate_with("salesforce", config, SF_SECRETS, false) && listed() == 1 &&
		   lists("api_version", NULL), "no version: %s", bad_versions[i]);
	}
	ok(!validate_with("salesforce", "{\"org_id\":[],\"instance_url\":{}}", SF_SECRETS, false) &&
	   lists("org_id", "must be a string") && lists("instance_url", "must be a string"), "wrong types");
}

static void
test_documents(void)
{
	static const char *const bad[] = {"", "[]", "null", "{", "{\"a\":1,\"a\":2}", "7", "{}x"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		ok(!validate_with("prometheus", bad[i], "{}", false) && listed() == 1 &&
		   lists("config", NULL), "no config: %s", validation.problem.detail);
		ok(!validate_with("prometheus", "{\"url\":\"https://a.b/m\"}", bad[i], false) &&
		   listed() == 1 && lists("secrets", NULL), "no secrets: %s", validation.problem.detail);
	}
	ok(!validate_with("prometheus", NULL, NULL, false) && lists("config", NULL), "no text at all");
	validate_with("prometheus", "{}", "{\"bearer_token\":\"hunter22\" x}", false);
	ok(!is_shown(&validation.problem, "hunter"), "malformed secrets are not quoted");
}

static void
test_prometheus(void)
{
	static const char *const bad_urls[] = {
		"", "a.b/metrics", "ftp://a.b/", "http://a.b/", "https://user:pw@a.b/", "https://a.b/#x",
		"https://a.b/ x", "https://a.b/\\u0001", "https:///x", "https://a.b:0/"
	};
	char		config[512];

	ok(validate_with("prometheus", "{\"url\":\"https://A.b:443/metrics?x=1\"}", "{}", false), "a URL");
	is_text(validation.account_key, "https://a.b/metrics?x=1", "is the account");
	is_text(validation.normalized, "{\"url\":\"https://a.b/metrics?x=1\"}", "in one spelling");
	is_text(validation.origin, "https://a.b:443", "the origin");
	ok(validation.external_account_id == NULL, "and no account id");
	ok(validate_with("prometheus", "{\"url\":\"https://a.b\"}",
					 "{\"username\":\"u\",\"password\":\"p:w\"}", false), "a password");
	is_text(validation.account_key, "https://a.b/", "a path is filled in");

	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++)
	{
		snprintf(config, sizeof(config), "{\"url\":\"%s\"}", bad_urls[i]);
		ok(!validate_with("prometheus", config, "{}", false) && listed() == 1 && lists("url", NULL),
		   "no URL: %s", validation.problem.detail);
	}
	snprintf(config, sizeof(config), "{\"url\":\"https://a.b/%0*d\"}", 256 - 12, 0);
	ok(!validate_with("prometheus", config, "{}", false) &&
	   lists("url", "must not be longer than 255 bytes"), "a URL of 256 bytes");
	snprintf(config, sizeof(config), "{\"url\":\"https://a.b/%0*d\"}", 255 - 12, 0);
	ok(validate_with("prometheus", config, "{}", false), "and one of 255");

	ok(!validate_with("prometheus", "{\"url\":\"https://a.b\"}",
					  "{\"bearer_token\":\"t\",\"password\":\"p\"}", false) &&
	   lists("secrets.password", NULL), "two ways at once");
	ok(!validate_with("prometheus", "{\"url\":\"https://a.b\"}", "{\"password\":\"p\"}", false) &&
	   lists("secrets.username", NULL), "a password without a user");
	ok(!validate_with("prometheus", "{\"url\":\"https://a.b\"}",
					  "{\"username\":\"a:b\",\"password\":\"p\"}", false) &&
	   lists("secrets.username", NULL), "a user with a colon");
	ok(!validate_with("prometheus", "{\"url\":\"https://a.b\",\"interval\":5}", "{}", false) &&
	   lists("interval", "is not a known key"), "an unknown key");
}

static void
test_http_json_valid(void)
{
	ok(validate_with("http_json", "{\"url\":\"https://a.b/x\"," METRICS "}", "{}", false), "a small config");
	is_text(validation.normalized,
			"{\"auth\":\"none\",\"headers\":{},\"method\":\"GET\"," METRICS ",\"url\":\"https://a.b/x\"}",
			"defaults are filled in");
	is_text(validation.account_key, "GET https://a.b/x", "method and URL are the account");
	ok(validate_with("http_json",
					 "{\"url\":\"https://a.b/x\",\"method\":\"POST\",\"headers\":{\"X-Tenant\":\"é\","
					 "\"X-Author\":\"me\",\"Accept\":\"*/*\"},\"body\":{\"n\":1},\"auth\":\"api_key\","
					 "\"api_key_header\":\"Authorization\",\"metrics\":[{\"name\":\"a:b\","
					 "\"path\":\"$[*].v\",\"labels\":{\"c\":\"x\",\"d\":\"@.d\"},\"time_path\":\"@.t\"},"
					 "{\"name\":\"a:b\",\"path\":\"$.w\",\"labels\":{\"c\":\"y\"}}]}",
					 "{\"api_key\":\"k\"}", false), "a full config");
	ok(strstr(validation.normalized, "\"body\":{\"n\":1}") != NULL, "the body stays as it is");
	ok(validate_with("http_json", "{\"url\":\"https://a.b/x\",\"auth\":\"api_key\"," METRICS "}",
					 NULL, false) && strstr(validation.normalized, "X-API-Key") != NULL,
	   "the key's default header");
}

static void
test_http_json_headers(void)
{
	static const char *const refused[] = {
		"Authorization", "authorization", "Cookie", "Proxy-Authorization", "proxy-x", "Host",
		"Content-Length", "Transfer-Encoding", "x-api-key", "X-Auth-Token", "X_Secret", "apikey",
		"Connection", "Private-Token", "X-Session-Id", "Accept-Encoding", "bad name", "", "x:y"
	};
	char		config[512];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		char		field[64];

		snprintf(config, sizeof(config), "{\"url\":\"https://a.b\",\"headers\":{\"%s\":\"hunter22\"},"
				 METRICS "}", refused[i]);
		snprintf(field, sizeof(field), "headers.%s", refused[i]);
		ok(!validate_with("http_json", config, "{}", false) && listed() == 1 && lists(field, NULL) &&
		   !is_shown(&validation.problem, "hunter22"), "refused: %s", validation.problem.detail);
	}
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"headers\":{\"X-A\":\"1\",\"x-a\":\"2\"},"
					  METRICS "}", "{}", false) && lists("headers", "a name occurs twice"),
	   "a name in two spellings");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"headers\":{\"X-A\":\"a\\r\\nB: c\","
					  "\"X-B\":1,\"X-C\":\"Bearer hunter22\"}," METRICS "}", "{}", false) &&
	   lists("headers.X-A", "must not hold control characters") &&
	   lists("headers.X-B", "must be a string") && lists("headers.X-C", NULL) &&
	   !is_shown(&validation.problem, "hunter22"), "values");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"headers\":[]," METRICS "}", "{}", false) &&
	   lists("headers", NULL), "an array of headers");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"headers\":{\"x-mine\":\"1\"},"
					  "\"auth\":\"api_key\",\"api_key_header\":\"X-Mine\"," METRICS "}",
					  "{\"api_key\":\"k\"}", false) && lists("api_key_header", NULL),
	   "the key's header is given twice");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"auth\":\"api_key\","
					  "\"api_key_header\":\"Host\"," METRICS "}", "{\"api_key\":\"k\"}", false) &&
	   lists("api_key_header", NULL), "the key's header is Host");
}

static void
test_http_json_invalid(void)
{
	static const char *const bad_metrics[] = {
		"null", "[]", "{}", "[1]", "[{}]", "[{\"name\":\"a-b\",\"path\":\"$.a\"}]",
		"[{\"name\":\"1a\",\"path\":\"$.a\"}]", "[{\"name\":\"a\",\"path\":\"a\"}]",
		"[{\"name\":\"a\",\"path\":\"@.a\"}]", "[{\"name\":\"a\",\"path\":\"$.a\",\"x\":1}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"labels\":[]}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"labels\":{\"l\":1}}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"labels\":{\"l-m\":\"1\"}}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"labels\":{\"l\":\"@.\"}}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"time_path\":\"t\"}]",
		"[{\"name\":\"a\",\"path\":\"$.a\",\"time_path\":\"$[*].t\"}]",
		"[{\"name\":\"a\",\"path\":\"$.a\"},{\"name\":\"a\",\"path\":\"$.b\",\"labels\":{}}]"
	};
	char		config[512];
	char	   *many = calloc(1, 20000);
	size_t		length;

	for (size_t i = 0; i < sizeof(bad_metrics) / sizeof(bad_metrics[0]); i++)
	{
		snprintf(config, sizeof(config), "{\"url\":\"https://a.b\",\"metrics\":%s}", bad_metrics[i]);
		ok(!validate_with("http_json", config, "{}", false) &&
		   strstr(validation.problem.detail, "\"metrics") != NULL, "metrics: %s",
		   validation.problem.detail);
	}
	for (int count = 200; count <= 201; count++)
	{
		length = (size_t) snprintf(many, 20000, "{\"url\":\"https://a.b\",\"metrics\":[");
		for (int i = 0; i < count; i++)
			length += (size_t) snprintf(many + length, 20000 - length,
										"%s{\"name\":\"m%d\",\"path\":\"$.a\"}", i > 0 ? "," : "", i);
		snprintf(many + length, 20000 - length, "]}");
		ok(validate_with("http_json", many, "{}", false) == (count == 200), "%d metrics", count);
	}
	free(many);

	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"method\":\"PUT\",\"auth\":\"digest\","
					  METRICS "}", "{}", false) && lists("method", NULL) && lists("auth", NULL),
	   "method and auth");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"body\":\"x\"," METRICS "}", "{}", false) &&
	   lists("body", NULL), "a body with GET");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"auth\":\"bearer\"," METRICS "}",
					  "{\"password\":\"p\"}", false) && lists("secrets.bearer_token", NULL) &&
	   lists("secrets.password", NULL), "secrets of another auth");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"api_key_header\":\"X\"," METRICS "}",
					  "{}", false) && lists("api_key_header", NULL), "a key's header without a key");
}

#define OAUTH_CONFIG(more)	"{\"url\":\"https://a.b/x\",\"auth\":\"client_credentials\"" more "," METRICS "}"
#define OAUTH_SECRETS	"{\"client_id\":\"c\",\"client_secret\":\"s\"}"

static void
test_http_json_oauth(void)
{
	ok(validate_with("http_json", OAUTH_CONFIG(",\"token_url\":\"https://Id.b:443/t\",\"scope\":\"a b\""),
					 OAUTH_SECRETS, false) &&
	   strstr(validation.normalized, "\"token_url\":\"https://id.b/t\"") != NULL &&
	   strstr(validation.normalized, "\"client_auth\":\"basic\"") != NULL, "client credentials");
	is_text(validation.origin, "https://a.b:443 https://id.b:443", "secrets for two origins");
	ok(!validate_with("http_json", OAUTH_CONFIG(""), "{}", false) && listed() == 3 &&
	   lists("token_url", "is required") &&
	   lists("secrets.client_id", "is required with auth client_credentials") &&
	   lists("secrets.client_secret", NULL), "what they need");
	ok(!validate_with("http_json", OAUTH_CONFIG(",\"token_url\":\"http://id.b/t\",\"client_auth\":\"jwt\","
											   "\"scope\":\"a\\n\""), OAUTH_SECRETS, false) &&
	   listed() == 3 && lists("token_url", "must begin with https://") &&
	   lists("client_auth", "must be basic or body") && lists("scope", NULL), "what they may be");
	ok(!validate_with("http_json", OAUTH_CONFIG(",\"token_url\":\"https://id.b\""),
					  "{\"client_id\":\"c\",\"client_secret\":\"s\",\"access_token\":\"t\"}", false) &&
	   listed() == 1 && lists("secrets", NULL), "the token is not given");
	ok(!validate_with("http_json", "{\"url\":\"https://a.b\",\"scope\":\"a\",\"token_url\":\"https://id.b\","
					  METRICS "}", "{\"client_id\":\"c\"}", false) && listed() == 3 &&
	   lists("scope", "needs auth client_credentials") && lists("token_url", NULL) &&
	   lists("secrets.client_id", "is not used with auth none"), "and not without them");
}

static void
test_http_json_secret_headers(void)
{
	static const struct
	{
		const char *config;
		const char *secrets;
		const char *field;
	}			bad[] = {
		{"", "{\"header:\":\"x\"}", "secrets"},
		{"", "{\"header:a b\":\"x\"}", "secrets"},
		{"", "{\"header:Host\":\"x\"}", "secrets.header:Host"},
		{"", "{\"header:If-None-Match\":\"x\"}", "secrets.header:If-None-Match"},
		{"", "{\"header:X\":\"a\\r\\nb\"}", "secrets.header:X"},
		{"", "{\"header:X\":\"1\",\"header:x\":\"2\"}", NULL},
		{"", "{\"headers:X\":\"1\"}", "secrets"},
		{"", "{\"header:Xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":\"1\"}", "secrets"},
		{"\"headers\":{\"X-A\":\"1\"},", "{\"header:x-a\":\"2\"}", "secrets.header:x-a"},
		{"\"auth\":\"bearer\",", "{\"bearer_token\":\"t\",\"header:Authorization\":\"2\"}",
		"secrets.header:Authorization"},
		{"\"auth\":\"api_key\",", "{\"api_key\":\"t\",\"header:X-Api-Key\":\"2\"}",
		"secrets.header:X-Api-Key"},
		{"\"auth\":\"api_key\",\"api_key_query\":\"k\",\"api_key_header\":\"X\",", "{\"api_key\":\"t\"}",
		"api_key_header"},
		{"\"api_key_query\":\"k\",", "{}", "api_key_query"},
		{"\"headers\":{\"If-Modified-Since\":\"x\"},", "{}", "headers.If-Modified-Since"}
	};
	char		config[256];

	ok(validate_with("http_json", "{\"url\":\"https://a.b\"," METRICS "}",
					 "{\"header:X-Auth-Token\":\"1\",\"header:Cookie\":\"a=b\"}", false) &&
	   validation.secret_list != NULL && strcmp(validation.secret_list->name, "header:Cookie") == 0,
	   "headers that are secrets");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		snprintf(config, sizeof(config), "{\"url\":\"https://a.b\",%s" METRICS "}", bad[i].config);
		ok(!validate_with("http_json", config, bad[i].secrets, false) && listed() == 1 &&
		   (bad[i].field == NULL || lists(bad[i].field, NULL)), "refused: %s", validation.problem.detail);
	}
}

static void
test_detail_bound(void)
{
	char		config[8192];
	size_t		length = (size_t) snprintf(config, sizeof(config), "{\"url\":\"https://a.b\"");

	for (int i = 0; i < 100; i++)
		length += (size_t) snprintf(config + length, sizeof(config) - length,
									",\"key \\\" %d é%0*d\":1", i, i % 50, 0);
	snprintf(config + length, sizeof(config) - length, "}");
	ok(!validate_with("prometheus", config, "{}", false) && listed() >= 5 && listed() < 100,
	   "a long detail is whole JSON: %zu entries", listed());
	snprintf(config, sizeof(config), "%zu more errors are not listed.", 100 - listed());
	is_text(validation.problem.hint, config, "and the hint counts the others");
}

static void
test_exhausted(void)
{
	bool		refused = true;

	for (size_t bytes = 0; bytes < 4096; bytes += 16)
	{
		SaasArena  *small = SaasArenaCreate(bytes);
		SaasValidation own = {.arena = small, .config = SF_CONFIG, .secrets = SF_SECRETS};

		if (SaasConnectorFind("salesforce")->validate(&own))
			refused = refused && own.normalized && own.account_key && own.origin;
		else
			refused = refused && strcmp(own.problem.sqlstate, "22023") == 0;
		SaasArenaDestroy(small);
	}
	ok(refused, "an exhausted arena is an error and no crash");
}

int
main(void)
{
	test_registry();
	test_salesforce_valid();
	test_salesforce_invalid();
	test_versions_and_types();
	test_documents();
	test_prometheus();
	test_http_json_valid();
	test_http_json_headers();
	test_http_json_invalid();
	test_http_json_oauth();
	test_http_json_secret_headers();
	test_detail_bound();
	test_exhausted();
	SaasArenaDestroy(arena);
	return tap_done();
}
