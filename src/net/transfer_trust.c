/*
 * transfer_trust.c
 *	  Certificates that a request brings of its own.
 *
 * They say whom this one request trusts and who it is.  So its connection is
 * made for it and closed after it: nobody else is given a connection whose
 * certificate only a tenant's authority vouches for, or that speaks in a
 * tenant's name.  What is verified stays as it is for everybody.
 */
#include "net/transfer_internal.h"

static bool
set_blob(CURL *easy, CURLoption option, const char *text)
{
	struct curl_blob blob;

	if (text == NULL)
		return true;
	blob.data = unconstify(char *, text);
	blob.len = strlen(text);
	blob.flags = CURL_BLOB_COPY;
	return curl_easy_setopt(easy, option, &blob) == CURLE_OK;
}

bool
SaasTransferTrustAttach(SaasTransfer *transfer)
{
	const SaasRequest *request = transfer->request;
	CURL	   *easy = transfer->easy;
	bool		is_own = request->ca_certificate != NULL || request->client_certificate != NULL;

	if ((is_own || request->is_fresh) &&
		(curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK ||
		 curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) != CURLE_OK))
		return false;
	if (!is_own || !transfer->is_tls)
		return true;
	/* Without a passphrase OpenSSL would ask for one on the terminal. */
	return set_blob(easy, CURLOPT_CAINFO_BLOB, request->ca_certificate) &&
		set_blob(easy, CURLOPT_SSLCERT_BLOB, request->client_certificate) &&
		set_blob(easy, CURLOPT_SSLKEY_BLOB, request->client_key) &&
		curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "") == CURLE_OK;
}
