/*
 * transfer_guard.c
 *	  Which addresses a connection may reach.
 *
 * libcurl asks before it opens a socket, with the address that it resolved, so
 * that no spelling of an address and no change of the DNS between check and
 * use gets past.  A pooled connection opens no socket: the same question is
 * asked again before a request is sent.
 */
#include "net/transfer_internal.h"

#include <sys/socket.h>

#include "pure/address.h"

static bool
is_allowed(SaasTransfer *transfer, const struct sockaddr *address)
{
	const char *reason = "not a network address";
	const void *bytes = NULL;

	if (address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *) address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) address)->sin6_addr;

	if (bytes != NULL &&
		SaasAddressIsAllowed(address, transfer->loop->options.allowed_networks, &reason))
		return true;

	if (bytes == NULL ||
		inet_ntop(address->sa_family, bytes, transfer->blocked_address,
				  sizeof(transfer->blocked_address)) == NULL)
		strlcpy(transfer->blocked_address, "?", sizeof(transfer->blocked_address));
	transfer->blocked_reason = reason;
	transfer->fault = TRANSFER_FAULT_ADDRESS;
	return false;
}

static curl_socket_t
open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	SaasTransfer *transfer = data;
	int			fd;

	SaasTransferQueueLookupDone(transfer);
	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;

	/* A name may have several addresses: a good one redeems a blocked one. */
	if (!is_allowed(transfer, &address->addr))
	{
		if (transfer->connecting_at != 0)
			transfer->fault = TRANSFER_FAULT_NONE;
		return CURL_SOCKET_BAD;
	}

	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
	{
		/* An address family that the kernel lacks leaves the other one to try. */
		if (errno != EAFNOSUPPORT && transfer->connecting_at == 0)
		{
			transfer->fault = TRANSFER_FAULT_DESCRIPTOR;
			transfer->fault_errno = errno;
		}
		return CURL_SOCKET_BAD;
	}
	if (transfer->connecting_at == 0)
		transfer->connecting_at = SaasTransferNow();
	transfer->fault = TRANSFER_FAULT_NONE;
	SaasTransferSocketOpened(transfer->loop, fd);

	/*
	 * libcurl would close the connection that idles longest.  Who polls its
	 * hosts in turn needs just that one next: the others stay instead.
	 */
	if (SaasTransferSocketsCrowd(transfer->loop))
		(void) curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L);
	return fd;
}

static int
before_request(void *data, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	SaasTransfer *transfer = data;
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *) &address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &address;
	char		text[INET6_ADDRSTRLEN + 1];

	(void) local_ip;
	(void) remote_port;
	(void) local_port;

	SaasTransferQueueLookupDone(transfer);
	strlcpy(text, remote_ip, sizeof(text));
	text[strcspn(text, "%")] = '\0';	/* a zone, as in fe80::1%eth0 */
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		v6->sin6_family = AF_INET6;

	if (!is_allowed(transfer, (const struct sockaddr *) &address))
		return CURL_PREREQFUNC_ABORT;
	transfer->requesting_at = SaasTransferNow();
	return CURL_PREREQFUNC_OK;
}

bool
SaasTransferGuardAttach(SaasTransfer *transfer)
{
	CURL	   *easy = transfer->easy;

	return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, SaasTransferSocketClose) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->loop) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer) == CURLE_OK;
}
