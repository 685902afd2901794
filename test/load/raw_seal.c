/*
 * raw_seal.c
 *	  What OpenSSL alone takes to seal and open values as the vault does.
 *
 *	raw_seal BYTES
 *
 * Each line of standard input is "seal COUNT" or "open COUNT"; the answer is
 * the CPU time in ns of doing that to so many values of BYTES bytes:
 * AES-256-GCM with a nonce of its own from the CSPRNG and associated data as
 * long as the vault's.  The context is made and has its key before the clock
 * runs, the ciphertexts stand ready.  Exit status 1: something does not open,
 * or opens though it was changed.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#define NONCE_LENGTH	12
#define TAG_LENGTH		16
#define AAD_LENGTH		33		/* of purpose "bench" and context "one" */
#define MAX_BYTES		65536

static EVP_CIPHER_CTX *sealing;
static EVP_CIPHER_CTX *opening;
static unsigned char plaintext[MAX_BYTES];
static unsigned char opened[MAX_BYTES];
static unsigned char aad[AAD_LENGTH];
static unsigned char value[NONCE_LENGTH + MAX_BYTES + TAG_LENGTH];
static int	bytes;

static void
fail(const char *why)
{
	fprintf(stderr, "raw_seal: %s\n", why);
	exit(1);
}

static bool
seal(void)
{
	unsigned char *ciphertext = value + NONCE_LENGTH;
	int			length;

	return RAND_bytes(value, NONCE_LENGTH) == 1 &&
		EVP_EncryptInit_ex2(sealing, NULL, NULL, value, NULL) == 1 &&
		EVP_EncryptUpdate(sealing, NULL, &length, aad, AAD_LENGTH) == 1 &&
		EVP_EncryptUpdate(sealing, ciphertext, &length, plaintext, bytes) == 1 &&
		EVP_EncryptFinal_ex(sealing, ciphertext + length, &length) == 1 &&
		EVP_CIPHER_CTX_ctrl(sealing, EVP_CTRL_AEAD_GET_TAG, TAG_LENGTH, ciphertext + bytes) == 1;
}

static bool
open_value(void)
{
	unsigned char *ciphertext = value + NONCE_LENGTH;
	int			length;

	return EVP_DecryptInit_ex2(opening, NULL, NULL, value, NULL) == 1 &&
		EVP_DecryptUpdate(opening, NULL, &length, aad, AAD_LENGTH) == 1 &&
		EVP_DecryptUpdate(opening, opened, &length, ciphertext, bytes) == 1 &&
		EVP_CIPHER_CTX_ctrl(opening, EVP_CTRL_AEAD_SET_TAG, TAG_LENGTH, ciphertext + bytes) == 1 &&
		EVP_DecryptFinal_ex(opening, opened + length, &length) == 1;
}

static void
prepare(void)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	unsigned char key[32];

	sealing = EVP_CIPHER_CTX_new();
	opening = EVP_CIPHER_CTX_new();
	if (cipher == NULL || sealing == NULL || opening == NULL ||
		RAND_bytes(key, sizeof(key)) != 1 || RAND_bytes(plaintext, bytes) != 1 ||
		EVP_EncryptInit_ex2(sealing, cipher, key, NULL, NULL) != 1 ||
		EVP_DecryptInit_ex2(opening, cipher, key, NULL, NULL) != 1)
		fail("could not prepare a context");
}

/* A program that does nothing would be fast. */
static void
check(void)
{
	if (!seal() || !open_value() || memcmp(plaintext, opened, bytes) != 0)
		fail("what was sealed does not open");
	value[NONCE_LENGTH] ^= 1;
	if (open_value())
		fail("what was changed opens");
	value[NONCE_LENGTH] ^= 1;
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

	bytes = argc == 2 ? (int) strtol(argv[1], NULL, 10) : 0;
	if (bytes < 1 || bytes > MAX_BYTES)
		fail("usage: raw_seal BYTES");
	prepare();
	check();
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		bool		seals = line[0] == 's';
		long		count = strtol(line + strlen("seal "), NULL, 10);
		long		before = cpu_ns();

		for (long i = 0; i < count; i++)
		{
			if (!(seals ? seal() : open_value()))
				fail("a value does not open");
		}
		printf("%ld\n", cpu_ns() - before);
		fflush(stdout);
	}
	return 0;
}
