/*
 * layout.h
 *	  Which series a poll's values belong to.
 */
#ifndef SAAS_LAYOUT_H
#define SAAS_LAYOUT_H

#include "postgres.h"

#include "base/sample.h"
#include "utils/uuid.h"

/*
 * The id of the layout for the ordered series of the samples, made with its
 * series when the connection has not had it yet.  Samples of series beyond
 * saas.max_series (of those seen within 31 days) are taken out of the array, the
 * others stay in their order; returns how many stay.  Without any there is no
 * layout.  Call with SPI connected as saas_poller.
 */
extern int	SaasLayoutFind(const pg_uuid_t *org_id, const pg_uuid_t *connection_id,
						   const SaasSample **samples, int count, pg_uuid_t *layout_id);

/*
 * Has every process forget the layouts that it knows once the transaction
 * commits, in which some were deleted.
 */
extern void SaasLayoutForgetEverywhere(void);

/* Registers the forgetting of layouts that an aborted transaction made. */
extern void SaasLayoutInit(void);

#endif							/* SAAS_LAYOUT_H */
