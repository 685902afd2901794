/*
 * secret_context.h
 *	  What a connection's sealed secret is bound to besides its organization.
 */
#ifndef SAAS_SECRET_CONTEXT_H
#define SAAS_SECRET_CONTEXT_H

#include "postgres.h"

#include "utils/builtins.h"
#include "utils/uuid.h"

#define SAAS_SECRET_PURPOSE	"pg_saas:connection"

/*
 * Connection, name and origin: a secret moved to another row, renamed, or left
 * behind when the destination changed does not open.
 */
static inline char *
SaasSecretContext(const pg_uuid_t *connection_id, const char *name, const char *origin)
{
	return psprintf("%s|%s|%s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(connection_id))),
					name, origin);
}

#endif							/* SAAS_SECRET_CONTEXT_H */
