/*
 * token_keys.c
 *	  The keys that sign and verify access tokens, cached in the backend.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "state/keyring.h"
#include "state/sealed.h"
#include "state/token_keys.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define KEY_PURPOSE		"pg_saas:jwt-key"
#define KEY_ARENA_SIZE	(64 * 1024)

/* A key that was retired stops being used in open sessions after this time. */
#define CACHE_SECONDS	30

static SaasJwtKeySet *cached_keys = NULL;
static time_t keys_read_at = 0;
static uint64 keys_generation = 0;
static SaasJwtSigner *cached_signer = NULL;
static time_t signer_read_at = 0;

/* Whether the current transaction has made a key, which is in no table once it aborts. */
static bool key_is_uncommitted = false;

static void
forget_uncommitted_key(void)
{
	if (!key_is_uncommitted)
		return;
	SaasJwtSignerFree(cached_signer);
	cached_signer = NULL;
	SaasJwtKeySetFree(cached_keys);
	cached_keys = NULL;
	keys_generation++;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_uncommitted_key();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_COMMIT)
		key_is_uncommitted = false;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	(void) id;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_uncommitted_key();
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

/* The JWKS document as the table has it, in the caller's context; NULL when empty. */
static char *
read_jwks(void)
{
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	char	   *jwks = NULL;

	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute("select jsonb_build_object('keys', jsonb_agg(public_jwk))::text"
					"  from saas_private.jwt_key where retired_at is null"
					" having count(*) > 0", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the token keys");
	if (SPI_processed == 1)
		jwks = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0],
														SPI_tuptable->tupdesc, 1));
	SaasRunAsEnd(&state);
	return jwks;
}

const SaasJwtKeySet *
SaasTokenKeysGet(bool reread)
{
	SaasProblem problem = {0};
	SaasJwtKeySet *fresh;
	char	   *jwks;

	if (cached_keys != NULL && !reread && time(NULL) - keys_read_at < CACHE_SECONDS)
		return cached_keys;
	jwks = read_jwks();
	keys_generation++;
	if (jwks == NULL)
	{
		SaasJwtKeySetFree(cached_keys);
		cached_keys = NULL;
		return NULL;
	}
	keys_read_at = time(NULL);
	fresh = SaasJwtKeySetParse(jwks, strlen(jwks), &problem);
	if (fresh == NULL)
		SaasRaiseProblem(&problem);
	SaasJwtKeySetFree(cached_keys);
	cached_keys = fresh;
	return cached_keys;
}

uint64
SaasTokenKeysGeneration(void)
{
	return keys_generation;
}

static void
store_key(const char *kid, const char *public_jwk, const char *private_pem)
{
	Oid			types[3] = {TEXTOID, TEXTOID, BYTEAOID};
	Datum		values[3];
	SaasRunAs	state;

	values[0] = CStringGetTextDatum(kid);
	values[1] = CStringGetTextDatum(public_jwk);
	/* bytea and saas.sealed have the same representation; the cast is below. */
	values[2] = PointerGetDatum(SaasSeal(&SaasPlatformOrg, private_pem, strlen(private_pem),
										 KEY_PURPOSE, kid));
	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("insert into saas_private.jwt_key (kid, algorithm, public_jwk, private_key)"
							  " values ($1, 'ES256', $2::jsonb, translate(encode($3, 'base64'), E'\\n', '')::saas.sealed)",
							  3, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store a token key");
	SaasRunAsEnd(&state);
}

static void
create_key(void)
{
	SaasProblem problem = {0};
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, KEY_ARENA_SIZE, &arena);
	char	   *private_pem;
	char	   *public_jwk;
	char	   *kid;

	if (!SaasJwtKeyGenerate(SAAS_JWT_ES256, arena, &private_pem, &public_jwk, &kid, &problem))
		SaasRaiseProblem(&problem);
	key_is_uncommitted = true;
	store_key(kid, public_jwk, private_pem);
	MemoryContextDelete(context);
}

/* Opens the current private key into cached_signer; false when there is none. */
static bool
load_signer(bool lock)
{
	SaasProblem problem = {0};
	SaasRunAs	state;
	char	   *kid = NULL;
	struct varlena *sealed = NULL;
	MemoryContext caller = CurrentMemoryContext;
	Size		length;
	char	   *pem;

	SaasRunAsBegin(&state, "saas_service");
	/* Of two backends that find no key the second waits and then finds one. */
	if (lock && SPI_execute("lock table saas_private.jwt_key in share row exclusive mode", false, 0) < 0)
		elog(ERROR, "could not lock the token keys");
	if (SPI_execute("select kid, private_key from saas_private.jwt_key where is_current",
					false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the token keys");
	if (SPI_processed == 1)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;

		kid = MemoryContextStrdup(caller, SPI_getvalue(row, desc, 1));
		sealed = (struct varlena *) DatumGetPointer(SPI_getbinval(row, desc, 2, &is_null));
		MemoryContextSwitchTo(caller);
		sealed = PG_DETOAST_DATUM_COPY(PointerGetDatum(sealed));
	}
	SaasRunAsEnd(&state);
	if (kid == NULL)
		return false;

	pem = SaasUnseal(&SaasPlatformOrg, sealed, KEY_PURPOSE, kid, &length);
	cached_signer = SaasJwtSignerLoad(pem, kid, &problem);
	SaasWipe(pem, length);
	if (cached_signer == NULL)
		SaasRaiseProblem(&problem);
	signer_read_at = time(NULL);
	return true;
}

char *
SaasTokenKeysSign(const char *payload, SaasArena *arena)
{
	SaasProblem problem = {0};
	char	   *token;

	watch_transactions();
	if (cached_signer != NULL && time(NULL) - signer_read_at >= CACHE_SECONDS)
	{
		SaasJwtSignerFree(cached_signer);
		cached_signer = NULL;
	}
	if (cached_signer == NULL && !load_signer(false) && !load_signer(true))
	{
		create_key();
		if (!load_signer(false))
			elog(ERROR, "could not read a token key back");
	}
	token = SaasJwtSign(cached_signer, payload, strlen(payload), arena, &problem);
	if (token == NULL)
		SaasRaiseProblem(&problem);
	return token;
}
