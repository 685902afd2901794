-- Rotation of master and data keys: what is sealed opens before, between and
-- after; nothing is dropped that somebody may need; and destroyed keys are gone.
\ir ../lib/tenants.sql
call tenants.hold_poller();
set client_min_messages = warning;
select no_plan();

\set platform '00000000-0000-0000-0000-000000000000'
create schema rotation;
grant usage on schema rotation to public;
create table rotation.tenant (name text primary key, user_id uuid, org_id uuid);
insert into rotation.tenant
select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['ada', 'bob', 'eve']) n) f;
select user_id as ada_user, org_id as ada from rotation.tenant where name = 'ada' \gset
select user_id as bob_user, org_id as bob from rotation.tenant where name = 'bob' \gset
select user_id as eve_user, org_id as eve from rotation.tenant where name = 'eve' \gset

-- An expression in the name of a tenant, with a superuser's rights; or its error.
create function rotation.as_tenant(name text, expression text) returns text
language plpgsql as $$
declare
    result text;
    detail text;
begin
    perform saas.assume_identity(t.user_id, t.org_id) from rotation.tenant t where t.name = as_tenant.name;
    execute 'select (' || expression || ')::text' into result;
    return result;
exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    return concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''));
end
$$;
-- What a function of an operator answers, or its error.
create function rotation.refusal(statement text) returns text
language plpgsql as $$
declare
    detail text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    return concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''));
end
$$;
create view rotation.old as
select coalesce(sum(s.value), 0) as old_values from saas.vault_status() s where s.fact = 'old_values';
create function rotation.facts(fact text) returns table (subject text, value bigint, detail text)
language sql as $$ select s.subject, s.value, s.detail from saas.vault_status() s where s.fact = facts.fact order by 1 $$;
create function rotation.versions(org_id uuid) returns integer[]
language sql as $$ select array_agg(k.version order by k.version) from saas_private.data_key k where k.org_id = versions.org_id $$;
-- The versions that stand in a column.
create function rotation.named(relation regclass, column_name text) returns integer[]
language plpgsql as $$
declare
    result integer[];
begin
    execute format('select array_agg(distinct (saas.describe(t.%I) ->> ''key_version'')::integer) from %s t', column_name, relation)
       into result;
    return result;
end
$$;
-- Calls until nothing old is kept, or for long enough: who has begun a
-- transaction before keeps old keys, the worker too.
create procedure rotation.until_dropped()
language plpgsql as $$
begin
    for i in 1 .. 20 loop
        call saas.rotate_data_keys(older_than => '1 year');
        exit when not exists (select from saas_private.data_key k where k.retired_at is not null);
    end loop;
end
$$;

-- The list of sealed columns

select set_eq(
    $$select n.nspname || '.' || c.relname, a.attname::text
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'm') and a.attnum > 0 and not a.attisdropped
         and (a.atttypid = 'saas.sealed'::regtype or a.atttypid = 'saas.sealed[]'::regtype)
         and n.nspname in ('saas', 'saas_api', 'saas_private')$$,
    $$select c.relation_name, c.column_name from saas_private.sealed_columns() c where not c.is_registered$$,
    'every sealed column of ours is in the list that rotations go by');

-- A value in every one of them

select tenants.connect(:'ada', 'ada exporter', secrets => '{"bearer_token": "ada token", "password": "ada word"}') as ada_connection \gset
select tenants.connect(:'bob', 'bob exporter', secrets => '{"bearer_token": "bob token"}') as bob_connection \gset
insert into saas.salesforce_default (org_id, instance_url, login_url, origin)
values (:'ada', 'https://ada.example', 'https://login.example', 'https://login.example:443');
insert into saas_private.salesforce_default_secret (org_id, name, value)
select :'ada', s.name, s.value
  from saas_private.seal_secrets(:'ada', :'platform', 'https://login.example:443', '{"client_id": "ada client"}') s;
insert into saas.api_key (org_id, id, name, prefix, permissions, created_by)
select :'ada', saas.uuidv7(), 'signer', 'pgs_12345678', array['view_dashboard'], :'ada_user'
returning id as key_id \gset
insert into saas_private.api_key_signing (org_id, api_key_id, signing_secret, previous_signing_secret, previous_valid_until)
values (:'ada', :'key_id', saas_private.seal_signing_secret(:'ada', :'key_id', 'new secret'),
        saas_private.seal_signing_secret(:'ada', :'key_id', 'old secret'), now() + interval '1 hour');
insert into saas_private.second_factor (user_id, secret)
values (:'ada_user', saas_private.seal_for_platform('MZXW6YTBOI', 'pg_saas:totp', :'ada_user'));
select saas_api.sign_in('ada@example.com', 'correct horse ada') is not null as signed_in \gset
call saas.seal_audit();
select rotation.as_tenant('ada', 'saas.blind_index(''ada@example.com'', ''mail'')') as found_by \gset
select is(rotation.named(c.relation, c.column_name), array[1], format('%s.%s holds a value', c.relation_name, c.column_name))
  from saas_private.sealed_columns() c;

-- Columns of applications

create role rotation_owner nologin;
grant saas_user to rotation_owner;
create schema app authorization rotation_owner;
grant usage on schema app to saas_user;
set role rotation_owner;
create table app.note (org_id uuid not null, id uuid not null default gen_random_uuid(), label text not null,
                       body text, hidden text, primary key (org_id, id));
reset role;
grant usage on type saas.sealed to rotation_owner;
alter table app.note drop column body, drop column hidden, add column body saas.sealed, add column hidden saas.sealed;
alter table app.note owner to rotation_owner;
create table app.plain (id integer, body saas.sealed, title text);
create table app.no_seal (org_id uuid, id integer, body text);
select is(rotation.refusal(format('select saas.register_sealed_column(%s)', arguments)), '22023 | invalid input | ' || said, what)
  from (values ('''saas_private.jwt_key'', ''private_key'', ''note''',
                '[{"field": "relation", "message": "must be a table of an application, not temporary and no partition"}]', 'our own columns are not registered'),
               ('''pg_class'', ''relname'', ''note''', '[{"field": "relation", "message": "must have a column org_id of type uuid"}]', 'nor those of a table without organizations'),
               ('''app.plain'', ''body'', ''note''', '[{"field": "relation", "message": "must have a column org_id of type uuid"}]', 'even sealed ones'),
               ('''app.no_seal'', ''body'', ''note''', '[{"field": "column_name", "message": "must be a column of type saas.sealed"}]', 'nor what is not sealed'),
               ('''app.note'', ''gone'', ''note''', '[{"field": "column_name", "message": "must be a column of type saas.sealed"}]', 'nor a column that is not there'),
               ('''app.note'', ''body'', ''note'', ''gone''', '[{"field": "context_column", "message": "must be a column of the table"}]', 'nor with a context that is not there'),
               ('''app.note'', ''body'', ''pg_saas:connection''', '[{"field": "purpose", "message": "must have 1 to 255 bytes and not begin with pg_saas:"}]', 'nor with a reserved purpose'),
               ('''app.note'', ''body'', ''''', '[{"field": "purpose", "message": "must have 1 to 255 bytes and not begin with pg_saas:"}]', 'nor without a purpose'),
               ('0, ''body'', ''note''', '[{"field": "relation", "message": "must be a table of an application, not temporary and no partition"}]', 'nor of no table'))
    as v (arguments, said, what);
select rotation.refusal('select saas.protect(''app.note'')') as protected \gset
select is(:'protected'::text, 'accepted', 'the table is protected');
create function rotation.add_note(name text, label text) returns void language plpgsql as $$
begin
    perform saas.assume_identity(t.user_id, t.org_id) from rotation.tenant t where t.name = add_note.name;
    insert into app.note (org_id, label, body, hidden)
    select t.org_id, add_note.label, saas.seal('body of ' || add_note.label, 'note', add_note.label), saas.seal('hidden', 'hidden')
      from rotation.tenant t where t.name = add_note.name;
end
$$;
select rotation.add_note('ada', 'one') as ok \gset
select rotation.add_note('ada', 'two') as ok \gset
select rotation.add_note('bob', 'three') as ok \gset
create function rotation.bodies(name text) returns text[] language plpgsql as $$
begin
    perform saas.assume_identity(t.user_id, t.org_id) from rotation.tenant t where t.name = bodies.name;
    return (select array_agg(saas.unseal(n.body, 'note', n.label) || '/' || saas.unseal(n.hidden, 'hidden') order by n.label)
              from app.note n join rotation.tenant t on t.name = bodies.name and t.org_id = n.org_id);
end
$$;
select results_eq('select subject, value from rotation.facts(''unregistered_column'')',
                  $$values ('app.note.body', 3::bigint), ('app.note.hidden', 3), ('app.plain.body', 0)$$,
                  'the status names columns that rotations do not know');
select is(rotation.refusal('select saas.register_sealed_column(''app.note'', ''body'', ''wrong'')'), 'accepted', 'a column is registered');
select is(rotation.refusal('select saas.register_sealed_column(''app.note'', ''body'', ''note'', ''label'')'), 'accepted', 'and again with another purpose');
select results_eq('select subject, value from rotation.facts(''unregistered_column'')',
                  $$values ('app.note.hidden', 3::bigint), ('app.plain.body', 0)$$, 'then it is known');
select is((select array_agg(e.object_id order by e.id) from saas.audit_event e where e.action = 'sealed_column.registered'),
          array['app.note.body', 'app.note.body'], 'the audit says who registered what');

-- Who may, and when

select is(has_function_privilege(r.role, f.oid, 'execute'), r.role = 'saas_operator', format('%s may%s call %s', r.role,
          case when r.role <> 'saas_operator' then ' not' else '' end, f.oid::regprocedure))
  from unnest(array['saas_operator', 'saas_user', 'saas_anon', 'saas_poller']) as r (role), pg_proc f
 where f.proname in ('rotate_data_keys', 'rewrap_data_keys', 'vault_status', 'destroy_keys', 'register_sealed_column',
                     'unregister_sealed_column') and f.pronamespace = 'saas'::regnamespace;
select is(rotation.refusal('call saas.rotate_data_keys()'), '2D000 | saas.rotate_data_keys cannot run inside a transaction block', 'no rotation inside a transaction');
select is(rotation.refusal('call saas.rewrap_data_keys()'), '2D000 | saas.rewrap_data_keys cannot run inside a transaction block', 'no rewrap either');
\set ON_ERROR_STOP 0
\o /dev/null
call saas.rotate_data_keys(older_than => '-1 day');
\o
select is(:'LAST_ERROR_SQLSTATE' || ' ' || :'LAST_ERROR_MESSAGE', '22023 older_than must not be negative', 'no negative age');
call saas.rotate_data_keys('12345678-0000-0000-0000-000000000000');
select is(:'LAST_ERROR_SQLSTATE' || ' ' || :'LAST_ERROR_MESSAGE', 'PT404 the organization has no data key', 'no organization that is not there');
\set ON_ERROR_STOP 1
select is((select count(*) from saas_private.key_rotation), 0::bigint, 'what was refused has not begun');

-- One organization

call saas.rotate_data_keys(:'ada');
select is(rotation.versions(:'ada'), array[1, 2], 'a rotation makes a new version of one organization''s key');
select is(rotation.versions(:'bob'), array[1], 'and of no other''s');
select is(rotation.versions(:'platform'), array[1], 'nor the platform''s');
select is(rotation.bodies('ada'), array['body of one/hidden', 'body of two/hidden'], 'its values open');
select is(rotation.bodies('bob'), array['body of three/hidden'], 'others'' too');
select is((select array_agg((saas.describe(n.body) ->> 'key_version')::integer order by n.label) from app.note n), array[2, 1, 2],
          'its registered columns name the new version');
select is(rotation.named('saas_private.connection_secret', 'value'), array[1, 2], 'its connections'' secrets too');
select is((select count(*) from saas.audit_event e where e.action = 'data_key.rotated' and e.org_id = :'ada' and e.after = '{"version": 2}'),
          1::bigint, 'which its audit says');
select is(saas.describe((rotation.as_tenant('ada', 'saas.seal(''x'', ''note'')'))::saas.sealed) ->> 'key_version', '2',
          'sealing takes the new version');

-- All, twice: what the first left in place with purpose and context the second opens

call saas.rotate_data_keys();
select is(rotation.named(c.relation, c.column_name), array[case when c.is_platform then 2 else 3 end],
          format('%s.%s was sealed again', c.relation_name, c.column_name))
  from saas_private.sealed_columns() c where not c.is_registered and c.relation_name !~ 'connection_secret';
select is(rotation.as_tenant('ada', 'saas.blind_index(''ada@example.com'', ''mail'')'), :'found_by',
          'a blind index finds what was written before');
select is(rotation.named('saas_private.connection_secret', 'value'), array[2, 3], 'of ada''s third version and bob''s second');
call saas.rotate_data_keys();
select is((select old_values from rotation.old), 0::numeric, 'nothing of ours is left under an old version');
select is(rotation.bodies('ada'), array['body of one/hidden', 'body of two/hidden'], 'what is not registered opens with the old key');
select is(saas_private.unseal_for_platform(f.secret, 'pg_saas:totp', f.user_id::text), 'MZXW6YTBOI', 'the platform''s values open')
  from saas_private.second_factor f;
select isnt(saas_api.sign_in('bob@example.com', 'correct horse bob'), null, 'tokens are signed');
select is((select count(*) from saas_private.key_rotation r where r.finished_at is not null), 3::bigint, 'each rotation finished');

-- Old versions

set saas.data_key_grace = 0;
call rotation.until_dropped();
select is(rotation.versions(:'ada'), array[1, 2, 3, 4], 'a column that is not registered keeps every version');
select results_eq('select subject, value from rotation.facts(''data_keys'')',
                  $$select 'current'::text, count(*) filter (where k.retired_at is null) from saas_private.data_key k union all
                    select 'empty', count(*) filter (where k.emptied_at is not null) from saas_private.data_key k union all
                    values ('superseded', 0::bigint)$$, 'and the status counts');
select is(rotation.refusal('select saas.register_sealed_column(''app.note'', ''hidden'', ''hiden'')'), 'accepted', 'registered with a wrong purpose');
call rotation.until_dropped();
select is(rotation.versions(:'ada'), array[1, 4], 'what does not open is left alone with its key, others'' versions go');
select is(rotation.bodies('ada'), array['body of one/hidden', 'body of two/hidden'], 'and opens for who knows better');
select is(rotation.versions(:'platform'), array[3], 'the platform has no old version any more');
select is(rotation.refusal('select saas.register_sealed_column(''app.note'', ''hidden'', ''hidden'')'), 'accepted', 'registered as it is');
reset saas.data_key_grace;
call rotation.until_dropped();
select is(rotation.versions(:'ada'), array[1, 4], 'within the grace nothing goes');
set saas.data_key_grace = 0;
call rotation.until_dropped();
select is(rotation.versions(:'ada'), array[4], 'after it the old versions go');
select is(rotation.bodies('ada'), array['body of one/hidden', 'body of two/hidden'], 'and everything opens');
select is(rotation.bodies('bob'), array['body of three/hidden'], 'everybody''s');
reset saas.data_key_grace;
select is(rotation.refusal('select saas.unregister_sealed_column(''app.note'', ''hidden'')'), 'accepted', 'a column is taken out');
select is(rotation.refusal('select saas.unregister_sealed_column(''app.note'', ''hidden'')'), 'PT404 | the column is not registered', 'once');
select is(rotation.refusal('select saas.register_sealed_column(''app.note'', ''hidden'', ''hidden'')'), 'accepted', 'and comes back');
create materialized view app.copy as select n.org_id, array[n.body] as bodies from app.note n;
select results_eq('select subject, value from rotation.facts(''unregistered_column'')', $$values ('app.copy.bodies', 0::bigint), ('app.plain.body', 0)$$,
                  'a copy in an array is named too');
drop materialized view app.copy;

-- A partitioned table

create table app.event (org_id uuid not null, id integer not null, body saas.sealed, primary key (org_id, id)) partition by range (id);
create table app.event_1 partition of app.event for values from (1) to (100);
create table app.event_2 partition of app.event for values from (100) to (200);
select is(rotation.refusal('select saas.register_sealed_column(''app.event_1'', ''body'', ''event'')'),
          '22023 | invalid input | [{"field": "relation", "message": "must be a table of an application, not temporary and no partition"}]', 'a partition is not registered');
select is(rotation.refusal('select saas.register_sealed_column(''app.event'', ''body'', ''event'', ''id'')'), 'accepted', 'the whole is');
create function rotation.add_events(name text) returns void language plpgsql as $$
begin
    perform saas.assume_identity(t.user_id, t.org_id) from rotation.tenant t where t.name = add_events.name;
    insert into app.event select saas.current_org_id(), n, saas.seal('event ' || n, 'event', n::text) from generate_series(1, 199) n;
end
$$;
select rotation.add_events('ada') as ok \gset
select max(version) as version_before from saas_private.data_key where org_id = :'ada' \gset
call saas.rotate_data_keys(:'ada');
select is(rotation.named('app.event_1', 'body') || rotation.named('app.event_2', 'body'), array[:version_before + 1, :version_before + 1],
          'every partition is sealed again');
select is(rotation.as_tenant('ada', '(select count(*) from app.event e where saas.unseal(e.body, ''event'', e.id::text) = ''event '' || e.id)'), '199', 'and opens');
drop table app.event;
select is((select count(*) from saas_private.sealed_columns() c where c.relation_name = 'app.event'), 0::bigint, 'a dropped table is no matter of rotations');

-- A table that refuses

create function app.refuse() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
create trigger refuse before update on app.note for each row execute function app.refuse();
call saas.rotate_data_keys(:'bob');
drop trigger refuse on app.note;
select is(rotation.bodies('bob'), array['body of three/hidden'], 'a trigger that refuses leaves the values open');
select results_eq('select subject, value from rotation.facts(''old_values'') where value > 0', $$values ('app.note.body', 1::bigint), ('app.note.hidden', 1)$$,
                  'and the status counts them');
call saas.rotate_data_keys(older_than => '1 year');
select is((select old_values from rotation.old), 0::numeric, 'until it lets them');

-- The age

update saas_private.data_key set created_at = now() - interval '40 days' where org_id = :'eve';
call saas.rotate_data_keys(older_than => '30 days');
select is((select max(version) from saas_private.data_key where org_id = :'ada'), 5, 'what is young gets no new version');
select cmp_ok((select max(version) from saas_private.data_key where org_id = :'eve'), '>', 1, 'what is old does');

-- An unfinished rotation

insert into saas_private.key_rotation (made_before) values (clock_timestamp());
select results_eq('select value from rotation.facts(''unfinished_rotation'')', array[0::bigint], 'the status names an unfinished rotation');
select saas_private.next_data_key(:'ada', 1::bigint << 31) as version \gset
call saas.rotate_data_keys();
select is((select max(version) from saas_private.data_key where org_id = :'ada'), 6, 'who has a new version already gets no second');
select is((select max(version) from saas_private.data_key where org_id = :'bob'), 5, 'who has none gets it');
select is((select count(*) from saas_private.key_rotation r where r.finished_at is null), 0::bigint, 'then it is finished');
select is((select old_values from rotation.old), 0::numeric, 'and nothing is left');

-- The budget

select max(version) as last_version from saas_private.data_key where org_id = :'eve' \gset
select saas_private.write_note('data_key_used', :'eve', now(), format('{"version": %s, "count": 1024}', :last_version)::jsonb) as ok \gset
select is((select k.sealed_count from saas_private.data_key k where k.org_id = :'eve' and k.version = :last_version), 1024::bigint, 'a noted block is counted');
update saas_private.data_key k set sealed_count = (1::bigint << 31) - 1024 where k.org_id = :'eve' and k.version = :last_version;
select saas_private.write_note('data_key_used', :'eve', now(), format('{"version": %s, "count": 1023}', :last_version)::jsonb) as ok \gset
select is((select max(version) from saas_private.data_key where org_id = :'eve'), :last_version, 'below half of the budget nothing happens');
select saas_private.write_note('data_key_used', :'eve', now(), format('{"version": %s, "count": 1}', :last_version)::jsonb) as ok \gset
select is((select max(version) from saas_private.data_key where org_id = :'eve'), :last_version + 1, 'at half the next version is made');
select is((select count(*) from saas.audit_event e where e.action = 'data_key.rotated' and e.org_id = :'eve' and (e.after ->> 'sealed')::bigint = 1::bigint << 31),
          1::bigint, 'which the audit says');
select saas_private.write_note('data_key_used', :'eve', now(), format('{"version": %s, "count": 1024}', :last_version)::jsonb) as ok \gset
select is((select max(version) from saas_private.data_key where org_id = :'eve'), :last_version + 1, 'and once');
select is(saas.describe((rotation.as_tenant('eve', 'saas.seal(''x'', ''note'')'))::saas.sealed) ->> 'key_version', (:last_version + 1)::text, 'sealing takes it');
create function rotation.forget_keys() returns void
language plpgsql as $$ begin raise exception 'forget'; exception when raise_exception then null; end $$;
update saas_private.data_key k set sealed_count = (1::bigint << 32) / 16 * 15 where k.org_id = :'eve' and k.version = :last_version + 1;
select rotation.forget_keys();
select is(rotation.as_tenant('eve', 'saas.seal(''x'', ''note'')'),
          format('55000 | the organization''s data key has sealed as much as it may | Version %s is near 2^32 values, the bound of AES-GCM with random nonces.', :last_version + 1),
          'near the bound sealing refuses');
select results_eq('select subject, value, detail ~ ''93.8 %'' from rotation.facts(''most_used_key'')',
                  format('values (%L, (1::bigint << 32) / 16 * 15, true)', :'eve'), 'the status names the key that is used most');
call saas.rotate_data_keys(:'eve');
select is(saas.describe((rotation.as_tenant('eve', 'saas.seal(''x'', ''note'')'))::saas.sealed) ->> 'key_version', (:last_version + 2)::text,
          'a rotation helps at once');

-- Keys that are lost

begin;
delete from saas_private.data_key k where k.org_id = :'ada';
select rotation.forget_keys();
select rotation.as_tenant('ada', 'saas.seal(''x'', ''note'')') as orphaned \gset
rollback;
select is(:'orphaned'::text, format('55000 | sealed values exist, but the data keys that open them are missing | saas_private.connection_secret.value holds values of organization %s, and saas_private.data_key holds no key of it.', :'ada'),
          'where values are, no key is made silently');
begin;
delete from saas_private.data_key k where k.org_id = :'ada';
delete from saas_private.connection_secret s where s.org_id = :'ada';
delete from saas_private.salesforce_default_secret s where s.org_id = :'ada';
delete from saas_private.api_key_signing s where s.org_id = :'ada';
delete from saas_private.blind_index_key b where b.org_id = :'ada';
select rotation.forget_keys();
select rotation.as_tenant('ada', 'saas.seal(''x'', ''note'')') as orphaned \gset
rollback;
select matches(:'orphaned'::text, '55000 .*app\.note\.body holds values of organization', 'not where an application''s are either');
begin;
delete from saas_private.data_key k where k.org_id = :'platform';
select rotation.forget_keys();
select rotation.refusal('select saas_private.seal_for_platform(''x'', ''p'', ''c'')') as orphaned \gset
rollback;
select matches(:'orphaned'::text, '55000 .*saas_private\.jwt_key\.private_key holds values', 'nor the platform''s');
begin;
delete from saas_private.data_key k where k.org_id = :'eve';
select rotation.forget_keys();
select rotation.as_tenant('eve', 'saas.describe(saas.seal(''x'', ''note'')) ->> ''key_version''') as made \gset
rollback;
select is(:'made'::text, '1', 'where no value is, one is made');

-- The end of keys

select rotation.as_tenant('bob', 'saas.seal(''attack at dawn'', ''note'')') as sealed \gset
select is(rotation.as_tenant('bob', format('saas.unseal(%L, ''note'')', :'sealed')), 'attack at dawn', 'this process has the key');
select is(rotation.refusal(format('select saas.destroy_keys(%L, %L)', org, confirm)), said, what)
  from (values (:'bob'::uuid, 'Bob Works', 'PT409 | organization is active', 'keys of an active organization are not destroyed'),
               (:'bob', 'Ada Works', '22023 | invalid input | [{"field": "confirm", "message": "must be the name or the slug of the organization"}]', 'nor with another name'),
               (:'bob', null, '22023 | invalid input | [{"field": "confirm", "message": "must be the name or the slug of the organization"}]', 'nor without one'),
               (:'platform', 'x', 'PT404 | organization not found', 'nor the platform''s'),
               (null, 'x', 'PT404 | organization not found', 'nor nobody''s')) as v (org, confirm, said, what);
update saas.organization set status = 'deleting', deleted_at = now(), purge_after = now() + interval '30 days', status_reason = 'deleted by an owner'
 where id = :'bob';
select cmp_ok(saas.destroy_keys(:'bob', 'bob-works'), '>', 0, 'of one that is being deleted they are');
select is(rotation.versions(:'bob'), null, 'no version is left');
select is(rotation.refusal(format('select saas.activate_organization(%L)', :'bob')), 'PT409 | the organization''s data keys were destroyed', 'it cannot come back');
update saas.organization set status = 'active', deleted_at = null, purge_after = null, status_reason = null where id = :'bob';
select is(rotation.as_tenant('bob', format('saas.unseal(%L, ''note'')', :'sealed')), '22023 | cannot open the sealed value',
          'this process has forgotten the key');
select is(rotation.as_tenant('bob', 'saas.seal(''x'', ''note'')'), 'PT409 | the organization''s data keys were destroyed', 'and nothing is sealed any more');
select is(rotation.as_tenant('ada', 'saas.unseal(saas.seal(''x'', ''note''), ''note'')'), 'x', 'others go on');
select is((select count(*) from saas.audit_event e where e.action = 'data_key.destroyed' and e.object_id = :'bob'), 2::bigint, 'both audits say it');
select results_eq('select subject, value from rotation.facts(''keyless_values'')',
                  $$values ('app.note.body', 1::bigint), ('app.note.hidden', 1), ('saas_private.connection_secret.value', 1)$$, 'the status counts what never opens');
select results_eq('select value from rotation.facts(''destroyed_organizations'')', array[1::bigint], 'and whose keys are gone');
call saas.rotate_data_keys();
select is(rotation.versions(:'bob'), null, 'a rotation makes it no key');
insert into saas_private.deleted_organization (id, deleted_at, reason, purged_at) values ('99999999-0000-0000-0000-000000000000', now(), 'owner', now());
select is(saas.destroy_keys('99999999-0000-0000-0000-000000000000', '99999999-0000-0000-0000-000000000000'), 0, 'of one that is gone there are none, which is no error');
select is(rotation.refusal('select saas.destroy_keys(''99999999-0000-0000-0000-000000000000'', ''Gone Works'')'),
          '22023 | invalid input | [{"field": "confirm", "message": "must be the id of the organization: its name is gone"}]', 'its id confirms that');

-- Master keys

call saas.rewrap_data_keys();
select results_eq('select subject, value, detail ~ ''^fingerprint [0-9a-f]{16}, found, the newest$'' from rotation.facts(''master_key'')',
                  'select ''1''::text, count(*), true from saas_private.data_key', 'the status names the master key');
update saas_private.data_key set master_fingerprint = '0123456789abcdef' where org_id = :'eve';
\set ON_ERROR_STOP 0
call saas.rewrap_data_keys();
select is(:'LAST_ERROR_SQLSTATE' || ' ' || :'LAST_ERROR_MESSAGE', '55000 the master key does not open this database''s data keys', 'a rewrap says what it cannot open');
\set ON_ERROR_STOP 1
select matches((select string_agg(detail, ' ' order by detail) from rotation.facts('master_key')),
               'fingerprint 0123456789abcdef, missing: what is found has fingerprint [0-9a-f]{16}', 'and the status what is missing');

drop schema app cascade;
drop owned by rotation_owner;
drop role rotation_owner;
select * from finish();
