/*
 * test_certificate.c
 *	  src/pure/certificate.c: which certificates and keys a connection may bring.
 */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "pure/certificate.h"
#include "tap.h"

typedef struct Pair
{
	char		certificate[8192];
	char		key[8192];
	char		locked_key[8192];	/* with a passphrase */
} Pair;

static void
take(BIO *bio, char *text, size_t size)
{
	int			length = BIO_read(bio, text, (int) size - 1);

	text[length > 0 ? length : 0] = '\0';
	BIO_free(bio);
}

static void
make(Pair *pair, EVP_PKEY *key)
{
	X509	   *certificate = X509_new();
	BIO		   *bio;

	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256());
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, certificate);
	take(bio, pair->certificate, sizeof(pair->certificate));
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	take(bio, pair->key, sizeof(pair->key));
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, EVP_aes_256_cbc(), (unsigned char *) "pass", 4, NULL, NULL);
	take(bio, pair->locked_key, sizeof(pair->locked_key));
	X509_free(certificate);
	EVP_PKEY_free(key);
}

int
main(void)
{
	static Pair one;
	static Pair two;
	static char text[40 * 8192];
	size_t		length;

	make(&one, EVP_EC_gen("P-256"));
	make(&two, EVP_EC_gen("P-256"));
	ok(SaasCertificatesAreReadable(one.certificate), "a certificate");
	snprintf(text, sizeof(text), "# ours\n%s\n# theirs\n%s", one.certificate, two.certificate);
	ok(SaasCertificatesAreReadable(text), "two with comments");
	ok(!SaasCertificatesAreReadable(""), "none");
	ok(!SaasCertificatesAreReadable("not a certificate"), "text");
	ok(!SaasCertificatesAreReadable(one.key), "a key");
	snprintf(text, sizeof(text), "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", one.certificate);
	ok(!SaasCertificatesAreReadable(text), "a broken one after a good one");
	snprintf(text, sizeof(text), "%.*s", (int) strlen(one.certificate) - 40, one.certificate);
	ok(!SaasCertificatesAreReadable(text), "one that is cut off");
	length = strlen(one.certificate);
	for (int i = 0; i <= 20; i++)
		memcpy(text + i * length, one.certificate, length + 1);
	ok(!SaasCertificatesAreReadable(text), "more than twenty");
	text[20 * length] = '\0';
	ok(SaasCertificatesAreReadable(text), "twenty");

	ok(SaasCertificateHasKey(one.certificate, one.key), "a certificate and its key");
	ok(!SaasCertificateHasKey(one.certificate, two.key), "and another's");
	ok(!SaasCertificateHasKey(one.certificate, one.locked_key), "and its own with a passphrase, which nobody is asked for");
	ok(!SaasCertificateHasKey(one.certificate, "") && !SaasCertificateHasKey("", one.key) &&
	   !SaasCertificateHasKey(one.certificate, one.certificate), "and none");
	snprintf(text, sizeof(text), "%s%s", one.certificate, two.certificate);
	ok(SaasCertificateHasKey(text, one.key) && !SaasCertificateHasKey(text, two.key), "the first one's key counts");
	make(&one, EVP_RSA_gen(2048));
	ok(SaasCertificateHasKey(one.certificate, one.key), "RSA of 2048 bits");
	make(&one, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	ok(SaasCertificateHasKey(one.certificate, one.key), "Ed25519");
	make(&one, EVP_RSA_gen(4104));
	ok(!SaasCertificateHasKey(one.certificate, one.key), "no RSA whose signatures are costly");
	return tap_done();
}
