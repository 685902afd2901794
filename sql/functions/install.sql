-- Tables come and go through numbered migrations, never through the extension
-- script, so that they are ordinary tables.  Leans on errors and vault.

create function saas_private.run_script(script text) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_run_script';
comment on function saas_private.run_script(text) is
'Runs the statements of a migration one by one as saas_owner with a pinned search_path. Superusers only.';

create function saas_private.system_identifier() returns bigint
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_system_identifier';
comment on function saas_private.system_identifier() is
'The cluster''s system identifier from its control file.';

create function saas_private.wake_poller() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_wake_poller';
comment on function saas_private.wake_poller() is
'Wakes this database''s poller when the transaction commits.';

create function saas_private.require_superuser(what text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        perform saas_private.raise_error('PT403', what || ' needs a superuser');
    end if;
end
$$;
comment on function saas_private.require_superuser(text) is
'Raises PT403 unless the current role is a superuser.';

-- A role of ours that somebody is already a member of would let them in.
create function saas_private.require_unshared_roles() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    membership record;
begin
    select g.rolname as granted, m.rolname as member into membership
      from pg_auth_members a
      join pg_roles g on g.oid = a.roleid
      join pg_roles m on m.oid = a.member
     where g.rolname in ('saas_owner', 'saas_service', 'saas_poller')
       and not m.rolsuper
     limit 1;
    if found then
        perform saas_private.raise_error('42710',
            format('role "%s" is a member of "%s"', membership.member, membership.granted), null,
            'Service roles of pg_saas have no members: revoke the membership first.');
    end if;
    select m.rolname as member, g.rolname as granted into membership
      from pg_auth_members a
      join pg_roles g on g.oid = a.roleid
      join pg_roles m on m.oid = a.member
     where m.rolname in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator', 'saas_user', 'saas_anon')
     limit 1;
    if found then
        perform saas_private.raise_error('42710',
            format('role "%s" is a member of "%s"', membership.member, membership.granted), null,
            'Roles of pg_saas are members of no other role: revoke the membership first.');
    end if;
    -- Default privileges planted beforehand would open every table we make.
    if exists (select from pg_default_acl d
                 join pg_roles r on r.oid = d.defaclrole
                cross join lateral aclexplode(d.defaclacl) as acl
                where r.rolname in ('saas_owner', 'saas_service') and acl.grantee <> d.defaclrole) then
        perform saas_private.raise_error('42710', 'default privileges of the roles of pg_saas are not its own', null,
            'Take them back with alter default privileges for role saas_owner (or saas_service) revoke ... first.');
    end if;
end
$$;
comment on function saas_private.require_unshared_roles() is
'Refuses service roles with members, roles of ours that are members of others, and planted default privileges.';

create function saas_private.run_migrations() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    step record;
    done integer := 0;
    installed integer := 0;
begin
    if to_regclass('saas.schema_migration') is not null then
        execute 'select coalesce(max(version), 0) from saas.schema_migration' into installed;
    end if;
    for step in select m.version, m.name, m.script
                  from saas_private.migration_scripts() m
                 where m.version > installed
                 order by m.version
    loop
        perform saas_private.run_script(step.script);
        execute 'insert into saas.schema_migration (version, name) values ($1, $2)'
          using step.version, step.name;
        done := done + 1;
    end loop;
    return done;
end
$$;
comment on function saas_private.run_migrations() is
'Runs the migrations that this database lacks and returns how many ran.';

create function saas.install() returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    done integer;
begin
    perform saas_private.require_superuser('saas.install');
    if to_regclass('saas.schema_migration') is not null then
        perform saas_private.raise_error('42P07', 'pg_saas is already installed in this database', null,
            'Run select saas.migrate() after an update of the extension.');
    end if;
    perform saas_private.require_unshared_roles();
    done := saas_private.run_migrations();
    execute 'insert into saas_private.installation (system_identifier, database_oid)
             select saas_private.system_identifier(), d.oid
               from pg_database d where d.datname = current_database()';
    perform saas_private.wake_poller();
    return format('pg_saas %s installed: %s migrations', saas.version(), done);
end
$$;
comment on function saas.install() is
'Creates the tables, policies, views and grants of pg_saas in this database. Errors: PT403 for non-superusers, 42P07 when installed already, 42710 when service roles have members.';

create function saas.migrate() returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    done integer;
begin
    perform saas_private.require_superuser('saas.migrate');
    perform saas_private.require_installed();
    done := saas_private.run_migrations();
    perform saas_private.wake_poller();
    execute 'notify pgrst, ''reload schema''';
    return format('pg_saas %s: %s migrations ran', saas.version(), done);
end
$$;
comment on function saas.migrate() is
'Runs the migrations that came with an update of the extension. Errors: PT403 for non-superusers, 55000 before saas.install().';

create function saas_private.require_installed() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('saas.schema_migration') is null then
        perform saas_private.raise_error('55000', 'pg_saas has no tables in this database', null,
            'Run select saas.install() as a superuser.');
    end if;
end
$$;
comment on function saas_private.require_installed() is
'Raises 55000 with the missing command before saas.install().';

create function saas.uninstall(confirm text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    perform saas_private.require_superuser('saas.uninstall');
    perform saas_private.require_installed();
    if uninstall.confirm is distinct from current_database()::text then
        perform saas_private.raise_error('22023', 'the confirmation does not match', null,
            'All data of pg_saas in this database are removed: confirm with the database''s name.');
    end if;
    perform saas_private.require_nothing_protected();
    drop event trigger if exists saas_guard;
    -- What it has taken is remembered in a table that goes.
    perform saas.unharden();
    -- The migrations made everything that is in our schemas and not the
    -- extension's own; views first, then tables with what hangs on them.
    for item in
        select c.oid::regclass::text as name, c.relkind
          from pg_class c
         where c.relnamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
           and c.relkind in ('v', 'm', 'r', 'p')
           and not c.relispartition
           and not exists (select from pg_depend d
                            where d.classid = 'pg_class'::regclass and d.objid = c.oid
                              and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e')
         order by c.relkind in ('r', 'p')
    loop
        if item.relkind in ('v', 'm') then
            execute format('drop view if exists %s cascade', item.name);
        else
            execute format('drop table if exists %s cascade', item.name);
        end if;
    end loop;
    perform saas_private.wake_poller();
    return 'pg_saas uninstalled: drop extension pg_saas removes the code';
end
$$;
comment on function saas.uninstall(text) is
'Removes every table and view of pg_saas from this database, with all their data, and takes back what saas.harden did. confirm must be the database''s name. Errors: PT403, 22023, 55000 before saas.install() and while tables are protected by saas.protect.';

create function saas.adopt() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_superuser('saas.adopt');
    perform saas_private.require_installed();
    execute 'update saas_private.installation
                set system_identifier = saas_private.system_identifier(),
                    database_oid = (select d.oid from pg_database d where d.datname = current_database()),
                    adopted_at = now()';
    perform saas_private.audit('installation.adopted', 'installation', current_database()::text, null, null,
                               '00000000-0000-0000-0000-000000000000');
    perform saas_private.wake_poller();
end
$$;
comment on function saas.adopt() is
'Lets the poller and the mailer work in a copy of a database (restored dump, clone). Until then a copy never uses the original''s single-use tokens. Errors: PT403, 55000.';

create function saas.version() returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_version';
comment on function saas.version() is
'The version of the loaded library.';
