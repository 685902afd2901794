-- Sign-in and sessions: a person is proven, then a session starts, is refreshed
-- and ends.  Definer functions of saas_service.  Leans on accounts.

-- The answer of sign_in, refresh_session and switch_organization.
create function saas_private.session_answer(user_id uuid, session_id uuid, org_id uuid, refresh_token text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person jsonb;
    organization jsonb;
    membership jsonb;
    lifetime integer;
    answer jsonb;
begin
    -- Without a refresh token it lives no longer than what the newest one came
    -- with: who has an access token alone cannot renew it.
    if session_answer.refresh_token is null then
        select floor(extract(epoch from current_setting('saas.access_token_lifetime')::interval
                                        - (clock_timestamp() - max(t.created_at))))
          into lifetime from saas_private.refresh_token t where t.session_id = session_answer.session_id;
        if lifetime is null or lifetime < 1 then
            perform saas_private.raise_error('PT401', 'Invalid or expired token', null, 'Refresh the session first.');
        end if;
    end if;
    answer := saas_private.issue_access_token(session_answer.user_id, session_answer.session_id,
                                              session_answer.org_id, lifetime);
    select jsonb_build_object('id', u.id, 'email', u.email, 'first_name', u.first_name,
                              'last_name', u.last_name, 'avatar_url', u.avatar_url)
      into person from saas.app_user u where u.id = session_answer.user_id;
    select jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug),
           jsonb_build_object('role', m.role, 'joined_at', m.joined_at)
      into organization, membership
      from saas.membership m join saas.organization o on o.id = m.org_id
     where m.user_id = session_answer.user_id and m.org_id = session_answer.org_id;
    if session_answer.refresh_token is not null then
        answer := answer || jsonb_build_object('refresh_token', session_answer.refresh_token);
    end if;
    return answer || jsonb_build_object('token_type', 'Bearer', 'user', person,
                                        'organization', organization, 'membership', membership);
end
$$;
alter function saas_private.session_answer(uuid, uuid, uuid, text) owner to saas_service;
comment on function saas_private.session_answer(uuid, uuid, uuid, text) is
'A new access token with user, organization and membership, as the account functions answer.';

create function saas_private.add_refresh_token(session_id uuid, expires_at timestamptz, generation integer default 0)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    token text := saas_private.random_token();
begin
    insert into saas_private.refresh_token (session_id, token_hash, expires_at, generation)
    values (add_refresh_token.session_id, saas_private.token_hash(token), add_refresh_token.expires_at,
            add_refresh_token.generation);
    return token;
end
$$;
alter function saas_private.add_refresh_token(uuid, timestamptz, integer) owner to saas_service;
comment on function saas_private.add_refresh_token(uuid, timestamptz, integer) is
'A new refresh token of a session; only its hash is kept.';

create function saas_private.session_org(user_id uuid, preferred_id uuid, second_factor_at timestamptz,
                                         started_at timestamptz default now())
returns uuid
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select m.org_id
      from saas.membership m
      join saas.organization o on o.id = m.org_id and o.status = 'active'
     where m.user_id = session_org.user_id
       and (not o.requires_second_factor or session_org.second_factor_at is not null)
       and (o.max_session_age is null or session_org.started_at + o.max_session_age > now())
       and saas_private.client_is_within(o.allowed_networks)
     order by m.org_id = session_org.preferred_id desc nulls last, m.joined_at, m.org_id
     limit 1
$$;
alter function saas_private.session_org(uuid, uuid, timestamptz, timestamptz) owner to saas_service;
comment on function saas_private.session_org(uuid, uuid, timestamptz, timestamptz) is
'The organization that a session works in: the preferred one, else that of the oldest membership, of those that its second factor or the lack of one, its age and the client''s address open; NULL without any.';

-- What follows once the person is proven, by a password or otherwise.
create function saas_private.start_session(user_id uuid, remember_me boolean, second_factor_at timestamptz default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    session_id uuid := saas.uuidv7();
    is_remembered boolean := coalesce(start_session.remember_me, false);
    expires_at timestamptz := now() + case when is_remembered then interval '30 days' else interval '24 hours' end;
    chosen_org uuid;
begin
    -- Who deactivates the account waits for this and then ends the session.
    select saas_private.session_org(u.id, u.last_org_id, start_session.second_factor_at) into chosen_org
      from saas.app_user u where u.id = start_session.user_id and u.is_active
       for no key update;
    if not found then
        perform saas_private.raise_error('PT401', 'Invalid credentials');
    end if;
    insert into saas_private.session (id, user_id, active_org_id, is_remembered, ip, user_agent, expires_at,
                                      second_factor_at)
    values (session_id, start_session.user_id, chosen_org, is_remembered, saas_private.client_address(),
            left(saas_private.request_header('user-agent'), 1024), expires_at, start_session.second_factor_at);
    update saas.app_user u set last_login_at = now(), last_org_id = chosen_org where u.id = start_session.user_id;
    perform saas_private.note_sign_in('success', start_session.user_id, null);
    return saas_private.session_answer(start_session.user_id, session_id, chosen_org,
        saas_private.add_refresh_token(session_id, expires_at));
end
$$;
alter function saas_private.start_session(uuid, boolean, timestamptz) owner to saas_service;
comment on function saas_private.start_session(uuid, boolean, timestamptz) is
'A new session of a person whose identity is proven, with what sign_in answers. Remembered: 30 days, else 24 hours.';

create function saas_private.client_address() returns inet
language c stable parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_client_address';
comment on function saas_private.client_address() is
'Where the request comes from: the connection''s peer, or behind the proxies of saas.trusted_proxies the right-most address of X-Forwarded-For that is none of them. NULL for a Unix socket. What others forward is not looked at.';

create function saas_private.client_subject() returns text
language c stable parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_client_subject';
comment on function saas_private.client_subject() is
'What the attempts of the request''s client are counted under: its address, an IPv6 one''s /64. NULL behind a loopback or local proxy that saas.trusted_proxies does not name, where everybody has one address.';

-- A note of the journal has 480 bytes, and JSON may escape what it quotes.
create function saas_private.short_user_agent() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select left(regexp_replace(saas_private.request_header('user-agent'), '[^ !#-\[\]-~]', '?', 'g'), 140)
$$;
comment on function saas_private.short_user_agent() is
'The request''s user agent in at most 140 plain characters.';

-- Through the journal, so that a caller who rolls the transaction back is seen.
create function saas_private.note_sign_in(outcome text, user_id uuid, email text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text := saas_private.plain_email(coalesce(note_sign_in.email,
        (select u.email from saas.app_user u where u.id = note_sign_in.user_id)));
begin
    perform saas_private.note('sign_in', note_sign_in.user_id, jsonb_build_object(
        'outcome', note_sign_in.outcome,
        'email', saas_private.masked_email(address),
        'email_hash', encode(saas_private.platform_hash('email', address), 'hex'),
        'ip', host(saas_private.client_address()),
        'user_agent', saas_private.short_user_agent()));
end
$$;
alter function saas_private.note_sign_in(text, uuid, text) owner to saas_service;
comment on function saas_private.note_sign_in(text, uuid, text) is
'Puts one line into the log of sign-ins: outcome, account if known, masked and hashed address, client. It is there whatever becomes of the transaction.';

create function saas_private.masked_email(email text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when masked_email.email ~ '^[A-Za-z0-9][!-?A-~]*@[A-Za-z0-9.-]+$'
                then left(masked_email.email, 1) || '***' || left(substring(masked_email.email from '@.*$'), 100)
                else '***' end
$$;
comment on function saas_private.masked_email(text) is
'The first letter and the domain of an address: a***@example.com.';

create function saas_private.count_client(kind text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    client text := saas_private.client_subject();
begin
    if client is not null then
        perform saas_private.require_attempt(count_client.kind, client, 50, interval '1 second',
                                             interval '5 minutes', interval '1 hour');
    end if;
end
$$;
alter function saas_private.count_client(text) owner to saas_service;
comment on function saas_private.count_client(text) is
'Counts an attempt against the client''s address. Fifty are free, then each further one waits a second and twice as long each time, at most five minutes: PT429.';

-- Counted before the password is looked at: a caller may roll back what it
-- learns.  The client's address comes first, so that one client cannot fill
-- the memory of attempts with made-up accounts.
create function saas_private.count_sign_in(email text, user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    subject text := saas_private.email_subject(count_sign_in.email);
    seconds integer;
begin
    perform saas_private.count_client('sign_in_client');
    seconds := saas_private.take_attempt('sign_in', subject, 5, interval '1 second',
                                         interval '15 minutes', interval '1 hour');
    if seconds > 0 then
        -- For an address without an account too: the same work, the same time.
        if saas_private.use_once('sign_in_lockout', subject, interval '1 hour') then
            perform saas_private.note_sign_in('locked_out', count_sign_in.user_id, count_sign_in.email);
        end if;
        perform saas_private.raise_wait(seconds);
    end if;
end
$$;
alter function saas_private.count_sign_in(text, uuid) owner to saas_service;
comment on function saas_private.count_sign_in(text, uuid) is
'Counts a sign-in against client and address before it is verified. Five for an address are free, then each further one waits a second and twice as long each time, at most 15 minutes: PT429. Once an hour the account''s owner is told.';

-- Whose password it is; every refusal looks the same and takes the same time.
create function saas_private.verify_password(email text, password text) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began_at timestamptz := clock_timestamp();
    person record;
    matches boolean;
begin
    select u.id, u.is_active, u.email_verified_at, p.hash, p.changed_at
      into person
      from saas.app_user u
      left join saas_private.password p on p.user_id = u.id
     where lower(u.email) = saas_private.plain_email(verify_password.email);
    perform saas_private.count_sign_in(verify_password.email, person.id);
    -- An unknown address costs a comparison too.
    matches := saas_private.check_password(verify_password.password, person.hash)
               and coalesce(person.is_active, false);
    if not matches then
        perform saas_private.note_sign_in('invalid_credentials', person.id, verify_password.email);
    end if;
    perform saas_private.wait_until(began_at
        + current_setting('saas.sign_in_floor')::interval);
    if not matches then
        perform saas_private.raise_error('PT401', 'Invalid credentials');
    end if;
    perform saas_private.forget_attempts('sign_in', saas_private.email_subject(verify_password.email));
    if person.email_verified_at is null and current_setting('saas.require_verified_email')::boolean then
        perform saas_private.note_sign_in('email_not_verified', person.id, verify_password.email);
        perform saas_private.raise_error('PT403', 'Email not verified', null,
            'Follow the link in the verification mail.');
    end if;
    -- Who changes it waits for this and then ends the session, or has been faster.
    perform from saas_private.password p
      where p.user_id = person.id and p.changed_at = person.changed_at
        for no key update;
    if not found then
        perform saas_private.raise_error('PT401', 'Invalid credentials');
    end if;
    perform saas_private.refresh_hash(person.id, verify_password.password, person.hash);
    return person.id;
end
$$;
alter function saas_private.verify_password(text, text) owner to saas_service;
comment on function saas_private.verify_password(text, text) is
'The active user with that address and password. Errors: PT401 "Invalid credentials", PT403 "Email not verified", PT429 "Too many attempts".';

create function saas_private.refresh_hash(user_id uuid, password text, hash text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if substring(refresh_hash.hash from '^[$]2[a-z][$]([0-9][0-9])[$]')::integer
       is distinct from current_setting('saas.bcrypt_cost')::integer then
        update saas_private.password p
           set hash = saas_private.hash_password(refresh_hash.password)
         where p.user_id = refresh_hash.user_id and p.hash = refresh_hash.hash;
    end if;
end
$$;
alter function saas_private.refresh_hash(uuid, text, text) owner to saas_service;
comment on function saas_private.refresh_hash(uuid, text, text) is
'Hashes a proven password anew when saas.bcrypt_cost has changed since.';

create function saas_api.sign_in(email text, password text, remember_me boolean default false)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    user_id uuid;
begin
    perform saas_private.require_installed();
    if pg_is_in_recovery() then
        perform saas_private.raise_error('PT503', 'Sign-in is not possible on a standby', null,
            'Sign in on the primary server.');
    end if;
    user_id := saas_private.verify_password(sign_in.email, sign_in.password);
    return saas_private.continue_sign_in(user_id, sign_in.remember_me);
end
$$;
alter function saas_api.sign_in(text, text, boolean) owner to saas_service;
comment on function saas_api.sign_in(text, text, boolean) is
'Signs in with e-mail and password: {access_token, refresh_token, token_type, expires_in, user, organization, membership}. expires_in is in seconds. A person with a second factor gets {second_factor_required, challenge, expires_in} for verify_second_factor instead. Errors: PT401 "Invalid credentials", PT403 "Email not verified", PT429 with {"retry_after": seconds} in DETAIL after too many attempts, PT503 on a standby. For saas_anon and saas_user.';

-- A token that was used may be asked again by a browser that lost the answer:
-- within ten seconds, and only while nothing came of the answer.
create function saas_private.is_reuse(session_id uuid, generation integer, used_at timestamptz) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select is_reuse.used_at < clock_timestamp() - interval '10 seconds'
           or exists (select from saas_private.refresh_token t
                       where t.session_id = is_reuse.session_id and t.generation > is_reuse.generation
                         and (t.rotated_at is not null or t.generation > is_reuse.generation + 1))
$$;
alter function saas_private.is_reuse(uuid, integer, timestamptz) owner to saas_service;
comment on function saas_private.is_reuse(uuid, integer, timestamptz) is
'Whether somebody uses a refresh token, first used at that time, that its owner has exchanged already.';

create function saas_api.refresh_session(refresh_token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_token record;
    first_used_at timestamptz;
    chosen_org uuid;
    sliding_until timestamptz;
begin
    perform saas_private.require_installed();
    if pg_is_in_recovery() then
        perform saas_private.raise_error('PT503', 'Sessions are not refreshed on a standby', null,
            'Ask the primary server.');
    end if;
    -- The locks make a second use of any token of the session wait and then see
    -- the first, and the worker wait, which lets memory go of a use once the
    -- token's row says it.
    perform from saas_private.session s
       join saas_private.refresh_token t on t.session_id = s.id
      where t.token_hash = saas_private.token_hash(coalesce(refresh_session.refresh_token, ''))
        for update of s, t;
    select t.id, t.session_id, t.rotated_at, t.expires_at, t.generation,
           s.user_id, s.active_org_id, s.is_remembered, s.expires_at as session_expires_at,
           s.second_factor_at, s.created_at
      into found_token
      from saas_private.refresh_token t
      join saas_private.session s on s.id = t.session_id
      join saas.app_user u on u.id = s.user_id
     where t.token_hash = saas_private.token_hash(coalesce(refresh_session.refresh_token, ''))
       and t.expires_at > now() and s.ended_at is null and s.expires_at > now() and u.is_active;
    if found_token.id is null or saas_private.session_is_ended(found_token.session_id) then
        perform saas_private.raise_error('PT401', 'Invalid or expired token', null, 'Sign in again.');
    end if;
    -- A caller who rolls the exchange back has used the token all the same.
    first_used_at := least(found_token.rotated_at,
        saas_private.use_refresh(found_token.session_id, found_token.generation,
                                 greatest(found_token.expires_at - now(), interval '1 minute')));
    if saas_private.is_reuse(found_token.session_id, found_token.generation, first_used_at) then
        perform saas_private.end_session_now(found_token.session_id);
        perform saas_private.note_sign_in('reuse', found_token.user_id, null);
        perform saas_private.raise_error('PT401', 'Invalid or expired token', null, 'Sign in again.');
    end if;
    chosen_org := saas_private.session_org(found_token.user_id, found_token.active_org_id,
                                           found_token.second_factor_at, found_token.created_at);
    -- Told, so that the person signs in again instead of working nowhere.
    if chosen_org is null and found_token.active_org_id is not null
       and saas_private.session_org(found_token.user_id, found_token.active_org_id,
                                    found_token.second_factor_at) is not null then
        perform saas_private.raise_error('PT401', 'Session is too old for this organization', null, 'Sign in again.');
    end if;
    sliding_until := case when found_token.is_remembered
                          then now() + interval '30 days' else found_token.session_expires_at end;
    -- With the token go its siblings, which were made for lost answers.
    update saas_private.refresh_token t set rotated_at = first_used_at
     where t.session_id = found_token.session_id and t.rotated_at is null and found_token.rotated_at is null;
    update saas_private.session s
       set last_used_at = now(), active_org_id = chosen_org, expires_at = sliding_until
     where s.id = found_token.session_id;
    return saas_private.session_answer(found_token.user_id, found_token.session_id, chosen_org,
        saas_private.add_refresh_token(found_token.session_id, sliding_until, found_token.generation + 1));
end
$$;
alter function saas_api.refresh_session(text) owner to saas_service;
comment on function saas_api.refresh_session(text) is
'Exchanges a refresh token for a new pair; the given one is used up, but for ten seconds in which a lost answer can be asked for again. Any other use of a used-up token ends the session at once. Both hold even when the caller rolls back. The answer is sign_in''s. Errors: PT401 "Invalid or expired token", PT401 "Session is too old for this organization" when no other takes it, PT503 on a standby. For saas_anon and saas_user.';

create function saas_api.sign_out(scope text default 'current') returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := coalesce(sign_out.scope, 'current');
    ended integer;
begin
    if not saas.is_authenticated() then
        perform saas_private.raise_error('PT401', 'Access token required');
    end if;
    perform saas_private.refuse_api_key();
    if wanted not in ('current', 'others', 'all') then
        perform saas_private.raise_fields('invalid input', 'scope', 'must be current, others or all');
    end if;
    update saas_private.session s
       set ended_at = now()
     where s.user_id = saas.current_user_id() and s.ended_at is null
       and case wanted when 'current' then s.id = saas.current_session_id()
                       when 'others' then s.id is distinct from saas.current_session_id()
                       else true end;
    get diagnostics ended = row_count;
    -- Leaving oneself is no more than a sign-in's end.
    if wanted <> 'current' and ended > 0 then
        perform saas_private.audit_user('user.sessions_ended', saas.current_user_id(), null,
                                        jsonb_build_object('scope', wanted, 'sessions', ended));
    end if;
    return jsonb_build_object('sessions_ended', ended);
end
$$;
alter function saas_api.sign_out(text) owner to saas_service;
comment on function saas_api.sign_out(text) is
'Ends the current session, the others, or all of them; their access tokens end with the next transaction. Errors: PT401, 22023. For saas_user.';

create function saas_private.my_sessions()
returns table (id uuid, ip inet, user_agent text, created_at timestamptz, last_used_at timestamptz,
               expires_at timestamptz, is_remembered boolean, is_current boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select s.id, s.ip, s.user_agent, s.created_at, s.last_used_at, s.expires_at, s.is_remembered,
               s.id is not distinct from saas.current_session_id()
          from saas_private.session s
         where s.user_id = saas.current_user_id() and s.ended_at is null and s.expires_at > now()
           and not saas_private.session_is_ended(s.id)
           -- A key does not see where its owner signs in from.
           and saas.current_api_key_id() is null;
end
$$;
alter function saas_private.my_sessions() owner to saas_service;
comment on function saas_private.my_sessions() is
'What the view saas_api.sessions shows.';

create function saas_api.end_session(session_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not saas.is_authenticated() then
        perform saas_private.raise_error('PT401', 'Access token required');
    end if;
    perform saas_private.refuse_api_key();
    update saas_private.session s set ended_at = now()
     where s.id = end_session.session_id and s.user_id = saas.current_user_id()
       and s.ended_at is null and s.expires_at > now();
    if not found then
        perform saas_private.raise_error('PT404', 'session not found');
    end if;
    perform saas_private.audit_user('user.sessions_ended', saas.current_user_id(), null,
                                    jsonb_build_object('scope', end_session.session_id, 'sessions', 1));
    return jsonb_build_object('sessions_ended', 1);
end
$$;
alter function saas_api.end_session(uuid) owner to saas_service;
comment on function saas_api.end_session(uuid) is
'Ends one of my sessions; its access tokens end with the next transaction. Errors: PT401, PT404. For saas_user.';

create function saas_private.end_sessions_of(user_id uuid, except_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas_private.session s set ended_at = now()
     where s.user_id = end_sessions_of.user_id and s.ended_at is null
       and s.id is distinct from end_sessions_of.except_id;
end
$$;
alter function saas_private.end_sessions_of(uuid, uuid) owner to saas_service;
comment on function saas_private.end_sessions_of(uuid, uuid) is
'Ends all sessions of a person but the one given, if any.';

create function saas_private.end_api_keys_of(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit_keys_ended(end_api_keys_of.user_id);
    update saas.api_key k set revoked_at = now(), overlap_until = null
     where k.created_by = end_api_keys_of.user_id and k.revoked_at is null;
end
$$;
alter function saas_private.end_api_keys_of(uuid) owner to saas_service;
comment on function saas_private.end_api_keys_of(uuid) is
'Revokes every API key that acts in a person''s name.';

create function saas_private.my_sign_ins()
returns table (at timestamptz, outcome text, ip inet, user_agent text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select e.at, e.payload ->> 'outcome', (e.payload ->> 'ip')::inet, e.payload ->> 'user_agent'
          from saas_private.security_event e
         where e.kind = 'sign_in' and e.subject = saas.current_user_id() and saas.current_api_key_id() is null;
end
$$;
alter function saas_private.my_sign_ins() owner to saas_service;
comment on function saas_private.my_sign_ins() is
'What the view saas_api.sign_in_log shows.';

create function saas.sign_ins(since timestamptz default now() - interval '1 day', email text default null)
returns table (at timestamptz, outcome text, user_id uuid, email_masked text, email_hash bytea, ip inet, user_agent text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted bytea;
begin
    perform saas_private.require_installed();
    if sign_ins.email is not null then
        wanted := saas_private.platform_hash('email', saas_private.plain_email(sign_ins.email));
    end if;
    return query
        select e.at, e.payload ->> 'outcome', e.subject, e.payload ->> 'email',
               decode(e.payload ->> 'email_hash', 'hex'), (e.payload ->> 'ip')::inet, e.payload ->> 'user_agent'
          from saas_private.security_event e
         where e.kind = 'sign_in' and e.at >= coalesce(sign_ins.since, '-infinity')
           and (wanted is null or e.payload ->> 'email_hash' = encode(wanted, 'hex'))
         order by e.at desc;
end
$$;
alter function saas.sign_ins(timestamptz, text) owner to saas_service;
comment on function saas.sign_ins(timestamptz, text) is
'The log of sign-ins since that time, newest first, of one e-mail address if given: outcome (success, invalid_credentials, email_not_verified, locked_out, invalid_second_factor, wrong_own_password, reuse), the account if there is one, masked address and its keyed hash, client. The worker writes it within seconds. For saas_operator.';
