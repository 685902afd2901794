/*
 * test_mask.c
 *	  pure/mask.c: which names and texts are secrets.
 */
#include "pure/mask.h"

#include "tap.h"

static bool
looks_secret(const char *text)
{
	return SaasMaskLooksSecret(text, strlen(text));
}

static void
test_names(void)
{
	static const char *const secrets[] = {
		"password", "Password", "user_password_hash", "api_key", "API-Key", "apiKey", "x.api.key",
		"client_secret", "secrets", "refreshToken", "private_key", "aws_secret_access_key", "pin", "PWD",
		"Set-Cookie", "Authorization", "credentials", "external_id", "recovery_codes",
		"smtp_pass", "dbPass", "user-pin", "dbpwd", "connection_string", "AccountKey", "verification_code", "cvv"
	};
	static const char *const others[] = {
		"", "name", "key", "keyboard", "pinned", "passenger", "prefix", "id", "permissions", "author", "sealed_names",
		"bypass", "compass", "shipping", "spin", "overlap_until", "signature", "code"
	};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		ok(SaasMaskNamesSecret(secrets[i], strlen(secrets[i])), "\"%s\" names a secret", secrets[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ok(!SaasMaskNamesSecret(others[i], strlen(others[i])), "\"%s\" names none", others[i]);
	ok(!SaasMaskNamesSecret("password", 5), "a name ends where it ends");
}

static void
test_secret_texts(void)
{
	static const char *const texts[] = {
		"saas_0123456789abcdefghij",
		"the key saas_0123456789abcdefghij leaked",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
		"{\"token\":\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln\"}",
		"-----BEGIN RSA PRIVATE KEY-----",
		"postgres://user:pass@host/db",
		"$2b$12$abcdefghijklmnopqrstuvabcdefghijklmnopqrstuvabcdefghijkl",
		"AKIAIOSFODNN7EXAMPLE", "id ASIAIOSFODNN7EXAMPLE.",
		"Bearer abcdefghij0123456789", "Basic dXNlcjpwYXNzd29yZDEyMzQ1Ng==",
		"AQAAAAGhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5OjtA",
		"\\x0100000001a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3",
		"pXq9vH2kL0aZ7bN4mC8dR1sT5uW3yE6fG0hJ2kL4mN6",
		"see pXq9vH2kL0aZ7bN4mC8dR1sT5uW3yE6fG0hJ2kL4mN6!",
		"BEARER abcdefghij0123456789", "Basic dXNlcjpwYXNz", "authorization: basic dXNlcjpwYXNz",
		"postgres://user:p/ss?w#rd@host/db", "redis://:pass@host", "https://ghp0123456789abcdefgh@github.com/x",
		"host=db user=app password=hunter2 dbname=x", "Server=db;Uid=app;Pwd=hunter2;",
		"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2hvcnQ=;",
		"https://h/o?X-Amz-Signature=0123456789abcdef0123456789abcdef", "https://h/o?a=1&sig=abc",
		"https://h/cb#access_token=abc", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP",
		"{\"user\": \"x\", \"password\": \"hunter2\"}", "{\\\"password\\\":\\\"hunter2\\\"}",
		"X-API-Key: hunter2", "Set-Cookie: sid=1", "password => 'hunter2'",
		"SCRAM-SHA-256$4096:c2FsdHNhbHQ=$c3RvcmVk:c2VydmVy", "$argon2id$v=19$m=65536$c29tZXNhbHQ$aGFzaA",
		"$6$saltsalt$0123456789abcdefghij", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
		"sk_live_4eC39HqLyjWDarjtT1zdp7dc", "AIzaSyD3x7Kq9LmN0pQ2rS4tU6vW8xY1zA5bC7dE"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ok(looks_secret(texts[i]), "secret: %s", texts[i]);
}

static void
test_plain_texts(void)
{
	static const char *const texts[] = {
		"", "saas_", "saas_user", "saas_api.create_api_key", "eyJ", "eyJ.eyJ.x", "eyJhbGciOiJIUzI1NiJ9",
		"https://example.com:8080/a@b", "https://example.com/x:y@z", "mailto:a@b.c", "://", "://a:b",
		"$2b$", "AKIA", "AKIAIOSFODNN7EXAMPLETOOLONG", "Bearer", "Bearer x", "AQAA", "\\x0100", "-----",
		"01a1ff1b-10e8-77af-925f-25a1969a47e9", "2026-11-21 17:15:26.480+00",
		"a-rather-long-slug-of-an-organization-with-many-words-2026",
		"Basic Features", "basic training", "Bearer of tidings", "https://token:8080/path@x", "tokens: 5",
		"https://token.example.com/oauth2/token", "password=", "password=&a=1", "password: ", "password=\"\"",
		"/accept?token={{url:token}}", "token=${TOKEN}", "?token=<token>", "password=(masked)",
		"https://user@example.com/", "the secret:// scheme", "secret::text", "$6$", "SCRAM-SHA-256", "a=b", "=", ":", "x:",
		"https://example.com/services/Data/v59/Organization/2026/Reports/Quarterly",
		"OrganizationConfigurationVersion2", "name=Ada&city=London",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ok(!looks_secret(texts[i]), "no secret: %s", texts[i]);
	ok(!SaasMaskLooksSecret("saas_0123456789abcdefghij", 10), "a text ends where it ends");
	ok(!SaasMaskLooksSecret("a\0b", 3), "a NUL is a character");
	ok(!SaasMaskLooksSecret("password=x", 9), "nor is a value read beyond it");
}

/* A text that begins like a secret everywhere is read in no time. */
static void
test_cost(void)
{
	static char text[300 * 1000];
	static const char *const parts[] = {"eyJ", "AKIA", "AQAA", "://a", "Bearer ", "=", "a:", "$6$", "_"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		size_t		length = strlen(parts[i]);

		for (size_t at = 0; at + length <= sizeof(text); at += length)
			memcpy(text + at, parts[i], length);
		(void) SaasMaskLooksSecret(text, sizeof(text) / length * length);
		ok(true, "300,000 characters of \"%s\"", parts[i]);
	}
}

int
main(void)
{
	test_names();
	test_secret_texts();
	test_plain_texts();
	test_cost();
	return tap_done();
}
