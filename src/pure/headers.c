/*
 * headers.c
 *	  The HTTP headers that PostgREST hands over and takes back as JSON.
 */
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"
#include "pure/headers.h"
#include "pure/json.h"

bool
SaasHeadersOfRequest(const char *text, size_t length, const char *const *names,
					 int count, SaasArena *arena, const char **values)
{
	SaasProblem problem = {0};
	json_t	   *object = SaasJsonRead(text, length, false, "request.headers", &problem);
	bool		is_object = json_is_object(object);

	for (int i = 0; i < count; i++)
		values[i] = is_object ? SaasArenaStrdup(arena, SaasJsonText(object, names[i])) : NULL;
	json_decref(object);
	return is_object;
}

static char *
clean_value(const char *value, SaasArena *arena)
{
	size_t		length = 0;
	size_t		begin = 0;
	char	   *clean = SaasArenaAlloc(arena, strlen(value) + 1);

	if (clean == NULL)
		return NULL;
	while (*value != '\0')
	{
		int			control = SaasControlLength(value);

		if (control == 0)
			clean[length++] = *value++;
		value += control;
	}
	while (length > 0 && clean[length - 1] == ' ')
		length--;
	clean[length] = '\0';
	while (clean[begin] == ' ')
		begin++;
	return clean + begin;
}

static void
remove_header(SaasHeader **list, const char *name)
{
	while (*list != NULL)
	{
		if (strcasecmp((*list)->name, name) == 0)
			*list = (*list)->next;
		else
			list = &(*list)->next;
	}
}

bool
SaasHeadersSet(SaasHeader **list, SaasArena *arena, const char *name, const char *value)
{
	SaasHeader *header = SaasArenaAlloc(arena, sizeof(SaasHeader));
	SaasHeader **last;
	int			count = 1;

	if (header == NULL || !SaasHttpIsToken(name) || strlen(name) > SAAS_MAX_HEADER_NAME ||
		strlen(value) > SAAS_MAX_HEADER_VALUE)
		return false;
	for (const SaasHeader *other = *list; other != NULL; other = other->next)
		count++;
	header->name = SaasArenaStrdup(arena, name);
	header->value = clean_value(value, arena);
	if (count > SAAS_MAX_HEADERS || header->name == NULL || header->value == NULL)
		return false;

	if (strcasecmp(name, "Set-Cookie") != 0)
		remove_header(list, name);
	for (last = list; *last != NULL; last = &(*last)->next)
		 /* to the end */ ;
	*last = header;
	return true;
}

SaasHeader *
SaasHeadersOfAnswer(const char *text, size_t length, SaasArena *arena)
{
	SaasProblem problem = {0};
	SaasHeader *list = NULL;
	json_t	   *array;
	json_t	   *object;
	size_t		index;

	if (length == 0)
		return NULL;
	array = SaasJsonRead(text, length, false, "response.headers", &problem);
	json_array_foreach(array, index, object)
	{
		const char *name;
		json_t	   *value;

		json_object_foreach(object, name, value)
		{
			if (json_is_string(value))
				(void) SaasHeadersSet(&list, arena, name, json_string_value(value));
		}
	}
	json_decref(array);
	return list;
}

char *
SaasHeadersWrite(const SaasHeader *list, SaasArena *arena)
{
	SaasStrbuf	json;

	SaasStrbufInit(&json, arena);
	SaasStrbufAppendChar(&json, '[');
	for (const SaasHeader *header = list; header != NULL; header = header->next)
	{
		SaasStrbufAppendText(&json, header == list ? "{" : ",{");
		SaasStrbufAppendJson(&json, header->name, strlen(header->name));
		SaasStrbufAppendChar(&json, ':');
		SaasStrbufAppendJson(&json, header->value, strlen(header->value));
		SaasStrbufAppendChar(&json, '}');
	}
	SaasStrbufAppendChar(&json, ']');
	return SaasStrbufFinish(&json);
}
