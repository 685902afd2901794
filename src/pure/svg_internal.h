/*
 * svg_internal.h
 *	  What is allowed in a picture: shared by the files of pure/svg.
 */
#ifndef SAAS_SVG_INTERNAL_H
#define SAAS_SVG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

/* What an element is besides a name that is allowed. */
typedef enum SvgElementFlags
{
	SVG_DRAWS = 1,				/* something can be seen of it */
	SVG_HOLDS_TEXT = 2,			/* characters inside it count */
	SVG_HOLDS_NO_ELEMENT = 4,	/* elements inside it do not */
	SVG_IS_USE = 8,				/* draws what it refers to */
	SVG_IS_ROOT = 16			/* the outermost must be one */
} SvgElementFlags;

typedef struct SvgElement
{
	const char *name;
	int			flags;			/* SvgElementFlags */
} SvgElement;

typedef enum SvgAttributeKind
{
	SVG_VALUE,					/* numbers, lists, words */
	SVG_PROPERTY,				/* as that, and allowed in a style attribute too */
	SVG_NAME,					/* an id */
	SVG_STYLE
} SvgAttributeKind;

typedef struct SvgAttribute
{
	const char *name;
	SvgAttributeKind kind;
} SvgAttribute;

/* The entry of a local name; NULL: not allowed. */
extern const SvgElement *SvgElementFind(const char *name);
extern const SvgAttribute *SvgAttributeFind(const char *name, size_t length);

/* Whether length bytes can be an id, and what a reference names. */
extern bool SvgIsName(const char *text, size_t length);

/* The same of "#name", with blanks around it or not; the name's place comes back. */
extern bool SvgIsFragment(const char *text, size_t length, const char **name, size_t *name_length);

/* Whether nothing in the value loads, runs or refers outside. */
extern bool SvgIsHarmless(const char *text, size_t length);

/*
 * Appends what is harmless of a style attribute, "name:value;name:value";
 * nothing when nothing is.  Not escaped.
 */
extern void SvgAppendStyle(SaasStrbuf *buf, const char *text, size_t length);

#endif							/* SAAS_SVG_INTERNAL_H */
