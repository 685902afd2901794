/*
 * identity.h
 *	  Who the current transaction acts for.
 *
 * The identity is the value of one custom setting, saas.identity, whose check
 * hook accepts only the exact text that SaasIdentityInstall is installing at
 * that moment, or the leader's value while a parallel worker starts.  So the
 * setting's own machinery gives transaction scope, savepoints and parallel
 * workers, and nothing that SQL can do gives it a value.
 */
#ifndef SAAS_IDENTITY_H
#define SAAS_IDENTITY_H

#include "postgres.h"

#include "utils/uuid.h"

typedef enum SaasIdentitySource
{
	SAAS_IDENTITY_SESSION = 's',	/* an access token */
	SAAS_IDENTITY_API_KEY = 'k',	/* an API key of the user */
	SAAS_IDENTITY_LOGIN = 'l',	/* a database login mapped to a member */
	SAAS_IDENTITY_OPERATOR = 'o',	/* assumed by an operator with a ticket */
	SAAS_IDENTITY_SUPERUSER = 'u'	/* assumed by a superuser */
} SaasIdentitySource;

typedef struct SaasIdentity
{
	bool		is_set;
	SaasIdentitySource source;
	bool		has_org;
	bool		has_session;
	pg_uuid_t	user_id;
	pg_uuid_t	org_id;
	pg_uuid_t	session_id;
	pg_uuid_t	api_key_id;		/* for SAAS_IDENTITY_API_KEY */
	int			rank;			/* 0 without an organization and for API keys */
	uint64		permissions;	/* bits of state/registry.h */
	char		role[NAMEDATALEN];	/* "" without an organization and for API keys */
	char		actor[NAMEDATALEN]; /* database role of an operator or mapped login, else "" */
} SaasIdentity;

/* The current identity; is_set is false when there is none. */
extern const SaasIdentity *SaasIdentityGet(void);

/*
 * Gives the transaction an identity that the caller has verified.  25001 when
 * the transaction already had a different one.
 */
extern void SaasIdentityInstall(const SaasIdentity *identity);

/*
 * A cursor is about to be declared that outlives the transaction and runs at
 * its end: 0A000 when the transaction has had an identity, and it gets none
 * from here on.
 */
extern void SaasIdentityHoldCursor(void);

/* Drops the identity until the transaction ends. */
extern void SaasIdentityClear(void);

/* Whether this transaction has done that. */
extern bool SaasIdentityWasCleared(void);

/* Whether the session's login has acted for somebody with a token or an API key. */
extern bool SaasIdentityHasServed(void);

/* The organization when the identity holds the permission, else NULL. */
extern const pg_uuid_t *SaasIdentityOrgIf(uint64 permission_bit);

/* PT401 without an identity, PT403 with the name in DETAIL without the permission. */
extern void SaasIdentityRequire(const char *permission);

/*
 * A proof switches identities, which no transaction may otherwise: from here
 * to the abort of the current subtransaction, which cannot commit.  Then
 * everything about the identity is as it was.  PT403 unless the session's and
 * the current user are superusers; 25001 outside a subtransaction, in another
 * proof, or when the transaction has had an identity, dropped one or declared
 * a cursor WITH HOLD.
 */
extern void SaasIdentityBeginProof(void);

/* 25001 outside a proof, PT403 as above. */
extern void SaasIdentityRequireProof(void);

/* Another identity, or none (NULL); errors as SaasIdentityRequireProof. */
extern void SaasIdentityInstallInProof(const SaasIdentity *identity);

/* What a rollback does not undo is to be left out then. */
extern bool SaasIdentityIsProof(void);

extern void SaasIdentityInit(void);

#endif							/* SAAS_IDENTITY_H */
