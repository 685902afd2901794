-- saas.check_isolation: each check finds the hole it is for, that hole only, and
-- raises no alarm at what looks like it and is right.
set client_min_messages = error;
select no_plan();

select is_empty('select * from saas.check_isolation()', 'a fresh installation is clean');

create schema app;
grant usage on schema app to saas_user;
create table app.item (id uuid primary key default saas.uuidv7(), name text, price numeric, shop_id uuid);
create table app.shop (id uuid primary key default saas.uuidv7());
alter table app.item add constraint item_shop foreign key (shop_id) references app.shop;
create table app.event (at date, id uuid, primary key (at, id)) partition by range (at);
create table app.event_2026 partition of app.event for values from ('2026-01-01') to ('2027-01-01');
create table app.note (id uuid primary key default saas.uuidv7());
create table app.long_note (body text) inherits (app.note);
create table app.country (code text primary key);
select count(saas.protect(r)) as ok from unnest(array['app.shop', 'app.item', 'app.event', 'app.note']::regclass[]) as r \gset
grant select, insert, update, delete on app.item, app.shop, app.event, app.note, app.long_note to saas_user;
grant select on app.country to public;
select is_empty('select * from saas.check_isolation()', 'so is a schema of protected tables');

-- code, severity and object of each finding: after the neighbour, and what the
-- plant adds.  Everything is undone.
-- Remedies that are SQL are run: what they are for is gone then.
create function public.findings(neighbour text, plant text, out before text, out after text, out left_over text) language plpgsql as $$
declare
    remedies text[];
    item text;
    list constant text := 'select coalesce(string_agg(concat_ws('' '', f.code, f.severity, f.object), E''\n'' order by f.code, f.object), ''nothing'')
                             from saas_private.isolation_findings() f';
begin
    before := 'nothing';
    if neighbour is not null then
        execute neighbour;
        execute list into before;
    end if;
    execute plant;
    execute list into after;
    remedies := array(select distinct f.remedy from saas_private.isolation_findings() f where f.remedy ~ '^(select|alter|drop|revoke) [^:]*;$'
                                                                                       and f.remedy !~ '^alter system');
    left_over := 'nothing';
    if remedies <> '{}' then
        left_over := after;
        foreach item in array remedies loop
            execute item;
        end loop;
        execute list into left_over;
    end if;
    raise exception sqlstate 'ZZ000';
exception when sqlstate 'ZZ000' then
    null;
end
$$;

create table public.hole (number integer generated always as identity, found text, neighbour text, plant text);
insert into public.hole (found, neighbour, plant) values
-- Tables
('row_security_off error app.item',
 $$create table app.plain (id integer, organization_id uuid); create temp table held (org_id uuid)$$,
 $$alter table app.item disable row level security$$),
('row_security_off error app.fresh',
 $$create view app.look with (security_invoker = true) as select org_id from app.item$$,
 $$create table app.fresh (org_id uuid not null)$$),
('row_security_not_forced error app.item', null,
 $$alter table app.item no force row level security$$),
('partition_open error app.event_2026', null,
 $$alter table app.event_2026 no force row level security$$),
('partition_open error app.event_2027',
 $$create table app.event_2028 partition of app.event for values from ('2028-01-01') to ('2029-01-01');
   select saas.protect('app.event')$$,
 $$create table app.event_2027 partition of app.event for values from ('2027-01-01') to ('2028-01-01')$$),
('parent_shows_rows error app.top',
 $$create table app.bounded (id uuid); alter table app.bounded enable row level security; create table app.low () inherits (app.bounded);
   alter table app.low add column org_id uuid not null; alter table app.low enable row level security; alter table app.low force row level security$$,
 $$create table app.top (name text); alter table app.item inherit app.top$$),
('row_security_off error app.list', null,
 $$create table app.list () inherits (app.note)$$),
('parent_shows_rows error app.top', null,
 $$create table app.top (name text); create table app.middle (n integer) inherits (app.top); alter table app.middle enable row level security;
   create table app.bottom () inherits (app.middle); alter table app.bottom add org_id uuid not null; select saas.protect('app.top', dry_run => true);
   alter table app.bottom enable row level security; alter table app.bottom force row level security$$),
('org_id_nullable warning app.item', null,
 $$alter table app.item alter column org_id drop not null$$),
('org_id_changeable warning app.item',
 $$revoke update on app.shop from saas_user; drop trigger saas_fixed_org_id on app.shop$$,
 $$alter table app.item disable trigger saas_fixed_org_id$$),
('org_id_changeable warning app.event_2026', null,
 $$alter table app.event_2026 disable trigger saas_fixed_org_id$$),
('foreign_table warning app.far',
 $$create foreign data wrapper w; create server s foreign data wrapper w; create foreign table app.other (id integer) server s$$,
 $$create foreign table app.far (org_id uuid) server s$$),
('foreign_table warning app.other',
 $$create foreign data wrapper w; create server s foreign data wrapper w; create foreign table app.other (id integer) server s$$,
 $$grant select (id) on app.other to saas_anon$$),
('tenant_owns_table error app.item',
 $$create role saas_test_a; alter table app.shop owner to saas_test_a$$,
 $$grant create on schema app to saas_test_a; create role saas_test_b; alter table app.item owner to saas_test_b; grant saas_user to saas_test_b$$),
('tenant_owns_table error app.item', null,
 $$create role saas_test_a; grant create on schema app to saas_test_a; alter table app.item owner to saas_test_a;
   revoke create on schema app from saas_test_a; grant saas_test_a to saas_user$$),
('rule_owner_rights warning app.item',
 $$create rule r as on insert to app.country do also select 1$$,
 $$create rule r as on insert to app.item do also select 1$$),
('cascade_before_trigger warning app.item',
 $$create function app.f() returns trigger language plpgsql as 'begin return old; end';
   alter table app.item drop constraint item_shop, add constraint item_shop foreign key (org_id, shop_id) references app.shop (org_id, id) on delete cascade;
   create trigger c before update on app.item for each row execute function app.f();
   create trigger a after delete on app.item for each row execute function app.f();
   create trigger b before delete on app.shop for each row execute function app.f()$$,
 $$create trigger b before delete on app.item for each row execute function app.f()$$),
-- Policies
('policy_always_true error app.item, policy everything',
 $$create policy service on app.item to saas_service using (true); create policy everything on app.country using (true);
   create policy narrow on app.item as restrictive using (true);
   create policy mine on app.item for select using (org_id = saas.org_if('view_dashboard') and name = 'a')$$,
 $$create policy everything on app.item for select using (true)$$),
('policy_always_true error app.item, policy everything', null,
 $$create policy everything on app.item for insert to saas_user with check (true)$$),
('policy_not_bound error app.item, policy "all"',
 $$create policy mine on app.item using ((select saas.current_org_id()) = org_id)$$,
 $$create policy "all" on app.item for select using (org_id = saas.current_org_id() or name = 'public')$$),
('policy_not_bound error app.item, policy writes', null,
 $$create policy writes on app.item for update using (org_id = saas.current_org_id()) with check (name is not null)$$),
('policy_not_bound error app.item, policy truly', null,
 $$create policy truly on app.item for select using (true and true)$$),
('policy_not_bound error app.item, policy itself', null,
 $$create policy itself on app.item for select using (org_id = org_id)$$),
('policy_not_bound error app.item, policy inherited', null,
 $$create role saas_test_a; grant saas_test_a to saas_user; create policy inherited on app.item to saas_test_a using (name = 'a')$$),
('policy_not_bound error app.item, policy looks',
 null, $$create operator app.= (leftarg = uuid, rightarg = uuid, function = uuid_ne); set local search_path = app, public;
   create policy looks on app.item for select using (org_id operator(app.=) saas.current_org_id()); reset search_path$$),
('policy_not_bound error app.item, policy setting', null,
 $$create policy setting on app.item for select using (name = 'shared')$$),
('policy_volatile warning app.item, policy slow',
 $$create function app.stable() returns boolean leakproof stable language sql as 'select true'; alter function app.stable() not leakproof;
   create policy slow on app.country using (random() > 0.5)$$,
 $$create function app.volatile() returns boolean volatile language sql as 'select true';
   create policy slow on app.item for select using (org_id = saas.current_org_id() and app.volatile())$$),
('policy_leaky warning app.item, policy divides',
 $$create policy compares on app.item for select using (org_id = saas.current_org_id() and name = 'a' and id is not null)$$,
 $$create policy divides on app.item as restrictive for select using (price > 1)$$),
('policy_leaky warning app.item, policy "compares rows"', null,
 $$create policy "compares rows" on app.item as restrictive for select using ((price, name) > (1, 'a'))$$),
('policy_leaky warning app.item, policy "takes the greatest"', null,
 $$create policy "takes the greatest" on app.item as restrictive for select using (greatest(price, 1) is not null)$$),
('policy_converts warning app.item, policy converts', null,
 $$create policy converts on app.item as restrictive for select using (name::interval is not null)$$),
('policy_reads_tables warning app.item, policy looks',
 $$create policy once on app.item for select using (org_id = (select saas.current_org_id()))$$,
 $$create policy looks on app.item for select using (org_id = saas.current_org_id() and exists (select from app.shop))$$),
-- Keys
('unique_key_reveals warning app.item_name',
 $$create unique index one on app.item (org_id, name); create unique index two on app.item (shop_id, name); create index three on app.item (name);
   create unique index four on app.country ((lower(code)))$$,
 $$create unique index item_name on app.item (name)$$),
('unique_key_reveals warning app.item_lower',
 $$create unique index one on app.item (org_id, (lower(name)))$$,
 $$create unique index item_lower on app.item ((lower(name)))$$),
('unique_key_reveals warning app.item_person', null,
 $$alter table app.item add person uuid references saas.app_user; create unique index item_person on app.item (person)$$),
('unique_key_reveals warning app.item_price', null,
 $$alter table app.item add constraint item_price exclude (price with =)$$),
('unique_key_reveals warning app.item_with', null,
 $$create unique index item_with on app.item (name) include (org_id)$$),
('unique_key_reveals notice app.numbered_pkey', null,
 $$create table app.numbered (id bigint generated always as identity primary key); select saas.protect('app.numbered')$$),
('foreign_key_crosses error app.item, foreign key plain',
 $$alter table app.item add country text references app.country, add constraint good foreign key (shop_id, org_id) references app.shop (id, org_id)$$,
 $$alter table app.item add constraint plain foreign key (shop_id) references app.shop$$),
('foreign_key_crosses error app.item, foreign key follows', null,
 $$alter table app.item add constraint follows foreign key (shop_id) references app.shop on update set null$$),
('foreign_key_crosses error app.item, foreign key twisted', null,
 $$alter table app.item add constraint twisted foreign key (shop_id, org_id) references app.shop (org_id, id)$$),
('foreign_key_from_shared warning app.tag, foreign key tag_fk',
 $$create table app.region (code text references app.country)$$,
 $$create table app.tag (shop_id uuid constraint tag_fk references app.shop)$$),
('foreign_key_clears_org_id warning app.item, foreign key clears',
 $$alter table app.item add constraint keeps foreign key (org_id, shop_id) references app.shop (org_id, id) on delete set null (shop_id)$$,
 $$alter table app.item add constraint clears foreign key (org_id, shop_id) references app.shop (org_id, id) on delete set null$$),
('foreign_key_not_validated warning app.item, foreign key unchecked', null,
 $$alter table app.item add constraint unchecked foreign key (org_id, shop_id) references app.shop (org_id, id) not valid$$),
-- Views
('view_bypasses error app.open',
 $$create view app.good with (security_invoker = true) as select * from app.item; create view app.elsewhere as select * from app.country$$,
 $$create view app.open as select * from app.item$$),
('view_bypasses error app.over', null,
 $$create view app.good with (security_invoker = on) as select * from app.item; create view app.over as select count(*) from app.good$$),
('view_owner_rights warning app.owned',
 $$create view app.good with (security_invoker = true) as select * from app.item$$,
 $$create role saas_test_a; grant create, usage on schema app to saas_test_a;
   create view app.owned with (security_barrier = true) as select * from app.item; alter view app.owned owner to saas_test_a$$),
('materialized_view warning app.copy',
 $$create materialized view app.numbers as select * from app.country; grant select on app.numbers to saas_user$$,
 $$create materialized view app.copy as select * from app.item$$),
('materialized_view error app.copy', null,
 $$create view app.good with (security_invoker = true) as select * from app.item;
   create materialized view app.copy as select name from app.good; grant select on app.copy to saas_user$$),
-- Functions.  Definer functions for nobody, so that one hole is planted at a time.
('definer_open_path error app.f()',
 $$create function app.g() returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
   create function app.h() returns integer language sql as 'select 1'; revoke execute on all functions in schema app from public$$,
 $$create function app.f() returns integer language sql security definer as 'select 1'; revoke execute on all functions in schema app from public$$),
('definer_open_path error app.f()',
 $$create schema closed; create function app.g() returns integer language sql security definer set search_path = closed, pg_temp as 'select 1';
   revoke execute on all functions in schema app from public$$,
 $$create function app.f() returns integer language sql security definer set search_path = "$user", pg_temp as 'select 1';
   revoke execute on all functions in schema app from public$$),
('definer_temp_first warning app.f()', null,
 $$create function app.f() returns integer language sql security definer set search_path = pg_catalog as 'select 1';
   revoke execute on all functions in schema app from public$$),
('definer_temp_first warning app.f()', null,
 $$create function app.f() returns integer language sql security definer set search_path = '' as 'select 1';
   revoke execute on all functions in schema app from public$$),
('definer_bypasses error app.f()',
 $$create role saas_test_a; grant create on schema app to saas_test_a;
   create function app.g() returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
   alter function app.g() owner to saas_test_a; revoke execute on all functions in schema app from public; grant execute on function app.g() to saas_user$$,
 $$create function app.f() returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
   revoke execute on function app.f() from public; grant execute on function app.f() to saas_user$$),
('definer_bypasses error app.p()', null,
 $$create procedure app.p() language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
   revoke execute on procedure app.p() from public; grant execute on procedure app.p() to saas_user$$),
('definer_for_public warning app.f()',
 $$create role saas_test_a; grant create on schema app to saas_test_a; create function app.h() returns integer language sql as 'select 1'$$,
 $$create function app.f() returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
   alter function app.f() owner to saas_test_a$$),
('trigger_bypasses warning app.item',
 $$create function app.f() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as 'begin return null; end';
   create function app.g() returns trigger language plpgsql as 'begin return null; end';
   create trigger t after insert on app.country for each row execute function app.f();
   create trigger t after insert on app.item for each row execute function app.g()$$,
 $$create trigger u after insert on app.item for each row execute function app.f()$$),
('leakproof_function warning app.f()',
 $$create function app.g() returns integer language sql as 'select 1'$$,
 $$create function app.f() returns integer leakproof language sql as 'select 1'$$),
-- Rights
('public_grant error app.item', $$grant select on app.country to public$$, $$grant delete on app.item to public$$),
('public_grant error app.item', null, $$grant select (name) on app.item to public$$),
('unbound_privilege error app.item',
 $$create role saas_test_a; grant truncate on app.item to saas_test_a; grant truncate on app.country to saas_user$$,
 $$grant truncate on app.item to saas_user$$),
('unbound_privilege error app.item', null, $$grant references (id) on app.item to saas_anon$$),
('unbound_privilege error app.item', null, $$grant trigger on app.item to saas_user$$),
('default_privileges warning default privileges of postgres in schema app',
 $$alter default privileges in schema app grant select on tables to saas_user; alter default privileges grant execute on functions to saas_user$$,
 $$alter default privileges in schema app grant select on tables to public$$),
('default_privileges warning default privileges of postgres', null,
 $$alter default privileges grant usage on sequences to public$$),
('schema_create error app', $$create role saas_test_a; grant create on schema app to saas_test_a$$, $$grant create on schema app to saas_user$$),
('schema_create error public', null, $$grant create on schema public to public$$),
('private_schema_open error saas_private', null, $$grant usage on schema saas_private to saas_anon$$),
('sequence_readable warning app.counted_n_seq',
 $$create table app.counted (id uuid primary key, n bigint generated always as identity); select saas.protect('app.counted');
   grant select, insert on app.counted to saas_user; create sequence app.free; grant usage on sequence app.free to saas_user$$,
 $$grant select on sequence app.counted_n_seq to saas_user$$),
('sequence_readable warning app.numbers', null,
 $$create sequence app.numbers; alter table app.item add number bigint default nextval('app.numbers'); grant usage on sequence app.numbers to saas_user$$),
('statistics_readable error pg_statistic', $$create statistics app.s on id, name from app.item$$, $$grant select on pg_statistic to saas_user$$),
('statistics_readable error pg_statistic', null,
 $$create role saas_test_a; grant saas_test_a to saas_user; grant select on pg_statistic to saas_test_a$$),
('unbound_privilege error app.item', null,
 $$create role saas_test_a; grant saas_test_a to saas_user; grant truncate on app.item to saas_test_a$$),
('statistics_readable error pg_statistic_ext_data', null, $$grant select on pg_statistic_ext_data to public$$),
('statistics_readable error app.histogram',
 $$create view app.summary as select tablename, n_distinct from pg_stats; grant select on app.summary to saas_user;
   create view app.histogram as select starelid, stadistinct from pg_statistic$$, $$grant select on app.histogram to saas_user$$),
('large_object error large object 4711', $$select lo_create(4712)$$,
 $$select lo_create(4711); grant select on large object 4711 to saas_user$$),
('large_object error large object 4711', null,
 $$select lo_create(4711); alter large object 4711 owner to saas_anon$$),
('large_object error large object 4711', null,
 $$select lo_create(4711); create role saas_test_a; grant saas_test_a to saas_user; grant select on large object 4711 to saas_test_a$$),
('large_objects_open error lo_compat_privileges', null, $$set local lo_compat_privileges = on$$),
('foreign_server warning foreign server s',
 $$create foreign data wrapper w; create server s foreign data wrapper w; create server other foreign data wrapper w;
   create user mapping for postgres server other; grant usage on foreign server other to saas_user; grant usage on foreign server s to saas_user$$,
 $$create user mapping for saas_user server s$$),
('parameter_grant error session_replication_role',
 $$create role saas_test_a; grant set on parameter session_replication_role to saas_test_a$$,
 $$grant set on parameter session_replication_role to saas_user$$),
('parameter_grant error saas.trusted_proxies', null,
 $$create role saas_test_a; grant alter system on parameter saas.trusted_proxies to saas_test_a; grant saas_test_a to saas_user$$),
('publication warning publication p',
 $$create publication q for table app.country; create publication r for table app.shop where (org_id = '00000000-0000-0000-0000-000000000001')$$,
 $$create publication p for table app.item$$),
('publication warning publication p', null, $$create publication p for tables in schema app$$),
('publication warning publication p', null, $$create publication p for all tables$$),
('publication warning publication p', null, $$create publication p for table app.event$$),
-- Roles
('tenant_superuser error saas_test_a', $$create role saas_test_b superuser; create role saas_test_c; grant saas_user to saas_test_c$$,
 $$create role saas_test_a superuser; grant saas_user to saas_test_a$$),
('tenant_bypasses error saas_test_a', $$create role saas_test_b bypassrls$$,
 $$create role saas_test_c; grant saas_anon to saas_test_c; create role saas_test_a bypassrls; grant saas_test_c to saas_test_a$$),
('tenant_superuser error saas_test_a', null, $$create role saas_test_a superuser; grant saas_test_a to saas_anon$$),
('tenant_bypasses error saas_test_a', $$create role saas_test_b bypassrls$$,
 $$create role saas_test_a bypassrls; grant saas_test_a to saas_user$$),
('service_bypasses error saas_operator', null, $$alter role saas_operator bypassrls$$),
('role_of_both_planes error saas_test_a', $$create role saas_test_b; grant saas_operator to saas_test_b$$,
 $$create role saas_test_a; grant saas_user, saas_operator to saas_test_a$$),
('role_of_both_planes error saas_test_a', null,
 $$create role saas_test_a; grant saas_user, saas_service to saas_test_a$$),
('service_role_member error saas_test_a', $$create role saas_test_b superuser; grant saas_owner to saas_test_b$$,
 $$create role saas_test_a; grant saas_owner to saas_test_a$$),
('role_creates_roles warning saas_test_a', $$create role saas_test_b superuser createrole$$, $$create role saas_test_a createrole$$),
('tenant_reads_all error saas_test_a', $$create role saas_test_b; grant pg_monitor to saas_test_b$$,
 $$create role saas_test_a; grant saas_user, pg_read_all_stats to saas_test_a$$),
-- Settings
('log_statement warning log_statement', $$set local log_statement = 'ddl'$$, $$set local log_statement = 'all'$$),
('log_statement warning log_statement of role saas_test_a in database postgres',
 $$create role saas_test_a; create role saas_test_b; alter role saas_test_b set work_mem = '8MB'$$, $$select$$),
('log_statement warning log_statement of role saas_test_a', null,
 $$create role saas_test_a; alter role saas_test_a set log_statement = 'mod'$$),
('log_parameters warning log_min_duration_statement',
 $$set local log_parameter_max_length = 0; set local log_min_duration_statement = 100$$, $$set local log_parameter_max_length = -1$$),
('log_parameters warning log_parameter_max_length_on_error', null, $$set local log_parameter_max_length_on_error = 100$$);
-- A setting of another database is that one's.
update public.hole set plant = 'alter role saas_test_a in database postgres set log_statement = ''all''', found = 'nothing' where plant = 'select';

create table public.trial as
    select h.number, h.found, f.* from public.hole h cross join lateral public.findings(h.neighbour, h.plant) f;
select is(concat_ws(E'\n', 'before:', t.before, 'after:', t.after), concat_ws(E'\n', 'before:', 'nothing', 'after:', t.found), t.found)
  from public.trial t order by t.number;
-- A foreign table with org_id stays one.
select is(t.left_over, case t.found when 'foreign_table warning app.far' then t.found else 'nothing' end, 'the remedy helps: ' || t.found)
  from public.trial t order by t.number;

select is_empty('select * from saas.check_isolation()', 'everything was undone');

-- The catalog of checks
create function public.codes() returns setof text language sql as $$
    select distinct m[1] from pg_proc p, regexp_matches(p.prosrc, '(?:select|union all\s+select)(?: distinct)? ''([a-z_]+)'', (?:''(?:error|warning|notice)''|case)', 'g') m
     where p.pronamespace = 'saas_private'::regnamespace and p.proname ~ '^check_(tables|policies|keys|views|functions|privileges|roles|settings)$'
$$;
select cmp_ok((select count(*) from public.codes()), '>=', 40::bigint, 'there are over forty checks');
select set_eq('select * from public.codes()', $$select split_part(found, ' ', 1) from public.hole where found <> 'nothing'$$, 'and a hole for each');
\set documented `sed -n 's/^### //p' docs/isolation.md | tr '\n' ' '`
select set_eq('select * from public.codes()', regexp_split_to_array(btrim(:'documented'), ' +'), 'and a section of the documentation');

-- The four columns, and who may ask
create table app.bare (org_id uuid not null);
set role saas_operator;
select results_eq('select * from saas.check_isolation()',
    $$values ('error'::text, 'app.bare'::text,
              'row_security_off: the table has org_id, but no row-level security: whoever may read it reads every organization''s rows'::text,
              'select saas.protect(''app.bare'');'::text)$$, 'saas_operator sees severity, object, problem and remedy');
set role saas_user;
select throws_ok('select * from saas.check_isolation()', '42501', null, 'tenants do not');
reset role;
select saas.protect('app.bare') is not null as ok \gset
select is_empty('select * from saas.check_isolation()', 'the remedy helps');
drop table app.bare;

create unique index on app.item (name);
create view app.open as select * from app.item;
create table app.numbered (id bigint primary key, org_id uuid not null);
select saas.protect('app.numbered') is not null as ok \gset
select results_eq('select distinct on (severity) severity from saas.check_isolation() order by severity', $$values ('error'), ('notice'), ('warning')$$,
                  'there are three severities');
select results_eq('select severity from saas.check_isolation()', $$values ('error'), ('warning'), ('notice')$$, 'the worst comes first');
select * from finish();
