/*
 * vault_sql.c
 *	  The type saas.sealed and the functions that seal and open.
 */
#include "postgres.h"

#include "common/base64.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/blind_index.h"
#include "state/identity.h"
#include "state/keyring.h"
#include "state/master_keys.h"
#include "state/sealed.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#define RESERVED_PREFIX		"pg_saas:"

PG_FUNCTION_INFO_V1(pg_saas_sealed_in);
PG_FUNCTION_INFO_V1(pg_saas_sealed_out);
PG_FUNCTION_INFO_V1(pg_saas_sealed_recv);
PG_FUNCTION_INFO_V1(pg_saas_sealed_send);
PG_FUNCTION_INFO_V1(pg_saas_describe);
PG_FUNCTION_INFO_V1(pg_saas_seal);
PG_FUNCTION_INFO_V1(pg_saas_unseal);
PG_FUNCTION_INFO_V1(pg_saas_seal_for_platform);
PG_FUNCTION_INFO_V1(pg_saas_unseal_for_platform);
PG_FUNCTION_INFO_V1(pg_saas_create_data_key);
PG_FUNCTION_INFO_V1(pg_saas_generate_master_key);
PG_FUNCTION_INFO_V1(pg_saas_blind_index);

/* The text is never quoted: somebody may have passed a plaintext by mistake. */
static struct varlena *
sealed_from_bytes(const char *bytes, Size length)
{
	struct varlena *sealed;

	if (!SaasSealedIsWellFormed(bytes, length))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type saas.sealed"),
				 errhint("Only what saas.seal() made can be stored.")));
	sealed = palloc(VARHDRSZ + length);
	SET_VARSIZE(sealed, VARHDRSZ + length);
	memcpy(VARDATA(sealed), bytes, length);
	return sealed;
}

Datum
pg_saas_sealed_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	int			text_length = (int) strlen(text);
	int			room = pg_b64_dec_len(text_length) + 1;
	uint8	   *bytes = palloc(room);
	int			length = pg_b64_decode(text, text_length, (void *) bytes, room);

	PG_RETURN_POINTER(sealed_from_bytes((char *) bytes, length < 0 ? 0 : (Size) length));
}

Datum
pg_saas_sealed_out(PG_FUNCTION_ARGS)
{
	struct varlena *sealed = PG_GETARG_VARLENA_PP(0);
	int			length = (int) VARSIZE_ANY_EXHDR(sealed);
	int			room = pg_b64_enc_len(length);
	char	   *text = palloc(room + 1);
	int			written = pg_b64_encode((void *) VARDATA_ANY(sealed), length, text, room);

	if (written < 0)
		elog(ERROR, "could not encode a sealed value");
	text[written] = '\0';
	PG_RETURN_CSTRING(text);
}

Datum
pg_saas_sealed_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			length = buffer->len - buffer->cursor;

	PG_RETURN_POINTER(sealed_from_bytes(pq_getmsgbytes(buffer, length), (Size) length));
}

Datum
pg_saas_sealed_send(PG_FUNCTION_ARGS)
{
	struct varlena *sealed = PG_GETARG_VARLENA_PP(0);
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	pq_sendbytes(&buffer, VARDATA_ANY(sealed), (int) VARSIZE_ANY_EXHDR(sealed));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

Datum
pg_saas_describe(PG_FUNCTION_ARGS)
{
	struct varlena *sealed = PG_GETARG_VARLENA_PP(0);
	char	   *json = psprintf("{\"format\":%d,\"key_version\":%d,\"length\":%d}",
								SAAS_SEALED_FORMAT, SaasSealedKeyVersion(sealed),
								(int) (VARSIZE_ANY_EXHDR(sealed) - SAAS_SEALED_OVERHEAD));

	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

static const pg_uuid_t *
current_org(void)
{
	const SaasIdentity *identity = SaasIdentityGet();

	if (!identity->is_set)
		SaasRaise("PT401", "Access token required", NULL, NULL);
	if (!identity->has_org)
		SaasRaise("PT403", "No organization access found", NULL,
				  "Create an organization or accept an invitation.");
	return &identity->org_id;
}

static char *
purpose_argument(FunctionCallInfo fcinfo, int number)
{
	char	   *purpose = PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));

	if (purpose == NULL || purpose[0] == '\0' || strlen(purpose) > 255)
		SaasRaise("22023", "a purpose must have 1 to 255 bytes", NULL, NULL);
	if (strncmp(purpose, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
		SaasRaise("22023", "purposes that begin with \"" RESERVED_PREFIX "\" are reserved", NULL, NULL);
	return purpose;
}

static char *
context_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static text *
open_as_text(const pg_uuid_t *org_id, struct varlena *sealed, const char *purpose, const char *context)
{
	Size		length;
	char	   *plaintext = SaasUnseal(org_id, sealed, purpose, context, &length);
	text	   *result = cstring_to_text_with_len(plaintext, (int) length);

	SaasWipe(plaintext, length);
	return result;
}

Datum
pg_saas_seal(PG_FUNCTION_ARGS)
{
	text	   *plaintext;
	char	   *purpose;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	plaintext = PG_GETARG_TEXT_PP(0);
	purpose = purpose_argument(fcinfo, 1);
	PG_RETURN_POINTER(SaasSeal(current_org(), VARDATA_ANY(plaintext), VARSIZE_ANY_EXHDR(plaintext),
							   purpose, context_argument(fcinfo, 2)));
}

Datum
pg_saas_unseal(PG_FUNCTION_ARGS)
{
	char	   *purpose;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	purpose = purpose_argument(fcinfo, 1);
	PG_RETURN_TEXT_P(open_as_text(current_org(), PG_GETARG_VARLENA_PP(0),
								  purpose, context_argument(fcinfo, 2)));
}

Datum
pg_saas_blind_index(PG_FUNCTION_ARGS)
{
	text	   *value;
	char	   *purpose;
	bytea	   *index;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_TEXT_PP(0);
	purpose = purpose_argument(fcinfo, 1);
	index = palloc(VARHDRSZ + SAAS_BLIND_INDEX_LENGTH);
	SET_VARSIZE(index, VARHDRSZ + SAAS_BLIND_INDEX_LENGTH);
	SaasBlindIndex(current_org(), purpose, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
				   (uint8 *) VARDATA(index));
	PG_RETURN_BYTEA_P(index);
}

Datum
pg_saas_seal_for_platform(PG_FUNCTION_ARGS)
{
	text	   *plaintext;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	plaintext = PG_GETARG_TEXT_PP(0);
	PG_RETURN_POINTER(SaasSeal(&SaasPlatformOrg, VARDATA_ANY(plaintext), VARSIZE_ANY_EXHDR(plaintext),
							   text_to_cstring(PG_GETARG_TEXT_PP(1)),
							   text_to_cstring(PG_GETARG_TEXT_PP(2))));
}

Datum
pg_saas_unseal_for_platform(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(open_as_text(&SaasPlatformOrg, PG_GETARG_VARLENA_PP(0),
								  text_to_cstring(PG_GETARG_TEXT_PP(1)),
								  text_to_cstring(PG_GETARG_TEXT_PP(2))));
}

Datum
pg_saas_create_data_key(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		elog(ERROR, "create_data_key needs an organization");
	SaasKeyringEnsure(PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}

/* One above the highest that is configured. */
static int
next_master_version(void)
{
	SaasMasterKeys keys;
	int			version;

	if (!SaasMasterKeysAreConfigured())
		return 1;
	SaasMasterKeysRead(&keys);
	version = SaasMasterKeyFind(&keys, 0)->version;
	SaasWipe(&keys, sizeof(keys));
	return version + 1;
}

Datum
pg_saas_generate_master_key(PG_FUNCTION_ARGS)
{
	uint8_t		key[SAAS_KEY_LENGTH];
	char		digits[2 * SAAS_KEY_LENGTH + 1];
	char	   *lines;
	text	   *result;

	if (!SaasRandomBytes(key, sizeof(key)))
		elog(ERROR, "could not make a master key");
	SaasHexEncode(key, sizeof(key), digits);
	lines = psprintf("# Append to what %s names, keep a copy apart from the database's backups,\n"
					 "# reload the configuration, then: call saas.rewrap_data_keys();\n"
					 "%d:%s", SaasMasterKeysSetting(), next_master_version(), digits);
	result = cstring_to_text(lines);
	SaasWipe(key, sizeof(key));
	SaasWipe(digits, sizeof(digits));
	SaasWipe(lines, strlen(lines));
	PG_RETURN_TEXT_P(result);
}
