-- What a hostile review tried: wrong answers from caches, missing arguments,
-- CASCADE over customers' tables, rights planted before the installation,
-- secrets in errors.
\set email '\'ada@hardening.example\''

-- Other sessions' settings: in a session that has compiled no function yet.
create table public.kept (name text primary key, value text);
create function pg_temp.outcome(statement text) returns text language plpgsql as $$
begin
    execute statement;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
set client_min_messages = error;
set saas.bcrypt_cost = 10;
set standard_conforming_strings = off;
insert into public.kept values
    ('sign up', pg_temp.outcome('select saas_api.sign_up(''ada@hardening.example'', ''correct horse'', ''Ada'', ''Lovelace'', ''Hardening A'')')),
    ('no address', pg_temp.outcome('select saas_api.sign_up(''ada..b@hardening.example'', ''correct horse'', ''Ada'', ''Lovelace'')')),
    ('control character', pg_temp.outcome('select saas_api.sign_up(''bob@hardening.example'', ''correct horse'', chr(1) || ''Bob'', ''Babbage'')'));
begin;
select set_config('request.headers', '{"authorization": "Bearer a.b.c"}', true) as ok \gset
insert into public.kept select 'request', pg_temp.outcome('select saas.pre_request()');
commit;
insert into public.kept select 'partition', pg_temp.outcome('select saas_private.ensure_reading_partition(''2031-01-01'')');
\c
set client_min_messages = warning;

select plan(85);
set saas.bcrypt_cost = 10;

-- What a statement answers; what it did is undone.
create function pg_temp.refusal(statement text) returns text language plpgsql as $$
begin
    execute statement;
    raise exception using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then
        return 'accepted';
    when others then
        return sqlstate;
end
$$;
-- Everything an error says.
create function pg_temp.words(statement text) returns text language plpgsql as $$
declare
    message text; detail text; hint text; context text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint,
                            context = pg_exception_context;
    return concat_ws(E'\n', sqlstate, message, detail, hint, context);
end
$$;
create function pg_temp.fields(statement text) returns text language plpgsql as $$
declare
    detail text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    return concat_ws(' ', sqlstate, case when detail like '[{%' then
        (select string_agg(f ->> 'field', ',') from jsonb_array_elements(detail::jsonb) as f) end);
end
$$;

select is(value, 'accepted', 'without standard_conforming_strings somebody signs up') from public.kept where name = 'sign up';
select is(value, '22023 invalid input', 'a bad address is still none') from public.kept where name = 'no address';
select is(value, '22023 invalid input', 'a control character is still one') from public.kept where name = 'control character';
select is(value, 'PT401 Invalid or expired token', 'a request''s token is looked at') from public.kept where name = 'request';
select is(value, 'accepted', 'a partition is made') from public.kept where name = 'partition';
select saas_api.sign_up(:email, 'correct horse', 'Ada', 'Lovelace', 'Hardening A') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select id as ada from saas.app_user where email = :email \gset
select id as org_a from saas.organization where slug = 'hardening-a' \gset

--
-- One expression, several answers
--
create function pg_temp.holds(variadic permissions text[]) returns boolean[] language plpgsql as $$
declare
    permission text;
    answers boolean[] := '{}';
    answer boolean;
begin
    foreach permission in array permissions loop
        answer := saas.has_permission(permission);
        answers := answers || answer;
    end loop;
    return answers;
end
$$;
create function pg_temp.organizations(variadic permissions text[]) returns uuid[] language plpgsql as $$
declare
    permission text;
    answers uuid[] := '{}';
    answer uuid;
begin
    foreach permission in array permissions loop
        answer := saas.org_if(permission);
        answers := answers || answer;
    end loop;
    return answers;
end
$$;
create function pg_temp.refusals(variadic permissions text[]) returns text[] language plpgsql as $$
declare
    permission text;
    answers text[] := '{}';
begin
    foreach permission in array permissions loop
        begin
            perform saas.require_permission(permission);
            answers := answers || 'accepted'::text;
        exception when others then
            answers := answers || sqlstate::text;
        end;
    end loop;
    return answers;
end
$$;
create function pg_temp.current_organization() returns uuid language plpgsql as $$ begin return saas.org_if('view_dashboard'); end $$;

update saas.membership set role = 'viewer' where org_id = :'org_a';
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
set local role saas_user;
select is(pg_temp.holds('view_dashboard', 'manage_settings', 'view_dashboard'), '{t,f,t}',
          'has_permission answers for the present value of a variable');
select is(pg_temp.holds('manage_settings', 'view_dashboard', null, 'no_such', 'view_dashboard'), '{f,t,f,f,t}',
          'in whatever order the values come');
select is(pg_temp.organizations('view_dashboard', 'manage_settings', 'view_dashboard'), array[:'org_a', null, :'org_a']::uuid[],
          'org_if does');
select is(pg_temp.organizations('manage_settings', 'view_dashboard', null), array[null, :'org_a', null]::uuid[],
          'in whatever order the values come');
select is(pg_temp.refusals('view_dashboard', 'manage_settings', 'view_dashboard'), '{accepted,PT403,accepted}', 'require_permission does');
select is(pg_temp.current_organization(), :'org_a', 'a constant is answered for the present identity');
commit;
select is(pg_temp.current_organization(), null, 'and for none after it');
prepare holds(text) as select saas.has_permission($1), saas.org_if($1);
set plan_cache_mode = force_generic_plan;
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
set local role saas_user;
select results_eq('execute holds(''view_dashboard'')', format('values (true, %L::uuid)', :'org_a'), 'a prepared statement has the permission');
select results_eq('execute holds(''manage_settings'')', 'values (false, null::uuid)', 'and the next execution lacks another');
select results_eq('select saas.has_permission(p) from unnest(array[''view_dashboard'', ''manage_settings'', ''view_dashboard'']) as p',
                  array[true, false, true], 'rows of one query have their own answers');
commit;
reset plan_cache_mode;
update saas.membership set role = 'owner' where org_id = :'org_a';

--
-- Missing arguments: an error or nothing, and the session goes on.
--
create function pg_temp.survives(statement text) returns boolean language sql as $$ select pg_temp.words(statement) is not null $$;
select ok(pg_temp.survives('select saas_private.run_script(null)'), 'running no script');
select ok(pg_temp.survives('select * from saas_private.seal_secrets(null, null, null, ''{"a": "b"}'')'), 'sealing secrets of nothing');
select ok(pg_temp.survives(format('select * from saas_private.seal_secrets(%L, null, null, ''{"a": "b"}'')', :'org_a')),
          'sealing secrets of no connection');
select ok(pg_temp.survives(format('select * from saas_private.seal_secrets(%L, %L, null, ''{"a": "b"}'')', :'org_a', :'org_a')),
          'sealing secrets of no origin');
select is((select count(*) from saas_private.seal_secrets(null, null, null, '{"a": "b"}')), 0::bigint, 'seals nothing');
select ok(pg_temp.survives('select * from saas_private.poll_now(null, null, null, null)'), 'polling nothing');
select ok(pg_temp.survives(format('select * from saas_private.poll_now(%L, null, false, 1000)', :'org_a')), 'polling no connections');
select ok(pg_temp.survives(format('select * from saas_private.poll_now(null, array[%L]::uuid[], false, 1000)', :'org_a')),
          'polling for no organization');
select ok(pg_temp.survives(format('select * from saas_private.poll_now(%L, array[%L]::uuid[], null, null)', :'org_a', :'org_a')),
          'polling without a time limit');
-- Every function of ours, whoever may call it.
create table public.tried as
select p.oid::regprocedure as what,
       pg_temp.survives(format('%s %I.%I(%s)', case p.prokind when 'p' then 'call' else 'select' end, n.nspname, p.proname,
           (select string_agg('null::' || format_type(a.type, null), ', ' order by a.number)
              from unnest(p.proargtypes) with ordinality as a (type, number)))) as survived
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
 where n.nspname in ('saas', 'saas_api', 'saas_private') and p.prokind in ('f', 'p') and p.pronargs > 0
   and not ('internal'::regtype = any (p.proargtypes) or 'cstring'::regtype = any (p.proargtypes));
select cmp_ok((select count(*) from public.tried where survived), '>', 40::bigint, 'every function with nothing but nulls');
select ok(bool_and(survived), 'leaves the session alive') from public.tried;

--
-- Suspended organizations
--
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
set local role saas_user;
select saas_api.create_organization('Hardening B', 'hardening-b') as ok \gset
commit;
select id as org_b from saas.organization where slug = 'hardening-b' \gset
select saas_api.sign_in(:email, 'correct horse') ->> 'access_token' as token \gset
begin;
select saas.authenticate(:'token') as ok \gset
set local role saas_user;
select saas_api.switch_organization('hardening-b') as ok \gset
commit;
select saas_api.sign_in(:email, 'correct horse') as there \gset
select is(:'there'::jsonb #>> '{organization,slug}', 'hardening-b', 'sign-in returns to the organization of before');
update saas.organization set status = 'suspended' where id = :'org_b';
set role saas_anon;
select saas_api.sign_in(:email, 'correct horse') as elsewhere \gset
select saas_api.refresh_session(:'there'::jsonb ->> 'refresh_token') as refreshed \gset
reset role;
select is(:'elsewhere'::jsonb #>> '{organization,slug}', 'hardening-a', 'when that is suspended, to another');
select is(:'elsewhere'::jsonb #>> '{membership,role}', 'owner', 'with the role there');
select is(:'refreshed'::jsonb #>> '{organization,slug}', 'hardening-a', 'a refresh leaves a suspended organization too');
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'elsewhere'::jsonb ->> 'access_token')), 'accepted', 'and its token is good');
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'refreshed'::jsonb ->> 'access_token')), 'accepted', 'after a refresh too');
update saas.organization set status = 'suspended' where id = :'org_a';
set role saas_anon;
select saas_api.sign_in(:email, 'correct horse') as nowhere \gset
select saas_api.refresh_session(:'refreshed'::jsonb ->> 'refresh_token') as refreshed \gset
reset role;
select is(:'nowhere'::jsonb -> 'organization', 'null', 'with suspended ones only sign-in answers no organization');
select is(:'nowhere'::jsonb -> 'membership', 'null', 'and no membership');
select is(:'refreshed'::jsonb -> 'organization', 'null', 'a refresh neither');
begin;
select is(pg_temp.words(format('select saas.authenticate(%L)', :'nowhere'::jsonb ->> 'access_token')), 'accepted', 'its token is good');
select is(saas.current_user_id(), :'ada', 'for the user');
select is(saas.current_org_id(), null, 'without an organization');
commit;
update saas.organization set status = 'active';
set role saas_anon;
select saas_api.refresh_session(:'refreshed'::jsonb ->> 'refresh_token') as refreshed \gset
reset role;
select isnt(:'refreshed'::jsonb -> 'organization', 'null', 'once active again a refresh finds one');

--
-- Headers that are none
--
\set bearer 'Bearer sesame.open.now'
create function pg_temp.request(headers text) returns text language plpgsql as $$
begin
    perform set_config('request.headers', headers, true);
    return pg_temp.words('select saas.pre_request()');
end
$$;
create table public.headers as
select pg_temp.request(h) as answer, saas.is_authenticated() as signed_in
  from unnest(array[format('{"authorization": "%s"', :'bearer'), format('{"authorization": %s}', :'bearer'), :'bearer',
                    format('["authorization", "%s"]', :'bearer'), format('{"authorization": ["%s"]}', :'bearer'),
                    format('{"authorization": {"a": "%s"}}', :'bearer'), format('"%s"', :'bearer'),
                    format('{"authorization": "%s", "x": "\u0000"}', :'bearer'), format('{"authorization": "%s\ud800"}', :'bearer')]) as h;
select ok(bool_and(answer = 'accepted' or answer ~ '^PT401'), 'malformed headers are no request''s error') from public.headers;
select ok(bool_and(answer !~ 'sesame'), 'and their token is in no part of an error') from public.headers;
select ok(bool_and(not signed_in), 'nobody is signed in by them') from public.headers;
select is(left(pg_temp.request(jsonb_build_object('authorization', :'bearer')::text), 5), 'PT401', 'a bad token in good headers is refused');
select unalike(pg_temp.request(jsonb_build_object('authorization', :'bearer')::text), '%sesame%', 'and not repeated');

--
-- Tickets belong to a login, not to its name.
--
create role hardening_operator login;
grant saas_operator to hardening_operator;
set session authorization hardening_operator;
select saas.open_ticket(:'org_a', 'a customer asked') as ok \gset
select is(pg_temp.words(format('select saas.assume_identity(%L, %L)', :'ada', :'org_a')), 'accepted', 'an operator''s ticket counts');
reset session authorization;
drop role hardening_operator;
create role hardening_operator login;
grant saas_operator to hardening_operator;
set session authorization hardening_operator;
select is(pg_temp.refusal(format('select saas.assume_identity(%L, %L)', :'ada', :'org_a')), 'PT403',
          'the ticket of a login that was dropped does not count for a new one of its name');
select saas.open_ticket(:'org_a', 'the customer asked again') as ok \gset
select is(pg_temp.refusal(format('select saas.assume_identity(%L, %L)', :'ada', :'org_a')), 'accepted', 'which needs its own');
reset session authorization;
alter role hardening_operator rename to hardening_renamed;
set session authorization hardening_renamed;
select is(pg_temp.refusal(format('select saas.assume_identity(%L, %L)', :'ada', :'org_a')), 'accepted', 'and keeps it under another name');
reset session authorization;
drop role hardening_renamed;

--
-- Sizes
--
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
set local role saas_user;
\set call 'select saas_api.create_connection(''prometheus'', ''c'', %s, %s, tags => %s)'
\set good '\'\'\'{"url": "https://metrics.example/"}\'\'\''
select is(pg_temp.fields(format(:'call', :good, '''{}''', 'jsonb_build_object(''a'', repeat(''x'', 9000))')), '22023 tags',
          'tags of more than 8 kB are refused by name');
select is(pg_temp.fields(format(:'call', :good, '''{}''', '(select jsonb_object_agg(md5(i::text), i) from generate_series(1, 1000) as i)')), '22023 tags',
          'many too');
select is(pg_temp.fields(format(:'call', :good, '''{}''', 'jsonb_build_object(''a'', repeat(''x'', 100000000))')), '22023 tags', 'and huge ones');
select is(pg_temp.refusal(format(:'call', :good, '''{}''', 'jsonb_build_object(''a'', repeat(''x'', 8000))')), 'accepted', 'smaller ones are taken');
select is(pg_temp.fields(format(:'call', 'jsonb_build_object(''url'', ''https://metrics.example/'' || repeat(''x'', 70000))', '''{}''', '''{}''')),
          '22023 config', 'a config of more than 64 kB is refused by name');
select is(pg_temp.fields(format(:'call', '(select jsonb_object_agg(md5(i::text), i) from generate_series(1, 100000) as i)', '''{}''', '''{}''')),
          '22023 config', 'with many keys too');
select is(pg_temp.fields(format(:'call', 'jsonb_build_object(''url'', repeat(''x'', 100000000))', '''{}''', '''{}''')), '22023 config', 'and a huge one');
select is(pg_temp.fields(format(:'call', :good, 'jsonb_build_object(''bearer_token'', repeat(''x'', 70000))', '''{}''')), '22023 secrets',
          'secrets of more than 64 kB too');
select is(pg_temp.refusal(format(:'call', :good, '''{}''', '''{}''')), 'accepted', 'what is left out is not too large');
rollback;

--
-- Nothing drops customers' tables but what names them.
--
create role hardening_stranger nologin;
select nspname as home from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname = 'pgcrypto' \gset
create schema crypto_home;
alter extension pgcrypto set schema crypto_home;
select is((select extnamespace::regnamespace::text from pg_extension where extname = 'pg_saas'), 'pg_catalog', 'the extension''s schema is one that stays');
select is(pg_temp.refusal('drop schema public cascade'), 'accepted', 'schema public is no part of the tables');
select is(pg_temp.refusal('drop schema crypto_home cascade'), '2BP01', 'the schema of pgcrypto does not go with the tables');
alter extension pgcrypto set schema public;
-- On its way to the refusal such a command waits for tables that the poller uses.
select is(coalesce(nullif(pg_temp.refusal(command), '40P01'), pg_temp.refusal(command)), '2BP01', command || ' is refused')
  from unnest(array['drop schema public cascade', 'drop extension pgcrypto cascade', 'drop extension if exists pgcrypto, pg_saas cascade',
                    'drop extension pg_saas cascade', 'drop extension pg_saas', 'drop schema saas cascade', 'drop schema saas_private cascade',
                    'drop schema saas, saas_api, saas_private, public cascade', 'drop owned by saas_owner cascade',
                    'drop owned by saas_owner, saas_service, saas_poller']) as command;
select is((select count(*) from saas.app_user), 1::bigint, 'the rows are there');
select is((select count(*) from saas.organization), 2::bigint, 'all of them');
select is(pg_temp.refusal(format('do %L', 'begin execute ''drop schema public cascade''; end')), '2BP01', 'from inside a function it is refused too');

--
-- Rights planted before saas.install()
--
drop table public.kept, public.tried, public.headers;
select saas.uninstall(current_database()) as ok \gset
create function pg_temp.install_after(planted text) returns text language plpgsql as $$
declare
    answer text;
begin
    execute planted;
    answer := pg_temp.refusal('select saas.install()');
    raise exception using errcode = 'ZZ000';
exception when sqlstate 'ZZ000' then
    return answer;
end
$$;
select is(pg_temp.install_after(planted), '42710', planted || ' is refused')
  from unnest(array['alter default privileges for role saas_owner grant all on tables to hardening_stranger',
                    'alter default privileges for role saas_owner grant select on tables to public',
                    'alter default privileges for role saas_owner in schema saas_private grant select on tables to hardening_stranger',
                    'alter default privileges for role saas_service grant execute on functions to hardening_stranger',
                    'alter default privileges for role saas_service in schema saas grant execute on functions to public',
                    'grant hardening_stranger to saas_owner', 'grant pg_write_all_data to saas_service',
                    'grant pg_read_all_data to saas_poller', 'grant saas_service to saas_user',
                    'grant saas_owner to hardening_stranger', 'grant saas_service to hardening_stranger']) as planted;
select is(pg_temp.refusal('select saas.install()'), 'accepted', 'with nothing planted it installs');
drop role hardening_stranger;
select * from finish();
