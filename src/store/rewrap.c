/*
 * rewrap.c
 *	  Wrapping data keys with the newest master key.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "server/run_as.h"
#include "state/keyring.h"
#include "state/master_keys.h"
#include "store/audit.h"
#include "store/rewrap.h"
#include "store/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

static SaasStatement find_keys = {
	"select k.org_id, k.version, k.master_version, k.master_fingerprint, k.wrapped_key"
	"  from saas_private.data_key k"
	" where (k.org_id, k.version) > ($1, $2) and (k.master_version <> $3 or k.master_fingerprint <> $4)"
	" order by k.org_id, k.version limit $5 for update skip locked",
	5, {UUIDOID, INT4OID, INT4OID, TEXTOID, INT4OID}
};

static SaasStatement count_left = {
	"select count(*) from saas_private.data_key k where k.master_version <> $1 or k.master_fingerprint <> $2",
	2, {INT4OID, TEXTOID}
};

static SaasStatement put_keys = {
	"update saas_private.data_key k"
	"   set master_version = $4, master_fingerprint = $5, wrapped_key = n.wrapped_key"
	"  from unnest($1, $2, $3) as n (org_id, version, wrapped_key)"
	" where k.org_id = n.org_id and k.version = n.version",
	5, {UUIDARRAYOID, INT4ARRAYOID, BYTEAARRAYOID, INT4OID, TEXTOID}
};

static void
read_row(uint64 number, SaasWrappedKey *wrapped)
{
	bool		is_null;

	wrapped->org_id = *DatumGetUUIDP(SaasStatementColumn(number, 1, &is_null));
	wrapped->version = DatumGetInt32(SaasStatementColumn(number, 2, &is_null));
	wrapped->master_version = DatumGetInt32(SaasStatementColumn(number, 3, &is_null));
	strlcpy(wrapped->master_fingerprint, TextDatumGetCString(SaasStatementColumn(number, 4, &is_null)),
			sizeof(wrapped->master_fingerprint));
	SaasWrappedSetBytes(wrapped, DatumGetByteaPP(SaasStatementColumn(number, 5, &is_null)));
}

static int
read_rows(const SaasRewrap *rewrap, const SaasMasterKey *newest, int limit, SaasWrappedKey **rows)
{
	Datum		values[5] = {
		UUIDPGetDatum(&rewrap->org_id), Int32GetDatum(rewrap->version), Int32GetDatum(newest->version),
		CStringGetTextDatum(newest->fingerprint), Int32GetDatum(limit)
	};
	int			count = (int) SaasStatementRun(&find_keys, values, NULL);

	*rows = palloc(sizeof(SaasWrappedKey) * Max(count, 1));
	for (int i = 0; i < count; i++)
		read_row(i, &(*rows)[i]);
	return count;
}

/* Wraps what opens, which moves to the front; returns how many those are. */
static int
wrap_rows(SaasRewrap *rewrap, const SaasMasterKeys *masters, SaasWrappedKey *rows, int count)
{
	uint8_t		key[SAAS_KEY_LENGTH];
	int			wrapped = 0;

	for (int i = 0; i < count; i++)
	{
		if (!SaasUnwrap(masters, &rows[i], key))
		{
			if (rewrap->failed++ == 0)
				rewrap->failure = rows[i];
			continue;
		}
		rows[wrapped] = rows[i];
		SaasWrap(masters, key, &rows[wrapped++]);
	}
	SaasWipe(key, sizeof(key));
	return wrapped;
}

static void
store_rows(const SaasMasterKey *newest, const SaasWrappedKey *rows, int count)
{
	pg_uuid_t  *orgs = palloc(sizeof(pg_uuid_t) * count);
	Datum	   *versions = palloc(sizeof(Datum) * count);
	Datum	   *keys = palloc(sizeof(Datum) * count);
	Datum		values[5];

	for (int i = 0; i < count; i++)
	{
		orgs[i] = rows[i].org_id;
		versions[i] = Int32GetDatum(rows[i].version);
		keys[i] = PointerGetDatum(SaasWrappedBytes(&rows[i]));
	}
	values[0] = SaasUuidArray(orgs, count);
	values[1] = PointerGetDatum(construct_array(versions, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(keys, count, BYTEAOID, -1, false, TYPALIGN_INT));
	values[3] = Int32GetDatum(newest->version);
	values[4] = CStringGetTextDatum(newest->fingerprint);
	(void) SaasStatementRun(&put_keys, values, NULL);
}

static void
end_pass(SaasRewrap *rewrap, const SaasMasterKey *newest)
{
	Datum		values[2] = {Int32GetDatum(newest->version), CStringGetTextDatum(newest->fingerprint)};
	bool		is_null;

	(void) SaasStatementRun(&count_left, values, NULL);
	rewrap->left = Max(DatumGetInt64(SaasStatementColumn(0, 1, &is_null)) - rewrap->failed, 0);
}

int
SaasRewrapBatch(SaasRewrap *rewrap, int limit)
{
	SaasMasterKeys masters;
	const SaasMasterKey *newest;
	SaasWrappedKey *rows;
	SaasRunAs	state;
	int			count;
	int			wrapped;

	SaasMasterKeysRead(&masters);
	newest = SaasMasterKeyFind(&masters, 0);
	rewrap->master_version = newest->version;
	SaasRunAsBegin(&state, "saas_service");
	count = read_rows(rewrap, newest, limit, &rows);
	if (count == 0)
		end_pass(rewrap, newest);
	else
	{
		rewrap->org_id = rows[count - 1].org_id;
		rewrap->version = rows[count - 1].version;
		wrapped = wrap_rows(rewrap, &masters, rows, count);
		if (wrapped > 0)
			store_rows(newest, rows, wrapped);
		rewrap->done += wrapped;
	}
	SaasRunAsEnd(&state);
	SaasWipe(&masters, sizeof(masters));
	return count;
}

void
SaasRewrapAgain(SaasRewrap *rewrap)
{
	memset(&rewrap->org_id, 0, sizeof(rewrap->org_id));
	rewrap->version = 0;
	rewrap->failed = 0;
}

void
SaasRewrapReport(const SaasRewrap *rewrap)
{
	SaasMasterKeys masters;

	if (rewrap->failed == 0)
		return;
	SaasMasterKeysRead(&masters);
	for (int i = 0; i < masters.count; i++)
		SaasWipe(masters.items[i].key, SAAS_KEY_LENGTH);
	SaasRaiseNotUnwrapped(&masters, &rewrap->failure);
}

void
SaasRewrapAudit(const SaasRewrap *rewrap)
{
	char	   *json = psprintf("{\"master_version\":%d,\"rewrapped\":" INT64_FORMAT "}",
								rewrap->master_version, rewrap->done);
	SaasAuditEvent event = {
		.org_id = &SaasPlatformOrg,.action = "data_key.rewrapped",.object_type = "master_key",
		.object_id = psprintf("%d", rewrap->master_version)
	};

	if (rewrap->done == 0)
		return;
	event.after = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	SaasAuditAppend(&event);
}
