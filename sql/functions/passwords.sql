-- Which passwords may be chosen, and attempts that are counted before they are
-- verified.  Leans on vault, limits.

create function saas_private.wait_until(moment timestamptz) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_wait_until';
comment on function saas_private.wait_until(timestamptz) is
'Returns at the moment or at once when it is past. Interruptible.';

create function saas_private.keyed_hash(key text, value text) returns bytea
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_keyed_hash';
comment on function saas_private.keyed_hash(text, text) is
'HMAC-SHA-256 of the value.';

create function saas_private.platform_hash(purpose text, value text) returns bytea
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    sealed_key saas.sealed;
begin
    select k.key into sealed_key from saas_private.hash_key k where k.name = platform_hash.purpose;
    if not found then
        insert into saas_private.hash_key (name, key)
        values (platform_hash.purpose,
                saas_private.seal_for_platform(saas_private.random_token(), 'pg_saas:hash_key', platform_hash.purpose))
        on conflict do nothing;
        select k.key into strict sealed_key from saas_private.hash_key k where k.name = platform_hash.purpose;
    end if;
    return saas_private.keyed_hash(
        saas_private.unseal_for_platform(sealed_key, 'pg_saas:hash_key', platform_hash.purpose), platform_hash.value);
end
$$;
alter function saas_private.platform_hash(text, text) owner to saas_service;
comment on function saas_private.platform_hash(text, text) is
'Keyed hash of a value under the platform''s key of that purpose, which is made when there is none.';

-- No address has more than 255 characters, so nothing that was cut is one.
create function saas_private.plain_email(email text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select lower(btrim(left(coalesce(email, ''), 1000)))
$$;
comment on function saas_private.plain_email(text) is
'An address as accounts are found by it: trimmed, in lower case, never NULL.';

create function saas_private.email_subject(email text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select encode(sha256(convert_to(saas_private.plain_email(email), 'UTF8')), 'hex')
$$;
comment on function saas_private.email_subject(text) is
'What attempts on an address are counted under in shared memory, whether or not it has an account.';

create function saas_private.require_attempt(kind text, subject text, free integer, base_wait interval,
                                             max_wait interval, window_length interval)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    seconds integer := saas_private.take_attempt(kind, subject, free, base_wait, max_wait, window_length);
begin
    if seconds > 0 then
        perform saas_private.raise_wait(seconds);
    end if;
end
$$;
comment on function saas_private.require_attempt(text, text, integer, interval, interval, interval) is
'Counts an attempt, or raises PT429 with the seconds to wait in DETAIL.';

create function saas_private.raise_wait(seconds integer) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_raise_wait';
comment on function saas_private.raise_wait(integer) is
'Raises PT429 with DETAIL {"retry_after": seconds} and, inside an HTTP request, the header Retry-After.';

create function saas_private.require_strong_password(password text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(octet_length(require_strong_password.password), 0) not between 8 and 72 then
        -- Refused before it hashes anything.
        perform saas_private.hash_password(require_strong_password.password);
    elsif exists (select from saas_private.common_password c
                   where c.word = lower(require_strong_password.password)) then
        perform saas_private.raise_fields('invalid password', 'password', 'is too common');
    elsif current_setting('saas.password_composition')::boolean
       and not (require_strong_password.password ~ '[[:lower:]]' and require_strong_password.password ~ '[[:upper:]]'
                and require_strong_password.password ~ '[[:digit:]]') then
        perform saas_private.raise_fields('invalid password', 'password',
            'must hold a lower-case letter, an upper-case letter and a digit');
    end if;
end
$$;
alter function saas_private.require_strong_password(text) owner to saas_service;
comment on function saas_private.require_strong_password(text) is
'Raises 22023 for a password that is too short, too long, too common or lacks what saas.password_composition asks for.';

create function saas_private.set_password(user_id uuid, hash text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into saas_private.password (user_id, hash) values (set_password.user_id, set_password.hash)
    on conflict on constraint password_pkey do update set hash = excluded.hash, changed_at = clock_timestamp();
end
$$;
alter function saas_private.set_password(uuid, text) owner to saas_service;
comment on function saas_private.set_password(uuid, text) is
'Gives an account its password''s hash.';

-- A signed-in person who names the password again.
create function saas_private.require_own_password(password text, field text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own_id uuid := saas.current_user_id();
    own_hash text;
begin
    if own_id is null then
        perform saas_private.raise_error('PT401', 'Access token required');
    end if;
    perform saas_private.refuse_api_key();
    perform saas_private.require_attempt('own_password', own_id::text, 5, interval '1 second',
                                         interval '15 minutes', interval '1 hour');
    select p.hash into own_hash from saas_private.password p where p.user_id = own_id;
    if not saas_private.check_password(require_own_password.password, own_hash) then
        perform saas_private.note_sign_in('wrong_own_password', own_id, null);
        perform saas_private.raise_fields('invalid password', require_own_password.field, 'is not correct');
    end if;
    perform saas_private.forget_attempts('own_password', own_id::text);
end
$$;
alter function saas_private.require_own_password(text, text) owner to saas_service;
comment on function saas_private.require_own_password(text, text) is
'Raises unless it is the signed-in person''s password: PT401, 22023 with the field, PT429 after five wrong ones in an hour, a second and doubled each time up to 15 minutes.';
