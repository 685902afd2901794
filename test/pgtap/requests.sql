-- HTTP requests as the database sees them: the answer's headers, the request's
-- id, where the token may stand, roles, PostgREST's configuration.
-- (Through HTTP: test/tap/gateway.t.  Malformed headers: hardening.sql.)
select no_plan();

create function pg_temp.caught(statement text) returns text language plpgsql as $$
begin
    execute statement;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
-- status and headers of the error that the statement ends with inside a request.
create function pg_temp.envelope(statement text) returns jsonb language plpgsql as $$
declare
    detail text;
begin
    perform set_config('request.method', 'GET', true);
    execute statement;
    return null;
exception when sqlstate 'PGRST' then
    get stacked diagnostics detail = pg_exception_detail;
    return detail::jsonb;
end
$$;
create function pg_temp.answer(header text) returns text language sql as $$
    select h ->> header from jsonb_array_elements(nullif(current_setting('response.headers', true), '')::jsonb) h where h ? header
$$;
create function pg_temp.request(headers jsonb) returns text language plpgsql as $$
begin
    perform set_config('response.headers', '', true), set_config('request.headers', headers::text, true);
    perform saas.pre_request();
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;

set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@requests.example', 'correct horse', 'Ada', 'Lovelace', 'Requests A') as ok \gset
select saas_api.sign_up('bob@requests.example', 'correct horse', 'Bob', 'Babbage', 'Requests B') as ok \gset
do $$ begin perform saas.confirm_user(id) from saas.app_user; end $$;
select saas_api.sign_in('ada@requests.example', 'correct horse') as ada_session \gset
select saas_api.sign_in('bob@requests.example', 'correct horse') as bob_session \gset
select :'ada_session'::jsonb ->> 'access_token' as ada_token, :'bob_session'::jsonb ->> 'access_token' as bob_token,
       :'ada_session'::jsonb #>> '{user,id}' as ada, :'bob_session'::jsonb #>> '{organization,id}' as org_b \gset

--
-- saas.set_header
--
begin;
set local role saas_anon;
select saas.set_header('X-One', '1') as ok \gset
select saas.set_header('Set-Cookie', 'a=1') as ok \gset
select saas.set_header('x-one', E'2\r\nX-Evil: yes\u0085') as ok \gset
select saas.set_header('Set-Cookie', 'ä=2') as ok \gset
select is(current_setting('response.headers')::jsonb, '[{"Set-Cookie": "a=1"}, {"x-one": "2X-Evil: yes"}, {"Set-Cookie": "ä=2"}]',
          'a header replaces its namesake, Set-Cookie appends, control characters go');
savepoint before;
select saas.set_header('X-Two', '2') as ok \gset
rollback to before;
select is(pg_temp.answer('X-Two'), null, 'a savepoint''s rollback takes its headers back');
select is(pg_temp.caught(format('select saas.set_header(%L, %L)', name, value)) ~ '^22023 ', true, format('%s is no header', to_json(left(name, 20))))
  from (values (null, 'x'), ('X', null), ('', 'x'), ('a b', 'x'), ('a:', 'x'), (E'a\r\nb', 'x'), ('ä', 'x'), (repeat('n', 65), 'x'),
               ('X', repeat('v', 4097))) as bad (name, value);
select is(pg_temp.caught($$select saas.set_header('Set-Cookie', 'x') from generate_series(1, 65)$$) ~ '^22023 ', true, 'an answer has at most 64 headers');
commit;
select is(coalesce(current_setting('response.headers', true), ''), '', 'headers end with the transaction');
begin;
set local response.headers = '[{"X-Other": "1"}, 7, {"a b": "c"}]';
select saas.set_header('X-One', '1') as ok \gset
select is(current_setting('response.headers')::jsonb, '[{"X-Other": "1"}, {"X-One": "1"}]', 'headers that other code has set stay');
set local response.headers = 'not json';
select saas.set_header('X-One', '1') as ok \gset
select is(current_setting('response.headers')::jsonb, '[{"X-One": "1"}]', 'what are no headers is replaced');
rollback;

--
-- Headers of errors
--
select is(pg_temp.envelope($$do $do$ begin
                                 perform saas.set_header(n, 'v') from unnest(array['X-Kept', 'Set-Cookie', 'Location', 'ETag', 'last-modified', 'Content-Type']) n;
                                 perform saas_private.raise_error('PT404', 'x');
                             end $do$ $$),
          '{"status": 404, "headers": {"X-Kept": "v"}}', 'an error keeps the headers but those that speak of the answer not given');
select is(pg_temp.envelope($$select saas_private.raise_error('PT429', 'x')$$), '{"status": 429, "headers": {"Retry-After": "1"}}', '429 says when to try again');
select is(pg_temp.envelope('select saas_private.raise_wait(' || seconds || ')'), format('{"status": 429, "headers": {"Retry-After": "%s"}}', expected)::jsonb,
          'throttles do too: ' || seconds)
  from (values (77, 77), (0, 1)) as w (seconds, expected);
select is(pg_temp.caught('select saas_private.raise_wait(77)'), 'PT429 Too many attempts', 'outside a request it is a plain error');
select is(pg_temp.envelope($$do $do$ begin
                                 perform saas.set_header('retry-after', '77'), saas.set_header('www-authenticate', 'Basic');
                                 perform saas_private.raise_error('PT429', 'x');
                             end $do$ $$),
          '{"status": 429, "headers": {"retry-after": "77", "www-authenticate": "Basic"}}', 'as the function has said');
select is(pg_temp.envelope($$do $do$ begin
                                 perform saas.set_header('www-authenticate', 'Basic');
                                 perform saas_private.raise_error('PT401', 'x');
                             end $do$ $$),
          '{"status": 401, "headers": {"www-authenticate": "Basic"}}', 'a challenge of the function''s own stands alone');
select is(pg_temp.envelope($$do $do$ begin
                                 perform set_config('response.headers', E'[{"X": "a\\r\\nSet-Cookie: b"}, {"Y\\r\\nZ": "c"}]', true);
                                 perform saas_private.raise_error('PT403', 'x');
                             end $do$ $$),
          '{"status": 403, "headers": {"X": "aSet-Cookie: b"}}', 'headers written past saas.set_header split no answer');
select is(pg_temp.envelope($$do $do$ begin
                                 perform set_config('response.headers', '{', true);
                                 perform saas_private.raise_error('PT403', 'x');
                             end $do$ $$),
          '{"status": 403, "headers": {}}', 'and nonsense does not hide the error');
select is(pg_temp.caught($$select saas_private.raise_error('PT400', E'a\u0085b\u009fc\u00a0d\u0080')$$), U&'PT400 a  b  c\00a0d  ', 'C1''s control characters become blanks in errors');

--
-- saas.pre_request: the request's id and the standing headers
--
begin;
select is(pg_temp.request('{}'), 'accepted', 'a request without a token is anonymous');
select is(saas.is_authenticated(), false, 'and nobody');
select matches(pg_temp.answer('X-Request-Id'), '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$', 'it gets an id');
select is(pg_temp.answer('Cache-Control'), 'no-store', 'nobody keeps the answer');
select matches(pg_temp.answer('Access-Control-Expose-Headers'), 'X-Request-Id.*RateLimit-Remaining.*Retry-After', 'scripts may read its headers');
select pg_temp.answer('X-Request-Id') as id \gset
select pg_temp.request('{}') as ok \gset
select isnt(pg_temp.answer('X-Request-Id'), :'id', 'each request has its own id');
create table public.ids as
select id, pg_temp.request(jsonb_build_object('x-request-id', id)) as verdict, pg_temp.answer('X-Request-Id') as answer
  from unnest(array['abc', 'A-1._~+/=:z', repeat('x', 64), repeat('x', 65), '', ' ', 'a b', E'a\r\nSet-Cookie: b', 'ä', 'a"b', 'a;b', '<a>', E'a\u0085']) as id;
select set_eq('select id from public.ids where answer = id', array['abc', 'A-1._~+/=:z', repeat('x', 64)], 'a sane id of the client is kept');
select is(count(*) filter (where answer ~ '^[0-9a-f-]{36}$'), 10::bigint, 'another is replaced') from public.ids;
rollback;

--
-- Where the token stands, and the role after it
--
select is(pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token', 'x-api-key', :'ada_token')),
          'PT400 a request has one identity', 'two tokens are refused');
select is(pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token', 'x-api-key', :'bob_token')),
          'PT400 a request has one identity', 'of two people too');
select matches(pg_temp.request('{"authorization": "Bearer a b"}'), '^PT401', 'two words are no token');
select matches(pg_temp.request('{"x-api-key": "saas_nonsense"}'), '^PT401', 'an unknown key is refused, not ignored');
select unalike(pg_temp.request('{"x-api-key": "saas_nonsense"}'), '%nonsense%', 'and not repeated');
select is(pg_temp.request('{"x-api-key": ""}'), 'accepted', 'an empty one is none');
select is(pg_temp.envelope($$do $do$ begin
                                 perform set_config('request.headers', '{"authorization": "Bearer x", "x-request-id": "trace-1"}', true), saas.pre_request();
                             end $do$ $$) #- '{headers,Access-Control-Expose-Headers}',
          '{"status": 401, "headers": {"X-Request-Id": "trace-1", "Cache-Control": "no-store", "WWW-Authenticate": "Bearer"}}',
          'a refused token''s answer carries the request''s id');

create role requests_gateway login noinherit;
grant saas_anon, saas_user to requests_gateway;
create role requests_anonymous login noinherit;
grant saas_anon to requests_anonymous;

set session authorization requests_gateway;
begin read only;
set local role saas_anon;
select pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token')) as verdict \gset
select current_user as who \gset
select tap.is(:'verdict'::text, 'accepted', 'a bearer token is verified under saas_anon');
select tap.is(:'who'::text, 'saas_anon', 'whose role the HTTP layer chooses');
rollback;
begin read only;
set local role saas_anon;
select pg_temp.request(jsonb_build_object('x-api-key', :'ada_token')) as verdict \gset
-- Before pgTAP writes down a result of its own.
select coalesce(pg_current_xact_id_if_assigned()::text, 'none') as xid \gset
select tap.is(:'verdict'::text, 'accepted', 'X-API-Key is verified');
select tap.is(current_user::text, 'saas_user', 'and the request goes on as saas_user');
select tap.is(saas.current_user_id(), :'ada'::uuid, 'with the key''s identity');
select tap.is(saas_api.me() #>> '{user,id}', :'ada', 'and saas_user''s rights');
select tap.is(:'xid'::text, 'none', 'and no transaction id is spent');
commit;
select tap.is(current_user::text, 'requests_gateway', 'the role ends with the transaction');
begin;
select pg_temp.caught(format('select set_config(''request.headers'', %L, true), saas.pre_request()', '{}')) as verdict \gset
select tap.matches(:'verdict'::text, '^42501', 'the login itself has no right to anything');
rollback;
begin;
set local role saas_user;
select pg_temp.request(jsonb_build_object('x-api-key', :'ada_token')) as verdict \gset
select tap.is(current_user::text, 'saas_user', 'saas_user stays saas_user');
rollback;
reset session authorization;

set session authorization requests_anonymous;
begin;
set local role saas_anon;
select tap.matches(pg_temp.request(jsonb_build_object('x-api-key', :'ada_token')), '^42501',
                   'a login that may not be saas_user does not become it');
select tap.is(current_user::text, 'saas_anon', 'by any key');
rollback;
reset session authorization;

begin read only;
select set_config('request.jwt.claims', jsonb_build_object('sub', :'ada', 'org', :'org_b', 'org_role', 'owner', 'role', 'saas_service')::text, true) as ok \gset
select pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token')) as ok \gset
select coalesce(pg_current_xact_id_if_assigned()::text, 'none') as xid \gset
select isnt(saas.current_org_id(), :'org_b'::uuid, 'the organization is the token''s, whatever claims the HTTP layer hands over');
select is(:'xid'::text, 'none', 'and no transaction id is spent');
rollback;

--
-- saas.postgrest_config, as PostgREST asks
--
prepare config as
select x as name, current_setting(x, true) as value
  from unnest(array['pgrst.db_schemas', 'pgrst.db_anon_role', 'pgrst.db_pre_request', 'pgrst.jwt_secret', 'pgrst.jwt_aud']) x
  join saas.postgrest_config() _ on true;
set session authorization requests_gateway;
select tap.throws_ok('execute config', '42501', null, 'PostgREST''s login needs a grant');
reset session authorization;
grant usage on schema saas to requests_gateway;
grant execute on function saas.postgrest_config() to requests_gateway;
set session authorization requests_gateway;
begin read only;
select jsonb_object_agg(name, value) as config from (select x as name, current_setting(x, true) as value
  from unnest(array['pgrst.db_schemas', 'pgrst.db_anon_role', 'pgrst.db_pre_request', 'pgrst.jwt_secret', 'pgrst.jwt_aud']) x
  join saas.postgrest_config() _ on true) c \gset
commit;
select tap.is(coalesce(current_setting('pgrst.jwt_secret', true), ''), '', 'the settings end with the transaction');
reset session authorization;
select is(:'config'::jsonb - 'pgrst.jwt_secret',
          jsonb_build_object('pgrst.db_schemas', 'saas_api', 'pgrst.db_anon_role', 'saas_anon', 'pgrst.db_pre_request', 'saas.pre_request',
                             'pgrst.jwt_aud', current_setting('saas.jwt_audience')), 'it says what PostgREST must know');
select is((:'config'::jsonb ->> 'pgrst.jwt_secret')::jsonb, saas_api.jwks(), 'its keys are those of jwks');
select ok(not (:'config'::jsonb ->> 'pgrst.jwt_secret')::jsonb #> '{keys,0}' ? 'd', 'without the private part');
select isnt(saas.verify_jwt(:'ada_token', (:'config'::jsonb ->> 'pgrst.jwt_secret')::jsonb), null, 'and they verify a token');
select * from finish();
