/*
 * notes.h
 *	  Writing down what the journal and the memory of ended sessions hold.
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

/* Deletes a batch of what is older than it is kept. */
extern void SaasNotesPrune(void);

/* Deletes mails that are too old, and the tokens of those that failed and are too old to send. */
extern void SaasNotesPruneOutbox(void);

#endif							/* SAAS_NOTES_H */
