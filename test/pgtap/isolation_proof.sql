-- saas.prove_isolation on what is right: no false alarm, every kind of table and
-- column gets its rows, and nothing stays behind.
set client_min_messages = error;
select no_plan();

create schema app;
grant usage on schema app to saas_user, saas_anon;
create type app.state as enum ('open', 'closed');
create domain app.percent as numeric check (value between 0 and 100);
create domain app.code as text not null check (value ~ '^[A-Z]{2}-\d{4}$');
create type app.pair as (a integer, b text);
create table app.country (code char(2) primary key check (code ~ '^[A-Z]{2}$'));
insert into app.country values ('DE');
create table app.shop (id uuid primary key default saas.uuidv7(), name varchar(40) not null, country char(2) not null references app.country,
                       parent_id uuid references app.shop, main_item uuid);
create table app."Odd Name" ("the id" bigint primary key generated always as identity, shop_id uuid not null references app.shop,
                             state app.state not null, kind text not null check (kind in ('a', 'b')), "select" integer[]);
create table app.item (id uuid primary key default saas.uuidv7(), shop_id uuid not null references app.shop on delete cascade,
                       code app.code, rebate app.percent not null, slug text not null check (slug ~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$'),
                       price numeric(8, 2) not null check (price > 10 and price < 20), twice numeric generated always as (price * 2) stored,
                       hash bytea not null check (octet_length(hash) = 32), span daterange not null, spans int4multirange not null,
                       content jsonb not null check (jsonb_typeof(content) = 'array'), tags text[] not null check (cardinality(tags) > 0),
                       pair app.pair not null, ip inet not null, bits bit(3) not null, short varchar(3) not null, place point not null,
                       start_at timestamptz not null, end_at timestamptz not null, check (end_at >= start_at),
                       email text not null check (email like '%@%'), size smallint not null unique, exclude using gist (place with ~=));
alter table app.shop add foreign key (main_item) references app.item;
create table app.line (shop_id uuid, number integer, primary key (shop_id, number));
create table app.note (shop_id uuid, number integer, body text not null, foreign key (shop_id, number) references app.line);
create table app.event (at date not null, id uuid not null default saas.uuidv7(), primary key (at, id)) partition by range (at);
create table app.event_2019 partition of app.event for values from ('2019-01-01') to ('2020-01-01');
create table app.event_2020 partition of app.event for values from ('2020-01-01') to ('2021-01-01') partition by hash (id);
create table app.event_2020_0 partition of app.event_2020 for values with (modulus 1, remainder 0);
create table app.log (at timestamptz default now(), level text) partition by list (level);
create table app.log_warn partition of app.log for values in ('warn');
-- Without a partition, with none that a guessed value meets, or by an expression.
create table app.later (at timestamptz not null, body text) partition by range (at);
create table app.by_kind (kind text not null, body text) partition by list (kind);
create table app.by_hash (id uuid not null default saas.uuidv7(), body text) partition by hash (id);
create table app.by_month (at date not null, body text) partition by range (extract(year from at), extract(month from at));
create table app.by_month_1 partition of app.by_month for values from (1999, 1) to (1999, 2);
create table app.nested (at date not null, kind text not null, level integer not null) partition by range (at);
create table app.nested_2020 partition of app.nested for values from ('2020-01-01') to ('2021-01-01') partition by list (kind);
create table app.nested_2020_a partition of app.nested_2020 for values in ('alpha') partition by range (level);
create table app.nested_2020_a_5 partition of app.nested_2020_a for values from (5000) to (5001);
create table app.base (id uuid primary key default saas.uuidv7());
create table app.derived (body text) inherits (app.base);
select count(saas.protect(r)) as ok
  from unnest(array['app.shop', 'app."Odd Name"', 'app.item', 'app.line', 'app.note', 'app.event', 'app.log', 'app.later', 'app.by_kind',
                    'app.by_hash', 'app.by_month', 'app.nested', 'app.base']::regclass[]) as r \gset
alter table app.item drop constraint item_size_key, drop constraint item_place_excl;
grant select, insert, update, delete on all tables in schema app to saas_user;
revoke all on app.country from saas_user;
grant select on app.country to saas_user, saas_anon;
create view app.look with (security_invoker = true) as select i.*, c.code as country from app.item i cross join app.country c;
grant select, update, delete on app.look to saas_user;
create function app.my_items(shop_id uuid) returns setof app.item language sql stable security definer set search_path = pg_catalog, pg_temp as
    $$ select * from app.item i where i.org_id = saas.current_org_id() and i.shop_id = my_items.shop_id $$;
create function app."100%Q %s"("item%s_id" uuid) returns boolean language sql stable security definer set search_path = pg_catalog, pg_temp as
    $$ select false $$;

-- What could stay behind.
create function public.traces() returns jsonb language plpgsql as $$
declare
    item record;
    number bigint;
    result jsonb := '{}';
begin
    for item in select c.oid, c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where c.relkind in ('r', 'p') and n.nspname in ('app', 'saas', 'saas_private') loop
        execute format('select count(*) from %s', item.name) into number;
        result := result || jsonb_build_object(item.name, number);
    end loop;
    return result || jsonb_build_object(
        'objects', (select count(*) from pg_class where relnamespace <> all (array['public', 'pg_toast']::regnamespace[])), 'functions', (select count(*) from pg_proc),
        'roles', (select count(*) from pg_authid), 'members', (select count(*) from pg_auth_members),
        'sequence', (select last_value from app."Odd Name_the id_seq"),
        'settings', (select md5(string_agg(s.name || s.setting, ' ' order by s.name)) from pg_settings s),
        'limits', (select jsonb_agg(to_jsonb(l)) from saas.limits_status() l),
        'cursors', (select count(*) from pg_cursors where name like 'saas%'), 'user', session_user || current_user,
        'who', coalesce(saas.current_user_id()::text, ''));
end
$$;
-- From 18 on pgcrypto has a setting, which is there once a session has called it.
load 'pgcrypto';
select public.traces() as before \gset
create table public.verdict as select * from saas.prove_isolation();
select is(public.traces(), :'before'::jsonb, 'nothing stays behind: rows, objects, roles, settings, sequences, limits, identity');

select is_empty('select * from public.verdict where not held', 'no false alarm');
select is_empty('select * from public.verdict where attack in (''rows'', ''inserts'')', 'every table gets its rows');
select is_empty($$select * from public.verdict where held is null and attack <> 'lock table' and attack not like 'unique key %' and attack not like 'foreign key %'$$,
                'and every attack is tried');
select cmp_ok((select count(*) from public.verdict where held), '>', 3000::bigint, 'thousands of attacks were held off');
select is_empty($$
    select t.name from saas_private.tenant_tables() t
     where not exists (select from public.verdict v where v.object = t.name and v.attack = 'row-level security')$$, 'every table is judged');
select is_empty($$
    select t.name from saas_private.tenant_tables() t
     where not t.is_partition and t.name <> 'app.derived'
       and (select count(distinct v.as_role) from public.verdict v where v.object = t.name and v.attack = 'delete returning') < 8$$,
    'every table is attacked as every role');
select set_has('select attack from public.verdict where object = ''app.item''', $$
    values ('select'), ('select without a condition'), ('select with an expression that fails'), ('select with row_security off'),
           ('select for update'), ('select for key share'), ('cursor'), ('copy in'), ('copy out of a query'), ('insert'), ('insert returning'),
           ('insert unless it exists'), ('update'), ('update without a condition'), ('update returning'), ('change of org_id'), ('delete'),
           ('delete without a condition'), ('delete returning'), ('merge'), ('upsert by id'), ('foreign key item_shop_id_fkey'),
           ('cascade of deleting own rows'), ('lock table'), ('truncate')$$, 'by every attack');
select set_has('select distinct object from public.verdict',
               $$values ('app.look'), ('app.my_items(uuid)'), ('app."100%Q %s"(uuid)'), ('saas_api.sign_in(text,text,boolean)'), ('session'), ('saas_api.connections')$$,
               'views and functions are attacked');
select is((select count(*) from (select object, attack, as_role from public.verdict group by 1, 2, 3 having count(*) > 1) as d), 0::bigint,
          'one verdict per object, attack and role');

-- Only superusers, only with nobody's identity, and never to keep.
select is((select count(*) from saas_private.isolation_verdicts('{app}') v where not v.held), 0::bigint, 'a second proof in one transaction');
create function public.keep_proof() returns void language plpgsql as $$
begin
    begin
        perform saas_private.begin_proof();
        perform saas_private.prove_as(gen_random_uuid(), gen_random_uuid(), 'owner');
    end;
exception when sqlstate '25000' then
    if saas.current_user_id() is not null then
        raise exception 'the identity stayed';
    end if;
    raise;
end
$$;
select throws_ok('select public.keep_proof()', '25000', 'a proof of isolation cannot be kept', 'a proof cannot be kept');
select throws_ok('select saas_private.prove_as(gen_random_uuid(), gen_random_uuid(), ''owner'')', '25001', 'no proof of isolation runs',
                 'outside of a proof no identity is switched');
-- A function that pgTAP calls runs in a subtransaction of its own: psql does not.
\set ON_ERROR_STOP off
select saas_private.begin_proof();
\set refusal :SQLSTATE
\set ON_ERROR_STOP on
select is(:'refusal'::text, '25001', 'a proof needs a subtransaction');

create function public.proof_as(role name) returns text language plpgsql as $$
begin
    execute format('set local session authorization %I', role);
    perform saas_private.begin_proof();
    return 'begun';
exception when others then
    return sqlstate;
end
$$;
grant usage on schema saas_private to saas_user;
grant execute on function saas_private.begin_proof(), saas_private.prove_as(uuid, uuid, text, text[], integer),
    saas_private.run_confined(name, text, boolean, boolean), saas_private.run_as_session(name, text), saas_private.copy_confined(name, text) to saas_user;
select is(public.proof_as('saas_user'), 'PT403', 'a tenant with every grant begins no proof');
create function public.definer_proof() returns text language plpgsql security definer as $$
begin
    perform saas_private.begin_proof();
    return 'begun';
exception when others then
    return sqlstate;
end
$$;
grant usage on schema public to saas_user;
set session authorization saas_user;
select public.definer_proof() as refusal \gset
reset session authorization;
select is(:'refusal'::text, 'PT403', 'nor does a superuser''s function that a tenant calls');

\ir ../lib/tenants.sql
select tenants.found('ada') is not null as ok \gset
select u.id as ada, m.org_id as org from saas.app_user u join saas.membership m on m.user_id = u.id where u.email = 'ada@example.com' \gset
begin;
select saas.assume_identity(:'ada', :'org');
select throws_ok('select * from saas.prove_isolation()', '25001', 'this transaction already acts for an identity', 'not in a transaction that acts for somebody');
select saas.clear_identity();
select throws_ok('select * from saas.prove_isolation()', '25001', 'this transaction already acts for an identity', 'nor in one that did');
commit;
begin;
select count(*) > 0 as ok from saas_private.isolation_verdicts('{app}') \gset
do $$
begin
    perform saas_private.begin_proof();
    perform saas_private.prove_as(gen_random_uuid(), gen_random_uuid(), 'owner');
    raise exception sqlstate 'ZZ000';
exception when sqlstate 'ZZ000' then
    null;
end
$$;
select saas.assume_identity(:'ada', :'org');
select is(saas.current_user_id(), :'ada', 'after a proof the transaction takes an identity');
select throws_ok(format('select saas.assume_identity(%L, %L)', gen_random_uuid(), gen_random_uuid()), 'PT404', null, 'and no made-up one');
commit;
-- What nobody has is read as what the victim has: a mark of letters and digits is
-- a time zone with an offset.
create temp table proof_side (side text, mark text, org_id uuid, user_id uuid);
insert into proof_side values ('victim', 'babcdef1', 'babcdef1-0000-4000-8000-000000000001', 'babcdef1-0000-4000-8000-000000000002');
create temp table proof_row (relation oid, side text, content jsonb);
insert into proof_row values ('saas.connection'::regclass, 'victim', '{"name": "pbabcdef12"}');
select saas_private.prepare_findings() is null as ok \gset
select results_eq('select distinct existing, absent from pg_temp.proof_finding where what = ''connection.name''',
                  $$values ('pbabcdef12', 'pedefabc12')$$, 'the like of a name has other letters and the same digits');
select lives_ok('select now() at time zone f.existing, now() at time zone f.absent from pg_temp.proof_finding f where f.what = ''connection.name''',
                'so both are time zones or neither is');
select is_empty('select * from pg_temp.proof_finding where existing = absent', 'nobody has what the other organization has');
select * from finish();
