/*
 * ticket.c
 *	  Operators' permissions to look at one organization.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "server/run_as.h"
#include "state/ticket.h"
#include "utils/acl.h"

bool
SaasTicketIsOpen(Oid login, const pg_uuid_t *org_id)
{
	Oid			types[2] = {OIDOID, UUIDOID};
	Datum		values[2];
	SaasRunAs	state;
	bool		is_open = false;

	if (!is_member_of_role(login, get_role_oid("saas_operator", false)))
		return false;
	values[0] = ObjectIdGetDatum(login);
	values[1] = UUIDPGetDatum(org_id);
	SaasRunAsBegin(&state, "saas_service");
	if (SPI_execute_with_args("select xmin from saas_private.ticket"
							  " where opened_by_oid = $1 and org_id = $2 and valid_until > clock_timestamp()",
							  2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up tickets");
	/* One that this transaction opened could still be rolled back. */
	for (uint64 i = 0; i < SPI_processed && !is_open; i++)
	{
		bool		is_null;
		TransactionId xmin = DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[i],
																 SPI_tuptable->tupdesc, 1, &is_null));

		is_open = !TransactionIdIsCurrentTransactionId(xmin);
	}
	SaasRunAsEnd(&state);
	return is_open;
}
