-- Saved views: one's own and shared ones.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
create schema sv;
create table sv.person (name text primary key, user_id uuid, org_id uuid);
insert into sv.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into sv.person select n, tenants.join(n, p.org_id, 'viewer'), p.org_id from sv.person p, unnest(array['viewer', 'other', 'blind']) n where p.name = 'owner';
select org_id as org from sv.person where name = 'owner' \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'org', 'nothing', false, '{}', 5);
update saas.membership m set role = 'nothing' from sv.person p where p.name = 'blind' and m.user_id = p.user_id;
create function sv.ask(person text, call text) returns text
language sql as $$ select replace(tenants.answer(call, p.user_id, p.org_id), E'\n', ' | ') from sv.person p where p.name = person $$;
create function sv.list(person text) returns text
language sql as $$ select sv.ask(person, $q$(select string_agg(name || case when is_shared then '*' else '' end, ',' order by is_shared, name) from saas_api.saved_views)$q$) $$;
create function sv.id(view_name text) returns uuid
language sql as $$ select id from saas_private.saved_view where name = view_name $$;

select is(sv.ask('viewer', $$saas_api.save_view(' Mine ', '{"metrics": ["hits"], "range": "24 hours", "group_by": ["connection"]}')$$)::jsonb - '{id,created_at,updated_at}'::text[],
          (select jsonb_build_object('org_id', org_id, 'name', 'Mine', 'owner_id', user_id, 'is_shared', false, 'selection', '{"metrics": ["hits"], "range": "24 hours", "group_by": ["connection"]}'::jsonb, 'created_by', user_id)
             from sv.person where name = 'viewer'), 'a view of one''s own');
select is(sv.ask('owner', $$saas_api.save_view('Ours', '{"fn": "p95", "time_zone": "Europe/Berlin", "since": "2026-01-01", "until": "2026-02-01", "bucket": "1 hour", "labels": {}, "tags": {"a": "b"},
    "connection_ids": ["ffffffff-ffff-ffff-ffff-fffffffffffe"], "group_ids": [], "environments": ["production"]}', true) ->> 'is_shared'$$), 'true', 'a shared one');
select is(sv.ask('owner', $$saas_api.save_view('Mine', '{}') ->> 'name'$$), 'Mine', 'two members have a name each');
select is(sv.list('viewer'), 'Mine,Ours*', 'one''s own and what is shared');
select is(sv.list('other'), 'Ours*', 'another member has none');
select is(sv.list('stranger'), null, 'nor has another organization');
select is(sv.list('blind'), null, 'nor who may not see dashboards');
select is(sv.ask('viewer', $$saas_api.save_view('MINE', '{"fn": "max"}') ->> 'id'$$), sv.id('MINE')::text, 'saving again replaces it');
select is((select count(*) from saas_private.saved_view where lower(name) = 'mine'), 2::bigint, 'and leaves the others alone');
select is(sv.ask('viewer', $$saas_api.save_view('Ours', '{}', true)$$), 'PT403 | permission denied by the organization''s roles | manage_connections', 'a viewer shares nothing');
select is(sv.ask('viewer', format('saas_api.delete_saved_view(%L)', sv.id('Ours'))), 'PT403 | permission denied by the organization''s roles | manage_connections', 'nor deletes what is shared');
select is(sv.ask('blind', $$saas_api.save_view('x', '{}')$$), 'PT403 | permission denied by the organization''s roles | view_dashboard', 'view_dashboard is needed');
select is(sv.ask('other', format('saas_api.delete_saved_view(%L)', sv.id('MINE'))), 'PT404 | view not found', 'what is somebody''s own is not found');
select is(sv.ask('owner', format('saas_api.delete_saved_view(%L)', sv.id('MINE'))), 'PT404 | view not found', 'by the owner neither');
select is(sv.ask('stranger', format('saas_api.delete_saved_view(%L)', sv.id('Ours'))), 'PT404 | view not found', 'a foreign one neither');
select is(sv.ask('owner', $$saas_api.save_view('Ours', '{"fn": "sum"}', true) -> 'selection' ->> 'fn'$$), 'sum', 'the shared one is replaced');
select is(sv.ask('owner', call), '22023 | invalid input | [{"field": "' || field || '", "message": "' || problem || '"}]', call)
  from (values ($$saas_api.save_view('', '{}')$$, 'name', 'is required'), ($$saas_api.save_view('x', null)$$, 'selection', 'must be an object'), ($$saas_api.save_view('x', '[]')$$, 'selection', 'must be an object'),
               ($$saas_api.save_view('x', '{"colour": 1}')$$, 'selection.colour', 'is not a known key'), ($$saas_api.save_view('x', '{"metrics": "hits"}')$$, 'selection.metrics', 'must be an array of texts'),
               ($$saas_api.save_view('x', '{"metrics": [1]}')$$, 'selection.metrics', 'must be an array of texts'), ($$saas_api.save_view('x', '{"connection_ids": ["x"]}')$$, 'selection.connection_ids', 'must be an array of ids'),
               ($$saas_api.save_view('x', '{"range": "-1 day"}')$$, 'selection.range', 'must be an interval above 0, such as 24 hours'), ($$saas_api.save_view('x', '{"bucket": "soon"}')$$, 'selection.bucket', 'must be an interval above 0, such as 24 hours'),
               ($$saas_api.save_view('x', '{"since": "infinity"}')$$, 'selection.since', 'must be a time'), ($$saas_api.save_view('x', '{"tags": []}')$$, 'selection.tags', 'must be an object'),
               ($$saas_api.save_view('x', '{"time_zone": "Mars"}')$$, 'time_zone', 'must be the name of a time zone'),
               ($$saas_api.save_view('x', jsonb_build_object('labels', jsonb_build_object('a', repeat('x', 70000))))$$, 'selection', 'must have at most 65536 bytes')) v (call, field, problem);
insert into saas_private.saved_view (org_id, owner_id, name, selection) select p.org_id, p.user_id, 'v' || n, '{}' from sv.person p, generate_series(1, 99) n where p.name = 'viewer';
select is(split_part(sv.ask('viewer', $$saas_api.save_view('One more', '{}')$$), ' | ', 3), '[{"field": "name", "message": "there are at most 100 views of one''s own, and 100 shared ones"}]', 'there is an end');
select is(sv.ask('viewer', $$saas_api.save_view('v1', '{"fn": "min"}') #>> '{selection,fn}'$$), 'min', 'what is there can still be replaced');
delete from saas.membership m using sv.person p where p.name = 'viewer' and m.user_id = p.user_id;
select is((select string_agg(name, ',' order by name) from saas_private.saved_view), 'Mine,Ours', 'a member''s views go with the member');
select is(sv.ask('owner', format('saas_api.delete_saved_view(%L) ->> ''name''', sv.id('Ours'))), 'Ours', 'a shared one is deleted');
select is(sv.ask('owner', format('saas_api.delete_saved_view(%L) ->> ''name''', sv.id('Mine'))), 'Mine', 'and one''s own');
select results_eq($$select action, after ->> 'name', before #>> '{selection,fn}' from saas.audit_event where object_type = 'saved_view' order by id$$,
    $$values ('saved_view.created', 'Ours', null), ('saved_view.updated', 'Ours', 'p95'), ('saved_view.deleted', null, 'sum')$$, 'what is shared is in the audit');
select * from finish();
