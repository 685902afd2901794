/*
 * identity.c
 *	  Who the current transaction acts for.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "server/raise.h"
#include "server/uuidv7.h"
#include "state/identity.h"
#include "state/registry.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define IDENTITY_SETTING	"saas.identity"
#define IDENTITY_TEXT_SIZE	512
#define UUID_TEXT_LENGTH	36

static char *identity_text = NULL;
static SaasIdentity current;

/* The text that the check hook accepts; NULL except inside install(). */
static const char *pending = NULL;

/* The identity that this top-level transaction has had, if any. */
static LocalTransactionId bound_lxid = InvalidLocalTransactionId;
static char bound_text[IDENTITY_TEXT_SIZE];

/* The transaction that has dropped its identity, if any. */
static LocalTransactionId cleared_lxid = InvalidLocalTransactionId;

/* The transaction that has declared a cursor WITH HOLD, if any. */
static LocalTransactionId held_lxid = InvalidLocalTransactionId;

/* The login in whose session a token or an API key was good. */
static Oid	served_login = InvalidOid;

/* The proof that runs: until this subtransaction aborts. */
static SubTransactionId proof_subid = InvalidSubTransactionId;
static LocalTransactionId proof_lxid = InvalidLocalTransactionId;

const SaasIdentity *
SaasIdentityGet(void)
{
	return &current;
}

static void
append_uuid(StringInfo text, bool present, const pg_uuid_t *id)
{
	if (present)
		appendStringInfoString(text, SaasUuidText(id));
	appendStringInfoChar(text, '|');
}

/* source|user|org|session|api key|rank|permissions|role|actor */
static char *
serialize(const SaasIdentity *identity)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%c|", (char) identity->source);
	append_uuid(&text, true, &identity->user_id);
	append_uuid(&text, identity->has_org, &identity->org_id);
	append_uuid(&text, identity->has_session, &identity->session_id);
	append_uuid(&text, identity->source == SAAS_IDENTITY_API_KEY, &identity->api_key_id);
	appendStringInfo(&text, "%d|" UINT64_FORMAT "|%s|%s",
					 identity->rank, identity->permissions, identity->role, identity->actor);
	if (text.len >= IDENTITY_TEXT_SIZE)
		elog(ERROR, "identity of %d bytes is too long", text.len);
	return text.data;
}

/* The next field, terminated in place; NULL when there is none. */
static char *
next_field(char **rest)
{
	char	   *field = *rest;
	char	   *bar;

	if (field == NULL)
		return NULL;
	bar = strchr(field, '|');
	if (bar)
		*bar = '\0';
	*rest = bar ? bar + 1 : NULL;
	return field;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* uuid_in throws, which a check hook must not. */
static bool
parse_uuid(const char *field, pg_uuid_t *id)
{
	int			digits = 0;

	if (strlen(field) != UUID_TEXT_LENGTH)
		return false;
	for (const char *c = field; *c; c++)
	{
		int			digit;

		if (*c == '-')
			continue;
		digit = hex_digit(*c);
		if (digit < 0 || digits >= 2 * UUID_LEN)
			return false;
		if (digits % 2 == 0)
			id->data[digits / 2] = (unsigned char) (digit << 4);
		else
			id->data[digits / 2] |= (unsigned char) digit;
		digits++;
	}
	return digits == 2 * UUID_LEN;
}

static bool
parse(const char *text, SaasIdentity *identity)
{
	char		copy[IDENTITY_TEXT_SIZE];
	char	   *rest = copy;
	char	   *field[9];

	if (strlcpy(copy, text, sizeof(copy)) >= sizeof(copy))
		return false;
	for (int i = 0; i < 8; i++)
	{
		field[i] = next_field(&rest);
		if (field[i] == NULL)
			return false;
	}
	/* The last one is a role's name and may hold anything. */
	if (rest == NULL)
		return false;
	field[8] = rest;

	memset(identity, 0, sizeof(*identity));
	identity->is_set = true;
	identity->source = (SaasIdentitySource) field[0][0];
	identity->has_org = field[2][0] != '\0';
	identity->has_session = field[3][0] != '\0';
	identity->rank = (int) strtol(field[5], NULL, 10);
	identity->permissions = strtoull(field[6], NULL, 10);
	strlcpy(identity->role, field[7], sizeof(identity->role));
	strlcpy(identity->actor, field[8], sizeof(identity->actor));
	return parse_uuid(field[1], &identity->user_id) &&
		(!identity->has_org || parse_uuid(field[2], &identity->org_id)) &&
		(!identity->has_session || parse_uuid(field[3], &identity->session_id)) &&
		(identity->source != SAAS_IDENTITY_API_KEY || parse_uuid(field[4], &identity->api_key_id));
}

/*
 * Accepts the reset state, the one text being installed, and what a parallel
 * worker inherits: its role and database settings come with other sources
 * while InitializingParallelWorker is already true.
 */
static bool
check_identity(char **newval, void **extra, GucSource source)
{
	SaasIdentity *parsed;

	if (*newval == NULL || (*newval)[0] == '\0')
		return source == PGC_S_DEFAULT || (pending != NULL && pending[0] == '\0');
	if (!((pending != NULL && strcmp(*newval, pending) == 0) || InitializingParallelWorker) ||
		source != PGC_S_SESSION)
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("parameter \"%s\" cannot be set", IDENTITY_SETTING);
		GUC_check_errhint("Use saas.authenticate() with a token.");
		return false;
	}
	parsed = SaasGucAlloc(sizeof(SaasIdentity));
	if (parsed == NULL)
		return false;
	if (!parse(*newval, parsed))
	{
		SaasGucFree(parsed);
		return false;
	}
	*extra = parsed;
	return true;
}

static void
assign_identity(const char *newval, void *extra)
{
	(void) newval;
	if (extra)
		memcpy(&current, extra, sizeof(current));
	else
		memset(&current, 0, sizeof(current));
}

/* Keeps the value out of SHOW, pg_settings and SET ... FROM CURRENT. */
static const char *
show_identity(void)
{
	return current.is_set ? "(set)" : "";
}

static void
set_local(const char *text)
{
	pending = text;
	PG_TRY();
	{
		(void) set_config_option(IDENTITY_SETTING, text, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, ERROR, false);
	}
	PG_FINALLY();
	{
		pending = NULL;
	}
	PG_END_TRY();
}

void
SaasIdentityInstall(const SaasIdentity *identity)
{
	char	   *text = serialize(identity);

	if (held_lxid == SaasLocalTransactionId())
		SaasRaise("25001", "this transaction has declared a WITH HOLD cursor", NULL,
				  "Its rows would stay for whoever uses the session next.");
	if (bound_lxid == SaasLocalTransactionId() && strcmp(bound_text, text) != 0)
		SaasRaise("25001", "this transaction already acts for another identity", NULL,
				  "Commit or roll back before acting for someone else.");
	set_local(text);
	strlcpy(bound_text, text, sizeof(bound_text));
	bound_lxid = SaasLocalTransactionId();
	if (identity->source == SAAS_IDENTITY_SESSION || identity->source == SAAS_IDENTITY_API_KEY)
		served_login = GetSessionUserId();
	pfree(text);
}

bool
SaasIdentityHasServed(void)
{
	return served_login == GetSessionUserId();
}

static void
require_superusers(void)
{
	if (!superuser_arg(GetSessionUserId()) || !superuser())
		SaasRaise("PT403", "saas.prove_isolation needs a superuser", NULL, NULL);
}

static void
forget_transaction(void)
{
	bound_lxid = InvalidLocalTransactionId;
	cleared_lxid = InvalidLocalTransactionId;
	held_lxid = InvalidLocalTransactionId;
}

/* The setting itself returns by its own machinery. */
static void
at_proof_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	(void) parent;
	(void) arg;
	if (subid != proof_subid || !SaasIdentityIsProof())
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("a proof of isolation cannot be kept")));
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		proof_subid = InvalidSubTransactionId;
		forget_transaction();
	}
}

bool
SaasIdentityIsProof(void)
{
	return proof_subid != InvalidSubTransactionId && proof_lxid == SaasLocalTransactionId();
}

void
SaasIdentityBeginProof(void)
{
	LocalTransactionId lxid = SaasLocalTransactionId();

	require_superusers();
	if (current.is_set || bound_lxid == lxid || cleared_lxid == lxid || held_lxid == lxid)
		SaasRaise("25001", "this transaction already acts for an identity", NULL,
				  "Call saas.prove_isolation() in a transaction of its own.");
	if (SaasIdentityIsProof() || GetCurrentTransactionNestLevel() < 2)
		SaasRaise("25001", "a proof runs in a subtransaction of its own", NULL, NULL);
	proof_subid = GetCurrentSubTransactionId();
	proof_lxid = lxid;
}

void
SaasIdentityRequireProof(void)
{
	require_superusers();
	if (!SaasIdentityIsProof())
		SaasRaise("25001", "no proof of isolation runs", NULL, NULL);
}

void
SaasIdentityInstallInProof(const SaasIdentity *identity)
{
	char	   *text = identity ? serialize(identity) : pstrdup("");

	SaasIdentityRequireProof();
	set_local(text);
	forget_transaction();
	if (identity)
	{
		strlcpy(bound_text, text, sizeof(bound_text));
		bound_lxid = SaasLocalTransactionId();
	}
	pfree(text);
}

void
SaasIdentityHoldCursor(void)
{
	if (bound_lxid == SaasLocalTransactionId())
		SaasRaise("0A000", "WITH HOLD cursors are not allowed while an identity is set", NULL,
				  "Its rows would stay for whoever uses the session next.");
	held_lxid = SaasLocalTransactionId();
}

void
SaasIdentityClear(void)
{
	if (current.is_set)
		set_local("");
	cleared_lxid = SaasLocalTransactionId();
}

bool
SaasIdentityWasCleared(void)
{
	return cleared_lxid == SaasLocalTransactionId();
}

const pg_uuid_t *
SaasIdentityOrgIf(uint64 permission_bit)
{
	if (current.has_org && (current.permissions & permission_bit) != 0)
		return &current.org_id;
	return NULL;
}

void
SaasIdentityRequire(const char *permission)
{
	uint64		bit = SaasRegistryBit(permission, strlen(permission));

	if (!current.is_set)
		SaasRaise("PT401", "Access token required", NULL, NULL);
	if (!current.has_org)
		SaasRaise("PT403", "No organization access found", permission,
				  "Create an organization or accept an invitation.");
	if (SaasIdentityOrgIf(bit) == NULL)
		SaasRaise("PT403", "permission denied by the organization's roles", permission,
				  "Ask an owner or admin of the organization for a role that holds the permission.");
}

void
SaasIdentityInit(void)
{
	RegisterSubXactCallback(at_proof_end, NULL);
	DefineCustomStringVariable(IDENTITY_SETTING,
							   "Who the current transaction acts for; set by saas.authenticate() only.",
							   NULL, &identity_text, "",
							   PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_identity, assign_identity, show_identity);
}
