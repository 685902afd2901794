-- Nothing that SQL can do gives the identity a value.  Real identities come
-- from saas.assume_identity, so that forged ones have something to imitate.
insert into saas.app_user (id, email, first_name, last_name) values
    ('00000000-0000-7000-8000-0000000000a1', 'ada@forging.example', 'Ada', 'Forging'),
    ('00000000-0000-7000-8000-0000000000b1', 'bob@forging.example', 'Bob', 'Forging');
insert into saas.organization (id, name, slug) values
    ('00000000-0000-7000-8000-0000000000a0', 'Forging A', 'forging-a'),
    ('00000000-0000-7000-8000-0000000000b0', 'Forging B', 'forging-b');
insert into saas.role (org_id, name, is_builtin, rank)
    select o.id, 'owner', true, 40 from saas.organization o where o.slug in ('forging-a', 'forging-b');
insert into saas.membership (org_id, user_id, role) values
    ('00000000-0000-7000-8000-0000000000a0', '00000000-0000-7000-8000-0000000000a1', 'owner'),
    ('00000000-0000-7000-8000-0000000000b0', '00000000-0000-7000-8000-0000000000b1', 'owner');

-- Exactly what the library itself would install for Bob.
\set forged 'o|00000000-0000-7000-8000-0000000000b1|00000000-0000-7000-8000-0000000000b0||40|8191|owner|postgres'
create view who as select saas.is_authenticated() as authenticated, saas.current_user_id() as "user",
    saas.current_org_id() as org, saas.org_if('view_dashboard') as org_if, saas.has_permission('delete_data') as may;
grant select on who to saas_user, saas_anon;

--
-- As a tenant's role, to whom ALTER ROLE is refused anyway
--
set saas.restrict_sessions = off;
set role saas_user;
set saas.identity = :'forged';
set session saas.identity = :'forged';
set saas.identity to 'x';
set saas.identity = '';
set saas.identity to default;
set "SAAS.Identity" = :'forged';
select set_config('saas.identity', :'forged', false);
select set_config('saas.identity', :'forged', true);
select set_config('SAAS.IDENTITY', :'forged', true);
reset saas.identity;
begin;
set local saas.identity = :'forged';
rollback;
begin;
set local saas.identity to default;
rollback;
do $$
begin
    perform set_config('saas.identity', 's|00000000-0000-7000-8000-0000000000b1|00000000-0000-7000-8000-0000000000b0||40|8191|owner|', true);
exception when others then
    raise notice '%: %', sqlstate, sqlerrm;
end
$$;
update pg_settings set setting = :'forged' where name = 'saas.identity';
alter role saas_user set saas.identity = :'forged';
-- No other setting of the prefix can be made up.
set saas.identity_ = 'x';
set saas.current_org_id = 'x';
table who;

--
-- As anonymous
--
set role saas_anon;
set saas.identity = :'forged';
select set_config('saas.identity', :'forged', true);
table who;
reset role;

--
-- As the owner of the tables, and of the functions that look across tenants
--
set role saas_owner;
set saas.identity = :'forged';
reset role;
set role saas_service;
set saas.identity = :'forged';
reset role;

--
-- As a superuser
--
set saas.identity = :'forged';
set session saas.identity = :'forged';
set saas.identity = '';
select set_config('saas.identity', :'forged', false);
select set_config('saas.identity', :'forged', true);
begin;
set local saas.identity = :'forged';
rollback;
do $$
begin
    perform set_config('saas.identity', 'o|00000000-0000-7000-8000-0000000000b1|00000000-0000-7000-8000-0000000000b0||40|8191|owner|postgres', true);
exception when others then
    raise notice '%: %', sqlstate, sqlerrm;
end
$$;
update pg_settings set setting = :'forged' where name = 'saas.identity';
alter role saas_user set saas.identity = :'forged';
alter role all set saas.identity = :'forged';
alter database :"DBNAME" set saas.identity = :'forged';
alter role saas_user in database :"DBNAME" set saas.identity = :'forged';
alter system set saas.identity = :'forged';
alter role saas_user set saas.identity from current;
alter database :"DBNAME" set saas.identity from current;
select count(*) as stored from pg_db_role_setting where setconfig::text like '%saas.identity%';
table who;

-- A right to the parameter is no right to a value.
do $$
begin
    if current_setting('server_version_num')::integer >= 150000 then
        grant set on parameter saas.identity to saas_user;
    end if;
end
$$;
set role saas_user;
set saas.identity = :'forged';
select set_config('saas.identity', :'forged', true);
table who;
reset role;
do $$
begin
    if current_setting('server_version_num')::integer >= 150000 then
        revoke set on parameter saas.identity from saas_user;
    end if;
end
$$;

--
-- Functions' own settings
--
create function with_setting() returns void language sql
    set saas.identity = 'o|00000000-0000-7000-8000-0000000000b1|00000000-0000-7000-8000-0000000000b0||40|8191|owner|postgres'
    as '';
create function with_setting() returns void language sql set saas.identity from current as '';
create function plain() returns void language sql as '';
alter function plain() set saas.identity = 'x';
alter function plain() set saas.identity from current;
drop function plain();

-- A superuser's definer function has no more power than the superuser.
create function forge(value text) returns text language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('saas.identity', forge.value, true);
    return 'forged';
exception when others then
    return sqlstate || ': ' || sqlerrm;
end
$$;
set role saas_user;
select forge(:'forged');
table who;
reset role;

--
-- With an identity: it cannot be widened, swapped, stored or read
--
begin;
select saas.assume_identity('00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-0000000000a0');
table who;
select forge(:'forged');
select forge('');
select forge(current_setting('saas.identity'));
table who;
show saas.identity;
select current_setting('saas.identity');
select count(*) as in_pg_settings from pg_settings where name = 'saas.identity';
select count(*) as in_show_all from pg_settings where setting like '%0000000000a%';
explain (settings, costs off) select 1;
savepoint s;
alter role saas_user set saas.identity from current;
rollback to s;
alter database :"DBNAME" set saas.identity from current;
rollback to s;
create function with_setting() returns void language sql set saas.identity from current as '';
rollback to s;
set saas.identity = :'forged';
rollback to s;
set role saas_user;
set local saas.identity = :'forged';
rollback to s;
table who;
commit;

drop function forge(text);
drop view who;
