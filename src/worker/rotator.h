/*
 * rotator.h
 *	  Rotations of master and data keys, in short transactions.
 */
#ifndef SAAS_ROTATOR_H
#define SAAS_ROTATOR_H

#include "postgres.h"

#include "store/reseal.h"
#include "store/rewrap.h"
#include "store/rotation.h"
#include "worker/engine.h"

typedef struct SaasRotationReport
{
	SaasRotation rotation;
	SaasResealCounts counts;	/* done in all; locked and failed are left */
	SaasOldVersions old;
	int			unregistered;	/* columns that keep every old version */
	bool		is_finished;
} SaasRotationReport;

/*
 * Wraps every data key with the newest master key; what others hold locked is
 * tried again for a second.  55000 at the end when a master key is missing.
 */
extern void SaasRewrapAll(const SaasEngineHost *host, SaasRewrap *rewrap);

/*
 * Goes on with an unfinished rotation or begins one (org_id NULL: of all keys
 * older than that): new versions, values sealed again, old versions dropped
 * that nothing needs.  One at a time in a database: 55P03 for the second.
 */
extern void SaasRotateAll(const SaasEngineHost *host, const pg_uuid_t *org_id, const Interval *older_than,
						  SaasRotationReport *report);

#endif							/* SAAS_ROTATOR_H */
