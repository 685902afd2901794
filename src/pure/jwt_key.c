/*
 * jwt_key.c
 *	  The table of algorithms, key sets (RFC 7517) and new keys.
 */
#include "pure/jwt_internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "pure/crypto.h"
#include "pure/json.h"
#include "pure/json_plain.h"

/* A provider's set of RSA keys with certificate chains stays far below. */
#define MAX_JWKS_LENGTH	(256 * 1024)

#define MAX_HEADER_ARENA	(8 * 1024)

/* Of two rows that a JWK without "alg" fits, the first is meant. */
static const SaasJwtMethod methods[] = {
	{
		SAAS_JWT_ES256, "ES256", "EC", "P-256", "prime256v1", "SHA256", 32, false,
		SaasJwtEcdsaReadJwk, SaasJwtEcdsaWriteJwk, SaasJwtEcdsaSuits, SaasJwtEcdsaGenerate,
		SaasJwtEcdsaFromJws, SaasJwtEcdsaToJws
	},
	{
		SAAS_JWT_ES384, "ES384", "EC", "P-384", "secp384r1", "SHA384", 48, false,
		.read_jwk = SaasJwtEcdsaReadJwk, .from_jws = SaasJwtEcdsaFromJws
	},
	{
		SAAS_JWT_RS256, "RS256", "RSA", NULL, NULL, "SHA256", 0, false,
		.read_jwk = SaasJwtRsaReadJwk, .from_jws = SaasJwtCopyFromJws
	},
	{
		SAAS_JWT_PS256, "PS256", "RSA", NULL, NULL, "SHA256", 0, false,
		.read_jwk = SaasJwtRsaReadJwk, .from_jws = SaasJwtCopyFromJws,
		.prepare = SaasJwtRsaPreparePss
	},
	{
		SAAS_JWT_HS256, "HS256", "oct", NULL, NULL, "SHA256", 0, true
	},
	{
		SAAS_JWT_EDDSA, "EdDSA", "OKP", "Ed25519", NULL, NULL, 32, false,
		.read_jwk = SaasJwtEd25519ReadJwk, .from_jws = SaasJwtCopyFromJws
	}
};

#define METHOD_COUNT	(sizeof(methods) / sizeof(methods[0]))

const SaasJwtMethod *
SaasJwtMethodByName(const char *name)
{
	size_t		i;

	for (i = 0; i < METHOD_COUNT; i++)
	{
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

bool
SaasJwtAlgorithmByName(const char *name, SaasJwtAlgorithm *algorithm)
{
	const SaasJwtMethod *method = SaasJwtMethodByName(name);

	if (method != NULL)
		*algorithm = method->algorithm;
	return method != NULL;
}

static const SaasJwtMethod *
method_of(SaasJwtAlgorithm algorithm)
{
	size_t		i;

	for (i = 0; i < METHOD_COUNT; i++)
	{
		if (methods[i].algorithm == algorithm)
			return &methods[i];
	}
	return NULL;
}

const SaasJwtMethod *
SaasJwtMethodByKey(const EVP_PKEY *key)
{
	size_t		i;

	for (i = 0; i < METHOD_COUNT; i++)
	{
		if (methods[i].suits != NULL && methods[i].suits(&methods[i], key))
			return &methods[i];
	}
	return NULL;
}

/* Whether a member is a string of that text. */
static bool
member_is(const json_t *object, const char *name, const char *text)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value != NULL && strcmp(value, text) == 0;
}

const SaasJwtMethod *
SaasJwtMethodByJwk(const json_t *jwk)
{
	size_t		i;

	for (i = 0; i < METHOD_COUNT; i++)
	{
		const SaasJwtMethod *method = &methods[i];

		if (member_is(jwk, "kty", method->key_type) &&
			(method->curve == NULL || member_is(jwk, "crv", method->curve)) &&
			(json_object_get(jwk, "alg") == NULL || member_is(jwk, "alg", method->name)))
			return method;
	}
	return NULL;
}

json_t *
SaasJwtReadObject(const char *text, size_t length)
{
	SaasProblem ignored = {0};
	json_t	   *value = SaasJsonReadPlain(text, length);

	if (value == NULL)
		value = SaasJsonRead(text, length, false, "the token", &ignored);
	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

bool
SaasJwtOutOfMemory(SaasProblem *problem)
{
	return SaasProblemSet(problem, "53200", "out of memory");
}

/* 22023 with what is wrong with a key set. */
static bool
refuse_keys(SaasProblem *problem, const char *why)
{
	SaasProblemSet(problem, "22023", "invalid key set");
	return SaasProblemDetail(problem, "%s", why);
}

/* Whether "use" and "key_ops" let the key verify (RFC 7517, 4.2 and 4.3). */
static bool
may_verify(const json_t *jwk)
{
	const json_t *operations = json_object_get(jwk, "key_ops");
	size_t		i;

	if (json_object_get(jwk, "use") != NULL && !member_is(jwk, "use", "sig"))
		return false;
	if (operations == NULL)
		return true;
	for (i = 0; i < json_array_size(operations); i++)
	{
		const char *operation = json_string_value(json_array_get(operations, i));

		if (operation != NULL && strcmp(operation, "verify") == 0)
			return true;
	}
	return false;
}

static const SaasJwtKey *
find_kid(const SaasJwtKeySet *keys, const char *kid)
{
	int			i;

	for (i = 0; i < keys->count; i++)
	{
		if (keys->keys[i].kid != NULL && strcmp(keys->keys[i].kid, kid) == 0)
			return &keys->keys[i];
	}
	return NULL;
}

/*
 * Reads the key and prepares its verifier; the set frees what is half made.
 * OpenSSL before 3.1 does not copy a context without a digest: those are made
 * at each verification.
 */
static bool
load_key(SaasJwtKey *key, const json_t *jwk)
{
	const SaasJwtMethod *method = key->method;
	EVP_PKEY_CTX *ctx;

	if (method->is_mac)
	{
		key->mac = SaasJwtMacReadJwk(jwk);
		return key->mac != NULL;
	}
	key->key = method->read_jwk(method, jwk);
	if (key->key == NULL || method->digest == NULL)
		return key->key != NULL;
	key->verifier = EVP_MD_CTX_new();
	return key->verifier != NULL &&
		EVP_DigestVerifyInit_ex(key->verifier, &ctx, method->digest, NULL, NULL,
								key->key, NULL) == 1 &&
		(method->prepare == NULL || method->prepare(ctx));
}

/*
 * Most tokens carry the very header that we write: comparing it costs less
 * than parsing it.  A key whose header is too long goes without.
 */
static bool
remember_header(SaasJwtKey *key)
{
	SaasArena  *arena = SaasArenaCreate(MAX_HEADER_ARENA);
	char	   *header = arena == NULL ? NULL : SaasJwtHeader(key->method, key->kid, arena);
	bool		ok = arena != NULL;

	if (header != NULL)
	{
		key->header = strdup(header);
		ok = key->header != NULL;
	}
	SaasArenaDestroy(arena);
	return ok;
}

/* Adds the key to the set when this code can verify with it. */
static bool
add_key(SaasJwtKeySet *keys, const json_t *jwk, SaasProblem *problem)
{
	const json_t *kid = json_object_get(jwk, "kid");
	const SaasJwtMethod *method;
	SaasJwtKey *key = &keys->keys[keys->count];

	if (!json_is_object(jwk) || !json_is_string(json_object_get(jwk, "kty")))
		return refuse_keys(problem, "A key is not an object with a string \"kty\".");
	if (kid != NULL && !json_is_string(kid))
		return refuse_keys(problem, "A \"kid\" is not a string.");
	method = SaasJwtMethodByJwk(jwk);
	if (method == NULL || !may_verify(jwk))
		return true;
	if (json_object_get(jwk, "d") != NULL)
		return refuse_keys(problem, "A key is a private one; a key set holds public keys.");
	if (kid != NULL && find_kid(keys, json_string_value(kid)) != NULL)
		return refuse_keys(problem, "Two keys have the same \"kid\".");

	keys->count++;
	key->method = method;
	if (!load_key(key, jwk))
		return refuse_keys(problem, "A key is malformed, of a wrong size or not on its curve.");
	if (kid != NULL)
	{
		key->kid = strdup(json_string_value(kid));
		if (key->kid == NULL || !remember_header(key))
			return SaasJwtOutOfMemory(problem);
	}
	return true;
}

static bool
add_keys(SaasJwtKeySet *keys, const json_t *document, SaasProblem *problem)
{
	const json_t *array = json_object_get(document, "keys");
	size_t		i;

	if (!json_is_array(array))
		return refuse_keys(problem, "It is not a JSON object with an array \"keys\".");
	if (json_array_size(array) > SAAS_JWT_MAX_KEYS)
		return refuse_keys(problem, "It has too many keys.");
	for (i = 0; i < json_array_size(array); i++)
	{
		if (!add_key(keys, json_array_get(array, i), problem))
			return false;
	}
	if (keys->count == 0)
		return refuse_keys(problem, "No key is for an algorithm that is supported here.");
	return true;
}

SaasJwtKeySet *
SaasJwtKeySetParse(const char *jwks, size_t length, SaasProblem *problem)
{
	SaasJwtKeySet *keys;
	json_t	   *document;
	bool		ok;

	if (length > MAX_JWKS_LENGTH)
	{
		refuse_keys(problem, "It is too long.");
		return NULL;
	}
	keys = calloc(1, sizeof(SaasJwtKeySet));
	if (keys == NULL)
	{
		SaasJwtOutOfMemory(problem);
		return NULL;
	}
	document = SaasJwtReadObject(jwks, length);
	ok = add_keys(keys, document, problem);
	json_decref(document);
	ERR_clear_error();
	if (ok)
		return keys;
	SaasJwtKeySetFree(keys);
	return NULL;
}

void
SaasJwtKeySetFree(SaasJwtKeySet *keys)
{
	int			i;

	if (keys == NULL)
		return;
	for (i = 0; i < keys->count; i++)
	{
		EVP_MD_CTX_free(keys->keys[i].verifier);
		EVP_MAC_CTX_free(keys->keys[i].mac);
		EVP_PKEY_free(keys->keys[i].key);
		free(keys->keys[i].header);
		free(keys->keys[i].kid);
	}
	free(keys);
}

/* PKCS#8 PEM in the arena; the BIO wipes its own copy. */
static char *
write_private(const EVP_PKEY *key, SaasArena *arena)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *pem = NULL;
	char	   *data;
	long		length;

	if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
	{
		length = BIO_get_mem_data(bio, &data);
		if (length > 0)
			pem = SaasArenaStrndup(arena, data, (size_t) length);
	}
	BIO_free(bio);
	return pem;
}

/* A new key pair; false when OpenSSL fails or the arena is exhausted. */
static bool
generate_pair(const SaasJwtMethod *method, SaasArena *arena,
			  char **private_half, char **public_jwk, char **kid)
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	EVP_PKEY   *key = method->generate(method);
	char	   *members = NULL;

	if (key != NULL)
	{
		*private_half = write_private(key, arena);
		members = method->write_jwk(method, key, arena);
		*kid = SaasArenaAlloc(arena, SaasBase64UrlLength(SAAS_DIGEST_LENGTH) + 1);
	}
	EVP_PKEY_free(key);
	if (*private_half == NULL || members == NULL || *kid == NULL ||
		!SaasSha256(members, strlen(members), digest))
		return false;
	SaasBase64UrlEncode(digest, sizeof(digest), *kid);
	/* Everything but the closing brace, so that members stay in one place. */
	*public_jwk = SaasArenaPrintf(arena, "%.*s,\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"}",
								  (int) strlen(members) - 1, members, *kid, method->name);
	return *public_jwk != NULL;
}

bool
SaasJwtKeyGenerate(SaasJwtAlgorithm algorithm, SaasArena *arena,
				   char **private_half, char **public_jwk, char **kid, SaasProblem *problem)
{
	const SaasJwtMethod *method = method_of(algorithm);
	bool		ok;

	*private_half = *public_jwk = *kid = NULL;
	if (method == NULL || (!method->is_mac && method->generate == NULL))
		return SaasProblemSet(problem, "22023", "no key is made for that JWT algorithm");
	if (method->is_mac)
	{
		*private_half = SaasJwtMacGenerate(arena, kid);
		ok = *private_half != NULL;
	}
	else
		ok = generate_pair(method, arena, private_half, public_jwk, kid);
	ERR_clear_error();
	return ok || SaasProblemSet(problem, "58000", "could not generate a key");
}
