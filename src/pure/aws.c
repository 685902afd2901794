/*
 * aws.c
 *	  What AWS's APIs write and how.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "pure/aws.h"
#include "pure/json.h"

#define MAX_XML_TEXT	8192
#define MAX_ERROR		65536	/* bytes of an answer that are searched for its word */

/* The value of a line that begins with the name; NULL when it does not, or is not a key. */
static const char *
value_of(const char *line, size_t length, const char *name, SaasArena *arena)
{
	size_t		prefix = strlen(name);

	if (length <= prefix || memcmp(line, name, prefix) != 0)
		return NULL;
	for (size_t i = prefix; i < length; i++)
		if (line[i] <= ' ' || line[i] > '~')
			return NULL;
	return SaasArenaStrndup(arena, line + prefix, length - prefix);
}

bool
SaasAwsKeysParse(const char *text, size_t length, SaasArena *arena, const char **access_key_id,
				 const char **secret_access_key, SaasProblem *problem)
{
	const char *end = text + length;
	int			strangers = 0;

	*access_key_id = *secret_access_key = NULL;
	for (const char *line = text; line < end;)
	{
		const char *newline = memchr(line, '\n', (size_t) (end - line));
		const char *stop = newline ? newline : end;
		const char *first = line;
		size_t		rest;

		line = newline ? newline + 1 : end;
		while (first < stop && isspace((unsigned char) *first))
			first++;
		while (stop > first && isspace((unsigned char) stop[-1]))
			stop--;
		rest = (size_t) (stop - first);
		if (rest == 0 || *first == '#')
			continue;
		if (*access_key_id == NULL && value_of(first, rest, "access_key_id:", arena) != NULL)
			*access_key_id = value_of(first, rest, "access_key_id:", arena);
		else if (*secret_access_key == NULL && value_of(first, rest, "secret_access_key:", arena) != NULL)
			*secret_access_key = value_of(first, rest, "secret_access_key:", arena);
		else
			strangers++;
	}
	if (*access_key_id != NULL && *secret_access_key != NULL && strangers == 0)
		return true;
	SaasProblemHint(problem, "It has a line \"access_key_id:...\" and a line \"secret_access_key:...\".");
	return SaasProblemSet(problem, "F0000", "the AWS credentials file does not hold one pair of keys");
}

bool
SaasAwsIsAccount(const char *text)
{
	return strlen(text) == SAAS_AWS_ACCOUNT_LENGTH &&
		strspn(text, "0123456789") == SAAS_AWS_ACCOUNT_LENGTH;
}

bool
SaasAwsListHas(const char *list, const char *item)
{
	size_t		length = strlen(item);

	while (list != NULL && *list != '\0')
	{
		size_t		word;

		list += strspn(list, ", \t\r\n");
		word = strcspn(list, ", \t\r\n");
		if (word == length && length > 0 && memcmp(list, item, length) == 0)
			return true;
		list += word;
	}
	return false;
}

/*
 * A word begins at an upper-case letter after a lower-case one, and at the
 * last of several when a lower-case one follows: CPUUtilization is two words.
 */
static bool
begins_word(const char *text, size_t i)
{
	unsigned char before = i > 0 ? (unsigned char) text[i - 1] : ' ';

	if (!isupper((unsigned char) text[i]))
		return false;
	return islower(before) || ((isupper(before) || isdigit(before)) && islower((unsigned char) text[i + 1]));
}

static void
append_snake(SaasStrbuf *out, const char *text)
{
	bool		gap = true;

	for (size_t i = 0; text[i] != '\0'; i++)
	{
		if (!isalnum((unsigned char) text[i]))
		{
			gap = true;
			continue;
		}
		if (gap || begins_word(text, i))
			SaasStrbufAppendChar(out, '_');
		gap = false;
		SaasStrbufAppendChar(out, (char) tolower((unsigned char) text[i]));
	}
}

const char *
SaasAwsMetricName(const char *name_space, const char *name, const char *stat, SaasArena *arena)
{
	SaasStrbuf	out;

	SaasStrbufInit(&out, arena);
	SaasStrbufAppendText(&out, "aws");
	append_snake(&out, strncmp(name_space, "AWS/", 4) == 0 ? name_space + 4 : name_space);
	append_snake(&out, name);
	append_snake(&out, stat);
	return SaasStrbufFinish(&out);
}

/* The character of a reference such as "&amp;", moving behind it; 0 when unknown. */
static char
resolve_reference(const char **text)
{
	static const struct
	{
		const char *name;
		char		character;
	}			known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		size_t		length = strlen(known[i].name);

		if (strncmp(*text, known[i].name, length) == 0)
		{
			*text += length;
			return known[i].character;
		}
	}
	return 0;
}

/* Reads up to the end tag. */
static const char *
read_text(const char *text, const char *end, SaasArena *arena)
{
	char	   *out = SaasArenaAlloc(arena, (size_t) (end - text) + 1);
	size_t		length = 0;

	while (out != NULL && text < end)
	{
		char		c = *text;

		if (c == '&')
			c = resolve_reference(&text);
		else
			text++;
		if (c < ' ' || c > '~')
			return NULL;
		out[length++] = c;
	}
	return out;
}

const char *
SaasAwsXmlText(const char *body, const char *name, SaasArena *arena)
{
	char		tag[64];
	const char *start;
	const char *end;

	snprintf(tag, sizeof(tag), "<%.60s>", name);
	start = strstr(body, tag);
	if (start == NULL)
		return NULL;
	start += strlen(tag);
	end = start + strcspn(start, "<");
	if (end == start || end - start > MAX_XML_TEXT)
		return NULL;
	snprintf(tag, sizeof(tag), "</%.60s>", name);
	return strncmp(end, tag, strlen(tag)) == 0 ? read_text(start, end, arena) : NULL;
}

bool
SaasAwsReadSession(const char *body, SaasArena *arena, SaasAwsSession *session)
{
	const char *credentials = strstr(body, "<Credentials>");
	const char *expiration;

	memset(session, 0, sizeof(*session));
	if (credentials == NULL)
		return false;
	session->access_key_id = SaasAwsXmlText(credentials, "AccessKeyId", arena);
	session->secret_access_key = SaasAwsXmlText(credentials, "SecretAccessKey", arena);
	session->session_token = SaasAwsXmlText(credentials, "SessionToken", arena);
	expiration = SaasAwsXmlText(credentials, "Expiration", arena);
	if (expiration == NULL || !SaasCalendarParseIso(expiration, &session->expires_ms))
		session->expires_ms = 0;
	return session->access_key_id != NULL && session->secret_access_key != NULL &&
		session->session_token != NULL;
}

static const char *
json_code(const SaasResponse *response, SaasArena *arena)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *answer = SaasJsonRead(response->body, response->body_length, true, "the answer", &problem);
	const char *code = answer != NULL ? SaasJsonText(answer, "__type") : NULL;

	if (code == NULL && answer != NULL)
		code = SaasJsonText(answer, "code");
	code = SaasArenaStrdup(arena, code);
	json_decref(answer);
	return code;
}

const char *
SaasAwsErrorCode(const SaasResponse *response, SaasArena *arena)
{
	const char *header = SaasResponseHeader(response, "x-amzn-query-error");
	const char *code = NULL;
	const char *hash;

	if (response->body_length < MAX_ERROR)
	{
		code = SaasAwsXmlText(response->body, "Code", arena);
		if (code == NULL)
			code = json_code(response, arena);
	}
	if (code == NULL && header != NULL)
		code = SaasArenaStrndup(arena, header, strcspn(header, ";"));
	if (code == NULL)
		return NULL;
	hash = strrchr(code, '#');
	return hash != NULL ? hash + 1 : code;
}

SaasAwsFault
SaasAwsFaultOf(const char *code)
{
	static const struct
	{
		const char *code;
		SaasAwsFault fault;
	}			known[] = {
		{"Throttling", SAAS_AWS_THROTTLED},
		{"ThrottlingException", SAAS_AWS_THROTTLED},
		{"ThrottledException", SAAS_AWS_THROTTLED},
		{"RequestThrottled", SAAS_AWS_THROTTLED},
		{"RequestThrottledException", SAAS_AWS_THROTTLED},
		{"RequestLimitExceeded", SAAS_AWS_THROTTLED},
		{"TooManyRequestsException", SAAS_AWS_THROTTLED},
		{"LimitExceededException", SAAS_AWS_THROTTLED},
		{"SlowDown", SAAS_AWS_THROTTLED},
		{"AccessDenied", SAAS_AWS_DENIED},
		{"AccessDeniedException", SAAS_AWS_DENIED},
		{"UnauthorizedOperation", SAAS_AWS_DENIED},
		{"SignatureDoesNotMatch", SAAS_AWS_SIGNATURE},
		{"InvalidSignatureException", SAAS_AWS_SIGNATURE},
		{"RequestExpired", SAAS_AWS_SIGNATURE},
		{"RequestTimeTooSkewed", SAAS_AWS_SIGNATURE},
		{"ExpiredToken", SAAS_AWS_EXPIRED},
		{"ExpiredTokenException", SAAS_AWS_EXPIRED},
		{"InvalidClientTokenId", SAAS_AWS_EXPIRED},
		{"UnrecognizedClientException", SAAS_AWS_EXPIRED},
		{"InvalidAccessKeyId", SAAS_AWS_EXPIRED},
		{"RegionDisabledException", SAAS_AWS_REGION},
		{"OptInRequired", SAAS_AWS_REGION},
		{"InternalFailure", SAAS_AWS_INTERNAL},
		{"InternalServiceFault", SAAS_AWS_INTERNAL},
		{"InternalServiceError", SAAS_AWS_INTERNAL},
		{"ServiceUnavailable", SAAS_AWS_INTERNAL},
		{"InvalidNextToken", SAAS_AWS_INTERNAL}
	};

	for (size_t i = 0; code != NULL && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(code, known[i].code) == 0)
			return known[i].fault;
	return SAAS_AWS_OTHER;
}
