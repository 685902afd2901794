/*
 * transfer_request.c
 *	  A request as libcurl's easy handle.
 *
 * Requests of several tenants share connections to one host, so nothing that
 * frames a request or speaks about the connection comes from its headers: a
 * length that lies would let one tenant write the start of another's request.
 */
#include "net/transfer_internal.h"

#include <unistd.h>

#include <openssl/x509.h>

/* libcurl allocates the first for every transfer in flight, the second for large bodies. */
#define RECEIVE_BUFFER		16384L
#define SEND_BUFFER			16384L

/*
 * A name's address may change; a connection that is used all the time would
 * never notice.
 */
#define MAX_CONNECTION_AGE_S	300L

/*
 * How old an address may be that is asked for, and that is kept.  For the
 * latter libcurl goes through all addresses whenever a transfer with such a
 * bound ends, so that most have none.
 */
#define MAX_ADDRESS_AGE_S	60L
#define ANY_AGE				(-1L)

#define MAX_METHOD_LENGTH	16

/*
 * What a key exchange costs is the other side's choice: with classic
 * Diffie-Hellman in a group of 10,000 bits, a second of the loop's time.
 */
#define CIPHERS					"DEFAULT:!kDHE"

/* OpenSSL 3.5 leaves the costly groups out by itself and has others that are better. */
#if OPENSSL_VERSION_NUMBER < 0x30500000L
#define KEY_GROUPS				"X25519:P-256:X448:P-384:P-521:ffdhe2048:ffdhe3072"
#endif

static bool
is_method(const char *method)
{
	size_t		length = method == NULL ? 0 : strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return length > 0 && length <= MAX_METHOD_LENGTH && method[length] == '\0' &&
		strcmp(method, "CONNECT") != 0;
}

static bool
is_framing(const char *name)
{
	static const char *const names[] = {
		"connection", "content-length", "expect", "http2-settings", "keep-alive",
		"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"
	};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* The URL's own authority, with or without a default port. */
static bool
is_own_host(const char *value, const SaasUrl *url)
{
	const char *authority = strstr(url->origin, "://") + 3;
	const char *port = strrchr(authority, ':');
	size_t		host_length = (size_t) (port - authority);

	if (pg_strcasecmp(value, authority) == 0)
		return true;
	return url->port == (strcmp(url->scheme, "https") == 0 ? 443 : 80) &&
		strlen(value) == host_length && pg_strncasecmp(value, authority, host_length) == 0;
}

static bool
is_header(const SaasHeader *header, const SaasUrl *url)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		"!#$%&'*+-.^_`|~";

	if (header->name[0] == '\0' || header->name[strspn(header->name, token)] != '\0' ||
		is_framing(header->name))
		return false;
	for (const char *p = header->value; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7F)
			return false;
	return pg_strcasecmp(header->name, "host") != 0 || is_own_host(header->value, url);
}

bool
SaasTransferRequestCheck(const SaasRequest *request, const SaasUrl *url, SaasProblem *problem)
{
	if (!is_method(request->method))
		return SaasProblemSet(problem, "22023", "the request's method is not acceptable");
	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
	{
		if (!is_header(header, url))
			return SaasProblemSet(problem, "22023", "the header \"%s\" cannot be sent",
								  header->name);
	}
	return true;
}

static bool
sends_body(const SaasRequest *request)
{
	return request->body != NULL || strcmp(request->method, "POST") == 0;
}

static bool
has_header(const SaasRequest *request, const char *name)
{
	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
		if (pg_strcasecmp(header->name, name) == 0)
			return true;
	return false;
}

static bool
add_line(SaasTransfer *transfer, const char *line)
{
	struct curl_slist *lines;

	if (line == NULL)
		return false;
	lines = curl_slist_append(transfer->header_lines, line);
	if (lines == NULL)
		return false;
	transfer->header_lines = lines;
	return true;
}

static bool
write_headers(SaasTransfer *transfer)
{
	const SaasRequest *request = transfer->request;

	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
	{
		/* "Name;" is how libcurl is told of an empty value. */
		const char *format = header->value[0] == '\0' ? "%s;" : "%s: %s";

		if (!add_line(transfer, SaasArenaPrintf(transfer->arena, format,
												header->name, header->value)))
			return false;
	}

	/* "Name:" keeps libcurl from adding its own to what has a body. */
	if (sends_body(request) &&
		((!has_header(request, "content-type") && !add_line(transfer, "Content-Type:")) ||
		 !add_line(transfer, "Expect:")))
		return false;
	return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->header_lines) == CURLE_OK;
}

#define SET(option, value) \
	(done = done && curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

static bool
set_method(SaasTransfer *transfer)
{
	const SaasRequest *request = transfer->request;
	CURL	   *easy = transfer->easy;
	bool		done = true;

	if (sends_body(request))
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE,
			(curl_off_t) (request->body == NULL ? 0 : request->body_length));
		SET(CURLOPT_POSTFIELDS, request->body == NULL ? "" : request->body);
		if (strcmp(request->method, "POST") != 0)
			SET(CURLOPT_CUSTOMREQUEST, request->method);
	}
	else if (strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else if (!transfer->is_get)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	return done;
}

static bool
set_connection(SaasTransfer *transfer)
{
	const SaasTransferOptions *options = &transfer->loop->options;
	CURL	   *easy = transfer->easy;
	const char *protocols = options->allow_http ? "http,https" : "https";
	bool		done = true;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, protocols);
	SET(CURLOPT_PROXY, "");		/* nor one from the environment */
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_PATH_AS_IS, 1L);	/* a signature covers it as it is written */
	SET(CURLOPT_QUICK_EXIT, 1L);	/* or a slow resolver holds the loop up */
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
	SET(CURLOPT_MAXLIFETIME_CONN, MAX_CONNECTION_AGE_S);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	if (options->user_agent != NULL)
		SET(CURLOPT_USERAGENT, options->user_agent);
	return done;
}

static bool
set_tls(SaasTransfer *transfer)
{
	CURL	   *easy = transfer->easy;
	bool		done = true;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_CIPHER_LIST, CIPHERS);
#ifdef KEY_GROUPS
	SET(CURLOPT_SSL_EC_CURVES, KEY_GROUPS);
#endif
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);	/* would live and die with the handle */

	/* With a directory besides, libcurl parses the file for every connection. */
	SET(CURLOPT_CAPATH, (char *) NULL);
	SET(CURLOPT_CAINFO, transfer->loop->options.ca_file);
	return done && SaasTransferTrustAttach(transfer);
}

/*
 * Whether the handle may serve others later: what it was made with then holds
 * for all of them, and what is the request's own is set anew for each.
 */
static bool
is_plain(const SaasTransfer *transfer)
{
	const SaasRequest *request = transfer->request;

	return transfer->is_get && request->body == NULL && !request->is_fresh &&
		request->ca_certificate == NULL && request->client_certificate == NULL;
}

static bool
make_handle(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;

	if (is_plain(transfer) && loop->idle_count > 0)
	{
		transfer->easy = loop->idle[--loop->idle_count];
		return true;
	}
	transfer->easy = curl_easy_init();
	return transfer->easy != NULL && set_connection(transfer) && set_tls(transfer) &&
		set_method(transfer);
}

bool
SaasTransferRequestOpen(SaasTransfer *transfer)
{
	bool		done = make_handle(transfer);
	CURL	   *easy = transfer->easy;

	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	return done && write_headers(transfer) && SaasTransferGuardAttach(transfer) &&
		SaasTransferAnswerAttach(transfer);
}

bool
SaasTransferRequestAim(SaasTransfer *transfer)
{
	CURL	   *easy = transfer->easy;
	int64		now = SaasTransferNow();
	bool		done = true;

	transfer->connect_by = Min(transfer->deadline,
							   now + (int64) transfer->loop->options.connect_timeout_ms * 1000);
	SET(CURLOPT_URL, transfer->target);
	SET(CURLOPT_FORBID_REUSE, 0L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, transfer->holds_lookup || transfer->forgets || transfer->redirects > 0 ?
		MAX_ADDRESS_AGE_S : ANY_AGE);

	/* The queue sees to the bounds; libcurl shares this one out among addresses. */
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) Max((transfer->connect_by - now) / 1000, 1));
	return done;
}

void
SaasTransferRequestLookedUp(SaasTransfer *transfer)
{
	if (transfer->easy != NULL && !transfer->forgets)
		(void) curl_easy_setopt(transfer->easy, CURLOPT_DNS_CACHE_TIMEOUT, ANY_AGE);
}

/* After a failure nobody knows what a handle still remembers. */
static bool
keep_handle(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;

	if (!transfer->result.ok || !is_plain(transfer) || loop->idle_count == SAAS_TRANSFER_MAX_IDLE ||
		curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL) != CURLE_OK)
		return false;
	loop->idle[loop->idle_count++] = transfer->easy;
	return true;
}

void
SaasTransferRequestCloseIdle(SaasTransferLoop *loop)
{
	while (loop->idle_count > 0)
		curl_easy_cleanup(loop->idle[--loop->idle_count]);
}

void
SaasTransferRequestClose(SaasTransfer *transfer)
{
	/* The handle lets go of the lines first. */
	if (transfer->easy != NULL && !keep_handle(transfer))
		curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	for (struct curl_slist *line = transfer->header_lines; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transfer->header_lines);
	transfer->header_lines = NULL;
}

const char *
SaasTransferSystemAuthorities(void)
{
	static const char *found = NULL;

	if (found == NULL)
	{
		const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

		if (version->age >= CURLVERSION_SEVENTH && version->cainfo != NULL &&
			access(version->cainfo, R_OK) == 0)
			found = version->cainfo;
		else if (access(X509_get_default_cert_file(), R_OK) == 0)
			found = X509_get_default_cert_file();
	}
	return found;
}
