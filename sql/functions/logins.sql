-- Database logins that act for a member without a token: BI tools, psql, dumps.
-- Leans on install.

create function saas_private.login_refusal(login oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when r.rolname = 'saas_user' then 'it is a role of pg_saas itself'
        when g.rolsuper then 'it is, or can become, a superuser'
        when g.rolbypassrls then 'it, or a role that it belongs to, has BYPASSRLS'
        when g.rolcreaterole then 'it, or a role that it belongs to, has CREATEROLE'
        when g.rolreplication then 'it, or a role that it belongs to, has REPLICATION'
        when g.rolname = 'saas_anon' then 'it belongs to saas_anon, as PostgREST''s authenticator does'
        else format('it belongs to %s', g.rolname) end
      from pg_roles r
      join pg_roles g on pg_has_role(r.oid, g.oid, 'member')
     where r.oid = login_refusal.login
       and (r.rolname = 'saas_user' or g.rolsuper or g.rolbypassrls or g.rolcreaterole or g.rolreplication
            or g.rolname in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator', 'saas_anon',
                             'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
     order by g.rolsuper desc, g.rolname
     limit 1
$$;
comment on function saas_private.login_refusal(oid) is
'Why a role must not be mapped to a member, NULL when it may: superusers, roles that bypass row-level security or make roles, pg_saas''s own and their members, a shared login such as PostgREST''s.';

create function saas_private.login_mappings_changed() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_login_mappings_changed';
comment on function saas_private.login_mappings_changed() is
'Lets every session look its login''s mapping up again once the transaction has committed.';

create function saas_private.hold(word text) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_hold';
comment on function saas_private.hold(text) is
'Waits until nobody else holds that word and holds it until the transaction ends. No statement of others can take the lock.';

create function saas.map_login(login name, user_id uuid, org_id uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    role_oid oid := (select r.oid from pg_roles r where r.rolname = map_login.login);
    refusal text := saas_private.login_refusal(role_oid);
begin
    perform saas_private.require_superuser('saas.map_login');
    perform saas_private.require_installed();
    if role_oid is null then
        perform saas_private.raise_error('PT404', format('role "%s" not found', map_login.login));
    elsif refusal is not null then
        perform saas_private.raise_error('22023', format('role "%s" cannot be mapped to a member', map_login.login),
            refusal, 'Make a login of its own for it, with nothing but the grants it needs.');
    end if;
    if not exists (select from saas.membership m
                     join saas.app_user u on u.id = m.user_id and u.is_active
                    where m.user_id = map_login.user_id and m.org_id = map_login.org_id) then
        perform saas_private.raise_error('PT404', 'no such active member of the organization');
    end if;
    -- A key that leads with the organization cannot keep a login to one row.
    perform saas_private.hold('mapping of login ' || role_oid);
    perform saas_private.audit('login.unmapped', 'login', m.login::text, jsonb_build_object('user_id', m.user_id), null, m.org_id)
       from saas_private.login_mapping m where m.login_oid = role_oid;
    delete from saas_private.login_mapping m where m.login_oid = role_oid;
    insert into saas_private.login_mapping (org_id, login_oid, login, user_id)
    values (map_login.org_id, role_oid, map_login.login, map_login.user_id);
    perform saas_private.audit('login.mapped', 'login', map_login.login, null,
                               jsonb_build_object('user_id', map_login.user_id), map_login.org_id);
    perform saas_private.login_mappings_changed();
end
$$;
comment on function saas.map_login(name, uuid, uuid) is
'From the next transaction on everything that the login runs acts for that member of the organization, without a token and until saas.unmap_login(), as if each transaction began with it; a mapping that it had is replaced. It needs grants too: grant saas_user to it, or just what it should read. The member''s role says what it may do: for a BI tool map a viewer. Second factors are not asked for. Refused for superusers, BYPASSRLS, CREATEROLE, REPLICATION, members of pg_saas''s service roles, of saas_operator and of saas_anon (PostgREST''s login). Errors: PT403 for non-superusers, PT404, 22023 with the reason in DETAIL. Superusers only.';

create function saas.unmap_login(login name) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_superuser('saas.unmap_login');
    perform saas_private.require_installed();
    perform saas_private.audit('login.unmapped', 'login', m.login, jsonb_build_object('user_id', m.user_id), null, m.org_id)
       from saas_private.login_mapping m where m.login = unmap_login.login;
    delete from saas_private.login_mapping m where m.login = unmap_login.login;
    if not found then
        perform saas_private.raise_error('PT404', format('login "%s" is not mapped', unmap_login.login));
    end if;
    perform saas_private.login_mappings_changed();
end
$$;
comment on function saas.unmap_login(name) is
'Ends a login''s mapping: from its next transaction on it acts for nobody. Works for roles that were dropped too. Errors: PT403 for non-superusers, PT404. Superusers only.';
