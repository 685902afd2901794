/*
 * files.h
 *	  Reads a fixture into memory, and spoils bytes for the readers.
 */
#ifndef SAAS_TEST_FILES_H
#define SAAS_TEST_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file with a NUL behind it; the caller frees it. */
static inline char *
read_fixture(const char *name, size_t *length)
{
	char		path[256];
	char	   *text = calloc(1, 65536);
	FILE	   *file;

	snprintf(path, sizeof(path), "test/fixtures/%s", name);
	file = fopen(path, "rb");
	if (file == NULL || text == NULL)
	{
		printf("Bail out! cannot read %s\n", path);
		exit(1);
	}
	*length = fread(text, 1, 65535, file);
	fclose(file);
	return text;
}

/* A small generator with a fixed seed: a failure shows again. */
static inline uint32_t
next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (*state >> 33);
}

/*
 * A spoilt copy of text without a byte behind it, so that the sanitizer sees a
 * reader go too far; the caller frees it.
 */
static inline char *
spoil(const char *text, size_t length, uint64_t *state, size_t *spoilt_length)
{
	static const char favourites[] = "{}[]\",:\\ \n\t#=.-+eE0919NaInf\0\xff\xc3\x80";
	size_t		cut = next_random(state) % 4 == 0 ? next_random(state) % (length + 1) : length;
	char	   *copy = malloc(cut + 1);
	size_t		changes = cut == 0 ? 0 : 1 + next_random(state) % 6;

	memcpy(copy, text, cut);
	for (size_t i = 0; i < changes; i++)
	{
		size_t		at = next_random(state) % cut;

		if (next_random(state) % 3 == 0)
			copy[at] = (char) next_random(state);
		else
			copy[at] = favourites[next_random(state) % (sizeof(favourites) - 1)];
	}
	copy = realloc(copy, cut > 0 ? cut : 1);
	*spoilt_length = cut;
	return copy;
}

#endif							/* SAAS_TEST_FILES_H */
