/*
 * notes.h
 *	  Writing down what the journal and the memories of ended and refreshed
 *	  sessions hold.
 *
 * Each runs inside a transaction, waits 50 ms at most for a lock and throws
 * what goes wrong; the caller wraps it in a subtransaction.
 */
#ifndef SAAS_NOTES_H
#define SAAS_NOTES_H

#include "postgres.h"

#include "state/journal.h"
#include "state/limits.h"

extern void SaasNotesWrite(const SaasNote *notes, int count);
extern void SaasNotesEndSession(const SaasEndedSession *session);
extern void SaasNotesUseRefresh(const SaasRefresh *refresh);

/* Deletes a batch of what is older than it is kept; whether there was any. */
extern bool SaasNotesPrune(void);

/* The same of mails; those that failed and are too old to send lose their tokens. */
extern bool SaasNotesPruneOutbox(void);

/* The same of the history of polls. */
extern bool SaasNotesPruneHistory(void);

/* One step on with removing organizations whose time to be restored is over; whether there was one. */
extern bool SaasNotesPurgeOrganizations(void);

#endif							/* SAAS_NOTES_H */
