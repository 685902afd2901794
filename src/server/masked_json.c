/*
 * masked_json.c
 *	  JSON as it may be written down.
 */
#include "postgres.h"

#include "compat.h"
#include "mb/pg_wchar.h"
#include "pure/mask.h"
#include "server/masked_json.h"
#include "utils/builtins.h"

#define SHOWN_OF_STRING		200
#define LOOKED_AT			2048	/* of a long string: what is shown, and a secret that begins there */
#define LARGE				65536	/* is shrunk before it is read */
#define MANY_MEMBERS		1000
#define LARGE_MEMBER		2048
#define SMALL_MEMBER		128
#define SHOWN_NAMES			50
#define SHOWN_OF_NAME		63

static void
set_string(JsonbValue *value, char *text)
{
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = (int) strlen(text);
}

static void
mask_string(JsonbValue *value)
{
	char	   *text = value->val.string.val;
	int			length = value->val.string.len;

	if (SaasMaskLooksSecret(text, Min(length, LOOKED_AT)))
		set_string(value, SAAS_MASKED);
	else if (length > SAAS_MASKED_STRING)
		set_string(value, psprintf("%s... (%d bytes)",
								   pnstrdup(text, pg_mbcliplen(text, length, SHOWN_OF_STRING)), length));
}

static void
mask_value(JsonbValue *value, bool is_named_secret)
{
	if (value->type == jbvNull || value->type == jbvBool)
		return;
	if (is_named_secret)
		set_string(value, SAAS_MASKED);
	else if (value->type == jbvString)
		mask_string(value);
}

static Jsonb *
mask_scalar(Jsonb *json)
{
	JsonbValue	value;

	(void) JsonbExtractScalar(&json->root, &value);
	mask_value(&value, false);
	return JsonbValueToJsonb(&value);
}

static Jsonb *
mask_container(Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbValue	value;
	JsonbIteratorToken token;
	bool		is_secret = false;

	/* What a name that says secret holds comes whole, unread. */
	while ((token = JsonbIteratorNext(&iterator, &value, is_secret)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			is_secret = SaasMaskNamesSecret(value.val.string.val, value.val.string.len);
			mask_string(&value);
		}
		else if (token == WJB_VALUE || token == WJB_ELEM)
		{
			mask_value(&value, is_secret);
			is_secret = false;
		}
		result = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}

static void
push_member(JsonbParseState **state, char *name, JsonbValue *value)
{
	JsonbValue	key;

	set_string(&key, name);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
push_count(JsonbParseState **state, char *name, int count)
{
	JsonbValue	value;

	value.type = jbvNumeric;
	value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(count)));
	push_member(state, name, &value);
}

static void
push_names(JsonbParseState **state, Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	int			count = 0;

	set_string(&value, "names");
	pushJsonbValue(state, WJB_KEY, &value);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	(void) JsonbIteratorNext(&iterator, &value, true);
	while (count < SHOWN_NAMES && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		mask_string(&value);
		value.val.string.len = pg_mbcliplen(value.val.string.val, value.val.string.len, SHOWN_OF_NAME);
		pushJsonbValue(state, WJB_ELEM, &value);
		count++;
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_size(JsonbParseState **state, int bytes)
{
	JsonbValue	value;

	value.type = jbvBool;
	value.val.boolean = true;
	push_member(state, "summarized", &value);
	push_count(state, "bytes", bytes);
}

/* {"summarized": true, "bytes": 20000, "names": [...]} or with "elements": 100. */
static Jsonb *
summarize(Jsonb *json)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_size(&state, VARSIZE(json));
	if (JB_ROOT_IS_OBJECT(json))
		push_names(&state, json);
	else if (!JB_ROOT_IS_SCALAR(json))
		push_count(&state, "elements", JB_ROOT_COUNT(json));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static int
size_of(const JsonbValue *value)
{
	if (value->type == jbvBinary)
		return value->val.binary.len;
	return value->type == jbvNumeric ? VARSIZE_ANY(value->val.numeric) : 0;
}

/*
 * Who makes one member large must not hide what became of the others: only the
 * large ones are summarized, {"summarized": true, "bytes": 20000}.
 */
static Jsonb *
shrink(Jsonb *json, int most)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbParseState *state = NULL;
	JsonbValue	value;
	JsonbIteratorToken token;

	(void) JsonbIteratorNext(&iterator, &value, true);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY || token == WJB_VALUE)
	{
		if (value.type == jbvString)
			mask_string(&value);
		if (token == WJB_VALUE && size_of(&value) > most)
		{
			pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
			push_size(&state, size_of(&value));
			pushJsonbValue(&state, WJB_END_OBJECT, NULL);
		}
		else
			pushJsonbValue(&state, token, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static bool
has_few_members(Jsonb *json)
{
	return JB_ROOT_IS_OBJECT(json) && JB_ROOT_COUNT(json) <= MANY_MEMBERS;
}

static Jsonb *
bound(Jsonb *json)
{
	if (VARSIZE(json) <= SAAS_MASKED_VALUE)
		return json;
	for (int most = LARGE_MEMBER; most >= SMALL_MEMBER && has_few_members(json); most /= 4)
	{
		Jsonb	   *small = shrink(json, most);

		if (VARSIZE(small) <= SAAS_MASKED_VALUE)
			return small;
	}
	return summarize(json);
}

Jsonb *
SaasMaskedJson(Jsonb *json)
{
	if (JB_ROOT_IS_SCALAR(json))
		return bound(mask_scalar(json));
	if (VARSIZE(json) > LARGE)
	{
		if (!has_few_members(json))
			return summarize(json);
		json = shrink(json, SAAS_MASKED_VALUE);
	}
	return bound(mask_container(json));
}

char *
SaasMaskedText(const char *text, int limit)
{
	int			length = (int) strlen(text);

	if (SaasMaskLooksSecret(text, Min(length, LOOKED_AT)))
		return pstrdup(SAAS_MASKED);
	return pnstrdup(text, pg_mbcliplen(text, length, limit));
}
