/*
 * test_client_address.c
 *	  src/pure/client_address: who is behind proxies, and who only says so.
 */
#include "pure/client_address.h"

#include <arpa/inet.h>

#include "tap.h"

static const char *
text_of(const SaasClientAddress *client)
{
	static const char *const kinds[] = {"unnamed", "proxy", "known"};
	static char text[INET6_ADDRSTRLEN + 16];
	char		address[INET6_ADDRSTRLEN] = "local";

	if (!client->is_local)
		inet_ntop(AF_INET6, client->address, address, sizeof(address));
	snprintf(text, sizeof(text), "%s %s", kinds[client->kind],
			 strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address);
	return text;
}

static const char *
found(const char *list, const char *peer, const char *forwarded_for)
{
	SaasProxies proxies;
	SaasProblem problem = {0};
	SaasClientAddress client;
	uint8_t		address[16];

	if (!SaasProxiesParse(list, &proxies, &problem))
		return "malformed list";
	if (peer != NULL && SaasAddressRead(peer, strlen(peer), address) == 0)
		return "malformed peer";
	SaasClientFind(&proxies, peer ? address : NULL, forwarded_for, &client);
	return text_of(&client);
}

/* List, peer (NULL: a Unix socket), what it forwards, and who it is. */
static const struct
{
	const char *list;
	const char *peer;
	const char *forwarded_for;
	const char *client;
}			cases[] = {
	/* without a named proxy */
	{"", NULL, NULL, "unnamed local"},
	{"", NULL, "192.0.2.1", "unnamed local"},
	{"", "127.0.0.1", "192.0.2.1", "unnamed 127.0.0.1"},
	{"", "127.255.0.1", NULL, "unnamed 127.255.0.1"},
	{"", "::1", "192.0.2.1", "unnamed ::1"},
	{"", "::ffff:127.0.0.1", "192.0.2.1", "unnamed 127.0.0.1"},
	{"", "198.51.100.9", "192.0.2.1", "known 198.51.100.9"},
	{"", "::2", "192.0.2.1", "known ::2"},
	{"10.0.0.0/8", "198.51.100.9", "192.0.2.1", "known 198.51.100.9"},
	{"10.0.0.0/8", NULL, "192.0.2.1", "unnamed local"},
	{"local", "127.0.0.1", "192.0.2.1", "unnamed 127.0.0.1"},
	{"127.0.0.1", NULL, "192.0.2.1", "unnamed local"},
	{"::/0", "198.51.100.9", "192.0.2.1", "known 198.51.100.9"},
	/* one named proxy */
	{"local", NULL, "192.0.2.1", "known 192.0.2.1"},
	{" local , 10.0.0.1 ", NULL, "192.0.2.1", "known 192.0.2.1"},
	{"10.0.0.1,local", "10.0.0.1", "192.0.2.1", "known 192.0.2.1"},
	{"10.0.0.1", "::ffff:10.0.0.1", "192.0.2.1", "known 192.0.2.1"},
	{"::1", "::1", "2001:db8::7", "known 2001:db8::7"},
	{"local", NULL, NULL, "proxy local"},
	{"local", NULL, "", "proxy local"},
	{"10.0.0.1", "10.0.0.1", " ", "proxy 10.0.0.1"},
	/* what the client wrote stands to the left */
	{"local", NULL, "203.0.113.66, 192.0.2.1", "known 192.0.2.1"},
	{"local", NULL, "127.0.0.1,192.0.2.1", "known 192.0.2.1"},
	{"local", NULL, "nonsense, 192.0.2.1", "known 192.0.2.1"},
	/* a chain of named proxies */
	{"local, 10.0.0.0/8", NULL, "203.0.113.66, 192.0.2.1, 10.0.0.7", "known 192.0.2.1"},
	{"local, 10.0.0.0/8, fd00::/8", NULL, "192.0.2.1, fd00::1, ::ffff:10.1.2.3", "known 192.0.2.1"},
	{"local, 10.0.0.0/8", NULL, "10.0.0.9, 10.0.0.7", "proxy 10.0.0.9"},
	{"local, 10.0.0.0/8", NULL, "192.0.2.1, nonsense, 10.0.0.7", "proxy 10.0.0.7"},
	{"local, 10.0.0.0/8", NULL, "192.0.2.1,, 10.0.0.7", "proxy 10.0.0.7"},
	{"local", NULL, "192.0.2.1,", "proxy local"},
	{"local", NULL, ",192.0.2.1", "known 192.0.2.1"},
	/* a proxy that nobody has named before the named one */
	{"local", NULL, "192.0.2.1, 127.0.0.1", "unnamed 127.0.0.1"},
	{"local, 127.0.0.1", NULL, "192.0.2.1, 127.0.0.1", "known 192.0.2.1"},
	/* how an address may be written */
	{"local", NULL, "\t 192.0.2.1:50000 \t", "known 192.0.2.1"},
	{"local", NULL, "::ffff:192.0.2.1", "known 192.0.2.1"},
	{"local", NULL, "[2001:db8::7]", "known 2001:db8::7"},
	{"local", NULL, "[2001:db8::7]:443", "known 2001:db8::7"},
	{"local", NULL, "[::ffff:192.0.2.1]:443", "known 192.0.2.1"},
	{"local", NULL, "2001:DB8:0:0::7", "known 2001:db8::7"},
	{"local", NULL, "192.0.2.1:", "proxy local"},
	{"local", NULL, "192.0.2.1:1234567", "proxy local"},
	{"local", NULL, "192.0.2.1:8o80", "proxy local"},
	{"local", NULL, "[2001:db8::7", "proxy local"},
	{"local", NULL, "[2001:db8::7]443", "proxy local"},
	{"local", NULL, "[192.0.2.1]", "proxy local"},
	{"local", NULL, "[]", "proxy local"},
	{"local", NULL, ":", "proxy local"},
	{"local", NULL, "unknown", "proxy local"},
	{"local", NULL, "192.0.2.1/32", "proxy local"},
	{"local", NULL, "192.0.2.01", "proxy local"},
	{"local", NULL, "192.0.2", "proxy local"},
	{"local", NULL, "192.0.2.1 192.0.2.2", "proxy local"},
	{"local", NULL, "fe80::1%eth0", "proxy local"},
	{"local", NULL, "for=192.0.2.1", "proxy local"},
	{"local", NULL, "1111111111111111111111111111111111111111111111111111111111111111111111", "proxy local"}
};

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_text(found(cases[i].list, cases[i].peer, cases[i].forwarded_for), cases[i].client,
				"[%s] %s forwards \"%s\": %s", cases[i].list, cases[i].peer ? cases[i].peer : "a socket",
				cases[i].forwarded_for ? cases[i].forwarded_for : "(nothing)", cases[i].client);
}

static void
test_bounds(void)
{
	static const char client[] = "192.0.2.1";
	static const char proxy[] = ",10.0.0.1";
	char		chain[1024];
	char	   *end = chain + sizeof(client) - 1;

	memcpy(chain, client, sizeof(client));
	for (int i = 0; i < 64; i++, end += sizeof(proxy) - 1)
	{
		if (i == 63)
			is_text(found("local, 10.0.0.1", NULL, chain), "known 192.0.2.1", "64 addresses are looked at");
		memcpy(end, proxy, sizeof(proxy));
	}
	is_text(found("local, 10.0.0.1", NULL, chain), "proxy 10.0.0.1", "and no more");
}

static void
test_lists(void)
{
	static const char *const bad[] = {
		"Local", "locals", "local/32", "local,", ",local", "localhost", "10.0.0.1/8", "10.0.0.0/33",
		"proxy.example.com"
	};
	SaasProxies proxies;
	SaasProblem problem = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!SaasProxiesParse(bad[i], &proxies, &problem) && !proxies.has_local &&
		   proxies.networks.count == 0 && problem.detail[0] != '\0', "\"%s\" is no list of proxies", bad[i]);
	ok(SaasProxiesParse(" ", &proxies, &problem) && !proxies.has_local && proxies.networks.count == 0,
	   "an empty list names nobody");
	ok(!SaasNetworkListParse("local", &proxies.networks, &problem), "other lists know no such word");
}

int
main(void)
{
	test_cases();
	test_bounds();
	test_lists();
	return tap_done();
}
