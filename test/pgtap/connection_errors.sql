-- Every error that the comments on connections' functions name, once: the list
-- below is what they document, and each of its calls is answered so.
select no_plan();
\ir ../lib/tenants.sql
call tenants.hold_poller();

-- ada owns works, adm is an admin there with a connection of their own, which
-- is turned off, and vic may next to nothing; bob owns other; key is ada's API
-- key, peek one that may only look.
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select tenants.answer('saas_api.create_role(''hand'', ''{manage_workflows}'', 5)', :'ada', :'works') is not null as ok \gset
select tenants.join('vic', :'works', 'hand') as vic, tenants.join('adm', :'works', 'admin') as adm \gset
create table pg_temp.person (who text primary key, user_id uuid, org_id uuid, key text);
insert into pg_temp.person (who, user_id, org_id)
values ('ada', :'ada', :'works'), ('bob', :'bob', :'other'), ('vic', :'vic', :'works'), ('adm', :'adm', :'works');
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as token \gset
begin;
select saas.authenticate(:'token') as ok \gset
select saas_api.create_api_key('key', '{view_dashboard,manage_connections}') ->> 'key' as key,
       saas_api.create_api_key('peek', '{view_dashboard}') ->> 'key' as peek \gset
commit;
insert into pg_temp.person (who, key) values ('key', :'key'), ('peek', :'peek');

-- What a call is answered: nobody has no identity, anon is saas_anon, dba a
-- superuser.
create function pg_temp.answered(who text, call text) returns text language plpgsql as $$
declare
    person record;
    state text;
    message text;
begin
    select p.* into person from pg_temp.person p where p.who = answered.who;
    if person.key is not null then
        perform saas.authenticate(person.key);
    elsif person.user_id is not null then
        perform saas.assume_identity(person.user_id, person.org_id);
    end if;
    if answered.who = 'anon' then
        set local role saas_anon;
    elsif answered.who <> 'dba' then
        set local role saas_user;
    end if;
    execute 'select ' || call;
    raise exception using errcode = 'ZZ000', message = 'accepted';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    return state || ' ' || message;
end
$$;
create function pg_temp.url(name text) returns text language sql as $$ select format('{"url": "https://%s.example.com/"}', name) $$;

create table pg_temp.thing (name text primary key, id uuid);
insert into pg_temp.thing select 'one', (tenants.answer(format('saas_api.create_connection(''prometheus'', ''One'', %L)->>''id''', pg_temp.url('one')), :'ada', :'works'))::uuid;
insert into pg_temp.thing select 'two', (tenants.answer(format('saas_api.create_connection(''prometheus'', ''Two'', %L)->>''id''', pg_temp.url('two')), :'ada', :'works'))::uuid;
insert into pg_temp.thing select 'own', (tenants.answer(format('saas_api.create_connection(''prometheus'', ''Own'', %L)->>''id''', pg_temp.url('own')), :'adm', :'works'))::uuid;
insert into pg_temp.thing select 'adas', (tenants.answer(format('saas_api.create_connection(''prometheus'', ''Ada'''' own'', %L)->>''id''', pg_temp.url('adas')), :'ada', :'works'))::uuid;
-- As their members have made them, who came with no ticket.
update saas.connection set owner_id = created_by, is_active = false where name in ('Own', 'Ada'' own');
insert into pg_temp.thing select 'group', (tenants.answer('saas_api.create_connection_group(''Ops'')->>''id''', :'ada', :'works'))::uuid;
insert into pg_temp.thing select 'sales', (tenants.answer('saas_api.create_connection_group(''Sales'')->>''id''', :'ada', :'works'))::uuid;
insert into pg_temp.thing select 'foreign', (tenants.answer(format('saas_api.create_connection(''prometheus'', ''Foreign'', %L)->>''id''', pg_temp.url('one')), :'bob', :'other'))::uuid;
insert into pg_temp.thing select 'foreign group', (tenants.answer('saas_api.create_connection_group(''Ops'')->>''id''', :'bob', :'other'))::uuid;
create table pg_temp.made as
select n as label, tenants.answer(format('saas_api.create_connection_token(''prometheus'', %L)', n), :'ada', :'works')::jsonb as answer
  from unnest(array['good', 'used']) n;
insert into pg_temp.thing select label || ' token', (answer ->> 'id')::uuid from pg_temp.made;
update saas.connection_token set used_at = now() where name = 'used';
\set token '(select answer ->> ''token'' from pg_temp.made where label = ''good'')'
select :token as token \gset
create function pg_temp.id(name text) returns uuid language sql as $$ select t.id from pg_temp.thing t where t.name = id.name $$;

create table pg_temp.documented (fn text, who text, call text, said text);
\set nobody '''PT401 Access token required'''
\set lacks '''PT403 permission denied by the organization''''s roles'''
\set invalid '''22023 invalid input'''
\set theirs '''PT403 the connection is another member''''s own'''
\set no_key '''PT403 not possible with an API key'''
\set no_connection '''PT404 connection not found'''
\set no_group '''PT404 group not found'''
\set taken '''23505 already connected'''
-- Nobody, who lacks the permission, a key that lacks it, and bad input.
insert into pg_temp.documented
select f.fn, v.who, v.call, v.said
  from (values
    ('create_connection', format('saas_api.create_connection(''prometheus'', ''X'', %L)', pg_temp.url('x')), format('saas_api.create_connection(''prometheus'', '''', %L)', pg_temp.url('x'))),
    ('set_connection_secrets', format('saas_api.set_connection_secrets(%L, ''{}'')', pg_temp.id('one')), null),
    ('update_connection', format('saas_api.update_connection(%L, ''{}'')', pg_temp.id('one')), format('saas_api.update_connection(%L, ''[]'')', pg_temp.id('one'))),
    ('set_connection_active', format('saas_api.set_connection_active(%L, true)', pg_temp.id('one')), format('saas_api.set_connection_active(%L, null)', pg_temp.id('one'))),
    ('refresh_connections', 'saas_api.refresh_connections()', 'saas_api.refresh_connections(null, 99)'),
    ('test_connection', format('saas_api.test_connection(%L)', pg_temp.id('one')), format('saas_api.test_connection(%L, 99)', pg_temp.id('one'))),
    ('delete_connection', format('saas_api.delete_connection(%L, ''One'')', pg_temp.id('one')), format('saas_api.delete_connection(%L, ''one'')', pg_temp.id('one'))),
    ('create_connection_group', 'saas_api.create_connection_group(''X'')', 'saas_api.create_connection_group('''')'),
    ('update_connection_group', format('saas_api.update_connection_group(%L, ''{}'')', pg_temp.id('group')), format('saas_api.update_connection_group(%L, ''{"x": 1}'')', pg_temp.id('group'))),
    ('set_group_members', format('saas_api.set_group_members(%L, ''{}'')', pg_temp.id('group')), format('saas_api.set_group_members(%L, array_fill(gen_random_uuid(), array[10001]))', pg_temp.id('group'))),
    ('delete_connection_group', format('saas_api.delete_connection_group(%L)', pg_temp.id('group')), null),
    ('create_connection_token', 'saas_api.create_connection_token(''prometheus'')', 'saas_api.create_connection_token(''x'')'),
    ('revoke_connection_token', format('saas_api.revoke_connection_token(%L)', pg_temp.id('good token')), null),
    ('aws_role_policies', format('saas_api.aws_role_policies(%L)', pg_temp.id('one')), null)) as f (fn, call, bad)
 cross join lateral (values ('nobody', f.call, :nobody), ('vic', f.call, :lacks), ('peek', f.call, 'PT403 permission denied by the organization''s roles'), ('ada', f.bad, :invalid)) as v (who, call, said)
 where v.call is not null;
insert into pg_temp.documented values
    ('connection_limit', 'nobody', 'saas_api.connection_limit()', :nobody),
    ('connection_limit', 'vic', 'saas_api.connection_limit()', :lacks),
    ('create_connection', 'key', format('saas_api.create_connection(''prometheus'', ''X'', %L, personal => true)', pg_temp.url('x')), :no_key),
    ('create_connection', 'ada', format('saas_api.create_connection(''prometheus'', ''X'', %L, group_id => %L)', pg_temp.url('x'), pg_temp.id('foreign group')), :no_group),
    ('create_connection', 'ada', format('saas_api.create_connection(''prometheus'', ''X'', %L)', pg_temp.url('one')), :taken),
    ('create_connection', 'bob', format('saas_api.create_connection(''prometheus'', ''X'', %L)', pg_temp.url('x')), 'PT402 the plan allows no more connections'),
    ('set_connection_secrets', 'ada', format('saas_api.set_connection_secrets(%L, ''{}'')', pg_temp.id('own')), :theirs),
    ('set_connection_secrets', 'key', format('saas_api.set_connection_secrets(%L, ''{}'')', pg_temp.id('adas')), :no_key),
    ('set_connection_secrets', 'ada', format('saas_api.set_connection_secrets(%L, ''{}'')', pg_temp.id('foreign')), :no_connection),
    ('set_connection_secrets', 'ada', format('saas_api.set_connection_secrets(%L, ''[]'')', pg_temp.id('one')), '22023 invalid configuration for a prometheus connection'),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, ''{"config": {}}'')', pg_temp.id('own')), :theirs),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, ''{"secrets": {}}'')', pg_temp.id('own')), :theirs),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, ''{"features": {}}'')', pg_temp.id('own')), :theirs),
    ('update_connection', 'key', format('saas_api.update_connection(%L, ''{"config": {}}'')', pg_temp.id('adas')), :no_key),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, ''{}'')', pg_temp.id('foreign')), :no_connection),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, %L)', pg_temp.id('one'), jsonb_build_object('group_id', pg_temp.id('foreign group'))), :no_group),
    ('update_connection', 'ada', format('saas_api.update_connection(%L, %L)', pg_temp.id('two'), '{"config": ' || pg_temp.url('one') || '}'), :taken),
    ('set_connection_active', 'ada', format('saas_api.set_connection_active(%L, true)', pg_temp.id('own')), :theirs),
    ('set_connection_active', 'key', format('saas_api.set_connection_active(%L, true)', pg_temp.id('adas')), :no_key),
    ('set_connection_active', 'ada', format('saas_api.set_connection_active(%L, true)', pg_temp.id('foreign')), :no_connection),
    ('refresh_connections', 'ada', 'saas_api.refresh_connections(array_fill(gen_random_uuid(), array[10001]))', :invalid),
    ('refresh_connections', 'ada', '(select saas_api.refresh_connections() from (select pg_current_xact_id() as id offset 0) x where x.id is not null)',
        '25001 cannot wait for a poll in a transaction that has written'),
    ('test_connection', 'ada', format('(select saas_api.test_connection(%L) from (select pg_current_xact_id() as id offset 0) x where x.id is not null)', pg_temp.id('one')),
        '25001 cannot wait for a poll in a transaction that has written'),
    ('test_connection', 'ada', format('saas_api.test_connection(%L)', pg_temp.id('own')), :theirs),
    ('test_connection', 'ada', format('saas_api.test_connection(%L)', pg_temp.id('foreign')), :no_connection),
    ('delete_connection', 'ada', format('saas_api.delete_connection(%L, ''Foreign'')', pg_temp.id('foreign')), :no_connection),
    ('create_connection_group', 'ada', 'saas_api.create_connection_group(''OPS'')', '23505 a group has that name already'),
    ('update_connection_group', 'ada', format('saas_api.update_connection_group(%L, ''{"name": "SALES"}'')', pg_temp.id('group')), '23505 a group has that name already'),
    ('update_connection_group', 'ada', format('saas_api.update_connection_group(%L, ''{}'')', pg_temp.id('foreign group')), :no_group),
    ('set_group_members', 'ada', format('saas_api.set_group_members(%L, ''{}'')', pg_temp.id('foreign group')), :no_group),
    ('set_group_members', 'ada', format('saas_api.set_group_members(%L, %L)', pg_temp.id('group'), array[pg_temp.id('foreign')]), :no_connection),
    ('set_group_members', 'ada', format('saas_api.set_group_members(%L, ''{null}'')', pg_temp.id('group')), :no_connection),
    ('delete_connection_group', 'ada', format('saas_api.delete_connection_group(%L)', pg_temp.id('foreign group')), :no_group),
    ('confirm_connection_token', 'anon', 'saas_api.confirm_connection_token(''x'')', '22023 invalid or expired token'),
    ('confirm_connection_token', 'anon', format('saas_api.confirm_connection_token(%L, config => ''[]'')', :'token'), :invalid),
    ('confirm_connection_token', 'anon', format('saas_api.confirm_connection_token(%L, config => %L)', :'token', pg_temp.url('one')), :taken),
    ('revoke_connection_token', 'bob', format('saas_api.revoke_connection_token(%L)', pg_temp.id('good token')), 'PT404 connection token not found'),
    ('revoke_connection_token', 'ada', format('saas_api.revoke_connection_token(%L)', pg_temp.id('used token')), 'PT409 the token was used already'),
    ('aws_role_policies', 'ada', format('saas_api.aws_role_policies(%L)', pg_temp.id('one')), :no_connection),
    ('set_plan_limit', 'dba', 'saas.set_plan_limit(''gold'', ''connections'', 1)', :invalid);
select saas.set_plan(:'other', 'free') as ok \gset
-- Each in a transaction of its own, which has one identity.
select format('select is(pg_temp.answered(%L, %L), %L, %L)', who, call, said, format('%s: %s', who, call))
  from pg_temp.documented order by fn, who, call
\gexec

-- What is not a call alone: a plan that is full, many tries, many groups.
select saas.set_plan(:'works', 'free') as ok \gset
select is(pg_temp.answered('anon', format('saas_api.confirm_connection_token(%L, config => %L)', :'token', pg_temp.url('new'))), 'PT402 the plan allows no more connections',
          'a token connects nothing beyond the plan');
select saas.set_plan(:'works', 'enterprise') as ok \gset
do $$ begin for n in 1..10 loop perform pg_temp.answered('anon', format('saas_api.confirm_connection_token(%L, config => ''[]'')', (select answer ->> 'token' from pg_temp.made where label = 'good'))); end loop; end $$;
select is(pg_temp.answered('anon', format('saas_api.confirm_connection_token(%L, config => ''[]'')', :'token')), 'PT429 Too many attempts', 'many tries with a token have to wait');
select saas_private.take_attempt('connection_tokens', :'works', 100, '1 second', '1 minute', '1 hour') as taken from generate_series(1, 101) \g /dev/null
select is(pg_temp.answered('ada', 'saas_api.create_connection_token(''prometheus'')'), 'PT429 Too many attempts', 'many new tokens too');
begin;
insert into saas.connection_group (org_id, name) select :'works', 'group ' || n from generate_series(1, 1000) n;
select is(pg_temp.answered('ada', 'saas_api.create_connection_group(''One more'')'), '54000 an organization has at most 1000 groups', 'a thousand groups are enough');
rollback;
-- Where nobody polls and where many wait: test/tap/poller_lifecycle.t and test/tap/connections.t.
insert into pg_temp.documented values
    ('confirm_connection_token', null, null, 'PT402'), ('confirm_connection_token', null, null, 'PT429'), ('create_connection_token', null, null, 'PT429'),
    ('create_connection_group', null, null, '54000'), ('refresh_connections', null, null, 'PT503'), ('test_connection', null, null, 'PT503'),
    ('refresh_connections', null, null, 'PT429'), ('test_connection', null, null, 'PT429');

-- Nothing is documented that is not above, and nothing above that is not documented.
select set_eq($$select p.proname::text, m.code[1]
                  from pg_proc p
                  join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
                 cross join lateral regexp_matches(substring(d.description from 'Errors: (.*)$'), '\m(PT[0-9]{3}|[0-9]{5})\M', 'g') as m (code)
                 where p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace)
                   and p.proname::text in (select fn from pg_temp.documented)$$,
              'select distinct fn, left(said, 5) from pg_temp.documented', 'the list is what the comments say');
select is_empty($$select p.proname from pg_proc p
                   where p.pronamespace = 'saas_api'::regnamespace and p.proname ~ 'connection'
                     and p.proname::text not in (select fn from pg_temp.documented)$$, 'of all functions of connections');
-- Who has no account holds a token or nothing.
select is((select string_agg(p.proname, ',') from pg_proc p
            where p.pronamespace = 'saas_api'::regnamespace and p.proname ~ 'connection' and has_function_privilege('saas_anon', p.oid, 'execute')),
          'confirm_connection_token', 'saas_anon confirms tokens and nothing else');
select is_empty($$select c.oid::regclass from pg_class c where c.relname ~ 'connection|poll|plan_limit' and c.relkind in ('r', 'v', 'p')
                   and c.relnamespace in ('saas'::regnamespace, 'saas_private'::regnamespace, 'saas_api'::regnamespace)
                   and (has_table_privilege('saas_anon', c.oid, 'select,insert,update,delete') or has_table_privilege('saas_user', c.oid, 'insert,update,delete,truncate')
                        or has_table_privilege('saas_user', c.oid, 'select') and c.relnamespace = 'saas_private'::regnamespace)$$,
                'reads no table, and tenants write none');
select * from finish();
