-- The audit: who did what, append-only, without secrets, and sealed by a chain
-- that shows whatever is changed behind it.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

select * from tenants.found('ada') \gset ada_
select * from tenants.found('bob') \gset bob_
select tenants.join('vera', :'ada_org_id', 'viewer') as vera_id, tenants.join('max', :'ada_org_id', 'member') as max_id \gset

create function pg_temp.last(org uuid) returns saas.audit_event
language sql as $$ select e from saas.audit_event e where e.org_id = last.org order by e.id desc limit 1 $$;
create function pg_temp.actions(org uuid) returns text
language sql as $$ select string_agg(e.action, ' ' order by e.id) from saas.audit_event e where e.org_id = actions.org $$;

-- Who did it

begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
set local request.headers = '{"x-request-id": "req-1"}';
select saas.set_header('X-Request-Id', 'req-1');
select saas_private.audit('thing.made', 'thing', 'x1', '{"n": 1}', '{"n": 2, "password": "planted-secret"}');
commit;
select (pg_temp.last(:'ada_org_id')).* \gset event_
select is(:'event_actor_id'::uuid, :'ada_user_id'::uuid, 'an event names its user');
select is(:'event_org_id'::uuid, :'ada_org_id'::uuid, 'and the identity''s organization');
select is(:'event_source'::text, 'superuser', 'what the identity came from');
select is(:'event_login'::text, session_user::text, 'the database login behind it');
select is(:'event_request_id'::text, 'req-1', 'and the request');
select is(:'event_action'::text || ' ' || :'event_object_type' || ' ' || :'event_object_id', 'thing.made thing x1', 'what was done to what');
select is(:'event_before'::jsonb, '{"n": 1}', 'what it was');
select is(:'event_after'::jsonb, '{"n": 2, "password": "(masked)"}', 'and what it became, without secrets');
select saas_private.audit('thing.made', 'thing', null);
select is((pg_temp.last('00000000-0000-0000-0000-000000000000')).source, 'database',
          'without an identity it is the platform''s, done by a database login');
select throws_ok($$select saas_private.audit('Thing', 'thing', null)$$, '23514', null, 'an action is object.verb');
select throws_ok($$select saas_private.audit('thing.made', '', null)$$, '23514', null, 'of an object that has a type');
select throws_ok($$select saas_private.audit(null, 'thing', null)$$, '22023', 'an event of the audit needs an action and an object type',
                 'and not missing');
begin;
select saas_private.audit('thing.unmade', 'thing', 'x1', null, null, :'ada_org_id');
rollback;
select is((pg_temp.last(:'ada_org_id')).action, 'thing.made', 'what is rolled back has not happened');

-- Secrets

select is(saas_private.mask_secrets(given::jsonb), expected::jsonb, title)
  from (values
    ('{"password": "x", "API-Key": 5, "n": 5}', '{"password": "(masked)", "API-Key": "(masked)", "n": 5}', 'by the name of the member'),
    ('{"a": [{"clientSecret": {"deep": ["x"]}}, 1]}', '{"a": [{"clientSecret": "(masked)"}, 1]}', 'at any depth and whole'),
    ('{"requires_token": true, "token": null}', '{"requires_token": true, "token": null}', 'but booleans and null'),
    ('{"a": {"token": [], "b": "x"}, "c": "y"}', '{"a": {"token": "(masked)", "b": "x"}, "c": "y"}', 'and nothing beside it'),
    ('["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"]', '["(masked)"]', 'a JWT'),
    ('["key saas_0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e"]', '["(masked)"]', 'an API key in a sentence'),
    ('["https://user:pass@example.com/"]', '["(masked)"]', 'a URL with a password'),
    ('["https://example.com:8080/a@b"]', '["https://example.com:8080/a@b"]', 'and no other URL'),
    ('["-----BEGIN PRIVATE KEY-----\nMII"]', '["(masked)"]', 'a private key'),
    ('["$2a$11$abcdefghijklmnopqrstuvabcdefghijklmnopqrstuvabcdefghijkl"]', '["(masked)"]', 'a password''s hash'),
    ('["AKIAIOSFODNN7EXAMPLE", "Bearer abcdefghijklmnopqrstuvwxyz"]', '["(masked)", "(masked)"]', 'keys of others'),
    ('["pXq9vH2kL0aZ7bN4mC8dR1sT5uW3yE6fG0hJ2kL4mN6"]', '["(masked)"]', 'a long random token'),
    ('["01a1ff1b-10e8-77af-925f-25a1969a47e9", "2026-11-21 17:15:26+00", "Ada Example"]',
     '["01a1ff1b-10e8-77af-925f-25a1969a47e9", "2026-11-21 17:15:26+00", "Ada Example"]', 'no id, time or name'),
    ('{"saas_0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j": 1}', '{"(masked)": 1}', 'in a name too'),
    ('"saas_0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j"', '"(masked)"', 'in a scalar too'),
    ('5', '5', 'a number stays'), ('null', 'null', 'null too'), ('[]', '[]', 'an empty array'), ('{}', '{}', 'an empty object')
  ) as t (given, expected, title);
select is(saas_private.mask_secrets(to_jsonb(saas_private.seal_for_platform('x', 'p', 'c'))), '"(masked)"',
          'a sealed value is known by its shape');
select is(saas_private.mask_secrets(to_jsonb(repeat('word ', 1000))) #>> '{}', repeat('word ', 40) || '... (5000 bytes)',
          'a long string shows its beginning');
select is(saas_private.mask_secrets(jsonb_build_object('a', jsonb_agg(repeat('word ', 100)), 'b', 1)) #- '{a,bytes}',
          '{"a": {"summarized": true}, "b": 1}', 'of a large value the large members show their size: they hide nothing beside them')
  from generate_series(1, 100);
select is(saas_private.mask_secrets(jsonb_build_object('a', jsonb_agg(repeat('word ', 10)), 'b', 1, 'password', 'planted-secret', 't', repeat('word ', 100000)))
              #- '{a,bytes}', jsonb_build_object('a', '{"summarized": true}'::jsonb, 'b', 1, 'password', '(masked)', 't', repeat('word ', 40) || '... (500000 bytes)'),
          'of a very large one too')
  from generate_series(1, 10000);
select is(saas_private.mask_secrets(jsonb_object_agg('saas_0a1b2c3d4e5f6g7h8i9j' || n, 'planted-secret')) #>> '{names,49}', '(masked)',
          'of very many members some names, and no secret in them')
  from generate_series(1, 5000) n;
select is(saas_private.mask_secrets(jsonb_agg(n)) - 'bytes', '{"summarized": true, "elements": 100000}', 'of an array the number')
  from generate_series(1, 100000) n;
select is(saas_private.mask_secrets((repeat('[', 6000) || repeat(']', 6000))::jsonb) - 'bytes', '{"summarized": true, "elements": 1}', 'depth does not matter');
select cmp_ok(pg_column_size(saas_private.mask_secrets(v)), '<=', 8192, 'what is left is small')
  from (select jsonb_object_agg(n, repeat('x ', 20)) from generate_series(1, 999) n
        union all select jsonb_object_agg(n, jsonb_build_object('a', repeat('x ', 400))) from generate_series(1, 900) n
        union all select to_jsonb(10::numeric ^ 100000)) as t (v);

-- Nobody changes it

create function pg_temp.refusal(role text, statement text) returns text
language plpgsql as $$
begin
    execute format('set local role %I', refusal.role);
    execute refusal.statement;
    reset role;
    return 'done';
exception when others then
    return sqlstate;
end
$$;
select is(pg_temp.refusal(r.role, format(s.statement, t.name)), '42501', format('%s: %s', r.role, format(s.statement, t.name)))
  from unnest(array['saas_owner', 'saas_service', 'saas_poller', 'saas_operator', 'saas_user', 'saas_anon']) as r (role),
       (values ('update %s set org_id = org_id'), ('delete from %s'), ('truncate %s')) as s (statement),
       (values ('saas.audit_event'), ('saas_private.audit_seal')) as t (name);
select is(pg_temp.refusal(session_user, format(s.statement, t.name)), 'PT403', format('not even a superuser: %s', format(s.statement, t.name)))
  from (values ('update %s set org_id = org_id'), ('delete from %s'), ('truncate %s')) as s (statement),
       (values ('saas.audit_event'), ('saas_private.audit_seal')) as t (name);
set session_replication_role = replica;
select is(pg_temp.refusal(session_user, 'delete from saas.audit_event'), 'PT403', 'nor with triggers off for replication');
reset session_replication_role;
select is(pg_temp.refusal('saas_owner', format('insert into saas.audit_event (org_id, source, login, action, object_type) values (%L, ''database'', ''x'', ''a.b'', ''a'')', :'ada_org_id')),
          '42501', 'a definer function of saas_owner appends through audit() only');

-- Who reads it

create function pg_temp.seen(person uuid, org uuid, query text) returns text
language plpgsql as $$
declare
    result text;
begin
    perform saas.assume_identity(person, org);
    set local session authorization saas_user;
    execute query into result;
    reset session authorization;
    return result;
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
begin;
select pg_temp.seen(:'vera_id', :'ada_org_id', 'select count(*) > 0 from saas_api.audit_log') as viewer_log \gset
select pg_temp.seen(:'vera_id', :'ada_org_id', 'select bool_and(summary is not null) from saas_api.activity_feed') as viewer_feed \gset
select pg_temp.seen(:'vera_id', :'ada_org_id', 'select count(*) from saas.audit_event') as viewer_table \gset
rollback;
begin;
select pg_temp.seen(:'max_id', :'ada_org_id', 'select count(*) from saas_api.audit_log') as member_log \gset
select pg_temp.seen(:'max_id', :'ada_org_id', 'select saas_api.verify_audit()') as member_verify \gset
select pg_temp.seen(:'max_id', :'ada_org_id', 'select saas_api.audit_checkpoint()') as member_point \gset
rollback;
begin;
select pg_temp.seen(:'ada_user_id', :'ada_org_id', 'select string_agg(action, '' '' order by id) from saas_api.audit_log') as owner_log \gset
select pg_temp.seen(:'ada_user_id', :'ada_org_id', $$select summary from saas_api.activity_feed where action = 'organization.created'$$) as owner_feed \gset
select pg_temp.seen(:'ada_user_id', :'ada_org_id', 'select count(*) from saas_api.activity_feed where org_id <> saas.current_org_id()') as foreign_feed \gset
rollback;
select is(:'viewer_feed'::text, 'true', 'the feed is for holders of view_dashboard');
select is(:'owner_log'::text, 'organization.created user.confirmed thing.made', 'the log shows the organization''s events');
select is(:'owner_feed'::text, 'The operator created organization Ada Works', 'the feed says it in a sentence');
select is(:'foreign_feed'::text, '0', 'and nothing of others');
select is(:'member_log'::text, (select case when 'view_reports' = any (b.permissions) then '3' else '0' end from saas.builtin_roles() b where b.name = 'member'),
          'the log needs view_reports');
select isnt(:'viewer_log'::text, '', 'a viewer asks');
begin;
select saas_private.audit('thing.made', 'thing', null, null, null, :'ada_org_id');
update saas.role set is_builtin = is_builtin where false;
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'ada_org_id', 'looker', false, array['view_dashboard'], 15);
update saas.membership set role = 'looker' where user_id = :'max_id';
select pg_temp.seen(:'max_id', :'ada_org_id', 'select (select count(*) from saas_api.audit_log) + (select count(*) from saas.audit_event)') as looker_log,
       pg_temp.seen(:'max_id', :'ada_org_id', 'select count(*) from saas_api.activity_feed') as looker_feed,
       pg_temp.seen(:'max_id', :'ada_org_id', 'select saas_api.verify_audit()') as looker_verify,
       pg_temp.seen(:'max_id', :'ada_org_id', 'select saas_api.audit_checkpoint()') as looker_point \gset
rollback;
select is(tenants.answer('saas_api.verify_audit()'), E'PT401\nAccess token required', 'who is not signed in verifies nothing');
select is(tenants.answer('saas_api.audit_checkpoint()'), E'PT401\nAccess token required', 'and has nothing to keep');
begin;
select matches(tenants.answer($$saas_api.verify_audit('{"org_id": 1}')$$, :'ada_user_id', :'ada_org_id'), '^22023\ninvalid input', 'a checkpoint is looked at');
rollback;
select is(:'looker_log'::text, '0', 'without view_reports there is no log');
select is(:'looker_feed'::text, '4', 'but a feed');
select is(:'looker_verify'::text || ' ' || :'looker_point', 'PT403 permission denied by the organization''s roles PT403 permission denied by the organization''s roles', 'and nothing to verify');

-- The chain

call saas.seal_audit();
select is(saas.verify_audit(:'ada_org_id')::text, '(t,1,3,3,0,,,)', 'sealed events are verified');
select is((select count(*) from saas_private.audit_seal s where s.org_id = :'bob_org_id'), 2::bigint, 'each organization has a chain');
select is((saas.verify_audit(null)).is_intact, true, 'and so has the platform');
select saas_private.audit('thing.made', 'thing', n::text, null, jsonb_build_object('n', n), :'ada_org_id') from generate_series(4, 10) as n;
select is(saas.verify_audit(:'ada_org_id')::text, '(t,1,3,3,7,,,)', 'what is not sealed yet is counted');
call saas.seal_audit();
select is(saas.verify_audit(:'ada_org_id')::text, '(t,1,10,10,0,,,)', 'sealing goes on where it was');
select is((select array_agg(e.object_id order by s.sequence) from saas_private.audit_seal s join saas.audit_event e on e.id = s.event_id
            where s.org_id = :'ada_org_id' and s.sequence > 3), array['4', '5', '6', '7', '8', '9', '10'], 'in their order');
select pg_current_xact_id_if_assigned() is null as idle \gset
call saas.seal_audit();
select is(saas.verify_audit(:'bob_org_id')::text, '(t,1,2,2,0,,,)', 'sealing again changes nothing');
begin;
select throws_ok('call saas.seal_audit()', '2D000', 'saas.seal_audit cannot run inside a transaction block', 'sealing commits, so it begins nothing');
rollback;

-- What is changed is named.  Each by a superuser who turns the triggers off, and undone.

create function pg_temp.verdict(org uuid, checkpoint jsonb default null) returns text
language sql as $$
    select concat_ws('|', v.is_intact, v.broken_sequence, (select e.object_id from saas.audit_event e where e.id = v.event_id and e.org_id = verdict.org), v.problem)
      from saas.verify_audit(verdict.org, verdict.checkpoint) v $$;
create procedure pg_temp.open_the_tables()
language plpgsql as $$
begin
    alter table saas.audit_event disable trigger all;
    alter table saas_private.audit_seal disable trigger all;
end
$$;
select saas.audit_checkpoint(:'ada_org_id') as point \gset
select is(pg_temp.verdict(:'ada_org_id', :'point'), 't', 'the chain runs through a checkpoint');

begin;
call pg_temp.open_the_tables();
update saas.audit_event set after = '{"n": 50}' where org_id = :'ada_org_id' and object_id = '5';
select pg_temp.verdict(:'ada_org_id') as changed \gset
rollback;
select is(:'changed'::text, 'f|5|5|the entry was altered, inserted or moved', 'a changed event');

create function pg_temp.verdict_after(statement text, org uuid) returns text
language plpgsql as $$
begin
    call pg_temp.open_the_tables();
    execute verdict_after.statement;
    raise exception using errcode = 'XX999', message = pg_temp.verdict(verdict_after.org);
exception when sqlstate 'XX999' then
    return sqlerrm;
end
$$;
select matches(pg_temp.verdict_after(format($$update saas.audit_event set %s = %s where org_id = %L and object_id = '5'$$, c.name, c.value, :'ada_org_id'),
                                     :'ada_org_id'), '^f\|5\|5\|the entry was altered', format('a changed %s', c.name))
  from (values ('at', 'at + interval ''1 microsecond'''), ('tx', '''1'''), ('actor_id', 'saas.uuidv7()'), ('source', '''login'''),
               ('api_key_id', 'saas.uuidv7()'), ('session_id', 'saas.uuidv7()'), ('login', '''x'''), ('ticket_id', 'saas.uuidv7()'),
               ('action', '''a.b'''), ('object_type', '''a'''), ('before', '''{}'''), ('after', 'null'),
               ('ip', '''192.0.2.1'''), ('request_id', '''x''')) as c (name, value);
select matches(pg_temp.verdict_after(format($$update saas.audit_event set object_id = 'five' where org_id = %L and object_id = '5'$$, :'ada_org_id'),
                                     :'ada_org_id'), '^f\|5\|five\|', 'a changed object_id');
select is(pg_temp.verdict_after(format($$update saas_private.audit_seal set %s where org_id = %L and sequence = 5$$, c.change, :'ada_org_id'),
                                :'ada_org_id'), 'f|5|5|the entry ' || c.problem, format('a seal with %s', c.change))
  from (values ('sealed_at = sealed_at + interval ''1 second''', 'was altered, inserted or moved'),
               ('hash = sha256(hash)', 'was altered, inserted or moved'),
               ('key_version = 9', 'names a key that there is not')) as c (change, problem);

begin;
call pg_temp.open_the_tables();
delete from saas.audit_event where org_id = :'ada_org_id' and object_id = '5';
select pg_temp.verdict(:'ada_org_id') as deleted \gset
rollback;
select is(:'deleted'::text, 'f|5|the event is missing', 'a deleted event');

begin;
call pg_temp.open_the_tables();
delete from saas.audit_event where org_id = :'ada_org_id' and object_id = '5';
delete from saas_private.audit_seal where org_id = :'ada_org_id' and sequence = 5;
select pg_temp.verdict(:'ada_org_id') as deleted \gset
rollback;
select is(:'deleted'::text, 'f|5|the entry is missing', 'with its seal');

begin;
call pg_temp.open_the_tables();
delete from saas.audit_event where org_id = :'ada_org_id' and object_id = '5';
delete from saas_private.audit_seal where org_id = :'ada_org_id' and sequence = 5;
update saas_private.audit_seal set sequence = sequence - 1 where org_id = :'ada_org_id' and sequence = 6;
update saas_private.audit_seal set sequence = sequence - 1 where org_id = :'ada_org_id' and sequence = 7;
update saas_private.audit_seal set sequence = sequence - 1 where org_id = :'ada_org_id' and sequence = 8;
update saas_private.audit_seal set sequence = sequence - 1 where org_id = :'ada_org_id' and sequence = 9;
update saas_private.audit_seal set sequence = sequence - 1 where org_id = :'ada_org_id' and sequence = 10;
update saas_private.audit_chain set sequence = 9 where org_id = :'ada_org_id';
select pg_temp.verdict(:'ada_org_id') as head \gset
update saas_private.audit_chain set sequence = 10 where org_id = :'ada_org_id';
select pg_temp.verdict(:'ada_org_id') as closed \gset
rollback;
select is(:'head'::text, 'f|9|the head of the chain was altered', 'a head that was counted down');
select is(:'closed'::text, 'f|5|6|the entry was altered, inserted or moved', 'a gap that was closed');

begin;
call pg_temp.open_the_tables();
update saas_private.audit_seal set sequence = 1000 where org_id = :'ada_org_id' and sequence = 4;
update saas_private.audit_seal set sequence = 4 where org_id = :'ada_org_id' and sequence = 5;
update saas_private.audit_seal set sequence = 5 where org_id = :'ada_org_id' and sequence = 1000;
select pg_temp.verdict(:'ada_org_id') as moved \gset
rollback;
select is(:'moved'::text, 'f|4|5|the entry was altered, inserted or moved', 'events in another order');

begin;
call pg_temp.open_the_tables();
insert into saas.audit_event (org_id, tx, source, login, action, object_type, object_id) values (:'ada_org_id', '3', 'database', 'x', 'a.b', 'a', 'forged');
select pg_temp.verdict(:'ada_org_id') as inserted \gset
insert into saas_private.audit_seal (org_id, sequence, event_id, sealed_at, key_version, hash)
select e.org_id, 11, e.id, now(), 1, sha256('x') from saas.audit_event e where e.object_id = 'forged';
select pg_temp.verdict(:'ada_org_id') as sealed \gset
rollback;
select is(:'inserted'::text, 'f|forged|the event was inserted behind the chain''s back', 'an event dated back');
select is(:'sealed'::text, 'f|11|forged|the entry was altered, inserted or moved', 'and one with a seal');

begin;
call pg_temp.open_the_tables();
insert into saas.audit_event (org_id, tx, source, login, action, object_type, object_id) values (:'ada_org_id', '18446744073709551000', 'database', 'x', 'a.b', 'a', 'later');
select pg_temp.verdict(:'ada_org_id') as inserted \gset
rollback;
select is(:'inserted'::text, 'f|later|the event was inserted behind the chain''s back', 'an event of a transaction to come');
begin;
select saas_private.audit('a.b', 'a', 'now', null, null, :'ada_org_id');
select pg_temp.verdict(:'ada_org_id') as own \gset
rollback;
select is(:'own'::text, 't', 'but not one of this very transaction');

begin;
call pg_temp.open_the_tables();
delete from saas.audit_event where org_id = :'ada_org_id' and object_id in ('9', '10');
delete from saas_private.audit_seal where org_id = :'ada_org_id' and sequence > 8;
select pg_temp.verdict(:'ada_org_id') as cut \gset
rollback;
select is(:'cut'::text, 'f|9|the entry is missing', 'an end that was cut off');

begin;
delete from saas_private.audit_chain where org_id = :'ada_org_id';
select pg_temp.verdict(:'ada_org_id') as headless \gset
rollback;
select matches(:'headless'::text, '^f\|1\|', 'a head that is gone');

-- Who cuts off the end and puts back the head of that time deceives all but the checkpoint.
create temp table old_head as select * from saas_private.audit_chain where org_id = :'ada_org_id';
select saas_private.audit('thing.made', 'thing', 'x11', null, null, :'ada_org_id');
call saas.seal_audit();
select saas.audit_checkpoint(:'ada_org_id') as later_point \gset
select is(pg_temp.verdict(:'ada_org_id', :'point'), 't', 'an older checkpoint still holds');
begin;
call pg_temp.open_the_tables();
delete from saas.audit_event where org_id = :'ada_org_id' and object_id = 'x11';
delete from saas_private.audit_seal where org_id = :'ada_org_id' and sequence = 11;
update saas_private.audit_chain c set sequence = o.sequence, hash = o.hash, mac = o.mac from old_head o where c.org_id = o.org_id;
select pg_temp.verdict(:'ada_org_id') as unseen, pg_temp.verdict(:'ada_org_id', :'later_point') as seen \gset
rollback;
select is(:'unseen'::text, 't', 'a chain put back to what it was is intact in itself');
select is(:'seen'::text, 'f|11|the entry of the checkpoint is missing', 'the checkpoint tells');
begin;
update saas_private.audit_chain c set sequence = o.sequence, hash = o.hash, mac = o.mac from old_head o where c.org_id = o.org_id;
select pg_temp.verdict(:'ada_org_id') as put_back \gset
rollback;
select is(:'put_back'::text, 'f|11|the entry was inserted, or the head of the chain put back', 'an old head alone is seen');

select throws_ok(format('select saas.verify_audit(%L, %L)', :'ada_org_id', checkpoint), '22023', null, title)
  from (values ('{}'::jsonb, 'no checkpoint'), ('[]', 'nor an array'), (:'point'::jsonb || '{"org_id": "x"}', 'one of another organization'),
               (:'point'::jsonb || '{"sequence": 8}', 'one that was changed'),
               (:'point'::jsonb || jsonb_build_object('hash', repeat('0', 64)), 'in its hash'),
               (:'point'::jsonb || '{"at": "2020-01-01T00:00:00+00:00"}', 'in its time'),
               (:'point'::jsonb || '{"at": "yesterday"}', 'a time that is none'),
               (:'point'::jsonb || '{"at": "2026-02-31T00:00:00+00:00"}', 'a day that is none'),
               (:'point'::jsonb || '{"key_version": 7}', 'of a key that there is not')) as c (checkpoint, title);
select throws_ok(format('select saas.verify_audit(%L, %L)', :'bob_org_id', :'point'::jsonb || jsonb_build_object('org_id', :'bob_org_id')),
                 '22023', 'the checkpoint is not one of this audit', 'or relabelled');

-- Sealing does not build on what was tampered with.
begin;
create temp table kept_head as select * from saas_private.audit_chain where org_id = :'ada_org_id';
update saas_private.audit_chain set hash = sha256('forged') where org_id = :'ada_org_id';
commit;
select saas_private.audit('thing.made', 'thing', 'x12', null, null, :'ada_org_id');
select saas_private.audit('thing.made', 'thing', 'other', null, null, :'bob_org_id');
call saas.seal_audit();
select is((select count(*) from saas_private.audit_seal s where s.org_id = :'ada_org_id'), 11::bigint, 'a chain with a forged head is not continued');
select is(pg_temp.verdict(:'bob_org_id'), 't', 'others are');
select is(pg_temp.verdict(:'ada_org_id'), 'f|11|the head of the chain was altered', 'until somebody has looked');
select throws_ok(format('select saas.audit_checkpoint(%L)', :'ada_org_id'), 'PT409', 'the audit was tampered with', 'and no checkpoint speaks for it');
update saas_private.audit_chain c set hash = k.hash, broken_at = null from kept_head k where c.org_id = k.org_id;
update saas_private.audit_sealing set sealed_below = '0', sealed_id = default, system_identifier = 0;
call saas.seal_audit();
select is(pg_temp.verdict(:'ada_org_id', :'later_point'), 't', 'then it goes on');

-- A restored database: its events are of transactions that are yet to come here.
insert into saas.audit_event (org_id, tx, source, login, action, object_type, object_id)
select :'bob_org_id', ((10 + n)::text || '000000000000')::xid8, 'database', 'x', 'a.b', 'a', 'restored' from generate_series(1, 1500) n;
update saas_private.audit_sealing set sealed_below = '30000000000000', system_identifier = 0;
call saas.seal_audit();
select is((select count(*) from saas_private.audit_seal s join saas.audit_event e on e.id = s.event_id where e.object_id = 'restored'), 1500::bigint,
          'what was not sealed in another cluster is sealed here');
select saas_private.audit('a.b', 'a', 'here', null, null, :'bob_org_id');
call saas.seal_audit();
select is(pg_temp.verdict(:'bob_org_id'), 't', 'and what comes after it');
select is((select e.object_id from saas_private.audit_seal s join saas.audit_event e on e.id = s.event_id where s.org_id = :'bob_org_id' order by s.sequence desc limit 1),
          'here', 'in the order of this cluster');

-- Pruning

select throws_ok(format('select saas.prune_audit(%L, now())', :'ada_org_id'), '22023', 'invalid input', 'the last 30 days stay');
select throws_ok(format('select saas.prune_audit(%L, null)', :'ada_org_id'), '22023', 'invalid input', 'and no time is none');
insert into saas.audit_event (org_id, at, source, login, action, object_type, object_id)
select :'bob_org_id', now() - interval '100 days', 'database', 'x', 'a.b', 'a', 'old' || n from generate_series(1, 3) n;
call saas.seal_audit();
select is(saas.prune_audit(:'bob_org_id', now() - interval '50 days'), 0::bigint, 'what a newer entry comes before stays: the middle is not cut out');
select * from tenants.found('carl') \gset carl_
call pg_temp.open_the_tables();
update saas.audit_event set at = now() - interval '200 days' where org_id = :'carl_org_id';
alter table saas.audit_event enable always trigger audit_event_is_append_only;
alter table saas_private.audit_seal enable always trigger audit_seal_is_append_only;
insert into saas.audit_event (org_id, at, source, login, action, object_type, object_id)
select :'carl_org_id', now() - interval '100 days', 'database', 'x', 'a.b', 'a', 'old' || n from generate_series(1, 3) n;
call saas.seal_audit();
select saas.audit_checkpoint(:'carl_org_id') as carl_point \gset
select saas_private.audit('a.b', 'a', 'new', null, null, :'carl_org_id');
call saas.seal_audit();
select is(saas.prune_audit(:'carl_org_id', now() - interval '150 days'), 2::bigint, 'what is older is pruned');
call saas.seal_audit();
select is(saas.verify_audit(:'carl_org_id', :'carl_point')::text, '(t,3,7,5,0,,,)', 'and the chain goes on from there');
select is(saas.prune_audit(:'carl_org_id', now() - interval '50 days'), 3::bigint, 'up to the first that is newer');
call saas.seal_audit();
select is(saas.verify_audit(:'carl_org_id', :'carl_point')::text, '(t,6,8,3,0,,,)', 'a checkpoint at the cut still holds');
select is((select array_agg(e.object_id order by e.id) from saas.audit_event e where e.org_id = :'carl_org_id' and e.action = 'a.b'), array['new'],
          'the events are gone');
select is((select (e.after ->> 'entries') from saas.audit_event e where e.org_id = :'carl_org_id' and e.action = 'audit.pruned' order by e.id limit 1), '2',
          'pruning is an event itself');
begin;
update saas_private.audit_chain set start_sequence = 3 where org_id = :'carl_org_id';
select pg_temp.verdict(:'carl_org_id') as start \gset
update saas_private.audit_chain set sequence = sequence where false;
select tenants.answer(format('saas_private.erase_audit(%L, 7, 10)', :'carl_org_id')) as erased \gset
rollback;
select is(:'start'::text, 'f|8|the head of the chain was altered', 'nobody else moves a chain''s start');
select matches(:'erased'::text, '^PT409', 'and nothing of a tampered chain is erased');
select is(saas.prune_audit(saas.uuidv7(), now() - interval '50 days'), 0::bigint, 'an organization without a chain has nothing to prune');

-- An organization that goes

select saas_private.remove_organization(:'carl_org_id', 'owner');
select saas_private.audit('a.b', 'a', 'late', null, null, :'carl_org_id');
call saas.seal_audit();
select is((select count(*) from saas.audit_event e where e.org_id = :'carl_org_id'), 0::bigint, 'leaves no event');
select is((select count(*) from saas_private.audit_seal e where e.org_id = :'carl_org_id'), 0::bigint, 'and no seal');
select is(saas.verify_audit(:'carl_org_id')::text, '(t,,9,0,0,,,)', 'but a tombstone that says how much there was');
select is((pg_temp.last('00000000-0000-0000-0000-000000000000')).action, 'organization.deleted', 'and an event of the platform');

-- What is audited

begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
select saas_api.create_connection('prometheus', 'Planted', '{"url": "https://127.0.0.1:9/metrics"}', '{"bearer_token": "planted-secret-1"}') ->> 'id' as connection \gset
select saas_api.set_connection_secrets(:'connection', '{"bearer_token": "planted-secret-2"}');
select saas_api.set_connection_active(:'connection', false);
select saas_api.set_connection_active(:'connection', true);
select saas_api.delete_connection(:'connection', 'Planted');
select id as key, key as key_text from jsonb_to_record(saas_api.create_api_key('Planted', array['view_dashboard'])) as k (id uuid, key text) \gset
select saas_api.set_api_key_rate_limit(:'key', 5);
select saas_api.rotate_api_key(:'key') ->> 'key' as rotated \gset
select saas_api.create_signing_secret(:'key') ->> 'signing_secret' as signing \gset
select saas_api.revoke_api_key(:'key');
select saas_api.set_branding(product_name => 'Brand');
select saas_api.set_mail_template('invitation', 'Come', t.text_body, t.html_body) from saas_api.mail_templates t;
select saas_api.reset_mail_template('invitation');
select saas_api.require_second_factor(false);
commit;
select saas.set_plan(:'ada_org_id', 'pro');
select saas.set_rate_limit('organization', :'ada_org_id', 10);
select saas.set_rate_limit('organization', :'ada_org_id', null);
select saas.open_ticket(:'ada_org_id', 'to look');
create role saas_test_bi login;
select saas.map_login('saas_test_bi', :'max_id', :'ada_org_id');
select saas.unmap_login('saas_test_bi');
drop role saas_test_bi;
select saas.deactivate_user(:'max_id');
select saas.activate_user(:'max_id');
select saas.confirm_user(:'max_id');
select saas.delete_user(:'max_id');
select is(regexp_replace(pg_temp.actions(:'ada_org_id'), '^.*?(?=connection)', ''),
    'connection.created connection.resealed connection.deactivated connection.activated connection.deleted '
    'api_key.created api_key.limit_changed api_key.rotated api_key.signing_changed api_key.revoked '
    'branding.updated mail_template.updated mail_template.reset organization.second_factor_required '
    'organization.plan_changed rate_limit.set rate_limit.removed ticket.opened login.mapped login.unmapped '
    'user.deactivated user.activated user.confirmed user.deleted', 'each change of keys, connections, settings and each act of the operator');
select saas.rotate_token_keys() as kid \gset
select saas.retire_token_key(:'kid');
select is(regexp_replace(pg_temp.actions('00000000-0000-0000-0000-000000000000'), '^.*(?=signing_key.rotated)', ''),
          'signing_key.rotated signing_key.retired', 'the platform''s own in its own chain');
select is_empty(
    format($$select e.id, e.action from saas.audit_event e
              where e::text ~ any (array['planted-secret', %L, %L, %L])$$, :'key_text', :'rotated', :'signing'),
    'no secret that was planted is in it');
select is((select e.after -> 'sealed_names' from saas.audit_event e where e.action = 'connection.resealed'), '["bearer_token"]',
          'but the names of those that were set');
select saas_private.write_note('identity_assumed', :'ada_user_id', now(), jsonb_build_object('org_id', :'ada_org_id', 'login', session_user, 'ip', '192.0.2.7'));
select is((select row(e.actor_id, e.source, e.login, e.ip, e.ticket_id is not null)::text from saas.audit_event e where e.action = 'identity.assumed'),
          row(:'ada_user_id', 'operator', session_user, '192.0.2.7', true)::text, 'an operator''s look is the tenant''s to see, with its ticket');
call saas.seal_audit();
select is(pg_temp.verdict(:'ada_org_id', :'later_point'), 't', 'all of it is sealed');

select * from finish();
