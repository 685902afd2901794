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
#define LONGEST_TOKEN	256		/* what is looked at from one place on, so that cost stays linear */
#define MIN_API_KEY		20		/* characters after saas_ */
#define MIN_RANDOM		40
#define MIN_MIXED		24		/* of a run that changes its kind every third character */
#define MIN_CREDENTIAL	8		/* of mixed kinds after Basic: user:pass has 12 */
#define MIN_URL_TOKEN	16		/* https://<token>@host */
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

/* How many characters from there on are of the set, or most if there are more. */
static size_t
span_of(Slice text, size_t from, const char *set, size_t most)
{
	size_t		end = from;

	while (end < text.length && end - from < most && is_in(text.at[end], set))
		end++;
	return end - from;
}

static size_t
span(Slice text, size_t from, const char *set)
{
	return span_of(text, from, set, LONGEST_TOKEN);
}

/* How many are not. */
static size_t
span_until(Slice text, size_t from, const char *set)
{
	size_t		end = from;

	while (end < text.length && end - from < LONGEST_TOKEN && !is_in(text.at[end], set))
		end++;
	return end - from;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
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
		char		c = lower(name[i]);

		if (is_in(c, DIGITS LOWER))
			plain[used++] = c;
	}
	plain[used] = '\0';
	return used;
}

/* Where the last word begins: after punctuation, or a capital after none. */
static size_t
last_word(const char *name, size_t length)
{
	size_t		at = length;

	while (at > 0 && is_in(name[at - 1], BASE62))
	{
		at--;
		if (at > 0 && is_in(name[at], UPPER) && is_in(name[at - 1], DIGITS LOWER))
			break;
	}
	return at;
}

static bool
is_word(const char *text, size_t length, const char *word)
{
	if (strlen(word) != length)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (lower(text[i]) != word[i])
			return false;
	}
	return true;
}

bool
SaasMaskNamesSecret(const char *name, size_t length)
{
	static const char *const parts[] = {
		"password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "apikey", "privatekey",
		"accesskey", "accountkey", "sharedkey", "encryptionkey", "signingkey", "masterkey", "datakey",
		"connectionstring", "credential", "authorization", "cookie", "bearer", "recoverycode",
		"verificationcode", "otpauth", "totp", "clientid", "externalid"
	};
	static const char *const words[] = {"pass", "pin", "otp", "cvv", "cvc"};
	char		plain[LONGEST_NAME + 1];
	size_t		last = last_word(name, length);

	(void) plain_name(name, length, plain);
	for (size_t i = 0; i < COUNT(parts); i++)
	{
		if (strstr(plain, parts[i]))
			return true;
	}
	for (size_t i = 0; i < COUNT(words); i++)
	{
		if (is_word(name + last, length - last, words[i]))
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
is_at(Slice text, size_t at, char c)
{
	return at < text.length && text.at[at] == c;
}

/* A password may hold what should be escaped, but a port is a number. */
static bool
is_url_password_at(Slice text, size_t from)
{
	size_t		user;
	size_t		port;
	size_t		end;

	if (!starts_with(text, from, "://"))
		return false;
	from += strlen("://");
	user = from + span_until(text, from, ":/@?# \t\r\n");
	if (is_at(text, user, '@'))
		return user - from >= MIN_URL_TOKEN;
	if (!is_at(text, user, ':'))
		return false;
	port = user + 1 + span(text, user + 1, DIGITS);
	if (port >= text.length || is_in(text.at[port], "/?# \t\r\n"))
		return false;
	end = user + 1 + span_until(text, user + 1, "@ \t\r\n");
	return is_at(text, end, '@');
}

/* bcrypt, crypt(3), argon2 and the like, and what PostgreSQL keeps. */
static bool
is_password_hash_at(Slice text, size_t from)
{
	static const char *const marks[] = {"SCRAM-SHA-256$", "$argon2", "$scrypt$", "$pbkdf2", "$1$", "$5$", "$6$", "$y$"};

	if (starts_with(text, from, "$2") && text.length - from >= BCRYPT_LENGTH &&
		text.at[from + 3] == '$' && text.at[from + 6] == '$')
		return true;
	for (size_t i = 0; i < COUNT(marks); i++)
	{
		if (starts_with(text, from, marks[i]))
			return span_until(text, from, " \t\r\n\"'") >= MIN_API_KEY + strlen(marks[i]);
	}
	return false;
}

static bool
is_aws_key_at(Slice text, size_t from)
{
	return (starts_with(text, from, "AKIA") || starts_with(text, from, "ASIA")) &&
		span_of(text, from, UPPER DIGITS, AWS_KEY_LENGTH + 1) == AWS_KEY_LENGTH;
}

typedef struct Kinds
{
	bool		has_digit;
	bool		has_upper;
	bool		has_lower;
	size_t		changes;		/* places where the next character is of another kind */
} Kinds;

static int
kind(char c)
{
	return is_in(c, DIGITS) ? 1 : is_in(c, UPPER) ? 2 : is_in(c, LOWER) ? 3 : 0;
}

static Kinds
kinds_of(Slice text, size_t from, size_t length)
{
	Kinds		kinds = {0};

	for (size_t i = from; i < from + length; i++)
	{
		int			this = kind(text.at[i]);

		kinds.has_digit |= this == 1;
		kinds.has_upper |= this == 2;
		kinds.has_lower |= this == 3;
		kinds.changes += i > from && this != kind(text.at[i - 1]);
	}
	return kinds;
}

/*
 * "Basic Features" is none: a capital that begins a word says nothing, but
 * dXNlcjpwYXNz does.
 */
static bool
is_authorization_at(Slice text, size_t from)
{
	static const char *const schemes[] = {"bearer", "basic"};

	for (size_t i = 0; i < COUNT(schemes); i++)
	{
		size_t		value = from + strlen(schemes[i]);
		size_t		blanks;
		size_t		length;

		if (value >= text.length || !is_word(text.at + from, strlen(schemes[i]), schemes[i]))
			continue;
		blanks = span(text, value, " \t:");
		length = span(text, value + blanks, BASE64URL BASE64 ".~");
		return blanks > 0 &&
			(length >= MIN_API_KEY ||
			 (length >= MIN_CREDENTIAL && kinds_of(text, value + blanks, length).changes >= 2));
	}
	return false;
}

/*
 * Digits of a token that nobody has written by hand: of all three kinds, and
 * long, or changing between them as words do not.
 */
static bool
is_random(Slice text, size_t from, size_t length)
{
	Kinds		kinds;

	if (length < MIN_MIXED)
		return false;
	kinds = kinds_of(text, from, length);
	return kinds.has_digit && kinds.has_upper && kinds.has_lower &&
		(length >= MIN_RANDOM || kinds.changes * 3 >= length);
}

/* base64 of keys has what separates words elsewhere; a path changes its kind less often. */
static bool
is_random_base64(Slice text, size_t from, size_t length)
{
	Kinds		kinds;

	if (length < MIN_RANDOM)
		return false;
	kinds = kinds_of(text, from, length);
	return kinds.has_digit && kinds.has_upper && kinds.has_lower && kinds.changes * 5 >= length * 2;
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
		is_url_password_at(text, from) || is_password_hash_at(text, from) || is_aws_key_at(text, from) ||
		is_authorization_at(text, from) || is_sealed_at(text, from);
}

static bool
names_secret(const char *name, size_t length)
{
	static const char *const signatures[] = {"sig", "signature"};
	size_t		last = last_word(name, length);

	for (size_t i = 0; i < COUNT(signatures); i++)
	{
		if (is_word(name + last, length - last, signatures[i]))
			return true;
	}
	return SaasMaskNamesSecret(name, length);
}

/* Of a header, a line of settings, a connection string, a query, of JSON in a text. */
static bool
is_value_at(Slice text, size_t from, char separator)
{
	size_t		value = from + span_of(text, from, " \t\"'\\", 8);
	size_t		digits;

	if (value >= text.length || is_in(text.at[value], "&;,=\r\n"))
		return false;
	/* Where a template puts one is none. */
	if (starts_with(text, value, "{{") || starts_with(text, value, "${") || is_at(text, value, '<') ||
		starts_with(text, value, SAAS_MASKED))
		return false;
	if (separator == '=')
		return true;
	if (starts_with(text, from, "//") || starts_with(text, from, ":"))
		return false;
	/* A port, or a number of tokens. */
	digits = span_of(text, value, DIGITS, 6);
	value += digits;
	return digits == 0 || digits > 5 || (value < text.length && is_in(text.at[value], BASE62));
}

static bool
is_named_value_at(Slice text, size_t separator)
{
	size_t		end = separator;
	size_t		begin;

	while (end > 0 && separator - end < 4 && is_in(text.at[end - 1], " \t\"'\\"))
		end--;
	begin = end;
	while (begin > 0 && end - begin < LONGEST_NAME && is_in(text.at[begin - 1], BASE62 "_-."))
		begin--;
	return begin < end && names_secret(text.at + begin, end - begin) &&
		is_value_at(text, separator + 1, text.at[separator]);
}

bool
SaasMaskLooksSecret(const char *text, size_t length)
{
	Slice		slice = {text, length};

	for (size_t i = 0; i < length; i++)
	{
		/* Every shape begins with one of these. */
		if (is_in(text[i], "s-e:$ABbS\\") && is_secret_at(slice, i))
			return true;
		if (is_in(text[i], ":=") && is_named_value_at(slice, i))
			return true;
	}
	for (size_t i = 0; i < length; i++)
	{
		size_t		run = span(slice, i, BASE64URL);

		if (is_random(slice, i, run))
			return true;
		i += run;
	}
	for (size_t i = 0; i < length; i++)
	{
		size_t		run = span(slice, i, BASE64);

		if (is_random_base64(slice, i, run))
			return true;
		i += run;
	}
	return false;
}
