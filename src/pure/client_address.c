/*
 * client_address.c
 *	  Whose request it is that came through proxies.
 */
#include "pure/client_address.h"

#include <string.h>

#define MAX_FORWARDED	64

static const uint8_t mapped_loopback[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
static const uint8_t loopback[16] = {[15] = 1};

bool
SaasProxiesParse(const char *text, SaasProxies *proxies, SaasProblem *problem)
{
	memset(proxies, 0, sizeof(*proxies));
	if (SaasNetworkListParseWith(text, "local", &proxies->has_local, &proxies->networks, problem))
		return true;
	memset(proxies, 0, sizeof(*proxies));
	return false;
}

static bool
is_loopback(const uint8_t *address)
{
	return memcmp(address, mapped_loopback, sizeof(mapped_loopback)) == 0 ||
		memcmp(address, loopback, sizeof(loopback)) == 0;
}

/* 1 to 5 digits, or nothing at all. */
static bool
is_port(const char *text, size_t length)
{
	return length == 0 ||
		(text[0] == ':' && length >= 2 && length <= 6 && strspn(text + 1, "0123456789") >= length - 1);
}

/* address, IPv4:port, [IPv6] or [IPv6]:port. */
static bool
read_entry(const char *text, size_t length, uint8_t address[16])
{
	const char *end;

	if (length > 0 && text[0] == '[')
	{
		end = memchr(text, ']', length);
		return end != NULL && is_port(end + 1, (size_t) (text + length - end - 1)) &&
			SaasAddressRead(text + 1, (size_t) (end - text - 1), address) == 128;
	}
	if (SaasAddressRead(text, length, address) != 0)
		return true;
	end = memchr(text, ':', length);
	return end != NULL && is_port(end, (size_t) (text + length - end)) &&
		SaasAddressRead(text, (size_t) (end - text), address) == 32;
}

/* The entry before end, without its blanks; end moves to the comma before it. */
static const char *
entry_before(const char *text, const char **end, size_t *length)
{
	const char *last = *end;
	const char *first;

	while (last > text && (last[-1] == ' ' || last[-1] == '\t'))
		last--;
	first = last;
	while (first > text && first[-1] != ',')
		first--;
	*end = first > text ? first - 1 : text;
	while (first < last && (*first == ' ' || *first == '\t'))
		first++;
	*length = (size_t) (last - first);
	return first;
}

/* Whoever is behind a named proxy, as far as the proxies' word goes. */
static void
walk(const SaasProxies *proxies, const char *forwarded_for, SaasClientAddress *client)
{
	const char *end = forwarded_for + strlen(forwarded_for);

	for (int i = 0; i < MAX_FORWARDED && end > forwarded_for; i++)
	{
		size_t		length;
		const char *entry = entry_before(forwarded_for, &end, &length);
		uint8_t		address[16];

		if (!read_entry(entry, length, address))
			return;
		memcpy(client->address, address, sizeof(address));
		client->is_local = false;
		if (SaasNetworkListHas(&proxies->networks, address))
			continue;
		/* Somebody has put a proxy of their own before the named one. */
		client->kind = is_loopback(address) ? SAAS_CLIENT_UNNAMED : SAAS_CLIENT_KNOWN;
		return;
	}
}

void
SaasClientFind(const SaasProxies *proxies, const uint8_t *peer, const char *forwarded_for,
			   SaasClientAddress *client)
{
	memset(client, 0, sizeof(*client));
	client->is_local = peer == NULL;
	if (peer != NULL)
		memcpy(client->address, peer, sizeof(client->address));
	if (peer == NULL ? proxies->has_local : SaasNetworkListHas(&proxies->networks, peer))
	{
		client->kind = SAAS_CLIENT_PROXY;
		if (forwarded_for != NULL)
			walk(proxies, forwarded_for, client);
	}
	else if (peer == NULL || is_loopback(peer))
		client->kind = SAAS_CLIENT_UNNAMED;
	else
		client->kind = SAAS_CLIENT_KNOWN;
}
