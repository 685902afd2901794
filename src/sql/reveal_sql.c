/*
 * reveal_sql.c
 *	  The one way by which a connection's secret comes out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "server/run_as.h"
#include "server/uuidv7.h"
#include "state/client.h"
#include "state/journal.h"
#include "state/sealed.h"
#include "state/secret_context.h"
#include "state/settings.h"
#include "state/ticket.h"
#include "utils/builtins.h"
#include "utils/json.h"

PG_FUNCTION_INFO_V1(pg_saas_reveal_secret);

/* A secret as its row holds it. */
typedef struct StoredSecret
{
	pg_uuid_t	connection_id;
	pg_uuid_t	org_id;
	char	   *name;
	char	   *origin;
	struct varlena *sealed;		/* NULL: there is none of that name */
} StoredSecret;

/* False when there is no such connection. */
static bool
find_secret(StoredSecret *secret)
{
	Oid			types[2] = {UUIDOID, TEXTOID};
	Datum		values[2] = {UUIDPGetDatum(&secret->connection_id), CStringGetTextDatum(secret->name)};
	MemoryContext caller = CurrentMemoryContext;
	SaasRunAs	state;
	bool		found;

	SaasRunAsBegin(&state, "saas_poller");
	if (SPI_execute_with_args("select c.org_id, c.origin, s.value"
							  "  from saas.connection c"
							  "  left join saas_private.connection_secret s"
							  "    on s.org_id = c.org_id and s.connection_id = c.id and s.name = $2"
							  " where c.id = $1",
							  lengthof(types), types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a secret");
	found = SPI_processed == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;
		Datum		sealed = SPI_getbinval(row, desc, 3, &is_null);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		secret->sealed = is_null ? NULL : PG_DETOAST_DATUM_COPY(sealed);
		secret->org_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &is_null));
		secret->origin = TextDatumGetCString(SPI_getbinval(row, desc, 2, &is_null));
		MemoryContextSwitchTo(spi);
	}
	SaasRunAsEnd(&state);
	return found;
}

/* Before it comes out, and where a rollback does not reach. */
static void
write_down(const StoredSecret *secret)
{
	char	   *login = GetUserNameFromId(GetSessionUserId(), false);
	const inet *address;
	StringInfoData payload;
	SaasClientAddress client;

	ereport(LOG,
			(errmsg("\"%s\" reveals secret \"%s\" of connection %s in organization %s",
					login, secret->name, SaasUuidText(&secret->connection_id),
					SaasUuidText(&secret->org_id))));
	SaasClientGet(&client);
	address = SaasClientInet(&client);
	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"org_id\":\"%s\",\"login\":", SaasUuidText(&secret->org_id));
	escape_json(&payload, login);
	appendStringInfoString(&payload, ",\"revealed\":");
	escape_json(&payload, secret->name);
	if (address)
		appendStringInfo(&payload, ",\"ip\":\"%s\"",
						 DatumGetCString(DirectFunctionCall1(inet_out, InetPGetDatum(address))));
	appendStringInfoChar(&payload, '}');
	SaasNoteDown("secret_revealed", &secret->connection_id, payload.data);
}

Datum
pg_saas_reveal_secret(PG_FUNCTION_ARGS)
{
	StoredSecret secret = {{{0}}};
	char	   *context;
	char	   *plaintext;
	text	   *result;
	Size		length;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		SaasRaise("22023", "reveal_secret needs a connection and the name of a secret", NULL, NULL);
	if (!saas_reveal_secrets_enabled)
		SaasRaise("PT403", "revealing secrets is switched off", NULL,
				  "Set saas.reveal_secrets_enabled to on and reload.");
	SaasRequireInstalled();
	secret.connection_id = *PG_GETARG_UUID_P(0);
	secret.name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!find_secret(&secret))
		SaasRaise("PT404", "connection not found", NULL, NULL);
	if (!SaasTicketIsOpen(GetSessionUserId(), &secret.org_id))
		SaasRaise("PT403", "an open ticket for the organization is needed", NULL,
				  "Open one with saas.open_ticket() and commit it.");
	if (secret.sealed == NULL)
		SaasRaise("PT404", "the connection has no secret of that name", NULL, NULL);
	write_down(&secret);
	context = SaasSecretContext(&secret.connection_id, secret.name, secret.origin);
	plaintext = SaasUnseal(&secret.org_id, secret.sealed, SAAS_SECRET_PURPOSE, context, &length);
	result = cstring_to_text_with_len(plaintext, (int) length);
	SaasWipe(plaintext, length);
	PG_RETURN_TEXT_P(result);
}
