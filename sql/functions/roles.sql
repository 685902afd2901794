-- Roles of an organization's own, permissions of applications, and why somebody
-- may or may not.  Leans on members.

create function saas_private.permissions_changed() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_permissions_changed';
comment on function saas_private.permissions_changed() is
'Lets every session read the registered permissions again once the transaction has committed.';

create function saas_private.known_permissions()
returns table (name text, description text, is_builtin boolean)
language plpgsql stable security definer rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select b.name, b.description, true
      from (values
        ('view_dashboard', 'Read connections, metrics, limits, alerts and team names'),
        ('manage_connections', 'Add, edit, test, refresh, turn off and delete connections'),
        ('manage_services', 'Manage services and endpoints'),
        ('manage_applications', 'Manage applications and API keys'),
        ('manage_workflows', 'Manage workflows'),
        ('manage_members', 'Invite and remove members, and give roles below the own'),
        ('manage_settings', 'Manage the organization, security, branding, custom roles and alert channels'),
        ('view_reports', 'Read reports, audit and cost'),
        ('manage_billing', 'Manage plan and invoices'),
        ('export_data', 'Export the organization'),
        ('import_data', 'Import in bulk'),
        ('delete_data', 'Delete history and purge rows'),
        ('delete_organization', 'Delete the organization')) as b (name, description)
    union all
    select p.name, p.description, false from saas.permission p where p.withdrawn_at is null
    order by 3 desc, 1;
end
$$;
alter function saas_private.known_permissions() owner to saas_service;
comment on function saas_private.known_permissions() is
'What the view saas_api.permissions shows.';

create function saas.register_permission(name text, description text, roles text[] default '{owner}') returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_description text := saas_private.require_field('description', register_permission.description, 500);
    given_roles text[] := (select array_agg(distinct r.role) from unnest(register_permission.roles || 'owner'::text) as r (role));
    free_number integer;
begin
    perform saas_private.require_installed();
    if register_permission.name is null or length(register_permission.name) > 63
       or register_permission.name !~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+$' then
        perform saas_private.raise_fields('invalid input', 'name',
            'must be "application.permission" of lower-case letters, digits and underscores, at most 63 characters');
    elsif array_position(given_roles, null) is not null
          or not given_roles <@ (select array_agg(b.name) from saas.builtin_roles() b) then
        perform saas_private.raise_fields('invalid input', 'roles', 'must be built-in roles');
    end if;
    -- No transaction runs any more whose identity may have their bits.
    delete from saas.permission p
     where p.withdrawn_at < pg_postmaster_start_time() and p.name <> register_permission.name;
    -- Of two that take the same number the second waits and takes the next.
    loop
        update saas.permission p
           set description = given_description, roles = given_roles, withdrawn_at = null
         where p.name = register_permission.name;
        exit when found;
        select min(n) into free_number
          from generate_series(13, 62) as n
         where not exists (select from saas.permission p where p.number = n);
        if free_number is null then
            perform saas_private.raise_error('PT409', 'all 50 permissions of applications are registered', null,
                'One that saas.unregister_permission() has withdrawn makes room when the server has been restarted.');
        end if;
        insert into saas.permission (name, number, roles, description)
        values (register_permission.name, free_number, given_roles, given_description)
        on conflict do nothing;
        exit when found;
    end loop;
    perform saas_private.permissions_changed();
    perform saas_private.audit('permission.registered', 'permission', register_permission.name, null,
        jsonb_build_object('description', given_description, 'roles', given_roles),
        '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.register_permission(text, text, text[]) owner to saas_service;
comment on function saas.register_permission(text, text, text[]) is
'Registers a permission of an application, crm.edit_deals for example, or changes what is said of it and which built-in roles hold it: owners always do, roles names the others. From then on saas.org_if(), saas.has_permission(), custom roles and API keys know it; identities get it with their next transaction. There is room for 50; saas.unregister_permission() withdraws one. Errors: 22023 with fields, PT409 when all are taken. For saas_operator.';

create function saas_private.uses_of_permission(name text) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    literal text := quote_literal(uses_of_permission.name);
begin
    -- A name has nothing that a literal or an expression would write otherwise.
    return jsonb_strip_nulls(jsonb_build_object(
        'policies', (select jsonb_agg(format('%s on %s', quote_ident(p.polname), p.polrelid::regclass)
                                      order by p.polrelid::regclass::text, p.polname)
                       from pg_policy p
                      where position(literal in concat(pg_get_expr(p.polqual, p.polrelid),
                                                       pg_get_expr(p.polwithcheck, p.polrelid))) > 0),
        'roles', (select jsonb_agg(jsonb_build_object('org_id', r.org_id, 'role', r.name) order by r.org_id, r.name)
                    from saas.role r where uses_of_permission.name = any (r.permissions))));
end
$$;
alter function saas_private.uses_of_permission(text) owner to saas_service;
comment on function saas_private.uses_of_permission(text) is
'The policies that name a permission and the custom roles that hold it: {policies, roles}, {} for none. For saas.unregister_permission.';

create function saas.unregister_permission(name text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    uses jsonb;
begin
    perform saas_private.require_installed();
    uses := saas_private.uses_of_permission(unregister_permission.name);
    update saas.permission p set withdrawn_at = now()
     where p.name = unregister_permission.name and p.withdrawn_at is null;
    if not found then
        perform saas_private.raise_error('PT404', 'permission not found');
    elsif uses <> '{}' then
        perform saas_private.raise_error('PT409', 'the permission is in use', uses::text,
            'Take it from those policies and roles first.');
    end if;
    perform saas_private.permissions_changed();
    perform saas_private.audit('permission.unregistered', 'permission', unregister_permission.name, null, null,
        '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.unregister_permission(text) owner to saas_service;
comment on function saas.unregister_permission(text) is
'Withdraws a permission of an application: from the next transaction on nobody holds it, API keys that name it neither. Registering the name again gives it back to custom roles and keys that name it. Its place is free for another permission when the server has been started anew. Refused while a policy names it or a custom role of any organization holds it. Errors: PT404, PT409 with {policies, roles: [{org_id, role}]} in DETAIL. For saas_operator.';

create function saas_private.require_role_permissions(permissions text[], held text[]) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text[] := saas_private.require_key_permissions(require_role_permissions.permissions);
    lacking text;
begin
    select p.name into lacking
      from unnest(wanted) as p (name) where p.name <> all (require_role_permissions.held) limit 1;
    if lacking is not null then
        perform saas_private.raise_error('PT403', 'permission denied by the organization''s roles', lacking,
            'A role holds only what its author holds.');
    end if;
    return wanted;
end
$$;
comment on function saas_private.require_role_permissions(text[], text[]) is
'The permissions, each once, when they exist (else 22023) and the author of the role holds them all (else PT403).';

create function saas_private.require_rank(own_role text, own_rank integer, rank integer) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(require_rank.rank, 0) not between 1 and 39 then
        perform saas_private.raise_fields('invalid input', 'rank', 'must be from 1 to 39');
    end if;
    perform saas_private.require_below(require_rank.own_role, require_rank.own_rank, require_rank.rank);
    return require_rank.rank;
end
$$;
comment on function saas_private.require_rank(text, integer, integer) is
'The rank, when a custom role can have it (else 22023) and it is below the own (else PT403).';

create function saas_private.add_role(org_id uuid, name text, permissions text[], rank integer) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.role r where r.org_id = add_role.org_id and r.name = add_role.name) then
        perform saas_private.raise_error('23505', format('role "%s" exists already', add_role.name), null,
            'Choose another name.');
    end if;
    insert into saas.role (org_id, name, is_builtin, permissions, rank)
    values (add_role.org_id, add_role.name, false, add_role.permissions, add_role.rank);
    perform saas_private.audit('role.created', 'role', add_role.name, null,
        jsonb_build_object('permissions', add_role.permissions, 'rank', add_role.rank));
    return saas_private.role_json(add_role.name);
end
$$;
alter function saas_private.add_role(uuid, text, text[], integer) owner to saas_owner;
comment on function saas_private.add_role(uuid, text, text[], integer) is
'Adds a custom role to the current organization, 23505 when the name is taken. For saas_owner''s functions only.';

create function saas_private.role_json(name text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(r) from saas_api.roles r where r.name = role_json.name);
end
$$;
comment on function saas_private.role_json(text) is
'A role of the current organization as saas_api.roles shows it.';

create function saas_api.create_role(name text, permissions text[], rank integer) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_settings');
    wanted text[];
begin
    if coalesce(create_role.name, '') !~ '^[a-z][a-z0-9_]{0,62}$' then
        perform saas_private.raise_fields('invalid input', 'name',
            'must begin with a lower-case letter and have at most 63 of them, digits and underscores');
    end if;
    wanted := saas_private.require_role_permissions(create_role.permissions, mine.permissions);
    return saas_private.add_role(mine.org_id, create_role.name, wanted,
                                 saas_private.require_rank(mine.role, mine.rank, create_role.rank));
end
$$;
alter function saas_api.create_role(text, text[], integer) owner to saas_owner;
comment on function saas_api.create_role(text, text[], integer) is
'Makes a role of the current organization''s own, of permissions that I hold, with a rank from 1 to 39 that is below mine. Answers the row of saas_api.roles. Errors: PT401, PT403 (a permission that I lack, in DETAIL; a rank not below mine; with an API key), 22023 with fields, 23505 for a name that is taken. For saas_user with manage_settings.';

create function saas_private.custom_role(org_id uuid, name text, out permissions text[], out rank integer)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    select r.is_builtin, r.permissions, r.rank into target
      from saas.role r where r.org_id = custom_role.org_id and r.name = custom_role.name
       for update;
    if target.is_builtin is null then
        perform saas_private.raise_error('PT404', 'role not found');
    elsif target.is_builtin then
        perform saas_private.raise_error('PT409', 'built-in roles cannot be changed', null,
            'Make a role of your own with create_role.');
    end if;
    custom_role.permissions := target.permissions;
    custom_role.rank := target.rank;
end
$$;
comment on function saas_private.custom_role(uuid, text) is
'Locks a custom role of the organization. Errors: PT404, PT409 for a built-in one.';

create function saas_api.update_role(name text, permissions text[] default null, rank integer default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_settings');
    target record := saas_private.custom_role(mine.org_id, update_role.name);
    wanted text[] := target.permissions;
    new_rank integer := target.rank;
begin
    perform saas_private.require_below(mine.role, mine.rank, target.rank);
    if update_role.permissions is not null then
        wanted := saas_private.require_role_permissions(update_role.permissions, mine.permissions);
    end if;
    if update_role.rank is not null then
        new_rank := saas_private.require_rank(mine.role, mine.rank, update_role.rank);
    end if;
    update saas.role r set permissions = wanted, rank = new_rank
     where r.org_id = mine.org_id and r.name = update_role.name;
    perform saas_private.audit('role.updated', 'role', update_role.name,
        jsonb_build_object('permissions', target.permissions, 'rank', target.rank),
        jsonb_build_object('permissions', wanted, 'rank', new_rank));
    return saas_private.role_json(update_role.name);
end
$$;
alter function saas_api.update_role(text, text[], integer) owner to saas_owner;
comment on function saas_api.update_role(text, text[], integer) is
'Changes permissions and rank of a custom role, for its members from their next transaction on; what is NULL stays. The role, and its new rank, must be below mine, and the new permissions mine. Answers the row of saas_api.roles. Errors: PT401, PT403 (a permission that I lack, in DETAIL; a rank not below mine; with an API key), PT404, PT409 for a built-in role, 22023 with fields. For saas_user with manage_settings.';

create function saas_private.remove_role(org_id uuid, name text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.membership m
                where m.org_id = remove_role.org_id and m.role = remove_role.name)
       or exists (select from saas.invitation i
                   where i.org_id = remove_role.org_id and i.role = remove_role.name
                     and i.status = 'pending' and i.expires_at > now()) then
        perform saas_private.raise_error('PT409', 'the role is in use', null,
            'Give its members another role, and end the invitations to it, first.');
    end if;
    perform saas_private.end_invitation(i.org_id, i.id, 'expired')
       from saas.invitation i
      where i.org_id = remove_role.org_id and i.role = remove_role.name and i.status = 'pending';
    delete from saas.role r where r.org_id = remove_role.org_id and r.name = remove_role.name;
end
$$;
alter function saas_private.remove_role(uuid, text) owner to saas_service;
comment on function saas_private.remove_role(uuid, text) is
'Deletes a role, PT409 when it has members or a good invitation promises it. For delete_role only.';

create function saas_api.delete_role(name text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_settings');
    target record := saas_private.custom_role(mine.org_id, delete_role.name);
begin
    perform saas_private.require_below(mine.role, mine.rank, target.rank);
    perform saas_private.remove_role(mine.org_id, delete_role.name);
    perform saas_private.audit('role.deleted', 'role', delete_role.name,
        jsonb_build_object('permissions', target.permissions, 'rank', target.rank));
    return jsonb_build_object('message', 'Role deleted.');
end
$$;
alter function saas_api.delete_role(text) owner to saas_owner;
comment on function saas_api.delete_role(text) is
'Deletes a custom role below mine that has neither members nor pending invitations. Errors: PT401, PT403 (a role not below mine; with an API key), PT404, PT409 for a built-in role and for one in use. For saas_user with manage_settings.';

create function saas_private.role_templates(out template text, out name text, out permissions text[], out rank integer)
returns setof record
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values ('sales', 'csm', '{view_dashboard,view_reports}'::text[], 15),
           ('sales', 'ae', '{manage_workflows,view_dashboard}', 20),
           ('sales', 'am', '{manage_workflows,view_dashboard,view_reports}', 25)
$$;
comment on function saas_private.role_templates() is
'The sets of custom roles that create_roles_from_template makes.';

create function saas_api.create_roles_from_template(template text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_settings');
    made jsonb;
begin
    select jsonb_agg(saas_private.add_role(mine.org_id, t.name,
                         saas_private.require_role_permissions(t.permissions, mine.permissions),
                         saas_private.require_rank(mine.role, mine.rank, t.rank)) order by t.rank)
      into made
      from saas_private.role_templates() t
     where t.template = create_roles_from_template.template;
    if made is null then
        perform saas_private.raise_fields('invalid input', 'template', 'must be sales');
    end if;
    return made;
end
$$;
alter function saas_api.create_roles_from_template(text) owner to saas_owner;
comment on function saas_api.create_roles_from_template(text) is
'Makes all roles of a template in the current organization. "sales": csm (view_dashboard, view_reports; rank 15), ae (view_dashboard, manage_workflows; 20), am (ae''s and view_reports; 25), beside the built-in admin. Answers their rows of saas_api.roles. Errors: as create_role, 22023 with the field template. For saas_user with manage_settings.';

create function saas_private.check_line(name text, passed boolean, yes text, no text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('check', name, 'passed', coalesce(passed, false),
                              'reason', case when passed then yes else no end)
$$;
comment on function saas_private.check_line(text, boolean, text, text) is
'One reason of explain_access.';

-- An API key, a mapped login and an operator have neither a second factor nor a
-- sign-in that ages, and an operator's own address is not the member's.
create function saas_private.explain_request(org_id uuid, user_id uuid, source text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    gate record;
    mine record;
    reasons jsonb := '[]';
begin
    select o.requires_second_factor, o.max_session_age, o.allowed_networks into gate
      from saas.organization o where o.id = explain_request.org_id;
    select s.second_factor_at is not null as has_factor, s.created_at + gate.max_session_age > clock_timestamp() as is_young
      into mine from saas_private.session s where s.id = saas.current_session_id();
    if gate.requires_second_factor and explain_request.source is null then
        reasons := reasons || saas_private.check_line('second_factor',
            exists (select from saas_private.second_factor f
                     where f.user_id = explain_request.user_id and f.confirmed_at is not null),
            'sessions with a second factor only: the organization requires one, and the person has one',
            'the organization requires a second factor, and the person has none');
    elsif gate.requires_second_factor and explain_request.source = 'session' then
        reasons := reasons || saas_private.check_line('second_factor', mine.has_factor,
            'the organization requires a second factor, and the session has seen one',
            'the organization requires a second factor, and the session has seen none');
    end if;
    if gate.max_session_age is not null and coalesce(explain_request.source, 'session') = 'session' then
        reasons := reasons || saas_private.check_line('session_age', explain_request.source is null or mine.is_young,
            format('sessions only that began at most %s ago', gate.max_session_age),
            format('the session began more than %s ago', gate.max_session_age));
    end if;
    if gate.allowed_networks is not null
       and coalesce(explain_request.source, 'session') in ('session', 'api_key', 'login') then
        reasons := reasons || saas_private.check_line('address',
            explain_request.source is null or saas_private.client_is_within(gate.allowed_networks),
            'requests only from networks that the organization allows',
            'the organization does not allow requests from this address');
    end if;
    return reasons;
end
$$;
alter function saas_private.explain_request(uuid, uuid, text) owner to saas_service;
comment on function saas_private.explain_request(uuid, uuid, text) is
'The reasons of explain_access that depend on the request: this one''s, when source says where its identity comes from, or with NULL those of anybody''s session. For saas_service''s functions only.';

create function saas_private.require_explainer(org_id uuid, user_id uuid) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_explainer.org_id is distinct from saas.current_org_id() then
        if not saas_private.is_operator_of(require_explainer.org_id) then
            perform saas_private.raise_error('PT403', 'another organization needs a superuser or an open ticket');
        end if;
        return false;
    end if;
    perform saas_private.require_identity();
    if require_explainer.org_id is null then
        perform saas_private.raise_error('PT403', 'No organization access found');
    elsif require_explainer.user_id is distinct from saas.current_user_id() then
        perform saas.require_permission('manage_members');
        return false;
    end if;
    return true;
end
$$;
alter function saas_private.require_explainer(uuid, uuid) owner to saas_service;
comment on function saas_private.require_explainer(uuid, uuid) is
'Whether explain_access is asked about the asker. Errors: PT401, PT403. For saas_service''s functions only.';

create function saas.explain_access(user_id uuid, permission text, org_id uuid default null) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid := coalesce(explain_access.org_id, saas.current_org_id());
    person uuid := coalesce(explain_access.user_id, saas.current_user_id());
    is_me boolean := saas_private.require_explainer(org, person);
    is_known boolean := exists (select from saas_private.known_permissions() k
                                 where k.name = explain_access.permission);
    rights record := saas_private.member_rights(org, person);
    status text := (select o.status from saas.organization o where o.id = org);
    reasons jsonb;
begin
    reasons := jsonb_build_array(
        saas_private.check_line('permission', is_known, 'the permission exists',
            'there is no such permission: nobody holds it'),
        saas_private.check_line('membership', rights.role is not null, 'is a member of the organization',
            'is not a member of the organization'));
    if rights.role is not null then
        reasons := reasons || jsonb_build_array(
            saas_private.check_line('account', rights.is_active, 'the account is active', 'the account is turned off'),
            saas_private.check_line('organization', status = 'active', 'the organization is active',
                format('the organization is %s', status)),
            saas_private.check_line('role', coalesce(explain_access.permission = any (rights.permissions), false),
                format('the role %s holds the permission', rights.role),
                format('the role %s does not hold the permission', rights.role)))
            || saas_private.explain_request(org, person, case when is_me then saas_private.identity_source() end);
        if is_me and saas.current_api_key_id() is not null then
            reasons := reasons || saas_private.check_line('api_key', saas.has_permission(explain_access.permission),
                'the API key holds the permission', 'the API key does not hold the permission');
        end if;
    end if;
    return jsonb_build_object(
        'allowed', not exists (select from jsonb_array_elements(reasons) r where not (r ->> 'passed')::boolean),
        'user_id', person, 'org_id', org, 'permission', explain_access.permission,
        'role', rights.role, 'rank', rights.rank, 'reasons', reasons);
end
$$;
alter function saas.explain_access(uuid, text, uuid) owner to saas_service;
comment on function saas.explain_access(uuid, text, uuid) is
'Whether a person holds a permission in an organization (NULL: me, the current one), and why: {allowed, user_id, org_id, permission, role, rank, reasons: [{check, passed, reason}]}. allowed is true when every reason has passed; a person who is no member is answered like one who does not exist. About myself in the current organization the request that asks is judged, with its second factor, age, address and API key; about others allowed speaks of their sessions: the second factor that the organization requires must be there, age and address are told as conditions. Everybody may ask about themself, holders of manage_members about everybody in the current organization; superusers, and operators with an open ticket, about any organization. Errors: PT401, PT403. For saas_user and saas_operator.';
