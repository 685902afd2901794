-- Groups, tags, environments, features and personal connections, and how many
-- connections a plan allows.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

create schema grp;
grant usage on schema grp to public;
create table grp.person (name text primary key, user_id uuid, org_id uuid);
insert into grp.person select 'owner', (t).user_id, (t).org_id from (select tenants.found('owner') as t) f;
insert into grp.person select 'stranger', (t).user_id, (t).org_id from (select tenants.found('stranger') as t) f;
insert into grp.person
select r, tenants.join(r, o.org_id, case when r = 'second' then 'admin' else r end), o.org_id
  from grp.person o, unnest(array['admin', 'second', 'viewer']) as r where o.name = 'owner';
create function grp.call(person text, call text) returns text
language plpgsql as $$
declare
    answer text[] := (select string_to_array(tenants.answer(call.call, p.user_id, p.org_id), E'\n')
                        from grp.person p where p.name = call.person);
begin
    if answer[1] ~ '^[0-9A-Z]{5}$' and answer[3] ~ '^\[' then
        return answer[1] || ' ' || (select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                      from jsonb_array_elements(answer[3]::jsonb) e);
    end if;
    return array_to_string(answer, ' | ');
end
$$;
create function grp.connect(name text, more text default '') returns text language sql as $$
    select format('saas_api.create_connection(''prometheus'', %L, %L %s)->>''name''', connect.name,
                  jsonb_build_object('url', 'https://' || connect.name || '.example.com/metrics'), connect.more)
$$;
create function grp.id(name text) returns uuid language sql as $$
    select c.id from saas.connection c where c.name = id.name
    union all select g.id from saas.connection_group g where g.name = id.name
$$;

-- Groups

select is(grp.call('owner', $$saas_api.create_connection_group(' Sales ', 'the team''s')->>'name'$$), 'Sales', 'a group''s name is trimmed');
select is(grp.call('owner', $$saas_api.create_connection_group('sales')$$), '23505 | a group has that name already', 'its name is taken, in lower case too');
select is(grp.call('stranger', $$saas_api.create_connection_group('Sales')->>'name'$$), 'Sales', 'not for another organization');
update saas.connection_group set name = 'Theirs' where org_id = (select org_id from grp.person where name = 'stranger');
select is(grp.call('owner', $$saas_api.create_connection_group(E' \t')$$), '22023 name: must not hold control characters', 'a name of blanks');
select is(grp.call('owner', $$saas_api.create_connection_group('')$$), '22023 name: is required', 'no name');
select is(grp.call('owner', format('saas_api.create_connection_group(%L, %L)', 'x', repeat('d', 1001))),
          '22023 description: must have at most 1000 characters', 'a long description');
select is(grp.call('viewer', $$saas_api.create_connection_group('Mine')$$), 'PT403 | permission denied by the organization''s roles | manage_connections', 'a viewer makes no group');
select is(grp.call('viewer', $$(select string_agg(name || ' ' || connections, ',') from saas_api.connection_groups)$$), 'Sales 0', 'but sees those of the organization');
select is(grp.call('owner', $$saas_api.create_connection_group('Ops')->>'name'$$), 'Ops', 'another group');

select is(grp.call('owner', grp.connect('one', format(', group_id => %L', grp.id('Sales')))), 'one', 'a connection in a group');
select is(grp.call('owner', grp.connect('two', format(', group_id => %L', grp.id('Theirs')))), 'PT404 | group not found', 'not in another organization''s');
select is(grp.call('owner', grp.connect('two', $$, environment => 'staging', tags => '{"team": "crm", "tier": 1}'$$)), 'two', 'another connection');
select is(grp.call('owner', grp.connect('three', $$, environment => 'production'$$)), 'three', 'a third');
select is(grp.call('stranger', grp.connect('foreign', $$, environment => 'development'$$)), 'foreign', 'and a foreign one');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)->>''group_name''', grp.id('two'), jsonb_build_object('group_id', grp.id('Ops')))), 'Ops', 'a patch puts it in a group');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)->>''group_name''', grp.id('two'), '{"name": "two"}')), 'Ops', 'one that does not name the group leaves it there');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)', grp.id('two'), jsonb_build_object('group_id', grp.id('Theirs')))), 'PT404 | group not found', 'not another organization''s');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)', grp.id('two'), '{"group_id": "x"}')), '22023 group_id: must be a UUID or null', 'nor what is no id');
select is(grp.call('owner', format('saas_api.set_group_members(%L, %L)', grp.id('Theirs'), array[grp.id('two')])), 'PT404 | group not found', 'a foreign group takes no members');
select is(grp.call('owner', format('saas_api.set_group_members(%L, %L)', grp.id('Sales'), array[grp.id('foreign')])), 'PT404 | connection not found', 'nor a group foreign connections');
select is(grp.call('owner', format('saas_api.set_group_members(%L, %L)->>''connections''', grp.id('Sales'), array[grp.id('two'), grp.id('three')])), '2', 'the members of a group are set');
select is(grp.call('owner', $$(select jsonb_object_agg(name, group_name) from saas_api.connections)$$)::jsonb,
          '{"one": null, "two": "Sales", "three": "Sales"}', 'who is not named is in none, who was elsewhere has come');
select is(grp.call('owner', $$(select string_agg(name, ',') from saas_api.connections)$$), 'three,two,one', 'newest first');
select is(grp.call('owner', $$(select string_agg(name, ',') from saas_api.connections where tags @> '{"team": "crm"}')$$), 'two', 'filtered by a tag');
select is(grp.call('owner', format('(select string_agg(name, '','') from saas_api.connections where group_id = %L)', grp.id('Sales'))), 'three,two', 'by the group');
select is(grp.call('owner', $$(select jsonb_object_agg(name, environment_color) from saas_api.connections)$$)::jsonb,
          '{"one": null, "two": "yellow", "three": "red"}', 'environments have colours');
select is(grp.call('stranger', $$(select string_agg(environment_color, ',') from saas_api.connections)$$), 'blue', 'development is blue');
select is(grp.call('owner', format('saas_api.update_connection_group(%L, %L)->>''name''', grp.id('Sales'), '{"name": "ops"}')), '23505 | a group has that name already', 'a group cannot take another''s name');
select is(grp.call('owner', format('saas_api.update_connection_group(%L, %L)', grp.id('Sales'), '{"name": "SALES", "description": null}')) ::jsonb ->> 'description', null, 'but its own in capitals');
select is(grp.call('owner', format('saas_api.update_connection_group(%L, %L)', grp.id('Theirs'), '{"name": "x"}')), 'PT404 | group not found', 'a foreign one is not there');
select is(grp.call('viewer', format('saas_api.delete_connection_group(%L)', grp.id('SALES'))), 'PT403 | permission denied by the organization''s roles | manage_connections', 'a viewer deletes none');
select is(grp.call('owner', format('saas_api.delete_connection_group(%L)', grp.id('Theirs'))), 'PT404 | group not found', 'nor the owner a foreign one');
select is(grp.call('owner', format('saas_api.delete_connection_group(%L)->>''name''', grp.id('SALES'))), 'SALES', 'a group with members is deleted');
select is(grp.call('owner', $$(select count(*) || ' ' || count(group_id) from saas_api.connections)$$), '3 0', 'its connections stay, in none');
select results_eq($$select action from saas.audit_event where object_type = 'connection_group' and org_id = (select org_id from grp.person where name = 'owner') order by id$$,
    array['connection_group.created', 'connection_group.created', 'connection_group.members_changed', 'connection_group.updated', 'connection_group.deleted'], 'all of it is audited');

-- Features

select is(saas_private.require_features('aws', null), '{"sendingEnabled": false, "eventTracking": false, "historyStorage": false}', 'AWS has three');
select is(saas_private.require_features('aws', '{"eventTracking": true}') ->> 'eventTracking', 'true', 'each can be switched on');
select is(saas_private.require_features('prometheus', '{}'), '{}', 'other kinds have none');
select is(grp.call('owner', grp.connect('four', $$, features => '{"sendingEnabled": true}'$$)), '22023 features.sendingEnabled: is not a feature of this kind', 'which is told');
select is(grp.call('owner', format('saas_private.require_features(%L, %L)', 'aws', '{"sendingEnabled": "yes"}')), '42501 | permission denied for schema saas_private', 'a tenant does not ask the helper');
select throws_ok($$select saas_private.require_features('aws', '{"sendingEnabled": "yes"}')$$, '22023', 'invalid input', 'only true and false');
select throws_ok($$select saas_private.require_features('aws', '[]')$$, '22023', 'invalid input', 'in an object');
-- As a connection of AWS has them.
update saas.connection set features = '{"sendingEnabled": false, "eventTracking": false, "historyStorage": false}', kind = 'aws' where name = 'three';
select is(saas_private.merge_features(features, '{"historyStorage": true}'),
          '{"sendingEnabled": false, "eventTracking": false, "historyStorage": true}', 'a patch switches one by one') from saas.connection where name = 'three';
update saas.connection set features = '{}', kind = 'prometheus' where name = 'three';

-- Personal connections

select is(grp.call('admin', grp.connect('mine', $$, personal => true, secrets => '{"bearer_token": "token of the admin"}'$$)), 'mine', 'a personal connection');
select is(grp.call('owner', $$(select owner_id from saas_api.connections where is_personal)$$)::uuid, (select user_id from grp.person where name = 'admin'), 'is seen by the others as the member''s');
select is(grp.call('owner', format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "x"}'')', grp.id('mine'))), 'PT403 | the connection is another member''s own', 'not even the owner gives it secrets');
select is(grp.call('owner', format('saas_api.update_connection(%L, ''{"config": {"url": "https://mine.example.com/other"}}'')', grp.id('mine'))), 'PT403 | the connection is another member''s own', 'or uses it for something else');
select is(grp.call('owner', format('saas_api.update_connection(%L, ''{"secrets": {}}'')', grp.id('mine'))), 'PT403 | the connection is another member''s own', 'or takes them away');
select is(grp.call('owner', format('saas_api.update_connection(%L, ''{"tags": {"a": "b"}}'')->>''tags''', grp.id('mine'))), '{"a": "b"}', 'but tags it');
select is(grp.call('admin', format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "newer"}'')->>''name''', grp.id('mine'))), 'mine', 'the member gives it others');
select is(grp.call('second', grp.connect('seconds', $$, personal => true, secrets => '{"bearer_token": "token of the second"}'$$)), 'seconds', 'another member''s own');
update saas.connection_status set lease_id = gen_random_uuid(), lease_until = now() + interval '1 minute';
select is(grp.call('owner', format('saas_api.remove_member(%L)->>''message''', (select user_id from grp.person where name = 'admin'))), 'Member removed.', 'the member is removed');
select is((select count(*) from saas_private.connection_secret where connection_id = grp.id('mine')), 0::bigint, 'and the secrets destroyed');
select is(grp.call('owner', $$(select to_jsonb(c) - array['org_id'] from (select owner_id, is_active, status, last_error from saas_api.connections where name = 'mine') c)$$)::jsonb,
          '{"owner_id": null, "is_active": false, "status": "inactive", "last_error": "the member whose own connection it was has left: give it new secrets"}', 'it is the organization''s, turned off');
select is((select lease_id from saas.connection_status where connection_id = grp.id('mine')), null, 'a poll under way can store no token');
select isnt((select lease_id from saas.connection_status where connection_id = grp.id('two')), null, 'others go on');
select is((select count(*) from saas_private.connection_secret where connection_id = grp.id('seconds')), 1::bigint, 'the other member''s stay');
select is((select jsonb_object_agg(action, before ->> 'name') from saas.audit_event where action = 'connection.member_left'), '{"connection.member_left": "mine"}', 'it is audited');
select is(grp.call('owner', format('saas_api.set_connection_secrets(%L, ''{"bearer_token": "ours"}'')->>''name''', grp.id('mine'))), 'mine', 'then the organization may give it its own');
select saas.delete_user(user_id) from grp.person where name = 'second';
select is((select count(*) from saas_private.connection_secret where connection_id = grp.id('seconds')), 0::bigint, 'a deleted account''s secrets go too');
select is((select is_active from saas.connection where name = 'seconds'), false, 'and polling with them');

-- Soft disable: refresh_connections leaves them out; there is no poller to wait for here.
update saas.connection set is_active = false;
select is(grp.call('owner', 'saas_api.refresh_connections()'), '[]', 'all connections are those that are turned on');
update saas.connection set is_active = true;

-- Plans

select results_eq('select plan, value from saas.plan_limit order by 1', $$values ('free', 1::bigint), ('pro', 3), ('starter', 1)$$, 'the limits that plans begin with');
select is(grp.call('owner', 'saas_api.connection_limit()')::jsonb, '{"plan": "enterprise", "allowed": null, "connections": 5}', 'enterprise has none');
select saas.set_plan(org_id, 'pro') from grp.person where name = 'owner' limit 1;
select is(grp.call('viewer', 'saas_api.connection_limit()')::jsonb, '{"plan": "pro", "allowed": 3, "connections": 5}', 'everybody in the organization sees what is left');
select is(grp.call('owner', grp.connect('six')), 'PT402 | the plan allows no more connections | {"limit": "connections", "allowed": 3, "connections": 5}', 'beyond the plan nothing is connected');
select is(grp.call('owner', '(select count(*) from saas_api.connections)'), '5', 'what is there stays');
select is(grp.call('owner', grp.connect('one')), 'PT402 | the plan allows no more connections | {"limit": "connections", "allowed": 3, "connections": 5}', 'nor is it told of what is connected');
select is(grp.call('owner', format('saas_api.delete_connection(%L, %L)->>''name''', grp.id(name), name)), name, 'make room: ' || name) from unnest(array['seconds', 'mine', 'three']) name;
select is(grp.call('owner', grp.connect('six')), 'six', 'with room it is');
select is(grp.call('owner', format('saas_api.set_connection_active(%L, false)->>''status''', grp.id('six'))), 'inactive', 'one that is turned off');
select is(left(grp.call('owner', grp.connect('seven')), 5), 'PT402', 'counts still');
select is(grp.call('stranger', grp.connect('seven')), 'seven', 'the limit is each organization''s own');
set role saas_operator;
select saas.set_plan_limit('professional', 'connections', 4);
reset role;
select is(grp.call('owner', grp.connect('eight')), 'eight', 'the operator moves it');
select is(left(grp.call('owner', grp.connect('nine')), 5), 'PT402', 'to there');
select saas.set_plan_limit('pro', 'connections', null);
select is(grp.call('owner', grp.connect('nine')), 'nine', 'or takes it away');
select throws_ok(format('select saas.set_plan_limit(%L, %L, %s)', p, n, v), '22023', null, format('no limit: %s %s %s', p, n, v))
  from (values ('gold', 'connections', '1'), ('pro', 'members', '1'), ('pro', null, '1'), ('pro', 'connections', '-1')) as t (p, n, v);
select is(left(grp.call('owner', $$saas.set_plan_limit('free', 'connections', 9)$$), 5), '42501', 'a tenant does not');
select is((select jsonb_agg(after) from (select after from saas.audit_event where action = 'plan.limit_changed' order by id) e), '[{"connections": 4}, {"connections": null}]', 'it is audited');

-- How often a plan lets poll

select is((select string_agg(name || coalesce(' ' || min_poll_interval, ''), ', ' order by name) from saas.plan), 'enterprise, free 00:01:00, pro 00:01:00, starter 00:01:00', 'what plans begin with');
set role saas_operator;
select saas.set_plan_poll_interval('professional', '10 minutes');
reset role;
create function grp.interval_of(name text) returns text language sql as $$
    select c.poll_interval::text from saas.connection c where c.name = interval_of.name
$$;
select is(grp.call('owner', grp.connect('slow', $$, poll_interval => '9 minutes'$$)), '22023 poll_interval: must be between 00:10:00 and 31 days', 'more often than the plan allows is refused');
select is(grp.call('owner', grp.connect('slow', $$, poll_interval => '10 minutes'$$)), 'slow', 'as often is not');
select is(grp.call('owner', grp.connect('default')), 'default', 'who gives none');
select is(grp.interval_of('default'), '00:10:00', 'has the plan''s');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)', grp.id('slow'), '{"poll_interval": "2 minutes"}')), '22023 poll_interval: must be between 00:10:00 and 31 days', 'nor is it changed to that');
select is(grp.call('owner', $$saas_api.create_connection_token('prometheus', poll_interval => '2 minutes')$$), '22023 poll_interval: must be between 00:10:00 and 31 days', 'nor by a token');
select is(grp.call('stranger', grp.connect('often', $$, poll_interval => '1 minute'$$)), 'often', 'another organization has its own plan');
select is(grp.interval_of('one'), '00:01:00', 'what is there keeps its interval');
update saas.connection_status set status = 'active', last_polled_at = now(), last_success_at = now() - interval '12 minutes', next_poll_at = 'infinity' where connection_id = grp.id('one');
select is(grp.call('owner', format('(select health from saas_api.connections where id = %L)', grp.id('one'))), 'ok', 'and is well when it is polled as the plan says');
select is(grp.call('owner', format('saas_api.set_connection_active(%L, %L)->>''is_active''', grp.id('one'), on_off)), on_off, 'turned ' || on_off) from unnest(array['false', 'true']) as on_off;
select is(next_poll_at - last_polled_at, interval '10 minutes', 'off and on again is no way around it') from saas.connection_status where connection_id = grp.id('one');
select saas.set_plan_poll_interval('pro', null);
select is(grp.call('owner', format('(select health || '': '' || health_reason from saas_api.connections where id = %L)', grp.id('one'))), 'degraded: no poll for a while', 'without a floor of the plan''s it is late');
select is(grp.call('owner', format('saas_api.update_connection(%L, %L)->>''poll_interval''', grp.id('slow'), '{"poll_interval": "2 minutes"}')), '00:02:00', 'and what was refused is not');
select throws_ok(format('select saas.set_plan_poll_interval(%L, %L)', p, i), '22023', null, format('no floor: %s %s', p, i))
  from (values ('gold', '1 minute'), (null, '1 minute'), ('pro', '0'), ('pro', '-1 minute'), ('pro', '32 days')) as t (p, i);
select is(left(grp.call('owner', $$saas.set_plan_poll_interval('free', '1 second')$$), 5), '42501', 'a tenant sets none');
select is((select string_agg(coalesce(after ->> 'min_poll_interval', 'none'), ' ' order by id) from saas.audit_event where action = 'plan.poll_interval_changed'), '00:10:00 none', 'it is audited, too');

select * from finish();
