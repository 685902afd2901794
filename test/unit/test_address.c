/*
 * test_address.c
 *	  pure/address.c: every range that a request must not reach, at its edges
 *	  and in every disguise, and what the operator's list opens.
 */
#include "pure/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "tap.h"

static SaasNetworkList
list_of(const char *text)
{
	SaasNetworkList list;
	SaasProblem problem = {0};

	if (!SaasNetworkListParse(text, &list, &problem))
		printf("# list \"%s\": %s\n", text, problem.detail);
	return list;
}

static bool
judge(const char *text, const SaasNetworkList *list, const char **reason)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in *ipv4 = (struct sockaddr_in *) &storage;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *) &storage;

	*reason = "unreadable";
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1)
		ipv4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1)
		ipv6->sin6_family = AF_INET6;
	return SaasAddressIsAllowed((const struct sockaddr *) &storage, list, reason);
}

/* Address and reason; allowed when the reason is "public". */
static const char *const verdicts[][2] = {
	{"0.0.0.0", "unspecified"},
	{"0.0.0.1", "this network"},
	{"0.255.255.255", "this network"},
	{"1.0.0.0", "public"},
	{"9.255.255.255", "public"},
	{"10.0.0.0", "private"},
	{"10.255.255.255", "private"},
	{"11.0.0.0", "public"},
	{"100.63.255.255", "public"},
	{"100.64.0.0", "carrier-grade NAT"},
	{"100.127.255.255", "carrier-grade NAT"},
	{"100.128.0.0", "public"},
	{"126.255.255.255", "public"},
	{"127.0.0.0", "loopback"},
	{"127.0.0.1", "loopback"},
	{"127.255.255.255", "loopback"},
	{"128.0.0.0", "public"},
	{"169.253.255.255", "public"},
	{"168.63.129.15", "public"},
	{"168.63.129.16", "the cloud platform's"},
	{"168.63.129.17", "public"},
	{"169.254.0.0", "link-local"},
	{"169.254.169.254", "link-local"},
	{"169.254.170.2", "link-local"},
	{"169.254.255.255", "link-local"},
	{"169.255.0.0", "public"},
	{"172.15.255.255", "public"},
	{"172.16.0.0", "private"},
	{"172.31.255.255", "private"},
	{"172.32.0.0", "public"},
	{"191.255.255.255", "public"},
	{"192.0.0.0", "protocol assignments"},
	{"192.0.0.192", "protocol assignments"},
	{"192.0.0.255", "protocol assignments"},
	{"192.0.1.0", "public"},
	{"192.0.2.0", "documentation"},
	{"192.0.2.255", "documentation"},
	{"192.0.3.0", "public"},
	{"192.88.98.255", "public"},
	{"192.88.99.1", "6to4 relay"},
	{"192.88.100.0", "public"},
	{"192.167.255.255", "public"},
	{"192.168.0.0", "private"},
	{"192.168.255.255", "private"},
	{"192.169.0.0", "public"},
	{"198.17.255.255", "public"},
	{"198.18.0.0", "benchmarking"},
	{"198.19.255.255", "benchmarking"},
	{"198.20.0.0", "public"},
	{"198.51.99.255", "public"},
	{"198.51.100.0", "documentation"},
	{"198.51.100.255", "documentation"},
	{"198.51.101.0", "public"},
	{"203.0.112.255", "public"},
	{"203.0.113.0", "documentation"},
	{"203.0.113.255", "documentation"},
	{"203.0.114.0", "public"},
	{"223.255.255.255", "public"},
	{"224.0.0.0", "multicast"},
	{"239.255.255.255", "multicast"},
	{"240.0.0.0", "reserved"},
	{"255.255.255.254", "reserved"},
	{"255.255.255.255", "broadcast"},
	{"8.8.8.8", "public"},

	{"::", "unspecified"},
	{"::1", "loopback"},
	{"100::", "discard"},
	{"100::1", "discard"},
	{"100:0:0:1::1", "reserved"},
	{"200::1", "reserved"},
	{"1fff:ffff::1", "reserved"},
	{"2000::1", "public"},
	{"2001:1::1", "protocol assignments"},
	{"2001:2::1", "protocol assignments"},
	{"2001:10::1", "protocol assignments"},
	{"2001:1ff:ffff::1", "protocol assignments"},
	{"2001:200::1", "public"},
	{"2001:db7:ffff::1", "public"},
	{"2001:db8::", "documentation"},
	{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"},
	{"2001:db9::1", "public"},
	{"2001:4860:4860::8888", "public"},
	{"2003::1", "public"},
	{"2a00:1450:4001::1", "public"},
	{"3ffe:ffff::1", "public"},
	{"3fff::1", "documentation"},
	{"3fff:fff:ffff::1", "documentation"},
	{"3fff:1000::1", "public"},
	{"4000::1", "reserved"},
	{"5f00::1", "reserved"},
	{"fbff:ffff::1", "reserved"},
	{"fc00::", "unique-local"},
	{"fd00:ec2::254", "unique-local"},
	{"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique-local"},
	{"fe00::1", "reserved"},
	{"fe80::1", "link-local"},
	{"fe80::a9fe:a9fe", "link-local"},
	{"febf:ffff::1", "link-local"},
	{"fec0::1", "site-local"},
	{"feff:ffff::1", "site-local"},
	{"ff00::", "multicast"},
	{"ff02::1", "multicast"},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"},

	/* mapped */
	{"::ffff:127.0.0.1", "loopback"},
	{"::ffff:10.1.2.3", "private"},
	{"::ffff:169.254.169.254", "link-local"},
	{"::ffff:0.0.0.0", "unspecified"},
	{"::ffff:8.8.8.8", "public"},
	/* compatible */
	{"::2", "this network"},
	{"::127.0.0.1", "loopback"},
	{"::192.168.0.1", "private"},
	{"::169.254.169.254", "link-local"},
	{"::8.8.8.8", "public"},
	/* NAT64: well-known prefix, its neighbours, local-use prefix */
	{"64:ff9b::127.0.0.1", "loopback"},
	{"64:ff9b::10.0.0.1", "private"},
	{"64:ff9b::169.254.169.254", "link-local"},
	{"64:ff9b::168.63.129.16", "the cloud platform's"},
	{"64:ff9b::8.8.8.8", "public"},
	{"64:ff9b:0:0:0:1:808:808", "reserved"},
	{"64:ff9b:1::8.8.8.8", "local-use NAT64"},
	{"64:ff9b:1:a00:0:100::", "local-use NAT64"},
	{"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local-use NAT64"},
	{"64:ff9b:2::8.8.8.8", "reserved"},
	/* translated: ::ffff:0:a.b.c.d */
	{"::ffff:0:127.0.0.1", "reserved"},
	{"::ffff:0:8.8.8.8", "reserved"},
	/* 6to4 */
	{"2002:7f00:1::", "loopback"},
	{"2002:a00:1::1", "private"},
	{"2002:a9fe:a9fe::1", "link-local"},
	{"2002:c0a8:101:1:2:3:4:5", "private"},
	{"2002:808:808::1", "public"},
	/* Teredo: server in front, client behind with its bits turned over */
	{"2001::1", "unspecified"},
	{"2001:0:808:808:0:0:80ff:fffe", "loopback"},
	{"2001:0:808:808:0:0:5601:5601", "link-local"},
	{"2001:0:808:808:0:0:f5ff:fffe", "private"},
	{"2001:0:7f00:1:0:0:f7f7:f7f7", "loopback"},
	{"2001:0:808:808:0:0:f7f7:f7f7", "public"}
};

static void
test_verdicts(void)
{
	SaasNetworkList none = {0};
	const char *reason;
	const char *again;
	size_t		i;

	for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
	{
		bool		is_public = strcmp(verdicts[i][1], "public") == 0;
		bool		allowed = judge(verdicts[i][0], &none, &reason);

		is_text(reason, verdicts[i][1], "%s is %s", verdicts[i][0], verdicts[i][1]);
		ok(allowed == is_public && judge(verdicts[i][0], NULL, &again) == is_public,
		   "and %s", is_public ? "allowed" : "refused");
	}
}

/* The same IPv4 verdict in every disguise. */
static void
test_disguises(void)
{
	static const uint8_t prefixes[][12] = {
		{[10] = 0xff, [11] = 0xff},
		{0},
		{0x00, 0x64, 0xff, 0x9b}
	};
	SaasNetworkList none = {0};
	uint32_t	random = 12345;
	int			differences = 0;
	int			i;
	size_t		j;

	for (i = 0; i < 200000; i++)
	{
		struct sockaddr_in ipv4 = {.sin_family = AF_INET};
		struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
		bool		allowed;

		random = random * 1664525u + 1013904223u;
		ipv4.sin_addr.s_addr = htonl(random);
		allowed = SaasAddressIsAllowed((struct sockaddr *) &ipv4, &none, NULL);
		for (j = 0; j < sizeof(prefixes) / sizeof(prefixes[0]); j++)
		{
			memcpy(ipv6.sin6_addr.s6_addr, prefixes[j], 12);
			memcpy(ipv6.sin6_addr.s6_addr + 12, &ipv4.sin_addr, 4);
			differences += SaasAddressIsAllowed((struct sockaddr *) &ipv6, &none, NULL) != allowed;
		}
		memset(&ipv6.sin6_addr, 0, 16);
		ipv6.sin6_addr.s6_addr[0] = 0x20;
		ipv6.sin6_addr.s6_addr[1] = 0x02;
		memcpy(ipv6.sin6_addr.s6_addr + 2, &ipv4.sin_addr, 4);
		differences += SaasAddressIsAllowed((struct sockaddr *) &ipv6, &none, NULL) != allowed;
	}
	ok(differences == 0, "mapped, compatible, NAT64 and 6to4 are judged like their IPv4 address");
}

static void
test_families(void)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in6 scoped = {.sin6_family = AF_INET6, .sin6_scope_id = 2};
	SaasNetworkList everything = list_of("0.0.0.0/0, ::/0");
	const char *reason = NULL;

	ok(!SaasAddressIsAllowed((struct sockaddr *) &local, &everything, &reason),
	   "a socket in the file system is refused whatever is listed");
	is_text(reason, "not an IP address", "and says so");
	inet_pton(AF_INET6, "fe80::1", &scoped.sin6_addr);
	ok(!SaasAddressIsAllowed((struct sockaddr *) &scoped, NULL, NULL),
	   "a scope changes nothing, and a reason need not be asked for");
}

/* List, address, and whether the list opens it. */
static const struct
{
	const char *list;
	const char *address;
	bool		allowed;
}			openings[] = {
	{"10.0.0.0/8", "10.0.0.0", true},
	{"10.0.0.0/8", "10.255.255.255", true},
	{"10.0.0.0/8", "192.168.0.1", false},
	{"10.1.0.0/16", "10.1.255.255", true},
	{"10.1.0.0/16", "10.2.0.0", false},
	{"10.1.0.0/16", "10.0.255.255", false},
	{"10.1.2.128/25", "10.1.2.127", false},
	{"10.1.2.128/25", "10.1.2.128", true},
	{"10.1.2.3", "10.1.2.3", true},
	{"10.1.2.3", "10.1.2.2", false},
	{"10.1.2.3/32", "10.1.2.3", true},
	{"10.1.2.3", "8.8.8.8", true},
	{"127.0.0.1", "127.0.0.1", true},
	{"127.0.0.1", "127.0.0.2", false},
	{"127.0.0.1", "::1", false},
	{"127.0.0.1", "::ffff:127.0.0.1", true},
	{"127.0.0.1", "64:ff9b::127.0.0.1", true},
	{"127.0.0.1", "2002:7f00:1::", true},
	{"10.0.0.0/8", "::ffff:192.168.0.1", false},
	{"10.0.0.0/8", "169.254.169.254", false},
	{"10.0.0.0/8, fc00::/7", "169.254.169.254", false},
	{"169.254.169.254", "169.254.169.254", true},
	{"169.254.169.254", "169.254.170.2", false},
	{"169.254.0.0/16", "169.254.169.254", true},
	{"fe80::/10", "fd00:ec2::254", false},
	{"fd00:ec2::254", "fd00:ec2::254", true},
	{"fd00:ec2::254", "fd00:ec2::253", false},
	{"fc00::/7", "fd00:ec2::254", true},
	{"fc00::/7", "fe80::1", false},
	{"::1", "::1", true},
	{"::1", "::", false},
	{"::1", "127.0.0.1", false},
	{"::1", "::ffff:127.0.0.1", false},
	{"0.0.0.0/8", "::1", false},
	{"0.0.0.0/0", "127.0.0.1", true},
	{"0.0.0.0/0", "255.255.255.255", true},
	{"0.0.0.0/0", "::1", false},
	{"0.0.0.0/0", "fd00::1", false},
	{"::/0", "fd00::1", true},
	{"::/0", "::1", true},
	{"::/0", "127.0.0.1", false},
	{"::/0", "::ffff:127.0.0.1", false},
	{"::/8", "10.0.0.1", false},
	{"::ffff:10.0.0.0/104", "10.0.0.1", true},
	{"::ffff:10.0.0.0/104", "11.0.0.1", true},
	{"::ffff:10.0.0.0/104", "127.0.0.1", false},
	{"::ffff:0:0/96", "127.0.0.1", true},
	{"64:ff9b::/96", "64:ff9b::10.0.0.1", true},
	{"64:ff9b::/96", "10.0.0.1", false},
	{"64:ff9b:1::/48", "64:ff9b:1::10.0.0.1", true},
	{"10.0.0.0/8", "64:ff9b:1::10.0.0.1", false},
	{"8.8.8.8", "2001:0:808:808:0:0:80ff:fffe", false},
	{"127.0.0.1", "2001:0:808:808:0:0:80ff:fffe", true},
	{"127.0.0.1", "2001:0:a00:1:0:0:80ff:fffe", false},
	{" 10.0.0.0/8 ,\t127.0.0.1 , ::1\n", "127.0.0.1", true},
	{" 10.0.0.0/8 ,\t127.0.0.1 , ::1\n", "::1", true},
	{"FD00::/8", "fd12::1", true},
	{"", "10.0.0.1", false},
	{"  ", "10.0.0.1", false}
};

static void
test_openings(void)
{
	size_t		i;

	for (i = 0; i < sizeof(openings) / sizeof(openings[0]); i++)
	{
		SaasNetworkList list = list_of(openings[i].list);
		const char *reason;

		ok(judge(openings[i].address, &list, &reason) == openings[i].allowed,
		   "opening %zu: %s is %s", i, openings[i].address,
		   openings[i].allowed ? "allowed" : "refused");
		if (list.count == 0)
			ok(strspn(openings[i].list, " ") == strlen(openings[i].list), "its list is empty");
	}
}

static void
test_reason_of_listed(void)
{
	SaasNetworkList list = list_of("127.0.0.0/8");
	const char *reason;

	judge("127.0.0.1", &list, &reason);
	is_text(reason, "allowed network", "a listed address says why it is allowed");
	judge("64:ff9b::127.0.0.1", &list, &reason);
	is_text(reason, "allowed network", "also in disguise");
	judge("8.8.8.8", &list, &reason);
	is_text(reason, "public", "a public one does not need the list");
}

static void
test_list_refusals(void)
{
	static const char *const lists[] = {
		",", "10.0.0.0/8,", ",10.0.0.0/8", "10.0.0.0/8,,::1", "10.0.0.0/8 ::1", "10.0.0.0/33",
		"10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/a",
		"10.0.0.0 /8", "10.0.0.0/ 8", "10.0.0.0/4294967304", "10.0.0.1/8", "10/8", "10.0.0/24",
		"010.0.0.0/8", "0x0a.0.0.0/8", "167772160", "::/129", "fc00::1/7", "[::1]", "::1%lo",
		"fe80::1%1", "localhost", "example.com", "10.0.0.0-10.0.0.9", "*", "/8", "10.0.0.0/8;::1",
		"::ffff:10.0.0.0/8", "1:2:3:4:5:6:7:8:9",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"
	};
	size_t		i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		SaasNetworkList list;
		SaasProblem problem = {0};

		ok(!SaasNetworkListParse(lists[i], &list, &problem) && list.count == 0 &&
		   strcmp(problem.sqlstate, "22023") == 0 && problem.detail[0] != '\0',
		   "\"%s\" is refused", lists[i]);
	}
}

static void
test_list_capacity(void)
{
	char		text[1024] = "";
	size_t		length = 0;
	SaasNetworkList list;
	SaasProblem problem = {0};
	int			i;

	for (i = 0; i < 64; i++)
		length += (size_t) snprintf(text + length, sizeof(text) - length, "%s10.0.0.%d",
									i > 0 ? "," : "", i);
	ok(SaasNetworkListParse(text, &list, &problem) && list.count == 64, "64 items fit");
	snprintf(text + length, sizeof(text) - length, ",10.0.0.64");
	ok(!SaasNetworkListParse(text, &list, &problem) && list.count == 0, "65 do not");
}

int
main(void)
{
	test_verdicts();
	test_disguises();
	test_families();
	test_openings();
	test_reason_of_listed();
	test_list_refusals();
	test_list_capacity();
	return tap_done();
}
