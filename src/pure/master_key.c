/*
 * master_key.c
 *	  Reader of the text that holds the master keys.
 */
#include "pure/master_key.h"

#include <ctype.h>
#include <string.h>

#define BAD_FILE	"F0000"

static bool
parse_version(const char *text, size_t length, int *version)
{
	int			value = 0;

	if (length == 0 || length > 6)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*version = value;
	return value > 0;
}

static bool
set_fingerprint(SaasMasterKey *key)
{
	uint8_t		digest[SAAS_DIGEST_LENGTH];
	bool		done = SaasSha256(key->key, sizeof(key->key), digest);

	if (done)
		SaasHexEncode(digest, (SAAS_FINGERPRINT_SIZE - 1) / 2, key->fingerprint);
	SaasWipe(digest, sizeof(digest));
	return done;
}

static bool
parse_line(const char *line, size_t length, int number, const char *source,
		   SaasMasterKeys *keys, SaasProblem *problem)
{
	const char *colon = memchr(line, ':', length);
	char		digits[2 * SAAS_KEY_LENGTH + 1];
	SaasMasterKey *key;
	int			version;
	bool		decoded;

	if (colon == NULL || !parse_version(line, (size_t) (colon - line), &version) ||
		length - (size_t) (colon - line) - 1 != 2 * SAAS_KEY_LENGTH)
		return SaasProblemSet(problem, BAD_FILE,
							  "line %d of %s is not \"version:64 hex digits\"", number, source);
	if (SaasMasterKeyFind(keys, version) != NULL)
		return SaasProblemSet(problem, BAD_FILE,
							  "line %d of %s repeats version %d", number, source, version);
	if (keys->count == SAAS_MAX_MASTER_KEYS)
		return SaasProblemSet(problem, BAD_FILE,
							  "%s holds more than %d keys", source, SAAS_MAX_MASTER_KEYS);
	key = &keys->items[keys->count];
	key->version = version;
	memcpy(digits, colon + 1, 2 * SAAS_KEY_LENGTH);
	digits[2 * SAAS_KEY_LENGTH] = '\0';
	decoded = SaasHexDecode(digits, key->key, SAAS_KEY_LENGTH) && set_fingerprint(key);
	SaasWipe(digits, sizeof(digits));
	if (!decoded)
		return SaasProblemSet(problem, BAD_FILE,
							  "line %d of %s is not \"version:64 hex digits\"", number, source);
	keys->count++;
	return true;
}

bool
SaasMasterKeysParse(const char *text, size_t length, const char *source,
					SaasMasterKeys *keys, SaasProblem *problem)
{
	const char *end = text + length;
	int			number = 0;

	keys->count = 0;
	for (const char *line = text; line < end;)
	{
		const char *newline = memchr(line, '\n', (size_t) (end - line));
		const char *stop = newline ? newline : end;
		const char *first = line;

		number++;
		line = newline ? newline + 1 : end;
		while (first < stop && isspace((unsigned char) *first))
			first++;
		while (stop > first && isspace((unsigned char) stop[-1]))
			stop--;
		if (first == stop || *first == '#')
			continue;
		if (!parse_line(first, (size_t) (stop - first), number, source, keys, problem))
			return false;
	}
	if (keys->count == 0)
		return SaasProblemSet(problem, BAD_FILE, "%s holds no key", source);
	return true;
}

const SaasMasterKey *
SaasMasterKeyFind(const SaasMasterKeys *keys, int version)
{
	const SaasMasterKey *best = NULL;

	for (int i = 0; i < keys->count; i++)
	{
		const SaasMasterKey *key = &keys->items[i];

		if (version == 0 ? (best == NULL || key->version > best->version) : key->version == version)
			best = key;
	}
	return best;
}
