/*
 * json.c
 *	  Guarded door to jansson for documents that a peer sent.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "pure/json.h"

static void
wipe_and_free(void *memory)
{
	if (memory != NULL)
		OPENSSL_cleanse(memory, malloc_usable_size(memory));
	free(memory);
}

/*
 * An upper bound of the values in the text that needs no memory: every value
 * but the first follows a bracket, a brace or a comma outside of strings.
 */
static size_t
count_values(const char *text, size_t length)
{
	size_t		count = 1;
	bool		in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		char		c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == '{' || c == ','))
			count++;
	}
	return count;
}

static bool
is_blank(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (memchr(" \t\r\n", text[i], 4) == NULL)
			return false;
	return true;
}

static const char *
describe_error(const json_error_t *error)
{
	switch (json_error_code(error))
	{
		case json_error_premature_end_of_input:
			return "it ends too early";
		case json_error_end_of_input_expected:
			return "text after the value";
		case json_error_invalid_utf8:
			return "invalid UTF-8";
		case json_error_null_character:
		case json_error_null_byte_in_key:
			return "a NUL character";
		case json_error_duplicate_key:
			return "a key occurs twice";
		case json_error_numeric_overflow:
			return "a number is too large";
		case json_error_stack_overflow:
			return "nested too deeply";
		case json_error_out_of_memory:
			return "out of memory";
		default:
			return "invalid syntax";
	}
}

void
SaasJsonSetUp(void)
{
	json_set_alloc_funcs(malloc, wipe_and_free);
}

json_t *
SaasJsonRead(const char *text, size_t length, bool all_real,
			 const char *what, SaasProblem *problem)
{
	size_t		flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES;
	json_error_t error;
	json_t	   *value;

	if (is_blank(text, length))
	{
		SaasProblemSet(problem, "22P02", "%s is empty", what);
		return NULL;
	}
	if (count_values(text, length) > SAAS_JSON_MAX_VALUES)
	{
		SaasProblemSet(problem, "54000", "%s holds more than %d values", what,
					   SAAS_JSON_MAX_VALUES);
		return NULL;
	}
	if (all_real)
		flags |= JSON_DECODE_INT_AS_REAL;
	SaasJsonSetUp();
	value = json_loadb(text, length, flags, &error);
	if (value == NULL)
		SaasProblemSet(problem, "22P02", "%s is not JSON: line %d, column %d: %s", what,
					   error.line, error.column, describe_error(&error));
	return value;
}

const char *
SaasJsonText(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}
