/*
 * json_length.c
 *	  How long a JSON value is as text, without writing it down.
 */
#include "server/json_length.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

#define SEPARATOR	2			/* ", " and ": " */

static Size
string_length(const JsonbValue *value)
{
	StringInfoData text;
	char	   *plain = pnstrdup(value->val.string.val, value->val.string.len);
	Size		length;

	initStringInfo(&text);
	escape_json(&text, plain);
	length = text.len;
	pfree(text.data);
	pfree(plain);
	return length;
}

static Size
scalar_length(const JsonbValue *value)
{
	char	   *text;
	Size		length;

	if (value->type == jbvString)
		return string_length(value);
	if (value->type == jbvBool)
		return value->val.boolean ? 4 : 5;
	if (value->type != jbvNumeric)
		return 4;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	length = strlen(text);
	pfree(text);
	return length;
}

bool
SaasJsonIsLonger(Jsonb *value, Size max_bytes)
{
	JsonbIterator *iterator = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	bool		is_empty = true;	/* the container that is open */
	Size		length = 0;

	/* Each value counts with the separator behind it, the last one's is taken back. */
	while (length <= max_bytes + SEPARATOR &&
		   (token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			length++;
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			length += 1 + (is_empty ? SEPARATOR : 0);
		else
			length += scalar_length(&item) + SEPARATOR;
		is_empty = token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT;
	}
	return length > max_bytes + SEPARATOR;
}
