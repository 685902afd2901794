/*
 * token_keys.c
 *	  The keys that sign and verify access tokens, cached in the backend.
 *
 * Whoever changes keys bumps the generation in shared memory when the
 * transaction has ended: after a commit, which is visible by then, and after
 * an abort, because this backend may have cached what never was.  A reader
 * takes the generation first and the keys then, from a snapshot of that moment
 * whatever the isolation level: what it caches is as new as its generation or
 * newer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pure/crypto.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/keyring.h"
#include "state/sealed.h"
#include "state/settings.h"
#include "state/shared.h"
#include "state/token_keys.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define KEY_PURPOSE		"pg_saas:jwt-key"
#define KEY_ARENA_SIZE	(64 * 1024)

/* Room for a full key set, so that no secret stays behind in a smaller buffer. */
#define JWKS_SIZE		(64 * 1024)

/* Replay bumps no generation: a standby reads the keys again after this time. */
#define STANDBY_MS		5000

typedef struct KeyCache
{
	SaasJwtKeySet *keys;		/* NULL: nothing is cached */
	SaasJwtSigner *signer;		/* of the current key; NULL until it is needed */
	uint64		generation;		/* 0: stale */
	TimestampTz read_at;
	TimestampTz good_until;		/* the next time at which a key changes its state */
} KeyCache;

static KeyCache cache;

/* Counts how often the cache was emptied. */
static uint64 readings = 0;

/* Whether the current transaction has changed keys. */
static bool keys_changed = false;

static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (!keys_changed || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
						  event != XACT_EVENT_PREPARE))
		return;
	keys_changed = false;
	SaasSharedTokenKeysChanged();
}

/* Others have seen nothing of it: this backend alone may have to forget. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	(void) id;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB && keys_changed)
		cache.generation = 0;
}

static void
watch_transactions(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	registered = true;
}

static void
note_change(void)
{
	watch_transactions();
	keys_changed = true;
	cache.generation = 0;
	/* It also keeps the transaction from being prepared: its commit would tell nobody. */
	Async_Notify("pgrst", "reload config");
}

static void
lock_keys(void)
{
	if (SPI_execute("lock table saas_private.jwt_key in share row exclusive mode", false, 0) < 0)
		elog(ERROR, "could not lock the token keys");
}

void
SaasTokenKeysChange(void)
{
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	lock_keys();
	SaasRunAsEnd(&state);
	note_change();
}

/*
 * A read-only query with a snapshot of this moment.  A parallel worker has no
 * such; what it reads is not cached.
 */
static void
select_now(const char *query)
{
	PushActiveSnapshot(IsInParallelMode() ? GetTransactionSnapshot() : GetLatestSnapshot());
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the token keys");
	PopActiveSnapshot();
}

/* Opens the private half in a column of a row; the caller wipes it. */
static char *
open_private(HeapTuple row, int column, const char *kid, Size *length)
{
	bool		is_null;
	Datum		sealed = SPI_getbinval(row, SPI_tuptable->tupdesc, column, &is_null);

	if (is_null)
		elog(ERROR, "a token key has no private half");
	return SaasUnseal(&SaasPlatformOrg, PG_DETOAST_DATUM(sealed), KEY_PURPOSE, kid, length);
}

/* The next time at which a row's key changes its state. */
static TimestampTz
next_change(HeapTuple row, TimestampTz now, TimestampTz soonest)
{
	for (int column = 4; column <= 5; column++)
	{
		bool		is_null;
		TimestampTz at = DatumGetTimestampTz(SPI_getbinval(row, SPI_tuptable->tupdesc, column,
														   &is_null));

		if (!is_null && at > now)
			soonest = Min(soonest, at);
	}
	return soonest;
}

/* Appends the rows' keys to a JWKS document, secrets opened. */
static void
append_rows(StringInfo jwks)
{
	appendStringInfoString(jwks, "{\"keys\":[");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		char	   *public_jwk = SPI_getvalue(row, SPI_tuptable->tupdesc, 2);
		char	   *kid = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);

		if (i > 0)
			appendStringInfoChar(jwks, ',');
		if (public_jwk != NULL)
			appendStringInfoString(jwks, public_jwk);
		else
		{
			Size		length;
			char	   *secret = open_private(row, 3, kid, &length);

			appendStringInfoString(jwks, secret);
			SaasWipe(secret, length);
		}
	}
	appendStringInfoString(jwks, "]}");
}

/* The rows of the last query as a key set; the caller frees it. */
static SaasJwtKeySet *
parse_rows(void)
{
	SaasProblem problem = {0};
	SaasJwtKeySet *keys = NULL;
	StringInfoData jwks;

	initStringInfo(&jwks);
	enlargeStringInfo(&jwks, JWKS_SIZE);
	PG_TRY();
	{
		append_rows(&jwks);
		keys = SaasJwtKeySetParse(jwks.data, jwks.len, &problem);
	}
	PG_FINALLY();
	{
		SaasWipe(jwks.data, jwks.maxlen);
	}
	PG_END_TRY();
	if (keys == NULL)
		SaasRaiseProblem(&problem);
	return keys;
}

static void
forget(void)
{
	SaasJwtSignerFree(cache.signer);
	SaasJwtKeySetFree(cache.keys);
	memset(&cache, 0, sizeof(cache));
	readings++;
}

/* Fills the cache; it stays empty when no key verifies. */
static void
read_keys(void)
{
	KeyCache	fresh = {.good_until = DT_NOEND};
	SaasRunAs	state;

	forget();
	fresh.generation = IsInParallelMode() ? 0 : SaasSharedTokenKeys();
	fresh.read_at = GetCurrentTimestamp();
	SaasRunAsBegin(&state, "saas_service");
	/* As many as a key set holds, the ones that sign first. */
	select_now("select kid, public_jwk::text, case when public_jwk is null then private_key end,"
			   " active_at, retired_at from saas_private.jwt_key"
			   " where retired_at is null or retired_at > clock_timestamp()"
			   " order by active_at desc, kid limit 32");
	for (uint64 i = 0; i < SPI_processed; i++)
		fresh.good_until = next_change(SPI_tuptable->vals[i], fresh.read_at, fresh.good_until);
	if (SPI_processed > 0)
		fresh.keys = parse_rows();
	SaasRunAsEnd(&state);
	if (fresh.keys != NULL)
		cache = fresh;
}

static bool
cache_is_good(bool reread)
{
	TimestampTz now = GetCurrentTimestamp();

	if (cache.keys == NULL || cache.generation != SaasSharedTokenKeys())
		return false;
	/* A clock that was set back may have undone a change. */
	if (now >= cache.good_until || now < cache.read_at)
		return false;
	return !RecoveryInProgress() ||
		(!reread && now < TimestampTzPlusMilliseconds(cache.read_at, STANDBY_MS));
}

const SaasJwtKeySet *
SaasTokenKeysGet(bool reread)
{
	if (!cache_is_good(reread))
		read_keys();
	return cache.keys;
}

uint64
SaasTokenKeysGeneration(void)
{
	return readings;
}

static void
store_key(const char *kid, const char *public_jwk, const char *private_half, TimestampTz active_at)
{
	Oid			types[4] = {TEXTOID, TEXTOID, BYTEAOID, TIMESTAMPTZOID};
	Datum		values[4];
	char		nulls[5] = "    ";
	SaasRunAs	state;

	values[0] = CStringGetTextDatum(kid);
	values[1] = public_jwk == NULL ? (Datum) 0 : CStringGetTextDatum(public_jwk);
	nulls[1] = public_jwk == NULL ? 'n' : ' ';
	/* bytea and saas.sealed have the same representation; the cast is below. */
	values[2] = PointerGetDatum(SaasSeal(&SaasPlatformOrg, private_half, strlen(private_half),
										 KEY_PURPOSE, kid));
	values[3] = TimestampTzGetDatum(active_at);
	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("insert into saas_private.jwt_key (kid, algorithm, public_jwk, private_key, active_at)"
							  " values ($1, case when $2 is null then 'HS256' else 'ES256' end, $2::jsonb,"
							  " translate(encode($3, 'base64'), E'\\n', '')::saas.sealed, $4)",
							  4, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store a token key");
	SaasRunAsEnd(&state);
}

char *
SaasTokenKeysCreate(TimestampTz active_at)
{
	SaasProblem problem = {0};
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, KEY_ARENA_SIZE, &arena);
	char	   *private_half;
	char	   *public_jwk;
	char	   *kid;

	if (!SaasJwtKeyGenerate((SaasJwtAlgorithm) saas_jwt_algorithm, arena, &private_half, &public_jwk,
							&kid, &problem))
		SaasRaiseProblem(&problem);
	note_change();
	store_key(kid, public_jwk, private_half, active_at);
	SaasWipe(private_half, strlen(private_half));
	kid = pstrdup(kid);
	MemoryContextDelete(context);
	return kid;
}

/* Opens the current private key into the cache; false when there is none. */
static bool
load_signer(bool lock)
{
	SaasProblem problem = {0};
	SaasRunAs	state;

	SaasRunAsBegin(&state, "saas_service");
	/* Of two backends that find no key the second waits and then finds one. */
	if (lock)
		lock_keys();
	select_now("select kid, private_key from saas_private.jwt_key"
			   " where active_at <= clock_timestamp()"
			   "   and (retired_at is null or retired_at > clock_timestamp())"
			   " order by active_at desc, kid limit 1");
	if (SPI_processed == 1)
	{
		char	   *kid = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		Size		length;
		char	   *private_half = open_private(SPI_tuptable->vals[0], 2, kid, &length);

		cache.signer = SaasJwtSignerLoad(private_half, kid, &problem);
		SaasWipe(private_half, length);
		if (cache.signer == NULL)
			SaasRaiseProblem(&problem);
	}
	SaasRunAsEnd(&state);
	return cache.signer != NULL;
}

char *
SaasTokenKeysSign(const char *payload, SaasArena *arena)
{
	SaasProblem problem = {0};
	char	   *token;

	(void) SaasTokenKeysGet(false);
	if (cache.signer == NULL && !load_signer(false) && !load_signer(true))
	{
		SaasTokenKeysCreate(GetCurrentTimestamp());
		(void) SaasTokenKeysGet(false);
		if (!load_signer(false))
			elog(ERROR, "could not read a token key back");
	}
	token = SaasJwtSign(cache.signer, payload, strlen(payload), arena, &problem);
	if (token == NULL)
		SaasRaiseProblem(&problem);
	return token;
}
