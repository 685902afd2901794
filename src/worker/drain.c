/*
 * drain.c
 *	  Writing down what sessions noted in shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/guarded.h"
#include "state/journal.h"
#include "state/limits.h"
#include "store/notes.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/drain.h"

#define BATCH				200
/* Who notes faster than we write must not keep us from everything else. */
#define MOST_BATCHES		50
#define PRUNE_INTERVAL_MS	3600000

typedef struct Notes
{
	SaasNote   *list;
	int			count;
} Notes;

static TimestampTz pruned_at = 0;

static void
write_notes(void *arg)
{
	Notes	   *notes = arg;

	SaasNotesWrite(notes->list, notes->count);
}

static void
end_session(void *arg)
{
	SaasNotesEndSession(arg);
}

static void
prune_events(void *arg)
{
	SaasNotesPrune();
}

static void
prune_outbox(void *arg)
{
	SaasNotesPruneOutbox();
}

/* One that cannot be written would come back for ever. */
static void
write_each(const Notes *notes)
{
	for (int i = 0; i < notes->count; i++)
	{
		Notes		one = {&notes->list[i], 1};
		SaasProblem problem = {0};

		if (!SaasGuardedRun(write_notes, &one, &problem))
			ereport(LOG,
					(errmsg("could not write down a note of kind \"%s\": %s", one.list->kind, problem.message)));
	}
}

/* Returns how many notes there were. */
static int
drain_notes(const SaasEngineHost *host, SaasNote *list)
{
	Notes		notes = {list, SaasJournalTake(list, BATCH)};
	SaasProblem problem = {0};

	if (notes.count == 0)
		return 0;
	host->begin();
	if (!SaasGuardedRun(write_notes, &notes, &problem))
		write_each(&notes);
	host->commit();
	SaasJournalRemoveTaken();
	return notes.count;
}

/* Memory lets go of a session once the committed row says that it has ended. */
static int
drain_sessions(const SaasEngineHost *host, SaasEndedSession *list)
{
	int			count = SaasEndedSessions(list, BATCH);
	bool		is_written[BATCH];
	int			written = 0;

	if (count > 0)
	{
		host->begin();
		for (int i = 0; i < count; i++)
		{
			SaasProblem problem = {0};

			is_written[i] = SaasGuardedRun(end_session, &list[i], &problem);
			if (!is_written[i])
				ereport(LOG,
						(errmsg("could not write down that a session has ended: %s", problem.message)));
		}
		host->commit();
	}
	for (int i = 0; i < count; i++)
	{
		if (is_written[i])
			SaasForgetEndedSession(&list[i].id);
		written += is_written[i];
	}
	return written;
}

static bool
prune_is_due(void)
{
	return pruned_at == 0 ||
		TimestampDifferenceExceeds(pruned_at, GetCurrentTimestamp(), PRUNE_INTERVAL_MS);
}

static void
prune_sometimes(const SaasEngineHost *host)
{
	SaasProblem events = {0};
	SaasProblem outbox = {0};

	if (!prune_is_due())
		return;
	pruned_at = GetCurrentTimestamp();
	host->begin();
	if (!SaasGuardedRun(prune_events, NULL, &events))
		ereport(LOG,
				(errmsg("could not delete old security events: %s", events.message)));
	if (!SaasGuardedRun(prune_outbox, NULL, &outbox))
		ereport(LOG,
				(errmsg("could not delete old mails: %s", outbox.message)));
	host->commit();
}

/* Both lists full go on; anything less is all there was. */
static void
drain(const SaasEngineHost *host)
{
	SaasEndedSession *sessions = palloc(sizeof(SaasEndedSession) * BATCH);
	SaasNote   *notes = palloc(sizeof(SaasNote) * BATCH);

	for (int i = 0; i < MOST_BATCHES && drain_sessions(host, sessions) == BATCH; i++)
		CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < MOST_BATCHES && drain_notes(host, notes) == BATCH; i++)
		CHECK_FOR_INTERRUPTS();
	prune_sometimes(host);
}

void
SaasDrain(const SaasEngineHost *host)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "pg_saas drain", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		drain(host);
	}
	PG_CATCH();
	{
		SaasJournalGiveBack();
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

bool
SaasDrainIsDue(void)
{
	SaasEndedSession one;

	return SaasJournalHasNotes() || SaasEndedSessions(&one, 1) > 0 || prune_is_due();
}
