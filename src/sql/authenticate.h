/*
 * authenticate.h
 *	  From a token to the transaction's identity, for the functions of SQL.
 */
#ifndef SAAS_AUTHENTICATE_H
#define SAAS_AUTHENTICATE_H

#include "postgres.h"

/*
 * Verifies an access token or API key against keys and live rows and gives the
 * transaction its identity.  Errors as saas.authenticate documents them; none
 * repeats the token.
 */
extern void SaasAuthenticateToken(const text *token);

#endif							/* SAAS_AUTHENTICATE_H */
