/*
 * fuzz_headers.c
 *	  pure/headers.c: what PostgREST hands over and takes back.
 *
 * The first byte of an input says which: q a request's headers, a an answer's
 * with, behind the last line end, the value of one more.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/problem.h"
#include "pure/headers.h"

#define ARENA_SIZE	((size_t) 1024 * 1024)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
fuzz_request(const char *text, size_t length)
{
	static const char *const names[] = {"authorization", "x-forwarded-for", "user-agent", "user-agent"};
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	const char *values[4];
	bool		is_object = SaasHeadersOfRequest(text, length, names, 4, arena, values);

	for (int i = 0; i < 4; i++)
		must(values[i] == NULL || (is_object && strlen(values[i]) < length));
	must((values[2] == NULL) == (values[3] == NULL));
	must(values[2] == NULL || strcmp(values[2], values[3]) == 0);
	SaasArenaDestroy(arena);
}

/* What holds of every list, however it came about. */
static int
check(const SaasHeader *list)
{
	int			count = 0;

	for (const SaasHeader *header = list; header != NULL; header = header->next)
	{
		count++;
		must(SaasHttpIsToken(header->name) && strlen(header->name) <= SAAS_MAX_HEADER_NAME &&
			 strlen(header->value) <= SAAS_MAX_HEADER_VALUE);
		for (const char *c = header->value; *c != '\0'; c++)
			must(SaasControlLength(c) == 0);
		for (const SaasHeader *other = header->next; other != NULL; other = other->next)
			must(strcasecmp(header->name, other->name) != 0 || strcasecmp(header->name, "Set-Cookie") == 0);
	}
	must(count <= SAAS_MAX_HEADERS);
	return count;
}

/* What is written is read again as the same. */
static void
round_trip(const SaasHeader *list, SaasArena *arena)
{
	char	   *text = SaasHeadersWrite(list, arena);
	const SaasHeader *again;

	if (text == NULL)
		return;
	again = SaasHeadersOfAnswer(text, strlen(text), arena);
	for (; list != NULL && again != NULL; list = list->next, again = again->next)
		must(strcmp(list->name, again->name) == 0 && strcmp(list->value, again->value) == 0);
	must(list == NULL && again == NULL);
}

static void
fuzz_answer(const char *text, size_t length)
{
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	const char *end = memrchr(text, '\n', length);
	size_t		json_length = end == NULL ? length : (size_t) (end - text);
	SaasHeader *list = SaasHeadersOfAnswer(text, json_length, arena);
	int			count = check(list);

	if (end != NULL && SaasUtf8IsValid(end + 1, length - json_length - 1))
	{
		char	   *value = SaasArenaStrndup(arena, end + 1, length - json_length - 1);
		bool		done = SaasHeadersSet(&list, arena, "Set-Cookie", value);

		must(check(list) == count + done);
	}
	round_trip(list, arena);
	SaasArenaDestroy(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	/* Of its own size, so that a byte read beyond is found. */
	text = malloc(size - 1 + (size == 1));
	memcpy(text, data + 1, size - 1);
	if (data[0] == 'q')
		fuzz_request(text, size - 1);
	else if (data[0] == 'a')
		fuzz_answer(text, size - 1);
	free(text);
	return 0;
}
