-- Groups of connections, and what becomes of personal connections.  Leans on
-- connections.

create function saas_private.group_json(group_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(g) from saas_api.connection_groups g where g.id = group_json.group_id);
end
$$;
comment on function saas_private.group_json(uuid) is
'A group as saas_api.connection_groups shows it.';

create function saas_private.require_group_text(name text, description text, out given_name text, out given_description text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    given_name := saas_private.require_field('name', require_group_text.name, 255);
    given_description := nullif(btrim(require_group_text.description), '');
    if length(given_description) > 1000 then
        perform saas_private.raise_fields('invalid input', 'description', 'must have at most 1000 characters');
    end if;
end
$$;
comment on function saas_private.require_group_text(text, text) is
'Name and description of a group, trimmed, or 22023 with the field.';

create function saas_private.raise_group_taken() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.raise_error('23505', 'a group has that name already', null,
        'Names of groups differ in more than upper and lower case.');
end
$$;
comment on function saas_private.raise_group_taken() is
'Raises 23505 for a group''s name that another one has.';

create function saas_api.create_connection_group(name text, description text default null) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    new_id uuid := saas.uuidv7();
    given record;
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    given := saas_private.require_group_text(create_connection_group.name, create_connection_group.description);
    if (select count(*) from saas.connection_group g where g.org_id = org) >= 1000 then
        perform saas_private.raise_error('54000', 'an organization has at most 1000 groups');
    end if;
    insert into saas.connection_group (org_id, id, name, description, created_by)
    values (org, new_id, given.given_name, given.given_description, saas.current_user_id())
    on conflict do nothing;
    if not found then
        perform saas_private.raise_group_taken();
    end if;
    perform saas_private.audit('connection_group.created', 'connection_group', new_id::text, null,
        jsonb_build_object('name', given.given_name, 'description', given.given_description));
    return saas_private.group_json(new_id);
end
$$;
alter function saas_api.create_connection_group(text, text) owner to saas_owner;
comment on function saas_api.create_connection_group(text, text) is
'Makes a group of connections, a team''s or a project''s; answers its row of saas_api.connection_groups. Errors: PT401, PT403, 22023 with the field name or description, 23505 for a name that another group has in upper or lower case, 54000 beyond 1000 groups. For saas_user with manage_connections.';

create function saas_api.update_connection_group(group_id uuid, patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    given record;
begin
    perform saas.require_permission('manage_connections');
    perform saas_private.require_patch(update_connection_group.patch, '{name,description}');
    select g.* into target
      from saas.connection_group g
     where g.org_id = saas.org_if('manage_connections') and g.id = update_connection_group.group_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'group not found');
    end if;
    given := saas_private.require_group_text(
        case when update_connection_group.patch ? 'name' then saas_private.patch_text(update_connection_group.patch, 'name')
             else target.name end,
        case when update_connection_group.patch ? 'description'
             then saas_private.patch_text(update_connection_group.patch, 'description') else target.description end);
    begin
        update saas.connection_group g
           set name = given.given_name, description = given.given_description, updated_at = now()
         where g.org_id = target.org_id and g.id = target.id;
    exception
        when unique_violation then
            perform saas_private.raise_group_taken();
    end;
    perform saas_private.audit('connection_group.updated', 'connection_group', target.id::text,
        jsonb_build_object('name', target.name, 'description', target.description),
        jsonb_build_object('name', given.given_name, 'description', given.given_description));
    return saas_private.group_json(target.id);
end
$$;
alter function saas_api.update_connection_group(uuid, jsonb) owner to saas_owner;
comment on function saas_api.update_connection_group(uuid, jsonb) is
'Changes what the patch names of a group: name, description (null: none). Errors: PT401, PT403, PT404, 22023 with fields, 23505 as create_connection_group. For saas_user with manage_connections.';

create function saas_api.set_group_members(group_id uuid, connection_ids uuid[]) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    wanted uuid[] := coalesce(set_group_members.connection_ids, '{}');
    before uuid[];
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    if cardinality(wanted) > 10000 then
        perform saas_private.raise_fields('invalid input', 'connection_ids', 'must have at most 10000 elements');
    elsif set_group_members.group_id is null then
        perform saas_private.raise_error('PT404', 'group not found');
    end if;
    perform saas_private.hold_group(set_group_members.group_id);
    -- In one order, so that two of these do not wait for each other.
    perform 1 from saas.connection c
      where c.org_id = org and (c.id = any (wanted) or c.group_id = set_group_members.group_id)
      order by c.id
        for update;
    if exists (select from unnest(wanted) w where not exists (select from saas.connection c where c.org_id = org and c.id = w)) then
        perform saas_private.raise_error('PT404', 'connection not found');
    end if;
    select coalesce(array_agg(c.id order by c.id), '{}') into before
      from saas.connection c where c.org_id = org and c.group_id = set_group_members.group_id;
    update saas.connection c
       set group_id = case when c.id = any (wanted) then set_group_members.group_id end, updated_at = now()
     where c.org_id = org
       and (c.id = any (wanted)) is distinct from (c.group_id is not distinct from set_group_members.group_id);
    perform saas_private.audit('connection_group.members_changed', 'connection_group', set_group_members.group_id::text,
        jsonb_build_object('connection_ids', before),
        jsonb_build_object('connection_ids', (select coalesce(jsonb_agg(c.id order by c.id), '[]') from saas.connection c
                                               where c.org_id = org and c.group_id = set_group_members.group_id)));
    return saas_private.group_json(set_group_members.group_id);
end
$$;
alter function saas_api.set_group_members(uuid, uuid[]) owner to saas_owner;
comment on function saas_api.set_group_members(uuid, uuid[]) is
'Puts exactly these connections into a group: those that are in another one leave it, and who was in this one and is not named is in none. Errors: PT401, PT403, PT404 for the group or any of the connections, 22023. For saas_user with manage_connections.';

create function saas_api.delete_connection_group(group_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas.require_permission('manage_connections');
    select g.* into target
      from saas.connection_group g
     where g.org_id = saas.org_if('manage_connections') and g.id = delete_connection_group.group_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'group not found');
    end if;
    -- In the order of all others who take several.
    perform 1 from saas.connection c
      where c.org_id = target.org_id and c.group_id = target.id
      order by c.id
        for update;
    update saas.connection c set group_id = null, updated_at = now()
     where c.org_id = target.org_id and c.group_id = target.id;
    delete from saas.connection_group g where g.org_id = target.org_id and g.id = target.id;
    perform saas_private.audit('connection_group.deleted', 'connection_group', target.id::text,
        jsonb_build_object('name', target.name, 'description', target.description));
    return jsonb_build_object('id', target.id, 'name', target.name);
end
$$;
alter function saas_api.delete_connection_group(uuid) owner to saas_owner;
comment on function saas_api.delete_connection_group(uuid) is
'Deletes a group; its connections stay, in none. Errors: PT401, PT403, PT404. For saas_user with manage_connections.';

create function saas_private.end_personal_connections(user_id uuid, org_id uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    for target in
        select c.org_id, c.id, c.name, c.is_active
          from saas.connection c
         where c.owner_id = end_personal_connections.user_id
           and (end_personal_connections.org_id is null or c.org_id = end_personal_connections.org_id)
         order by c.org_id, c.id
           for update
    loop
        delete from saas_private.connection_secret s
         where s.org_id = target.org_id and s.connection_id = target.id;
        update saas.connection c
           set owner_id = null, is_active = false, updated_at = now()
         where c.org_id = target.org_id and c.id = target.id;
        update saas.connection_status s
           set status = 'reauth_required', token_expires_at = null, last_error_code = '28000',
               last_error = 'the member whose own connection it was has left: give it new secrets',
               -- A token that a poll under way brings is not stored.
               lease_until = null, lease_id = null
         where s.org_id = target.org_id and s.connection_id = target.id;
        perform saas_private.audit('connection.member_left', 'connection', target.id::text,
            jsonb_build_object('name', target.name, 'owner_id', end_personal_connections.user_id,
                               'is_active', target.is_active),
            '{"owner_id": null, "is_active": false}', target.org_id);
    end loop;
end
$$;
alter function saas_private.end_personal_connections(uuid, uuid) owner to saas_service;
comment on function saas_private.end_personal_connections(uuid, uuid) is
'Destroys the secrets of a person''s own connections, in one organization or (NULL) in all, and turns them off; their history stays, and they are the organization''s then. For saas_service''s functions only.';
