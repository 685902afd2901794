/*
 * problem.h
 *	  What went wrong, as the layers without ereport say it.
 *
 * The SQL glue turns a problem into an error with server/raise.h.  No field
 * ever holds a secret or bytes that a peer sent without SaasProblemSet's
 * cleaning.
 */
#ifndef SAAS_PROBLEM_H
#define SAAS_PROBLEM_H

#include <stdbool.h>

typedef struct SaasProblem
{
	char		sqlstate[6];	/* "" while nothing went wrong */
	char		message[256];	/* lower case start, no full stop */
	char		detail[512];	/* a sentence or JSON facts; "" when none */
	char		hint[256];		/* a sentence; "" when none */
} SaasProblem;

/*
 * Each sets one part, cut to its size at a UTF-8 boundary; control characters
 * and invalid UTF-8 become '?', since upstream text may flow into it.  The
 * message comes with the SQLSTATE.  All return false, so that a reader can
 * write "return SaasProblemSet(...)".
 */
extern bool SaasProblemSet(SaasProblem *problem, const char *sqlstate, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern bool SaasProblemDetail(SaasProblem *problem, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern bool SaasProblemHint(SaasProblem *problem, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Puts one more message behind those that the problem has, after "; ", unless it says that already. */
extern void SaasProblemAppend(SaasProblem *problem, const char *sqlstate, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* Cleans text of size bytes in place as described above. */
extern void SaasCleanText(char *text);

/* Whether length bytes are well-formed UTF-8 without NUL (RFC 3629). */
extern bool SaasUtf8IsValid(const char *text, unsigned long length);

#endif							/* SAAS_PROBLEM_H */
