/*
 * svg_names.c
 *	  The elements and attributes that a picture may have (SVG 1.1, SVG 2).
 *
 * Not among them, whatever they hold: script, style, foreignObject, image,
 * feImage, a, animations, handlers, and everything of another namespace.
 */
#include <string.h>

#include "pure/svg_internal.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

static const SvgElement elements[] = {
	{"svg", SVG_IS_ROOT},
	{"circle", SVG_DRAWS},
	{"clipPath", 0},
	{"defs", 0},
	{"desc", SVG_HOLDS_TEXT | SVG_HOLDS_NO_ELEMENT},
	{"ellipse", SVG_DRAWS},
	{"feBlend", 0},
	{"feColorMatrix", 0},
	{"feComponentTransfer", 0},
	{"feComposite", 0},
	{"feDropShadow", 0},
	{"feFlood", 0},
	{"feFuncA", 0},
	{"feFuncB", 0},
	{"feFuncG", 0},
	{"feFuncR", 0},
	{"feGaussianBlur", 0},
	{"feMerge", 0},
	{"feMergeNode", 0},
	{"feMorphology", 0},
	{"feOffset", 0},
	{"filter", 0},
	{"g", 0},
	{"line", SVG_DRAWS},
	{"linearGradient", 0},
	{"marker", 0},
	{"mask", 0},
	{"path", SVG_DRAWS},
	{"pattern", 0},
	{"polygon", SVG_DRAWS},
	{"polyline", SVG_DRAWS},
	{"radialGradient", 0},
	{"rect", SVG_DRAWS},
	{"stop", 0},
	/* Drawing programs put a foreignObject of theirs first and the picture second. */
	{"switch", 0},
	{"symbol", 0},
	{"text", SVG_DRAWS | SVG_HOLDS_TEXT},
	{"textPath", SVG_HOLDS_TEXT},
	{"title", SVG_HOLDS_TEXT | SVG_HOLDS_NO_ELEMENT},
	{"tspan", SVG_HOLDS_TEXT},
	{"use", SVG_DRAWS | SVG_IS_USE},
};

static const SvgAttribute attributes[] = {
	{"id", SVG_NAME},
	{"style", SVG_STYLE},

	{"alignment-baseline", SVG_PROPERTY},
	{"baseline-shift", SVG_PROPERTY},
	{"clip-path", SVG_PROPERTY},
	{"clip-rule", SVG_PROPERTY},
	{"color", SVG_PROPERTY},
	{"color-interpolation", SVG_PROPERTY},
	{"color-interpolation-filters", SVG_PROPERTY},
	{"direction", SVG_PROPERTY},
	{"display", SVG_PROPERTY},
	{"dominant-baseline", SVG_PROPERTY},
	{"fill", SVG_PROPERTY},
	{"fill-opacity", SVG_PROPERTY},
	{"fill-rule", SVG_PROPERTY},
	{"filter", SVG_PROPERTY},
	{"flood-color", SVG_PROPERTY},
	{"flood-opacity", SVG_PROPERTY},
	{"font-family", SVG_PROPERTY},
	{"font-size", SVG_PROPERTY},
	{"font-stretch", SVG_PROPERTY},
	{"font-style", SVG_PROPERTY},
	{"font-variant", SVG_PROPERTY},
	{"font-weight", SVG_PROPERTY},
	{"isolation", SVG_PROPERTY},
	{"letter-spacing", SVG_PROPERTY},
	{"marker", SVG_PROPERTY},
	{"marker-end", SVG_PROPERTY},
	{"marker-mid", SVG_PROPERTY},
	{"marker-start", SVG_PROPERTY},
	{"mask", SVG_PROPERTY},
	{"mask-type", SVG_PROPERTY},
	{"mix-blend-mode", SVG_PROPERTY},
	{"opacity", SVG_PROPERTY},
	{"overflow", SVG_PROPERTY},
	{"paint-order", SVG_PROPERTY},
	{"shape-rendering", SVG_PROPERTY},
	{"stop-color", SVG_PROPERTY},
	{"stop-opacity", SVG_PROPERTY},
	{"stroke", SVG_PROPERTY},
	{"stroke-dasharray", SVG_PROPERTY},
	{"stroke-dashoffset", SVG_PROPERTY},
	{"stroke-linecap", SVG_PROPERTY},
	{"stroke-linejoin", SVG_PROPERTY},
	{"stroke-miterlimit", SVG_PROPERTY},
	{"stroke-opacity", SVG_PROPERTY},
	{"stroke-width", SVG_PROPERTY},
	{"text-anchor", SVG_PROPERTY},
	{"text-decoration", SVG_PROPERTY},
	{"text-rendering", SVG_PROPERTY},
	{"transform", SVG_PROPERTY},
	{"transform-origin", SVG_PROPERTY},
	{"vector-effect", SVG_PROPERTY},
	{"visibility", SVG_PROPERTY},
	{"white-space", SVG_PROPERTY},
	{"word-spacing", SVG_PROPERTY},
	{"writing-mode", SVG_PROPERTY},

	{"amplitude", SVG_VALUE},
	{"clipPathUnits", SVG_VALUE},
	{"cx", SVG_VALUE},
	{"cy", SVG_VALUE},
	{"d", SVG_VALUE},
	{"dx", SVG_VALUE},
	{"dy", SVG_VALUE},
	{"edgeMode", SVG_VALUE},
	{"exponent", SVG_VALUE},
	{"filterUnits", SVG_VALUE},
	{"fr", SVG_VALUE},
	{"fx", SVG_VALUE},
	{"fy", SVG_VALUE},
	{"gradientTransform", SVG_VALUE},
	{"gradientUnits", SVG_VALUE},
	{"height", SVG_VALUE},
	{"in", SVG_VALUE},
	{"in2", SVG_VALUE},
	{"intercept", SVG_VALUE},
	{"k1", SVG_VALUE},
	{"k2", SVG_VALUE},
	{"k3", SVG_VALUE},
	{"k4", SVG_VALUE},
	{"lengthAdjust", SVG_VALUE},
	{"markerHeight", SVG_VALUE},
	{"markerUnits", SVG_VALUE},
	{"markerWidth", SVG_VALUE},
	{"maskContentUnits", SVG_VALUE},
	{"maskUnits", SVG_VALUE},
	{"method", SVG_VALUE},
	{"mode", SVG_VALUE},
	{"offset", SVG_VALUE},
	{"operator", SVG_VALUE},
	{"orient", SVG_VALUE},
	{"pathLength", SVG_VALUE},
	{"patternContentUnits", SVG_VALUE},
	{"patternTransform", SVG_VALUE},
	{"patternUnits", SVG_VALUE},
	{"points", SVG_VALUE},
	{"preserveAspectRatio", SVG_VALUE},
	{"primitiveUnits", SVG_VALUE},
	{"r", SVG_VALUE},
	{"radius", SVG_VALUE},
	{"refX", SVG_VALUE},
	{"refY", SVG_VALUE},
	{"result", SVG_VALUE},
	{"rotate", SVG_VALUE},
	{"rx", SVG_VALUE},
	{"ry", SVG_VALUE},
	{"side", SVG_VALUE},
	{"slope", SVG_VALUE},
	{"spacing", SVG_VALUE},
	{"spreadMethod", SVG_VALUE},
	{"startOffset", SVG_VALUE},
	{"stdDeviation", SVG_VALUE},
	{"systemLanguage", SVG_VALUE},
	{"tableValues", SVG_VALUE},
	{"textLength", SVG_VALUE},
	{"type", SVG_VALUE},
	{"values", SVG_VALUE},
	{"version", SVG_VALUE},
	{"viewBox", SVG_VALUE},
	{"width", SVG_VALUE},
	{"x", SVG_VALUE},
	{"x1", SVG_VALUE},
	{"x2", SVG_VALUE},
	{"y", SVG_VALUE},
	{"y1", SVG_VALUE},
	{"y2", SVG_VALUE},
};

const SvgElement *
SvgElementFind(const char *name)
{
	for (size_t i = 0; i < LENGTH_OF(elements); i++)
	{
		if (strcmp(elements[i].name, name) == 0)
			return &elements[i];
	}
	return NULL;
}

const SvgAttribute *
SvgAttributeFind(const char *name, size_t length)
{
	for (size_t i = 0; i < LENGTH_OF(attributes); i++)
	{
		if (strncmp(attributes[i].name, name, length) == 0 && attributes[i].name[length] == '\0')
			return &attributes[i];
	}
	return NULL;
}
