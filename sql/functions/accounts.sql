-- Sign-up, verification and mail.  Definer functions of saas_service: they run
-- for people who have no identity yet.  Leans on vault, identity.

create function saas_private.require_field(field text, value text, max_length integer)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- btrim() takes twelve times the memory of what it is given.
    is_cut boolean := octet_length(value) > 10000;
    cleaned text := btrim(case when is_cut then left(value, 10000) else value end);
begin
    if coalesce(cleaned, '') = '' then
        perform saas_private.raise_fields('invalid input', field, 'is required');
    elsif is_cut or length(cleaned) > max_length then
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

create function saas_private.json_is_longer(value jsonb, max_bytes integer) returns boolean
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_json_is_longer';
comment on function saas_private.json_is_longer(jsonb, integer) is
'Whether the text of a JSON value has more than max_bytes bytes, found without writing it down: 1e131071 has 131072 digits. For whatever a client sends.';

create function saas_private.require_field_email(field text, value text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := saas_private.require_field(field, value, 255);
begin
    -- Quoted local parts and address literals are valid in RFC 5321 and
    -- nobody's; everything else of its grammar is taken.
    if cleaned !~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:[.][A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$'
       or cleaned ~ '(^[.]|[.][.]|[.]@)' or position('@' in cleaned) > 65 then
        perform saas_private.raise_fields('invalid input', field, 'is not a valid e-mail address');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_field_email(text, text) is
'The trimmed address, or 22023 with the field''s name.';

create function saas_private.require_email(email text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return saas_private.require_field_email('email', require_email.email);
end
$$;
comment on function saas_private.require_email(text) is
'The trimmed address, or 22023.';

create function saas.full_name(first_name text, last_name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ', nullif(btrim(full_name.first_name), ''), nullif(btrim(full_name.last_name), ''))
$$;
comment on function saas.full_name(text, text) is
'First and last name as one; what is empty is left out. Callable by everyone.';

create function saas_private.queue_mail(recipient text, template text, parameters jsonb, token text default null,
                                        org_id uuid default null, valid_for interval default null)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mail_id uuid := saas.uuidv7();
begin
    insert into saas.outbox (id, org_id, recipient, template, parameters, token, token_expires_at)
    values (mail_id, queue_mail.org_id, queue_mail.recipient, queue_mail.template, queue_mail.parameters,
            case when queue_mail.token is not null then
                saas_private.seal_for_platform(queue_mail.token, 'pg_saas:outbox', mail_id::text) end,
            case when queue_mail.token is not null then
                now() + coalesce(queue_mail.valid_for, interval '7 days') end);
    perform saas_private.wake_poller();
    return mail_id;
end
$$;
alter function saas_private.queue_mail(text, text, jsonb, text, uuid, interval) owner to saas_service;
comment on function saas_private.queue_mail(text, text, jsonb, text, uuid, interval) is
'Puts a mail into the outbox with its token sealed and wakes the worker at commit. A code that the mail shows beside its link follows the token after a blank. With org_id the mail carries the organization''s name, branding and templates, and waits while the organization is suspended or being deleted. A token is good for valid_for (7 days when NULL): afterwards the mail is not sent any more.';

create function saas.read_mail(id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mail record;
    opened text;
    ticket_org uuid;
begin
    select o.org_id, o.recipient, o.template, o.parameters, o.token, o.status, o.created_at
      into mail from saas.outbox o where o.id = read_mail.id;
    -- Mail of the platform holds keys to an account: a ticket for one of the
    -- recipient's own organizations is the least that opens it.
    ticket_org := case when saas_private.is_operator_of(mail.org_id) then mail.org_id
                       else (select m.org_id from saas.app_user u join saas.membership m on m.user_id = u.id
                              where mail.org_id is null and lower(u.email) = lower(mail.recipient)
                                and saas_private.is_operator_of(m.org_id)
                              limit 1) end;
    if ticket_org is null and not saas_private.is_operator_of(mail.org_id) then
        perform saas_private.raise_error('PT403', 'reading mail needs a superuser or an open ticket');
    end if;
    if mail.recipient is null then
        perform saas_private.raise_error('PT404', 'mail not found');
    end if;
    -- Whatever becomes of the transaction: what was shown was seen.
    if ticket_org is not null and saas_private.has_open_ticket(ticket_org) then
        perform saas_private.note('mail_read', read_mail.id,
            jsonb_build_object('org_id', ticket_org, 'login', session_user, 'ip', saas_private.client_address(),
                               'template', mail.template, 'recipient', left(saas_private.masked_email(mail.recipient), 100)));
    end if;
    opened := saas_private.unseal_for_platform(mail.token, 'pg_saas:outbox', read_mail.id::text);
    return jsonb_build_object(
               'id', read_mail.id, 'recipient', mail.recipient, 'template', mail.template,
               'parameters', mail.parameters, 'status', mail.status, 'created_at', mail.created_at,
               'token', nullif(split_part(opened, ' ', 1), ''))
           || case when opened like '% %' then jsonb_build_object('code', split_part(opened, ' ', 2)) else '{}' end;
end
$$;
alter function saas.read_mail(uuid) owner to saas_service;
comment on function saas.read_mail(uuid) is
'One mail of the outbox with its token and code, for superusers and operators with an open ticket, whose look is an event of the organization''s audit whatever becomes of the transaction. Errors: PT403, PT404.';

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
        -- switch_organization takes ids and slugs alike.
        or slug ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
$$;
comment on function saas_private.is_reserved_slug(text) is
'Whether routing needs the word itself, or could take it for an id.';

create function saas_private.draft_slug(name text) returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select left(saas_private.slug_of(draft_slug.name), 48) || '-'
           || left(encode(saas_private.token_hash(saas_private.random_token()), 'hex'), 6)
$$;
alter function saas_private.draft_slug(text) owner to saas_service;
comment on function saas_private.draft_slug(text) is
'A slug made of a name with a random tail, which nobody can guess.';

-- Whether a slug is taken is open to everybody: one that a sign-up can choose
-- would tell whether the sign-up's address had an account already.
create function saas_private.settle_slug(owner_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    drafted record;
begin
    select o.id, saas_private.slug_of(o.name) as slug into drafted
      from saas.app_user u
      join saas.membership m on m.user_id = u.id and m.role = 'owner'
      join saas.organization o on o.id = m.org_id
     where u.id = settle_slug.owner_id and u.email_verified_at is null and u.last_login_at is null
     order by m.joined_at, m.org_id limit 1;
    if drafted.id is null or saas_private.is_reserved_slug(drafted.slug) then
        return;
    end if;
    perform saas_private.hold_label(drafted.slug);
    update saas.organization o set slug = drafted.slug
     where o.id = drafted.id and o.slug ~ '-[0-9a-f]{6}$' and left(o.slug, -7) = left(drafted.slug, 48)
       and not saas_private.is_taken_label(drafted.slug, null);
exception when unique_violation then
    null;  -- somebody else was faster
end
$$;
alter function saas_private.settle_slug(uuid) owner to saas_service;
comment on function saas_private.settle_slug(uuid) is
'Gives the organization of a sign-up the slug of its name, if that is free, before the address counts as verified.';

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
            candidate := saas_private.draft_slug(base);
        end if;
        perform saas_private.hold_label(candidate);
        insert into saas.organization (id, name, slug, is_personal)
        select new_org_id, add_organization.name, candidate, add_organization.is_personal
         where not saas_private.is_taken_label(candidate, null)
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
    perform saas_private.audit('organization.created', 'organization', new_org_id::text, null,
        jsonb_build_object('name', add_organization.name, 'slug', candidate, 'is_personal', add_organization.is_personal,
                           'owner_id', add_organization.owner_id), new_org_id);
    return new_org_id;
end
$$;
alter function saas_private.add_organization(uuid, text, text, boolean) owner to saas_service;
comment on function saas_private.add_organization(uuid, text, text, boolean) is
'Creates an organization with its built-in roles, its owner and its first data key.';

-- Nobody has proven the address of such an account, so it is nobody's: whoever
-- asks for it now gets it under the own name, and what an earlier claimant put
-- there (password, names, organization) opens nothing.
create function saas_private.reclaim_account(user_id uuid, email text, first_name text, last_name text,
                                             organization_name text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org_name text := coalesce(reclaim_account.organization_name,
        left(format('%s %s''s Organization', reclaim_account.first_name, reclaim_account.last_name), 255));
    only_org uuid;
begin
    update saas.app_user u
       set email = reclaim_account.email, first_name = reclaim_account.first_name,
           last_name = reclaim_account.last_name, avatar_url = null, updated_at = now()
     where u.id = reclaim_account.user_id;
    select m.org_id into only_org
      from saas.membership m
     where m.user_id = reclaim_account.user_id and m.role = 'owner'
       and not exists (select from saas.membership o where o.org_id = m.org_id and o.user_id <> m.user_id)
     order by m.joined_at, m.org_id limit 1;
    perform saas_private.audit('organization.updated', 'organization', o.id::text, jsonb_build_object('name', o.name),
                               jsonb_build_object('name', org_name), o.id)
       from saas.organization o where o.id = only_org;
    update saas.organization o
       set name = org_name, slug = saas_private.draft_slug(org_name), updated_at = now(),
           is_personal = reclaim_account.organization_name is null
     where o.id = only_org;
end
$$;
alter function saas_private.reclaim_account(uuid, text, text, text, text) owner to saas_service;
comment on function saas_private.reclaim_account(uuid, text, text, text, text) is
'Gives an account whose address was never proven, and that nobody has signed in to, the names of a new sign-up, and its organization too.';

create function saas_api.sign_up(email text, password text, first_name text, last_name text,
                                 organization_name text default null, invitation_token text default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_email text := saas_private.require_email(sign_up.email);
    given_first text := saas_private.require_field('first_name', sign_up.first_name, 100);
    given_last text := saas_private.require_field('last_name', sign_up.last_name, 100);
    given_org text;
    org_name text;
    password_hash text;
    hashed_at timestamptz;
    person_id uuid := saas.uuidv7();
begin
    perform saas_private.require_installed();
    if not current_setting('saas.sign_up_enabled')::boolean then
        perform saas_private.raise_error('PT403', 'sign-up is turned off');
    end if;
    if sign_up.organization_name is not null then
        given_org := saas_private.require_field('organization_name', sign_up.organization_name, 255);
    end if;
    perform saas_private.require_strong_password(sign_up.password);
    perform saas_private.count_mail_request(given_email);
    if sign_up.invitation_token is not null then
        perform saas_private.find_invitation(sign_up.invitation_token, given_email);
    end if;
    -- Before the look-up, so that a known address takes the same time.
    password_hash := saas_private.hash_password(sign_up.password);
    hashed_at := clock_timestamp();

    insert into saas.app_user (id, email, first_name, last_name)
    values (person_id, given_email, given_first, given_last)
    on conflict do nothing;
    if found and sign_up.invitation_token is not null and given_org is null then
        null;  -- the invitation's organization is the person's first
    elsif found then
        org_name := coalesce(given_org, left(format('%s %s''s Organization', given_first, given_last), 255));
        perform saas_private.add_organization(person_id, org_name,
            case when current_setting('saas.require_verified_email')::boolean then saas_private.draft_slug(org_name) end,
            given_org is null);
    else
        select u.id into person_id
          from saas.app_user u
         where lower(u.email) = lower(given_email)
           and u.email_verified_at is null and u.last_login_at is null and u.is_active
           for update;
        perform saas_private.reclaim_account(person_id, given_email, given_first, given_last, given_org)
          where person_id is not null;
    end if;
    if sign_up.invitation_token is not null then
        return saas_private.join_invited(person_id, password_hash, sign_up.invitation_token);
    elsif person_id is not null then
        perform saas_private.set_password(person_id, password_hash);
        perform saas_private.mail_verification(person_id);
    else
        perform saas_private.queue_mail(given_email, 'account_exists', '{}');
    end if;
    return saas_private.answer_alike(hashed_at, 'Check your email to verify your account.');
end
$$;
alter function saas_api.sign_up(text, text, text, text, text, text) owner to saas_service;
comment on function saas_api.sign_up(text, text, text, text, text, text) is
'Creates an account and its organization (a personal one without organization_name), the user as its owner, and mails a verification link and code. The organization gets the slug of its name when the address is verified, if it is free then. An account whose address nobody has verified gets the new password and names and another mail. The answer is the same for an address that has an account already. With invitation_token, from an invitation to the same address, the address is proven, the person a member there, and without organization_name there is no other organization: {message, organization, membership}. Errors: 22023 with fields, 22023 for a token that accept_invitation would refuse, with a good one 23505 for an address that has an account and what accept_invitation answers, PT403 when sign-up is turned off, PT429 after too many mails to the address. For saas_anon and saas_user.';

create function saas.confirm_user(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.settle_slug(confirm_user.user_id);
    update saas.app_user u
       set email_verified_at = coalesce(u.email_verified_at, now()), updated_at = now()
     where u.id = confirm_user.user_id;
    if not found then
        perform saas_private.raise_error('PT404', 'user not found');
    end if;
    perform saas_private.audit_user('user.confirmed', confirm_user.user_id);
end
$$;
alter function saas.confirm_user(uuid) owner to saas_service;
comment on function saas.confirm_user(uuid) is
'Counts a user''s e-mail address as verified. Errors: PT404. For saas_operator.';

create function saas_private.request_header(name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return nullif(current_setting('request.headers', true), '')::jsonb ->> request_header.name;
exception when data_exception or program_limit_exceeded then
    return null;
end
$$;
comment on function saas_private.request_header(text) is
'A header of the HTTP request, by lower-case name; NULL outside one.';

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
                                          'last_name', u.last_name, 'full_name', saas.full_name(u.first_name, u.last_name),
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
              from saas_private.jwt_key k
             where k.public_jwk is not null and (k.retired_at is null or k.retired_at > clock_timestamp()));
end
$$;
alter function saas_api.jwks() owner to saas_service;
comment on function saas_api.jwks() is
'The public keys that verify access tokens, now or soon, as a JSON Web Key Set. Secrets of HS256 are never in it. For everyone.';
