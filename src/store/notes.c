/*
 * notes.c
 *	  Writing down what the journal and the memory of ended sessions hold.
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
SaasNotesPrune(void)
{
	SaasRunAs	state;

	begin(&state);
	(void) SaasStatementRun(&prune_events, NULL, NULL);
	SaasRunAsEnd(&state);
}

void
SaasNotesPruneOutbox(void)
{
	SaasRunAs	state;

	begin(&state);
	(void) SaasStatementRun(&prune_outbox, NULL, NULL);
	SaasRunAsEnd(&state);
}
