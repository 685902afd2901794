/*
 * assertion.h
 *	  Signed assertions of a client (RFC 7523), RS256 with a key that a tenant
 *	  gives.
 *
 * Apart from jwt.h, whose private keys are our own: these come from outside,
 * so their every number is bounded before OpenSSL calculates with it.
 */
#ifndef SAAS_ASSERTION_H
#define SAAS_ASSERTION_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/types.h>

#include "base/arena.h"
#include "base/problem.h"

#define SAAS_ASSERTION_MIN_BITS	2048
#define SAAS_ASSERTION_MAX_BITS	4096

/*
 * Whether the text is an RSA private key in PEM that signs: PKCS#8 or PKCS#1,
 * unencrypted, with two primes and a modulus between the bounds above.  22023
 * with a detail that says which of it fails and never quotes the key.
 */
extern bool SaasAssertionKeyCheck(const char *pem, SaasProblem *problem);

/*
 * Whether an RSA key has two primes, a modulus within these bounds and no number
 * larger than it: what using it costs depends on each of them.
 */
extern bool SaasAssertionKeyIsBounded(const EVP_PKEY *key);

/*
 * The compact JWS over a JSON payload, header {"alg":"RS256"}.  NULL: 22023
 * for a key as above, 58000 when OpenSSL fails, 53200 without memory.
 */
extern char *SaasAssertionSign(const char *pem, const char *payload, SaasArena *arena,
							   SaasProblem *problem);

#endif							/* SAAS_ASSERTION_H */
