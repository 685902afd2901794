-- Organizations of the signed-in user.  Leans on accounts.

create function saas_private.require_identity() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not saas.is_authenticated() then
        perform saas_private.raise_error('PT401', 'Access token required');
    end if;
end
$$;
comment on function saas_private.require_identity() is
'Raises PT401 when nobody is signed in.';

create function saas_private.my_organizations()
returns table (org_id uuid, name text, slug text, is_personal boolean, status text,
               role text, joined_at timestamptz, is_current boolean)
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select o.id, o.name, o.slug, o.is_personal, o.status, m.role, m.joined_at,
           o.id is not distinct from saas.current_org_id()
      from saas.membership m join saas.organization o on o.id = m.org_id
     where m.user_id = saas.current_user_id()
       -- An API key is one organization's.
       and (saas.current_api_key_id() is null or o.id = saas.current_org_id());
end
$$;
alter function saas_private.my_organizations() owner to saas_service;
comment on function saas_private.my_organizations() is
'The organizations that the signed-in user belongs to.';

create function saas_api.create_organization(name text, slug text default null) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_name text;
    given_slug text := lower(btrim(left(create_organization.slug, 1000)));
    new_org_id uuid;
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    given_name := saas_private.require_field('name', create_organization.name, 255);
    if given_slug is not null then
        if given_slug !~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' then
            perform saas_private.raise_fields('invalid input', 'slug',
                'must have 1 to 63 lower-case letters, digits and hyphens and neither begin nor end with a hyphen');
        elsif saas_private.is_reserved_slug(given_slug) then
            perform saas_private.raise_fields('invalid input', 'slug', 'is reserved');
        end if;
    end if;
    new_org_id := saas_private.add_organization(saas.current_user_id(), given_name, given_slug, false);
    return (select jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug,
                                      'role', 'owner', 'created_at', o.created_at)
              from saas.organization o where o.id = new_org_id);
end
$$;
alter function saas_api.create_organization(text, text) owner to saas_service;
comment on function saas_api.create_organization(text, text) is
'Creates an organization with the signed-in user as owner; switch_organization enters it. Errors: PT401, PT403 with an API key, 22023, 23505 for a taken slug. For saas_user.';

create function saas_api.switch_organization(organization text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_org record;
    wanted text := btrim(left(switch_organization.organization, 1000));
    session_id uuid := saas.current_session_id();
begin
    perform saas_private.require_identity();
    if session_id is null then
        perform saas_private.raise_error('PT403', 'switching the organization needs a session');
    end if;
    select o.id, o.status, o.status_reason, o.requires_second_factor, o.max_session_age, o.allowed_networks into found_org
      from saas.membership m join saas.organization o on o.id = m.org_id
     where m.user_id = saas.current_user_id() and (o.slug = lower(wanted) or o.id::text = lower(wanted));
    if found_org.id is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif found_org.status <> 'active' then
        perform saas_private.raise_error('PT403', format('organization is %s', found_org.status), found_org.status_reason);
    elsif not saas_private.client_is_within(found_org.allowed_networks) then
        perform saas_private.raise_error('PT403', 'the organization does not allow requests from this address', null,
            'An owner can allow its network in the organization''s settings.');
    elsif found_org.requires_second_factor
          and not exists (select from saas_private.session s
                           where s.id = session_id and s.second_factor_at is not null) then
        perform saas_private.raise_error('PT403', 'Second factor required', null,
            'Sign in with a second factor, or turn one on with begin_second_factor.');
    elsif exists (select from saas_private.session s
                   where s.id = session_id and s.created_at + found_org.max_session_age <= now()) then
        perform saas_private.raise_error('PT401', 'Session is too old for this organization', null, 'Sign in again.');
    end if;
    update saas_private.session s set active_org_id = found_org.id, last_used_at = now() where s.id = session_id;
    update saas.app_user u set last_org_id = found_org.id where u.id = saas.current_user_id();
    return saas_private.session_answer(saas.current_user_id(), session_id, found_org.id, null);
end
$$;
alter function saas_api.switch_organization(text) owner to saas_service;
comment on function saas_api.switch_organization(text) is
'Enters another of my organizations, by id or slug, in the same session: sign_in''s answer without a refresh token, which stays good. The access token expires with the one that came with the refresh token. The old access token stays valid for the old organization. Errors: PT401, PT403, PT404. For saas_user.';
