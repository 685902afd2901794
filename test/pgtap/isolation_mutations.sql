-- saas.prove_isolation finds holes: each kind is planted alone, found at the
-- right object by the right attack, and taken away again.
set client_min_messages = error;
select no_plan();

create schema app;
grant usage on schema app to saas_user, saas_anon;
create role saas_test_app nologin;
create role saas_test_login nologin in role saas_user;
create table app.shop (id uuid primary key default saas.uuidv7(), name text not null);
create table app.item (id uuid primary key default saas.uuidv7(), shop_id uuid references app.shop on delete cascade,
                       code text, price numeric check (price > 0), number bigint generated always as identity);
create table app.event (at date not null, id uuid not null default saas.uuidv7(), body text, primary key (at, id)) partition by range (at);
create table app.event_2025 partition of app.event for values from ('2025-01-01') to ('2026-01-01');
create table app.event_2026 partition of app.event for values from ('2026-01-01') to ('2027-01-01');
alter table app.shop owner to saas_test_app;
alter table app.item owner to saas_test_app;
alter table app.event owner to saas_test_app;
alter table app.event_2025 owner to saas_test_app;
alter table app.event_2026 owner to saas_test_app;
grant usage on schema app to saas_test_app;
select count(saas.protect(r)) as ok from unnest(array['app.shop', 'app.item', 'app.event']::regclass[]) as r \gset
grant select, insert, update, delete on app.shop, app.item, app.event to saas_user;
create table app.log (at timestamptz default now(), what text);
create function app.note() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as
    $$ begin insert into app.log (what) values (to_jsonb(new)::text); return null; end $$;

-- What applications and organizations bring of their own.
\ir ../lib/tenants.sql
select saas.register_permission('app.spy', 'Sees', '{owner}'), (tenants.found('ada')).org_id as org \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'org', 'auditor', false, '{view_dashboard}', 15),
    (:'org', 'spy', false, '{app.spy}', 5);
-- A proof attacks with this login's rights, not with its identity.
select saas.map_login('saas_test_login', u.id, :'org') as ok from saas.app_user u where u.email = 'ada@example.com' \gset

-- The holes after a plant, which is undone.
create function public.holes(plant text, out list text[]) language plpgsql as $$
begin
    begin
        execute plant;
        list := array(select distinct f.found
                        from saas_private.isolation_verdicts('{app,public}') v
                       cross join lateral (values (v.object || ': ' || v.attack),
                                                  (case when v.attack = 'select' then v.object || ': select as ' || v.as_role end)) as f (found)
                       where not v.held and f.found is not null order by 1);
        raise exception sqlstate 'ZZ000';
    exception when sqlstate 'ZZ000' then
        null;
    end;
end
$$;

create table public.hole (number integer generated always as identity, kind text, expected text, plant text);
insert into public.hole (kind, expected, plant) values
('a policy that is always true', 'app.item: select',
 $$create policy wide on app.item for select to saas_user using (true)$$),
('row-level security that is not forced', 'app.item: row-level security',
 $$alter table app.item no force row level security$$),
('row-level security that is not forced, for its owner', 'app.item: delete',
 $$alter table app.item no force row level security$$),
('no row-level security', 'app.shop: select for update',
 $$alter table app.shop disable row level security$$),
('one more permissive policy', 'app.shop: select without a condition',
 $$create policy more on app.shop for select using (name is not null)$$),
('an insert that checks nothing', 'app.item: insert',
 $$create policy anything on app.item for insert with check (true)$$),
('an update that checks nothing', 'app.item: change of org_id without a condition',
 $$create policy anything on app.item for update using (org_id = saas.current_org_id()) with check (true);
   drop trigger saas_fixed_org_id on app.item$$),
('org_id that can change', 'app.item: change of org_id',
 $$drop trigger saas_fixed_org_id on app.item$$),
('an update policy that forgets the organization', 'app.item: update without a condition',
 $$create policy forgets on app.item for update using (true) with check (org_id = saas.current_org_id())$$),
('a delete policy that forgets the organization', 'app.item: delete without a condition',
 $$create policy forgets on app.item for delete using (true)$$),
('a policy that trusts a setting', 'app.item: select',
 $$create policy trusts on app.item using (coalesce(current_setting('app.org', true), '') = '')$$),
('a policy for those without an identity', 'app.item: select',
 $$create policy nobody on app.item for select using (saas.current_org_id() is null)$$),
('a view with its owner''s rights', 'app.look: select',
 $$create view app.look as select * from app.item; grant select on app.look to saas_user$$),
('a view that is written through', 'app.look: delete',
 $$create view app.look as select * from app.item; grant select, delete on app.look to saas_user$$),
('a definer function that returns all rows', 'app.all_items(): call',
 $$create function app.all_items() returns setof app.item language sql security definer as 'select * from app.item'$$),
('a function that trusts an org_id', 'app.items_of(uuid): call with org_id, organization',
 $$create function app.items_of(org_id uuid) returns setof text language sql security definer as
   'select i.code from app.item i where i.org_id = items_of.org_id'$$),
('a function that tells what exists', 'app.has_item(uuid): call with item_id, item.id',
 $$create function app.has_item(item_id uuid) returns boolean language sql security definer as
   'select exists (select from app.item i where i.id = item_id)'$$),
('a function that changes rows by id', 'app.drop_item(uuid): call with item_id, item.id',
 $$create function app.drop_item(item_id uuid) returns void language sql security definer as
   'delete from app.item i where i.id = item_id'$$),
('a unique key that reveals', 'app.item: unique key item_code',
 $$create unique index item_code on app.item (code)$$),
('a unique key on an expression that reveals', 'app.item: unique key item_code',
 $$create unique index item_code on app.item (lower(code))$$),
('a foreign key without org_id', 'app.item: foreign key item_shop',
 $$alter table app.item drop constraint item_shop_id_fkey; alter table app.item add constraint item_shop foreign key (shop_id) references app.shop (id)$$),
('a cascade that deletes the other''s row', 'app.shop: cascade of deleting own rows',
 $$alter table app.item drop constraint item_shop_id_fkey;
   alter table app.item add constraint item_shop foreign key (shop_id) references app.shop (id) on delete cascade$$),
('a trigger that a cascade fires', 'app.shop: cascade of deleting own rows',
 $$create function app.clear() returns trigger language plpgsql as 'begin delete from app.event; return old; end';
   create trigger clear before delete on app.item for each row execute function app.clear()$$),
('a trigger that deletes as a superuser', 'app.item: cascade of deleting own rows',
 $$create function app.clear() returns trigger language plpgsql security definer as 'begin delete from app.event; return null; end';
   create trigger clear after delete on app.item for each statement execute function app.clear()$$),
('a trigger that changes others'' rows', 'app.item: triggers of inserting an own row',
 $$create function app.clear() returns trigger language plpgsql security definer as 'begin update app.event set body = null; return null; end';
   create trigger clear after insert on app.item for each row execute function app.clear()$$),
('a trigger that copies', 'app.log: copy of a row, select',
 $$create trigger note after insert on app.item for each row execute function app.note(); grant select on app.log to saas_user$$),
('a trigger that a temporary table leads astray', 'app.item: temporary tables in the way when inserting',
 $$create table public.log (what text); create function app.stray() returns trigger language plpgsql security definer as 'begin insert into log (what) values (''x''); return null; end';
   create trigger stray after insert on app.item for each row execute function app.stray()$$),
('a function that a temporary table leads astray', 'app.stray(): temporary tables in the way when calling',
 $$create function app.stray() returns bigint language plpgsql security definer as 'begin return (select count(*) from log); end'$$),
('a role with BYPASSRLS', 'saas_test_login: role that no policy binds',
 $$alter role saas_test_login bypassrls$$),
('what a role with BYPASSRLS reads', 'app.item: select',
 $$alter role saas_test_login bypassrls$$),
('a grant on a partition that no policy binds', 'app.event_2026: select',
 $$alter table app.event_2026 disable row level security; grant select on app.event_2026 to saas_user$$),
('a partition that is not forced', 'app.event_2025: row-level security',
 $$alter table app.event_2025 no force row level security$$),
('a materialized view', 'app.kept: select',
 $$create materialized view app.kept as select * from app.item; grant select on app.kept to saas_user$$),
('TRUNCATE', 'app.item: truncate', $$grant truncate on app.item to saas_user$$),
('TRIGGER', 'app.item: trigger made by a tenant', $$grant trigger on app.item to saas_user$$),
('REFERENCES', 'app.item: foreign key made by a tenant', $$grant references on app.item to saas_user$$),
('a sequence', 'app.item_number_seq: read a sequence', $$grant select on sequence app.item_number_seq to saas_user$$),
('a table that nobody protected', 'app.fresh: select',
 $$create table app.fresh (org_id uuid not null, body text); grant select on app.fresh to saas_anon$$),
('an owner of all', 'session: role saas_owner', $$grant saas_owner to saas_user$$),
('a policy for one mapped login', 'app.item: select as saas_test_login, owner',
 $$create policy one on app.item for select to saas_test_login using (true)$$),
('a policy for a custom role', 'app.item: select as saas_user, custom role auditor',
 $$create policy auditors on app.item for select using (saas.current_role_name() = 'auditor')$$),
('a policy for a permission of an application', 'app.item: select as saas_user, owner',
 $$create policy spies on app.item for select using (saas.has_permission('app.spy'))$$),
('a policy for a permission of an application, in a custom role', 'app.item: select as saas_user, custom role spy',
 $$create policy spies on app.item for select using (saas.has_permission('app.spy'))$$),
('a policy for a permission of an application, by an API key', 'app.item: select as saas_user, api key',
 $$create policy spies on app.item for select using (saas.has_permission('app.spy'))$$),
('a cascade that changes the other''s row', 'app.shop: cascade of updating own keys',
 $$alter table app.item drop constraint item_shop_id_fkey;
   alter table app.item add constraint item_shop foreign key (shop_id) references app.shop (id) on update cascade$$),
('a policy that is decided when the plan is made', 'app.item: plan of the other''s',
 $$create function app.my_org() returns uuid language plpgsql immutable as 'begin return saas.current_org_id(); end';
   grant execute on function app.my_org to saas_user; create policy kept on app.item for select using (org_id = app.my_org())$$),
('an upsert that takes the other''s row', 'app.item: upsert onto the other''s by code',
 $$create unique index item_code on app.item (code); create policy a on app.item for select using (true);
   create policy b on app.item for update using (true) with check (true)$$),
('a parent that shows the rows of its child', 'app.past: row of a child, select',
 $$create table app.past (id uuid not null, code text); alter table app.item inherit app.past; grant select on app.past to saas_user$$),
('numbers of a sequence', 'app.item_number_seq: numbers of a sequence', $$grant usage on sequence app.item_number_seq to saas_user$$),
('an insert that checks nothing, in a WITH', 'app.item: insert in a with',
 $$create policy anything on app.item for insert with check (true)$$),
('an insert that checks nothing, by MERGE', 'app.item: merge that inserts',
 $$create policy anything on app.item for insert with check (true)$$);

-- Every statement finds its way into a table that nothing guards.
select is(array(select a.attack
                  from unnest(array['select', 'select without a condition', 'select with an expression that fails', 'select with row_security off',
                                    'select from only', 'select of a sample', 'select by place', 'select for update', 'select for no key update',
                                    'select for share', 'select for key share', 'cursor', 'copy out of a query', 'copy in', 'insert', 'insert returning',
                                    'insert unless it exists', 'insert in a with', 'merge that inserts', 'update', 'update without a condition',
                                    'update returning', 'update returning its place', 'update from', 'update of only', 'update in a with', 'delete',
                                    'delete without a condition', 'delete returning', 'delete using', 'delete in a with', 'merge', 'upsert by id',
                                    'upsert onto the other''s by id', 'upsert by org_id, id', 'plan of the other''s', 'row-level security']) as a (attack)
                 where 'app.shop: ' || a.attack <> all (h.list)), '{}', 'no row-level security: every statement finds it')
  from public.holes('alter table app.shop disable row level security') h;

select is(public.holes(''), '{}', 'nothing is found where nothing is planted');
select ok(h.expected = any (f), h.kind) || case when not h.expected = any (f) then E'\n# ' || f::text else '' end
  from public.hole h cross join lateral public.holes(h.plant) f order by h.number;

-- Holes of pg_saas itself, found by the whole proof.
begin;
create function saas_api.hole(connection_id uuid) returns boolean language sql stable security definer set search_path = pg_catalog, pg_temp as
    $$ select exists (select from saas.connection c where c.id = hole.connection_id) $$;
grant execute on function saas_api.hole to saas_user;
create policy hole on saas.series for select using (true);
select array_agg(distinct v.object || ': ' || v.attack) as list from saas.prove_isolation() v where not v.held \gset
rollback;
select ok(:'list'::text[] @> array['saas_api.hole(uuid): call with connection_id, connection.id', 'saas.series: select'],
          'holes of pg_saas itself are found');

drop owned by saas_test_app, saas_test_login cascade;
drop role saas_test_app, saas_test_login;
select * from finish();
