-- API keys: programs act for a member, never with more than that member may.
-- Leans on identity and organizations.

create function saas.current_api_key_id() returns uuid
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_api_key_id';
comment on function saas.current_api_key_id() is
'The API key behind the identity; NULL when it does not come from one.';

create function saas_private.new_api_key(out key text, out prefix text, out key_hash bytea)
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_new_api_key';
comment on function saas_private.new_api_key() is
'A new API key, what of it is shown later, and its SHA-256, which is all that is kept.';

create function saas_private.current_api_key_hash() returns bytea
language c stable parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_current_api_key_hash';
comment on function saas_private.current_api_key_hash() is
'SHA-256 of the API key that was presented for the identity, which tells the one of before a rotation from the new one; NULL when the identity does not come from one. For saas_service.';

create function saas_private.identity_source() returns text
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_identity_source';
comment on function saas_private.identity_source() is
'Where the identity comes from: session, api_key, login (a mapped one), operator (with a ticket) or superuser; NULL without one.';

create function saas_private.refuse_api_key() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    source text := saas_private.identity_source();
begin
    if source in ('api_key', 'login', 'operator') then
        perform saas_private.raise_error('PT403',
            case source when 'api_key' then 'not possible with an API key'
                        when 'login' then 'not possible for a mapped database login'
                        else 'not possible for an operator' end, null, 'Sign in to do this.');
    end if;
end
$$;
comment on function saas_private.refuse_api_key() is
'Raises PT403 when the identity comes from an API key, a mapped login or an operator''s ticket: for what concerns the person, or would outlive the key, the mapping or the ticket.';

create function saas_private.require_key_permissions(permissions text[]) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text[];
begin
    if coalesce(cardinality(require_key_permissions.permissions), 0) not between 1 and 64 then
        perform saas_private.raise_fields('invalid input', 'permissions', 'must name 1 to 64 permissions');
    end if;
    select array_agg(distinct p.name) into wanted from unnest(require_key_permissions.permissions) as p (name);
    if array_position(wanted, null) is not null
       or not wanted <@ (select array_agg(k.name) from saas_private.known_permissions() k) then
        perform saas_private.raise_fields('invalid input', 'permissions', 'must be permissions that exist');
    end if;
    perform saas.require_permission(p.name) from unnest(wanted) as p (name);
    return wanted;
end
$$;
comment on function saas_private.require_key_permissions(text[]) is
'The permissions, each once, when they exist (else 22023) and the identity holds them all (else PT403).';

-- Locks the key, so that of two rotations the second sees the first.
create function saas_private.own_api_key(api_key_id uuid, out id uuid, out org_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas.require_permission('manage_applications');
    perform saas_private.refuse_api_key();
    select k.id, k.org_id, k.created_by, k.revoked_at, k.expires_at into target
      from saas.api_key k
     where k.org_id = saas.org_if('manage_applications') and k.id = own_api_key.api_key_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'API key not found');
    elsif target.created_by <> saas.current_user_id() then
        perform saas_private.raise_error('PT403', 'only its creator renews an API key', null,
            'It acts in the creator''s name. Revoke it and create one of your own.');
    elsif target.revoked_at is not null or target.expires_at <= now() then
        perform saas_private.raise_error('PT409', 'the API key is revoked or expired', null, 'Create a new one.');
    end if;
    own_api_key.id := target.id;
    own_api_key.org_id := target.org_id;
end
$$;
comment on function saas_private.own_api_key(uuid) is
'Locks an API key that the signed-in user has created and that is still good. Errors: PT401, PT403, PT404, PT409.';

create function saas_private.api_key_json(api_key_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(k) from saas_api.api_keys k where k.id = api_key_json.api_key_id);
end
$$;
comment on function saas_private.api_key_json(uuid) is
'An API key as saas_api.api_keys shows it.';

create function saas_api.create_api_key(name text, permissions text[], expires_at timestamptz default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_name text;
    wanted text[];
    new_id uuid := saas.uuidv7();
    made record;
begin
    perform saas.require_permission('manage_applications');
    perform saas_private.refuse_api_key();
    given_name := saas_private.require_field('name', create_api_key.name, 255);
    wanted := saas_private.require_key_permissions(create_api_key.permissions);
    if create_api_key.expires_at <= now() or not isfinite(create_api_key.expires_at) then
        perform saas_private.raise_fields('invalid input', 'expires_at', 'must be in the future');
    end if;
    made := saas_private.new_api_key();
    insert into saas.api_key (org_id, id, name, prefix, permissions, created_by, expires_at)
    values (saas.org_if('manage_applications'), new_id, given_name, made.prefix, wanted, saas.current_user_id(),
            create_api_key.expires_at);
    insert into saas_private.api_key_hash (org_id, api_key_id, key_hash)
    values (saas.org_if('manage_applications'), new_id, made.key_hash);
    perform saas_private.audit('api_key.created', 'api_key', new_id::text, null,
        jsonb_build_object('name', given_name, 'prefix', made.prefix, 'permissions', wanted,
                           'expires_at', create_api_key.expires_at));
    return saas_private.api_key_json(new_id) || jsonb_build_object('key', made.key);
end
$$;
alter function saas_api.create_api_key(text, text[], timestamptz) owner to saas_owner;
comment on function saas_api.create_api_key(text, text[], timestamptz) is
'Makes an API key that acts in my name in the current organization, with these permissions as long as I hold them: the row of api_keys and key, which is shown this once. Without expires_at it stays good until it is revoked. Errors: PT401, PT403 (a permission I do not hold; with an API key, a mapped login or an operator''s ticket), 22023 with fields. For saas_user with manage_applications.';

create function saas_api.rotate_api_key(api_key_id uuid, overlap interval default '24 hours') returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    keep interval := coalesce(rotate_api_key.overlap, interval '24 hours');
    target record;
    made record;
    before jsonb;
begin
    target := saas_private.own_api_key(rotate_api_key.api_key_id);
    -- Compared as times: as intervals years of months equal 30 days each.
    if now() + keep < now() or now() + keep > now() + interval '30 days' then
        perform saas_private.raise_fields('invalid input', 'overlap', 'must be between 0 and 30 days');
    end if;
    made := saas_private.new_api_key();
    -- At most two are good at any time.
    delete from saas_private.api_key_hash h
     where h.org_id = target.org_id and h.api_key_id = target.id and h.valid_until is not null;
    update saas_private.api_key_hash h set valid_until = now() + keep
     where h.org_id = target.org_id and h.api_key_id = target.id;
    insert into saas_private.api_key_hash (org_id, api_key_id, key_hash)
    values (target.org_id, target.id, made.key_hash);
    before := (select jsonb_build_object('name', k.name, 'prefix', k.prefix, 'overlap_until', k.overlap_until)
                 from saas.api_key k where k.org_id = target.org_id and k.id = target.id);
    update saas.api_key k
       set prefix = made.prefix, rotated_at = now(), overlap_until = now() + keep
     where k.org_id = target.org_id and k.id = target.id;
    perform saas_private.audit('api_key.rotated', 'api_key', target.id::text, before,
        (select jsonb_build_object('name', k.name, 'prefix', k.prefix, 'overlap_until', k.overlap_until)
           from saas.api_key k where k.org_id = target.org_id and k.id = target.id));
    return saas_private.api_key_json(target.id) || jsonb_build_object('key', made.key);
end
$$;
alter function saas_api.rotate_api_key(uuid, interval) owner to saas_owner;
comment on function saas_api.rotate_api_key(uuid, interval) is
'Replaces an API key of mine; the one before stays good for the overlap (0 to 30 days), one from an earlier rotation ends. Answers as create_api_key. Errors: PT401, PT403 (somebody else''s; with an API key), PT404, PT409 revoked or expired, 22023. For saas_user with manage_applications.';

create function saas_api.revoke_api_key(api_key_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
begin
    perform saas.require_permission('manage_applications');
    org := saas.org_if('manage_applications');
    perform saas_private.audit('api_key.revoked', 'api_key', k.id::text, jsonb_build_object('name', k.name, 'prefix', k.prefix))
       from saas.api_key k where k.org_id = org and k.id = revoke_api_key.api_key_id and k.revoked_at is null;
    update saas.api_key k
       set revoked_at = coalesce(k.revoked_at, now()), overlap_until = null
     where k.org_id = org and k.id = revoke_api_key.api_key_id;
    if not found then
        perform saas_private.raise_error('PT404', 'API key not found');
    end if;
    delete from saas_private.api_key_hash h where h.org_id = org and h.api_key_id = revoke_api_key.api_key_id;
    return saas_private.api_key_json(revoke_api_key.api_key_id);
end
$$;
alter function saas_api.revoke_api_key(uuid) owner to saas_owner;
comment on function saas_api.revoke_api_key(uuid) is
'Ends an API key of the organization from the next transaction on; revoking it again changes nothing. Errors: PT401, PT403, PT404. For saas_user with manage_applications.';

create function saas_private.seal_signing_secret(org_id uuid, api_key_id uuid, secret text) returns saas.sealed
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_seal_signing_secret';
comment on function saas_private.seal_signing_secret(uuid, uuid, text) is
'Seals the signing secret of an API key for its organization.';

create function saas_private.random_signing_secret() returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return saas_private.random_token();
end
$$;
alter function saas_private.random_signing_secret() owner to saas_service;
comment on function saas_private.random_signing_secret() is
'A new signing secret: 43 characters of base64url, 256 bits.';

create function saas_api.create_signing_secret(api_key_id uuid, is_required boolean default true,
                                               overlap interval default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    secret text := saas_private.random_signing_secret();
    keep_until timestamptz;
    before jsonb;
begin
    target := saas_private.own_api_key(create_signing_secret.api_key_id);
    if create_signing_secret.overlap not between interval '0' and interval '30 days' then
        perform saas_private.raise_fields('invalid input', 'overlap', 'must be between 0 and 30 days');
    end if;
    -- As long as the key of before, unless somebody says how long.
    keep_until := coalesce(now() + create_signing_secret.overlap,
        (select k.overlap_until from saas.api_key k where k.org_id = target.org_id and k.id = target.id));
    -- At most two are good at any time: that of an earlier change ends.
    insert into saas_private.api_key_signing as s (org_id, api_key_id, signing_secret)
    values (target.org_id, target.id, saas_private.seal_signing_secret(target.org_id, target.id, secret))
    on conflict on constraint api_key_signing_pkey
    do update set signing_secret = excluded.signing_secret, created_at = now(),
                  previous_signing_secret = case when keep_until > now() then s.signing_secret end,
                  previous_valid_until = case when keep_until > now() then keep_until end;
    before := (select jsonb_build_object('name', k.name, 'requires_signature', k.requires_signature)
                 from saas.api_key k where k.org_id = target.org_id and k.id = target.id);
    update saas.api_key k
       set requires_signature = coalesce(create_signing_secret.is_required, true)
     where k.org_id = target.org_id and k.id = target.id;
    perform saas_private.audit('api_key.signing_changed', 'api_key', target.id::text, before,
        (select jsonb_build_object('name', k.name, 'requires_signature', k.requires_signature)
           from saas.api_key k where k.org_id = target.org_id and k.id = target.id));
    return saas_private.api_key_json(target.id) || jsonb_build_object('signing_secret', secret);
end
$$;
alter function saas_api.create_signing_secret(uuid, boolean, interval) owner to saas_owner;
comment on function saas_api.create_signing_secret(uuid, boolean, interval) is
'Makes the secret with which requests of an API key of mine are signed, in place of one before: the row of api_keys and signing_secret, which is shown this once. The one before stays good for the overlap (0 to 30 days); without one as long as the key of before the last rotation (overlap_until), if that still is; one from an earlier change ends. With is_required the key alone is refused from then on. Errors: PT401, PT403 (somebody else''s; with an API key), PT404, PT409 revoked or expired, 22023. For saas_user with manage_applications.';

create function saas.verify_request(method text, path text, query text, body bytea, headers jsonb) returns jsonb
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_verify_request';
comment on function saas.verify_request(text, text, text, bytea, jsonb) is
'For gateways: verifies a signed HTTP request and gives the transaction the identity of its API key: {org_id, user_id, api_key_id}. headers holds x-api-key, x-saas-timestamp (Unix seconds, at most 300 from now), x-saas-nonce (16 to 128 letters, digits, dots, hyphens, underscores; used once) and x-saas-signature, in hex or base64url: HMAC-SHA256 under the signing secret''s text over method, path, query without "?", timestamp, nonce and the lower-case hex SHA-256 of the body, joined by line feeds, in UTF-8. query and body may be NULL for empty. Errors: PT401, PT403, 22023, 25001, PT429 for an organization with more signed requests in eleven minutes than an eighth of saas.limit_entries, PT503 when no more nonces can be remembered. Callable by everyone.';
