/*
 * arena.c
 *	  Bounded region of memory for code that knows no PostgreSQL.
 *
 * Small requests are cut from shared blocks; a large one gets a block of its
 * own, so that the tail of a shared block is never given up for it.  Blocks
 * come zeroed from calloc and no byte is handed out twice, which keeps the
 * promise of zeroed memory without clearing anything again.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/arena.h"

#define ALIGNMENT		16
#define FIRST_BLOCK_SIZE	(2 * 1024)	/* thousands of arenas hold no more than a request */
#define BLOCK_SIZE		(16 * 1024)
#define LARGE_SIZE		(BLOCK_SIZE / 4)

typedef struct ArenaBlock
{
	struct ArenaBlock *next;
	size_t		size;			/* bytes of data */
	size_t		used;
	_Alignas(ALIGNMENT) unsigned char data[];
} ArenaBlock;

struct SaasArena
{
	ArenaBlock *blocks;			/* all of them, for destruction */
	ArenaBlock *current;		/* the shared block that small requests use */
	size_t		max_bytes;
	size_t		used;
};

SaasArena *
SaasArenaCreate(size_t max_bytes)
{
	SaasArena  *arena = calloc(1, sizeof(SaasArena));

	if (arena != NULL)
		arena->max_bytes = max_bytes;
	return arena;
}

void
SaasArenaDestroy(SaasArena *arena)
{
	ArenaBlock *block;

	if (arena == NULL)
		return;
	block = arena->blocks;
	while (block != NULL)
	{
		ArenaBlock *next = block->next;

		OPENSSL_cleanse(block->data, block->used);
		free(block);
		block = next;
	}
	free(arena);
}

static ArenaBlock *
add_block(SaasArena *arena, size_t size)
{
	ArenaBlock *block = calloc(1, sizeof(ArenaBlock) + size);

	if (block == NULL)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *
SaasArenaAlloc(SaasArena *arena, size_t size)
{
	ArenaBlock *block;
	void	   *memory;

	/* The bound comes first, so that rounding up cannot overflow. */
	if (size > arena->max_bytes || size > SIZE_MAX / 2)
		return NULL;
	size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t) (ALIGNMENT - 1);
	if (size > arena->max_bytes - arena->used)
		return NULL;

	block = arena->current;
	if (size > LARGE_SIZE)
		block = add_block(arena, size);
	else if (block == NULL && size <= FIRST_BLOCK_SIZE)
		block = arena->current = add_block(arena, FIRST_BLOCK_SIZE);
	else if (block == NULL || size > block->size - block->used)
		block = arena->current = add_block(arena, BLOCK_SIZE);
	if (block == NULL)
		return NULL;

	memory = block->data + block->used;
	block->used += size;
	arena->used += size;
	return memory;
}

char *
SaasArenaStrdup(SaasArena *arena, const char *text)
{
	return text == NULL ? NULL : SaasArenaStrndup(arena, text, strlen(text));
}

char *
SaasArenaStrndup(SaasArena *arena, const char *text, size_t length)
{
	char	   *copy;

	if (text == NULL || length == SIZE_MAX)
		return NULL;
	copy = SaasArenaAlloc(arena, length + 1);
	if (copy != NULL)
		memcpy(copy, text, length);
	return copy;
}

char *
SaasArenaPrintf(SaasArena *arena, const char *format,...)
{
	va_list		args;
	int			length;
	char	   *text;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return NULL;

	text = SaasArenaAlloc(arena, (size_t) length + 1);
	if (text == NULL)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t) length + 1, format, args);
	va_end(args);
	return text;
}

size_t
SaasArenaUsed(const SaasArena *arena)
{
	return arena->used;
}
