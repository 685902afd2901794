/*
 * maintainer.h
 *	  Rollups and retention, in pieces.
 */
#ifndef SAAS_MAINTAINER_H
#define SAAS_MAINTAINER_H

#include "postgres.h"

#include "worker/engine.h"

/*
 * All that is due, in short transactions of the host.  It waits up to half a
 * minute for whoever is writing readings; 55P03 when they do not end.
 */
extern void SaasMaintainAll(const SaasEngineHost *host);

/*
 * The worker's turn: a part of what is due, and after all is done nothing for a
 * minute.  What fails is logged and tried again then.
 */
extern void SaasMaintainSometimes(const SaasEngineHost *host);

#endif							/* SAAS_MAINTAINER_H */
