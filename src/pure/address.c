/*
 * address.c
 *	  Classes of IP addresses, and the operator's list of networks that are
 *	  open although they are not public.
 *
 * For IPv6 the rule is the reverse of IPv4's: only 2000::/3 is public, so that
 * a range which gets a meaning one day is closed until then.  Ranges are those
 * of IANA's special-purpose registries (RFC 6890 and its successors).
 */
#include "pure/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* A range and what it is for; NULL: public after all. */
typedef struct SpecialRange
{
	uint8_t		address[16];
	int			prefix;
	const char *reason;
} SpecialRange;

static const SpecialRange ipv4_ranges[] = {
	{{0}, 32, "unspecified"},
	{{0}, 8, "this network"},
	{{10}, 8, "private"},
	{{100, 64}, 10, "carrier-grade NAT"},
	{{127}, 8, "loopback"},
	{{168, 63, 129, 16}, 32, "the cloud platform's"},	/* Azure's host, at a public address */
	{{169, 254}, 16, "link-local"},
	{{172, 16}, 12, "private"},
	{{192, 0, 0}, 24, "protocol assignments"},
	{{192, 0, 2}, 24, "documentation"},
	{{192, 88, 99}, 24, "6to4 relay"},
	{{192, 168}, 16, "private"},
	{{198, 18}, 15, "benchmarking"},
	{{198, 51, 100}, 24, "documentation"},
	{{203, 0, 113}, 24, "documentation"},
	{{224}, 4, "multicast"},
	{{255, 255, 255, 255}, 32, "broadcast"},
	{{240}, 4, "reserved"}
};

/* The first match decides; what matches nothing is reserved. */
static const SpecialRange ipv6_ranges[] = {
	{{0}, 128, "unspecified"},
	{{[15] = 1}, 128, "loopback"},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "local-use NAT64"},
	{{0x01}, 64, "discard"},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
	{{0x20, 0x01}, 23, "protocol assignments"},
	{{0x3f, 0xff}, 20, "documentation"},
	{{0x20}, 3, NULL},
	{{0xfc}, 7, "unique-local"},
	{{0xfe, 0x80}, 10, "link-local"},
	{{0xfe, 0xc0}, 10, "site-local"},
	{{0xff}, 8, "multicast"}
};

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
prefix_matches(const uint8_t *address, const uint8_t *network, int prefix)
{
	int			bytes = prefix / 8;
	int			bits = prefix % 8;

	return memcmp(address, network, (size_t) bytes) == 0 &&
		(bits == 0 || (address[bytes] ^ network[bytes]) >> (8 - bits) == 0);
}

static bool
is_mapped(const uint8_t *address)
{
	return prefix_matches(address, mapped_prefix, 96);
}

/*
 * A block wider than all of IPv4, such as ::/0, means IPv6 only, although in
 * mapped form IPv4 lies within it: whoever opens one does not mean 127.0.0.1.
 */
bool
SaasNetworkListHas(const SaasNetworkList *list, const uint8_t address[16])
{
	int			i;

	if (list == NULL)
		return false;
	for (i = 0; i < list->count; i++)
	{
		const SaasNetwork *network = &list->items[i];

		if (prefix_matches(address, network->address, network->prefix) &&
			(network->prefix >= 96 || !is_mapped(address)))
			return true;
	}
	return false;
}

/* NULL when the address is public. */
static const char *
ipv4_problem(const uint8_t *ipv4)
{
	size_t		i;

	for (i = 0; i < sizeof(ipv4_ranges) / sizeof(ipv4_ranges[0]); i++)
	{
		if (prefix_matches(ipv4, ipv4_ranges[i].address, ipv4_ranges[i].prefix))
			return ipv4_ranges[i].reason;
	}
	return NULL;
}

static const char *
ipv6_problem(const uint8_t *address)
{
	size_t		i;

	for (i = 0; i < sizeof(ipv6_ranges) / sizeof(ipv6_ranges[0]); i++)
	{
		if (prefix_matches(address, ipv6_ranges[i].address, ipv6_ranges[i].prefix))
			return ipv6_ranges[i].reason;
	}
	return "reserved";
}

/*
 * Judges an IPv4 address; NULL when a request may reach it, with listed set
 * when that is the list's doing.
 */
static const char *
judge_ipv4(const uint8_t *ipv4, const SaasNetworkList *allowed, bool *listed)
{
	uint8_t		mapped[16];

	memcpy(mapped, mapped_prefix, sizeof(mapped_prefix));
	memcpy(mapped + 12, ipv4, 4);
	if (!SaasNetworkListHas(allowed, mapped))
		return ipv4_problem(ipv4);
	*listed = true;
	return NULL;
}

/*
 * The IPv4 addresses that an IPv6 address leads to, each 4 bytes: none, one,
 * or for Teredo two, its server and its client (RFC 4380, section 4).
 */
static int
embedded_ipv4(const uint8_t *address, uint8_t out[2][4])
{
	static const uint8_t compatible[12] = {0};
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t six_to_four[2] = {0x20, 0x02};
	static const uint8_t teredo[4] = {0x20, 0x01};
	static const uint8_t low[4] = {0, 0, 0, 2};
	int			i;

	if (is_mapped(address) || prefix_matches(address, nat64, 96) ||
		(prefix_matches(address, compatible, 96) && memcmp(address + 12, low, 4) >= 0))
	{
		memcpy(out[0], address + 12, 4);
		return 1;
	}
	if (prefix_matches(address, six_to_four, 16))
	{
		memcpy(out[0], address + 2, 4);
		return 1;
	}
	if (!prefix_matches(address, teredo, 32))
		return 0;
	memcpy(out[0], address + 4, 4);
	/* The client's address is stored with every bit turned over. */
	for (i = 0; i < 4; i++)
		out[1][i] = (uint8_t) ~address[12 + i];
	return 2;
}

static const char *
judge_ipv6(const uint8_t *address, const SaasNetworkList *allowed, bool *listed)
{
	uint8_t		embedded[2][4];
	const char *problem = NULL;
	int			count = embedded_ipv4(address, embedded);
	int			i;

	if (SaasNetworkListHas(allowed, address))
	{
		*listed = true;
		return NULL;
	}
	if (count == 0)
		return ipv6_problem(address);
	for (i = 0; i < count && problem == NULL; i++)
		problem = judge_ipv4(embedded[i], allowed, listed);
	return problem;
}

bool
SaasAddressIsAllowed(const struct sockaddr *address, const SaasNetworkList *allowed,
					 const char **reason)
{
	const char *problem = "not an IP address";
	bool		listed = false;

	if (address->sa_family == AF_INET)
	{
		struct sockaddr_in ipv4;

		memcpy(&ipv4, address, sizeof(ipv4));
		problem = judge_ipv4((const uint8_t *) &ipv4.sin_addr, allowed, &listed);
	}
	else if (address->sa_family == AF_INET6)
	{
		struct sockaddr_in6 ipv6;

		memcpy(&ipv6, address, sizeof(ipv6));
		problem = judge_ipv6(ipv6.sin6_addr.s6_addr, allowed, &listed);
	}
	if (reason != NULL)
		*reason = problem != NULL ? problem : listed ? "allowed network" : "public";
	return problem == NULL;
}

/* A prefix length in decimal without leading zeros, or -1. */
static int
read_prefix(const char *text, size_t length, int max)
{
	int			value = 0;
	size_t		i;

	if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
		return -1;
	for (i = 0; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value <= max ? value : -1;
}

int
SaasAddressRead(const char *text, size_t length, uint8_t address[16])
{
	char		copy[INET6_ADDRSTRLEN];

	if (length >= sizeof(copy))
		return 0;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (inet_pton(AF_INET, copy, address + 12) == 1)
	{
		memcpy(address, mapped_prefix, sizeof(mapped_prefix));
		return 32;
	}
	return inet_pton(AF_INET6, copy, address) == 1 ? 128 : 0;
}

static bool
read_network(const char *text, size_t length, SaasNetwork *network)
{
	const char *slash = memchr(text, '/', length);
	size_t		address_length = slash == NULL ? length : (size_t) (slash - text);
	int			width = SaasAddressRead(text, address_length, network->address);

	if (width == 0)
		return false;
	network->prefix = width;
	if (slash != NULL)
		network->prefix = read_prefix(slash + 1, length - address_length - 1, width);
	if (network->prefix < 0)
		return false;
	network->prefix += 128 - width;
	return true;
}

static bool
has_host_bits(const SaasNetwork *network)
{
	int			i;

	for (i = network->prefix; i < 128; i++)
	{
		if (network->address[i / 8] & (0x80 >> i % 8))
			return true;
	}
	return false;
}

static bool
add_network(SaasNetworkList *list, const char *text, size_t length, SaasProblem *problem)
{
	const int	capacity = (int) (sizeof(list->items) / sizeof(list->items[0]));
	const int	shown = length < 64 ? (int) length : 64;
	SaasNetwork *network = &list->items[list->count];

	if (list->count == capacity)
	{
		SaasProblemSet(problem, "22023", "invalid network list");
		return SaasProblemDetail(problem, "It has more than %d items.", capacity);
	}
	if (!read_network(text, length, network))
	{
		SaasProblemSet(problem, "22023", "invalid network list");
		return SaasProblemDetail(problem, "\"%.*s\" is not an address or CIDR block.",
								 shown, text);
	}
	/* Read as a network, a mistyped host address would open its neighbours. */
	if (has_host_bits(network))
	{
		SaasProblemSet(problem, "22023", "invalid network list");
		return SaasProblemDetail(problem, "\"%.*s\" has bits set beyond its prefix length.",
								 shown, text);
	}
	list->count++;
	return true;
}

bool
SaasNetworkListParse(const char *text, SaasNetworkList *list, SaasProblem *problem)
{
	return SaasNetworkListParseWith(text, NULL, NULL, list, problem);
}

bool
SaasNetworkListParseWith(const char *text, const char *word, bool *has_word,
						 SaasNetworkList *list, SaasProblem *problem)
{
	static const char blanks[] = " \t\r\n";
	const char *item = text + strspn(text, blanks);

	memset(list, 0, sizeof(*list));
	if (*item == '\0')
		return true;
	for (;;)
	{
		size_t		length = strcspn(item, ",");
		const char *next = item + length;

		while (length > 0 && strchr(blanks, item[length - 1]) != NULL)
			length--;
		if (word != NULL && length == strlen(word) && memcmp(item, word, length) == 0)
			*has_word = true;
		else if (!add_network(list, item, length, problem))
		{
			memset(list, 0, sizeof(*list));
			return false;
		}
		if (*next == '\0')
			return true;
		item = next + 1;
		item += strspn(item, blanks);
	}
}
