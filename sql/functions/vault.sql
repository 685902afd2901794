-- Sealed values: ciphertexts that open only where they belong.  Leans on errors.

create type saas.sealed;

create function saas_private.sealed_in(cstring) returns saas.sealed
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'pg_saas_sealed_in';
comment on function saas_private.sealed_in(cstring) is
'Reads a sealed value from base64; the text of a bad one is never quoted.';
create function saas_private.sealed_out(saas.sealed) returns cstring
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'pg_saas_sealed_out';
comment on function saas_private.sealed_out(saas.sealed) is
'A sealed value as base64.';
create function saas_private.sealed_recv(internal) returns saas.sealed
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'pg_saas_sealed_recv';
comment on function saas_private.sealed_recv(internal) is
'Reads a sealed value from its bytes.';
create function saas_private.sealed_send(saas.sealed) returns bytea
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'pg_saas_sealed_send';
comment on function saas_private.sealed_send(saas.sealed) is
'The bytes of a sealed value.';

create type saas.sealed (
    input = saas_private.sealed_in,
    output = saas_private.sealed_out,
    receive = saas_private.sealed_recv,
    send = saas_private.sealed_send,
    internallength = variable,
    alignment = int4,
    storage = extended
);
comment on type saas.sealed is
'A value sealed with AES-256-GCM under its organization''s data key, bound to organization, purpose and context. Its text form is base64 of the whole ciphertext. Nothing casts it to plaintext.';

create function saas.describe(value saas.sealed) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_describe';
comment on function saas.describe(saas.sealed) is
'What a sealed value shows without being opened: {"format", "key_version", "length"} with the plaintext''s length in bytes.';

create function saas.seal(plaintext text, purpose text, context text default '')
returns saas.sealed
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_seal';
comment on function saas.seal(text, text, text) is
'Seals a value for the current organization. It opens again only with the same organization, purpose and context (the row''s id, say). Purposes beginning with pg_saas: are reserved. Errors: PT401 without an organization, 22023, 55000 without a usable master key. Callable by saas_user.';

create function saas.unseal(value saas.sealed, purpose text, context text default '')
returns text
language c stable parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_unseal';
comment on function saas.unseal(saas.sealed, text, text) is
'Opens a value sealed for the current organization, purpose and context. Any other value, and any altered one, is error 22023. EXECUTE is granted to nobody: grant it to the role that must read, and to no tenant role.';

create function saas.blind_index(value text, purpose text) returns bytea
language c stable parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_blind_index';
comment on function saas.blind_index(text, text) is
'16 bytes that are the same for the same value, purpose and organization, and say nothing without the organization''s key: store them beside a sealed value, index them, and search with where email_index = saas.blind_index(lower($1), ''customer.email''). Who sees the column sees which rows have equal values. NULL gives NULL. The first use in an organization makes its key. Errors: PT401 without an organization, 22023 for a purpose that is not 1 to 255 bytes or begins with pg_saas:, 55000 without a usable master key, 25006 for the first use in a read-only transaction. Callable by saas_user.';

create function saas_private.seal_secrets(org_id uuid, connection_id uuid, origin text, secrets jsonb)
returns table (name text, value saas.sealed)
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_seal_secrets';
comment on function saas_private.seal_secrets(uuid, uuid, text, jsonb) is
'Seals each member of a JSON object of strings as a secret of the connection, bound to the origin it was given for.';

create function saas_private.seal_for_platform(plaintext text, purpose text, context text)
returns saas.sealed
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_seal_for_platform';
comment on function saas_private.seal_for_platform(text, text, text) is
'Seals a value of the platform (no organization): mail tokens and the like.';

create function saas_private.unseal_for_platform(value saas.sealed, purpose text, context text)
returns text
language c stable parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_unseal_for_platform';
comment on function saas_private.unseal_for_platform(saas.sealed, text, text) is
'Opens a value of the platform. For saas_service''s functions only.';

create function saas_private.create_data_key(org_id uuid) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_create_data_key';
comment on function saas_private.create_data_key(uuid) is
'Makes the first data key of a new organization; does nothing when it has one. Errors: 55000 when sealed values of it exist without a key, PT409 when its keys were destroyed.';

-- The one list of what is sealed where, and how: rotations re-seal by it.
create function saas_private.sealed_columns()
returns table (relation oid, relation_name text, column_name text, role text, is_platform boolean, is_registered boolean,
               purpose text, context text)
language plpgsql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select to_regclass(c.relation_name)::oid, c.relation_name, c.column_name, c.role, c.is_platform, false, c.purpose,
           c.context
      from (values
        ('saas_private.connection_secret', 'value', 'saas_poller', false, 'pg_saas:connection',
         '(select t.connection_id || ''|'' || t.name || ''|'' || c.origin from saas.connection c'
         ' where c.org_id = t.org_id and c.id = t.connection_id)'),
        ('saas_private.salesforce_default_secret', 'value', 'saas_poller', false, 'pg_saas:connection',
         '(select ''00000000-0000-0000-0000-000000000000|'' || t.name || ''|'' || d.origin'
         ' from saas.salesforce_default d where d.org_id = t.org_id)'),
        ('saas_private.api_key_signing', 'signing_secret', 'saas_service', false, 'pg_saas:api-signing', 't.api_key_id::text'),
        ('saas_private.api_key_signing', 'previous_signing_secret', 'saas_service', false, 'pg_saas:api-signing',
         't.api_key_id::text'),
        ('saas_private.blind_index_key', 'key', 'saas_service', false, 'pg_saas:blind-index', ''''''),
        ('saas_private.jwt_key', 'private_key', 'saas_service', true, 'pg_saas:jwt-key', 't.kid'),
        ('saas_private.hash_key', 'key', 'saas_service', true, 'pg_saas:hash_key', 't.name'),
        ('saas_private.audit_key', 'secret', 'saas_service', true, 'pg_saas:audit', 't.version::text'),
        ('saas_private.second_factor', 'secret', 'saas_service', true, 'pg_saas:totp', 't.user_id::text'),
        ('saas.outbox', 'token', 'saas_service', true, 'pg_saas:outbox', 't.id::text'))
        as c (relation_name, column_name, role, is_platform, purpose, context);
    -- One by one: whoever makes the first key of an organization looks here.
    return query
    select c.oid, format('%I.%I', n.nspname, c.relname), format('%I', s.column_name), pg_get_userbyid(c.relowner)::text,
           false, true, s.purpose,
           case when s.context_column is null then quote_literal('') else format('t.%I::text', s.context_column) end
      from saas_private.sealed_column s,
           lateral (select r.oid, r.relname, r.relowner, r.relnamespace from pg_class r where r.oid = s.relation offset 0) c,
           lateral (select m.nspname from pg_namespace m where m.oid = c.relnamespace offset 0) n,
           lateral (select from pg_attribute a
                     where a.attrelid = c.oid and a.attname = s.column_name and not a.attisdropped
                       and a.atttypid = 'saas.sealed'::regtype offset 0) a
     order by s.relation, s.column_name;
end
$$;
comment on function saas_private.sealed_columns() is
'Every sealed column whose values can be re-sealed, ours and the registered ones: who reads and updates it, whether its values are the platform''s or those of the organization in org_id, their purpose, and their context as an expression over the row t. For saas_service only.';

create function saas.generate_master_key() returns text
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_generate_master_key';
comment on function saas.generate_master_key() is
'A new master key for the operator to keep: comment lines that say where it belongs, and the line "version:64 hex digits" with the version above the highest configured one. Nothing is stored: what is not copied is gone. Errors: F0000 when the configured keys cannot be read. For saas_operator and superusers; read it over a connection that nobody watches.';

create function saas_private.hash_password(password text) returns text
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_hash_password';
comment on function saas_private.hash_password(text) is
'bcrypt hash at the cost of saas.bcrypt_cost, through pgcrypto. 22023 outside 8 to 72 bytes.';

create function saas_private.check_password(password text, hash text) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_check_password';
comment on function saas_private.check_password(text, text) is
'Whether the password matches. A NULL hash costs the same as a real one and is false.';
