/*
 * test_audit_entry.c
 *	  pure/audit_entry.c: the bytes that seal an event, byte by byte.
 */
#include "pure/audit_entry.h"

#include <stdlib.h>

#include "tap.h"

#define FIXED_LENGTH	(12 + 16 + 8 + 8 + 32)

static void
fill(SaasAuditEntry *entry)
{
	memset(entry, 0, sizeof(*entry));
	memset(entry->org_id, 0xa1, sizeof(entry->org_id));
	entry->sequence = 0x0102030405060708;
	entry->sealed_at = -2;
	memset(entry->previous, 0xb2, sizeof(entry->previous));
	entry->fields[SAAS_AUDIT_ID] = (SaasAuditField) {"0123456789abcdef", 16};
	entry->fields[SAAS_AUDIT_LOGIN] = (SaasAuditField) {"", 0};
	entry->fields[SAAS_AUDIT_REQUEST_ID] = (SaasAuditField) {"req", 3};
}

static char *
hex_of(const void *bytes, size_t length)
{
	static char hex[2 * 256 + 1];

	SaasHexEncode(bytes, length, hex);
	return hex;
}

static void
test_entry(void)
{
	SaasAuditEntry entry;
	uint8_t		bytes[512];
	size_t		length;

	fill(&entry);
	length = SaasAuditEntryLength(&entry);
	ok(length == FIXED_LENGTH + SAAS_AUDIT_COLUMNS * 4 + 16 + 3, "NULL and empty columns take their length only");
	memset(bytes, 0xee, sizeof(bytes));
	SaasAuditEntryWrite(&entry, bytes);
	ok(bytes[length] == 0xee && bytes[length - 1] != 0xee, "as many bytes are written");
	ok(memcmp(bytes, "saas-audit-1", 12) == 0, "it begins with its mark");
	is_text(hex_of(bytes + 12, 16), "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "the organization");
	is_text(hex_of(bytes + 28, 8), "0102030405060708", "the sequence, its highest byte first");
	is_text(hex_of(bytes + 36, 8), "fffffffffffffffe", "the time of sealing, negative before 2000");
	ok(bytes[44] == 0xb2 && bytes[75] == 0xb2, "the hash before");
	is_text(hex_of(bytes + 76, 4), "00000010", "the length of a column");
	ok(memcmp(bytes + 80, "0123456789abcdef", 16) == 0, "and its bytes");
	is_text(hex_of(bytes + 96, 8), "ffffffffffffffff", "NULL is ffffffff");
	is_text(hex_of(bytes + 96 + 6 * 4, 4), "00000000", "an empty text is another thing");
	is_text(hex_of(bytes + length - 7, 7), "00000003726571", "the request comes last");
}

/* Neither moving bytes between columns nor NULL for nothing gives the same bytes. */
static void
test_ambiguity(void)
{
	SaasAuditEntry a;
	SaasAuditEntry b;
	uint8_t		a_bytes[512];
	uint8_t		b_bytes[512];

	fill(&a);
	fill(&b);
	a.fields[SAAS_AUDIT_ACTION] = (SaasAuditField) {"ab", 2};
	a.fields[SAAS_AUDIT_OBJECT_TYPE] = (SaasAuditField) {"c", 1};
	b.fields[SAAS_AUDIT_ACTION] = (SaasAuditField) {"a", 1};
	b.fields[SAAS_AUDIT_OBJECT_TYPE] = (SaasAuditField) {"bc", 2};
	SaasAuditEntryWrite(&a, a_bytes);
	SaasAuditEntryWrite(&b, b_bytes);
	ok(SaasAuditEntryLength(&a) == SaasAuditEntryLength(&b), "columns that share their bytes otherwise are as long");
	ok(memcmp(a_bytes, b_bytes, SaasAuditEntryLength(&a)) != 0, "and are not the same");
	fill(&b);
	b.fields[SAAS_AUDIT_LOGIN] = (SaasAuditField) {NULL, 0};
	fill(&a);
	SaasAuditEntryWrite(&a, a_bytes);
	SaasAuditEntryWrite(&b, b_bytes);
	ok(memcmp(a_bytes, b_bytes, SaasAuditEntryLength(&a)) != 0, "nor are NULL and the empty text");
}

static void
test_macs(void)
{
	uint8_t		key[SAAS_KEY_LENGTH] = {1};
	SaasAuditHead head = {{2}, 7, {3}, 4, {5}};
	SaasAuditHead other = head;
	uint8_t		expected[SAAS_DIGEST_LENGTH];
	uint8_t		mac[SAAS_DIGEST_LENGTH];
	uint8_t		bytes[17 + 16 + 8 + 32 + 8 + 32] = "saas-audit-head-1";

	bytes[17] = 2;
	bytes[17 + 16 + 7] = 7;
	bytes[17 + 24] = 3;
	bytes[17 + 56 + 7] = 4;
	bytes[17 + 64] = 5;
	ok(SaasHmacSha256(key, sizeof(key), bytes, sizeof(bytes), expected) && SaasAuditHeadMac(key, &head, mac),
	   "a head has a MAC");
	ok(memcmp(mac, expected, sizeof(mac)) == 0, "over these bytes");
	other.start_sequence++;
	ok(SaasAuditHeadMac(key, &other, mac) && memcmp(mac, expected, sizeof(mac)) != 0, "the start counts");
	ok(SaasAuditPointMac(key, &head, 9, expected) && SaasAuditPointMac(key, &other, 9, mac) &&
	   memcmp(mac, expected, sizeof(mac)) == 0, "but not in a checkpoint");
	ok(SaasAuditPointMac(key, &head, 10, mac) && memcmp(mac, expected, sizeof(mac)) != 0, "whose time does");
}

int
main(void)
{
	test_entry();
	test_ambiguity();
	test_macs();
	return tap_done();
}
