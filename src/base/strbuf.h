/*
 * strbuf.h
 *	  Growing byte buffer inside an arena, the pure layers' StringInfo.
 *
 * A failed append (arena exhausted) marks the buffer as failed and later
 * appends do nothing, so that callers check once, at SaasStrbufFinish.
 */
#ifndef SAAS_STRBUF_H
#define SAAS_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

typedef struct SaasStrbuf
{
	SaasArena  *arena;
	char	   *data;			/* always NUL-terminated once allocated */
	size_t		length;
	size_t		capacity;
	bool		failed;
} SaasStrbuf;

extern void SaasStrbufInit(SaasStrbuf *buf, SaasArena *arena);

/* As Init, filling size bytes of the caller's memory before the arena's. */
extern void SaasStrbufInitOn(SaasStrbuf *buf, SaasArena *arena, char *memory, size_t size);

extern void SaasStrbufAppend(SaasStrbuf *buf, const void *bytes, size_t length);
extern void SaasStrbufAppendText(SaasStrbuf *buf, const char *text);
extern void SaasStrbufAppendChar(SaasStrbuf *buf, char c);
extern void SaasStrbufPrintf(SaasStrbuf *buf, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Appends text as a JSON string with its quotes (RFC 8259, section 7). */
extern void SaasStrbufAppendJson(SaasStrbuf *buf, const char *text, size_t length);

/* Appends text percent-encoded for a form or query (RFC 3986, section 2.1). */
extern void SaasStrbufAppendUrlEncoded(SaasStrbuf *buf, const char *text);

/* The NUL-terminated result, "" when nothing was appended, NULL when failed. */
extern char *SaasStrbufFinish(SaasStrbuf *buf);

#endif							/* SAAS_STRBUF_H */
