/*
 * tap.h
 *	  Test Anything Protocol for the unit tests of the pure layers.
 */
#ifndef SAAS_TAP_H
#define SAAS_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_count;
static int	tap_failed;

/* One assertion; the name says what must be true. */
#define ok(condition, ...) \
	do { \
		bool		tap_held = (condition); \
		tap_count++; \
		if (!tap_held) \
			tap_failed++; \
		printf("%s %d - ", tap_held ? "ok" : "not ok", tap_count); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		if (!tap_held) \
			printf("# at %s:%d\n", __FILE__, __LINE__); \
	} while (0)

#define is_text(got, expected, ...) \
	do { \
		const char *tap_got = (got); \
		const char *tap_expected = (expected); \
		ok(tap_got && strcmp(tap_got, tap_expected) == 0, __VA_ARGS__); \
		if (!tap_got || strcmp(tap_got, tap_expected) != 0) \
			printf("# got:      %s\n# expected: %s\n", tap_got ? tap_got : "(null)", tap_expected); \
	} while (0)

/* Prints the plan; the exit status of main. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif							/* SAAS_TAP_H */
