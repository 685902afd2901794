/*
 * test_salesforce_jwt.c
 *	  pure/assertion.c and the JWT bearer flow of connector/salesforce*.c:
 *	  which keys sign, what the assertion says, and who refuses it.
 */
#include <jansson.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "pure/assertion.h"
#include "pure/crypto.h"
#include "pure/json.h"

#include "files.h"
#include "polls.h"
#include "tap.h"

#define KIND		"salesforce"
#define LIMITS_URL	"https://acme.my.salesforce.com/services/data/v66.0/limits/"
#define LIMITS		"{\"DailyApiRequests\":{\"Max\":10,\"Remaining\":4}}"
#define EXPIRED		"[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]"

static EVP_PKEY *key;
static char *key_pem;			/* PKCS#8 */
static SaasProblem problem;

static EVP_PKEY *
new_rsa(size_t bits)
{
	EVP_PKEY   *made = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);

	if (made == NULL)
		abort();
	return made;
}

/* The private half in PEM; malloc'd. */
static char *
pem_of(EVP_PKEY *private, bool is_pkcs1, const char *pass_phrase)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	const EVP_CIPHER *cipher = pass_phrase != NULL ? EVP_aes_128_cbc() : NULL;
	const int	length = pass_phrase != NULL ? (int) strlen(pass_phrase) : 0;
	const unsigned char *bytes = (const unsigned char *) pass_phrase;
	char	   *data;
	char	   *pem;
	long		written;
	int			ok;

	ok = is_pkcs1 ? PEM_write_bio_PrivateKey_traditional(bio, private, cipher, bytes, length, NULL, NULL) :
		PEM_write_bio_PKCS8PrivateKey(bio, private, cipher, pass_phrase, length, NULL, NULL);
	if (ok != 1)
		abort();
	written = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t) written);
	BIO_free(bio);
	return pem;
}

static bool
signs(const char *pem)
{
	memset(&problem, 0, sizeof(problem));
	return SaasAssertionKeyCheck(pem, &problem);
}

static bool
refused(const char *pem, const char *why)
{
	return !signs(pem) && strcmp(problem.sqlstate, "22023") == 0 && strcmp(problem.detail, why) == 0;
}

/* A number of DER: its length, and the number itself where out is not NULL. */
static int
put_number(const BIGNUM *number, unsigned char **out)
{
	ASN1_INTEGER *integer = BN_to_ASN1_INTEGER(number, NULL);
	int			length = i2d_ASN1_INTEGER(integer, out);

	ASN1_INTEGER_free(integer);
	return length;
}

/* PKCS#1 of these numbers, which OpenSSL itself would not write where they do not fit; malloc'd PEM. */
static char *
pem_of_numbers(BIGNUM *const *numbers, int count)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	int			inner = 0;
	int			length;
	unsigned char *der;
	unsigned char *next;
	char	   *data;
	char	   *pem;

	for (int i = 0; i < count; i++)
		inner += put_number(numbers[i], NULL);
	length = ASN1_object_size(1, inner, V_ASN1_SEQUENCE);
	der = next = malloc((size_t) length);
	ASN1_put_object(&next, 1, inner, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	for (int i = 0; i < count; i++)
		put_number(numbers[i], &next);
	if (next != der + length || PEM_write_bio(bio, PEM_STRING_RSA, "", der, length) <= 0)
		abort();
	length = (int) BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t) length);
	free(der);
	BIO_free(bio);
	return pem;
}

/* A copy of the key with one of its numbers replaced; malloc'd PEM. */
static char *
forge(EVP_PKEY *original, const char *name, const BIGNUM *value)
{
	static const char *const names[] = {
		OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
		OSSL_PKEY_PARAM_RSA_COEFFICIENT1
	};
	BIGNUM	   *numbers[9] = {BN_new()};	/* the version, 0 */
	char	   *pem;

	for (int i = 0; i < 8; i++)
	{
		EVP_PKEY_get_bn_param(original, names[i], &numbers[i + 1]);
		if (strcmp(names[i], name) == 0)
			BN_copy(numbers[i + 1], value);
	}
	pem = pem_of_numbers(numbers, 9);
	for (int i = 0; i < 9; i++)
		BN_free(numbers[i]);
	return pem;
}

static void
test_keys(void)
{
	static const char not_pem[] = "is not an unencrypted RSA private key in PEM";
	static const char not_whole[] = "is not a well-formed RSA key of two primes";
	static const char not_its_own[] = "does not belong to its public half";
	static const char not_size[] = "must be an RSA key of 2048 to 4096 bits";
	EVP_PKEY   *other = new_rsa(2048);
	EVP_PKEY   *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY   *small = new_rsa(1024);
	BIGNUM	   *huge = BN_new();
	BIGNUM	   *modulus = NULL;
	char	   *pem;

	ok(signs(key_pem), "PKCS#8 signs");
	pem = pem_of(key, true, NULL);
	ok(strstr(pem, "BEGIN RSA PRIVATE KEY") != NULL && signs(pem), "PKCS#1 signs");
	free(pem);
	pem = pem_of(key, false, "hunter22");
	ok(refused(pem, not_pem), "an encrypted PKCS#8 does not");
	free(pem);
	pem = pem_of(key, true, "hunter22");
	ok(refused(pem, not_pem), "nor an encrypted PKCS#1");
	free(pem);
	pem = pem_of(ec, false, NULL);
	ok(refused(pem, not_pem), "nor a key of a curve");
	free(pem);
	pem = pem_of(small, false, NULL);
	ok(refused(pem, not_size), "nor one of 1024 bits: %s", problem.detail);
	free(pem);
	ok(refused("", not_pem) && refused("x", not_pem) && refused("-----BEGIN RSA PRIVATE KEY-----\n", not_pem) &&
	   refused("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", not_pem), "nor what is none");

	EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_RSA_N, &modulus);
	pem = forge(key, OSSL_PKEY_PARAM_RSA_N, modulus);
	ok(refused(pem, not_its_own), "a modulus of another key: %s", problem.detail);
	free(pem);
	/* A signature with such numbers would take the poller minutes. */
	BN_set_bit(huge, 20000);
	BN_set_bit(huge, 0);
	pem = forge(key, OSSL_PKEY_PARAM_RSA_EXPONENT1, huge);
	ok(refused(pem, not_whole), "an exponent of 20,000 bits: %s", problem.detail);
	free(pem);
	pem = forge(key, OSSL_PKEY_PARAM_RSA_FACTOR1, huge);
	ok(refused(pem, not_whole), "a prime of 20,000 bits: %s", problem.detail);
	free(pem);
	pem = forge(key, OSSL_PKEY_PARAM_RSA_D, huge);
	ok(refused(pem, not_whole), "a private exponent of 20,000 bits: %s", problem.detail);
	free(pem);
	BN_zero(huge);
	BN_set_bit(huge, 64);
	BN_set_bit(huge, 0);
	pem = forge(key, OSSL_PKEY_PARAM_RSA_E, huge);
	ok(refused(pem, not_whole), "a public exponent of 65 bits: %s", problem.detail);
	free(pem);

	BN_free(huge);
	BN_free(modulus);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(small);
}

static void
test_primes(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY   *three = NULL;
	char	   *pem;

	if (EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) != 1 ||
		EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, 3) != 1 || EVP_PKEY_generate(ctx, &three) != 1)
		abort();
	pem = pem_of(three, false, NULL);
	ok(refused(pem, "is not a well-formed RSA key of two primes"), "a key of three primes");
	free(pem);
	EVP_PKEY_free(three);
	EVP_PKEY_CTX_free(ctx);
}

/* What a spoilt key costs is bounded, and nothing crashes. */
static void
test_spoilt(void)
{
	uint64_t	state = 5;
	size_t		refusals = 0;

	for (int i = 0; i < 300; i++)
	{
		size_t		length;
		char	   *spoilt = spoil(key_pem, strlen(key_pem), &state, &length);
		char	   *copy = strndup(spoilt, length);

		refusals += !signs(copy);
		free(spoilt);
		free(copy);
	}
	ok(refusals > 100, "of 300 spoilt keys %zu are refused and none crashes", refusals);
}

/* A config of the flow with more members, which begin with a comma. */
static const char *
config_with(const char *more)
{
	static char text[1024];

	snprintf(text, sizeof(text), "{\"org_id\":\"00D5e000001N20Q\",\"auth\":\"jwt_bearer\","
			 "\"username\":\"poller@acme.example\","
			 "\"instance_url\":\"https://acme.my.salesforce.com\"%s}", more);
	return text;
}

/* Secrets of the flow with more members, which begin with a comma. */
static const char *
secrets_with(const char *more)
{
	static char text[16384];
	json_t	   *pem = json_string(key_pem);
	char	   *quoted = json_dumps(pem, JSON_ENCODE_ANY);

	snprintf(text, sizeof(text), "{\"client_id\":\"3MVG9&\\\"x\",\"private_key\":%s%s}", quoted,
			 more);
	free(quoted);
	json_decref(pem);
	return text;
}

static bool
complains(const char *config, const char *secrets, const char *field)
{
	char		quoted[128];

	snprintf(quoted, sizeof(quoted), "\"field\":\"%s\"", field);
	return !validate_with(KIND, config, secrets, false) &&
		strstr(validation.problem.detail, quoted) != NULL &&
		strstr(validation.problem.detail, "},{") == NULL;
}

static void
test_config(void)
{
	ok(validate_with(KIND, config_with(""), secrets_with(""), false), "client id, user and key are enough: %s",
	   validation.problem.detail);
	ok(strstr(validation.normalized, "\"audience\"") == NULL &&
	   strstr(validation.normalized, "\"auth\":\"jwt_bearer\"") != NULL, "stored as given");
	ok(validate_with(KIND, config_with(""), NULL, false), "a stored config, secrets unchecked");
	ok(complains("{\"org_id\":\"00D5e000001N20Q\",\"auth\":\"jwt_bearer\","
				 "\"instance_url\":\"https://acme.my.salesforce.com\"}", secrets_with(""), "username"),
	   "a user is needed");
	ok(complains(config_with(""), "{\"client_id\":\"c\"}", "secrets.private_key"), "a key is needed");
	ok(complains(config_with(""), "{\"client_id\":\"c\",\"private_key\":\"x\"}", "secrets.private_key"),
	   "a key that signs: %s", validation.problem.detail);
	ok(complains(config_with(""), secrets_with(",\"refresh_token\":\"r\""), "secrets.refresh_token"),
	   "no refresh token");
	ok(complains(config_with(""), secrets_with(",\"client_secret\":\"s\""), "secrets.client_secret"),
	   "no client secret");
	ok(complains("{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"https://acme.my.salesforce.com\"}",
				 "{\"access_token\":\"a\",\"private_key\":\"x\"}", "secrets.private_key"),
	   "no key in the other flow");
	ok(complains("{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"https://acme.my.salesforce.com\","
				 "\"audience\":\"https://x.example\"}", "{\"access_token\":\"a\"}", "audience"), "nor an audience");
}

static void
test_login_urls(void)
{
	static const struct
	{
		const char *instance;
		const char *login;
	}			cases[] = {
		{"https://acme.my.salesforce.com", "https://login.salesforce.com"},
		{"https://acme--dev.sandbox.my.salesforce.com", "https://test.salesforce.com"},
		{"https://ACME--dev.sandbox.my.salesforce.com/", "https://test.salesforce.com"},
		{"https://acme--dev.my.salesforce.com", "https://test.salesforce.com"},
		{"https://ability-saas-12-dev-ed.scratch.my.salesforce.com", "https://test.salesforce.com"},
		{"https://acme-dev-ed.develop.my.salesforce.com", "https://login.salesforce.com"},
		{"https://na139.salesforce.com", "https://login.salesforce.com"},
		{"https://a--b.example.com", "https://login.salesforce.com"}
	};
	char		text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"%s\"}", cases[i].instance);
		ok(validate_with(KIND, text, "{\"access_token\":\"a\"}", false) &&
		   strstr(validation.normalized, cases[i].login) != NULL, "%s signs in at %s", cases[i].instance,
		   cases[i].login);
	}
	ok(complains("{\"org_id\":\"00D5e000001N20Q\",\"instance_url\":\"https://acme.lightning.force.com\"}",
				 "{\"access_token\":\"a\"}", "instance_url"), "the browser's host is none: %s",
	   validation.problem.detail);
}

/* A field of the form that the request under way sends, decoded where it is base64url alone. */
static const char *
form_field(const char *name)
{
	static char value[8192];
	char		start[64];
	const char *found;

	snprintf(start, sizeof(start), "&%s=", name);
	found = poll.request.body != NULL ? strstr(poll.request.body, start) : NULL;
	if (found == NULL)
		return "";
	snprintf(value, sizeof(value), "%s", found + strlen(start));
	value[strcspn(value, "&")] = '\0';
	return value;
}

/* The assertion's claims when the key's public half signed them; NULL otherwise. */
static json_t *
verified_claims(const char *assertion, EVP_PKEY *public)
{
	const char *dot = strchr(assertion, '.');
	const char *last = strrchr(assertion, '.');
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char bytes[8192];
	json_t	   *claims = NULL;
	long		length;

	if (dot == NULL || dot == last || strncmp(assertion, "eyJhbGciOiJSUzI1NiJ9.", 21) != 0)
		abort();
	length = SaasBase64UrlDecode(last + 1, strlen(last + 1), bytes);
	if (length == EVP_PKEY_get_size(public) &&
		EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, public, NULL) == 1 &&
		EVP_DigestVerify(ctx, bytes, (size_t) length, (const unsigned char *) assertion,
						 (size_t) (last - assertion)) == 1)
	{
		length = SaasBase64UrlDecode(dot + 1, (size_t) (last - dot - 1), bytes);
		claims = json_loadb((const char *) bytes, (size_t) length, 0, NULL);
	}
	EVP_MD_CTX_free(ctx);
	return claims;
}

static void
test_assertion(void)
{
	EVP_PKEY   *other = new_rsa(2048);
	json_t	   *claims;

	ok(start_poll(KIND, config_with(""), secrets_with("")) == SAAS_STEP_REQUEST &&
	   strcmp(poll.request.url, "https://login.salesforce.com/services/oauth2/token") == 0,
	   "without an access token one is asked for");
	ok(strncmp(poll.request.body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=",
			   74) == 0 && strchr(strchr(poll.request.body, '&') + 1, '&') == NULL, "with an assertion and nothing else");
	ok(poll.request.body_length == strlen(poll.request.body), "of that length");
	claims = verified_claims(form_field("assertion"), key);
	ok(claims != NULL && json_object_size(claims) == 4, "which the key has signed, of four claims");
	is_text(SaasJsonText(claims, "iss"), "3MVG9&\"x", "iss is the client");
	is_text(SaasJsonText(claims, "sub"), "poller@acme.example", "sub the user");
	is_text(SaasJsonText(claims, "aud"), "https://login.salesforce.com", "aud where it signs in");
	ok(json_integer_value(json_object_get(claims, "exp")) > TEST_NOW_MS / 1000 + 60 &&
	   json_integer_value(json_object_get(claims, "exp")) <= TEST_NOW_MS / 1000 + 180, "exp within three minutes");
	json_decref(claims);
	ok(verified_claims(form_field("assertion"), other) == NULL, "and no other key");
	EVP_PKEY_free(other);

	ok(answer(KIND, 200, "{\"access_token\":\"new\",\"refresh_token\":\"never\",\"scope\":\"api\"}") ==
	   SAAS_STEP_STORE && strcmp(poll.request.url, LIMITS_URL) == 0, "the token is stored, then used");
	is_text(secret_of(poll.new_secrets, "access_token"), "new", "it alone");
	ok(secret_of(poll.new_secrets, "refresh_token") == NULL, "a refresh token of such an answer is not");
	ok(poll.token_expires_ms == TEST_NOW_MS + 7200000, "it is taken to live for two hours");
	ok(answer(KIND, 200, LIMITS) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_OK, "and the limits are read");

	start_poll(KIND, config_with(""), secrets_with(",\"access_token\":\"old\""));
	ok(strcmp(poll.request.url, LIMITS_URL) == 0, "a token that is there is used");
	ok(answer(KIND, 401, EXPIRED) == SAAS_STEP_REQUEST && *form_field("assertion") != '\0',
	   "and replaced when it is refused");
	answer(KIND, 200, "{\"access_token\":\"new\"}");
	ok(answer(KIND, 401, EXPIRED) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_ERROR, "once: %s",
	   poll.problem.message);
}

static bool
has_audience(const char *more, const char *audience)
{
	json_t	   *claims;
	bool		ok;

	start_poll(KIND, config_with(more), secrets_with(""));
	claims = verified_claims(form_field("assertion"), key);
	ok = claims != NULL && strcmp(SaasJsonText(claims, "aud"), audience) == 0;
	json_decref(claims);
	return ok;
}

static void
test_audiences(void)
{
	ok(has_audience(",\"login_url\":\"https://test.salesforce.com\"", "https://test.salesforce.com"), "a sandbox's");
	ok(has_audience(",\"login_url\":\"https://acme.my.salesforce.com\"", "https://login.salesforce.com"),
	   "a My Domain's is the pool's");
	ok(has_audience(",\"login_url\":\"https://acme--uat.sandbox.my.salesforce.com\"", "https://test.salesforce.com"),
	   "so is that of a sandbox's");
	ok(has_audience(",\"login_url\":\"https://sso.example.com:8443\"", "https://sso.example.com:8443"),
	   "another host's is itself");
	ok(has_audience(",\"audience\":\"https://acme.my.site.com/customers\"", "https://acme.my.site.com/customers"),
	   "or what the owner says");
}

static void
test_refusals(void)
{
	static const struct
	{
		const char *body;
		SaasVerdict verdict;
		const char *message;
	}			cases[] = {
		{"{\"error\":\"invalid_grant\",\"error_description\":\"user hasn't approved this consumer\"}",
			SAAS_VERDICT_REAUTH, "Salesforce's user has not approved the connected app (invalid_grant)"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"audience is invalid\"}",
			SAAS_VERDICT_REAUTH, "Salesforce expects another audience of the signed assertion (invalid_grant)"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"expired authorization code\"}", SAAS_VERDICT_ERROR,
			"the signed assertion has expired for Salesforce: the clocks differ (invalid_grant)"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"invalid assertion\"}", SAAS_VERDICT_REAUTH,
			"Salesforce refused the private key or the user name of this connection (invalid_grant)"},
		{"{\"error\":\"invalid_grant\"}", SAAS_VERDICT_REAUTH,
			"Salesforce refused the private key or the user name of this connection (invalid_grant)"},
		{"{\"error\":\"invalid_app_access\",\"error_description\":\"user is not admin approved to access this app\"}",
			SAAS_VERDICT_REAUTH, "Salesforce refused to renew the access of this connection (invalid_app_access)"},
		{"{\"error\":\"invalid_client_id\",\"error_description\":\"client identifier invalid\"}",
			SAAS_VERDICT_REAUTH, "Salesforce refused the client id or client secret of this connection (invalid_client_id)"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start_poll(KIND, config_with(""), secrets_with(""));
		ok(answer(KIND, 400, cases[i].body) == SAAS_STEP_DONE && poll.verdict == cases[i].verdict &&
		   strcmp(poll.problem.message, cases[i].message) == 0, "%s: %s", cases[i].body, poll.problem.message);
	}
}

/* A stored key that signs no more, and no memory, end the poll. */
static void
test_failures(void)
{
	bool		explained = true;

	start_poll(KIND, config_with(""), secrets_with(""));
	for (SaasSecret *secret = poll.secrets; secret != NULL; secret = secret->next)
		if (strcmp(secret->name, "private_key") == 0)
			secret->value = "-----BEGIN PRIVATE KEY-----";
	memset(&poll.request, 0, sizeof(poll.request));
	ok(SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE && poll.verdict == SAAS_VERDICT_REAUTH &&
	   strcmp(poll.problem.message, "could not sign in to Salesforce: invalid private key") == 0,
	   "a spoilt key: %s", poll.problem.message);
	start_poll(KIND, config_with(""), "{\"client_id\":\"c\",\"access_token\":\"a\"}");
	for (size_t bytes = 256; bytes < 20000; bytes += 256)
	{
		SaasArena  *small = SaasArenaCreate(bytes);

		start_poll(KIND, config_with(""), secrets_with(""));
		memset(&poll.request, 0, sizeof(poll.request));
		poll.arena = small;
		if (SaasConnectorFind(KIND)->start(&poll) == SAAS_STEP_DONE)
			explained = explained && strcmp(poll.problem.sqlstate, "53200") == 0;
		poll.details = NULL;
		SaasArenaDestroy(small);
	}
	ok(explained, "an exhausted arena is 53200");
}

int
main(void)
{
	key = new_rsa(2048);
	key_pem = pem_of(key, false, NULL);
	test_keys();
	test_primes();
	test_spoilt();
	test_config();
	test_login_urls();
	test_assertion();
	test_audiences();
	test_refusals();
	test_failures();
	EVP_PKEY_free(key);
	free(key_pem);
	SaasArenaDestroy(arena);
	return tap_done();
}
