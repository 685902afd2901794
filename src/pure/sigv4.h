/*
 * sigv4.h
 *	  AWS Signature Version 4 in the Authorization header, for every service
 *	  but S3, whose paths follow rules of their own.
 */
#ifndef SAAS_SIGV4_H
#define SAAS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/http.h"
#include "base/problem.h"

/* Who signs, where and when. */
typedef struct SaasSigv4Signer
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token;	/* NULL: keys that last */
	const char *region;
	const char *service;
	int64_t		now_s;			/* Unix seconds */
} SaasSigv4Signer;

/* What is signed. */
typedef struct SaasSigv4Request
{
	const char *method;
	const char *target;			/* path and query as they are sent */
	const SaasHeader *headers;	/* all of them are signed; Host must be among them */
	const char *body;			/* NULL when none */
	size_t		body_length;
} SaasSigv4Request;

/* Headers to add, in the arena. */
typedef struct SaasSigv4Signature
{
	const char *date;			/* X-Amz-Date */
	const char *session_token;	/* X-Amz-Security-Token, NULL without one */
	const char *authorization;	/* Authorization */
	const char *canonical_request;	/* what AWS's error texts quote, to compare */
} SaasSigv4Signature;

/*
 * False with the problem set: 22023 when a header is one of those that signing
 * adds, Host is missing, or a credential, the region or the service cannot
 * stand in a header; 22008 for a time outside years 1 to 9999; 53200 when the
 * arena is exhausted.
 */
extern bool SaasSigv4Sign(const SaasSigv4Signer *signer, const SaasSigv4Request *request,
						  SaasArena *arena, SaasSigv4Signature *signature, SaasProblem *problem);

#endif							/* SAAS_SIGV4_H */
