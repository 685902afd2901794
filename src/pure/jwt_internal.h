/*
 * jwt_internal.h
 *	  What the files of the JWT code share: the table of algorithms and the
 *	  keys that are bound to them.
 *
 * An algorithm is one row.  Signing and verifying go through EVP_DigestSign
 * and EVP_DigestVerify for all that have a key pair; what differs (how a JWK
 * says the key, how JWS writes the signature) is in the functions of the row.
 * A MAC has neither: its row has key type "oct" and no functions, its secret
 * lives in an EVP_MAC_CTX and never meets a public key.
 */
#ifndef SAAS_JWT_INTERNAL_H
#define SAAS_JWT_INTERNAL_H

#include <jansson.h>
#include <openssl/evp.h>

#include "pure/jwt.h"

/* Enough for ECDSA in DER, EdDSA, HMAC, and RSA of 8192 bits. */
#define SAAS_JWT_MAX_SIGNATURE	1024

typedef struct SaasJwtMethod SaasJwtMethod;

struct SaasJwtMethod
{
	SaasJwtAlgorithm algorithm;
	const char *name;			/* "alg" */
	const char *key_type;		/* "kty" */
	const char *curve;			/* "crv", or NULL when the key type has none */
	const char *group;			/* OpenSSL's name of the curve */
	const char *digest;			/* NULL: the algorithm brings its own */
	size_t		coordinate_length;
	bool		is_mac;

	/* The public key that a JWK says; NULL when it is malformed. */
	EVP_PKEY   *(*read_jwk) (const SaasJwtMethod *method, const json_t *jwk);

	/*
	 * The members that RFC 7638 hashes, as it writes them; NULL when OpenSSL
	 * fails or the arena is exhausted.
	 */
	char	   *(*write_jwk) (const SaasJwtMethod *method, const EVP_PKEY *key, SaasArena *arena);

	/* Whether the algorithm signs with a key read from elsewhere; NULL: none. */
	bool		(*suits) (const SaasJwtMethod *method, const EVP_PKEY *key);

	/* A new key pair, or NULL.  No function: the algorithm is only verified. */
	EVP_PKEY   *(*generate) (const SaasJwtMethod *method);

	/*
	 * Between the signature of JWS and that of OpenSSL.  Both return the
	 * number of bytes written, at most SAAS_JWT_MAX_SIGNATURE, or 0.
	 */
	size_t		(*from_jws) (const SaasJwtMethod *method, const EVP_PKEY *key,
							 const uint8_t *jws, size_t length, uint8_t *native);
	size_t		(*to_jws) (const SaasJwtMethod *method, const uint8_t *native, size_t length,
						   uint8_t *jws);

	/* What the algorithm sets besides the digest, or NULL. */
	bool		(*prepare) (EVP_PKEY_CTX *ctx);
};

/* A key, with the context that each verification starts from. */
typedef struct SaasJwtKey
{
	const SaasJwtMethod *method;
	char	   *kid;			/* NULL when the JWK has none */
	char	   *header;			/* of the tokens that we sign with it; may be NULL */
	EVP_PKEY   *key;			/* public; NULL for a MAC */
	EVP_MD_CTX *verifier;		/* NULL when the algorithm has no digest */
	EVP_MAC_CTX *mac;			/* of a MAC only */
} SaasJwtKey;

struct SaasJwtKeySet
{
	int			count;
	SaasJwtKey	keys[SAAS_JWT_MAX_KEYS];
};

/* By "alg", or by what a private key suits; NULL when there is none. */
extern const SaasJwtMethod *SaasJwtMethodByName(const char *name);
extern const SaasJwtMethod *SaasJwtMethodByKey(const EVP_PKEY *key);

/*
 * The method for a JWK, by its kty, crv and alg; NULL when this code verifies
 * nothing with such a key.
 */
extern const SaasJwtMethod *SaasJwtMethodByJwk(const json_t *jwk);

/* ECDSA on a NIST curve (RFC 7518, sections 3.4 and 6.2). */
extern EVP_PKEY *SaasJwtEcdsaReadJwk(const SaasJwtMethod *method, const json_t *jwk);
extern char *SaasJwtEcdsaWriteJwk(const SaasJwtMethod *method, const EVP_PKEY *key,
								  SaasArena *arena);
extern bool SaasJwtEcdsaSuits(const SaasJwtMethod *method, const EVP_PKEY *key);
extern EVP_PKEY *SaasJwtEcdsaGenerate(const SaasJwtMethod *method);
extern size_t SaasJwtEcdsaFromJws(const SaasJwtMethod *method, const EVP_PKEY *key,
								  const uint8_t *jws, size_t length, uint8_t *native);
extern size_t SaasJwtEcdsaToJws(const SaasJwtMethod *method, const uint8_t *native, size_t length,
								uint8_t *jws);

/* RSA (RFC 7518, sections 3.3, 3.5 and 6.3), verified only. */
extern EVP_PKEY *SaasJwtRsaReadJwk(const SaasJwtMethod *method, const json_t *jwk);
extern bool SaasJwtRsaPreparePss(EVP_PKEY_CTX *ctx);

/* Ed25519 (RFC 8037), verified only. */
extern EVP_PKEY *SaasJwtEd25519ReadJwk(const SaasJwtMethod *method, const json_t *jwk);

/* A signature that JWS and OpenSSL write alike, as long as the key says. */
extern size_t SaasJwtCopyFromJws(const SaasJwtMethod *method, const EVP_PKEY *key,
								 const uint8_t *jws, size_t length, uint8_t *native);

/*
 * HMAC with SHA-256 (RFC 7518, sections 3.2 and 6.4).  Read gives the context
 * with the secret of a JWK, NULL when it is malformed, shorter than 32 bytes
 * or longer than 512; digest gives the MAC of the input with a copy of it.
 * Generate gives the members of a JWK with a new secret.
 */
#define SAAS_JWT_MAC_LENGTH	32
extern EVP_MAC_CTX *SaasJwtMacReadJwk(const json_t *jwk);
extern bool SaasJwtMacDigest(EVP_MAC_CTX *key, const char *input, size_t length,
							 uint8_t digest[SAAS_JWT_MAC_LENGTH]);
extern char *SaasJwtMacGenerate(SaasArena *arena, char **kid);

/*
 * The header of the tokens that we sign with such a key, in base64url; NULL
 * when the arena is exhausted.
 */
extern char *SaasJwtHeader(const SaasJwtMethod *method, const char *kid, SaasArena *arena);

/* A JSON object, strictly read (UTF-8, no member twice), or NULL. */
extern json_t *SaasJwtReadObject(const char *text, size_t length);

/* Says that memory ran out; returns false. */
extern bool SaasJwtOutOfMemory(SaasProblem *problem);

#endif							/* SAAS_JWT_INTERNAL_H */
