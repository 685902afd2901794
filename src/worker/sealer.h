/*
 * sealer.h
 *	  Sealing the audit behind its writers.
 */
#ifndef SAAS_SEALER_H
#define SAAS_SEALER_H

#include "postgres.h"

#include "worker/engine.h"

/*
 * Seals what is committed, in short transactions of the host, and erases the
 * audit of organizations that are gone.  It waits for whoever else seals,
 * wait_ms at most if that is positive.  Errors as SaasAuditSeal's.
 */
extern void SaasSealAll(const SaasEngineHost *host, int wait_ms);

/*
 * The worker's turn: if there is something to seal it does that; what fails is
 * logged and tried again after a minute.  Without anything to seal it gives no
 * transaction an id.
 */
extern void SaasSealSometimes(const SaasEngineHost *host);

#endif							/* SAAS_SEALER_H */
