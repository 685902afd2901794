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
use_refresh(void *arg)
{
	SaasNotesUseRefresh(arg);
}

static void
prune_events(void *arg)
{
	*(bool *) arg = SaasNotesPrune();
}

static void
prune_outbox(void *arg)
{
	*(bool *) arg = SaasNotesPruneOutbox();
}

static void
prune_history(void *arg)
{
	*(bool *) arg = SaasNotesPruneHistory();
}

static void
purge_organizations(void *arg)
{
	*(bool *) arg = SaasNotesPurgeOrganizations();
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

/* A list in memory whose items stay there until committed rows say what they say. */
typedef struct Lasting
{
	const char *what;			/* for the log */
	Size		item_size;
	int			(*collect) (void *list, int limit);
	void		(*write) (void *item);
	void		(*forget) (const void *item);
} Lasting;

static int
collect_sessions(void *list, int limit)
{
	return SaasEndedSessions(list, limit);
}

static void
forget_session(const void *item)
{
	SaasForgetEndedSession(&((const SaasEndedSession *) item)->id);
}

static int
collect_refreshes(void *list, int limit)
{
	return SaasRefreshes(list, limit);
}

static void
forget_refresh(const void *item)
{
	SaasForgetRefresh(item);
}

static const Lasting lasting[] = {
	{"that a session has ended", sizeof(SaasEndedSession), collect_sessions, end_session, forget_session},
	{"that a refresh token was used", sizeof(SaasRefresh), collect_refreshes, use_refresh, forget_refresh},
};

/* Returns how many were written. */
static int
drain_lasting(const SaasEngineHost *host, const Lasting *kind, char *list)
{
	int			count = kind->collect(list, BATCH);
	bool		is_written[BATCH];
	int			written = 0;

	if (count > 0)
	{
		host->begin();
		for (int i = 0; i < count; i++)
		{
			SaasProblem problem = {0};

			is_written[i] = SaasGuardedRun(kind->write, list + i * kind->item_size, &problem);
			if (!is_written[i])
				ereport(LOG,
						(errmsg("could not write down %s: %s", kind->what, problem.message)));
		}
		host->commit();
	}
	for (int i = 0; i < count; i++)
	{
		if (is_written[i])
			kind->forget(list + i * kind->item_size);
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
	SaasProblem history = {0};
	bool		events_deleted = false;
	bool		mails_deleted = false;
	bool		history_deleted = false;
	SaasProblem organizations = {0};
	bool		organizations_purged = false;

	if (!prune_is_due())
		return;
	host->begin();
	if (!SaasGuardedRun(prune_events, &events_deleted, &events))
		ereport(LOG,
				(errmsg("could not delete old security events: %s", events.message)));
	if (!SaasGuardedRun(prune_outbox, &mails_deleted, &outbox))
		ereport(LOG,
				(errmsg("could not delete old mails: %s", outbox.message)));
	if (!SaasGuardedRun(prune_history, &history_deleted, &history))
		ereport(LOG,
				(errmsg("could not delete old history of polls: %s", history.message)));
	host->commit();
	/* Its transaction acts for one organization. */
	host->begin();
	if (!SaasGuardedRun(purge_organizations, &organizations_purged, &organizations))
		ereport(LOG,
				(errmsg("could not remove deleted organizations: %s", organizations.message)));
	host->commit();
	/* After a batch there may be more: a flood of sign-ins notes more than one an hour. */
	pruned_at = events_deleted || mails_deleted || history_deleted || organizations_purged ?
		0 : GetCurrentTimestamp();
}

/* A full list goes on; anything less is all there was. */
static void
drain(const SaasEngineHost *host)
{
	SaasNote   *notes = palloc(sizeof(SaasNote) * BATCH);

	for (int kind = 0; kind < lengthof(lasting); kind++)
	{
		char	   *list = palloc(lasting[kind].item_size * BATCH);

		for (int i = 0; i < MOST_BATCHES && drain_lasting(host, &lasting[kind], list) == BATCH; i++)
			CHECK_FOR_INTERRUPTS();
	}
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
	SaasEndedSession session;
	SaasRefresh refresh;

	return SaasJournalHasNotes() || SaasEndedSessions(&session, 1) > 0 || SaasRefreshes(&refresh, 1) > 0 ||
		prune_is_due();
}
