/*
 * authenticate_sql.c
 *	  From a token, or an operator's word, to an identity; and from an identity
 *	  to a token.
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pure/api_key.h"
#include "pure/crypto.h"
#include "pure/token_cache.h"
#include "server/arena_context.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "sql/authenticate.h"
#include "state/api_key_use.h"
#include "state/client.h"
#include "state/identity.h"
#include "state/journal.h"
#include "state/limits.h"
#include "state/lookup.h"
#include "state/settings.h"
#include "state/ticket.h"
#include "state/token_claims.h"
#include "state/token_keys.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#define TOKEN_ARENA_SIZE	(128 * 1024)
#define LEEWAY_S			30

PG_FUNCTION_INFO_V1(pg_saas_authenticate);
PG_FUNCTION_INFO_V1(pg_saas_assume_identity);
PG_FUNCTION_INFO_V1(pg_saas_has_open_ticket);
PG_FUNCTION_INFO_V1(pg_saas_issue_access_token);

static bool
parse_uuid_claim(const char *text, uint8_t id[UUID_LEN])
{
	char		hex[UUID_LEN * 2 + 1];
	int			digits = 0;

	if (text == NULL || strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash != (text[i] == '-'))
			return false;
		if (!is_dash)
			hex[digits++] = text[i];
	}
	hex[digits] = '\0';
	return SaasHexDecode(hex, id, UUID_LEN);
}

/*
 * Verifies the token.  A kid we do not know may be a key made since: the keys
 * are read again once.
 */
static bool
verify(const text *token, int64 now_s, SaasArena *arena, SaasJwtClaims *claims, SaasProblem *problem)
{
	SaasJwtRules rules = {
		.issuer = saas_jwt_issuer,
		.audience = saas_jwt_audience,
		.type = "access",
		.leeway_s = LEEWAY_S,
		.now_s = now_s
	};

	for (int attempt = 0; attempt < 2; attempt++)
	{
		const SaasJwtKeySet *keys = SaasTokenKeysGet(attempt > 0);

		memset(problem, 0, sizeof(*problem));
		if (keys == NULL)
			return SaasProblemSet(problem, "PT401", "Invalid or expired token");
		if (SaasJwtVerify(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), keys, &rules,
						  arena, claims, problem))
			return true;
		if (!SaasJwtKeyIsUnknown(problem))
			return false;
	}
	return false;
}

/* Whom the token names and when it expires, or raises. */
static void
verify_and_take(const text *token, int64 now_s, SaasTokenSubject *subject, int64 *expires_s)
{
	SaasProblem problem = {0};
	SaasJwtClaims claims = {0};
	SaasArena  *arena;
	MemoryContext context = SaasArenaContextCreate(CurrentMemoryContext, TOKEN_ARENA_SIZE, &arena);
	bool		verified = verify(token, now_s, arena, &claims, &problem);

	if (verified)
	{
		*expires_s = claims.expires_s;
		subject->has_org = claims.organization != NULL;
		verified = parse_uuid_claim(claims.subject, subject->user_id) &&
			parse_uuid_claim(claims.session, subject->session_id) &&
			(!subject->has_org || parse_uuid_claim(claims.organization, subject->org_id));
		if (!verified)
			SaasProblemSet(&problem, "PT401", "Invalid or expired token");
	}
	MemoryContextDelete(context);
	if (!verified)
		SaasRaiseProblem(&problem);
}

/* Of the token and of the settings that it was judged by. */
static void
digest_of(const text *token, uint8_t digest[SAAS_DIGEST_LENGTH])
{
	StringInfoData judged;

	initStringInfo(&judged);
	appendBinaryStringInfo(&judged, saas_jwt_issuer, strlen(saas_jwt_issuer) + 1);
	appendBinaryStringInfo(&judged, saas_jwt_audience, strlen(saas_jwt_audience) + 1);
	appendBinaryStringInfo(&judged, VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token));
	if (!SaasSha256(judged.data, judged.len, digest))
		elog(ERROR, "could not hash a token");
	pfree(judged.data);
}

/* Whom the token names, from memory when it was verified before. */
static SaasTokenSubject
subject_of(const text *token)
{
	static SaasTokenCache cache;
	int64		now_s = (int64) time(NULL);
	int64		expires_s;
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	bool		is_cacheable = VARSIZE_ANY_EXHDR(token) <= SAAS_JWT_MAX_LENGTH;
	const SaasTokenSubject *known = NULL;
	SaasTokenSubject subject = {0};

	/* Reads the keys again when it is time to: what a retired one verified is forgotten. */
	(void) SaasTokenKeysGet(false);
	if (is_cacheable)
	{
		digest_of(token, digest);
		known = SaasTokenCacheFind(&cache, digest, SaasTokenKeysGeneration(), now_s);
	}
	if (known)
		return *known;
	verify_and_take(token, now_s, &subject, &expires_s);
	if (is_cacheable)
		SaasTokenCacheAdd(&cache, digest, SaasTokenKeysGeneration(), now_s, expires_s + LEEWAY_S, &subject);
	return subject;
}

static void
identify_session(const text *token, SaasIdentity *identity)
{
	SaasTokenSubject subject = subject_of(token);

	identity->has_session = true;
	identity->has_org = subject.has_org;
	memcpy(identity->user_id.data, subject.user_id, UUID_LEN);
	memcpy(identity->org_id.data, subject.org_id, UUID_LEN);
	memcpy(identity->session_id.data, subject.session_id, UUID_LEN);
	SaasLookupIdentity(identity);
}

void
SaasAuthenticateToken(const text *token)
{
	SaasIdentity identity = {.source = SAAS_IDENTITY_SESSION};

	if (token == NULL || VARSIZE_ANY_EXHDR(token) == 0)
		SaasRaise("PT401", "Access token required", NULL, NULL);
	SaasRequireInstalled();
	if (SaasApiKeyHasPrefix(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token)))
		SaasApiKeyIdentify(token, &identity);
	else
		identify_session(token, &identity);
	SaasIdentityInstall(&identity);
}

Datum
pg_saas_authenticate(PG_FUNCTION_ARGS)
{
	SaasAuthenticateToken(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	PG_RETURN_VOID();
}

/* The tenant sees who looked, whatever becomes of the transaction. */
static void
note_operator(const SaasIdentity *identity)
{
	StringInfoData payload;
	SaasClientAddress client;
	inet	   *address;

	SaasClientGet(&client);
	address = SaasClientInet(&client);
	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"org_id\":\"%s\",\"login\":", SaasUuidText(&identity->org_id));
	escape_json(&payload, identity->actor);
	if (address)
		appendStringInfo(&payload, ",\"ip\":\"%s\"",
						 DatumGetCString(DirectFunctionCall1(inet_out, InetPGetDatum(address))));
	appendStringInfoChar(&payload, '}');
	SaasNoteDown("identity_assumed", &identity->user_id, payload.data);
}

Datum
pg_saas_assume_identity(PG_FUNCTION_ARGS)
{
	SaasIdentity identity = {.source = SAAS_IDENTITY_OPERATOR, .has_org = true};
	Oid			login = GetSessionUserId();

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22023", "assume_identity needs a user and an organization", NULL, NULL);
	SaasRequireInstalled();
	identity.user_id = *PG_GETARG_UUID_P(0);
	identity.org_id = *PG_GETARG_UUID_P(1);
	strlcpy(identity.actor, GetUserNameFromId(login, false), sizeof(identity.actor));

	if (superuser_arg(login))
		identity.source = SAAS_IDENTITY_SUPERUSER;
	else if (!SaasTicketIsOpen(login, &identity.org_id))
		SaasRaise("PT403", "an open ticket for the organization is needed", NULL,
				  "Open one with saas.open_ticket() and commit it.");
	SaasLookupIdentity(&identity);
	ereport(LOG,
			(errmsg("\"%s\" assumes the identity of user %s in organization %s",
					identity.actor,
					SaasUuidText(&identity.user_id),
					SaasUuidText(&identity.org_id))));
	SaasIdentityInstall(&identity);
	if (identity.source == SAAS_IDENTITY_OPERATOR)
		note_operator(&identity);
	PG_RETURN_VOID();
}

Datum
pg_saas_has_open_ticket(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(SaasTicketIsOpen(GetSessionUserId(), PG_GETARG_UUID_P(0)));
}

Datum
pg_saas_issue_access_token(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	SaasArena  *arena;
	StringInfoData answer;
	char	   *token;
	int			lifetime = PG_ARGISNULL(3) ? saas_access_token_lifetime : PG_GETARG_INT32(3);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		elog(ERROR, "issue_access_token needs a user and a session");
	/* Its row may not say so yet. */
	if (SaasSessionIsEnded(PG_GETARG_UUID_P(1)))
		SaasRaise("PT401", "Invalid or expired token", NULL, "Sign in again.");
	context = SaasArenaContextCreate(CurrentMemoryContext, TOKEN_ARENA_SIZE, &arena);
	token = SaasTokenKeysSign(SaasTokenClaims(PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1),
											  PG_ARGISNULL(2) ? NULL : PG_GETARG_UUID_P(2), lifetime),
							  arena);
	initStringInfo(&answer);
	appendStringInfo(&answer, "{\"access_token\":\"%s\",\"expires_in\":%d}",
					 token, lifetime);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(answer.data)));
}
