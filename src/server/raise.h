/*
 * raise.h
 *	  The one raiser of errors that clients see.
 *
 * In SQL an error carries its SQLSTATE.  Inside an HTTP request (PostgREST
 * sets request.method) the same error is raised as SQLSTATE PGRST with status,
 * headers and body as JSON: PostgREST puts the MESSAGE of a PTxyz error raw
 * into the status line, and only this form keeps headers: those that the
 * transaction has set (server/response.h) but for what describes the answer
 * that is not given, with WWW-Authenticate on 401 and Retry-After on 429.
 */
#ifndef SAAS_RAISE_H
#define SAAS_RAISE_H

#include "postgres.h"

#include "base/problem.h"

/*
 * Raises an ERROR; detail and hint may be NULL.  Control characters in any
 * text become blanks.
 */
extern void SaasRaise(const char *sqlstate, const char *message,
					  const char *detail, const char *hint)
			__attribute__((noreturn));

/* The same from a problem that a lower layer reported. */
extern void SaasRaiseProblem(const SaasProblem *problem)
			__attribute__((noreturn));

/* PT429 with a Retry-After header of at least one second. */
extern void SaasRaiseRetryAfter(const char *message, const char *detail, const char *hint, int seconds)
			__attribute__((noreturn));

#endif							/* SAAS_RAISE_H */
