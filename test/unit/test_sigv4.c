/*
 * test_sigv4.c
 *	  pure/sigv4.c against the AWS Signature Version 4 test suite.
 *
 * test/fixtures/aws-sigv4.json holds the cases of the published suite as
 * awslabs/aws-c-auth keeps it (tests/aws-signing-test-suite/v4, Apache 2.0):
 * all whose paths are normalized, in the form that signs the Authorization
 * header.  None of its values was made here.
 */
#include <jansson.h>

#include "pure/json.h"
#include "pure/sigv4.h"

#include "files.h"
#include "tap.h"

#define SUITE_NOW_S		INT64_C(1440938160)	/* 2015-08-30T12:36:00Z */

static SaasArena *arena;
static SaasProblem problem;
static SaasSigv4Signature signature;

static const SaasSigv4Signer suite_signer = {
	"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL, "us-east-1", "service", SUITE_NOW_S
};

static bool
sign(const SaasSigv4Signer *signer, const SaasSigv4Request *request)
{
	memset(&problem, 0, sizeof(problem));
	return SaasSigv4Sign(signer, request, arena, &signature, &problem);
}

static SaasHeader *
headers_of(json_t *list)
{
	SaasHeader *first = NULL;

	for (size_t i = json_array_size(list); i > 0; i--)
	{
		json_t	   *pair = json_array_get(list, i - 1);
		SaasHeader *header = SaasArenaAlloc(arena, sizeof(SaasHeader));

		header->name = json_string_value(json_array_get(pair, 0));
		header->value = json_string_value(json_array_get(pair, 1));
		header->next = first;
		first = header;
	}
	return first;
}

static void
test_case(json_t *entry)
{
	const char *name = SaasJsonText(entry, "name");
	SaasSigv4Signer signer = suite_signer;
	SaasSigv4Request request = {
		.method = SaasJsonText(entry, "method"), .target = SaasJsonText(entry, "target"),
		.headers = headers_of(json_object_get(entry, "headers")), .body = SaasJsonText(entry, "body")
	};
	const char *found;

	request.body_length = strlen(request.body);
	signer.session_token = SaasJsonText(entry, "session_token");
	ok(sign(&signer, &request), "%s is signed", name);
	is_text(signature.canonical_request, SaasJsonText(entry, "canonical_request"), "%s: canonical request", name);
	found = signature.authorization ? strstr(signature.authorization, "Signature=") : NULL;
	is_text(found ? found + 10 : NULL, SaasJsonText(entry, "signature"), "%s: signature", name);
}

static void
test_suite(void)
{
	size_t		length;
	char	   *text = read_fixture("aws-sigv4.json", &length);
	json_t	   *cases = json_loads(text, 0, NULL);

	ok(json_array_size(cases) == 31, "the suite has its 31 cases");
	for (size_t i = 0; i < json_array_size(cases); i++)
		test_case(json_array_get(cases, i));
	json_decref(cases);
	free(text);
}

static void
test_whole_header(void)
{
	SaasHeader	host = {"Host", "example.amazonaws.com", NULL};
	SaasSigv4Request request = {"GET", "/", &host, NULL, 0};

	sign(&suite_signer, &request);
	is_text(signature.authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
			" SignedHeaders=host;x-amz-date,"
			" Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "the whole header");
	is_text(signature.date, "20150830T123600Z", "and its date");
	ok(signature.session_token == NULL, "no token without one");
}

/* What the suite leaves out; the canonical forms follow from the specification. */
static void
test_canonical(void)
{
	static const struct
	{
		const char *target;
		const char *path;
		const char *query;
	}			cases[] = {
		{"", "/", ""},
		{"/a%2Fb", "/a%252Fb", ""},
		{"/a/../../../b/.", "/b/", ""},
		{"/a/b/..", "/a/", ""},
		{"/...", "/...", ""},
		{"/?b=%2f&a=2&a=1&&c", "/", "a=1&a=2&b=%2F&c="},
		{"/?x=a=b&y=%zz&z=%0", "/", "x=a%3Db&y=%25zz&z=%250"},
		{"/?n=%00", "/", "n=%00"},
		{"/?p=a+b", "/", "p=a%2Bb"}
	};
	SaasHeader	host = {"HOST", "h", NULL};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SaasSigv4Request request = {"GET", cases[i].target, &host, NULL, 0};
		char		expected[128];

		snprintf(expected, sizeof(expected), "GET\n%s\n%s\nhost:h\n", cases[i].path, cases[i].query);
		ok(sign(&suite_signer, &request) &&
		   strncmp(signature.canonical_request, expected, strlen(expected)) == 0, "%s", cases[i].target);
	}
}

static void
refuses(SaasSigv4Signer signer, SaasHeader *headers, const char *sqlstate, const char *what)
{
	SaasSigv4Request request = {"GET", "/", headers, NULL, 0};

	ok(!sign(&signer, &request) && strcmp(problem.sqlstate, sqlstate) == 0 && signature.authorization == NULL,
	   "%s: %s", what, problem.message);
}

static void
test_refusals(void)
{
	SaasHeader	host = {"Host", "h", NULL};
	SaasHeader	date = {"X-Amz-Date", "20150830T123600Z", &host};
	SaasHeader	authorization = {"authorization", "x", &host};
	SaasSigv4Signer signer = suite_signer;

	refuses(signer, NULL, "22023", "no host");
	refuses(signer, &date, "22023", "a date of one's own");
	refuses(signer, &authorization, "22023", "an authorization of one's own");
	signer.access_key_id = "AK/ID";
	refuses(signer, &host, "22023", "a slash in the key id");
	signer = suite_signer;
	signer.secret_access_key = "";
	refuses(signer, &host, "22023", "an empty secret");
	signer = suite_signer;
	signer.session_token = "a\r\nb";
	refuses(signer, &host, "22023", "a token of two lines");
	signer = suite_signer;
	signer.region = "us east";
	refuses(signer, &host, "22023", "a blank in the region");
	signer = suite_signer;
	signer.service = NULL;
	refuses(signer, &host, "22023", "no service");
	signer = suite_signer;
	signer.now_s = INT64_MAX;
	refuses(signer, &host, "22008", "the end of time");
}

static void
test_exhausted(void)
{
	SaasHeader	host = {"Host", "example.amazonaws.com", NULL};
	SaasSigv4Request request = {"GET", "/a/b?c=d&e=f", &host, NULL, 0};
	SaasArena  *whole = arena;
	bool		explained = true;

	for (size_t bytes = 16; bytes < 8192; bytes += 16)
	{
		arena = SaasArenaCreate(bytes);
		explained = explained && (sign(&suite_signer, &request) || strcmp(problem.sqlstate, "53200") == 0);
		SaasArenaDestroy(arena);
	}
	arena = whole;
	ok(explained, "an exhausted arena is an error");
}

int
main(void)
{
	arena = SaasArenaCreate(1024 * 1024);
	test_suite();
	test_whole_header();
	test_canonical();
	test_refusals();
	test_exhausted();
	SaasArenaDestroy(arena);
	return tap_done();
}
