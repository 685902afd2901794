/*
 * sigv4.c
 *	  AWS Signature Version 4 ("Signature Version 4 signing process" in the AWS
 *	  documentation).
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/calendar.h"
#include "base/strbuf.h"
#include "pure/crypto.h"
#include "pure/sigv4.h"

#define ALGORITHM		"AWS4-HMAC-SHA256"
#define SCOPE_END		"aws4_request"
#define MAX_NAME		128		/* bytes of an access key id, a region, a service */
#define HEX_DIGEST		(2 * SAAS_DIGEST_LENGTH + 1)
#define TIME_LENGTH		17		/* "20150830T123600Z" */

/* One query parameter or header on its way to its place in the order. */
typedef struct Pair
{
	const char *name;
	const char *value;
	size_t		number;			/* as given: equal names stay in that order */
} Pair;

static bool
no_memory(SaasProblem *problem)
{
	return SaasProblemSet(problem, "53200", "out of memory");
}

static int
compare_headers(const void *a, const void *b)
{
	const Pair *left = a;
	const Pair *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : left->number < right->number ? -1 : 1;
}

static int
compare_parameters(const void *a, const void *b)
{
	const Pair *left = a;
	const Pair *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : strcmp(left->value, right->value);
}

/* Drops the segment that was written last, its slash included. */
static void
drop_segment(char *path, size_t *length)
{
	while (*length > 0 && path[--*length] != '/')
		;
}

/*
 * The path without "." and ".." and with single slashes (RFC 3986, section
 * 6.2.2.3), which every service but S3 wants.
 */
static char *
normalize_path(const char *path, size_t length, SaasArena *arena)
{
	char	   *out = SaasArenaAlloc(arena, length + 2);
	size_t		at = 0;
	bool		ends_open = true;	/* a "/" belongs behind what is there */

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < length;)
	{
		size_t		start = i;

		while (i < length && path[i] != '/')
			i++;
		ends_open = i < length || (i - start == 1 && path[start] == '.') ||
			(i - start == 2 && path[start] == '.' && path[start + 1] == '.');
		if (i - start == 2 && path[start] == '.' && path[start + 1] == '.')
			drop_segment(out, &at);
		else if (i > start && !(i - start == 1 && path[start] == '.'))
		{
			out[at++] = '/';
			memcpy(out + at, path + start, i - start);
			at += i - start;
		}
		i++;
	}
	if (ends_open || at == 0)
		out[at++] = '/';
	out[at] = '\0';
	return out;
}

/* Every byte but "/" is encoded once more, "%" included. */
static void
append_path(SaasStrbuf *canonical, const char *path)
{
	char		byte[2] = "";

	for (; *path != '\0'; path++)
	{
		byte[0] = *path;
		if (*path == '/')
			SaasStrbufAppendChar(canonical, '/');
		else
			SaasStrbufAppendUrlEncoded(canonical, byte);
	}
}

/*
 * Decodes what is percent-encoded and encodes it again, so that each byte is
 * written in one way.  An encoded NUL stays as it is.
 */
static char *
encode_again(const char *text, size_t length, SaasArena *arena)
{
	SaasStrbuf	out;
	char		byte[2] = "";

	SaasStrbufInit(&out, arena);
	for (size_t i = 0; i < length; i++)
	{
		char		hex[3] = "";
		uint8_t		decoded;

		byte[0] = text[i];
		if (i + 2 < length)
			memcpy(hex, text + i + 1, 2);
		if (text[i] == '%' && SaasHexDecode(hex, &decoded, 1))
		{
			byte[0] = (char) decoded;
			i += 2;
		}
		if (byte[0] == '\0')
			SaasStrbufAppendText(&out, "%00");
		else
			SaasStrbufAppendUrlEncoded(&out, byte);
	}
	return SaasStrbufFinish(&out);
}

static Pair *
split_query(const char *query, size_t *count, SaasArena *arena)
{
	size_t		room = 1;
	Pair	   *pairs;

	for (const char *p = query; *p != '\0'; p++)
		room += *p == '&';
	pairs = SaasArenaAlloc(arena, room * sizeof(Pair));
	*count = 0;
	for (const char *p = query; pairs != NULL && *p != '\0';)
	{
		size_t		length = strcspn(p, "&");
		const char *equals = memchr(p, '=', length);
		size_t		name = equals != NULL ? (size_t) (equals - p) : length;
		Pair	   *pair = &pairs[*count];

		if (length > 0)
		{
			pair->name = encode_again(p, name, arena);
			pair->value = equals != NULL ? encode_again(equals + 1, length - name - 1, arena) : "";
			if (pair->name == NULL || pair->value == NULL)
				return NULL;
			(*count)++;
		}
		p += length + (p[length] == '&');
	}
	return pairs;
}

static bool
append_query(SaasStrbuf *canonical, const char *query)
{
	size_t		count;
	Pair	   *pairs = split_query(query, &count, canonical->arena);

	if (pairs == NULL)
		return false;
	qsort(pairs, count, sizeof(Pair), compare_parameters);
	for (size_t i = 0; i < count; i++)
		SaasStrbufPrintf(canonical, "%s%s=%s", i > 0 ? "&" : "", pairs[i].name, pairs[i].value);
	return true;
}

/* Without blanks around it, and with single ones in it. */
static void
append_value(SaasStrbuf *canonical, const char *value)
{
	value += strspn(value, " \t");
	while (*value != '\0')
	{
		size_t		word = strcspn(value, " \t");

		SaasStrbufAppend(canonical, value, word);
		value += word;
		value += strspn(value, " \t");
		if (*value != '\0')
			SaasStrbufAppendChar(canonical, ' ');
	}
}

static char *
lower_case(const char *text, SaasArena *arena)
{
	char	   *copy = SaasArenaStrdup(arena, text);

	for (char *p = copy; p != NULL && *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char) (*p - 'A' + 'a');
	return copy;
}

static bool
add_header(Pair *pairs, size_t *count, const char *name, const char *value, SaasArena *arena)
{
	pairs[*count] = (Pair) {lower_case(name, arena), value, *count};
	return pairs[(*count)++].name != NULL;
}

/* The given headers and those that signing adds, in their order. */
static Pair *
sort_headers(const SaasSigv4Request *request, const SaasSigv4Signature *signature,
			 size_t *count, SaasArena *arena)
{
	size_t		room = 2;
	bool		fits;
	Pair	   *pairs;

	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
		room++;
	pairs = SaasArenaAlloc(arena, room * sizeof(Pair));
	if (pairs == NULL)
		return NULL;
	*count = 0;
	fits = add_header(pairs, count, "x-amz-date", signature->date, arena);
	if (signature->session_token != NULL)
		fits = add_header(pairs, count, "x-amz-security-token", signature->session_token, arena) && fits;
	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
		fits = add_header(pairs, count, header->name, header->value, arena) && fits;
	if (!fits)
		return NULL;
	qsort(pairs, *count, sizeof(Pair), compare_headers);
	return pairs;
}

/* "host;x-amz-date" into names, and each as a line of the canonical request. */
static bool
append_headers(SaasStrbuf *canonical, SaasStrbuf *names, const SaasSigv4Request *request,
			   const SaasSigv4Signature *signature)
{
	size_t		count;
	Pair	   *pairs = sort_headers(request, signature, &count, canonical->arena);

	for (size_t i = 0; pairs != NULL && i < count; i++)
	{
		bool		again = i > 0 && strcmp(pairs[i].name, pairs[i - 1].name) == 0;

		if (!again)
			SaasStrbufPrintf(names, "%s%s", i > 0 ? ";" : "", pairs[i].name);
		SaasStrbufPrintf(canonical, again ? "," : i > 0 ? "\n%s:" : "%s:", pairs[i].name);
		append_value(canonical, pairs[i].value);
	}
	return pairs != NULL;
}

static bool
hex_digest(const void *bytes, size_t length, char hex[HEX_DIGEST])
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];

	if (!SaasSha256(bytes, length, digest))
		return false;
	SaasHexEncode(digest, sizeof(digest), hex);
	return true;
}

static char *
canonical_request(const SaasSigv4Request *request, const SaasSigv4Signature *signature,
				  SaasStrbuf *names, SaasArena *arena)
{
	size_t		path_length = strcspn(request->target, "?");
	const char *query = request->target + path_length;
	char	   *path = normalize_path(request->target, path_length, arena);
	char		payload[HEX_DIGEST];
	SaasStrbuf	canonical;

	SaasStrbufInit(&canonical, arena);
	if (path == NULL || !hex_digest(request->body != NULL ? request->body : "",
									request->body != NULL ? request->body_length : 0, payload))
		return NULL;
	SaasStrbufPrintf(&canonical, "%s\n", request->method);
	append_path(&canonical, path);
	SaasStrbufAppendChar(&canonical, '\n');
	if (!append_query(&canonical, *query == '?' ? query + 1 : query))
		return NULL;
	SaasStrbufAppendChar(&canonical, '\n');
	if (!append_headers(&canonical, names, request, signature) || SaasStrbufFinish(names) == NULL)
		return NULL;
	SaasStrbufPrintf(&canonical, "\n\n%s\n%s", names->data, payload);
	return SaasStrbufFinish(&canonical);
}

/* Date, region, service and the end, each keyed with what came out before. */
static bool
sign_text(const SaasSigv4Signer *signer, const char *date, const char *text, char hex[HEX_DIGEST])
{
	const char *const parts[] = {signer->region, signer->service, SCOPE_END, text};
	size_t		secret_length = strlen(signer->secret_access_key);
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	char	   *first = malloc(secret_length + 4);
	bool		done = first != NULL;

	if (done)
	{
		memcpy(first, "AWS4", 4);
		memcpy(first + 4, signer->secret_access_key, secret_length);
		done = SaasHmacSha256(first, secret_length + 4, date, 8, digest);
		SaasWipe(first, secret_length + 4);
	}
	free(first);
	for (size_t i = 0; done && i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		uint8_t		next[SAAS_DIGEST_LENGTH];

		done = SaasHmacSha256(digest, sizeof(digest), parts[i], strlen(parts[i]), next);
		memcpy(digest, next, sizeof(digest));
		SaasWipe(next, sizeof(next));
	}
	if (done)
		SaasHexEncode(digest, sizeof(digest), hex);
	SaasWipe(digest, sizeof(digest));
	return done;
}

static bool
is_name(const char *text)
{
	size_t		length = text != NULL ? strlen(text) : 0;

	return length > 0 && length <= MAX_NAME &&
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == length;
}

/* Printable ASCII without blanks: it goes into a header. */
static bool
is_token(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return *text != '\0';
}

static bool
check_headers(const SaasHeader *headers, SaasProblem *problem)
{
	static const char *const added[] = {"authorization", "x-amz-date", "x-amz-security-token"};
	bool		has_host = false;

	for (; headers != NULL; headers = headers->next)
	{
		for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++)
			if (strcasecmp(headers->name, added[i]) == 0)
				return SaasProblemSet(problem, "22023", "header %s is made by signing", added[i]);
		has_host = has_host || strcasecmp(headers->name, "host") == 0;
	}
	return has_host || SaasProblemSet(problem, "22023", "a request without a Host header cannot be signed");
}

static bool
check_signer(const SaasSigv4Signer *signer, SaasProblem *problem)
{
	if (!is_name(signer->access_key_id))
		return SaasProblemSet(problem, "22023", "the access key id is malformed");
	if (signer->secret_access_key == NULL || signer->secret_access_key[0] == '\0')
		return SaasProblemSet(problem, "22023", "the secret access key is missing");
	if (signer->session_token != NULL && !is_token(signer->session_token))
		return SaasProblemSet(problem, "22023", "the session token is malformed");
	if (!is_name(signer->region))
		return SaasProblemSet(problem, "22023", "the region is malformed");
	return is_name(signer->service) || SaasProblemSet(problem, "22023", "the service is malformed");
}

static bool
write_time(int64_t seconds, char text[TIME_LENGTH], SaasProblem *problem)
{
	time_t		time = (time_t) seconds;
	struct tm	parts;

	if (seconds < SAAS_MIN_TIME_MS / 1000 || seconds > SAAS_MAX_TIME_MS / 1000 ||
		gmtime_r(&time, &parts) == NULL || strftime(text, TIME_LENGTH, "%Y%m%dT%H%M%SZ", &parts) != TIME_LENGTH - 1)
		return SaasProblemSet(problem, "22008", "the time of a signature must lie in the years 1000 to 9999");
	return true;
}

bool
SaasSigv4Sign(const SaasSigv4Signer *signer, const SaasSigv4Request *request,
			  SaasArena *arena, SaasSigv4Signature *signature, SaasProblem *problem)
{
	char		time[TIME_LENGTH];
	char		digest[HEX_DIGEST];
	char		hex[HEX_DIGEST];
	const char *scope;
	const char *to_sign;
	SaasStrbuf	names;

	memset(signature, 0, sizeof(*signature));
	if (!check_signer(signer, problem) || !check_headers(request->headers, problem) ||
		!write_time(signer->now_s, time, problem))
		return false;
	signature->date = SaasArenaStrdup(arena, time);
	signature->session_token = signer->session_token;
	if (signature->date == NULL)
		return no_memory(problem);
	SaasStrbufInit(&names, arena);
	signature->canonical_request = canonical_request(request, signature, &names, arena);
	if (signature->canonical_request == NULL ||
		!hex_digest(signature->canonical_request, strlen(signature->canonical_request), digest))
		return no_memory(problem);
	scope = SaasArenaPrintf(arena, "%.8s/%s/%s/%s", time, signer->region, signer->service, SCOPE_END);
	to_sign = SaasArenaPrintf(arena, "%s\n%s\n%s\n%s", ALGORITHM, time, scope, digest);
	if (scope == NULL || to_sign == NULL || !sign_text(signer, time, to_sign, hex))
		return no_memory(problem);
	signature->authorization =
		SaasArenaPrintf(arena, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
						signer->access_key_id, scope, names.data, hex);
	return signature->authorization != NULL || no_memory(problem);
}
