/*
 * raw_verify.c
 *	  What OpenSSL alone takes to verify the tokens of the benchmark.
 *
 *	raw_verify ES256|HS256 KEY
 *
 * KEY is in hex: the uncompressed point on P-256, or the secret.  Standard
 * input has a line per token, what is signed and the signature (r and s, or
 * the MAC) in hex, and an empty line after the last one.  Then each line that
 * comes holds a count, and the answer is the CPU time in ns of verifying so
 * many of the tokens, in turn.  Keys, contexts and signatures are made ready
 * before the clock runs.  Exit status 1: a signature does not hold, or one
 * that was changed does.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define LINE_SIZE		16384
#define MAX_TOKENS		100000
#define MAC_LENGTH		32
#define COORDINATE		32

typedef struct Token
{
	unsigned char *input;
	size_t		input_length;
	unsigned char *signature;
	size_t		signature_length;
} Token;

static Token tokens[MAX_TOKENS];
static int	token_count = 0;
static EVP_MD_CTX *public_verifier = NULL;
static EVP_MAC_CTX *mac = NULL;

static void
fail(const char *why)
{
	fprintf(stderr, "raw_verify: %s\n", why);
	exit(1);
}

static unsigned char *
from_hex(const char *hex, size_t *length)
{
	long		decoded;
	unsigned char *bytes = OPENSSL_hexstr2buf(hex, &decoded);

	if (bytes == NULL)
		fail("that is no hex");
	*length = (size_t) decoded;
	return bytes;
}

static void
load_public(const char *hex)
{
	size_t		length;
	unsigned char *point = from_hex(hex, &length);
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) "prime256v1", 10),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, length),
		OSSL_PARAM_END
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY   *key = NULL;

	public_verifier = EVP_MD_CTX_new();
	if (ctx == NULL || public_verifier == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1 ||
		EVP_DigestVerifyInit_ex(public_verifier, NULL, "SHA256", NULL, NULL, key, NULL) != 1)
		fail("could not load the public key");
}

static void
load_secret(const char *hex)
{
	size_t		length;
	unsigned char *secret = from_hex(hex, &length);
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) "SHA256", 6),
		OSSL_PARAM_END
	};

	mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
	if (mac == NULL || EVP_MAC_init(mac, secret, length, params) != 1)
		fail("could not load the secret");
}

/* r and s as OpenSSL wants them. */
static void
to_der(Token *token)
{
	ECDSA_SIG  *signature = ECDSA_SIG_new();
	unsigned char *der = NULL;
	int			length;

	if (token->signature_length != 2 * COORDINATE || signature == NULL ||
		ECDSA_SIG_set0(signature, BN_bin2bn(token->signature, COORDINATE, NULL),
					   BN_bin2bn(token->signature + COORDINATE, COORDINATE, NULL)) != 1 ||
		(length = i2d_ECDSA_SIG(signature, &der)) <= 0)
		fail("a signature is malformed");
	token->signature = der;
	token->signature_length = (size_t) length;
}

static void
read_tokens(void)
{
	static char line[LINE_SIZE];

	while (fgets(line, sizeof(line), stdin) != NULL && line[0] != '\n')
	{
		Token	   *token = &tokens[token_count++];
		char	   *space = strchr(line, ' ');

		if (space == NULL || token_count == MAX_TOKENS)
			fail("that is no token, or there are too many");
		*space = '\0';
		space[1 + strcspn(space + 1, "\n")] = '\0';
		token->input = (unsigned char *) strdup(line);
		token->input_length = strlen(line);
		token->signature = from_hex(space + 1, &token->signature_length);
		if (public_verifier != NULL)
			to_der(token);
	}
}

static bool
verify_public(const Token *token)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool		ok;

	ok = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, public_verifier) == 1 &&
		EVP_DigestVerify(ctx, token->signature, token->signature_length,
						 token->input, token->input_length) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool
verify_mac(const Token *token)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(mac);
	unsigned char expected[MAC_LENGTH];
	size_t		written;
	bool		ok;

	ok = ctx != NULL && token->signature_length == MAC_LENGTH &&
		EVP_MAC_update(ctx, token->input, token->input_length) == 1 &&
		EVP_MAC_final(ctx, expected, &written, sizeof(expected)) == 1 &&
		CRYPTO_memcmp(expected, token->signature, MAC_LENGTH) == 0;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

static bool
verify(const Token *token)
{
	return public_verifier != NULL ? verify_public(token) : verify_mac(token);
}

/* A program that accepts anything would be fast. */
static void
check_refusal(void)
{
	Token	   *token = &tokens[0];

	token->input[0] ^= 1;
	if (verify(token))
		fail("a token that was changed is accepted");
	token->input[0] ^= 1;
}

static long
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

int
main(int argc, char **argv)
{
	char		line[32];
	int			next = 0;

	if (argc != 3)
		fail("usage: raw_verify ES256|HS256 KEY");
	if (strcmp(argv[1], "HS256") == 0)
		load_secret(argv[2]);
	else
		load_public(argv[2]);
	read_tokens();
	if (token_count == 0)
		fail("there are no tokens");
	check_refusal();
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		long		count = strtol(line, NULL, 10);
		long		before = cpu_ns();

		for (long i = 0; i < count; i++)
		{
			if (!verify(&tokens[next]))
				fail("a signature does not hold");
			next = (next + 1) % token_count;
		}
		printf("%ld\n", cpu_ns() - before);
		fflush(stdout);
	}
	return 0;
}
