/*
 * mask.h
 *	  What must not be written down: names that say secret, and texts that look
 *	  like one.
 */
#ifndef SAAS_MASK_H
#define SAAS_MASK_H

#include <stdbool.h>
#include <stddef.h>

#define SAAS_MASKED		"(masked)"

/* Whether a member of this name holds a secret: password, api_key, clientSecret. */
extern bool SaasMaskNamesSecret(const char *name, size_t length);

/*
 * Whether the text has the shape of a secret or holds one: an API key, a JWT, a
 * sealed value, a password's hash, a private key, a URL with a password, a value
 * under a name that says secret (password=x, Authorization: x), a long random
 * token.  The cost is linear in the length.
 */
extern bool SaasMaskLooksSecret(const char *text, size_t length);

#endif							/* SAAS_MASK_H */
