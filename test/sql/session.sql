-- How long an identity lasts within a session, which a pool hands from one
-- tenant to the next.
insert into saas.app_user (id, email, first_name, last_name) values
    ('00000000-0000-7000-8000-0000000000c1', 'cleo@session.example', 'Cleo', 'Session'),
    ('00000000-0000-7000-8000-0000000000d1', 'dora@session.example', 'Dora', 'Session');
insert into saas.organization (id, name, slug) values
    ('00000000-0000-7000-8000-0000000000c0', 'Session C', 'session-c'),
    ('00000000-0000-7000-8000-0000000000d0', 'Session D', 'session-d');
insert into saas.role (org_id, name, is_builtin, rank)
    select o.id, b.name, true, b.rank from saas.organization o, saas.builtin_roles() b
     where o.slug in ('session-c', 'session-d');
insert into saas.membership (org_id, user_id, role) values
    ('00000000-0000-7000-8000-0000000000c0', '00000000-0000-7000-8000-0000000000c1', 'owner'),
    ('00000000-0000-7000-8000-0000000000d0', '00000000-0000-7000-8000-0000000000d1', 'viewer');
create function become(letter text) returns text language sql volatile as $$
    select letter || saas.assume_identity(('00000000-0000-7000-8000-0000000000' || letter || '1')::uuid,
                                          ('00000000-0000-7000-8000-0000000000' || letter || '0')::uuid)::text
$$;
create function who() returns text language sql stable as $$
    select coalesce(nullif(concat_ws(' ', right(saas.current_user_id()::text, 2), right(saas.current_org_id()::text, 2),
                                     saas.current_role_name(), saas.has_permission('delete_data')::text), 'false'), 'nobody')
$$;

-- The end of a transaction ends it, however it ends.
begin;
select become('c');
select who();
commit;
select who();
begin;
select become('c');
rollback;
select who();
select become('c'), who();
select who();
select become('c') \; select who();
select who();
begin;
select become('c');
select 1 / 0;
commit;
select who();
begin;
select become('c');
commit and chain;
select who();
rollback;

-- A transaction that ended leaves no trace for the next one.
begin;
select become('d');
select who();
commit;

-- Savepoints give back what they found.
begin;
savepoint a;
select become('c');
rollback to a;
select who();
select become('c');
savepoint b;
select saas.clear_identity();
select who();
rollback to b;
select who();
savepoint c;
reset all;
select who();
rollback to c;
select who();
savepoint d;
reset saas.identity;
select who();
rollback to d;
select who();
release d;
release b;
select who();
commit;
select who();
begin;
savepoint a;
select become('c');
release a;
select who();
commit;

-- So does a PL/pgSQL block that fails.
begin;
do $$
begin
    perform become('c');
    raise exception 'undo';
exception when others then
    raise notice 'after the error: %', who();
end
$$;
select become('c');
do $$
begin
    perform saas.clear_identity();
    raise exception 'undo';
exception when others then
    raise notice 'after the error: %', who();
end
$$;
select who();
commit;

-- Clearing, RESET ALL and DISCARD ALL leave nobody.
begin;
select become('c');
select saas.clear_identity();
select who();
select saas.clear_identity();
commit;
begin;
select become('c');
reset all;
select who();
commit;
select who();
discard all;
select who();

-- One transaction acts for one identity only.
begin;
select become('c');
select become('c');
select who();
savepoint s;
select become('d');
rollback to s;
select who();
select saas.clear_identity();
savepoint s;
select become('d');
rollback to s;
select become('c');
reset all;
savepoint s;
select become('d');
rollback to s;
select who();
select become('c');
select who();
commit;
begin;
savepoint s;
select become('c');
rollback to s;
select become('d');
rollback;
begin;
do $$
begin
    perform become('c');
    raise exception 'undo';
exception when others then
    null;
end
$$;
select become('d');
rollback;
select become('c'), become('d');
select who();
-- A procedure that commits begins a new transaction.
create procedure two_transactions() language plpgsql as $$
begin
    perform become('c');
    raise notice '%', who();
    commit;
    raise notice '%', who();
    perform become('d');
    raise notice '%', who();
end
$$;
call two_transactions();
select who();

-- A change of role within the transaction is a different identity too.
begin;
select become('d');
update saas.membership set role = 'member' where user_id = '00000000-0000-7000-8000-0000000000d1';
select who();
select become('d');
rollback;

-- Database roles come and go, the identity stays.
begin;
select become('c');
set local role saas_user;
select who();
set local role saas_anon;
select who();
reset role;
select who();
commit;

-- What a definer function with settings of its own sets, outlives it.
create function enter() returns text language plpgsql security definer
set search_path = pg_catalog, pg_temp set work_mem = '1MB' as $$
begin
    perform public.become('c');
    return public.who();
end
$$;
begin;
select enter();
select who();
commit;
select who();

-- No rows outlive the transaction in a cursor.
begin;
select become('c');
declare held cursor with hold for select slug from saas.organization;
rollback;
begin;
declare held cursor with hold for select saas.current_org_id();
select become('c');
rollback;
begin;
select become('c');
select saas.clear_identity();
declare held cursor with hold for select saas.current_org_id();
commit;
close all;
begin;
select become('c');
declare plain cursor for select right(saas.current_org_id()::text, 2) from generate_series(1, 2);
fetch plain;
select saas.clear_identity();
fetch plain;
commit;
declare held cursor with hold for select 'nobody''s';
fetch held;
close held;

-- It costs no transaction id and writes nothing.
begin;
select become('c');
select pg_current_xact_id_if_assigned();
commit;
begin read only;
select become('c');
select who();
commit;
begin isolation level serializable read only deferrable;
select become('c');
select who();
commit;

drop function become(text), who(), enter();
drop procedure two_transactions();
