-- Organizations that are suspended, deleted, restored, and removed for good.
-- Definer functions of saas_service.  Leans on account_deletion, audit.

create function saas.suspend_organization(org_id uuid, reason text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_reason text := saas_private.require_field('reason', suspend_organization.reason, 500);
    status_before text;
begin
    select o.status into status_before from saas.organization o
     where o.id = suspend_organization.org_id for no key update;
    if status_before is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif status_before = 'deleting' then
        perform saas_private.raise_error('PT409', 'the organization is being deleted');
    end if;
    update saas.organization o
       set status = 'suspended', status_reason = given_reason,
           suspended_at = coalesce(o.suspended_at, now()), updated_at = now()
     where o.id = suspend_organization.org_id;
    perform saas_private.audit('organization.suspended', 'organization', suspend_organization.org_id::text,
        jsonb_build_object('status', status_before),
        jsonb_build_object('status', 'suspended', 'reason', given_reason), suspend_organization.org_id);
end
$$;
alter function saas.suspend_organization(uuid, text) owner to saas_service;
comment on function saas.suspend_organization(uuid, text) is
'Closes an organization: from the next transaction on its sessions, API keys and mapped logins are refused with PT403 and the reason (at most 500 characters), its connections are not polled (a poll under way keeps its tokens and nothing else) and mail in its name waits. Nothing is lost. Again: another reason. Errors: 22023, PT404, PT409 for one that is being deleted. For saas_operator.';

create function saas_private.reopen_organization(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.organization o
       set status = 'active', status_reason = null, suspended_at = null, deleted_at = null, purge_after = null,
           updated_at = now()
     where o.id = reopen_organization.org_id;
    perform saas_private.wake_poller();
end
$$;
alter function saas_private.reopen_organization(uuid) owner to saas_service;
comment on function saas_private.reopen_organization(uuid) is
'Makes an organization active; what is due of its connections is polled.';

create function saas_private.require_restorable(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.organization o where o.id = require_restorable.org_id and o.purge_after <= now())
       or exists (select from saas_private.deleted_organization d where d.id = require_restorable.org_id) then
        perform saas_private.raise_error('PT409', 'the time to restore the organization is over');
    elsif exists (select from saas_private.destroyed_key k where k.org_id = require_restorable.org_id) then
        perform saas_private.raise_error('PT409', 'the organization''s data keys were destroyed');
    end if;
end
$$;
alter function saas_private.require_restorable(uuid) owner to saas_service;
comment on function saas_private.require_restorable(uuid) is
'Raises PT409 for an organization whose removal is due or has begun, or whose keys were destroyed.';

create function saas.activate_organization(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    status_before text;
begin
    select o.status into status_before from saas.organization o
     where o.id = activate_organization.org_id for no key update;
    if status_before is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif status_before = 'active' then
        perform saas_private.raise_error('PT409', 'the organization is active');
    end if;
    perform saas_private.require_restorable(activate_organization.org_id);
    perform saas_private.reopen_organization(activate_organization.org_id);
    perform saas_private.audit('organization.activated', 'organization', activate_organization.org_id::text,
        jsonb_build_object('status', status_before), jsonb_build_object('status', 'active'),
        activate_organization.org_id);
end
$$;
alter function saas.activate_organization(uuid) owner to saas_service;
comment on function saas.activate_organization(uuid) is
'Opens a suspended organization again, or one that is being deleted, from the next transaction on; what is due of its connections is polled. Errors: PT404, PT409 for one that is active or whose time to be restored is over. For saas_operator.';

create function saas_api.delete_organization(confirm_name text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas_private.require_session();
    perform saas.require_permission('delete_organization');
    select o.id, o.name, o.status into target from saas.organization o
     where o.id = saas.org_if('delete_organization') for no key update;
    if saas.current_role_name() is distinct from 'owner' then
        perform saas_private.raise_error('PT403', 'Requires owner role or higher');
    elsif delete_organization.confirm_name is distinct from target.name then
        perform saas_private.raise_fields('invalid input', 'confirm_name', 'must be the name of the organization');
    elsif target.status <> 'active' then
        perform saas_private.raise_error('PT403', format('organization is %s', target.status));
    end if;
    update saas.organization o
       set status = 'deleting', status_reason = 'deleted by an owner', deleted_at = now(),
           purge_after = now() + interval '30 days', updated_at = now()
     where o.id = target.id;
    perform saas_private.audit('organization.deleted', 'organization', target.id::text,
        jsonb_build_object('status', target.status), jsonb_build_object('status', 'deleting'), target.id);
    return (select jsonb_build_object('id', o.id, 'name', o.name, 'status', o.status, 'purge_after', o.purge_after)
              from saas.organization o where o.id = target.id);
end
$$;
alter function saas_api.delete_organization(text) owner to saas_service;
comment on function saas_api.delete_organization(text) is
'Deletes the current organization, whose name confirm_name must be: from the next transaction on nobody gets in, API keys and mapped logins neither, and polling stops. For 30 days an owner may restore it; then the worker removes every row and the data keys. Answers {id, name, status, purge_after}. Errors: PT401, PT403 for members who are no owners, whatever their role holds, and with an API key or a mapped login, 22023. For saas_user with delete_organization.';

create function saas_api.restore_organization(organization_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas_private.require_session();
    select o.id, o.name, o.slug, o.status, m.role into target
      from saas.organization o
      join saas.membership m on m.org_id = o.id and m.user_id = saas.current_user_id()
     where o.id = restore_organization.organization_id
       for no key update of o;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif target.role <> 'owner' then
        perform saas_private.raise_error('PT403', 'Requires owner role or higher');
    elsif target.status <> 'deleting' then
        perform saas_private.raise_error('PT409', 'the organization is not being deleted');
    end if;
    perform saas_private.require_restorable(target.id);
    perform saas_private.reopen_organization(target.id);
    perform saas_private.audit('organization.restored', 'organization', target.id::text,
        jsonb_build_object('status', 'deleting'), jsonb_build_object('status', 'active'), target.id);
    return jsonb_build_object('id', target.id, 'name', target.name, 'slug', target.slug, 'status', 'active');
end
$$;
alter function saas_api.restore_organization(uuid) owner to saas_service;
comment on function saas_api.restore_organization(uuid) is
'Takes back the deletion of an organization that I own, with a session of any other organization or of none; switch_organization enters it then. Answers {id, name, slug, status}. Errors: PT401, PT403 for members who are no owners, and with an API key or a mapped login, PT404, PT409 when it is not being deleted or after 30 days. For saas_user.';

create function saas_private.purge_protected(org_id uuid, max_rows integer,
                                             out deleted integer, out problem text)
returns record
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_purge_protected';
comment on function saas_private.purge_protected(uuid, integer) is
'Deletes up to max_rows of an organization''s rows from tables of the application: those outside pg_saas'' schemas whose column org_id a policy compares with the identity''s organization. As each table''s owner, under its policies, with an identity of that organization that holds every permission and ends with the call. problem: SQLSTATE and table when rows are left that could not go. Errors: 25001 when the transaction has acted for another organization. For saas_service''s functions only.';

create function saas_private.next_to_purge() returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    select d.id into target from saas_private.deleted_organization d
     where d.purged_at is null and d.retry_at <= now()
     order by d.retry_at limit 1
       for update skip locked;
    if target.id is null then
        select o.id, o.deleted_at, o.status_reason into target from saas.organization o
         where o.status = 'deleting' and o.purge_after <= now()
           and not exists (select from saas_private.deleted_organization d where d.id = o.id)
         order by o.purge_after limit 1
           for update skip locked;
        insert into saas_private.deleted_organization (id, deleted_at, reason)
        select target.id, coalesce(target.deleted_at, now()),
               case target.status_reason when 'deleted by an owner' then 'owner' else 'no_members' end
         where target.id is not null;
        -- Who began to restore it under an older snapshot, which does not show
        -- the row above, is refused with 40001.
        update saas.organization o set updated_at = now() where o.id = target.id;
    end if;
    return target.id;
end
$$;
alter function saas_private.next_to_purge() owner to saas_service;
comment on function saas_private.next_to_purge() is
'The organization whose removal goes on or begins, locked; NULL when none is due. One that has begun cannot be restored.';

create function saas_private.postpone_purge(org_id uuid, problem text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas_private.deleted_organization d
       set problem = left(postpone_purge.problem, 200), retry_at = now() + interval '1 hour'
     where d.id = postpone_purge.org_id;
end
$$;
alter function saas_private.postpone_purge(uuid, text) owner to saas_service;
comment on function saas_private.postpone_purge(uuid, text) is
'Notes what keeps an organization''s rows from going; it is tried again in an hour. For saas_service''s functions only.';

create function saas.purge_organizations(max_rows integer default 10000) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    batch integer := coalesce(purge_organizations.max_rows, 10000);
    org uuid;
    of_application record;
    deleted_rows integer;
    state text;
    blocking text;
begin
    if batch not between 1 and 1000000 then
        perform saas_private.raise_fields('invalid input', 'max_rows', 'must be between 1 and 1000000');
    end if;
    org := saas_private.next_to_purge();
    if org is null then
        return 0;
    end if;
    of_application := saas_private.purge_protected(org, batch);
    if of_application.deleted > 0 then
        return of_application.deleted;
    elsif of_application.problem is not null then
        perform saas_private.postpone_purge(org, of_application.problem);
        return 1;
    end if;
    perform saas_private.deletes_readings();
    -- Of one partition and by their addresses (src/store/purge.c says why).
    with leaf as materialized (select l.tableoid as id from saas.reading l where l.org_id = org limit 1)
    delete from saas.reading r
     where r.org_id = org and r.tableoid = (select id from leaf)
       and r.ctid = any (array(select b.ctid from saas.reading b
                                where b.org_id = org and b.tableoid = (select id from leaf) limit batch));
    get diagnostics deleted_rows = row_count;
    if deleted_rows > 0 then
        return deleted_rows;
    end if;
    begin
        perform saas_private.remove_organization(org, 'no_members');
        update saas_private.deleted_organization d set purged_at = now(), problem = null where d.id = org;
    exception when others then
        -- A table of the application that refers to ours, for one.
        get stacked diagnostics state = returned_sqlstate, blocking = table_name;
        perform saas_private.postpone_purge(org, concat_ws(' ', state, nullif(blocking, '')));
    end;
    return 1;
end
$$;
alter function saas.purge_organizations(integer) owner to saas_service;
comment on function saas.purge_organizations(integer) is
'Goes one step on with removing organizations that were deleted 30 days ago: at most max_rows rows of one of them, those of protected tables first, then readings, then all the rest with its data keys. Returns about how many rows went; 0: nothing is left to do. Call it, each time in a transaction of its own, until it says so; the worker does every hour. What is left of it is a row in saas_private.deleted_organization, which also says what keeps an application''s rows from going. Errors: 22023, 25001 in a transaction that has acted for somebody else. For saas_operator and the worker.';
