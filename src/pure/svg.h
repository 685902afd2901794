/*
 * svg.h
 *	  Pictures that strangers upload, written anew from what is known to be harmless.
 *
 * An SVG is a program: it may run scripts, load other pages and tell who looks
 * at it.  Nothing is removed from it here; a new document is written of the
 * elements, attributes and values of svg_names.c, and whatever is not among
 * them is not copied.
 */
#ifndef SAAS_SVG_H
#define SAAS_SVG_H

#include <stddef.h>

#include "base/arena.h"
#include "base/problem.h"

/* Of what is given and of what is made of it. */
#define SAAS_SVG_MAX_BYTES	(256 * 1024)

/* Room that always suffices for a document of that size. */
#define SAAS_SVG_ARENA_SIZE	((size_t) 4 * 1024 * 1024)

/*
 * The picture in the arena: UTF-8, NUL-terminated, without declaration,
 * comments, processing instructions, scripts, style sheets, links, pictures or
 * anything that refers outside of it.  Given again it stays as it is.
 *
 * NULL with 22023 and the reason as the problem's message when it is not
 * well-formed XML in UTF-8, has a DOCTYPE, is no SVG, is too large, too deep,
 * draws nothing, or would draw the same things over and over; 54000 when the
 * arena or the system has no memory.
 */
extern char *SaasSvgSanitize(const char *svg, size_t length, SaasArena *arena, SaasProblem *problem);

#endif							/* SAAS_SVG_H */
