/*
 * settings.c
 *	  Every setting of pg_saas but the identity, which is not one a user sets.
 */
#include "postgres.h"

#include "compat.h"
#include "pure/command_line.h"
#include "pure/jwt.h"
#include "pure/mail.h"
#include "pure/smtp_url.h"
#include "state/settings.h"
#include "utils/guc.h"

char	   *saas_master_key_file = NULL;
char	   *saas_master_key_command = NULL;
bool		saas_reveal_secrets_enabled = true;
int			saas_master_key_command_timeout = 10000;
int			saas_data_key_grace = 604800;
int			saas_bcrypt_cost = 11;
int			saas_access_token_lifetime = 900;
int			saas_invitation_lifetime = 172800;
char	   *saas_jwt_issuer = NULL;
char	   *saas_jwt_audience = NULL;
int			saas_jwt_algorithm = SAAS_JWT_ES256;
char	   *saas_second_factor_issuer = NULL;
bool		saas_sign_up_enabled = true;
bool		saas_require_verified_email = true;
int			saas_sign_in_floor = 0;
bool		saas_password_composition = false;
bool		saas_restrict_sessions = true;
int			saas_min_poll_interval = 60;
bool		saas_poller_enabled = true;
int			saas_poller_max_in_flight = 1000;
int			saas_poller_max_per_host = 100;
int			saas_poller_max_per_org = 500;
int			saas_poller_workers = 1;
int			saas_poller_history_retention = 7;
bool		saas_maintenance_enabled = true;
int			saas_poller_connect_timeout = 5000;
int			saas_poller_request_timeout = 10000;
int			saas_poller_max_response = 8192;
int			saas_max_series = 10000;
int			saas_refresh_cooldown = 60;
bool		saas_allow_plain_http = false;
char	   *saas_ca_file = NULL;
int			saas_max_databases = 64;
int			saas_limit_entries = 65536;
int			saas_journal_entries = 4096;
char	   *saas_aws_credentials_file = NULL;
char	   *saas_aws_endpoints = NULL;
char	   *saas_aws_accounts = NULL;
int			saas_aws_requests_per_second = 25;
char	   *saas_smtp_url = NULL;
char	   *saas_smtp_user = NULL;
char	   *saas_smtp_password_file = NULL;
int			saas_smtp_tls = SAAS_SMTP_TLS_REQUIRED;
int			saas_smtp_timeout = 60000;
char	   *saas_mail_from = NULL;
char	   *saas_product_name = NULL;
char	   *saas_base_url = NULL;
char	   *saas_base_domain = NULL;

/* The algorithms that keys are made for. */
static const struct config_enum_entry jwt_algorithms[] = {
	{"ES256", SAAS_JWT_ES256, false},
	{"HS256", SAAS_JWT_HS256, false},
	{NULL, 0, false}
};

static char *allowed_networks_text = NULL;
static const SaasNetworkList no_networks;
static const SaasNetworkList *allowed_networks = &no_networks;

const SaasNetworkList *
SaasAllowedNetworks(void)
{
	return allowed_networks;
}

static bool
check_allowed_networks(char **newval, void **extra, GucSource source)
{
	SaasProblem problem = {0};
	SaasNetworkList *list = SaasGucAlloc(sizeof(SaasNetworkList));

	(void) source;
	if (list == NULL)
		return false;
	if (!SaasNetworkListParse(*newval ? *newval : "", list, &problem))
	{
		SaasGucFree(list);
		GUC_check_errdetail("%s", problem.message);
		GUC_check_errhint("Give addresses and CIDR blocks separated by commas, such as \"10.0.0.0/8, fd00::/8\".");
		return false;
	}
	*extra = list;
	return true;
}

static void
assign_allowed_networks(const char *newval, void *extra)
{
	(void) newval;
	allowed_networks = extra ? (const SaasNetworkList *) extra : &no_networks;
}

static char *trusted_proxies_text = NULL;
static const SaasProxies no_proxies;
static const SaasProxies *trusted_proxies = &no_proxies;

const SaasProxies *
SaasTrustedProxies(void)
{
	return trusted_proxies;
}

static bool
check_trusted_proxies(char **newval, void **extra, GucSource source)
{
	SaasProblem problem = {0};
	SaasProxies *proxies = SaasGucAlloc(sizeof(SaasProxies));

	(void) source;
	if (proxies == NULL)
		return false;
	if (!SaasProxiesParse(*newval ? *newval : "", proxies, &problem))
	{
		SaasGucFree(proxies);
		GUC_check_errdetail("%s", problem.detail);
		GUC_check_errhint("Give addresses and CIDR blocks separated by commas, and local for Unix sockets, such as \"10.0.0.7, local\".");
		return false;
	}
	*extra = proxies;
	return true;
}

static void
assign_trusted_proxies(const char *newval, void *extra)
{
	(void) newval;
	trusted_proxies = extra ? (const SaasProxies *) extra : &no_proxies;
}

static bool
check_master_key_command(char **newval, void **extra, GucSource source)
{
	SaasCommandLine line;

	(void) extra;
	(void) source;
	if (*newval == NULL || **newval == '\0' || SaasCommandLineSplit(*newval, &line))
		return true;
	GUC_check_errdetail("It is an absolute path with arguments, at most %d words.", SAAS_COMMAND_WORDS_MAX);
	GUC_check_errhint("Put a word that holds blanks into double quotes; no shell reads them.");
	return false;
}

static void
define_identity_settings(void)
{
	DefineCustomStringVariable("saas.master_key_file",
							   "File with the master keys that wrap the data keys.",
							   "Lines \"version:64 hex digits\"; the highest version is current. Must belong to the server's user (or root) and be readable by nobody else.",
							   &saas_master_key_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.master_key_command",
							   "Command that prints the master keys, instead of a file.",
							   "An absolute path with arguments, run as the server's user and without a shell; words are separated by blanks, double quotes keep blanks in a word. Each process runs it when it first opens a data key and again after a reload.",
							   &saas_master_key_command, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_master_key_command, NULL, NULL);
	DefineCustomIntVariable("saas.master_key_command_timeout",
							"Time limit of saas.master_key_command.",
							NULL, &saas_master_key_command_timeout, 10000, 100, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.reveal_secrets_enabled",
							 "Whether operators may read connections' secrets with saas.reveal_secret().",
							 "They need an open ticket for the organization, and every reading is logged.",
							 &saas_reveal_secrets_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.data_key_grace",
							"How long a superseded data key stays at least.",
							"For values that were sealed in one transaction and are stored in another. It is dropped by the rotation that finds nothing under it afterwards.",
							&saas_data_key_grace, 604800, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.bcrypt_cost",
							"Cost of password hashes: each step doubles their time.",
							NULL, &saas_bcrypt_cost, 11, 10, 16,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.access_token_lifetime",
							"How long an access token is good.",
							NULL, &saas_access_token_lifetime, 900, 60, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.invitation_lifetime",
							"How long an invitation to an organization is good.",
							NULL, &saas_invitation_lifetime, 172800, 3600, 2592000,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.jwt_issuer",
							   "Claim \"iss\" of the access tokens.",
							   NULL, &saas_jwt_issuer, "pg_saas",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.jwt_audience",
							   "Claim \"aud\" of the access tokens.",
							   NULL, &saas_jwt_audience, "pg_saas",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("saas.jwt_algorithm",
							 "Algorithm of the keys made to sign access tokens.",
							 "It counts from the next saas.rotate_token_keys() on. HS256 tokens are verified in the database only: their secret is in no key set.",
							 &saas_jwt_algorithm, SAAS_JWT_ES256, jwt_algorithms,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.second_factor_issuer",
							   "The name under which authenticator applications show their codes.",
							   NULL, &saas_second_factor_issuer, "pg_saas",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.sign_up_enabled",
							 "Whether people may create accounts themselves.",
							 NULL, &saas_sign_up_enabled, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.require_verified_email",
							 "Whether sign-in waits for a verified e-mail address.",
							 NULL, &saas_require_verified_email, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.sign_in_floor",
							"The shortest time in which a password is checked.",
							"Known and unknown accounts cost the same work already; a floor above that work also hides its variation, and holds the connection as long.",
							&saas_sign_in_floor, 0, 0, 10000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.password_composition",
							 "Whether a new password needs a lower-case letter, an upper-case letter and a digit.",
							 NULL, &saas_password_composition, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.restrict_sessions",
							 "Whether tenants are refused statements that reach other organizations or stay in the session.",
							 "LISTEN, NOTIFY, EXPLAIN, strong table locks, changes of roles; in sessions that tenants share also settings for the session, PREPARE, temporary objects and cursors WITH HOLD. ALTER ROLE ... SET turns it off for one login.",
							 &saas_restrict_sessions, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_poller_settings(void)
{
	DefineCustomIntVariable("saas.min_poll_interval",
							"The shortest interval at which a connection may be polled.",
							NULL, &saas_min_poll_interval, 60, 1, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.poller_enabled",
							 "Whether the background worker polls; call saas.poll() works either way.",
							 NULL, &saas_poller_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_max_in_flight",
							"Connections that one poller polls at the same time.",
							"An eighth of them is kept for organizations that have no more than a turn's polls under way.",
							&saas_poller_max_in_flight, 1000, 1, 20000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_max_per_host",
							"Open network connections of one poller to one host.",
							"An eighth of them is kept for organizations that have none there.",
							&saas_poller_max_per_host, 100, 1, 20000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_max_per_org",
							"Connections of one organization that one poller polls at the same time.",
							"What is left of saas.poller_max_in_flight is for the others, however many connections one has.",
							&saas_poller_max_per_org, 500, 1, 20000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_workers",
							"Pollers of each database that has the extension.",
							"Each takes a background worker slot and a share of the connections.",
							&saas_poller_workers, 1, 1, SAAS_POLLER_WORKERS_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_history_retention",
							"Days for which saas.poller_history keeps how polls went.",
							"It holds a row per connection and hour. 0 keeps none.",
							&saas_poller_history_retention, 7, 0, 3650,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("saas.maintenance_enabled",
							 "Whether the worker rolls up metrics and deletes what is past its retention.",
							 "Turn it off where pg_cron or something else calls saas.maintain().",
							 &saas_maintenance_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_connect_timeout",
							"Time limit for name look-up, TCP and TLS together.",
							NULL, &saas_poller_connect_timeout, 5000, 100, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_request_timeout",
							"Time limit of one request to an upstream.",
							NULL, &saas_poller_request_timeout, 10000, 100, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.poller_max_response",
							"The largest answer of an upstream, after decompression.",
							NULL, &saas_poller_max_response, 8192, 16, 1048576,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.max_series",
							"Series that a connection can have: different metrics and labels that came within 31 days.",
							"Samples of further ones are left out, and the connection's health says so.",
							&saas_max_series, 10000, 1, 10000000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.refresh_cooldown",
							"A refresh on demand within this time of a good poll answers from stored data.",
							NULL, &saas_refresh_cooldown, 60, 0, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.allowed_networks",
							   "Private networks that upstreams may be in.",
							   "Without it the poller connects to public addresses only.",
							   &allowed_networks_text, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_allowed_networks, assign_allowed_networks, NULL);
	DefineCustomBoolVariable("saas.allow_plain_http",
							 "Whether upstreams may be reached over http:// without TLS.",
							 NULL, &saas_allow_plain_http, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.ca_file",
							   "PEM file of the authorities that upstreams' certificates must come from.",
							   "Empty: the system's.",
							   &saas_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.max_databases",
							"Databases of the cluster that can have a poller.",
							NULL, &saas_max_databases, 64, 1, 1024,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void
define_aws_settings(void)
{
	DefineCustomStringVariable("saas.aws_credentials_file",
							   "File with the operator's own AWS access key, which assumes the roles of connections that bring no key.",
							   "Lines \"access_key_id:...\" and \"secret_access_key:...\". Must belong to the server's user (or root) and be readable by nobody else. It is read anew for each batch of polls.",
							   &saas_aws_credentials_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.aws_endpoints",
							   "Endpoints other than Amazon's that AWS connections may name, such as https://vpce-1a2b.sts.eu-west-1.vpce.amazonaws.com, separated by commas.",
							   "Origins without a path. Connections that name one need access keys of their own: the operator's are never sent there.",
							   &saas_aws_endpoints, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.aws_accounts",
							   "The operator's own AWS accounts, separated by commas: the first is the one that roles must trust, none can be connected.",
							   NULL, &saas_aws_accounts, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.aws_requests_per_second",
							"Requests a second, to CloudWatch and as many to STS, of an AWS account in a region, by all pollers of the server together.",
							"As many may come at once after a pause. CloudWatch allows 50, which the account's owner shares; a request beyond waits. Calls to STS with the operator's own keys count for these keys, for all organizations together. Servers that poll the same accounts divide it among them.",
							&saas_aws_requests_per_second, 25, 1, 50,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_limit_settings(void)
{
	DefineCustomStringVariable("saas.trusted_proxies",
							   "Proxies whose X-Forwarded-For names the client: addresses, CIDR blocks, and local for Unix sockets.",
							   "Name every proxy between clients and database, HTTP layers included, and nothing else: whoever connects from there may name any client.",
							   &trusted_proxies_text, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_trusted_proxies, assign_trusted_proxies, NULL);
	DefineCustomIntVariable("saas.limit_entries",
							"Entries of each memory of the server: requests, attempts, things used once, nonces, ended sessions, refreshed sessions.",
							"When one is full, requests forget who has asked longest ago, attempts who has made the fewest; the others refuse what is new. An organization takes an eighth of the nonces at most.",
							&saas_limit_entries, 65536, 1024, 16777216,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.journal_entries",
							"Notes of the server that wait to be written down.",
							"When they are more, the oldest are lost.",
							&saas_journal_entries, 4096, 64, 1048576,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static const struct config_enum_entry smtp_tls_options[] = {
	{"required", SAAS_SMTP_TLS_REQUIRED, false},
	{"opportunistic", SAAS_SMTP_TLS_OPPORTUNISTIC, false},
	{"off", SAAS_SMTP_TLS_OFF, false},
	{NULL, 0, false}
};

static bool
check_smtp_url(char **newval, void **extra, GucSource source)
{
	SaasSmtpServer server;
	SaasProblem problem = {0};

	(void) extra;
	(void) source;
	if (*newval == NULL || (*newval)[0] == '\0' || SaasSmtpUrlParse(*newval, &server, &problem))
		return true;
	GUC_check_errdetail("%s", problem.detail);
	return false;
}

static bool
check_mail_from(char **newval, void **extra, GucSource source)
{
	SaasArena  *arena = SaasArenaCreate(16 * 1024);
	SaasMailbox mailbox;
	bool		is_valid;

	(void) extra;
	(void) source;
	is_valid = *newval == NULL || (*newval)[0] == '\0' ||
		(arena != NULL && SaasMailboxParse(arena, *newval, &mailbox));
	SaasArenaDestroy(arena);
	if (!is_valid)
		GUC_check_errdetail("It is an address, or a name and an address in angle brackets.");
	return is_valid;
}

static bool
check_base_domain(char **newval, void **extra, GucSource source)
{
	const char *text = *newval;
	size_t		length = text ? strlen(text) : 0;

	(void) extra;
	(void) source;
	if (length == 0 || (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length &&
						length <= 189 && text[0] != '.' && text[length - 1] != '.'))
		return true;
	GUC_check_errdetail("It is a domain in lower case without a dot around it.");
	return false;
}

static void
define_mail_settings(void)
{
	DefineCustomStringVariable("saas.smtp_url",
							   "Server that takes mail in: smtp://host:587, or smtps://host:465 for TLS from the first byte.",
							   "Empty: mail stays queued. It may be in a private network: it is the operator's word.",
							   &saas_smtp_url, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_smtp_url, NULL, NULL);
	DefineCustomStringVariable("saas.smtp_user",
							   "User to sign in as at the mail server.",
							   "Empty: without signing in.",
							   &saas_smtp_user, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.smtp_password_file",
							   "File with the password of saas.smtp_user, on one line.",
							   "Must belong to the server's user (or root) and be readable by nobody else.",
							   &saas_smtp_password_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomEnumVariable("saas.smtp_tls",
							 "Whether mail is handed in under TLS: required, opportunistic or off.",
							 "opportunistic takes STARTTLS when the server offers it; with saas.smtp_user it counts as required. A certificate is always checked.",
							 &saas_smtp_tls, SAAS_SMTP_TLS_REQUIRED, smtp_tls_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("saas.smtp_timeout",
							"Time limit of each step of handing a mail in.",
							NULL, &saas_smtp_timeout, 60000, 100, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.mail_from",
							   "Sender of mails: an address, or \"Name <address>\".",
							   "Empty: mail stays queued.",
							   &saas_mail_from, "",
							   PGC_SIGHUP, 0, check_mail_from, NULL, NULL);
	DefineCustomStringVariable("saas.product_name",
							   "What mails call the product.",
							   NULL, &saas_product_name, "pg_saas",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.base_url",
							   "Where the links in mails lead, such as https://app.example.com.",
							   NULL, &saas_base_url, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("saas.base_domain",
							   "The domain below which slugs and subdomains of organizations are hosts, such as app.example.com.",
							   "Empty: none are.",
							   &saas_base_domain, "",
							   PGC_SIGHUP, 0, check_base_domain, NULL, NULL);
}

void
SaasSettingsInit(void)
{
	define_mail_settings();
	define_identity_settings();
	define_poller_settings();
	define_aws_settings();
	define_limit_settings();
}
