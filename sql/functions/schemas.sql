-- The three schemas, one per audience, and the database roles.  Leans on nothing.

create schema saas;
comment on schema saas is
'Database-side API and tables of pg_saas: identity, isolation, vault, metrics, operator functions.';

create schema saas_api;
comment on schema saas_api is
'What an HTTP layer such as PostgREST exposes: views that run with the caller''s rights, and functions.';

create schema saas_private;
comment on schema saas_private is
'Hashes, wrapped keys, sealed secrets and internals of pg_saas. Nobody but its own service roles gets in.';

-- Roles are global: another database of the cluster may have made them. One
-- that exists with more rights than ours would own this installation.
do $roles$
declare
    role_name text;
    existing record;
begin
    -- CREATE EXTENSION in another database waits and then finds them.
    lock table pg_catalog.pg_authid in share row exclusive mode;
    foreach role_name in array array['saas_owner', 'saas_service', 'saas_poller',
                                     'saas_operator', 'saas_user', 'saas_anon']
    loop
        select r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb,
               r.rolcanlogin, r.rolreplication
          into existing
          from pg_catalog.pg_roles r
         where r.rolname = role_name;
        if not found then
            execute pg_catalog.format('create role %I nologin noinherit', role_name);
        elsif existing.rolsuper or existing.rolbypassrls or existing.rolcreaterole
              or existing.rolcreatedb or existing.rolcanlogin or existing.rolreplication then
            raise exception using
                errcode = '42710',
                message = pg_catalog.format('role "%s" exists with attributes that pg_saas does not allow', role_name),
                hint = 'The role must be NOLOGIN and without SUPERUSER, BYPASSRLS, CREATEROLE, CREATEDB and REPLICATION: alter or rename it first.';
        end if;
    end loop;
end
$roles$;

-- Functions are born without EXECUTE for PUBLIC, whichever of our roles makes them.
alter default privileges for role saas_owner revoke execute on functions from public;
alter default privileges for role saas_service revoke execute on functions from public;

grant usage, create on schema saas, saas_api, saas_private to saas_owner;
grant usage on schema saas, saas_api, saas_private to saas_service;
-- Ownership of functions needs CREATE; taken back at the end of this script.
grant create on schema saas, saas_api, saas_private to saas_service;
grant usage on schema saas, saas_private to saas_poller;
grant usage on schema saas to saas_operator;
grant usage on schema saas, saas_api to saas_user, saas_anon;
