/*
 * client.h
 *	  Where the request comes from, as far as that can be trusted.
 */
#ifndef SAAS_CLIENT_H
#define SAAS_CLIENT_H

#include "postgres.h"

#include "compat.h"
#include "pure/client_address.h"
#include "utils/inet.h"

/*
 * The client of the connection, or behind its named proxies
 * (saas.trusted_proxies) the one that they forward.  A named proxy whose
 * headers cannot be read is taken for the client itself: nobody gets rid of
 * their address by writing nonsense.
 */
extern void SaasClientGet(SaasClientAddress *client);

/* The same for who has read the headers: X-Forwarded-For, and whether they could be read. */
extern void SaasClientGetForwarded(const char *forwarded_for, bool is_readable, SaasClientAddress *client);

/* NULL for a Unix socket. */
extern inet *SaasClientInet(const SaasClientAddress *client);

/*
 * The address that limits count: an IPv6 one by its /64, which is all one
 * client's, an IPv4 one mapped into IPv6 as what it is; "local" for a Unix
 * socket.
 */
extern char *SaasClientSubject(const SaasClientAddress *client);

/* Of an address that SQL gives. */
extern void SaasClientOfInet(const inet *address, SaasClientAddress *client);

#endif							/* SAAS_CLIENT_H */
