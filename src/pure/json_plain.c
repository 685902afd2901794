/*
 * json_plain.c
 *	  A quick reader of the plainest JSON objects, such as the payload of nearly
 *	  every token: jansson handles a string byte by byte, which costs more than
 *	  the MAC of the token.
 *
 * It never refuses: whatever it does not know is left to jansson, with all of
 * its checks.
 */
#include "pure/json_plain.h"

#include <stdbool.h>
#include <string.h>

#include "pure/json.h"

#define MAX_NAME	63
#define MAX_DIGITS	18

typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

static void
skip_blanks(Cursor *cursor)
{
	while (cursor->at < cursor->end &&
		   (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n' || *cursor->at == '\r'))
		cursor->at++;
}

/* Takes that character, after blanks, if it comes next. */
static bool
take(Cursor *cursor, char wanted)
{
	skip_blanks(cursor);
	if (cursor->at == cursor->end || *cursor->at != wanted)
		return false;
	cursor->at++;
	return true;
}

/* What is between the quotes; NULL when it is not plain. */
static const char *
read_string(Cursor *cursor, size_t *length)
{
	const char *start;

	if (!take(cursor, '"'))
		return NULL;
	start = cursor->at;
	while (cursor->at < cursor->end && *cursor->at >= ' ' && *cursor->at <= '~' &&
		   *cursor->at != '"' && *cursor->at != '\\')
		cursor->at++;
	if (cursor->at == cursor->end || *cursor->at != '"')
		return NULL;
	*length = (size_t) (cursor->at - start);
	cursor->at++;
	return start;
}

/* More digits, a fraction or an exponent end neither a member nor the object. */
static json_t *
read_integer(Cursor *cursor)
{
	bool		is_negative = take(cursor, '-');
	json_int_t	value = 0;
	const char *start = cursor->at;
	int			digits;

	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' &&
		   cursor->at - start < MAX_DIGITS)
		value = value * 10 + (*cursor->at++ - '0');
	digits = (int) (cursor->at - start);
	if (digits == 0 || (*start == '0' && (digits > 1 || is_negative)))
		return NULL;
	return json_integer(is_negative ? -value : value);
}

static json_t *
read_value(Cursor *cursor)
{
	const char *text;
	size_t		length;

	skip_blanks(cursor);
	if (cursor->at == cursor->end || *cursor->at != '"')
		return read_integer(cursor);
	text = read_string(cursor, &length);
	return text == NULL ? NULL : json_stringn_nocheck(text, length);
}

static bool
read_member(Cursor *cursor, json_t *object)
{
	char		name[MAX_NAME + 1];
	size_t		length;
	const char *text = read_string(cursor, &length);

	if (text == NULL || length == 0 || length > MAX_NAME)
		return false;
	memcpy(name, text, length);
	name[length] = '\0';
	if (json_object_get(object, name) != NULL || !take(cursor, ':'))
		return false;
	/* It takes the value, and fails when there is none. */
	return json_object_set_new_nocheck(object, name, read_value(cursor)) == 0;
}

static bool
read_members(Cursor *cursor, json_t *object)
{
	if (!take(cursor, '{'))
		return false;
	do
	{
		if (!read_member(cursor, object))
			return false;
	} while (take(cursor, ','));
	if (!take(cursor, '}'))
		return false;
	skip_blanks(cursor);
	return cursor->at == cursor->end;
}

json_t *
SaasJsonReadPlain(const char *text, size_t length)
{
	Cursor		cursor = {text, text + length};
	json_t	   *object;

	SaasJsonSetUp();
	/* Its own function for this has the name of one of PostgreSQL's. */
	object = json_pack("{}");
	if (object != NULL && read_members(&cursor, object))
		return object;
	json_decref(object);
	return NULL;
}
