/*
 * test_url.c
 *	  pure/url.c: what a URL's parts are, and URLs that readers disagree on.
 */
#include "pure/address.h"

#include "tap.h"

static SaasArena *arena;

static const struct
{
	const char *text;
	const char *scheme;
	const char *host;
	int			port;
	const char *path;
	const char *origin;
}			readable[] = {
	{"http://example.com", "http", "example.com", 80, "/", "http://example.com:80"},
	{"https://example.com", "https", "example.com", 443, "/", "https://example.com:443"},
	{"https://example.com/", "https", "example.com", 443, "/", "https://example.com:443"},
	{"HTTPS://Example.COM:8443/A?b=C", "https", "example.com", 8443, "/A?b=C",
	"https://example.com:8443"},
	{"http://example.com?q=1", "http", "example.com", 80, "/?q=1", "http://example.com:80"},
	{"http://example.com:1/", "http", "example.com", 1, "/", "http://example.com:1"},
	{"http://example.com:65535/", "http", "example.com", 65535, "/", "http://example.com:65535"},
	{"http://example.com:443/", "http", "example.com", 443, "/", "http://example.com:443"},
	{"http://localhost/metrics", "http", "localhost", 80, "/metrics", "http://localhost:80"},
	{"http://my_service-1.a.b/", "http", "my_service-1.a.b", 80, "/",
	"http://my_service-1.a.b:80"},
	{"http://xn--bcher-kva.example/", "http", "xn--bcher-kva.example", 80, "/",
	"http://xn--bcher-kva.example:80"},
	{"http://127.0.0.1:9100/metrics", "http", "127.0.0.1", 9100, "/metrics",
	"http://127.0.0.1:9100"},
	{"http://1.2.3.4.example/", "http", "1.2.3.4.example", 80, "/", "http://1.2.3.4.example:80"},
	{"http://0xabc.example/", "http", "0xabc.example", 80, "/", "http://0xabc.example:80"},
	{"http://a.0xyz/", "http", "a.0xyz", 80, "/", "http://a.0xyz:80"},
	{"http://[::1]/", "http", "::1", 80, "/", "http://[::1]:80"},
	{"http://[0:0:0:0:0:0:0:1]:80/", "http", "::1", 80, "/", "http://[::1]:80"},
	{"https://[2001:DB8::00aB]:8443/x", "https", "2001:db8::ab", 8443, "/x",
	"https://[2001:db8::ab]:8443"},
	{"http://[::ffff:7f00:1]/", "http", "::ffff:127.0.0.1", 80, "/",
	"http://[::ffff:127.0.0.1]:80"},
	{"http://example.com/a@b:c", "http", "example.com", 80, "/a@b:c", "http://example.com:80"},
	{"http://example.com/%2e%2E/%00", "http", "example.com", 80, "/%2e%2E/%00",
	"http://example.com:80"},
	{"http://example.com/?u=http://x@y/", "http", "example.com", 80, "/?u=http://x@y/",
	"http://example.com:80"},
	{"http://example.com//evil/", "http", "example.com", 80, "//evil/", "http://example.com:80"},
	{"http://example.com/~a!$&'()*+,;=._-", "http", "example.com", 80, "/~a!$&'()*+,;=._-",
	"http://example.com:80"}
};

static void
test_readable(void)
{
	size_t		i;

	for (i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
	{
		SaasUrl		url;
		SaasProblem problem = {0};

		ok(SaasUrlParse(readable[i].text, arena, &url, &problem), "%s is read", readable[i].text);
		is_text(url.scheme, readable[i].scheme, "scheme");
		is_text(url.host, readable[i].host, "host");
		ok(url.port == readable[i].port, "port");
		is_text(url.path, readable[i].path, "path");
		is_text(url.origin, readable[i].origin, "origin");
	}
}

static const char *const refused[] = {
	/* schemes and their separators */
	"", "example.com", "//example.com/", "/path", "http:", "http:/", "http://", "https://",
	"http:example.com", "http:/example.com", "http:///example.com", "http://?x", "http://:80/",
	"ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "httpx://example.com/",
	"javascript:alert(1)", " http://example.com/", "ht tp://example.com/", "http//example.com",
	"https+unix://socket/", "http\t://example.com",
	/* user information */
	"http://user@example.com/", "http://user:pw@example.com/", "http://@example.com/",
	"http://example.com@evil.example/", "http://example.com:80@evil.example/",
	"http://a@b@c/", "http://example.com%40evil.example/", "http://[::1]@evil.example/",
	/* fragments */
	"http://example.com/#x", "http://example.com#x", "http://example.com#@evil.example/",
	"http://example.com/?q#", "#",
	/* blanks, controls, backslashes, beyond ASCII */
	"http://example.com/ x", "http://exa mple.com/", "http://example.com/\t", "http://example.com\n",
	"http://example.com/\r\nHost: evil", "http://example.com/\x01", "http://example.com/\x7f",
	"http://example.com\\@evil.example/", "http:\\\\example.com\\", "http://example.com/\\x",
	"http://b\xc3\xbc" "cher.example/", "http://example.com/\xc3\xbc", "http://example.com/\xff",
	"http://127\xef\xbc\x8e" "0.0.1/", "http://\xe2\x91\xa0.1.1.1/", "http://example.com\xe3\x80\x82/",
	/* characters that RFC 3986 has no place for, bad escapes */
	"http://example.com/<x>", "http://example.com/\"", "http://example.com/{a}",
	"http://example.com/a[0]", "http://example.com/a|b", "http://example.com/^", "http://example.com/`",
	"http://example.com/%", "http://example.com/%4", "http://example.com/%zz", "http://example.com/?%4g",
	/* hosts */
	"http://exa%6dple.com/", "http://%31%32%37.0.0.1/", "http://.example.com/", "http://example..com/",
	"http://example.com./", "http://./", "http://-example.com/", "http://example-.com/",
	"http://example.com-/", "http://exa,mple.com/", "http://exa;mple/", "http://exa!mple/",
	"http://exa*mple.com/", "http://$host/", "http://(x)/",
	/* numbers that resolvers take for addresses */
	"http://2130706433/", "http://0/", "http://127.1/", "http://127.0.1/", "http://0177.0.0.1/",
	"http://0177.1/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.0.0.1/",
	"http://0x7F.1/", "http://127.0.0.0x1/", "http://0x/", "http://127.0.0.1.1/", "http://256.0.0.1/",
	"http://127.0.0.01/", "http://127.0.0.1./", "http://00.0.0.0/", "http://example.1/",
	"http://example.0x1f/", "http://4294967296/",
	/* IPv6 */
	"http://[]/", "http://[::1/", "http://::1/", "http://[::1]x/", "http://[::1]x:80/", "http://[::1]]/",
	"http://[[::1]]/", "http://[::1%25lo]/", "http://[fe80::1%eth0]/", "http://[v1.fe]/",
	"http://[127.0.0.1]/", "http://[example.com]/", "http://[::1]:/", "http://[1:2:3:4:5:6:7:8:9]/",
	"http://[::ffff:127.0.0.1.1]/", "http://2001:db8::1/",
	/* ports */
	"http://example.com:/", "http://example.com:0/", "http://example.com:65536/",
	"http://example.com:99999/", "http://example.com:080/", "http://example.com:000080/",
	"http://example.com:-1/", "http://example.com:+80/", "http://example.com:80x/",
	"http://example.com:8 0/", "http://example.com:80:80/", "http://example.com:4294967376/",
	"http://example.com:http/"
};

static void
test_refused(void)
{
	size_t		i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		SaasUrl		url;
		SaasProblem problem = {0};
		bool		was_read = SaasUrlParse(refused[i], arena, &url, &problem);

		ok(!was_read && strcmp(problem.sqlstate, "22023") == 0 && problem.detail[0] != '\0' &&
		   url.host == NULL && url.origin == NULL, "refused URL %zu", i);
		if (was_read)
			printf("# %s: host %s port %d path %s\n", refused[i], url.host, url.port, url.path);
	}
}

static void
test_lengths(void)
{
	char		text[4096];
	SaasUrl		url;
	SaasProblem problem = {0};

	snprintf(text, sizeof(text), "http://example.com/%0*d", 2048 - 19, 0);
	ok(strlen(text) == 2048 && SaasUrlParse(text, arena, &url, &problem), "2048 bytes are read");
	snprintf(text, sizeof(text), "http://example.com/%0*d", 2049 - 19, 0);
	ok(!SaasUrlParse(text, arena, &url, &problem), "2049 are not");
	snprintf(text, sizeof(text), "http://a%062d.example/", 0);
	ok(SaasUrlParse(text, arena, &url, &problem), "a label of 63 bytes is read");
	snprintf(text, sizeof(text), "http://a%063d.example/", 0);
	ok(!SaasUrlParse(text, arena, &url, &problem), "one of 64 is not");
	snprintf(text, sizeof(text), "http://%063d.%063d.%063d.%057d.abc/", 0, 0, 0, 0);
	ok(SaasUrlParse(text, arena, &url, &problem) && strlen(url.host) == 253,
	   "a host of 253 bytes is read");
	snprintf(text, sizeof(text), "http://%063d.%063d.%063d.%058d.abc/", 0, 0, 0, 0);
	ok(!SaasUrlParse(text, arena, &url, &problem), "one of 254 is not");
}

static void
test_details(void)
{
	SaasUrl		url;
	SaasProblem problem = {0};

	SaasUrlParse("http://user@example.com/", arena, &url, &problem);
	is_text(problem.detail, "It has user information before the host.", "user information is named");
	SaasUrlParse("http://example.com/#x", arena, &url, &problem);
	is_text(problem.detail, "It has a fragment.", "a fragment is named");
}

/* An error text ends in logs, a URL may hold a password or a key. */
static void
test_silence(void)
{
	SaasUrl		url;
	SaasProblem problem = {0};

	SaasUrlParse("http://user:hunter2@example.com/?key=hunter2", arena, &url, &problem);
	ok(strstr(problem.message, "hunter2") == NULL && strstr(problem.detail, "hunter2") == NULL,
	   "a problem does not quote the URL");
}

static void
test_exhaustion(void)
{
	SaasUrl		url;
	SaasProblem problem;
	bool		was_read = false;
	bool		clean = true;
	size_t		size;

	for (size = 0; size < 1024 && !was_read; size += 16)
	{
		SaasArena  *small = SaasArenaCreate(size);

		memset(&problem, 0, sizeof(problem));
		was_read = SaasUrlParse("http://[::1]:8080/x", small, &url, &problem);
		if (!was_read && (strcmp(problem.sqlstate, "53200") != 0 || url.host != NULL))
			clean = false;
		SaasArenaDestroy(small);
	}
	ok(was_read && clean, "an exhausted arena is out of memory wherever it happens");
}

int
main(void)
{
	arena = SaasArenaCreate(1024 * 1024);
	test_readable();
	test_refused();
	test_lengths();
	test_details();
	test_silence();
	test_exhaustion();
	SaasArenaDestroy(arena);
	return tap_done();
}
