-- The audit of committed changes, and the chain that seals it.  Leans on
-- identity, requests, vault.

create function saas_private.audit(action text, object_type text, object_id text, before jsonb default null,
                                   after jsonb default null, org_id uuid default null)
returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_audit';
comment on function saas_private.audit(text, text, text, jsonb, jsonb, uuid) is
'Appends one event to the audit of org_id; NULL: of the identity''s organization, without one of the platform. Call it after the change, in its transaction. action is object.verb in lower case and past tense: member.role_changed. before and after are masked (saas_private.mask_secrets), and object_id is cut at 255 bytes. Errors: 22023, 23514 for another action or object type. For the functions of saas_owner and saas_service.';

create function saas_private.mask_secrets(value jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_mask';
comment on function saas_private.mask_secrets(jsonb) is
'The value as the audit keeps it: "(masked)" in place of what looks like a key, token, password''s hash, sealed value or private key, and of everything but booleans and null below a name that says password, secret, token and the like, at any depth. Strings above 1 kB show their beginning and length, values above 8 kB the names of their members only. For saas_owner''s and saas_service''s functions.';
