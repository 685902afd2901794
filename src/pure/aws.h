/*
 * aws.h
 *	  What AWS's APIs write and how: names of metrics, answers of the Security
 *	  Token Service, words for errors.
 */
#ifndef SAAS_AWS_H
#define SAAS_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/http.h"
#include "base/problem.h"
#include "base/strbuf.h"

#define SAAS_AWS_ACCOUNT_LENGTH	12

/* What AssumeRole gives, in the arena. */
typedef struct SaasAwsSession
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token;
	int64_t		expires_ms;		/* 0: the answer gives no time that can be read */
} SaasAwsSession;

/*
 * Reads lines "access_key_id:..." and "secret_access_key:..."; blank lines and
 * those that begin with "#" are skipped.  F0000 with a hint when the text is
 * anything else; it is never quoted.
 */
extern bool SaasAwsKeysParse(const char *text, size_t length, SaasArena *arena,
							 const char **access_key_id, const char **secret_access_key,
							 SaasProblem *problem);

/* Twelve digits. */
extern bool SaasAwsIsAccount(const char *text);

/*
 * Whether the list, whose items commas and blanks separate, holds the item.
 * NULL is an empty list.
 */
extern bool SaasAwsListHas(const char *list, const char *item);

/*
 * aws_<namespace>_<name>_<stat> in snake case, without the "AWS/" that Amazon's
 * own namespaces begin with: AWS/SES, Send, Sum is aws_ses_send_sum.  NULL
 * when the arena is exhausted.
 */
extern const char *SaasAwsMetricName(const char *name_space, const char *name, const char *stat,
									 SaasArena *arena);

/*
 * The text of the first XML element of that name, references resolved.  NULL
 * when there is none, when it holds elements or anything but characters of
 * ASCII that can be printed, or when it is longer than 8192 bytes.
 */
extern const char *SaasAwsXmlText(const char *body, const char *name, SaasArena *arena);

/* The credentials in the answer of AssumeRole; false when it lacks one. */
extern bool SaasAwsReadSession(const char *body, SaasArena *arena, SaasAwsSession *session);

/*
 * AWS's word for an error, in XML, in JSON or in a header, without the
 * namespace before "#"; NULL when the answer has none.  It may be any text.
 */
extern const char *SaasAwsErrorCode(const SaasResponse *response, SaasArena *arena);

/* What an error means, by its word. */
typedef enum SaasAwsFault
{
	SAAS_AWS_OTHER,
	SAAS_AWS_THROTTLED,			/* ask again later */
	SAAS_AWS_DENIED,			/* a policy says no */
	SAAS_AWS_SIGNATURE,			/* wrong secret key, or a wrong clock */
	SAAS_AWS_EXPIRED,			/* the session, or the keys, are not good any more */
	SAAS_AWS_REGION,			/* the account has not enabled the region */
	SAAS_AWS_INTERNAL			/* its own trouble */
} SaasAwsFault;

extern SaasAwsFault SaasAwsFaultOf(const char *code);

#endif							/* SAAS_AWS_H */
