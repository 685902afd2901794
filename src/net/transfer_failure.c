/*
 * transfer_failure.c
 *	  What went wrong, in words.
 *
 * libcurl's own message is not used where it could quote a URL: a query
 * string may hold a key.  Origins and host names are all that is told.
 */
#include "net/transfer_internal.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#define CANNOT_CONNECT	"08001" /* sqlclient_unable_to_establish_sqlconnection */
#define CONNECTION_FAILED	"08006"

const char *
SaasTransferRefuseAddress(SaasProblem *problem, SaasArena *arena, const char *host,
						  const char *address, const char *reason)
{
	if (strcmp(address, host) == 0)
		SaasProblemSet(problem, CANNOT_CONNECT, "the address %s is %s", address, reason);
	else
		SaasProblemSet(problem, CANNOT_CONNECT, "the host %s leads to an address that is not allowed", host);
	SaasProblemHint(problem, "The operator can allow networks that are not public with "
					"saas.allowed_networks.");
	return SaasArenaPrintf(arena, "%s of host %s, which is %s", address, host, reason);
}

static void
fail_fault(SaasTransfer *transfer)
{
	SaasProblem *problem = &transfer->result.problem;
	const SaasUrl *url = &transfer->url;

	switch (transfer->fault)
	{
		case TRANSFER_FAULT_ADDRESS:
			transfer->result.refused = SaasTransferRefuseAddress(problem, transfer->arena, url->host,
																 transfer->blocked_address,
																 transfer->blocked_reason);
			break;
		case TRANSFER_FAULT_BODY:
			SaasProblemSet(problem, "54000", "the answer is larger than %zu bytes",
						   transfer->max_body);
			SaasProblemDetail(problem, "It came from %s.", url->origin);
			break;
		case TRANSFER_FAULT_CROWD:
			SaasProblemSet(problem, "53200", "too many large answers arrived at the same time");
			SaasProblemDetail(problem, "That of %s was the largest.", url->origin);
			transfer->result.transient = true;
			break;
		case TRANSFER_FAULT_HEADERS:
			SaasProblemSet(problem, "54000", "the answer's headers are too large");
			SaasProblemDetail(problem, "%s sent more than %d headers or %d bytes of them.",
							  url->origin, SAAS_TRANSFER_MAX_HEADERS,
							  SAAS_TRANSFER_MAX_HEADER_BYTES);
			break;
		case TRANSFER_FAULT_ENCODING:
			SaasProblemSet(problem, CONNECTION_FAILED,
						   "the answer of %s is compressed more than once or in an unknown way",
						   url->origin);
			SaasProblemHint(problem, "Answers may be compressed once, with gzip or deflate.");
			break;
		case TRANSFER_FAULT_DESCRIPTOR:
			SaasProblemSet(problem, "53000", "no connection to %s could be opened: %s",
						   url->origin, strerror(transfer->fault_errno));
			transfer->result.transient = true;
			break;
		case TRANSFER_FAULT_MEMORY:
		case TRANSFER_FAULT_NONE:
			SaasProblemSet(problem, "53200", "out of memory for the answer of %s", url->origin);
			transfer->result.transient = true;
			break;
	}
}

/* What the transfer was doing when its time was over. */
static const char *
current_phase(SaasTransfer *transfer)
{
	if (transfer->requesting_at == 0)
	{
		if (transfer->holds_lookup)
			return "during the name look-up";
		return transfer->is_tls && transfer->connected_at != 0 ?
			"during the TLS handshake" : "during the TCP connect";
	}
	if (transfer->answering_at == 0)
		return "while waiting for the first byte";
	return transfer->headers_done ? "while receiving the body" : "while receiving the headers";
}

static void
add_milestone(SaasTransfer *transfer, char *text, size_t size, const char *name, int64 at)
{
	size_t		length = strlen(text);

	if (at != 0)
		snprintf(text + length, size - length, "%s %s after %lld ms", length == 0 ? "" : ",",
				 name, (long long) (at - transfer->started_at) / 1000);
}

static void
fail_timeout(SaasTransfer *transfer)
{
	SaasProblem *problem = &transfer->result.problem;
	bool		was_connect = transfer->requesting_at == 0 &&
		transfer->connect_by < transfer->deadline;
	char		text[256] = "";

	SaasProblemSet(problem, transfer->requesting_at == 0 ? CANNOT_CONNECT : CONNECTION_FAILED,
				   "%s timed out %s", transfer->url.origin, current_phase(transfer));
	add_milestone(transfer, text, sizeof(text), "begun", transfer->admitted_at);
	add_milestone(transfer, text, sizeof(text), "name known", transfer->connecting_at);
	add_milestone(transfer, text, sizeof(text), "TCP connected", transfer->connected_at);
	add_milestone(transfer, text, sizeof(text), "request sent", transfer->requesting_at);
	add_milestone(transfer, text, sizeof(text), "first byte", transfer->answering_at);
	SaasProblemDetail(problem, "The bound for %s is %d ms;%s.",
					  was_connect ? "connecting" : "the whole transfer",
					  was_connect ? transfer->loop->options.connect_timeout_ms :
					  transfer->timeout_ms, text);
	transfer->result.transient = true;
}

static void
fail_certificate(SaasTransfer *transfer)
{
	SaasProblem *problem = &transfer->result.problem;
	const char *host = transfer->url.host;
	long		verdict = X509_V_OK;

	curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	switch (verdict)
	{
		case X509_V_OK:			/* libcurl compares the name, before it asks for */
		case X509_V_ERR_UNSPECIFIED:	/* ... the verdict, and leaves either of these */
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			SaasProblemSet(problem, CANNOT_CONNECT,
						   "the certificate of %s is for another host name", host);
			return;
		case X509_V_ERR_CERT_HAS_EXPIRED:
			SaasProblemSet(problem, CANNOT_CONNECT, "the certificate of %s has expired", host);
			break;
		case X509_V_ERR_CERT_NOT_YET_VALID:
			SaasProblemSet(problem, CANNOT_CONNECT, "the certificate of %s is not valid yet", host);
			break;
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
			SaasProblemSet(problem, CANNOT_CONNECT, "the certificate of %s is self-signed", host);
			break;
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
			SaasProblemSet(problem, CANNOT_CONNECT,
						   "the certificate of %s comes from an authority that is not trusted",
						   host);
			break;
		default:
			SaasProblemSet(problem, CANNOT_CONNECT, "the certificate of %s is not acceptable",
						   host);
			break;
	}
	SaasProblemDetail(problem, "The verification says: %s.",
					  X509_verify_cert_error_string(verdict));
	if (transfer->request->ca_certificate == NULL && transfer->loop->options.ca_file == NULL)
		SaasProblemHint(problem, "No file of certificate authorities was found on the server.");
}

static void
fail_connect(SaasTransfer *transfer)
{
	long		error = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &error);
	SaasProblemSet(&transfer->result.problem, CANNOT_CONNECT, "could not connect to %s: %s",
				   transfer->url.origin, error == 0 ? "unreachable" : strerror((int) error));
	transfer->result.transient = true;
}

static void
fail_broken(SaasTransfer *transfer)
{
	/* With TLS 1.3 a server says so after the handshake, in the place of an answer. */
	if (strstr(transfer->curl_error, "certificate required") != NULL)
	{
		SaasProblemSet(&transfer->result.problem, CANNOT_CONNECT, "%s asks for a client certificate",
					   transfer->url.origin);
		SaasProblemHint(&transfer->result.problem,
						"Give the connection the secrets client_certificate and client_key.");
		return;
	}
	SaasProblemSet(&transfer->result.problem, CONNECTION_FAILED, "%s broke the connection off %s",
				   transfer->url.origin,
				   transfer->headers_done ? "in the middle of the answer" : "without an answer");
	transfer->result.transient = true;
}

static void
fail_network(SaasTransfer *transfer, CURLcode code)
{
	SaasProblem *problem = &transfer->result.problem;
	const SaasUrl *url = &transfer->url;

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			SaasProblemSet(problem, CANNOT_CONNECT, "the host name %s could not be resolved",
						   url->host);
			transfer->result.transient = true;
			break;
		case CURLE_COULDNT_CONNECT:
			fail_connect(transfer);
			break;
		case CURLE_OPERATION_TIMEDOUT:
			fail_timeout(transfer);
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			fail_certificate(transfer);
			break;
		case CURLE_SSL_CONNECT_ERROR:
			SaasProblemSet(problem, CANNOT_CONNECT, "the TLS handshake with %s failed",
						   url->origin);
			SaasProblemDetail(problem, "%s", transfer->curl_error);
			if (strstr(transfer->curl_error, "alert handshake failure") != NULL)
				SaasProblemHint(problem, "The host may ask for a client certificate: "
								"the secrets client_certificate and client_key.");
			transfer->result.transient = true;
			break;
		case CURLE_SSL_CACERT_BADFILE:
			if (transfer->request->ca_certificate != NULL)
				SaasProblemSet(problem, "22023",
							   "the connection's ca_certificate could not be read");
			else
				SaasProblemSet(problem, "58030",
							   "the file of certificate authorities could not be read");
			break;
		case CURLE_SSL_CERTPROBLEM:
			SaasProblemSet(problem, "22023",
						   "the connection's client certificate could not be used");
			break;
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_PARTIAL_FILE:
			fail_broken(transfer);
			break;
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_BAD_FUNCTION_ARGUMENT:	/* a header line without a colon */
			SaasProblemSet(problem, CONNECTION_FAILED, "%s does not answer in HTTP", url->origin);
			break;
		case CURLE_BAD_CONTENT_ENCODING:
			SaasProblemSet(problem, CONNECTION_FAILED,
						   "the answer of %s could not be decompressed", url->origin);
			break;
		default:
			SaasProblemSet(problem, CONNECTION_FAILED, "the transfer with %s failed: %s",
						   url->origin, curl_easy_strerror(code));
			transfer->result.transient = true;
			break;
	}
}

void
SaasTransferFail(SaasTransfer *transfer, CURLcode code)
{
	memset(&transfer->result.problem, 0, sizeof(SaasProblem));
	transfer->result.ok = false;
	transfer->result.transient = false;
	transfer->code = code;

	/* What libcurl says when one header line, or a trailer, outgrows its buffer, or all do. */
	if ((code == CURLE_OUT_OF_MEMORY || code == CURLE_TOO_LARGE) && transfer->answering_at != 0)
		transfer->fault = TRANSFER_FAULT_HEADERS;

	/* And when it refuses a line of codings before we see it, which newer versions do. */
	if (code == CURLE_BAD_CONTENT_ENCODING && transfer->fault == TRANSFER_FAULT_NONE &&
		!transfer->headers_done)
		transfer->fault = TRANSFER_FAULT_ENCODING;

	if (transfer->fault != TRANSFER_FAULT_NONE || code == CURLE_OUT_OF_MEMORY)
		fail_fault(transfer);
	else
		fail_network(transfer, code);
}

void
SaasTransferFailWaiting(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;
	TransferHost *host = transfer->seat.host;
	SaasProblem *problem = &transfer->result.problem;

	if (host->is_literal || host->resolved_until > SaasTransferNow() ||
		loop->active >= loop->max_active)
		SaasProblemSet(problem, CANNOT_CONNECT, "no connection to %s became free in time",
					   transfer->url.origin);
	else
		SaasProblemSet(problem, CANNOT_CONNECT, "%s timed out during the name look-up",
					   transfer->url.origin);
	SaasProblemDetail(problem, "The bound for the whole transfer is %d ms.", transfer->timeout_ms);
	transfer->result.transient = true;
}
