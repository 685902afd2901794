/*
 * jwt.h
 *	  JSON Web Tokens (RFC 7519, 7515, 7517, 7518; best practices of RFC 8725)
 *	  on plain OpenSSL EVP.
 *
 * The algorithm is a property of the key and never taken from the token on
 * trust: a token whose "alg" differs from its key's is refused.
 */
#ifndef SAAS_JWT_H
#define SAAS_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problem.h"

#define SAAS_JWT_MAX_LENGTH	8192
#define SAAS_JWT_MAX_KEYS	32

typedef enum SaasJwtAlgorithm
{
	SAAS_JWT_ES256,
	SAAS_JWT_ES384,
	SAAS_JWT_RS256,
	SAAS_JWT_PS256,
	SAAS_JWT_HS256,
	SAAS_JWT_EDDSA				/* with Ed25519 only */
} SaasJwtAlgorithm;

/* A set of algorithms is the sum of these; 0 stands for all of them. */
#define SAAS_JWT_BIT(algorithm)	(1u << (algorithm))

typedef struct SaasJwtKeySet SaasJwtKeySet;
typedef struct SaasJwtSigner SaasJwtSigner;

/* What a token must satisfy. */
typedef struct SaasJwtRules
{
	const char *issuer;			/* NULL: not checked */
	const char *audience;		/* NULL: not checked; "aud" may be a string or an array */
	const char *type;			/* claim "type"; NULL: not checked */
	int			leeway_s;		/* for exp, nbf and iat */
	int64_t		now_s;			/* Unix seconds */
	unsigned	algorithms;		/* the accepted ones; 0: whatever a key is for */
	bool		wants_json;		/* whether the payload is to be written anew */
} SaasJwtRules;

/* Claims of a verified token, copied into the arena; NULL when absent. */
typedef struct SaasJwtClaims
{
	const char *json;			/* the payload, compact; NULL unless the rules want it */
	const char *subject;
	const char *session;		/* sid */
	const char *organization;	/* org */
	const char *token_id;		/* jti */
	int64_t		expires_s;
	int64_t		issued_s;
} SaasJwtClaims;

/* The algorithm of that "alg", exactly as RFC 7518 writes it; false for others. */
extern bool SaasJwtAlgorithmByName(const char *name, SaasJwtAlgorithm *algorithm);

/*
 * Keys of a JWKS document {"keys":[...]}: public ones, and secrets (kty oct)
 * of 32 to 512 bytes.  Keys whose kty, crv, alg or use this code does not
 * verify are skipped; an RSA key without alg is for RS256.  A malformed
 * document, an RSA modulus outside of 2048 to 8192 bits, no usable key, a kid
 * twice or more than SAAS_JWT_MAX_KEYS is 22023.  The caller frees it; it
 * holds malloc'd OpenSSL objects.
 */
extern SaasJwtKeySet *SaasJwtKeySetParse(const char *jwks, size_t length, SaasProblem *problem);
extern void SaasJwtKeySetFree(SaasJwtKeySet *keys);

/*
 * Verifies a compact JWS: at most SAAS_JWT_MAX_LENGTH bytes, strict
 * base64url, JSON without duplicate members, header with a known "alg" and
 * without "crit", key by kid (or the only key of that algorithm when the
 * header has no kid), signature, then exp (required), nbf, iat, iss, aud and
 * type.  All failures are PT401 "Invalid or expired token", a wrong type is
 * PT401 "Invalid token type", an empty token is PT401 "Access token required";
 * detail says which check failed and never quotes the token.
 */
extern bool SaasJwtVerify(const char *token, size_t length, const SaasJwtKeySet *keys,
						  const SaasJwtRules *rules, SaasArena *arena,
						  SaasJwtClaims *claims, SaasProblem *problem);

/* Whether a token was refused because no key of the set is its own. */
extern bool SaasJwtKeyIsUnknown(const SaasProblem *problem);

/*
 * A new key for ES256 or HS256, in the arena.  ES256: the private half as
 * PKCS#8 PEM, the public one as a JWK with kid (RFC 7638 thumbprint), alg and
 * use "sig".  HS256: the private half is a JWK of 32 random bytes with the
 * same members and a random kid, the public one is NULL.  22023 for the
 * algorithms that are only verified.
 */
extern bool SaasJwtKeyGenerate(SaasJwtAlgorithm algorithm, SaasArena *arena,
							   char **private_half, char **public_jwk, char **kid,
							   SaasProblem *problem);

/* A signer from a private half as above; the caller frees it. */
extern SaasJwtSigner *SaasJwtSignerLoad(const char *private_half, const char *kid,
										SaasProblem *problem);
extern void SaasJwtSignerFree(SaasJwtSigner *signer);

/* The compact JWS over a JSON payload, header {"alg","typ":"JWT","kid"}. */
extern char *SaasJwtSign(const SaasJwtSigner *signer, const char *payload, size_t length,
						 SaasArena *arena, SaasProblem *problem);

#endif							/* SAAS_JWT_H */
