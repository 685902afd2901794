/*
 * journal.h
 *	  A bounded journal in shared memory for what must be written down though
 *	  the transaction that saw it fails: denials, exceeded limits, reuse.
 *
 * Each database's worker takes its notes every few seconds and writes them
 * (worker/drain.c); call saas.poll() does too.  One LWLock guards everything.
 * When the journal is full the oldest note of the server makes room for the
 * newest and is counted as lost.  A crash, restart or fail-over loses what is
 * not written.
 */
#ifndef SAAS_JOURNAL_H
#define SAAS_JOURNAL_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#define SAAS_NOTE_KIND		32
#define SAAS_NOTE_PAYLOAD	480

typedef struct SaasNote
{
	TimestampTz at;
	bool		has_subject;
	pg_uuid_t	subject;
	char		kind[SAAS_NOTE_KIND];
	char		payload[SAAS_NOTE_PAYLOAD]; /* JSON in the database's encoding */
} SaasNote;

/* Shared memory; call while preloading, after the settings. */
extern void SaasJournalInit(void);

/*
 * Notes something at once, whatever becomes of the transaction.  The subject
 * may be NULL.  A payload that is too long becomes {"truncated": bytes}; kind
 * is cut.
 */
extern void SaasNoteDown(const char *kind, const pg_uuid_t *subject, const char *payload);

/* Whether this database has notes that nobody has taken. */
extern bool SaasJournalHasNotes(void);

/*
 * Takes up to limit notes of this database, the oldest first, into list, and
 * returns how many.  They stay this process's until it has them removed
 * (written) or gives them back; a process that ends gives them back.
 */
extern int	SaasJournalTake(SaasNote *list, int limit);
extern void SaasJournalRemoveTaken(void);
extern void SaasJournalGiveBack(void);

typedef struct SaasJournalStatus
{
	int64		capacity;
	int64		used;			/* of all databases */
	int64		lost;			/* overwritten before they were written down */
} SaasJournalStatus;

extern void SaasJournalGetStatus(SaasJournalStatus *status);

#endif							/* SAAS_JOURNAL_H */
