/*
 * client_address.h
 *	  Whose request it is that came through proxies.
 */
#ifndef SAAS_CLIENT_ADDRESS_H
#define SAAS_CLIENT_ADDRESS_H

#include "pure/address.h"

/* The proxies whose word counts. */
typedef struct SaasProxies
{
	bool		has_local;		/* who connects through a Unix socket */
	SaasNetworkList networks;
} SaasProxies;

/*
 * Parses a list as SaasNetworkListParse does, in which the word "local" may
 * stand for Unix sockets.
 */
extern bool SaasProxiesParse(const char *text, SaasProxies *proxies, SaasProblem *problem);

typedef enum SaasClientKind
{
	SAAS_CLIENT_UNNAMED,		/* loopback or a Unix socket: a proxy that nobody has named */
	SAAS_CLIENT_PROXY,			/* a named proxy that says nothing of its client */
	SAAS_CLIENT_KNOWN			/* a client's own address */
} SaasClientKind;

/* IPv4 in its mapped IPv6 form, as in SaasNetwork. */
typedef struct SaasClientAddress
{
	SaasClientKind kind;
	bool		is_local;		/* a Unix socket: no address */
	uint8_t		address[16];
} SaasClientAddress;

/*
 * Finds the client behind a peer (NULL: a Unix socket).  What a peer forwards
 * (X-Forwarded-For, NULL without one) counts only from a named proxy: of its
 * addresses, from the right, the first that is no named proxy itself.  What is
 * no address ends the walk where it has got to, and so do 64 addresses: to the
 * left stands what the client wrote.  Ports and brackets are allowed.
 */
extern void SaasClientFind(const SaasProxies *proxies, const uint8_t *peer,
						   const char *forwarded_for, SaasClientAddress *client);

#endif							/* SAAS_CLIENT_ADDRESS_H */
