/*
 * audit_entry.c
 *	  The bytes that seal an organization's audit.
 */
#include "pure/audit_entry.h"

#include <string.h>

#define ENTRY_MARK	"saas-audit-1"
#define HEAD_MARK	"saas-audit-head-1"
#define POINT_MARK	"saas-audit-point-1"

static const uint32_t null_length = 0xffffffff;

static uint8_t *
put(uint8_t *out, const void *bytes, size_t length)
{
	if (length > 0)
		memcpy(out, bytes, length);
	return out + length;
}

static uint8_t *
put_number(uint8_t *out, uint64_t number, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		*out++ = (uint8_t) (number >> (8 * i));
	return out;
}

size_t
SaasAuditEntryLength(const SaasAuditEntry *entry)
{
	size_t		length = strlen(ENTRY_MARK) + SAAS_UUID_BYTES + 8 + 8 + SAAS_DIGEST_LENGTH;

	for (int i = 0; i < SAAS_AUDIT_COLUMNS; i++)
		length += 4 + (entry->fields[i].bytes ? entry->fields[i].length : 0);
	return length;
}

void
SaasAuditEntryWrite(const SaasAuditEntry *entry, uint8_t *out)
{
	out = put(out, ENTRY_MARK, strlen(ENTRY_MARK));
	out = put(out, entry->org_id, SAAS_UUID_BYTES);
	out = put_number(out, (uint64_t) entry->sequence, 8);
	out = put_number(out, (uint64_t) entry->sealed_at, 8);
	out = put(out, entry->previous, SAAS_DIGEST_LENGTH);
	for (int i = 0; i < SAAS_AUDIT_COLUMNS; i++)
	{
		const SaasAuditField *field = &entry->fields[i];

		out = put_number(out, field->bytes ? field->length : null_length, 4);
		if (field->bytes)
			out = put(out, field->bytes, field->length);
	}
}

static uint8_t *
put_position(uint8_t *out, const char *mark, const SaasAuditHead *head)
{
	out = put(out, mark, strlen(mark));
	out = put(out, head->org_id, SAAS_UUID_BYTES);
	out = put_number(out, (uint64_t) head->sequence, 8);
	return put(out, head->hash, SAAS_DIGEST_LENGTH);
}

bool
SaasAuditHeadMac(const uint8_t key[SAAS_KEY_LENGTH], const SaasAuditHead *head,
				 uint8_t mac[SAAS_DIGEST_LENGTH])
{
	uint8_t		bytes[sizeof(HEAD_MARK) + SAAS_UUID_BYTES + 8 + 8 + 2 * SAAS_DIGEST_LENGTH];
	uint8_t    *end = put_position(bytes, HEAD_MARK, head);

	end = put_number(end, (uint64_t) head->start_sequence, 8);
	end = put(end, head->start_hash, SAAS_DIGEST_LENGTH);
	return SaasHmacSha256(key, SAAS_KEY_LENGTH, bytes, end - bytes, mac);
}

bool
SaasAuditPointMac(const uint8_t key[SAAS_KEY_LENGTH], const SaasAuditHead *head, int64_t at,
				  uint8_t mac[SAAS_DIGEST_LENGTH])
{
	uint8_t		bytes[sizeof(POINT_MARK) + SAAS_UUID_BYTES + 8 + 8 + SAAS_DIGEST_LENGTH];
	uint8_t    *end = put_position(bytes, POINT_MARK, head);

	end = put_number(end, (uint64_t) at, 8);
	return SaasHmacSha256(key, SAAS_KEY_LENGTH, bytes, end - bytes, mac);
}
