/*
 * numbers.h
 *	  Arrays of doubles, and of the series whose values they hold.
 */
#ifndef SAAS_NUMBERS_H
#define SAAS_NUMBERS_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/uuid.h"

/* One dimension of doubles, read from its beginning. */
typedef struct SaasNumbers
{
	int			count;
	const double *next;
	const bits8 *nulls;
} SaasNumbers;

/* Where a layout has a series. */
typedef struct SaasPlace
{
	pg_uuid_t	id;
	int			position;
} SaasPlace;

/*
 * How many items an array has; 22023 for another type, several dimensions, and
 * for NULL among them unless it may have some.  what: the argument's name.
 */
extern int	SaasArrayCount(ArrayType *array, Oid type, bool has_nulls, const char *what);

/* Raises 22023 for anything but one dimension of doubles. */
extern SaasNumbers SaasNumbersOf(ArrayType *array);

/*
 * The number at this position, which is the one after that asked for before.
 * False for NULL, which takes no room in the array, and after the end.
 */
extern bool SaasNumbersNext(SaasNumbers *numbers, int position, double *value);

/* The series of a layout; raises 22023 for anything but one dimension of UUIDs. */
extern pg_uuid_t *SaasLayoutIds(ArrayType *array, int *count);

/* The same in the order of the ids. */
extern SaasPlace *SaasLayoutPlaces(ArrayType *array, int *count);

/* The position of a series among these, -1 without one. */
extern int	SaasLayoutPlace(const SaasPlace *places, int count, const pg_uuid_t *id);

#endif							/* SAAS_NUMBERS_H */
