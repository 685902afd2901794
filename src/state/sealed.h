/*
 * sealed.h
 *	  The sealed value: AES-256-GCM under a data key, bound to organization,
 *	  purpose and context.
 *
 * Bytes: format (1), key version (4, big-endian), nonce (12), ciphertext
 * (length of the plaintext), tag (16).  Associated data: format, key version,
 * organization (16 bytes), length of purpose (4, big-endian), purpose,
 * context.
 */
#ifndef SAAS_SEALED_H
#define SAAS_SEALED_H

#include "postgres.h"

#include "utils/uuid.h"

#define SAAS_SEALED_FORMAT		1
#define SAAS_SEALED_OVERHEAD	(1 + 4 + 12 + 16)
#define SAAS_SEALED_MAX_PLAINTEXT	(1024 * 1024)

/* Whether the bytes have the shape of a sealed value of a known format. */
extern bool SaasSealedIsWellFormed(const char *bytes, Size length);

/* The key version that a well-formed value names. */
extern int	SaasSealedKeyVersion(const struct varlena *sealed);

/*
 * Seals for the organization, palloc'd.  Errors: 22023 when the plaintext is
 * larger than 1 MB, and the keyring's.
 */
extern struct varlena *SaasSeal(const pg_uuid_t *org_id, const char *plaintext, Size length,
								const char *purpose, const char *context);

/*
 * Opens into a palloc'd NUL-terminated text; the caller wipes it.  22023 with
 * one and the same message for everything that does not open.
 */
extern char *SaasUnseal(const pg_uuid_t *org_id, const struct varlena *sealed,
						const char *purpose, const char *context, Size *length);

#endif							/* SAAS_SEALED_H */
