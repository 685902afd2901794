/*
 * test_svg.c
 *	  pure/svg.c: pictures are written anew; what runs, loads or refers outside
 *	  is not, however it is spelt, and what is harmless looks as it did.
 */
#include <stdlib.h>

#include <libxml/xmlerror.h>

#include "pure/svg.h"

#include "tap.h"

#define HEAD	"<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\""
#define IN		"<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">"
#define DRAWN	"<path d=\"M0 0h1\"/>"
#define OUT		"</svg>"

static SaasArena *arena;
static SaasProblem problem;

static const char *
sanitize_bytes(const char *svg, size_t length)
{
	char	   *copy = malloc(length + (length == 0));
	const char *result;

	/* Of its own size, so that a byte read beyond is found. */
	memcpy(copy, svg, length);
	result = SaasSvgSanitize(copy, length, arena, &problem);
	free(copy);
	return result;
}

/* Also sees that what comes out, given again, stays as it is. */
static const char *
sanitize(const char *svg)
{
	const char *once;
	const char *twice;

	SaasArenaDestroy(arena);
	arena = SaasArenaCreate(4 * SAAS_SVG_ARENA_SIZE);
	once = sanitize_bytes(svg, strlen(svg));
	if (once == NULL)
		return NULL;
	twice = sanitize_bytes(once, strlen(once));
	return twice != NULL && strcmp(once, twice) == 0 ? once : "changes when it is given again";
}

static void
is_refused(const char *got, const char *reason, const char *name)
{
	ok(got == NULL && strcmp(problem.sqlstate, "22023") == 0, "%s is refused", name);
	is_text(problem.message, reason, "%s", reason);
}

/* What is left of a document whose root holds a path and this. */
static void
is_left(const char *inside, const char *left, const char *name)
{
	char	   *svg = malloc(strlen(inside) + 1024);
	char	   *expected = malloc(strlen(left) + 1024);

	(void) snprintf(svg, strlen(inside) + 1024, "%s%s%s%s", IN, DRAWN, inside, OUT);
	(void) snprintf(expected, strlen(left) + 1024, "%s%s%s%s", IN, DRAWN, left, OUT);
	is_text(sanitize(svg), expected, "%s", name);
	free(svg);
	free(expected);
}

/* An attribute of a rect: whether it stays as it is, or goes. */
static void
is_kept(const char *attribute, bool kept, const char *name)
{
	char		inside[512];
	char		left[512];

	(void) snprintf(inside, sizeof(inside), "<rect %s/>", attribute);
	(void) snprintf(left, sizeof(left), "<rect%s%s/>", kept ? " " : "", kept ? attribute : "");
	is_left(inside, left, name);
}

static void
test_logos(void)
{
	is_text(sanitize("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n<!-- Made -->\n"
					 "<svg width=\"24\" height=\"24\" viewBox=\"0 0 24 24\" xmlns=\"http://www.w3.org/2000/svg\" fill=\"none\">\n"
					 "\t<defs><linearGradient id=\"paint0_linear_1:2\" x1=\"0\" y1=\"0\" x2=\"1\" y2=\"1\" gradientUnits=\"userSpaceOnUse\""
					 " gradientTransform=\"matrix(1 0 0 1 0 -3.5)\"><stop stop-color=\"#0af\"/><stop offset=\"100%\""
					 " stop-color=\"rgb(0, 10%, 7)\" stop-opacity=\".5\"/></linearGradient></defs>\n"
					 "\t<g transform=\"translate(1, -2) rotate (45)\">"
					 "<path fill-rule=\"evenodd\" clip-rule=\"evenodd\" d=\"M12 2\n L2 7l10 5\" fill=\"url(#paint0_linear_1:2)\"/></g>\n"
					 "</svg>\n"),
			HEAD " width=\"24\" height=\"24\" viewBox=\"0 0 24 24\" fill=\"none\">"
			"<defs><linearGradient id=\"paint0_linear_1:2\" x1=\"0\" y1=\"0\" x2=\"1\" y2=\"1\" gradientUnits=\"userSpaceOnUse\""
			" gradientTransform=\"matrix(1 0 0 1 0 -3.5)\"><stop stop-color=\"#0af\"/><stop offset=\"100%\""
			" stop-color=\"rgb(0, 10%, 7)\" stop-opacity=\".5\"/></linearGradient></defs>"
			"<g transform=\"translate(1, -2) rotate (45)\">"
			"<path fill-rule=\"evenodd\" clip-rule=\"evenodd\" d=\"M12 2  L2 7l10 5\" fill=\"url(#paint0_linear_1:2)\"/></g></svg>",
			"a logo keeps what it draws with");
	is_left("<clipPath id=\"c\"><circle r=\"3\"/></clipPath><mask id=\"m\"><ellipse rx=\"2\" ry=\"1\"/></mask>"
			"<pattern id=\"p\" patternUnits=\"userSpaceOnUse\"><line x2=\"3\"/></pattern>"
			"<marker id=\"k\" orient=\"auto\"><polyline points=\"0,0 1,1\"/></marker>"
			"<symbol id=\"s\" viewBox=\"0 0 1 1\"><polygon points=\"0 0 1 1 2 0\"/></symbol>"
			"<filter id=\"f\"><feGaussianBlur in=\"SourceAlpha\" stdDeviation=\"2\"/><feMerge><feMergeNode/></feMerge></filter>"
			"<use x=\"1\" xlink:href=\"#s\"/>"
			"<rect style=\"fill:#123;filter:url(#f)\" clip-path=\"url(#c)\" mask=\"url(#m)\" marker-end=\"url(#k)\"/>",
			"<clipPath id=\"c\"><circle r=\"3\"/></clipPath><mask id=\"m\"><ellipse rx=\"2\" ry=\"1\"/></mask>"
			"<pattern id=\"p\" patternUnits=\"userSpaceOnUse\"><line x2=\"3\"/></pattern>"
			"<marker id=\"k\" orient=\"auto\"><polyline points=\"0,0 1,1\"/></marker>"
			"<symbol id=\"s\" viewBox=\"0 0 1 1\"><polygon points=\"0 0 1 1 2 0\"/></symbol>"
			"<filter id=\"f\"><feGaussianBlur in=\"SourceAlpha\" stdDeviation=\"2\"/><feMerge><feMergeNode/></feMerge></filter>"
			"<use x=\"1\" xlink:href=\"#s\"/>"
			"<rect style=\"fill:#123;filter:url(#f)\" clip-path=\"url(#c)\" mask=\"url(#m)\" marker-end=\"url(#k)\"/>",
			"so do its parts and who uses them");
	is_left("<use href=\"#a\" xlink:href=\"#b\"/>", "<use xlink:href=\"#a\"/>", "a reference is written as all renderers know it");
	is_left("<title>A &amp; B</title><text x=\"1\">a &lt;b&gt; <tspan>c&#13;d</tspan><![CDATA[<script>]]></text>",
			"<title>A &amp; B</title><text x=\"1\">a &lt;b&gt; <tspan>c\nd</tspan>&lt;script&gt;</text>", "texts are escaped");
	is_left("<switch><foreignObject requiredExtensions=\"http://ns.adobe.com/\"><i/></foreignObject><g><rect/></g></switch>",
			"<switch><g><rect/></g></switch>", "a drawing program's own copy goes, the picture stays");
	is_text(sanitize("\xEF\xBB\xBF<s:svg xmlns:s=\"http://www.w3.org/2000/svg\"><s:path d=\"M0 0\"/></s:svg>"),
			IN "<path d=\"M0 0\"/>" OUT, "a BOM and a prefix say nothing");
	is_text(sanitize("<?xml version='1.0' encoding='UTF-7'?>" IN DRAWN "<text>+ADw-script+AD4-</text>" OUT),
			IN DRAWN "<text>+ADw-script+AD4-</text>" OUT, "nor does a declared encoding");
}

static void
test_elements(void)
{
	static const char *const gone[] = {
		"<script>alert(1)</script>", "<script href=\"https://evil.example/x.js\"/>", "<SCRIPT>alert(1)</SCRIPT>",
		"<script><![CDATA[alert(1)]]></script>", "<s:script xmlns:s=\"http://www.w3.org/2000/svg\">alert(1)</s:script>",
		"<script xmlns=\"http://www.w3.org/1999/xhtml\">alert(1)</script>",
		"<h:script xmlns:h=\"http://www.w3.org/1999/xhtml\">alert(1)</h:script>",
		"<path xmlns=\"http://www.w3.org/1999/xhtml\"/>", "<path xmlns=\"\"/>", "<x:path xmlns:x=\"urn:x\"/>",
		"<style>@import url(https://evil.example/x.css);</style>", "<style type=\"text/css\">*{fill:red}</style>",
		"<foreignObject><iframe xmlns=\"http://www.w3.org/1999/xhtml\" src=\"javascript:alert(1)\"/></foreignObject>",
		"<foreignObject><path d=\"M0 0\"/></foreignObject>",
		"<image href=\"https://evil.example/x.png\"/>", "<image xlink:href=\"data:image/png;base64,AA\"/>",
		"<feImage href=\"https://evil.example/x\"/>", "<a href=\"javascript:alert(1)\"><path d=\"M0 0\"/></a>",
		"<animate attributeName=\"href\" values=\"javascript:alert(1)\"/>", "<animateMotion/>", "<animateTransform/>",
		"<set attributeName=\"onload\" to=\"alert(1)\"/>", "<handler type=\"text/ecmascript\">alert(1)</handler>",
		"<listener/>", "<iframe/>", "<embed/>", "<object/>", "<video/>", "<audio/>", "<discard/>", "<metadata><rect/></metadata>",
		"<font-face-uri/>", "<cursor/>", "<view/>", "<annotation-xml/>", "<unknown><script/></unknown>",
		"<?xml-stylesheet href=\"https://evil.example/x.css\"?>", "<?php evil ?>", "<!-- a comment -->", "&#9; ", "text",
		"<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\" parse=\"text\"/>",
	};

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		is_left(gone[i], "", gone[i]);
	is_left("<g><g><script/><rect/></g><script><g><rect/></g></script></g><rect/>", "<g><g><rect/></g></g><rect/>",
			"what stands beside it stays");
	is_left("<title><svg><text>a</text></svg>b<path d=\"M0 0\"/></title>", "<title>b</title>", "a title holds text only");
	is_left("<svg onload=\"alert(1)\"><rect/></svg>", "<svg><rect/></svg>", "a picture in the picture does not load anything");
	is_left("<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>", "<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>",
			"what was text is text");
}

static void
test_attributes(void)
{
	static const char *const gone[] = {
		"onload=\"alert(1)\"", "onLoad=\"alert(1)\"", "onclick=\"a\"", "onbegin=\"a\"", "class=\"a\"", "data-x=\"a\"",
		"xml:base=\"https://evil.example/\"", "xml:lang=\"en\"", "xmlns:e=\"urn:e\" e:fill=\"red\"", "lang=\"en\"",
		"xmlns:s=\"http://www.w3.org/2000/svg\" s:onload=\"alert(1)\"", "xlink:title=\"a\"", "src=\"#a\"", "FILL=\"red\"",
		"href=\"javascript:alert(1)\"", "xlink:href=\" javascript:alert(1)\"", "xlink:href=\"java&#9;script:alert(1)\"",
		"xlink:href=\"&#106;avascript:alert(1)\"", "xlink:href=\"data:text/html,x\"", "xlink:href=\"https://evil.example/#a\"",
		"xlink:href=\"//evil.example/#a\"", "xlink:href=\"other.svg#a\"", "xlink:href=\"#\"", "xlink:href=\"\"",
		"xlink:href=\"#xpointer(id('a'))\"", "xlink:href=\"#a b\"", "xlink:href=\"&#35;&#10;a\"", "href=\"#svgView(viewBox(0,0,1,1))\"",
		"xmlns:e=\"urn:e\" e:href=\"#a\"",
		"xmlns:x=\"http://www.w3.org/1999/xlink\" x:href=\"https://evil.example/\"",
		"fill=\"url(https://evil.example/#a)\"", "fill=\"URL(//evil.example)\"", "fill=\"url('https://evil.example/')\"",
		"fill=\"url(&quot;https://evil.example/&quot;)\"", "fill=\"url(data:image/svg+xml,x)\"", "fill=\"url(javascript:x)\"",
		"fill=\"url(#a) url(https://evil.example/)\"", "fill=\"url( other.svg#a )\"", "fill=\"url(#a\"", "fill=\"url()\"",
		"fill=\"url(#)\"", "fill=\"u&#92;72l(https://evil.example/)\"", "fill=\"ur\\6c(x)\"", "fill=\"url/**/(#a)\"",
		"fill=\"url&#10;(https://evil.example/)\"", "fill=\"src('x')\"", "fill=\"image-set('x' 1x)\"", "fill=\"image('x')\"",
		"fill=\"expression(alert(1))\"", "fill=\"var(--x)\"", "fill=\"(1)\"", "fill=\"cross-fade(url(#a))\"",
		"fill=\"@import 'x'\"", "fill=\"red'\"", "fill=\"a&amp;b\"", "fill=\"a&lt;b\"", "fill=\"javascript:alert(1)\"",
		"fill=\"{}\"", "cursor=\"url(#a)\"", "id=\"a b\"", "id=\"a&quot;b\"", "id=\"\"", "id=\"a(b)\"",
		"style=\"\"", "style=\"behavior:url(#a)\"", "style=\"-moz-binding:url(#a)\"", "style=\"background:url(https://evil.example/)\"",
		"style=\"fill:url(https://evil.example/)\"", "style=\"fill:url(&#10;https://evil.example/)\"", "style=\"fill:u\\72l(#a)\"",
		"style=\"@import 'x'\"", "style=\"fill:expression(alert(1))\"", "style=\"width:expression(alert(1))\"",
		"style=\"onload:red\"", "style=\"id:a\"", "style=\"--x:red\"", "style=\"fill\"", "style=\":red\"", "style=\"fill:\"",
		"style=\"font-family:'a;b'\"", "style=\"fill:red}*{fill:blue\"", "style=\"fill:red/*\"",
	};
	static const char *const kept[] = {
		"id=\"a-b_c.d:e\"", "id=\"\xC3\xA9\"", "fill=\"url(#a)\"", "fill=\"url( #a )\"", "fill=\"url('#a')\"",
		"fill=\"url(&quot;#a&quot;) none\"", "fill=\"RGB(1,2,3)\"", "fill=\"hsla(120, 50%, 50%, .3)\"", "fill=\"\"",
		"fill=\"currentColor\"", "stroke-dasharray=\"1, 2 3\"", "transform=\"scale(2)translate(-1e3,+4)\"",
		"font-family=\"'Open Sans', \xC3\x84\"", "style=\"fill:red;stroke:url(#a);opacity:.5\"",
		"style=\"transform:rotate(45deg) skewX(1deg)\"", "style=\"fill:red!important\"", "systemLanguage=\"de,en\"",
		"mask=\"url(#javascript:x)\"",
	};

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		is_kept(gone[i], false, gone[i]);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		is_kept(kept[i], true, kept[i]);
	is_left("<rect style=\" fill : red ;; behavior:url(#x);stroke:&#10;blue&#9;\"/>", "<rect style=\"fill:red;stroke:blue\"/>",
			"of a style what is harmless stays");
	is_left("<use href=\"https://evil.example/#a\" xlink:href=\"#b\"/>", "<use/>", "a reference that counts less does not step in");
	is_left("<path d=\"M0&#10;0&#9;1&#13;2\"/>", "<path d=\"M0 0 1 2\"/>", "a value has one line");
	is_left("<use xlink:href=\" #a \"/>", "<use xlink:href=\"#a\"/>", "blanks around a reference go");
	is_text(sanitize(HEAD " onload=\"alert(1)\" baseProfile=\"full\">" DRAWN OUT), IN DRAWN OUT, "the root has no handler either");
}

static void
test_refused(void)
{
	static const char laughs[] = "<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]>" IN "<text>&c;</text>" OUT;
	static const char *const broken[] = {
		IN DRAWN, IN "<g>" DRAWN OUT, IN DRAWN OUT IN OUT, IN DRAWN OUT "x", "x" IN DRAWN OUT, IN "<path d=M0/>" OUT,
		IN "<path d=\"a\" d=\"b\"/>" OUT, IN "<x:path/>" OUT, IN "<text>&nbsp;</text>" OUT, IN "<path d=\"&x;\"/>" OUT,
		IN "<text>&#0;</text>" OUT, IN "<text>\x01</text>" OUT, IN "<path d=\"<\"/>" OUT, "<svg xmlns='http://www.w3.org/2000/svg'", "<", "<!--", "<![CDATA[",
		IN DRAWN "<!-- -- -->" OUT, IN DRAWN "<text>]]></text>" OUT, IN DRAWN "<? ?>" OUT,
	};

	is_refused(sanitize(""), "must be XML in UTF-8", "nothing");
	is_refused(sanitize_bytes("<\0s\0v\0g\0", 8), "must be XML in UTF-8", "UTF-16");
	is_refused(sanitize_bytes("\xFF\xFE<\0s\0v\0g\0", 10), "must be XML in UTF-8", "UTF-16 with a BOM");
	is_refused(sanitize("<?xml version='1.0' encoding='iso-8859-1'?>" IN "<text>\xE9</text>" OUT),
			   "must be XML in UTF-8", "Latin-1");
	is_refused(sanitize(IN "<text>\xC0\xBC" "script></text>" OUT), "must be XML in UTF-8", "an overlong sequence");
	is_refused(sanitize(laughs), "must not have a DOCTYPE", "a thousand laughs");
	is_refused(sanitize("<!DOCTYPE svg SYSTEM \"file:///etc/passwd\">" IN DRAWN OUT), "must not have a DOCTYPE", "an external DTD");
	is_refused(sanitize("<!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" IN "<text>&x;</text>" OUT),
			   "must not have a DOCTYPE", "an external entity");
	is_refused(sanitize("<!DOCTYPE svg [<!ENTITY % x SYSTEM \"http://127.0.0.1/\"> %x;]>" IN DRAWN OUT),
			   "must not have a DOCTYPE", "a parameter entity");
	is_refused(sanitize("<!DOCTYPE svg>" IN DRAWN OUT), "must not have a DOCTYPE", "a DOCTYPE of nothing");
	is_refused(sanitize("<!DOCTYPE svg [<!ATTLIST path onload CDATA \"alert(1)\">]>" IN DRAWN OUT),
			   "must not have a DOCTYPE", "an attribute by default");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		is_refused(sanitize(broken[i]), "must be well-formed XML", "what is broken");
	for (size_t length = 1; length < sizeof(IN DRAWN OUT) - 1; length++)
	{
		if (sanitize_bytes(IN DRAWN OUT, length) != NULL)
			ok(false, "cut off after %zu bytes it is refused", length);
	}
	is_refused(sanitize("<svg><path/></svg>"), "must be an svg element of the namespace http://www.w3.org/2000/svg", "no namespace");
	is_refused(sanitize("<html xmlns=\"http://www.w3.org/1999/xhtml\"><svg xmlns=\"http://www.w3.org/2000/svg\"/></html>"),
			   "must be an svg element of the namespace http://www.w3.org/2000/svg", "HTML");
	is_refused(sanitize("<g xmlns=\"http://www.w3.org/2000/svg\"><path/></g>"),
			   "must be an svg element of the namespace http://www.w3.org/2000/svg", "a group");
	is_refused(sanitize(IN OUT), "has nothing that may be shown", "an empty picture");
	is_refused(sanitize(IN "<script>alert(1)</script><g><title>x</title></g>" OUT), "has nothing that may be shown", "a script alone");
}

/* head, count times part, tail. */
static char *
repeated(const char *head, const char *part, int count, const char *tail)
{
	size_t		length = strlen(part);
	char	   *text = malloc(strlen(head) + length * count + strlen(tail) + 1);
	char	   *end = text + strlen(head);

	memcpy(text, head, strlen(head));
	for (int i = 0; i < count; i++, end += length)
		memcpy(end, part, length);
	memcpy(end, tail, strlen(tail) + 1);
	return text;
}

static void
test_bounds(void)
{
	struct
	{
		const char *head;
		const char *part;
		int			count;
		const char *tail;
		const char *reason;		/* NULL: accepted */
		const char *name;
	}			cases[] = {
		{IN, "<g>", 64, "", "must nest at most 64 elements", "65 levels"},
		{IN, "<g>", 62, "<path/>", "must be well-formed XML", "64 levels that are not closed"},
		{IN, "<x>", 80, "", "must nest at most 64 elements", "levels of what is not written"},
		{IN, "<g>", 80000, "", "must nest at most 64 elements", "80000 levels"},
		{HEAD, " a=\"\"", 990, ">" DRAWN OUT, "must be well-formed XML", "an attribute twice"},
		{HEAD, " a=\"\"", 50000, ">" DRAWN OUT, "must have at most 1000 attributes to an element", "256 KiB of attributes"},
		{HEAD, " xmlns:a=\"\"", 20000, ">" DRAWN OUT, "must have at most 1000 attributes to an element", "of namespaces"},
		{HEAD " d='", "=", 1001, "'>" DRAWN OUT, "must have at most 1000 attributes to an element", "what might be attributes"},
		{IN "<!--", " ", SAAS_SVG_MAX_BYTES, "-->" DRAWN OUT, "must have at most 256 KiB", "one byte too many"},
		{IN "<text>", ">", 100000, "</text>" OUT, "must have at most 256 KiB when it is written anew", "a text that grows"},
		{IN "<g id='", "a", 10, "' fill='#000'/><use href='#aaaaaaaaaa'/>" OUT, NULL, "a use"},
		{IN DRAWN, "<use/>", 256, OUT, NULL, "256 of them"},
		{IN DRAWN, "<use/>", 257, OUT, "must have at most 256 use elements", "one more"},
		{IN "<g id='b'><use href='#a'/></g>", "<use href='#b'/>", 2, OUT, "must not use what itself holds a use element", "a product of uses"},
		{IN "<g id='a'>", "<g>", 3, "<use href='#a'/></g></g></g></g>" OUT, "must not use what itself holds a use element", "a circle of uses"},
		{IN "<text>", "a", 261000, "</text>" OUT, NULL, "nearly 256 KiB of text"},
		{IN "<path d='", "1 ", 130000, "'/>" OUT, NULL, "of numbers"},
		{IN, "<g id='abc'/>", 19000, DRAWN OUT, NULL, "of ids"},
		{IN, "<g style='fill:red;x'/>", 11000, DRAWN OUT, NULL, "of styles"},
		{IN "<path fill='", "rgb(", 60000, ")'/>" OUT, NULL, "of parentheses"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *svg = repeated(cases[i].head, cases[i].part, cases[i].count, cases[i].tail);
		const char *result = sanitize(svg);

		if (cases[i].reason != NULL)
			is_refused(result, cases[i].reason, cases[i].name);
		else
			ok(result != NULL && strncmp(result, IN, sizeof(IN) - 1) == 0, "%s: accepted", cases[i].name);
		if (result == NULL && cases[i].reason == NULL)
			printf("# %s\n", problem.message);
		free(svg);
	}
}

static void
test_memory(void)
{
	SaasArena  *small = SaasArenaCreate(100);

	ok(SaasSvgSanitize(IN DRAWN OUT, sizeof(IN DRAWN OUT) - 1, small, &problem) == NULL &&
	   strcmp(problem.sqlstate, "54000") == 0, "where there is no room the picture is refused");
	SaasArenaDestroy(small);
}

/* Whoever else uses libxml2 in this process. */
static int	heard;

static void
hear(void *data, const char *message,...)
{
	heard++;
}

static void
test_silence(void)
{
	xmlSetGenericErrorFunc(NULL, hear);
	xmlSetStructuredErrorFunc(&heard, NULL);
	ok(sanitize("<svg xmlns='urn:x' &") == NULL && heard == 0, "nothing is said to the process's handler");
	ok(xmlStructuredErrorContext == &heard && xmlStructuredError == NULL, "which stays what it was");
	ok(xmlGetLastError() == NULL || xmlGetLastError()->code == 0, "and no error is left behind");
	xmlSetGenericErrorFunc(NULL, NULL);
}

int
main(void)
{
	arena = SaasArenaCreate(4 * SAAS_SVG_ARENA_SIZE);
	test_logos();
	test_elements();
	test_attributes();
	test_refused();
	test_bounds();
	test_memory();
	test_silence();
	SaasArenaDestroy(arena);
	return tap_done();
}
