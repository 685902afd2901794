/*
 * wrapped_key.c
 *	  A data key as its row holds it: wrapped by a master key.
 */
#include "postgres.h"

#include "compat.h"
#include "server/raise.h"
#include "server/uuidv7.h"
#include "state/master_keys.h"
#include "state/wrapped_key.h"

#define WRAP_PURPOSE	"pg_saas:data-key"

/* Organization, version and master version: a moved row does not unwrap. */
static char *
wrap_context(const SaasWrappedKey *wrapped)
{
	return psprintf(WRAP_PURPOSE "|%s|%d|%d",
					SaasUuidText(&wrapped->org_id), wrapped->version, wrapped->master_version);
}

void
SaasWrap(const SaasMasterKeys *masters, const uint8_t key[SAAS_KEY_LENGTH], SaasWrappedKey *wrapped)
{
	const SaasMasterKey *master = SaasMasterKeyFind(masters, 0);
	uint8_t    *cipher = wrapped->bytes + SAAS_NONCE_LENGTH;
	char	   *context;

	wrapped->master_version = master->version;
	strlcpy(wrapped->master_fingerprint, master->fingerprint, sizeof(wrapped->master_fingerprint));
	context = wrap_context(wrapped);
	if (!SaasRandomBytes(wrapped->bytes, SAAS_NONCE_LENGTH) ||
		!SaasAeadSeal(master->key, wrapped->bytes, context, strlen(context), key, SAAS_KEY_LENGTH,
					  cipher, cipher + SAAS_KEY_LENGTH))
		elog(ERROR, "could not wrap a data key");
	pfree(context);
}

bool
SaasUnwrap(const SaasMasterKeys *masters, const SaasWrappedKey *wrapped, uint8_t key[SAAS_KEY_LENGTH])
{
	const SaasMasterKey *master = SaasMasterKeyFind(masters, wrapped->master_version);
	const uint8_t *cipher = wrapped->bytes + SAAS_NONCE_LENGTH;
	char	   *context;
	bool		opened;

	if (master == NULL || strcmp(master->fingerprint, wrapped->master_fingerprint) != 0)
		return false;
	context = wrap_context(wrapped);
	opened = SaasAeadOpen(master->key, wrapped->bytes, context, strlen(context), cipher, SAAS_KEY_LENGTH,
						  cipher + SAAS_KEY_LENGTH, key);
	pfree(context);
	return opened;
}

void
SaasRaiseNotUnwrapped(const SaasMasterKeys *masters, const SaasWrappedKey *wrapped)
{
	const SaasMasterKey *master = SaasMasterKeyFind(masters, wrapped->master_version);

	SaasRaise("55000", "the master key does not open this database's data keys",
			  psprintf("Version %d with fingerprint %s is needed; %s has %s.",
					   wrapped->master_version, wrapped->master_fingerprint, SaasMasterKeysSource(),
					   master == NULL ? "none" : master->fingerprint),
			  psprintf("Put the master key that this database was used with into what %s names.",
					   SaasMasterKeysSetting()));
}

bytea *
SaasWrappedBytes(const SaasWrappedKey *wrapped)
{
	bytea	   *bytes = palloc(VARHDRSZ + SAAS_WRAPPED_LENGTH);

	SET_VARSIZE(bytes, VARHDRSZ + SAAS_WRAPPED_LENGTH);
	memcpy(VARDATA(bytes), wrapped->bytes, SAAS_WRAPPED_LENGTH);
	return bytes;
}

void
SaasWrappedSetBytes(SaasWrappedKey *wrapped, const bytea *bytes)
{
	if (VARSIZE_ANY_EXHDR(bytes) != SAAS_WRAPPED_LENGTH)
		elog(ERROR, "wrapped data key has %d bytes", (int) VARSIZE_ANY_EXHDR(bytes));
	memcpy(wrapped->bytes, VARDATA_ANY(bytes), SAAS_WRAPPED_LENGTH);
}
