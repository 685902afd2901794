-- An account that goes for good, and what goes with it.  Definer functions of
-- saas_service.  Leans on recovery, logins, api_keys.

create function saas_private.require_session() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    if saas.current_session_id() is null then
        perform saas_private.raise_error('PT403', 'not possible without a session', null, 'Sign in to do this.');
    end if;
end
$$;
comment on function saas_private.require_session() is
'Raises PT401 without an identity and PT403 when it comes from an API key, a mapped login or an operator: for what only the person may do.';

-- The organization goes first: a poll that is writing has finished then, or
-- finds its connection gone, so that no reading comes after.
create function saas_private.remove_organization(org_id uuid, reason text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    was_there boolean;
begin
    -- What is left in tables of the application is then the worker's to remove.
    insert into saas_private.deleted_organization (id, deleted_at, reason)
    values (remove_organization.org_id, now(), remove_organization.reason)
    on conflict do nothing;
    update saas.app_user u set last_org_id = null
      from saas.membership m
     where m.org_id = remove_organization.org_id and u.id = m.user_id and u.last_org_id = m.org_id;
    update saas_private.session s set active_org_id = null
      from saas.membership m
     where m.org_id = remove_organization.org_id and s.user_id = m.user_id and s.active_org_id = m.org_id;
    delete from saas.membership m where m.org_id = remove_organization.org_id;
    delete from saas.organization o where o.id = remove_organization.org_id;
    was_there := found;
    perform saas_private.deletes_readings();
    delete from saas.reading r where r.org_id = remove_organization.org_id;
    perform saas_private.destroy_data_keys(remove_organization.org_id);
    -- Not again when the worker has removed the rows that the account left behind.
    perform saas_private.audit('organization.deleted', 'organization', remove_organization.org_id::text, null, null,
                               '00000000-0000-0000-0000-000000000000') where was_there;
end
$$;
alter function saas_private.remove_organization(uuid, text) owner to saas_service;
comment on function saas_private.remove_organization(uuid, text) is
'Deletes an organization with every row of it in our tables, and destroys its data keys: what was sealed for it, in backups too, opens only with the keys of a backup. Its tombstone says why; saas.purge_organizations() removes its rows in tables of the application. For saas_service''s functions only.';

create function saas_private.end_keys_of(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit_keys_ended(end_keys_of.user_id);
    update saas.api_key k
       set revoked_at = coalesce(k.revoked_at, now()), overlap_until = null
     where k.created_by = end_keys_of.user_id;
    delete from saas_private.api_key_hash h
     using saas.api_key k
     where k.org_id = h.org_id and k.id = h.api_key_id and k.created_by = end_keys_of.user_id;
    delete from saas_private.api_key_signing s
     using saas.api_key k
     where k.org_id = s.org_id and k.id = s.api_key_id and k.created_by = end_keys_of.user_id;
end
$$;
alter function saas_private.end_keys_of(uuid) owner to saas_service;
comment on function saas_private.end_keys_of(uuid) is
'Revokes the API keys that act in a person''s name, in every organization, and deletes what proves them.';

create function saas_private.leave_empty_organizations(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    left_empty record;
begin
    for left_empty in
        select o.id, o.is_personal, o.status
          from saas.organization o
         where o.id in (select m.org_id from saas.membership m where m.user_id = leave_empty_organizations.user_id)
           and not exists (select from saas.membership m
                            where m.org_id = o.id and m.user_id <> leave_empty_organizations.user_id)
         order by o.id
    loop
        begin
            perform saas_private.remove_organization(left_empty.id, 'account') where left_empty.is_personal;
            continue when left_empty.is_personal;
        exception when foreign_key_violation then
            null;  -- rows of the application refer to it: the worker removes them first
        end;
        update saas.organization o
           set status = 'deleting', status_reason = 'its last member has left', deleted_at = now(),
               purge_after = now() + case when left_empty.is_personal then interval '0' else interval '30 days' end,
               updated_at = now()
         where o.id = left_empty.id and (o.status = 'active' or left_empty.is_personal);
        if found then
            perform saas_private.audit('organization.deleted', 'organization', left_empty.id::text,
                jsonb_build_object('status', left_empty.status),
                '{"status": "deleting", "reason": "its last member has left"}', left_empty.id);
        end if;
    end loop;
end
$$;
alter function saas_private.leave_empty_organizations(uuid) owner to saas_service;
comment on function saas_private.leave_empty_organizations(uuid) is
'Deletes the personal organizations of which the person is the only member; others of which they are become "deleting" unless they are suspended: nobody can enter them, polling stops, and 30 days later they are removed. A personal one that rows of the application refer to is removed by the worker, which removes those first.';

create function saas_private.remove_account(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text;
begin
    -- Nobody gives the person a membership, a session or a token meanwhile.
    select u.email into address from saas.app_user u where u.id = remove_account.user_id for update;
    if address is null then
        perform saas_private.raise_error('PT404', 'user not found');
    end if;
    perform saas_private.require_replaceable(remove_account.user_id);
    perform saas_private.audit_user('user.deleted', remove_account.user_id);
    perform saas_private.leave_empty_organizations(remove_account.user_id);
    perform saas_private.end_keys_of(remove_account.user_id);
    perform saas_private.end_personal_connections(remove_account.user_id);
    -- They are good for nothing now, and would stand in the way of others.
    perform saas_private.end_invitation(i.org_id, i.id, 'revoked')
       from saas.invitation i where i.invited_by = remove_account.user_id and i.status = 'pending';
    if exists (select from saas_private.login_mapping m where m.user_id = remove_account.user_id) then
        perform saas_private.audit_logins_ended(remove_account.user_id);
        perform saas_private.login_mappings_changed();
    end if;
    delete from saas.outbox o
     where lower(o.recipient) = lower(address)
        or lower(o.recipient) in (select lower(c.new_email) from saas_private.email_change c
                                   where c.user_id = remove_account.user_id);
    -- Password, sessions, mailed tokens, second factor, memberships, mappings
    -- and pending changes go with it.
    delete from saas.app_user u where u.id = remove_account.user_id;
end
$$;
alter function saas_private.remove_account(uuid) owner to saas_service;
comment on function saas_private.remove_account(uuid) is
'Deletes an account with all that proves or names the person. What others need for their record stays: the id in created_by, masked and hashed addresses in the log. Errors: PT404, PT409 for the last owner of an organization with other members.';

create function saas_api.delete_account(password text, confirmation text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own_id uuid := saas.current_user_id();
begin
    perform saas_private.require_session();
    perform saas_private.require_own_password(delete_account.password, 'password');
    if saas_private.plain_email(delete_account.confirmation)
       is distinct from (select lower(u.email) from saas.app_user u where u.id = own_id) then
        perform saas_private.raise_fields('invalid input', 'confirmation', 'must be the e-mail address of the account');
    end if;
    perform saas_private.remove_account(own_id);
    return jsonb_build_object('message', 'Account deleted.');
end
$$;
alter function saas_api.delete_account(text, text) owner to saas_service;
comment on function saas_api.delete_account(text, text) is
'Deletes my account for good, which needs the password and, as confirmation, my e-mail address: sessions, API keys, second factor, mails and memberships end with it, and a personal organization that nobody else is in is deleted with its data. Any other organization that is left without members becomes "deleting". Access tokens are refused from the next transaction on, and the address is free for a new account. Errors: PT401, PT403 (with an API key or a mapped login), 22023 with the field password or confirmation, PT409 for the last owner of an organization with other members, PT429. For saas_user.';

create function saas.delete_user(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.remove_account(delete_user.user_id);
end
$$;
alter function saas.delete_user(uuid) owner to saas_service;
comment on function saas.delete_user(uuid) is
'Deletes an account for good, as saas_api.delete_account does. Errors: PT404, PT409 for the last owner of an organization with other members, which nobody could manage afterwards: saas.deactivate_user() turns the account off. For saas_operator.';
