/*
 * url.c
 *	  Strict reader of http and https URLs (RFC 3986).
 *
 * What is read here is checked here and connected to elsewhere: whatever two
 * readers could take for different hosts is refused, not repaired.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "pure/address.h"

#define MAX_URL_LENGTH		2048
#define MAX_HOST_LENGTH		253	/* RFC 1035, section 2.3.4, as text */
#define MAX_LABEL_LENGTH	63

/* An authority, cut into its parts. */
typedef struct Authority
{
	const char *host;			/* as written, without brackets */
	size_t		host_length;
	bool		is_ipv6;
	const char *port;			/* NULL when absent */
	size_t		port_length;
} Authority;

static bool
refuse(SaasProblem *problem, const char *why)
{
	SaasProblemSet(problem, "22023", "invalid URL");
	return SaasProblemDetail(problem, "%s", why);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
is_alphanumeric(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Path and query: pchar, "/" and "?" (RFC 3986, sections 3.3 and 3.4). */
static bool
is_path(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '%')
		{
			if (!is_hex(text[1]) || !is_hex(text[2]))
				return false;
		}
		else if (!is_alphanumeric(*text) && strchr("-._~!$&'()*+,;=:@/?", *text) == NULL)
			return false;
	}
	return true;
}

/* Letters, digits, hyphens and, since such hosts exist, underscores. */
static bool
is_name(const char *host)
{
	size_t		label = 0;
	const char *p;

	if (strlen(host) > MAX_HOST_LENGTH)
		return false;
	for (p = host; *p != '\0'; p++)
	{
		if (*p == '.')
		{
			if (label == 0 || p[-1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!is_alphanumeric(*p) && *p != '_' && (*p != '-' || label == 0))
			return false;
		if (++label > MAX_LABEL_LENGTH)
			return false;
	}
	return label > 0 && p[-1] != '-';
}

/*
 * Whether resolvers may take the name for an IPv4 address: its last label is a
 * number, decimal, octal or hexadecimal.
 */
static bool
looks_like_ipv4(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot == NULL ? host : dot + 1;

	if (strspn(last, "0123456789") == strlen(last))
		return true;
	return last[0] == '0' && last[1] == 'x' &&
		strspn(last + 2, "0123456789abcdef") == strlen(last + 2);
}

/* "host", "host:port", "[ipv6]" or "[ipv6]:port". */
static bool
split_authority(const char *text, size_t length, Authority *authority)
{
	const char *end = text + length;
	const char *rest;

	memset(authority, 0, sizeof(*authority));
	authority->is_ipv6 = length > 0 && text[0] == '[';
	if (authority->is_ipv6)
	{
		rest = memchr(text, ']', length);
		if (rest == NULL)
			return false;
		authority->host = text + 1;
		authority->host_length = (size_t) (rest - text - 1);
		rest++;
	}
	else
	{
		rest = memchr(text, ':', length);
		if (rest == NULL)
			rest = end;
		authority->host = text;
		authority->host_length = (size_t) (rest - text);
	}
	if (rest == end)
		return true;
	if (*rest != ':')
		return false;
	authority->port = rest + 1;
	authority->port_length = (size_t) (end - rest - 1);
	return true;
}

/*
 * Brings the host into the one form that is compared and stored; false when
 * it is malformed.  The buffer has room for any IPv6 address.
 */
static bool
normalize_host(char *host, bool is_ipv6)
{
	struct in6_addr ipv6;
	struct in_addr ipv4;
	char	   *p;

	if (is_ipv6)
		return inet_pton(AF_INET6, host, &ipv6) == 1 &&
			inet_ntop(AF_INET6, &ipv6, host, INET6_ADDRSTRLEN) != NULL;
	for (p = host; *p != '\0'; p++)
	{
		if (*p >= 'A' && *p <= 'Z')
			*p = (char) (*p - 'A' + 'a');
	}
	return is_name(host) && (!looks_like_ipv4(host) || inet_pton(AF_INET, host, &ipv4) == 1);
}

/* 1 to 65535 without leading zeros; the default when absent; 0: malformed. */
static int
read_port(const Authority *authority, int by_default)
{
	int			port = 0;
	size_t		i;

	if (authority->port == NULL)
		return by_default;
	if (authority->port_length == 0 || authority->port_length > 5 || authority->port[0] == '0')
		return 0;
	for (i = 0; i < authority->port_length; i++)
	{
		if (!is_digit(authority->port[i]))
			return 0;
		port = port * 10 + (authority->port[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

static bool
read_url(const char *text, SaasArena *arena, SaasUrl *url, SaasProblem *problem)
{
	bool		is_https = strncasecmp(text, "https://", 8) == 0;
	const char *start = text + (is_https ? 8 : 7);
	Authority	authority;
	size_t		length;
	char	   *host;

	if (!is_https && strncasecmp(text, "http://", 7) != 0)
		return refuse(problem, "It does not begin with http:// or https://.");
	length = strcspn(start, "/?#");
	if (memchr(start, '@', length) != NULL)
		return refuse(problem, "It has user information before the host.");
	if (strchr(start, '#') != NULL)
		return refuse(problem, "It has a fragment.");
	if (!is_path(start + length))
		return refuse(problem, "The path or query has a character that must be percent-encoded.");
	if (!split_authority(start, length, &authority))
		return refuse(problem, "The host is malformed.");

	url->scheme = is_https ? "https" : "http";
	host = SaasArenaAlloc(arena, authority.host_length + INET6_ADDRSTRLEN);
	if (host == NULL)
		return SaasProblemSet(problem, "53200", "out of memory");
	memcpy(host, authority.host, authority.host_length);
	url->host = host;
	if (!normalize_host(host, authority.is_ipv6))
		return refuse(problem, "The host is neither a name in ASCII nor a plain IP address.");
	url->port = read_port(&authority, is_https ? 443 : 80);
	if (url->port == 0)
		return refuse(problem, "The port is not a number from 1 to 65535.");
	url->path = SaasArenaPrintf(arena, start[length] == '/' ? "%s" : "/%s", start + length);
	url->origin = SaasArenaPrintf(arena, authority.is_ipv6 ? "%s://[%s]:%d" : "%s://%s:%d",
								  url->scheme, url->host, url->port);
	if (url->path == NULL || url->origin == NULL)
		return SaasProblemSet(problem, "53200", "out of memory");
	return true;
}

bool
SaasUrlParse(const char *text, SaasArena *arena, SaasUrl *url, SaasProblem *problem)
{
	memset(url, 0, sizeof(*url));
	if (strnlen(text, MAX_URL_LENGTH + 1) > MAX_URL_LENGTH)
		return refuse(problem, "It is longer than 2048 bytes.");
	if (read_url(text, arena, url, problem))
		return true;
	memset(url, 0, sizeof(*url));
	return false;
}
