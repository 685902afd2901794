/*
 * certificate.h
 *	  Certificates and keys in PEM, as connections bring them.
 */
#ifndef SAAS_CERTIFICATE_H
#define SAAS_CERTIFICATE_H

#include <stdbool.h>

/* Whether text holds X.509 certificates, one at least and 20 at most, and nothing that is broken. */
extern bool SaasCertificatesAreReadable(const char *text);

/*
 * Whether key holds the private key of the first certificate.  One that is
 * encrypted is none: nobody is there to type its passphrase.  Nor is one that is
 * neither on a curve nor RSA of 2048 to 4096 bits.
 */
extern bool SaasCertificateHasKey(const char *certificate, const char *key);

#endif							/* SAAS_CERTIFICATE_H */
