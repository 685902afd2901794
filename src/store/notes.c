/*
 * notes.c
 *	  Writing down what the journal and the memories of ended and refreshed
 *	  sessions hold.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "server/run_as.h"
#include "store/notes.h"
#include "store/statement.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

static SaasStatement write_note = {
	"select saas_private.write_note($1, $2, $3, $4::pg_catalog.jsonb)",
	4, {TEXTOID, UUIDOID, TIMESTAMPTZOID, TEXTOID}
};

static SaasStatement prune_events = {
	"select saas_private.prune_security_events()"
};

static SaasStatement prune_outbox = {
	"select saas_private.prune_outbox()"
};

static SaasStatement prune_history = {
	"select saas_private.prune_poller_history()"
};

static SaasStatement purge_organizations = {
	"select saas.purge_organizations()"
};

static void
begin(SaasRunAs *state)
{
	SaasRunAsBegin(state, "saas_poller");
	/* One tenant's open transaction must not hold up the others. */
	(void) set_config_option("lock_timeout", "50ms", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
write_one(const char *kind, const pg_uuid_t *subject, TimestampTz at, const char *payload)
{
	Datum		values[4] = {
		CStringGetTextDatum(kind), UUIDPGetDatum(subject), TimestampTzGetDatum(at),
		CStringGetTextDatum(payload)
	};
	char		nulls[4] = {' ', subject ? ' ' : 'n', ' ', ' '};

	(void) SaasStatementRun(&write_note, values, nulls);
}

void
SaasNotesWrite(const SaasNote *notes, int count)
{
	SaasRunAs	state;

	begin(&state);
	for (int i = 0; i < count; i++)
		write_one(notes[i].kind, notes[i].has_subject ? &notes[i].subject : NULL, notes[i].at,
				  notes[i].payload);
	SaasRunAsEnd(&state);
}

void
SaasNotesEndSession(const SaasEndedSession *session)
{
	SaasRunAs	state;

	begin(&state);
	write_one("session_ended", &session->id, session->ended_at, "{}");
	SaasRunAsEnd(&state);
}

void
SaasNotesUseRefresh(const SaasRefresh *refresh)
{
	SaasRunAs	state;

	begin(&state);
	write_one("refresh_used", &refresh->session_id, refresh->used_at,
			  psprintf("{\"generation\":%d}", refresh->generation));
	SaasRunAsEnd(&state);
}

/* Whether there was anything to delete: there may be more then. */
static bool
delete_batch(SaasStatement *prune)
{
	SaasRunAs	state;
	bool		is_null;
	bool		deleted;

	begin(&state);
	(void) SaasStatementRun(prune, NULL, NULL);
	deleted = DatumGetInt32(SaasStatementColumn(0, 1, &is_null)) > 0;
	SaasRunAsEnd(&state);
	return deleted;
}

bool
SaasNotesPrune(void)
{
	return delete_batch(&prune_events);
}

bool
SaasNotesPruneOutbox(void)
{
	return delete_batch(&prune_outbox);
}

bool
SaasNotesPruneHistory(void)
{
	return delete_batch(&prune_history);
}

bool
SaasNotesPurgeOrganizations(void)
{
	return delete_batch(&purge_organizations);
}
