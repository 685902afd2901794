/*
 * ticket.h
 *	  Operators' permissions to look at one organization.
 */
#ifndef SAAS_TICKET_H
#define SAAS_TICKET_H

#include "postgres.h"

#include "utils/uuid.h"

/*
 * Whether the login is a member of saas_operator and holds a ticket for the
 * organization that is open and was committed by an earlier transaction.
 */
extern bool SaasTicketIsOpen(Oid login, const pg_uuid_t *org_id);

#endif							/* SAAS_TICKET_H */
