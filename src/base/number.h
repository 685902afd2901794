/*
 * number.h
 *	  Strict reader of decimal numbers in text that a peer sent.
 */
#ifndef SAAS_NUMBER_H
#define SAAS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads all length bytes as sign, digits, fraction and exponent.  False for
 * anything else that strtod would take (hexadecimal, infinity, nan, blanks),
 * for more than 400 bytes and for a number beyond double.
 */
extern bool SaasNumberParse(const char *text, size_t length, double *value);

#endif							/* SAAS_NUMBER_H */
