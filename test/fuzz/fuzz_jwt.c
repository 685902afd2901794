/*
 * fuzz_jwt.c
 *	  pure/jwt_*.c: tokens, key sets, and headers and payloads that are truly
 *	  signed, so that the reader of claims is reached.
 *
 * The first byte of an input says which: t, k or p.  The keys are those of
 * RFC 7515, appendix A; the only tokens that verify are the RFC's own.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/hmac.h>

#include "pure/crypto.h"
#include "pure/jwt.h"

#define ARENA_SIZE	((size_t) 1024 * 1024)
#define CLAIMS		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."

extern int	LLVMFuzzerInitialize(int *count, char ***arguments);
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_set[] =
	"{\"keys\":[{\"kty\":\"oct\",\"k\":"
	"\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
	"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHm"
	"fHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGz"
	"jb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv"
	"b3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
	"yuXpoQ\"}]}";

static const char *const good_tokens[] = {
	"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" CLAIMS "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	"eyJhbGciOiJFUzI1NiJ9" CLAIMS
	"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	"eyJhbGciOiJSUzI1NiJ9" CLAIMS
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9"
	"uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB"
	"_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq"
	"Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
};

#define GOOD_COUNT	(sizeof(good_tokens) / sizeof(good_tokens[0]))

static const SaasJwtRules rules = {.issuer = "joe", .leeway_s = 30, .now_s = 1300819380, .wants_json = true};
static SaasJwtKeySet *keys;
static uint8_t secret[64];

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* Verifies, and checks what holds of every verdict. */
static bool
verify(const char *token, size_t length, const SaasJwtKeySet *set)
{
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	SaasProblem problem = {0};
	SaasJwtClaims claims;
	bool		verified = SaasJwtVerify(token, length, set, &rules, arena, &claims, &problem);

	must(ERR_peek_error() == 0);
	if (verified)
		must(claims.json != NULL && claims.json[0] == '{' && claims.expires_s + 30 > rules.now_s &&
			 claims.issued_s - 30 <= rules.now_s && length <= SAAS_JWT_MAX_LENGTH);
	else
		must(strcmp(problem.sqlstate, "PT401") == 0 && claims.json == NULL && claims.subject == NULL);
	SaasArenaDestroy(arena);
	return verified;
}

int
LLVMFuzzerInitialize(int *count, char ***arguments)
{
	SaasProblem problem = {0};
	size_t		i;

	(void) count;
	(void) arguments;
	keys = SaasJwtKeySetParse(key_set, strlen(key_set), &problem);
	must(keys != NULL);
	for (i = 0; i < GOOD_COUNT; i++)
		must(verify(good_tokens[i], strlen(good_tokens[i]), keys));
	must(SaasBase64UrlDecode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
							 86, secret) == 64);
	return 0;
}

/* Nobody but the RFC's authors signs with these keys here. */
static void
fuzz_token(const char *token, size_t length)
{
	bool		is_good = false;
	size_t		i;

	for (i = 0; i < GOOD_COUNT; i++)
		is_good = is_good || (length == strlen(good_tokens[i]) &&
							  memcmp(token, good_tokens[i], length) == 0);
	must(verify(token, length, keys) == is_good);
}

static void
fuzz_key_set(const char *text, size_t length)
{
	SaasProblem problem = {0};
	SaasJwtKeySet *set = SaasJwtKeySetParse(text, length, &problem);
	size_t		i;

	must(ERR_peek_error() == 0);
	must((set == NULL) == (problem.sqlstate[0] != '\0'));
	for (i = 0; set != NULL && i < GOOD_COUNT; i++)
		verify(good_tokens[i], strlen(good_tokens[i]), set);
	SaasJwtKeySetFree(set);
}

/* A header, a line end and a payload, signed with HS256. */
static void
fuzz_signed(const char *text, size_t length)
{
	const char *end = memchr(text, '\n', length);
	size_t		header_length = end == NULL ? length : (size_t) (end - text);
	size_t		payload_length = end == NULL ? 0 : length - header_length - 1;
	char	   *token = malloc(2 * length + 128);
	uint8_t		mac[32];
	size_t		written;

	SaasBase64UrlEncode(text, header_length, token);
	written = SaasBase64UrlLength(header_length);
	token[written++] = '.';
	SaasBase64UrlEncode(text + length - payload_length, payload_length, token + written);
	written += SaasBase64UrlLength(payload_length);
	HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *) token, written, mac, NULL);
	token[written++] = '.';
	SaasBase64UrlEncode(mac, sizeof(mac), token + written);
	written += SaasBase64UrlLength(sizeof(mac));
	verify(token, written, keys);
	free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	/* Of its own size, so that a byte read beyond is found. */
	text = malloc(size - 1 + (size == 1));
	memcpy(text, data + 1, size - 1);
	if (data[0] == 't')
		fuzz_token(text, size - 1);
	else if (data[0] == 'k')
		fuzz_key_set(text, size - 1);
	else if (data[0] == 'p')
		fuzz_signed(text, size - 1);
	free(text);
	return 0;
}
