/*
 * jwt_verify.c
 *	  Verifying JSON Web Tokens in compact form (RFC 7515, section 5.2; RFC
 *	  7519, section 7.2; RFC 8725).
 *
 * Order matters: length and shape first, then the header, then the signature,
 * and only then the claims, so that a forged token costs little and learns
 * nothing about what its claims should have been.
 */
#include "pure/jwt_internal.h"

#include <string.h>

#include <openssl/err.h>

#include "base/strbuf.h"
#include "pure/crypto.h"

#define UNKNOWN_KEY	"No key is known for the token."

/* Beyond this a double no longer tells neighbouring integers apart. */
#define MAX_TIME_S	9007199254740992.0

/* The three parts, still in base64url. */
typedef struct TokenParts
{
	const char *header;
	size_t		header_length;
	const char *payload;
	size_t		payload_length;
	const char *signature;
	size_t		signature_length;
	size_t		signed_length;	/* header, dot and payload */
} TokenParts;

static bool
refuse(SaasProblem *problem, const char *why)
{
	SaasProblemSet(problem, "PT401", "Invalid or expired token");
	return SaasProblemDetail(problem, "%s", why);
}

static bool
split(const char *token, size_t length, TokenParts *parts)
{
	const char *end = token + length;
	const char *first = memchr(token, '.', length);
	const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t) (end - first - 1));

	if (second == NULL || memchr(second + 1, '.', (size_t) (end - second - 1)) != NULL)
		return false;
	parts->header = token;
	parts->header_length = (size_t) (first - token);
	parts->payload = first + 1;
	parts->payload_length = (size_t) (second - first - 1);
	parts->signature = second + 1;
	parts->signature_length = (size_t) (end - second - 1);
	parts->signed_length = (size_t) (second - token);
	return parts->header_length > 0 && parts->payload_length > 0 && parts->signature_length > 0;
}

/* The JSON object in a part, or NULL with the problem set. */
static json_t *
decode_object(const char *text, size_t length, const char *why, SaasArena *arena,
			  SaasProblem *problem)
{
	uint8_t    *bytes = SaasArenaAlloc(arena, length);
	json_t	   *object = NULL;
	long		decoded;

	if (bytes == NULL)
	{
		SaasJwtOutOfMemory(problem);
		return NULL;
	}
	decoded = SaasBase64UrlDecode(text, length, bytes);
	if (decoded > 0)
		object = SaasJwtReadObject((const char *) bytes, (size_t) decoded);
	if (object == NULL)
		refuse(problem, why);
	return object;
}

bool
SaasJwtKeyIsUnknown(const SaasProblem *problem)
{
	return strcmp(problem->detail, UNKNOWN_KEY) == 0;
}

/* The key for a header: by kid, else the only one of that algorithm. */
static const SaasJwtKey *
choose_key(const SaasJwtKeySet *keys, const SaasJwtMethod *method, const char *kid)
{
	const SaasJwtKey *found = NULL;
	int			i;

	for (i = 0; i < keys->count; i++)
	{
		const SaasJwtKey *key = &keys->keys[i];

		if (kid != NULL && key->kid != NULL && strcmp(key->kid, kid) == 0)
			return key;
		if (kid == NULL && key->method == method)
		{
			if (found != NULL)
				return NULL;
			found = key;
		}
	}
	return found;
}

static bool
accepts(const SaasJwtRules *rules, const SaasJwtMethod *method)
{
	return rules->algorithms == 0 || (rules->algorithms & SAAS_JWT_BIT(method->algorithm)) != 0;
}

static bool
check_header(const json_t *header, const SaasJwtKeySet *keys, const SaasJwtRules *rules,
			 const SaasJwtKey **key, SaasProblem *problem)
{
	/* A key that the token brings along proves nothing (RFC 8725, 3.5 and 3.10). */
	static const char *const foreign_keys[] = {"jwk", "jku", "x5u", "x5c"};
	/* These change what the bytes of the token mean (RFC 7797; RFC 7516, 4.1). */
	static const char *const encodings[] = {"b64", "enc", "zip"};
	const char *name = json_string_value(json_object_get(header, "alg"));
	const json_t *kid = json_object_get(header, "kid");
	const json_t *type = json_object_get(header, "typ");
	const SaasJwtMethod *method;
	size_t		i;

	if (name == NULL)
		return refuse(problem, "The header has no \"alg\".");
	method = SaasJwtMethodByName(name);
	if (method == NULL)
		return refuse(problem, "The algorithm is not supported.");
	if (!accepts(rules, method))
		return refuse(problem, "The algorithm is not accepted.");
	if (json_object_get(header, "crit") != NULL)
		return refuse(problem, "The header has critical extensions.");
	for (i = 0; i < sizeof(foreign_keys) / sizeof(foreign_keys[0]); i++)
	{
		if (json_object_get(header, foreign_keys[i]) != NULL)
			return refuse(problem, "The header brings its own key.");
	}
	for (i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++)
	{
		if (json_object_get(header, encodings[i]) != NULL)
			return refuse(problem, "The header asks for another encoding.");
	}
	if ((kid != NULL && !json_is_string(kid)) || (type != NULL && !json_is_string(type)))
		return refuse(problem, "The header's \"kid\" or \"typ\" is not a string.");
	*key = choose_key(keys, method, json_string_value(kid));
	if (*key == NULL)
		return refuse(problem, UNKNOWN_KEY);
	if ((*key)->method != method)
		return refuse(problem, "The algorithm is not the one of the key.");
	return true;
}

/*
 * The key whose header, as we write it, the token has to the byte: it says
 * the key's own algorithm and kid and nothing else that check_header looks at.
 */
static const SaasJwtKey *
key_of_own_header(const TokenParts *parts, const SaasJwtKeySet *keys, const SaasJwtRules *rules)
{
	for (int i = 0; i < keys->count; i++)
	{
		const SaasJwtKey *key = &keys->keys[i];

		if (key->header != NULL && strlen(key->header) == parts->header_length &&
			memcmp(key->header, parts->header, parts->header_length) == 0 &&
			accepts(rules, key->method))
			return key;
	}
	return NULL;
}

/* The key that the header names, or NULL with the problem set. */
static const SaasJwtKey *
read_header(const TokenParts *parts, const SaasJwtKeySet *keys, const SaasJwtRules *rules,
			SaasArena *arena, SaasProblem *problem)
{
	const SaasJwtKey *key = key_of_own_header(parts, keys, rules);
	json_t	   *header;
	bool		ok;

	if (key != NULL)
		return key;
	header = decode_object(parts->header, parts->header_length, "The header is malformed.",
						   arena, problem);
	ok = header != NULL && check_header(header, keys, rules, &key, problem);
	json_decref(header);
	return ok ? key : NULL;
}

/* Whether the MAC over header and payload is the one that the secret makes. */
static bool
check_mac(const TokenParts *parts, const SaasJwtKey *key, const uint8_t *jws, long length,
		  SaasProblem *problem)
{
	uint8_t		expected[SAAS_JWT_MAC_LENGTH];
	bool		ok;

	if (length != SAAS_JWT_MAC_LENGTH)
		return refuse(problem, "The signature is malformed.");
	ok = SaasJwtMacDigest(key->mac, parts->header, parts->signed_length, expected) &&
		SaasEqualConstantTime(expected, jws, sizeof(expected));
	/* The right signature of a forged token is for nobody to find. */
	SaasWipe(expected, sizeof(expected));
	return ok || refuse(problem, "The signature is wrong.");
}

/* Starts a verification from the key's context, or anew where it has none. */
static bool
start_verifying(EVP_MD_CTX *ctx, const SaasJwtKey *key)
{
	if (key->verifier != NULL)
		return EVP_MD_CTX_copy_ex(ctx, key->verifier) == 1;
	return EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key->key, NULL) == 1;
}

static bool
check_signature(const TokenParts *parts, const SaasJwtKey *key, SaasProblem *problem)
{
	uint8_t		jws[SAAS_JWT_MAX_SIGNATURE];
	uint8_t		native[SAAS_JWT_MAX_SIGNATURE];
	EVP_MD_CTX *ctx;
	size_t		length = 0;
	long		decoded = -1;
	bool		ok;

	if (parts->signature_length <= SaasBase64UrlLength(sizeof(jws)))
		decoded = SaasBase64UrlDecode(parts->signature, parts->signature_length, jws);
	if (key->method->is_mac)
		return check_mac(parts, key, jws, decoded, problem);
	if (decoded > 0)
		length = key->method->from_jws(key->method, key->key, jws, (size_t) decoded, native);
	if (length == 0)
		return refuse(problem, "The signature is malformed.");
	ctx = EVP_MD_CTX_new();
	ok = ctx != NULL && start_verifying(ctx, key) &&
		EVP_DigestVerify(ctx, native, length, (const unsigned char *) parts->header,
						 parts->signed_length) == 1;
	EVP_MD_CTX_free(ctx);
	return ok || refuse(problem, "The signature is wrong.");
}

/*
 * A NumericDate (RFC 7519, section 2), cut to whole seconds.  An absent one
 * leaves present false.
 */
static bool
read_time(const json_t *payload, const char *name, bool *present, int64_t *seconds,
		  SaasProblem *problem)
{
	const json_t *value = json_object_get(payload, name);

	*present = value != NULL;
	if (value == NULL)
		return true;
	if (!json_is_number(value) || !(json_number_value(value) >= 0) ||
		!(json_number_value(value) < MAX_TIME_S))
		return refuse(problem, "A time claim is not a sane number.");
	*seconds = (int64_t) json_number_value(value);
	return true;
}

/*
 * The leeway is applied to the claim and not to the clock: the claim is
 * bounded, so that the sum cannot overflow.
 */
static bool
check_times(const json_t *payload, const SaasJwtRules *rules, SaasJwtClaims *claims,
			SaasProblem *problem)
{
	int64_t		not_before = 0;
	bool		has_expiry;
	bool		has_start;
	bool		has_issue;

	if (!read_time(payload, "exp", &has_expiry, &claims->expires_s, problem) ||
		!read_time(payload, "nbf", &has_start, &not_before, problem) ||
		!read_time(payload, "iat", &has_issue, &claims->issued_s, problem))
		return false;
	if (!has_expiry)
		return refuse(problem, "The token does not expire.");
	if (rules->now_s >= claims->expires_s + rules->leeway_s)
		return refuse(problem, "The token has expired.");
	if (has_start && rules->now_s < not_before - rules->leeway_s)
		return refuse(problem, "The token is not valid yet.");
	if (has_issue && rules->now_s < claims->issued_s - rules->leeway_s)
		return refuse(problem, "The token was issued in the future.");
	return true;
}

/* Whether "aud" holds the text; malformed when it is no string or array of strings. */
static bool
has_audience(const json_t *audience, const char *wanted, bool *malformed)
{
	bool		found = false;
	size_t		i;

	*malformed = false;
	if (json_is_string(audience))
		return wanted != NULL && strcmp(json_string_value(audience), wanted) == 0;
	*malformed = !json_is_array(audience);
	for (i = 0; i < json_array_size(audience); i++)
	{
		const char *item = json_string_value(json_array_get(audience, i));

		if (item == NULL)
			*malformed = true;
		else if (wanted != NULL && strcmp(item, wanted) == 0)
			found = true;
	}
	return found;
}

static bool
check_parties(const json_t *payload, const SaasJwtRules *rules, SaasProblem *problem)
{
	const json_t *issuer = json_object_get(payload, "iss");
	const json_t *audience = json_object_get(payload, "aud");
	const char *type = json_string_value(json_object_get(payload, "type"));
	bool		malformed = false;
	bool		found = false;

	if (issuer != NULL && !json_is_string(issuer))
		return refuse(problem, "The issuer is not a string.");
	if (rules->issuer != NULL &&
		(issuer == NULL || strcmp(json_string_value(issuer), rules->issuer) != 0))
		return refuse(problem, "The issuer is wrong.");
	if (audience != NULL)
		found = has_audience(audience, rules->audience, &malformed);
	if (malformed)
		return refuse(problem, "The audience is neither a string nor an array of strings.");
	if (rules->audience != NULL && !found)
		return refuse(problem, "The audience is wrong.");
	if (rules->type != NULL && (type == NULL || strcmp(type, rules->type) != 0))
	{
		SaasProblemSet(problem, "PT401", "Invalid token type");
		return SaasProblemDetail(problem, "The claim \"type\" is wrong.");
	}
	return true;
}

/* A string claim into the arena; NULL when absent. */
static bool
copy_claim(const json_t *payload, const char *name, const char **out, SaasArena *arena,
		   SaasProblem *problem)
{
	const json_t *value = json_object_get(payload, name);

	if (value == NULL)
		return true;
	if (!json_is_string(value))
		return refuse(problem, "A claim that must be a string is not.");
	*out = SaasArenaStrdup(arena, json_string_value(value));
	return *out != NULL || SaasJwtOutOfMemory(problem);
}

static int
append_json(const char *bytes, size_t length, void *buffer)
{
	SaasStrbufAppend(buffer, bytes, length);
	return 0;
}

/*
 * The payload is written anew rather than copied, so that whoever reads it
 * next sees the very members that were checked here.
 */
static bool
write_payload(const json_t *payload, SaasArena *arena, SaasJwtClaims *claims, SaasProblem *problem)
{
	SaasStrbuf	json;

	SaasStrbufInit(&json, arena);
	if (json_dump_callback(payload, append_json, &json, JSON_COMPACT) == 0)
		claims->json = SaasStrbufFinish(&json);
	return claims->json != NULL || SaasJwtOutOfMemory(problem);
}

static bool
copy_claims(const json_t *payload, SaasArena *arena, SaasJwtClaims *claims, SaasProblem *problem)
{
	return copy_claim(payload, "sub", &claims->subject, arena, problem) &&
		copy_claim(payload, "sid", &claims->session, arena, problem) &&
		copy_claim(payload, "org", &claims->organization, arena, problem) &&
		copy_claim(payload, "jti", &claims->token_id, arena, problem);
}

static bool
check_payload(const TokenParts *parts, const SaasJwtRules *rules, SaasArena *arena,
			  SaasJwtClaims *claims, SaasProblem *problem)
{
	json_t	   *payload = decode_object(parts->payload, parts->payload_length,
										"The payload is malformed.", arena, problem);
	bool		ok;

	ok = payload != NULL &&
		check_times(payload, rules, claims, problem) &&
		check_parties(payload, rules, problem) &&
		copy_claims(payload, arena, claims, problem) &&
		(!rules->wants_json || write_payload(payload, arena, claims, problem));
	json_decref(payload);
	return ok;
}

bool
SaasJwtVerify(const char *token, size_t length, const SaasJwtKeySet *keys,
			  const SaasJwtRules *rules, SaasArena *arena,
			  SaasJwtClaims *claims, SaasProblem *problem)
{
	TokenParts	parts;
	const SaasJwtKey *key;
	bool		ok;

	memset(claims, 0, sizeof(*claims));
	if (length == 0)
		return SaasProblemSet(problem, "PT401", "Access token required");
	if (length > SAAS_JWT_MAX_LENGTH)
		return refuse(problem, "The token is too long.");
	if (!split(token, length, &parts))
		return refuse(problem, "The token does not have three parts.");
	key = read_header(&parts, keys, rules, arena, problem);
	ok = key != NULL && check_signature(&parts, key, problem);
	ERR_clear_error();
	if (ok && check_payload(&parts, rules, arena, claims, problem))
		return true;
	memset(claims, 0, sizeof(*claims));
	return false;
}
