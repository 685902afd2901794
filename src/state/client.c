/*
 * client.c
 *	  Where the request comes from, as far as that can be trusted.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "catalog/pg_type.h"
#include "server/arena_context.h"
#include "server/request.h"
#include "state/client.h"
#include "state/settings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MAPPED_V4_OFFSET	12
#define V6_NETWORK_BYTES	8
#define V4_BYTES			4

static const uint8 mapped[MAPPED_V4_OFFSET] = {[10] = 0xff, [11] = 0xff};

static void
take_inet(const inet *address, uint8_t bytes[16])
{
	if (ip_family(address) == PGSQL_AF_INET6)
	{
		memcpy(bytes, ip_addr(address), 16);
		return;
	}
	memcpy(bytes, mapped, MAPPED_V4_OFFSET);
	memcpy(bytes + MAPPED_V4_OFFSET, ip_addr(address), V4_BYTES);
}

/* False for a Unix socket and for a process without a client. */
static bool
take_peer(uint8_t bytes[16])
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	if (fcinfo->isnull)
		return false;
	take_inet(DatumGetInetPP(address), bytes);
	return true;
}

void
SaasClientGetForwarded(const char *forwarded_for, bool is_readable, SaasClientAddress *client)
{
	uint8_t		bytes[16];
	const uint8_t *peer = take_peer(bytes) ? bytes : NULL;

	SaasClientFind(SaasTrustedProxies(), peer, forwarded_for, client);
	if (!is_readable && client->kind == SAAS_CLIENT_PROXY)
		client->kind = SAAS_CLIENT_KNOWN;
}

void
SaasClientGet(SaasClientAddress *client)
{
	static const char *const names[] = {"x-forwarded-for"};
	const char *values[lengthof(names)];
	SaasArena  *arena;
	MemoryContext context;
	bool		is_readable;

	/* Only a named proxy's headers are looked at. */
	SaasClientGetForwarded(NULL, true, client);
	if (client->kind != SAAS_CLIENT_PROXY)
		return;
	context = SaasArenaContextCreate(CurrentMemoryContext, SAAS_REQUEST_ARENA_SIZE, &arena);
	is_readable = SaasRequestHeaders(arena, names, lengthof(names), values);
	SaasClientGetForwarded(values[0], is_readable, client);
	MemoryContextDelete(context);
}

void
SaasClientOfInet(const inet *address, SaasClientAddress *client)
{
	memset(client, 0, sizeof(*client));
	client->kind = SAAS_CLIENT_KNOWN;
	take_inet(address, client->address);
}

static bool
is_v4(const SaasClientAddress *client)
{
	return memcmp(client->address, mapped, MAPPED_V4_OFFSET) == 0;
}

static char *
address_text(const uint8_t *address, bool as_v4)
{
	char		text[INET6_ADDRSTRLEN];

	if (inet_ntop(as_v4 ? AF_INET : AF_INET6, as_v4 ? address + MAPPED_V4_OFFSET : address,
				  text, sizeof(text)) == NULL)
		elog(ERROR, "could not write an address: %m");
	return pstrdup(text);
}

inet *
SaasClientInet(const SaasClientAddress *client)
{
	if (client->is_local)
		return NULL;
	return DatumGetInetPP(DirectFunctionCall1(inet_in,
											  CStringGetDatum(address_text(client->address, is_v4(client)))));
}

char *
SaasClientSubject(const SaasClientAddress *client)
{
	uint8_t		network[16] = {0};

	if (client->is_local)
		return pstrdup("local");
	if (is_v4(client))
		return address_text(client->address, true);
	memcpy(network, client->address, V6_NETWORK_BYTES);
	return psprintf("%s/64", address_text(network, false));
}

static void
take_network(const inet *cidr, SaasNetwork *network)
{
	take_inet(cidr, network->address);
	network->prefix = ip_bits(cidr) + (ip_family(cidr) == PGSQL_AF_INET6 ? 0 : 8 * MAPPED_V4_OFFSET);
}

bool
SaasClientIsWithin(ArrayType *networks)
{
	SaasClientAddress client;
	SaasNetworkList list;
	Datum	   *items;
	bool	   *nulls;
	int			count;

	SaasClientGet(&client);
	if (client.kind != SAAS_CLIENT_KNOWN)
		return false;
	deconstruct_array(networks, CIDROID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	list.count = 0;
	for (int i = 0; i < count && list.count < lengthof(list.items); i++)
		if (!nulls[i])
			take_network(DatumGetInetPP(items[i]), &list.items[list.count++]);
	return SaasNetworkListHas(&list, client.address);
}
