/*
 * audit_head.c
 *	  Keys, heads and entries of the chains that seal the audit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "server/raise.h"
#include "state/keyring.h"
#include "state/sealed.h"
#include "store/audit_internal.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define KEY_PURPOSE		"pg_saas:audit"

static SaasStatement find_key = {
	"select k.version, k.secret from saas_private.audit_key k"
	" where k.version = $1 or $1 = 0 order by k.version desc limit 1",
	1, {INT4OID}
};

/* The type saas.sealed has no fixed oid: it goes in by its text. */
static SaasStatement add_key = {
	"insert into saas_private.audit_key (version, secret)"
	" select $1, saas_private.seal_for_platform($2, '" KEY_PURPOSE "', $1::text)",
	2, {INT4OID, TEXTOID}
};

static SaasStatement find_chain = {
	"select c.sequence, c.hash, c.start_sequence, c.start_hash, c.key_version, c.mac, c.broken_at is not null"
	"  from saas_private.audit_chain c where c.org_id = $1",
	1, {UUIDOID}
};

static SaasStatement find_last = {
	"select max(s.sequence) from saas_private.audit_seal s where s.org_id = $1",
	1, {UUIDOID}
};

static SaasStatement put_chain = {
	"insert into saas_private.audit_chain (org_id, sequence, hash, start_sequence, start_hash, key_version, mac)"
	" values ($1, $2, $3, $4, $5, $6, $7)"
	"     on conflict (org_id) do update"
	"    set sequence = excluded.sequence, hash = excluded.hash, start_sequence = excluded.start_sequence,"
	"        start_hash = excluded.start_hash, key_version = excluded.key_version, mac = excluded.mac",
	7, {UUIDOID, INT8OID, BYTEAOID, INT8OID, BYTEAOID, INT4OID, BYTEAOID}
};

static SaasStatement mark_broken = {
	"insert into saas_private.audit_chain (org_id, sequence, hash, start_hash, key_version, mac, broken_at)"
	" values ($1, 0, $2, $2, 0, $2, now())"
	"     on conflict (org_id) do update set broken_at = excluded.broken_at",
	2, {UUIDOID, BYTEAOID}
};

static SaasStatement lock_sealing = {
	"select from saas_private.audit_sealing for no key update"
};

static void
open_key(SaasAuditKey *key, const struct varlena *sealed)
{
	Size		length;
	char	   *hex = SaasUnseal(&SaasPlatformOrg, sealed, KEY_PURPOSE, psprintf("%d", key->version), &length);
	bool		is_key = length == SAAS_KEY_LENGTH * 2 && SaasHexDecode(hex, key->key, SAAS_KEY_LENGTH);

	SaasWipe(hex, length);
	if (!is_key)
		elog(ERROR, "key %d of the audit is none", key->version);
}

static void
create_key(SaasAuditKey *key)
{
	char		hex[SAAS_KEY_LENGTH * 2 + 1];
	Datum		values[2];
	text	   *secret;

	key->version = 1;
	if (!SaasRandomBytes(key->key, SAAS_KEY_LENGTH))
		elog(ERROR, "no random bytes");
	SaasHexEncode(key->key, SAAS_KEY_LENGTH, hex);
	secret = cstring_to_text(hex);
	SaasWipe(hex, sizeof(hex));
	values[0] = Int32GetDatum(key->version);
	values[1] = PointerGetDatum(secret);
	(void) SaasStatementRun(&add_key, values, NULL);
	SaasWipe(VARDATA(secret), VARSIZE(secret) - VARHDRSZ);
}

bool
SaasAuditGetKey(int version, bool may_create, SaasAuditKey *key)
{
	Datum		value = Int32GetDatum(version);
	bool		is_null;

	if (SaasStatementRun(&find_key, &value, NULL) == 0)
	{
		if (may_create)
			create_key(key);
		return may_create;
	}
	key->version = DatumGetInt32(SaasStatementColumn(0, 1, &is_null));
	open_key(key, (struct varlena *) PG_DETOAST_DATUM(SaasStatementColumn(0, 2, &is_null)));
	return true;
}

bool
SaasAuditReadDigest(uint64 row, int column, uint8_t digest[SAAS_DIGEST_LENGTH])
{
	bool		is_null;
	Datum		value = SaasStatementColumn(row, column, &is_null);
	bytea	   *bytes = is_null ? NULL : DatumGetByteaPP(value);

	if (bytes == NULL || VARSIZE_ANY_EXHDR(bytes) != SAAS_DIGEST_LENGTH)
		return false;
	memcpy(digest, VARDATA_ANY(bytes), SAAS_DIGEST_LENGTH);
	return true;
}

Datum
SaasAuditDigestDatum(const uint8_t digest[SAAS_DIGEST_LENGTH])
{
	bytea	   *bytes = palloc(VARHDRSZ + SAAS_DIGEST_LENGTH);

	SET_VARSIZE(bytes, VARHDRSZ + SAAS_DIGEST_LENGTH);
	memcpy(VARDATA(bytes), digest, SAAS_DIGEST_LENGTH);
	return PointerGetDatum(bytes);
}

/* Of the last result. */
static bool
read_chain(const pg_uuid_t *org_id, uint64 found, SaasAuditChain *chain)
{
	bool		is_null;

	memset(chain, 0, sizeof(*chain));
	memcpy(chain->head.org_id, org_id->data, UUID_LEN);
	if (found == 0)
		return false;
	chain->head.sequence = DatumGetInt64(SaasStatementColumn(0, 1, &is_null));
	(void) SaasAuditReadDigest(0, 2, chain->head.hash);
	chain->head.start_sequence = DatumGetInt64(SaasStatementColumn(0, 3, &is_null));
	(void) SaasAuditReadDigest(0, 4, chain->head.start_hash);
	chain->key_version = DatumGetInt32(SaasStatementColumn(0, 5, &is_null));
	(void) SaasAuditReadDigest(0, 6, chain->mac);
	chain->is_broken = DatumGetBool(SaasStatementColumn(0, 7, &is_null));
	return true;
}

bool
SaasAuditGetChain(const pg_uuid_t *org_id, SaasAuditChain *chain)
{
	Datum		value = UUIDPGetDatum(org_id);

	return read_chain(org_id, SaasStatementRun(&find_chain, &value, NULL), chain);
}

bool
SaasAuditSeeChain(const pg_uuid_t *org_id, SaasAuditChain *chain)
{
	Datum		value = UUIDPGetDatum(org_id);

	return read_chain(org_id, SaasStatementRead(&find_chain, &value, NULL), chain);
}

bool
SaasAuditChainHolds(const SaasAuditChain *chain, const SaasAuditKey *key)
{
	uint8_t		mac[SAAS_DIGEST_LENGTH];

	if (chain->key_version != key->version)
		return false;
	if (!SaasAuditHeadMac(key->key, &chain->head, mac))
		elog(ERROR, "could not authenticate the head of an audit");
	return SaasEqualConstantTime(mac, chain->mac, sizeof(mac));
}

/* A head that is gone, or an older one put back, does not fit the last seal. */
bool
SaasAuditChainIsWhole(const pg_uuid_t *org_id, SaasAuditChain *chain, const SaasAuditKey *key)
{
	Datum		value = UUIDPGetDatum(org_id);
	bool		exists = SaasAuditGetChain(org_id, chain);
	bool		is_empty;
	int64		last;

	(void) SaasStatementRun(&find_last, &value, NULL);
	last = DatumGetInt64(SaasStatementColumn(0, 1, &is_empty));
	if (is_empty)
		last = chain->head.start_sequence;
	return last == chain->head.sequence && (!exists || SaasAuditChainHolds(chain, key));
}

void
SaasAuditPutChain(SaasAuditChain *chain, const SaasAuditKey *key)
{
	Datum		values[7];

	chain->key_version = key->version;
	if (!SaasAuditHeadMac(key->key, &chain->head, chain->mac))
		elog(ERROR, "could not authenticate the head of an audit");
	values[0] = UUIDPGetDatum((const pg_uuid_t *) chain->head.org_id);
	values[1] = Int64GetDatum(chain->head.sequence);
	values[2] = SaasAuditDigestDatum(chain->head.hash);
	values[3] = Int64GetDatum(chain->head.start_sequence);
	values[4] = SaasAuditDigestDatum(chain->head.start_hash);
	values[5] = Int32GetDatum(chain->key_version);
	values[6] = SaasAuditDigestDatum(chain->mac);
	(void) SaasStatementRun(&put_chain, values, NULL);
}

void
SaasAuditMarkBroken(const pg_uuid_t *org_id)
{
	static const uint8_t zeros[SAAS_DIGEST_LENGTH];
	Datum		values[2] = {UUIDPGetDatum(org_id), SaasAuditDigestDatum(zeros)};

	(void) SaasStatementRun(&mark_broken, values, NULL);
}

static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * What is looked for is always a few rows at the end of an index, whatever size
 * the planner believes the tables to have: they were empty when a plan was made.
 */
void
SaasAuditBegin(SaasRunAs *state)
{
	SaasRunAsBegin(state, "saas_service");
	set_for_now("enable_seqscan", "off");
	set_for_now("enable_bitmapscan", "off");
	set_for_now("jit", "off");
}

void
SaasAuditLock(SaasRunAs *state, int wait_ms)
{
	SaasAuditBegin(state);
	if (wait_ms > 0)
		set_for_now("lock_timeout", psprintf("%d", wait_ms));
	(void) SaasStatementRun(&lock_sealing, NULL, NULL);
}

static void
read_number(SaasAuditField *field, Datum value)
{
	uint64	   *bytes = palloc(sizeof(uint64));

	*bytes = pg_hton64((uint64) DatumGetInt64(value));
	*field = (SaasAuditField) {bytes, sizeof(*bytes)};
}

static void
read_text(SaasAuditField *field, Datum value)
{
	char	   *server = TextDatumGetCString(value);
	char	   *utf8 = pg_server_to_any(server, (int) strlen(server), PG_UTF8);

	*field = (SaasAuditField) {utf8, (uint32_t) strlen(utf8)};
}

static void
read_field(SaasAuditField *field, SaasAuditColumn column, Datum value)
{
	switch (column)
	{
		case SAAS_AUDIT_ID:
		case SAAS_AUDIT_ACTOR_ID:
		case SAAS_AUDIT_API_KEY_ID:
		case SAAS_AUDIT_SESSION_ID:
		case SAAS_AUDIT_TICKET_ID:
			*field = (SaasAuditField) {DatumGetUUIDP(value), UUID_LEN};
			break;
		case SAAS_AUDIT_AT:
		case SAAS_AUDIT_TX:
			read_number(field, value);
			break;
		default:
			read_text(field, value);
	}
}

void
SaasAuditReadFields(SPITupleTable *table, uint64 row, int first_column,
					SaasAuditField fields[SAAS_AUDIT_COLUMNS])
{
	for (int i = 0; i < SAAS_AUDIT_COLUMNS; i++)
	{
		bool		is_null;
		Datum		value = SPI_getbinval(table->vals[row], table->tupdesc, first_column + i, &is_null);

		if (is_null)
			fields[i] = (SaasAuditField) {NULL, 0};
		else
			read_field(&fields[i], i, value);
	}
}

void
SaasAuditHash(const SaasAuditKey *key, const SaasAuditEntry *entry, uint8_t hash[SAAS_DIGEST_LENGTH])
{
	size_t		length = SaasAuditEntryLength(entry);
	uint8_t    *bytes = palloc(length);

	SaasAuditEntryWrite(entry, bytes);
	if (!SaasHmacSha256(key->key, SAAS_KEY_LENGTH, bytes, length, hash))
		elog(ERROR, "could not hash an entry of an audit");
	pfree(bytes);
}
