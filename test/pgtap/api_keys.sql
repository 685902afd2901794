-- API keys: never more than their creator may, never in another organization,
-- and gone with the next transaction.
select no_plan();
\ir ../lib/tenants.sql
\ir ../lib/refusals.sql

-- What the key may do after a change that is undone.
create function pg_temp.permissions_after(token text, change text) returns text[] language plpgsql as $$
declare
    answer text[];
begin
    begin
        execute change;
        perform saas.authenticate(token);
        answer := saas.current_permissions();
        raise exception using errcode = 'ZZ000';
    exception when sqlstate 'ZZ000' then
        return answer;
    end;
end
$$;
-- A statement's answer as the key's holder: SQLSTATE, message, DETAIL.
create function pg_temp.with_key(token text, statement text) returns text language plpgsql as $$
declare
    result text;
    message text;
    detail text;
begin
    perform saas.authenticate(token);
    set local session authorization saas_user;
    execute format('select (%s)::text', statement) into result;
    reset session authorization;
    return result;
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail;
    return concat_ws(E'\n', sqlstate, message, nullif(detail, ''));
end
$$;
set saas.bcrypt_cost = 10;
\set bad '\'PT401 Invalid or expired API key\''

select user_id as ada, org_id as org_a from tenants.found('ada') \gset
select user_id as bob, org_id as org_b from tenants.found('bob') \gset
select tenants.join('mia', :'org_a', 'admin') as mia, tenants.join('max', :'org_a', 'member') as max \gset
create temp table made (label text primary key, answer jsonb);
grant all on made to public;
create function pg_temp.key(label text) returns text language sql as $$
    select answer ->> 'key' from made m where m.label = key.label
$$;
create function pg_temp.id(label text) returns uuid language sql as $$
    select (answer ->> 'id')::uuid from made m where m.label = id.label
$$;
create function pg_temp.make(label text, user_id uuid, org_id uuid, permissions text, expires_at text default 'null')
returns void language sql as $$
    insert into made select make.label,
        tenants.answer(format('saas_api.create_api_key(%L, %L, %s)', 'key ' || make.label, make.permissions, make.expires_at),
                       make.user_id, make.org_id)::jsonb
$$;

--
-- Making keys
--
select pg_temp.make('first', :'ada', :'org_a', '{view_dashboard,delete_data,view_dashboard}');
select matches(pg_temp.key('first'), '^saas_[0-9A-Za-z]{49}$', 'a key has a prefix and 49 digits');
select is((select answer - 'key' - 'id' - 'created_at' - 'prefix' from made where label = 'first'),
          jsonb_build_object('org_id', :'org_a', 'name', 'key first', 'permissions', '["delete_data", "view_dashboard"]'::jsonb,
                             'requires_signature', false, 'status', 'active', 'created_by', :'ada', 'expires_at', null,
                             'rotated_at', null, 'overlap_until', null, 'revoked_at', null, 'last_used_at', null,
                             'max_requests', null, 'window_length', null),
          'with it comes what the view shows');
select is((select answer ->> 'prefix' from made where label = 'first'), left(pg_temp.key('first'), 12), 'and how it begins');
select results_eq($$select key_hash, valid_until from saas_private.api_key_hash where api_key_id = pg_temp.id('first')$$,
                  $$values (sha256(pg_temp.key('first')::bytea), null::timestamptz)$$, 'a hash of it is kept');
select is_empty($$select k from saas.api_key k, saas_private.api_key_hash h
                   where k::text || h::text like '%' || substr(pg_temp.key('first'), 14) || '%'$$, 'and nothing else of it');
select is(tenants.answer(format('saas_api.create_api_key(%s, %s, %s)', c.name, c.permissions, c.expires_at), :'ada', :'org_a'),
          E'22023\ninvalid input\n[{"field": "' || c.field || '", "message": "' || c.message || '"}]', c.title)
  from (values
    ($$''$$, $$'{view_dashboard}'$$, 'null', 'name', 'is required', 'a key has a name'),
    ($$E'a\x01'$$, $$'{view_dashboard}'$$, 'null', 'name', 'must not hold control characters', 'without control characters'),
    ($$'k'$$, 'null', 'null', 'permissions', 'must name 1 to 64 permissions', 'a key has permissions'),
    ($$'k'$$, $$'{}'$$, 'null', 'permissions', 'must name 1 to 64 permissions', 'at least one'),
    ($$'k'$$, $$array_fill('view_dashboard'::text, array[65])$$, 'null', 'permissions', 'must name 1 to 64 permissions', 'and not very many'),
    ($$'k'$$, $$'{view_dashboard,all}'$$, 'null', 'permissions', 'must be permissions that exist', 'that exist'),
    ($$'k'$$, $$'{view_dashboard,NULL}'$$, 'null', 'permissions', 'must be permissions that exist', 'none of them NULL'),
    ($$'k'$$, $$'{view_dashboard}'$$, 'now()', 'expires_at', 'must be in the future', 'now is too early to expire'),
    ($$'k'$$, $$'{view_dashboard}'$$, $$'infinity'$$, 'expires_at', 'must be in the future', 'infinity is no time'))
    as c (name, permissions, expires_at, field, message, title);
select is(tenants.answer($$saas_api.create_api_key('k', '{view_dashboard,delete_data}')$$, :'mia', :'org_a'),
          E'PT403\npermission denied by the organization''s roles\ndelete_data', 'nobody gives what they do not hold');
select is(tenants.answer($$saas_api.create_api_key('k', '{view_dashboard}')$$, :'max', :'org_a'),
          E'PT403\npermission denied by the organization''s roles\nmanage_applications', 'members make no keys');
set role saas_user;
select throws_ok($$select saas_api.create_api_key('k', '{view_dashboard}')$$, 'PT401', 'Access token required', 'nor does nobody');
reset role;

--
-- Using one
--
begin;
set local role saas_anon;
select saas.authenticate(pg_temp.key('first')) as ok \gset
set local role saas_user;
select is(saas.current_user_id(), :'ada', 'a key acts for its creator');
select is(saas.current_org_id(), :'org_a', 'in its organization');
select is(saas.current_api_key_id(), pg_temp.id('first'), 'and says which it is');
select is(saas.current_session_id(), null, 'without a session');
select is(saas.current_role_name(), '', 'without a role');
select is(saas.current_permissions(), '{view_dashboard,delete_data}', 'with its own permissions');
select results_eq('select id from saas_api.organization', array[:'org_a'::uuid], 'policies know it');
select is(pg_temp.verdict(pg_temp.key('first')), 'accepted', 'it is accepted again');
commit;
select is(saas.current_api_key_id(), null, 'it ends with the transaction');
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
select is(saas.current_api_key_id(), null, 'another identity has no key');
select is(pg_temp.verdict(pg_temp.key('first')), '25001 this transaction already acts for another identity',
          'a key is another identity than its creator');
rollback;
select name as force_parallel from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query') \gset
begin;
set local max_parallel_workers_per_gather = 2;
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local :force_parallel = on;
select saas.authenticate(pg_temp.key('first')) as ok \gset
select is((select max(saas.current_api_key_id()::text) from pg_class), pg_temp.id('first')::text, 'parallel workers know the key');
rollback;

--
-- Texts that are no keys
--
set role saas_anon;
select is(pg_temp.verdict(bad), :bad, title)
  from (values ('saas_', 'the prefix alone'), ('saas_x', 'a word'),
               (left(pg_temp.key('first'), 53), 'a key without its end'),
               (pg_temp.key('first') || '0', 'a longer key'), (pg_temp.key('first') || E'\n', 'a line end'),
               (overlay(pg_temp.key('first') placing case substr(pg_temp.key('first'), 54, 1) when '0' then '1' else '0' end from 54 for 1),
                'a wrong checksum'),
               (overlay(pg_temp.key('first') placing case substr(pg_temp.key('first'), 20, 1) when '0' then '1' else '0' end from 20 for 1),
                'a wrong digit'),
               (overlay(pg_temp.key('first') placing E'\x01' from 20 for 1), 'a control character'),
               (overlay(pg_temp.key('first') placing 'é' from 20 for 1), 'a letter of two bytes'),
               (repeat(pg_temp.key('first'), 1000), 'many keys'), ('saas_' || repeat('0', 1000000), 'a very long key'),
               ('saas_00000000000000000000000000000000000000000001qIfIF', 'a key that nobody has made')) as c (bad, title);
select is(pg_temp.verdict(' ' || pg_temp.key('first')), 'PT401 Invalid or expired token', 'a space before makes it no key at all');
select is(pg_temp.verdict('S' || substr(pg_temp.key('first'), 2)), 'PT401 Invalid or expired token', 'nor does another prefix');
reset role;

--
-- Rows behind the key
--
select is(pg_temp.permissions_after(pg_temp.key('first'),
              format('update saas.membership set role = ''member'' where user_id = %L', :'ada')),
          '{view_dashboard}', 'a key never holds what its creator has lost');
insert into saas.role (org_id, name, is_builtin, rank, permissions)
values (:'org_a', 'eraser', false, 15, '{delete_data,export_data}');
select is(pg_temp.permissions_after(pg_temp.key('first'),
              format('update saas.membership set role = ''eraser'' where user_id = %L', :'ada')),
          '{delete_data}', 'nor what a custom role does not hold, nor what the key does not');
select is(pg_temp.verdict(pg_temp.key('first'), c.change), c.answer, c.title)
  from (values
    (format('delete from saas.membership where user_id = %L', :'ada'), :bad, 'a creator who left'),
    (format('update saas.app_user set is_active = false where id = %L', :'ada'), :bad, 'an inactive creator'),
    (format('update saas.organization set status = ''suspended'' where id = %L', :'org_a'), 'PT403 Organization is suspended', 'a suspended organization'),
    ('update saas.api_key set expires_at = now()', :bad, 'an expired key'),
    ('update saas.api_key set revoked_at = now()', :bad, 'a revoked key'),
    ('update saas_private.api_key_hash set valid_until = now()', :bad, 'a key whose overlap is over'),
    ('update saas_private.api_key_hash set valid_until = now() + interval ''1 hour''', 'accepted', 'a key within its overlap')) as c (change, answer, title);

--
-- What a key does not do, whatever its permissions
--
select pg_temp.make('full', :'ada', :'org_a', (select b.permissions::text from saas.builtin_roles() b where b.name = 'owner'));
select is(pg_temp.with_key(pg_temp.key('full'), call), E'PT403\nnot possible with an API key', format('a key does not %s', what))
  from (values ($$saas_api.create_api_key('k', '{view_dashboard}')$$, 'make keys'),
               (format('saas_api.rotate_api_key(%L)', pg_temp.id('full')), 'rotate keys'),
               ($$saas_api.create_organization('Keys')$$, 'found organizations'),
               ($$saas_api.sign_out('all')$$, 'end sessions'),
               ('saas_api.require_second_factor(false)', 'lift the requirement of a second factor'),
               ($$saas_api.end_session('01a1fe17-0000-7000-8000-000000000000')$$, 'end a session'),
               ($$saas_api.change_password('correct horse ada', 'another long password')$$, 'change the password'),
               ($$saas_api.deactivate_account('correct horse ada')$$, 'deactivate the account')) as c (call, what);
select is(pg_temp.with_key(pg_temp.key('full'), $$saas_api.begin_second_factor('correct horse ada')$$),
          E'PT403\nsecond factors are changed in a session of their owner', 'nor enrol a second factor');
select is(pg_temp.with_key(pg_temp.key('full'), $$saas_api.switch_organization('bob-works')$$),
          E'PT403\nswitching the organization needs a session', 'nor enter another organization');
select is(pg_temp.with_key(pg_temp.key('full'), format('saas.require_membership(%L, ''viewer'')', :'org_a')),
          E'PT403\nRequires viewer role or higher', 'nor have a rank');
insert into saas.membership (org_id, user_id, role) values (:'org_b', :'ada', 'viewer');
select is(pg_temp.with_key(pg_temp.key('full'), '(select array_agg(m.org_id) from saas_api.my_organizations m)'),
          format('{%s}', :'org_a'), 'nor tell its creator''s other organizations');
delete from saas.membership where org_id = :'org_b' and user_id = :'ada';

--
-- Rotation
--
insert into made select 'second', tenants.answer(format('saas_api.rotate_api_key(%L)', pg_temp.id('first')), :'ada', :'org_a')::jsonb;
select is(pg_temp.id('second'), pg_temp.id('first'), 'a rotated key is the same key');
select isnt(pg_temp.key('second'), pg_temp.key('first'), 'with another text');
select is(pg_temp.verdict(pg_temp.key('second')), 'accepted', 'the new one is good');
select is(pg_temp.verdict(pg_temp.key('first')), 'accepted', 'and so is the old one');
select results_eq($$select prefix, overlap_until = rotated_at + interval '24 hours' from saas.api_key where id = pg_temp.id('first')$$,
                  $$values (left(pg_temp.key('second'), 12), true)$$, 'for a day');
insert into made select 'third', tenants.answer(format('saas_api.rotate_api_key(%L, ''1 hour'')', pg_temp.id('first')), :'ada', :'org_a')::jsonb;
select is(pg_temp.verdict(pg_temp.key('first')), :bad, 'another rotation ends the one before the last');
select is(pg_temp.verdict(pg_temp.key('second')) || pg_temp.verdict(pg_temp.key('third')), 'acceptedaccepted', 'two are good');
insert into made select 'fourth', tenants.answer(format('saas_api.rotate_api_key(%L, ''0'')', pg_temp.id('first')), :'ada', :'org_a')::jsonb;
select is(pg_temp.verdict(pg_temp.key('third')), :bad, 'without an overlap the old one ends at once');
select is(pg_temp.verdict(pg_temp.key('fourth')), 'accepted', 'and the new one is good');
select is(tenants.answer(format('saas_api.rotate_api_key(%L, %L)', pg_temp.id('first'), bad), :'ada', :'org_a'),
          E'22023\ninvalid input\n[{"field": "overlap", "message": "must be between 0 and 30 days"}]', format('an overlap of %s is refused', bad))
  from unnest(array['-1 second', '31 days', '100000 months -3000000 days']) as bad;
select is(tenants.answer(format('saas_api.rotate_api_key(%L)', pg_temp.id('first')), :'mia', :'org_a'),
          E'PT403\nonly its creator renews an API key', 'somebody else''s key is not rotated');

--
-- Revoking
--
select is(tenants.answer(format('saas_api.revoke_api_key(%L) ->> ''status''', pg_temp.id('first')), :'mia', :'org_a'), 'revoked',
          'but revoked by whoever manages applications');
select is(pg_temp.verdict(pg_temp.key('fourth')), :bad, 'which counts with the next transaction');
select is(tenants.answer(format('saas_api.revoke_api_key(%L) ->> ''status''', pg_temp.id('first')), :'mia', :'org_a'), 'revoked', 'twice is once');
select is(tenants.answer(format('saas_api.rotate_api_key(%L)', pg_temp.id('first')), :'ada', :'org_a'),
          E'PT409\nthe API key is revoked or expired', 'a revoked key is not rotated');
select is_empty($$select from saas_private.api_key_hash where api_key_id = pg_temp.id('first')$$, 'its hashes are gone');
select is(pg_temp.with_key(pg_temp.key('full'), format('saas_api.revoke_api_key(%L) ->> ''status''', pg_temp.id('full'))), 'revoked',
          'a key with manage_applications may end itself');

--
-- When a key was used, whatever became of the transaction
--
select pg_temp.make('used', :'ada', :'org_a', '{view_dashboard}');
select is(pg_temp.verdict(pg_temp.key('used')), 'accepted', 'a key is used in a transaction that is undone');
select is(pg_temp.verdict(pg_temp.key('used')), 'accepted', 'and again');
call saas.poll();
select ok(last_used_at between created_at and clock_timestamp(), 'the worker writes down when')
  from saas.api_key where id = pg_temp.id('used');
update saas.api_key set last_used_at = null where id = pg_temp.id('used');
select is(pg_temp.verdict(pg_temp.key('used')), 'accepted', 'a key is used within the same minute');
call saas.poll();
select is(last_used_at, null, 'which is not written down again') from saas.api_key where id = pg_temp.id('used');
select saas_private.write_note('key_used', pg_temp.id('used'), '2020-01-02', jsonb_build_object('org_id', :'org_a'));
select saas_private.write_note('key_used', pg_temp.id('used'), '2020-01-01', jsonb_build_object('org_id', :'org_a'));
select saas_private.write_note('key_used', pg_temp.id('used'), '2020-01-03', jsonb_build_object('org_id', :'org_b'));
select is(last_used_at, '2020-01-02', 'notes that come late change nothing') from saas.api_key where id = pg_temp.id('used');

--
-- Other organizations
--
select pg_temp.make('bob', :'bob', :'org_b', '{view_dashboard,manage_applications}');
select is(tenants.answer('(select array_agg(k.name) from saas_api.api_keys k)', :'bob', :'org_b'), '{"key bob"}', 'an organization sees its own keys');
select is(pg_temp.with_key(pg_temp.key('bob'), '(select array_agg(k.name) from saas_api.api_keys k)'), '{"key bob"}', 'with a key too');
select is(tenants.answer('(select count(*) from saas_api.api_keys k)', :'max', :'org_a'), '0', 'who does not manage applications sees none');
select is(tenants.answer(format('saas_api.%s(%L)', f, pg_temp.id('first')), :'bob', :'org_b'), E'PT404\nAPI key not found',
          format('%s does not find another organization''s key', f))
  from unnest(array['rotate_api_key', 'revoke_api_key']) as f;
set role saas_user;
select throws_ok('select from saas_private.api_key_hash', '42501', null, 'nobody reads the hashes');
reset role;

select * from finish();
