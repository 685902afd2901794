-- Sign-up, verification, sign-in and sessions.  Definer functions of
-- saas_service: they run for people who have no identity yet.  Leans on vault,
-- identity.

create function saas_private.require_field(field text, value text, max_length integer)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := btrim(value);
begin
    if coalesce(cleaned, '') = '' then
        perform saas_private.raise_fields('invalid input', field, 'is required');
    elsif length(cleaned) > max_length then
        perform saas_private.raise_fields('invalid input', field,
                                          format('must have at most %s characters', max_length));
    elsif cleaned ~ '[[:cntrl:]]' then
        perform saas_private.raise_fields('invalid input', field, 'must not hold control characters');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_field(text, text, integer) is
'The trimmed value, or 22023 with the field''s name when it is empty, too long or holds control characters.';

create function saas_private.require_email(email text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := saas_private.require_field('email', email, 255);
begin
    -- Quoted local parts and address literals are valid in RFC 5321 and
    -- nobody's; everything else of its grammar is taken.
    if cleaned !~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:[.][A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$'
       or cleaned ~ '(^[.]|[.][.]|[.]@)' or position('@' in cleaned) > 65 then
        perform saas_private.raise_fields('invalid input', 'email', 'is not a valid e-mail address');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_email(text) is
'The trimmed address, or 22023.';

create function saas_private.queue_mail(recipient text, template text, parameters jsonb, token text default null,
                                        org_id uuid default null)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mail_id uuid := saas.uuidv7();
begin
    insert into saas.outbox (id, org_id, recipient, template, parameters, token)
    values (mail_id, queue_mail.org_id, queue_mail.recipient, queue_mail.template, queue_mail.parameters,
            case when queue_mail.token is not null then
                saas_private.seal_for_platform(queue_mail.token, 'pg_saas:outbox', mail_id::text) end);
    perform saas_private.wake_poller();
    return mail_id;
end
$$;
alter function saas_private.queue_mail(text, text, jsonb, text, uuid) owner to saas_service;
comment on function saas_private.queue_mail(text, text, jsonb, text, uuid) is
'Puts a mail into the outbox with its token sealed and wakes the worker at commit. A code that the mail shows beside its link follows the token after a blank. With org_id the mail carries the organization''s name and templates.';

create function saas.read_mail(id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mail record;
begin
    select o.org_id, o.recipient, o.template, o.parameters, o.token, o.status, o.created_at
      into mail from saas.outbox o where o.id = read_mail.id;
    -- Mail of the platform holds keys to an account: a ticket for one of the
    -- recipient's own organizations is the least that opens it.
    if not saas_private.is_operator_of(mail.org_id)
       and not exists (select from saas.app_user u join saas.membership m on m.user_id = u.id
                        where mail.org_id is null and lower(u.email) = lower(mail.recipient)
                          and saas_private.is_operator_of(m.org_id)) then
        perform saas_private.raise_error('PT403', 'reading mail needs a superuser or an open ticket');
    end if;
    if mail.recipient is null then
        perform saas_private.raise_error('PT404', 'mail not found');
    end if;
    return jsonb_build_object(
        'id', read_mail.id, 'recipient', mail.recipient, 'template', mail.template,
        'parameters', mail.parameters, 'status', mail.status, 'created_at', mail.created_at,
        'token', saas_private.unseal_for_platform(mail.token, 'pg_saas:outbox', read_mail.id::text));
end
$$;
alter function saas.read_mail(uuid) owner to saas_service;
comment on function saas.read_mail(uuid) is
'One mail of the outbox with its token, for superusers and operators with an open ticket. Errors: PT403, PT404.';

-- session_user, because current_user is the owner inside a definer function.
create function saas_private.is_operator_of(org_id uuid) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select r.rolsuper from pg_roles r where r.rolname = session_user)
        or saas_private.has_open_ticket(is_operator_of.org_id);
end
$$;
alter function saas_private.is_operator_of(uuid) owner to saas_service;
comment on function saas_private.is_operator_of(uuid) is
'Whether the session''s login is a superuser, or an operator with an open and committed ticket for the organization.';

create function saas_private.slug_of(name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(nullif(btrim(left(regexp_replace(lower(name), '[^a-z0-9]+', '-', 'g'), 48), '-'), ''), 'org')
$$;
comment on function saas_private.slug_of(text) is
'A slug made of a name: lower-case letters, digits and hyphens.';

create function saas_private.is_reserved_slug(slug text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select slug = any (array['admin', 'api', 'app', 'auth', 'billing', 'dashboard', 'docs', 'ftp', 'help',
                             'internal', 'login', 'logout', 'mail', 'me', 'new', 'null', 'org', 'root',
                             'saas', 'settings', 'signin', 'signup', 'static', 'status', 'support',
                             'system', 'undefined', 'www'])
$$;
comment on function saas_private.is_reserved_slug(text) is
'Whether routing needs the word itself.';

-- Where a slug is taken a random tail is added, so that the answer does not
-- depend on other organizations more than a name must.
create function saas_private.add_organization(owner_id uuid, name text, slug text, is_personal boolean)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    new_org_id uuid := saas.uuidv7();
    base text := coalesce(add_organization.slug, saas_private.slug_of(add_organization.name));
    candidate text := base;
    added boolean := false;
begin
    for attempt in 1..8 loop
        if attempt > 1 or saas_private.is_reserved_slug(candidate) then
            candidate := left(base, 48) || '-' || left(encode(saas_private.token_hash(saas_private.random_token()), 'hex'), 6);
        end if;
        insert into saas.organization (id, name, slug, is_personal)
        values (new_org_id, add_organization.name, candidate, add_organization.is_personal)
        on conflict do nothing;
        added := found;
        if not added and add_organization.slug is not null then
            perform saas_private.raise_error('23505', 'slug is already taken', null, 'Choose another slug.');
        end if;
        exit when added;
    end loop;
    if not added then
        perform saas_private.raise_error('23505', 'no free slug found', null, 'Give a slug.');
    end if;
    insert into saas.role (org_id, name, is_builtin, rank)
    select new_org_id, b.name, true, b.rank from saas.builtin_roles() b;
    insert into saas.membership (org_id, user_id, role)
    values (new_org_id, add_organization.owner_id, 'owner');
    perform saas_private.create_data_key(new_org_id);
    return new_org_id;
end
$$;
alter function saas_private.add_organization(uuid, text, text, boolean) owner to saas_service;
comment on function saas_private.add_organization(uuid, text, text, boolean) is
'Creates an organization with its built-in roles, its owner and its first data key.';

create function saas_api.sign_up(email text, password text, first_name text, last_name text,
                                 organization_name text default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_email text := saas_private.require_email(sign_up.email);
    given_first text := saas_private.require_field('first_name', sign_up.first_name, 100);
    given_last text := saas_private.require_field('last_name', sign_up.last_name, 100);
    given_org text;
    -- Before the look-up, so that a known address takes the same time.
    password_hash text := saas_private.hash_password(sign_up.password);
    new_user_id uuid := saas.uuidv7();
    mail_token text := saas_private.random_token();
begin
    perform saas_private.require_installed();
    if not current_setting('saas.sign_up_enabled')::boolean then
        perform saas_private.raise_error('PT403', 'sign-up is turned off');
    end if;
    if sign_up.organization_name is not null then
        given_org := saas_private.require_field('organization_name', sign_up.organization_name, 255);
    end if;

    insert into saas.app_user (id, email, first_name, last_name)
    values (new_user_id, given_email, given_first, given_last)
    on conflict do nothing;
    if found then
        insert into saas_private.password (user_id, hash) values (new_user_id, password_hash);
        perform saas_private.add_organization(new_user_id,
            coalesce(given_org, left(format('%s %s''s Organization', given_first, given_last), 255)),
            null, given_org is null);
        insert into saas_private.email_token (token_hash, user_id, purpose, expires_at)
        values (saas_private.token_hash(mail_token), new_user_id, 'verify_email', now() + interval '24 hours');
        perform saas_private.queue_mail(given_email, 'verify_email',
            jsonb_build_object('first_name', given_first, 'valid_hours', 24), mail_token);
    else
        perform saas_private.queue_mail(given_email, 'account_exists', '{}');
    end if;
    return jsonb_build_object('message', 'Check your email to verify your account.');
end
$$;
alter function saas_api.sign_up(text, text, text, text, text) owner to saas_service;
comment on function saas_api.sign_up(text, text, text, text, text) is
'Creates an account and its organization (a personal one without organization_name), the user as its owner, and mails a verification link. The answer is the same for an address that has an account already. Errors: 22023 with fields, PT403 when sign-up is turned off. For saas_anon and saas_user.';

create function saas_api.verify_email(token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    verified_id uuid;
begin
    perform saas_private.require_installed();
    update saas_private.email_token t
       set used_at = now()
     where t.token_hash = saas_private.token_hash(coalesce(verify_email.token, ''))
       and t.purpose = 'verify_email' and t.used_at is null and t.expires_at > now()
    returning t.user_id into verified_id;
    if verified_id is null then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for a new verification mail.');
    end if;
    update saas.app_user u
       set email_verified_at = coalesce(u.email_verified_at, now()), updated_at = now()
     where u.id = verified_id;
    return jsonb_build_object('message', 'Email verified.');
end
$$;
alter function saas_api.verify_email(text) owner to saas_service;
comment on function saas_api.verify_email(text) is
'Confirms an e-mail address with the token of the mailed link: 24 hours, single use. Errors: 22023. For saas_anon and saas_user.';

create function saas.confirm_user(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.app_user u
       set email_verified_at = coalesce(u.email_verified_at, now()), updated_at = now()
     where u.id = confirm_user.user_id;
    if not found then
        perform saas_private.raise_error('PT404', 'user not found');
    end if;
end
$$;
alter function saas.confirm_user(uuid) owner to saas_service;
comment on function saas.confirm_user(uuid) is
'Counts a user''s e-mail address as verified. Errors: PT404. For saas_operator.';

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

create function saas_api.sign_in(email text, password text, remember_me boolean default false)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person record;
    chosen_org uuid;
    session_id uuid := saas.uuidv7();
    lifetime interval := case when coalesce(sign_in.remember_me, false)
                              then interval '30 days' else interval '24 hours' end;
begin
    perform saas_private.require_installed();
    select u.id, u.is_active, u.email_verified_at, u.last_org_id, p.hash
      into person
      from saas.app_user u
      left join saas_private.password p on p.user_id = u.id
     where lower(u.email) = lower(btrim(sign_in.email));
    -- An unknown address costs a comparison too.
    if not saas_private.check_password(sign_in.password, person.hash) or not coalesce(person.is_active, false) then
        perform saas_private.raise_error('PT401', 'Invalid credentials');
    end if;
    if person.email_verified_at is null and current_setting('saas.require_verified_email')::boolean then
        perform saas_private.raise_error('PT403', 'Email not verified', null,
            'Follow the link in the verification mail.');
    end if;
    select m.org_id into chosen_org
      from saas.membership m
      join saas.organization o on o.id = m.org_id and o.status = 'active'
     where m.user_id = person.id
     order by m.org_id = person.last_org_id desc nulls last, m.joined_at, m.org_id
     limit 1;
    insert into saas_private.session (id, user_id, active_org_id, is_remembered, ip, user_agent, expires_at)
    values (session_id, person.id, chosen_org, coalesce(sign_in.remember_me, false), inet_client_addr(),
            left(saas_private.request_header('user-agent'), 1024), now() + lifetime);
    update saas.app_user u set last_login_at = now(), last_org_id = chosen_org where u.id = person.id;
    return saas_private.session_answer(person.id, session_id, chosen_org,
        saas_private.add_refresh_token(session_id, now() + lifetime));
end
$$;
alter function saas_api.sign_in(text, text, boolean) owner to saas_service;
comment on function saas_api.sign_in(text, text, boolean) is
'Signs in with e-mail and password: {access_token, refresh_token, token_type, expires_in, user, organization, membership}. expires_in is in seconds. Errors: PT401 "Invalid credentials", PT403 "Email not verified". For saas_anon and saas_user.';

create function saas_private.request_header(name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return nullif(current_setting('request.headers', true), '')::jsonb ->> request_header.name;
exception when data_exception then
    return null;
end
$$;
comment on function saas_private.request_header(text) is
'A header of the HTTP request, by lower-case name; NULL outside one.';

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
           s.user_id, s.active_org_id, s.is_remembered, s.expires_at as session_expires_at
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
    select m.org_id into chosen_org
      from saas.membership m
      join saas.organization o on o.id = m.org_id and o.status = 'active'
     where m.user_id = found_token.user_id
     order by m.org_id = found_token.active_org_id desc nulls last, m.joined_at, m.org_id
     limit 1;
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

create function saas_api.me() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    answer jsonb;
begin
    if not saas.is_authenticated() then
        perform saas_private.raise_error('PT401', 'Access token required');
    end if;
    select jsonb_build_object(
               'user', jsonb_build_object('id', u.id, 'email', u.email, 'first_name', u.first_name,
                                          'last_name', u.last_name, 'full_name', u.first_name || ' ' || u.last_name,
                                          'avatar_url', u.avatar_url, 'email_verified_at', u.email_verified_at,
                                          'last_login_at', u.last_login_at),
               'organization', case when o.id is not null then
                   jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug) end,
               'membership', case when m.user_id is not null then
                   jsonb_build_object('role', m.role, 'joined_at', m.joined_at,
                                      'permissions', to_jsonb(saas.current_permissions())) end)
      into answer
      from saas.app_user u
      left join saas.membership m on m.user_id = u.id and m.org_id = saas.current_org_id()
      left join saas.organization o on o.id = m.org_id
     where u.id = saas.current_user_id();
    return answer;
end
$$;
alter function saas_api.me() owner to saas_service;
comment on function saas_api.me() is
'The signed-in user, the current organization, and role and permissions in it. Errors: PT401. For saas_user.';

create function saas_api.jwks() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    return (select jsonb_build_object('keys', coalesce(jsonb_agg(k.public_jwk order by k.created_at desc), '[]'))
              from saas_private.jwt_key k where k.retired_at is null);
end
$$;
alter function saas_api.jwks() owner to saas_service;
comment on function saas_api.jwks() is
'The public keys that verify access tokens, as a JSON Web Key Set. For everyone.';
