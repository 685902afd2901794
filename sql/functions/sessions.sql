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
    answer jsonb := saas_private.issue_access_token(session_answer.user_id, session_answer.session_id,
                                                    session_answer.org_id);
begin
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

create function saas_private.add_refresh_token(session_id uuid, expires_at timestamptz) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    token text := saas_private.random_token();
begin
    insert into saas_private.refresh_token (session_id, token_hash, expires_at)
    values (add_refresh_token.session_id, saas_private.token_hash(token), add_refresh_token.expires_at);
    return token;
end
$$;
alter function saas_private.add_refresh_token(uuid, timestamptz) owner to saas_service;
comment on function saas_private.add_refresh_token(uuid, timestamptz) is
'A new refresh token of a session; only its hash is kept.';

create function saas_private.session_org(user_id uuid, preferred_id uuid, second_factor_at timestamptz)
returns uuid
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select m.org_id
      from saas.membership m
      join saas.organization o on o.id = m.org_id and o.status = 'active'
     where m.user_id = session_org.user_id
       and (not o.requires_second_factor or session_org.second_factor_at is not null)
     order by m.org_id = session_org.preferred_id desc nulls last, m.joined_at, m.org_id
     limit 1
$$;
alter function saas_private.session_org(uuid, uuid, timestamptz) owner to saas_service;
comment on function saas_private.session_org(uuid, uuid, timestamptz) is
'The organization that a session works in: the preferred one, else that of the oldest membership, of those that its second factor or the lack of one opens; NULL without any.';

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
    select saas_private.session_org(u.id, u.last_org_id, start_session.second_factor_at) into chosen_org
      from saas.app_user u where u.id = start_session.user_id;
    insert into saas_private.session (id, user_id, active_org_id, is_remembered, ip, user_agent, expires_at,
                                      second_factor_at)
    values (session_id, start_session.user_id, chosen_org, is_remembered, inet_client_addr(),
            left(saas_private.request_header('user-agent'), 1024), expires_at, start_session.second_factor_at);
    update saas.app_user u set last_login_at = now(), last_org_id = chosen_org where u.id = start_session.user_id;
    return saas_private.session_answer(start_session.user_id, session_id, chosen_org,
        saas_private.add_refresh_token(session_id, expires_at));
end
$$;
alter function saas_private.start_session(uuid, boolean, timestamptz) owner to saas_service;
comment on function saas_private.start_session(uuid, boolean, timestamptz) is
'A new session of a person whose identity is proven, with what sign_in answers. Remembered: 30 days, else 24 hours.';

-- Whose password it is; every refusal looks the same.
create function saas_private.verify_password(email text, password text) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person record;
begin
    select u.id, u.is_active, u.email_verified_at, p.hash
      into person
      from saas.app_user u
      left join saas_private.password p on p.user_id = u.id
     where lower(u.email) = lower(btrim(verify_password.email));
    -- An unknown address costs a comparison too.
    if not saas_private.check_password(verify_password.password, person.hash) or not coalesce(person.is_active, false) then
        perform saas_private.raise_error('PT401', 'Invalid credentials');
    end if;
    if person.email_verified_at is null and current_setting('saas.require_verified_email')::boolean then
        perform saas_private.raise_error('PT403', 'Email not verified', null,
            'Follow the link in the verification mail.');
    end if;
    return person.id;
end
$$;
alter function saas_private.verify_password(text, text) owner to saas_service;
comment on function saas_private.verify_password(text, text) is
'The active user with that address and password. Errors: PT401 "Invalid credentials", PT403 "Email not verified".';

create function saas_api.sign_in(email text, password text, remember_me boolean default false)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    user_id uuid;
begin
    perform saas_private.require_installed();
    user_id := saas_private.verify_password(sign_in.email, sign_in.password);
    return saas_private.continue_sign_in(user_id, sign_in.remember_me);
end
$$;
alter function saas_api.sign_in(text, text, boolean) owner to saas_service;
comment on function saas_api.sign_in(text, text, boolean) is
'Signs in with e-mail and password: {access_token, refresh_token, token_type, expires_in, user, organization, membership}. expires_in is in seconds. A person with a second factor gets {second_factor_required, challenge, expires_in} for verify_second_factor instead. Errors: PT401 "Invalid credentials", PT403 "Email not verified". For saas_anon and saas_user.';

create function saas_api.refresh_session(refresh_token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_token record;
    chosen_org uuid;
    sliding_until timestamptz;
begin
    perform saas_private.require_installed();
    -- The lock makes a second use of the same token wait and then see the first.
    select t.id, t.session_id, t.rotated_at, t.expires_at,
           s.user_id, s.active_org_id, s.is_remembered, s.expires_at as session_expires_at,
           s.second_factor_at
      into found_token
      from saas_private.refresh_token t
      join saas_private.session s on s.id = t.session_id
      join saas.app_user u on u.id = s.user_id
     where t.token_hash = saas_private.token_hash(coalesce(refresh_session.refresh_token, ''))
       and t.expires_at > now() and s.ended_at is null and s.expires_at > now() and u.is_active
       for update of t, s;
    -- A browser that lost the answer may ask again within ten seconds.
    if found_token.id is null or found_token.rotated_at < clock_timestamp() - interval '10 seconds' then
        perform saas_private.raise_error('PT401', 'Invalid or expired token', null, 'Sign in again.');
    end if;
    chosen_org := saas_private.session_org(found_token.user_id, found_token.active_org_id,
                                           found_token.second_factor_at);
    sliding_until := case when found_token.is_remembered
                          then now() + interval '30 days' else found_token.session_expires_at end;
    update saas_private.refresh_token t set rotated_at = coalesce(t.rotated_at, clock_timestamp())
     where t.id = found_token.id;
    update saas_private.session s
       set last_used_at = now(), active_org_id = chosen_org, expires_at = sliding_until
     where s.id = found_token.session_id;
    return saas_private.session_answer(found_token.user_id, found_token.session_id, chosen_org,
        saas_private.add_refresh_token(found_token.session_id, sliding_until));
end
$$;
alter function saas_api.refresh_session(text) owner to saas_service;
comment on function saas_api.refresh_session(text) is
'Exchanges a refresh token for a new pair; the given one is used up. The answer is sign_in''s. Errors: PT401 "Invalid or expired token". For saas_anon and saas_user.';

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
    return jsonb_build_object('sessions_ended', ended);
end
$$;
alter function saas_api.sign_out(text) owner to saas_service;
comment on function saas_api.sign_out(text) is
'Ends the current session, the others, or all of them; their access tokens end with the next transaction. Errors: PT401, 22023. For saas_user.';
