/*
 * address.h
 *	  Which network addresses an outbound request may reach, and the parts of
 *	  a URL that decide it.
 */
#ifndef SAAS_ADDRESS_H
#define SAAS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/problem.h"

/* A CIDR block; IPv4 is kept in its mapped IPv6 form. */
typedef struct SaasNetwork
{
	uint8_t		address[16];
	int			prefix;			/* 0 to 128 */
} SaasNetwork;

typedef struct SaasNetworkList
{
	int			count;
	SaasNetwork items[64];
} SaasNetworkList;

/*
 * Parses a comma-separated list of addresses and CIDR blocks, IPv4 and IPv6;
 * blanks around them are allowed and "" is an empty list.
 */
extern bool SaasNetworkListParse(const char *text, SaasNetworkList *list, SaasProblem *problem);

/* The same for a list in which that word may stand too; has_word is set when it does. */
extern bool SaasNetworkListParseWith(const char *text, const char *word, bool *has_word,
									 SaasNetworkList *list, SaasProblem *problem);

/* Whether a block of the list holds the address, IPv4 in mapped form. */
extern bool SaasNetworkListHas(const SaasNetworkList *list, const uint8_t address[16]);

/*
 * Reads an address, IPv4 into its mapped form: the bits that the text is wide,
 * 32 or 128, or 0 when it is none.
 */
extern int	SaasAddressRead(const char *text, size_t length, uint8_t address[16]);

/*
 * Whether a request may connect to the address: any public unicast address,
 * and what the list allows.  IPv4 addresses inside IPv6 (mapped, compatible,
 * NAT64, 6to4, Teredo) are judged by the IPv4 address.  reason, when not NULL,
 * gets a static text such as "loopback" or "link-local" or "public".
 */
extern bool SaasAddressIsAllowed(const struct sockaddr *address, const SaasNetworkList *allowed,
								 const char **reason);

/* The parts of an absolute http or https URL, in an arena. */
typedef struct SaasUrl
{
	const char *scheme;			/* "http" or "https" */
	const char *host;			/* lower case; IPv6 without brackets */
	int			port;			/* the scheme's default filled in */
	const char *path;			/* with query, "/" when empty */
	const char *origin;			/* scheme://host:port, lower case, IPv6 in brackets */
} SaasUrl;

/*
 * Strict reader (RFC 3986): refuses user information, fragments, blanks,
 * control characters, backslashes, other schemes, ports outside 1 to 65535 and
 * anything over 2048 bytes, so that no two readers can see different hosts.
 */
extern bool SaasUrlParse(const char *text, SaasArena *arena, SaasUrl *url, SaasProblem *problem);

#endif							/* SAAS_ADDRESS_H */
