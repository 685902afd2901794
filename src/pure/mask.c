/*
 * mask.c
 *	  What must not be written down.
 *
 * Rather too much than too little: a masked name of a token costs a reader a
 * question, a shown one the customer's account.
 */
#include "pure/mask.h"

#include <string.h>

#define LONGEST_NAME	128
#define MIN_API_KEY		20		/* characters after saas_ */
#define MIN_RANDOM		40
#define MIN_SEALED		44		/* base64 of 33 bytes */
#define MIN_JWT_PART	8
#define BCRYPT_LENGTH	60
#define AWS_KEY_LENGTH	20

#define DIGITS		"0123456789"
#define UPPER		"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER		"abcdefghijklmnopqrstuvwxyz"
#define BASE62		DIGITS UPPER LOWER
#define BASE64URL	BASE62 "-_"
#define BASE64		BASE62 "+/="

#define COUNT(list)	(sizeof(list) / sizeof((list)[0]))

/* A slice of the text; nothing here is terminated. */
typedef struct Slice
{
	const char *at;
	size_t		length;
} Slice;

static bool
is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* How many characters from there on are of the set. */
static size_t
span(Slice text, size_t from, const char *set)
{
	size_t		end = from;

	while (end < text.length && is_in(text.at[end], set))
		end++;
	return end - from;
}

static bool
starts_with(Slice text, size_t from, const char *word)
{
	size_t		length = strlen(word);

	return text.length - from >= length && memcmp(text.at + from, word, length) == 0;
}

/* Letters and digits in lower case; a name that is too long is judged by its beginning. */
static size_t
plain_name(const char *name, size_t length, char plain[LONGEST_NAME + 1])
{
	size_t		used = 0;

	for (size_t i = 0; i < length && used < LONGEST_NAME; i++)
	{
		char		c = name[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (is_in(c, DIGITS LOWER))
			plain[used++] = c;
	}
	plain[used] = '\0';
	return used;
}

bool
SaasMaskNamesSecret(const char *name, size_t length)
{
	static const char *const parts[] = {
		"password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "privatekey",
		"accesskey", "signingkey", "masterkey", "datakey", "credential", "authorization", "cookie",
		"bearer", "recoverycode", "otpauth", "totp", "clientid", "externalid"
	};
	static const char *const words[] = {"pwd", "pass", "pin", "otp"};
	char		plain[LONGEST_NAME + 1];

	(void) plain_name(name, length, plain);
	for (size_t i = 0; i < COUNT(parts); i++)
	{
		if (strstr(plain, parts[i]))
			return true;
	}
	for (size_t i = 0; i < COUNT(words); i++)
	{
		if (strcmp(plain, words[i]) == 0)
			return true;
	}
	return false;
}

/* Header and payload of a JWS or JWE (RFC 7515, section 3.1): both are JSON objects in base64url. */
static bool
is_jwt_at(Slice text, size_t from)
{
	size_t		header;
	size_t		payload;

	if (!starts_with(text, from, "eyJ"))
		return false;
	header = span(text, from, BASE64URL);
	if (header < MIN_JWT_PART || from + header >= text.length || text.at[from + header] != '.')
		return false;
	payload = span(text, from + header + 1, BASE64URL);
	return payload >= MIN_JWT_PART;
}

static bool
is_url_password_at(Slice text, size_t from)
{
	size_t		user;
	size_t		password;

	if (!starts_with(text, from, "://"))
		return false;
	from += strlen("://");
	for (user = from; user < text.length && !is_in(text.at[user], ":/@?# "); user++)
		;
	if (user >= text.length || text.at[user] != ':')
		return false;
	for (password = user + 1; password < text.length && !is_in(text.at[password], "/@?# "); password++)
		;
	return password < text.length && text.at[password] == '@';
}

static bool
is_bcrypt_at(Slice text, size_t from)
{
	return starts_with(text, from, "$2") && text.length - from >= BCRYPT_LENGTH &&
		text.at[from + 3] == '$' && text.at[from + 6] == '$';
}

static bool
is_aws_key_at(Slice text, size_t from)
{
	return (starts_with(text, from, "AKIA") || starts_with(text, from, "ASIA")) &&
		span(text, from, UPPER DIGITS) == AWS_KEY_LENGTH;
}

static bool
is_authorization_at(Slice text, size_t from)
{
	static const char *const schemes[] = {"Bearer ", "bearer ", "Basic ", "basic "};

	for (size_t i = 0; i < COUNT(schemes); i++)
	{
		if (starts_with(text, from, schemes[i]))
			return span(text, from + strlen(schemes[i]), BASE64URL BASE64 ".~") >= MIN_API_KEY;
	}
	return false;
}

/* Digits of a token that nobody has written by hand: long, and of all three kinds. */
static bool
is_random(Slice text, size_t from, size_t length)
{
	bool		has_digit = false;
	bool		has_upper = false;
	bool		has_lower = false;

	if (length < MIN_RANDOM)
		return false;
	for (size_t i = from; i < from + length; i++)
	{
		has_digit |= is_in(text.at[i], DIGITS);
		has_upper |= is_in(text.at[i], UPPER);
		has_lower |= is_in(text.at[i], LOWER);
	}
	return has_digit && has_upper && has_lower;
}

/* base64 or hex of format 1 and a key version below 2^24 (state/sealed.h). */
static bool
is_sealed_at(Slice text, size_t from)
{
	if (starts_with(text, from, "AQAA"))
		return span(text, from, BASE64) >= MIN_SEALED;
	if (starts_with(text, from, "\\x0100"))
		return span(text, from + 2, DIGITS "abcdef") >= MIN_SEALED;
	return false;
}

static bool
is_secret_at(Slice text, size_t from)
{
	return (starts_with(text, from, "saas_") && span(text, from + 5, BASE62) >= MIN_API_KEY) ||
		(starts_with(text, from, "-----BEGIN ")) || is_jwt_at(text, from) ||
		is_url_password_at(text, from) || is_bcrypt_at(text, from) || is_aws_key_at(text, from) ||
		is_authorization_at(text, from) || is_sealed_at(text, from);
}

bool
SaasMaskLooksSecret(const char *text, size_t length)
{
	Slice		slice = {text, length};

	for (size_t i = 0; i < length; i++)
	{
		/* Every shape begins with one of these. */
		if (is_in(text[i], "s-e:$ABb\\") && is_secret_at(slice, i))
			return true;
	}
	for (size_t i = 0; i < length; i++)
	{
		size_t		run = span(slice, i, BASE64URL);

		if (is_random(slice, i, run))
			return true;
		i += run;
	}
	return false;
}
