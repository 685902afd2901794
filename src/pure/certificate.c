/*
 * certificate.c
 *	  Certificates and keys in PEM, as connections bring them.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "pure/assertion.h"
#include "pure/certificate.h"

#define MAX_CERTIFICATES	20

/* OpenSSL would ask on the terminal. */
static int
no_passphrase(char *buffer, int size, int is_writing, void *data)
{
	(void) buffer;
	(void) size;
	(void) is_writing;
	(void) data;
	return -1;
}

/* Whether reading ended because there was nothing more to read. */
static bool
was_end(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

bool
SaasCertificatesAreReadable(const char *text)
{
	BIO		   *bio = BIO_new_mem_buf(text, -1);
	X509	   *certificate;
	int			count = 0;
	bool		ended;

	if (bio == NULL)
		return false;
	ERR_clear_error();
	while (count <= MAX_CERTIFICATES &&
		   (certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
	{
		X509_free(certificate);
		count++;
	}
	ended = was_end();
	ERR_clear_error();
	BIO_free(bio);
	return ended && count > 0 && count <= MAX_CERTIFICATES;
}

/* The poller signs each handshake with it, while all other polls wait. */
static bool
is_affordable(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448") ||
		(EVP_PKEY_is_a(key, "RSA") && SaasAssertionKeyIsBounded(key));
}

bool
SaasCertificateHasKey(const char *certificate, const char *key)
{
	BIO		   *certificate_bio = BIO_new_mem_buf(certificate, -1);
	BIO		   *key_bio = BIO_new_mem_buf(key, -1);
	X509	   *first = certificate_bio != NULL ?
		PEM_read_bio_X509(certificate_bio, NULL, no_passphrase, NULL) : NULL;
	EVP_PKEY   *private_key = key_bio != NULL ?
		PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL) : NULL;
	bool		belongs = first != NULL && private_key != NULL && is_affordable(private_key) &&
		X509_check_private_key(first, private_key) == 1;

	X509_free(first);
	EVP_PKEY_free(private_key);
	BIO_free(certificate_bio);
	BIO_free(key_bio);
	ERR_clear_error();
	return belongs;
}
