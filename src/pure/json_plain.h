/*
 * json_plain.h
 *	  A quick reader of the plainest JSON objects.
 */
#ifndef SAAS_JSON_PLAIN_H
#define SAAS_JSON_PLAIN_H

#include <stddef.h>

#include <jansson.h>

/*
 * The object in the text when it has members, their names have 1 to 63
 * characters, none occurs twice, the values are strings or integers of at most
 * 18 digits, and all strings are printable ASCII without backslashes; else
 * NULL, which says nothing about the text.  It is the object that SaasJsonRead
 * reads.
 */
extern json_t *SaasJsonReadPlain(const char *text, size_t length);

#endif							/* SAAS_JSON_PLAIN_H */
