/*
 * api_key_use.c
 *	  What a request with an API key acts as.
 */
#include "postgres.h"

#include <time.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pure/api_key.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "state/api_key_use.h"
#include "state/journal.h"
#include "state/limits.h"
#include "state/lookup.h"
#include "state/sealed.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define SIGNING_PURPOSE		"pg_saas:api-signing"
#define USED_KIND			"key_used"

/* How far a request's time may be from ours, either way. */
#define WINDOW_S			300
#define MAX_TIMESTAMP_DIGITS	12
#define MIN_NONCE			16
#define MAX_NONCE			128

#define NONCE_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* A use is noted at most so often. */
#define USED_EVERY_S		60

/*
 * The key that was looked up last, and whose it is.  A transaction's identity was
 * verified in it and has one key's id: what is of another id is not told, and
 * what is of the same, whatever became of it after the look-up, the caller holds.
 */
static struct
{
	pg_uuid_t	api_key_id;
	uint8_t		hash[SAAS_DIGEST_LENGTH];
}			presented;

const uint8_t *
SaasApiKeyPresented(const SaasIdentity *identity)
{
	if (!identity->is_set || identity->source != SAAS_IDENTITY_API_KEY ||
		memcmp(&identity->api_key_id, &presented.api_key_id, UUID_LEN) != 0)
		return NULL;
	return presented.hash;
}

/* Looks the key up.  A mistyped one costs no look-up. */
static void
find(const text *key, SaasIdentity *identity, bool *requires_signature)
{
	uint8_t		hash[SAAS_DIGEST_LENGTH];

	if (!SaasApiKeyIsWellFormed(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)))
		SaasRaise("PT401", "Invalid or expired API key", "malformed", "A character is missing or mistyped.");
	if (!SaasSha256(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), hash))
		elog(ERROR, "could not hash an API key");
	SaasLookupApiKey(hash, identity, requires_signature);
	presented.api_key_id = identity->api_key_id;
	memcpy(presented.hash, hash, sizeof(hash));
}

/*
 * Notes that the key was used, for the worker to write down.  The memory of
 * rates never refuses for want of room: a full one costs a note too many.
 */
static void
note_use(const SaasIdentity *identity)
{
	SaasRateVerdict verdict;

	SaasRateTake(USED_KIND, identity->api_key_id.data, UUID_LEN, 1, USED_EVERY_S, &verdict);
	if (verdict.allowed)
		SaasNoteDown(USED_KIND, &identity->api_key_id,
					 psprintf("{\"org_id\":\"%s\"}", SaasUuidText(&identity->org_id)));
}

void
SaasApiKeyIdentify(const text *key, SaasIdentity *identity)
{
	bool		requires_signature;

	find(key, identity, &requires_signature);
	if (requires_signature)
		SaasRaise("PT401", "This API key works with signed requests only", NULL,
				  "Sign the request with the key's signing secret.");
	note_use(identity);
}

struct varlena *
SaasApiKeySealSecret(const pg_uuid_t *org_id, const pg_uuid_t *api_key_id, const char *secret, Size length)
{
	return SaasSeal(org_id, secret, length, SIGNING_PURPOSE, SaasUuidText(api_key_id));
}

/* The current secret, and the one before it while that is good. */
#define MAX_SECRETS			2

/* Reads the key's signing secrets, still sealed; returns how many are good. */
static int
read_secrets(const SaasIdentity *identity, struct varlena *sealed[MAX_SECRETS])
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	Datum		values[2] = {UUIDPGetDatum(&identity->org_id), UUIDPGetDatum(&identity->api_key_id)};
	MemoryContext caller = CurrentMemoryContext;
	int			count = 0;
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("select signing_secret,"
							  "       case when previous_valid_until > pg_catalog.clock_timestamp()"
							  "            then previous_signing_secret end"
							  "  from saas_private.api_key_signing"
							  " where org_id = $1 and api_key_id = $2",
							  2, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a signing secret");
	for (int i = 0; SPI_processed == 1 && i < MAX_SECRETS; i++)
	{
		bool		is_null;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &is_null);
		MemoryContext work = MemoryContextSwitchTo(caller);

		if (!is_null)
			sealed[count++] = PG_DETOAST_DATUM_COPY(value);
		MemoryContextSwitchTo(work);
	}
	SaasRunAsEnd(&state);
	return count;
}

/* The request's time in Unix seconds must be close to ours. */
static void
require_close(const char *timestamp)
{
	size_t		digits = strspn(timestamp, "0123456789");
	int64		now_s = (int64) time(NULL);
	int64		at;

	if (digits == 0 || digits > MAX_TIMESTAMP_DIGITS || timestamp[digits] != '\0')
		SaasRaise("PT401", "Invalid signature", "x-saas-timestamp must be Unix seconds", NULL);
	at = strtoll(timestamp, NULL, 10);
	if (at < now_s - WINDOW_S || at > now_s + WINDOW_S)
		SaasRaise("PT401", "Invalid signature", "x-saas-timestamp is too far from the server's time",
				  "Set the clock.");
}

static void
require_nonce(const char *nonce)
{
	size_t		length = strspn(nonce, NONCE_CHARACTERS);

	if (length < MIN_NONCE || length > MAX_NONCE || nonce[length] != '\0')
		SaasRaise("PT401", "Invalid signature",
				  "x-saas-nonce must be 16 to 128 letters, digits, dots, hyphens and underscores", NULL);
}

/* What is signed; its definition is saas.verify_request's comment. */
static StringInfo
string_to_sign(const SaasSignedRequest *request)
{
	StringInfo	text = makeStringInfo();
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	char		hex[SAAS_DIGEST_LENGTH * 2 + 1];

	if (!SaasSha256(request->body ? VARDATA_ANY(request->body) : "",
					request->body ? VARSIZE_ANY_EXHDR(request->body) : 0, digest))
		elog(ERROR, "could not hash a request's body");
	SaasHexEncode(digest, sizeof(digest), hex);
	appendStringInfo(text, "%s\n%s\n%s\n%s\n%s\n%s", request->method, request->path, request->query,
					 request->timestamp, request->nonce, hex);
	return text;
}

static bool
decode_signature(const char *signature, uint8_t digest[SAAS_DIGEST_LENGTH])
{
	size_t		length = strlen(signature);

	if (length == SAAS_DIGEST_LENGTH * 2)
		return SaasHexDecode(signature, digest, SAAS_DIGEST_LENGTH);
	return length == SaasBase64UrlLength(SAAS_DIGEST_LENGTH) &&
		SaasBase64UrlDecode(signature, length, digest) == SAAS_DIGEST_LENGTH;
}

/* Whether the text was signed with the secret. */
static bool
is_signed_with(const SaasIdentity *identity, const struct varlena *sealed, const StringInfo text,
			   const uint8_t given[SAAS_DIGEST_LENGTH])
{
	uint8_t		expected[SAAS_DIGEST_LENGTH];
	Size		length;
	char	   *secret = SaasUnseal(&identity->org_id, sealed, SIGNING_PURPOSE,
									SaasUuidText(&identity->api_key_id), &length);
	bool		ok = SaasHmacSha256(secret, length, text->data, text->len, expected);

	SaasWipe(secret, length);
	if (!ok)
		elog(ERROR, "could not compute a signature");
	return SaasEqualConstantTime(expected, given, SAAS_DIGEST_LENGTH);
}

static void
require_signature(const SaasSignedRequest *request, const SaasIdentity *identity)
{
	uint8_t		given[SAAS_DIGEST_LENGTH + 1];
	StringInfo	text = string_to_sign(request);
	struct varlena *secrets[MAX_SECRETS];
	int			count = read_secrets(identity, secrets);
	bool		is_signed = false;

	if (count == 0)
		SaasRaise("PT401", "This API key has no signing secret", NULL,
				  "Create one with saas_api.create_signing_secret().");
	if (decode_signature(request->signature, given))
	{
		for (int i = 0; i < count && !is_signed; i++)
			is_signed = is_signed_with(identity, secrets[i], text, given);
	}
	if (!is_signed)
		SaasRaise("PT401", "Invalid signature", NULL, NULL);
}

/*
 * Only a request whose signature holds uses its nonce up: nobody else can use
 * up those of the key's holder.  It stays used until its time is out of the
 * window, which is at most twice as long.
 */
static void
require_new(const SaasSignedRequest *request, const SaasIdentity *identity)
{
	char	   *subject = psprintf("%s %s", SaasUuidText(&identity->api_key_id), request->nonce);
	SaasRateVerdict verdict;
	bool		is_new;

	is_new = SaasUseNonce(&identity->org_id, subject, strlen(subject), 2 * WINDOW_S + 1, &verdict);
	if (!verdict.allowed)
		SaasRaiseRetryAfter("Too many signed requests from your organization, please try again later.", NULL,
							"Try again after the seconds of Retry-After.", verdict.retry_after_s);
	if (!is_new)
		SaasRaise("PT401", "Invalid signature", "x-saas-nonce was used before",
				  "Use another nonce for each request.");
}

void
SaasApiKeyVerify(const SaasSignedRequest *request, SaasIdentity *identity)
{
	bool		requires_signature;

	require_close(request->timestamp);
	require_nonce(request->nonce);
	find(request->api_key, identity, &requires_signature);
	require_signature(request, identity);
	require_new(request, identity);
	note_use(identity);
}
