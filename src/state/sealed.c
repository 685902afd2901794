/*
 * sealed.c
 *	  The sealed value.
 */
#include "postgres.h"

#include "compat.h"
#include "port/pg_bswap.h"
#include "server/raise.h"
#include "state/keyring.h"
#include "state/sealed.h"

#define NONCE_AT	5
#define CIPHER_AT	(NONCE_AT + SAAS_NONCE_LENGTH)

bool
SaasSealedIsWellFormed(const char *bytes, Size length)
{
	return length >= SAAS_SEALED_OVERHEAD &&
		length <= SAAS_SEALED_OVERHEAD + SAAS_SEALED_MAX_PLAINTEXT &&
		bytes[0] == SAAS_SEALED_FORMAT;
}

int
SaasSealedKeyVersion(const struct varlena *sealed)
{
	uint32		version;

	memcpy(&version, VARDATA_ANY(sealed) + 1, sizeof(version));
	return (int) pg_ntoh32(version);
}

/* Associated data, on the stack unless purpose and context are long. */
typedef struct Aad
{
	char	   *bytes;
	Size		length;
	char		small[256];
} Aad;

static void
append(Aad *aad, const void *bytes, Size length)
{
	memcpy(aad->bytes + aad->length, bytes, length);
	aad->length += length;
}

static void
build_aad(Aad *aad, const pg_uuid_t *org_id, int key_version, const char *purpose, const char *context)
{
	const char	format = SAAS_SEALED_FORMAT;
	uint32		version = pg_hton32((uint32) key_version);
	Size		purpose_length = strlen(purpose);
	Size		context_length = strlen(context);
	uint32		length = pg_hton32((uint32) purpose_length);
	Size		total = sizeof(format) + sizeof(version) + UUID_LEN + sizeof(length) +
		purpose_length + context_length;

	aad->bytes = total <= sizeof(aad->small) ? aad->small : palloc(total);
	aad->length = 0;
	append(aad, &format, sizeof(format));
	append(aad, &version, sizeof(version));
	append(aad, org_id->data, UUID_LEN);
	append(aad, &length, sizeof(length));
	append(aad, purpose, purpose_length);
	append(aad, context, context_length);
}

static void
free_aad(Aad *aad)
{
	if (aad->bytes != aad->small)
		pfree(aad->bytes);
}

struct varlena *
SaasSeal(const pg_uuid_t *org_id, const char *plaintext, Size length,
		 const char *purpose, const char *context)
{
	const SaasDataKey *key;
	struct varlena *sealed;
	Aad			aad;
	uint32		version;
	char	   *bytes;

	if (length > SAAS_SEALED_MAX_PLAINTEXT)
		SaasRaise("22023", "a value to seal may have at most 1048576 bytes", NULL, NULL);
	sealed = palloc(VARHDRSZ + SAAS_SEALED_OVERHEAD + length);
	SET_VARSIZE(sealed, VARHDRSZ + SAAS_SEALED_OVERHEAD + length);
	bytes = VARDATA(sealed);

	key = SaasKeyringCurrent(org_id);
	build_aad(&aad, org_id, key->version, purpose, context);
	version = pg_hton32((uint32) key->version);
	bytes[0] = SAAS_SEALED_FORMAT;
	memcpy(bytes + 1, &version, sizeof(version));
	if (!SaasRandomNonce((uint8_t *) bytes + NONCE_AT) ||
		!SaasAeadSealNext(key->serial, key->key, (uint8_t *) bytes + NONCE_AT,
						  aad.bytes, aad.length, plaintext, length,
						  (uint8_t *) bytes + CIPHER_AT, (uint8_t *) bytes + CIPHER_AT + length))
		elog(ERROR, "could not seal a value");
	free_aad(&aad);
	return sealed;
}

char *
SaasUnseal(const pg_uuid_t *org_id, const struct varlena *sealed,
		   const char *purpose, const char *context, Size *length)
{
	const char *bytes = VARDATA_ANY(sealed);
	Size		size = VARSIZE_ANY_EXHDR(sealed);
	const SaasDataKey *key;
	Aad			aad;
	char	   *plaintext;

	if (!SaasSealedIsWellFormed(bytes, size))
		elog(ERROR, "sealed value of %zu bytes is malformed", size);
	*length = size - SAAS_SEALED_OVERHEAD;
	key = SaasKeyringVersion(org_id, SaasSealedKeyVersion(sealed));
	build_aad(&aad, org_id, key->version, purpose, context);
	plaintext = palloc(*length + 1);
	if (!SaasAeadOpenNext(key->serial, key->key, (const uint8_t *) bytes + NONCE_AT, aad.bytes, aad.length,
						  (const uint8_t *) bytes + CIPHER_AT, *length,
						  (const uint8_t *) bytes + CIPHER_AT + *length, (uint8_t *) plaintext))
		SaasRaise("22023", "cannot open the sealed value", NULL,
				  "It opens only for the organization, purpose and context it was sealed for.");
	plaintext[*length] = '\0';
	free_aad(&aad);
	return plaintext;
}
