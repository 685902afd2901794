-- The members of an organization: list, roles, leaving, ownership, seats.
-- Definer functions of saas_service, which name the identity's organization
-- themselves.  Leans on organization_settings, api_keys, logins, audit.

-- What a role holds changes while a transaction waits, and its identity does not.
create function saas_private.member_rights(org_id uuid, user_id uuid, out role text, out rank integer,
                                           out permissions text[], out is_active boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select m.role, r.rank, coalesce(b.permissions, r.permissions), u.is_active
      into member_rights.role, member_rights.rank, member_rights.permissions, member_rights.is_active
      from saas.membership m
      join saas.app_user u on u.id = m.user_id
      join saas.role r on r.org_id = m.org_id and r.name = m.role
      left join saas.builtin_roles() b on r.is_builtin and b.name = r.name
     where m.org_id = member_rights.org_id and m.user_id = member_rights.user_id;
end
$$;
alter function saas_private.member_rights(uuid, uuid) owner to saas_service;
comment on function saas_private.member_rights(uuid, uuid) is
'What a member may do, from the rows as they are now; NULL for nobody''s membership. For saas_service''s functions only.';

-- An update rather than a lock: under repeatable read a transaction whose
-- snapshot is older than the change of before fails here (40001), instead of
-- counting owners or seats that are no more.
create function saas_private.lock_members(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.organization o set updated_at = o.updated_at where o.id = lock_members.org_id;
end
$$;
alter function saas_private.lock_members(uuid) owner to saas_service;
comment on function saas_private.lock_members(uuid) is
'Lets one transaction at a time change who is in an organization, with which role, and what its roles are. Taken after the lock of a person, before those of memberships. For saas_service''s functions only.';

create function saas_private.manage_team(permission text, out org_id uuid, out role text, out rank integer,
                                         out permissions text[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
begin
    perform saas.require_permission(manage_team.permission);
    perform saas_private.refuse_api_key();
    manage_team.org_id := saas.current_org_id();
    perform saas_private.lock_members(manage_team.org_id);
    mine := saas_private.member_rights(manage_team.org_id, saas.current_user_id());
    if not coalesce(mine.is_active and manage_team.permission = any (mine.permissions), false) then
        perform saas_private.raise_error('PT403', 'permission denied by the organization''s roles',
            manage_team.permission, 'Your role was changed a moment ago.');
    end if;
    manage_team.role := mine.role;
    manage_team.rank := mine.rank;
    manage_team.permissions := mine.permissions;
end
$$;
alter function saas_private.manage_team(text) owner to saas_service;
comment on function saas_private.manage_team(text) is
'Begins a change of the team by the signed-in member: locks it, and gives the organization with role, rank and permissions of the member as they are then. Errors: PT401, PT403 (with an API key, a mapped login or an operator''s ticket too).';

-- Owners stand above the ranks: among each other they may do everything.
create function saas_private.require_below(own_role text, own_rank integer, other_rank integer) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_below.own_role <> 'owner' and require_below.other_rank >= require_below.own_rank then
        perform saas_private.raise_error('PT403', 'only roles below your own are yours to give or change', null,
            'Ask somebody with a higher role, or an owner.');
    end if;
end
$$;
comment on function saas_private.require_below(text, integer, integer) is
'Raises PT403 unless a rank is below the own one; owners may do everything.';

create function saas_private.require_role(org_id uuid, role text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_rank integer;
begin
    select r.rank into found_rank
      from saas.role r where r.org_id = require_role.org_id and r.name = require_role.role;
    if found_rank is null then
        perform saas_private.raise_fields('invalid input', 'role', 'must be a role of the organization');
    end if;
    return found_rank;
end
$$;
alter function saas_private.require_role(uuid, text) owner to saas_service;
comment on function saas_private.require_role(uuid, text) is
'The rank of a role of the organization, or 22023. For saas_service''s functions only.';

create function saas_private.member_rows(org uuid)
returns table (org_id uuid, user_id uuid, email text, first_name text, last_name text, full_name text,
               avatar_url text, is_active boolean, role text, rank integer, attributes jsonb, invited_by uuid,
               joined_at timestamptz, is_me boolean)
language plpgsql stable security definer rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select m.org_id, m.user_id, u.email, u.first_name, u.last_name, saas.full_name(u.first_name, u.last_name),
           u.avatar_url, u.is_active, m.role, r.rank, m.attributes, m.invited_by, m.joined_at,
           m.user_id is not distinct from saas.current_user_id()
      from saas.membership m
      join saas.app_user u on u.id = m.user_id
      join saas.role r on r.org_id = m.org_id and r.name = m.role
     where m.org_id = member_rows.org;
end
$$;
alter function saas_private.member_rows(uuid) owner to saas_service;
comment on function saas_private.member_rows(uuid) is
'The members of an organization as saas_api.members shows them. For saas_service''s functions only.';

create function saas_private.my_members()
returns table (org_id uuid, user_id uuid, email text, first_name text, last_name text, full_name text,
               avatar_url text, is_active boolean, role text, rank integer, attributes jsonb, invited_by uuid,
               joined_at timestamptz, is_me boolean)
language plpgsql stable security definer rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select m.* from saas_private.member_rows(saas.org_if('view_dashboard')) m;
end
$$;
alter function saas_private.my_members() owner to saas_service;
comment on function saas_private.my_members() is
'What the view saas_api.members shows.';

create function saas_private.member_json(org_id uuid, user_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(m) from saas_private.member_rows(member_json.org_id) m
             where m.user_id = member_json.user_id);
end
$$;
alter function saas_private.member_json(uuid, uuid) owner to saas_service;
comment on function saas_private.member_json(uuid, uuid) is
'A member as saas_api.members shows them. For saas_service''s functions only.';

create function saas_private.require_member(org_id uuid, user_id uuid, out role text, out rank integer,
                                            out is_active boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    rights record := saas_private.member_rights(require_member.org_id, require_member.user_id);
begin
    if rights.role is null then
        perform saas_private.raise_error('PT404', 'member not found');
    end if;
    require_member.role := rights.role;
    require_member.rank := rights.rank;
    require_member.is_active := rights.is_active;
end
$$;
alter function saas_private.require_member(uuid, uuid) owner to saas_service;
comment on function saas_private.require_member(uuid, uuid) is
'Role and rank of a member of the organization, or PT404. For saas_service''s functions only.';

create function saas_private.give_role(org_id uuid, user_id uuid, role text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.membership m set (role) = row(give_role.role)
     where m.org_id = give_role.org_id and m.user_id = give_role.user_id;
    -- Or an owner would hand over to nobody.
    if not found then
        perform saas_private.raise_error('PT404', 'member not found');
    end if;
end
$$;
alter function saas_private.give_role(uuid, uuid, text) owner to saas_service;
comment on function saas_private.give_role(uuid, uuid, text) is
'Gives a member a role, whoever asks. Errors: PT404. For saas_service''s functions only.';

create function saas_api.change_member_role(user_id uuid, role text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    other record := saas_private.require_member(mine.org_id, change_member_role.user_id);
    new_rank integer;
begin
    if change_member_role.user_id = saas.current_user_id() then
        perform saas_private.raise_error('PT403', 'nobody changes their own role', null,
            'An owner hands the organization over with transfer_ownership.');
    end if;
    if mine.role <> 'owner' and exists (select from saas.organization_settings s
                                         where s.org_id = mine.org_id and s.role_changes_by_owners) then
        perform saas_private.raise_error('PT403', 'only owners change roles in this organization', null,
            'Ask an owner. An owner can turn role_changes_by_owners off.');
    end if;
    new_rank := saas_private.require_role(mine.org_id, change_member_role.role);
    -- An owner stays one: whoever touches an owner is another owner.
    perform saas_private.require_below(mine.role, mine.rank, greatest(other.rank, new_rank));
    if other.role <> change_member_role.role then
        perform saas_private.give_role(mine.org_id, change_member_role.user_id, change_member_role.role);
        perform saas_private.audit('member.role_changed', 'member', change_member_role.user_id::text,
            jsonb_build_object('role', other.role), jsonb_build_object('role', change_member_role.role));
    end if;
    return saas_private.member_json(mine.org_id, change_member_role.user_id);
end
$$;
alter function saas_api.change_member_role(uuid, text) owner to saas_service;
comment on function saas_api.change_member_role(uuid, text) is
'Gives another member of the current organization a role, from their next transaction on. Both roles must be below my own, but owners may give and take every role, and only they do so under the setting role_changes_by_owners. Answers the row of saas_api.members. Errors: PT401, PT403 (my own role, a role not below mine, role_changes_by_owners; with an API key), PT404, 22023 with the field role. For saas_user with manage_members.';

create function saas_private.end_membership(org_id uuid, user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit_keys_ended(end_membership.user_id, end_membership.org_id);
    perform saas_private.audit_logins_ended(end_membership.user_id, end_membership.org_id);
    perform saas_private.audit('invitation.revoked', 'invitation', i.id::text,
                               jsonb_build_object('email', i.email, 'role', i.role), null, i.org_id)
       from saas.invitation i
      where i.org_id = end_membership.org_id and i.invited_by = end_membership.user_id and i.status = 'pending';
    -- For good: what the person had is not there again when they come back.
    update saas.api_key k
       set revoked_at = coalesce(k.revoked_at, now()), overlap_until = null
     where k.org_id = end_membership.org_id and k.created_by = end_membership.user_id;
    delete from saas_private.api_key_hash h
     using saas.api_key k
     where k.org_id = end_membership.org_id and k.created_by = end_membership.user_id
       and h.org_id = k.org_id and h.api_key_id = k.id;
    delete from saas_private.api_key_signing s
     using saas.api_key k
     where k.org_id = end_membership.org_id and k.created_by = end_membership.user_id
       and s.org_id = k.org_id and s.api_key_id = k.id;
    delete from saas_private.login_mapping m
     where m.org_id = end_membership.org_id and m.user_id = end_membership.user_id;
    if found then
        perform saas_private.login_mappings_changed();
    end if;
    perform saas_private.end_invitation(i.org_id, i.id, 'revoked')
       from saas.invitation i
      where i.org_id = end_membership.org_id and i.invited_by = end_membership.user_id and i.status = 'pending';
    perform saas_private.end_personal_connections(end_membership.user_id, end_membership.org_id);
    delete from saas.membership m
     where m.org_id = end_membership.org_id and m.user_id = end_membership.user_id;
end
$$;
alter function saas_private.end_membership(uuid, uuid) owner to saas_service;
comment on function saas_private.end_membership(uuid, uuid) is
'Ends a membership, and for good the person''s API keys, login mappings, pending invitations and the secrets of their own connections in the organization. For saas_service''s functions only.';

create function saas_api.remove_member(user_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    other record := saas_private.require_member(mine.org_id, remove_member.user_id);
begin
    if remove_member.user_id = saas.current_user_id() then
        perform saas_private.raise_error('PT403', 'nobody removes themself', null, 'Call leave_organization.');
    end if;
    perform saas_private.require_below(mine.role, mine.rank, other.rank);
    perform saas_private.end_membership(mine.org_id, remove_member.user_id);
    perform saas_private.audit('member.removed', 'member', remove_member.user_id::text,
        jsonb_build_object('role', other.role));
    return jsonb_build_object('message', 'Member removed.');
end
$$;
alter function saas_api.remove_member(uuid) owner to saas_service;
comment on function saas_api.remove_member(uuid) is
'Removes another member, whose role must be below my own (owners remove everybody), from the current organization: their next transaction has no access, and their API keys, login mappings and pending invitations in it end for good. Errors: PT401, PT403 (myself, a role not below mine; with an API key), PT404. For saas_user with manage_members.';

create function saas_api.leave_organization() returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own_id uuid := saas.current_user_id();
    org uuid := saas.current_org_id();
    mine record;
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    if org is null then
        perform saas_private.raise_error('PT403', 'No organization access found', null,
            'Switch to the organization first.');
    end if;
    perform saas_private.lock_members(org);
    mine := saas_private.require_member(org, own_id);
    if mine.role = 'owner'
       and not exists (select from saas.membership m join saas.app_user u on u.id = m.user_id
                        where m.org_id = org and m.role = 'owner' and m.user_id <> own_id and u.is_active) then
        perform saas_private.raise_error('PT409', 'the last owner cannot leave', null,
            'Hand over with transfer_ownership, or delete the organization.');
    end if;
    perform saas_private.end_membership(org, own_id);
    perform saas_private.audit('member.left', 'member', own_id::text, jsonb_build_object('role', mine.role));
    return jsonb_build_object('message', 'You have left the organization.');
end
$$;
alter function saas_api.leave_organization() owner to saas_service;
comment on function saas_api.leave_organization() is
'Ends my membership of the current organization, and my API keys, login mappings and pending invitations in it. Refreshing the session goes on in another organization of mine. Errors: PT401, PT403 (without an organization; with an API key), PT409 for the last owner. For saas_user.';

create function saas_api.transfer_ownership(user_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    other record;
begin
    if mine.role <> 'owner' then
        perform saas_private.raise_error('PT403', 'only an owner hands over the organization');
    end if;
    other := saas_private.require_member(mine.org_id, transfer_ownership.user_id);
    if transfer_ownership.user_id = saas.current_user_id() then
        perform saas_private.raise_fields('invalid input', 'user_id', 'must be another member');
    elsif not other.is_active then
        perform saas_private.raise_error('PT409', 'the member''s account is turned off', null,
            'Choose a member who can sign in.');
    end if;
    perform saas_private.give_role(mine.org_id, transfer_ownership.user_id, 'owner');
    perform saas_private.give_role(mine.org_id, saas.current_user_id(), 'admin');
    perform saas_private.audit('ownership.transferred', 'member', transfer_ownership.user_id::text,
        jsonb_build_object('owner', saas.current_user_id(), 'role', other.role),
        jsonb_build_object('owner', transfer_ownership.user_id, 'role', 'owner'));
    return saas_private.member_json(mine.org_id, transfer_ownership.user_id);
end
$$;
alter function saas_api.transfer_ownership(uuid) owner to saas_service;
comment on function saas_api.transfer_ownership(uuid) is
'Makes another member an owner of the current organization in my place: I become an admin. Answers their row of saas_api.members. Errors: PT401, PT403 (not an owner; with an API key), PT404, 22023 for myself, PT409 for a member whose account is turned off. For saas_user.';

create function saas_api.set_member_attributes(user_id uuid, attributes jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    other record := saas_private.require_member(mine.org_id, set_member_attributes.user_id);
    old_attributes jsonb;
begin
    if coalesce(jsonb_typeof(set_member_attributes.attributes), '') <> 'object' then
        perform saas_private.raise_fields('invalid input', 'attributes', 'must be an object');
    elsif saas_private.json_is_longer(set_member_attributes.attributes, 16384) then
        perform saas_private.raise_fields('invalid input', 'attributes', 'must have at most 16384 bytes');
    end if;
    if set_member_attributes.user_id <> saas.current_user_id() then
        perform saas_private.require_below(mine.role, mine.rank, other.rank);
    end if;
    select m.attributes into old_attributes
      from saas.membership m where m.org_id = mine.org_id and m.user_id = set_member_attributes.user_id;
    update saas.membership m set attributes = set_member_attributes.attributes
     where m.org_id = mine.org_id and m.user_id = set_member_attributes.user_id;
    perform saas_private.audit('member.attributes_changed', 'member', set_member_attributes.user_id::text,
        old_attributes, set_member_attributes.attributes);
    return saas_private.member_json(mine.org_id, set_member_attributes.user_id);
end
$$;
alter function saas_api.set_member_attributes(uuid, jsonb) owner to saas_service;
comment on function saas_api.set_member_attributes(uuid, jsonb) is
'Sets the free facts about a member, all of them: an object of at most 16384 bytes, {"salesforce_user_id": ...} for example. For myself and members with a role below my own; owners for everybody. Answers the row of saas_api.members. Errors: PT401, PT403 (a role not below mine; with an API key), PT404, 22023 with the field attributes. For saas_user with manage_members.';

create function saas_private.require_seat(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seats integer := (select o.seats from saas.organization o where o.id = require_seat.org_id);
begin
    if seats <= (select count(*) from saas.membership m where m.org_id = require_seat.org_id) then
        perform saas_private.raise_error('PT402', 'all seats of the organization are taken',
            jsonb_build_object('seats', seats)::text, 'Remove a member or get more seats.');
    end if;
end
$$;
alter function saas_private.require_seat(uuid) owner to saas_service;
comment on function saas_private.require_seat(uuid) is
'Raises PT402 when the organization has no room for one more member. It holds until the end of the transaction that has called lock_members before. For saas_service''s functions only.';

create function saas_api.seats() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
begin
    perform saas.require_permission('view_dashboard');
    org := saas.org_if('view_dashboard');
    return jsonb_build_object(
        'seats', (select o.seats from saas.organization o where o.id = org),
        'members', (select count(*) from saas.membership m where m.org_id = org),
        'invited', (select count(*) from saas.invitation i
                     where i.org_id = org and i.status = 'pending' and i.expires_at > now()));
end
$$;
alter function saas_api.seats() owner to saas_service;
comment on function saas_api.seats() is
'How many members the current organization may have (NULL: any number), how many it has, and how many are invited. Errors: PT401, PT403. For saas_user with view_dashboard.';

create function saas.set_seats(org_id uuid, seats integer) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    old_seats integer;
begin
    if set_seats.seats < 1 then
        perform saas_private.raise_fields('invalid input', 'seats', 'must be at least 1');
    end if;
    perform saas_private.lock_members(set_seats.org_id);
    select o.seats into old_seats from saas.organization o where o.id = set_seats.org_id;
    if not found then
        perform saas_private.raise_error('PT404', 'organization not found');
    end if;
    update saas.organization o set seats = set_seats.seats, updated_at = now() where o.id = set_seats.org_id;
    perform saas_private.audit('organization.seats_changed', 'organization', set_seats.org_id::text,
        jsonb_build_object('seats', old_seats), jsonb_build_object('seats', set_seats.seats), set_seats.org_id);
end
$$;
alter function saas.set_seats(uuid, integer) owner to saas_service;
comment on function saas.set_seats(uuid, integer) is
'Sets how many members an organization may have; NULL: any number. Members who are there already stay, and nobody joins until there is room. Errors: PT404, 22023 with the field seats. For saas_operator.';
