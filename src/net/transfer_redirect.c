/*
 * transfer_redirect.c
 *	  Where an answer may send us.
 *
 * Followed by hand rather than by libcurl: the origin must stay the same, and
 * the strict URL reader has to agree with libcurl about what the origin is.
 */
#include "net/transfer_internal.h"

static bool
is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/*
 * What location means at the URL base, in the arena and without a fragment;
 * NULL when it is not acceptable to libcurl or memory is out.
 */
static char *
resolve(SaasArena *arena, const char *base, const char *location)
{
	CURLU	   *url = curl_url();
	char	   *text = NULL;
	char	   *copy = NULL;

	if (url == NULL)
		return NULL;
	if (curl_url_set(url, CURLUPART_URL, base, CURLU_PATH_AS_IS) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_URL, location, CURLU_URLENCODE) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK)
		copy = SaasArenaStrdup(arena, text);
	curl_free(text);
	curl_url_cleanup(url);
	return copy;
}

static TransferTurn
refuse(SaasTransfer *transfer)
{
	transfer->result.ok = false;
	transfer->result.transient = false;
	return TRANSFER_TURN_REFUSED;
}

TransferTurn
SaasTransferRedirect(SaasTransfer *transfer)
{
	SaasProblem *problem = &transfer->result.problem;
	const char *origin = transfer->url.origin;
	const char *location = SaasResponseHeader(&transfer->result.response, "location");
	SaasProblem ignored = {0};
	const char *target;
	SaasUrl		url;

	if (!transfer->is_get || location == NULL || !is_redirect(transfer->result.response.status))
		return TRANSFER_TURN_NONE;

	if (transfer->redirects >= SAAS_TRANSFER_MAX_REDIRECTS)
	{
		SaasProblemSet(problem, "08006", "%s redirects more than %d times", origin,
					   SAAS_TRANSFER_MAX_REDIRECTS);
		return refuse(transfer);
	}
	target = resolve(transfer->arena, transfer->target, location);
	if (target == NULL || !SaasUrlParse(target, transfer->arena, &url, &ignored))
	{
		SaasProblemSet(problem, "08006", "%s redirects to an address that is not acceptable",
					   origin);
		return refuse(transfer);
	}
	if (strcmp(url.origin, origin) != 0)
	{
		SaasProblemSet(problem, "08006", "%s redirects to %s", origin, url.origin);
		SaasProblemHint(problem, "Credentials are only sent to the address they were given for; "
						"use the other address if it is the right one.");
		return refuse(transfer);
	}
	transfer->target = target;
	transfer->redirects++;
	return TRANSFER_TURN_FOLLOW;
}
