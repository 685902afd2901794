/*
 * http.h
 *	  An HTTP request and its response, as the connectors write and read them
 *	  and the network layer carries them.
 */
#ifndef SAAS_HTTP_H
#define SAAS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

typedef struct SaasHeader
{
	const char *name;
	const char *value;
	struct SaasHeader *next;
} SaasHeader;

typedef struct SaasRequest
{
	const char *method;			/* "GET", "POST", ... */
	const char *url;
	SaasHeader *headers;
	const char *body;			/* NULL when none */
	size_t		body_length;
	size_t		max_response;	/* bytes after decompression; 0: the loop's own cap */

	/* PEM texts, for this request's origin alone; NULL when there are none */
	const char *ca_certificate; /* trusted in place of the loop's authorities */
	const char *client_certificate;
	const char *client_key;
	bool		is_fresh;		/* over a connection of its own, so that each stage is seen */
	uint64_t	owner;			/* whoever asks for it: what is scarce is shared out among them */
} SaasRequest;

typedef struct SaasResponse
{
	int			status;
	const char *content_type;	/* "" when none */
	const char *body;			/* a NUL follows the last byte */
	size_t		body_length;
	SaasHeader *headers;		/* lower-case names, of the final answer */
} SaasResponse;

/* Whether the text is a token (RFC 9110, section 5.6.2), as a header's name must be. */
extern bool SaasHttpIsToken(const char *text);

/*
 * Bytes of the control character of UTF-8 text that begins here, C1's
 * (U+0080 to U+009F) included; 0 when it is none.
 */
extern int	SaasControlLength(const char *text);

/*
 * Appends a header in order.  False, and nothing appended, when the name is
 * not a token (RFC 9110, section 5.6.2), the value holds a control character,
 * or the arena is exhausted: a header never splits a request.
 */
extern bool SaasRequestAddHeader(SaasRequest *request, SaasArena *arena,
								 const char *name, const char *value);

/* The first header of that lower-case name, or NULL. */
extern const char *SaasResponseHeader(const SaasResponse *response, const char *name);

/*
 * Unix seconds of an HTTP date (RFC 9110, section 5.6.7); false when it is
 * absent or none.
 */
extern bool SaasHttpDate(const char *value, long long now_s, long long *seconds);

/*
 * Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3), both
 * forms; 0 when absent, malformed or past.  Capped at 86400.
 */
extern int	SaasRetryAfter(const char *value, long long now_s);

#endif							/* SAAS_HTTP_H */
