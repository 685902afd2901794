-- The one raiser of errors: SQLSTATEs in SQL, and inside an HTTP request the
-- form that keeps status, headers and body.
select plan(70);

create function pg_temp.caught(statement text) returns jsonb language plpgsql as $$
declare
    state text; message text; detail text; hint text;
begin
    execute statement;
    return null;
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return jsonb_build_object('sqlstate', state, 'message', message, 'detail', detail, 'hint', hint);
end
$$;
create function pg_temp.raised(state text, message text, detail text default null, hint text default null) returns jsonb language sql as $$
    select pg_temp.caught(format('select saas_private.raise_error(%L, %L, %L, %L)', state, message, detail, hint))
$$;
-- The same inside a request: status, headers and body as an HTTP layer reads them.
create function pg_temp.answered(statement text) returns jsonb language plpgsql as $$
declare
    was jsonb;
begin
    set local request.method = 'POST';
    was := pg_temp.caught(statement);
    set local request.method = '';
    return was || jsonb_build_object('body', (was ->> 'message')::jsonb, 'envelope', (was ->> 'detail')::jsonb);
end
$$;
create function pg_temp.answer(state text, message text, detail text default null, hint text default null) returns jsonb language sql as $$
    select pg_temp.answered(format('select saas_private.raise_error(%L, %L, %L, %L)', state, message, detail, hint))
$$;

-- What DESIGN's table of errors says.
create table public.mapping (state text, status integer, code text);
insert into public.mapping values
    ('PT400', 400, 'BAD_REQUEST'), ('PT401', 401, 'UNAUTHORIZED'), ('PT402', 402, 'PLAN_LIMIT'), ('PT403', 403, 'FORBIDDEN'),
    ('PT404', 404, 'NOT_FOUND'), ('PT409', 409, 'CONFLICT'), ('PT429', 429, 'RATE_LIMITED'), ('PT503', 503, 'UNAVAILABLE'),
    ('22023', 400, 'VALIDATION_ERROR'), ('22P02', 400, 'VALIDATION_ERROR'), ('23505', 409, 'CONFLICT'), ('25001', 409, 'CONFLICT');

--
-- In SQL
--
select is(pg_temp.raised(state, 'A message', 'A detail.', 'A hint.'),
          jsonb_build_object('sqlstate', state, 'message', 'A message', 'detail', 'A detail.', 'hint', 'A hint.'),
          format('%s is raised as it is', state))
  from (select state from public.mapping union all values ('55000'), ('0A000'), ('XX000'), ('ZZZZZ')) as t (state);
select is(pg_temp.raised('PT404', 'not found'), '{"sqlstate": "PT404", "message": "not found", "detail": "", "hint": ""}',
          'detail and hint may be missing');
select is(pg_temp.raised('PT404', '100 %s of %n', '%d', '%m') - 'sqlstate', '{"message": "100 %s of %n", "detail": "%d", "hint": "%m"}',
          'nothing is taken for a format');
select is(pg_temp.raised('PT404', E'a\r\nSet-Cookie: b', E'c\x01\x1f\x7fd', E'e\tf\n'),
          '{"sqlstate": "PT404", "message": "a  Set-Cookie: b", "detail": "c   d", "hint": "e f "}', 'control characters become spaces');
select is(pg_temp.raised('PT404', 'Ä€😀', 'é', 'ß') - 'sqlstate', '{"message": "Ä€😀", "detail": "é", "hint": "ß"}', 'other characters stay');
select is(pg_temp.raised('PT4', 'x') ->> 'sqlstate', 'XX000', 'three characters are no SQLSTATE');
select is(pg_temp.raised('PT4044', 'x') ->> 'sqlstate', 'XX000', 'nor are six');
select is(pg_temp.raised(null, 'x') ->> 'sqlstate', 'XX000', 'nor is none');
select is(pg_temp.raised('PT404', null) ->> 'sqlstate', 'XX000', 'an error has a message');
select is(pg_temp.caught('select saas_private.raise_fields(''invalid input'', ''a'', ''is required'', ''b"'', ''is "b"'')'),
          jsonb_build_object('sqlstate', '22023', 'message', 'invalid input', 'hint', '', 'detail',
                             '[{"field": "a", "message": "is required"}, {"field": "b\"", "message": "is \"b\""}]'),
          'fields are a JSON array in DETAIL');

--
-- Inside an HTTP request
--
select is(pg_temp.answer(state, 'A message', 'A detail.', 'A hint.') - '{message,detail}'::text[], jsonb_build_object(
              'sqlstate', 'PGRST', 'hint', '',
              'body', jsonb_build_object('code', code, 'message', 'A message', 'details', 'A detail.', 'hint', 'A hint.'),
              'envelope', jsonb_build_object('status', status, 'headers',
                                             case status when 401 then '{"WWW-Authenticate": "Bearer"}'::jsonb
                                                         when 429 then '{"Retry-After": "1"}' else '{}' end)),
          format('%s answers %s %s', state, status, code)) from public.mapping;
select is(pg_temp.answer('PT404', 'not found') -> 'body', '{"code": "NOT_FOUND", "message": "not found", "details": null, "hint": null}',
          'what is missing is null');
select is(pg_temp.answer('PT400', E'a"b\\c\r\nd\x01', E'{"e": "f\n"}', E'\x7f</script>') -> 'body',
          '{"code": "BAD_REQUEST", "message": "a\"b\\c  d ", "details": "{\"e\": \"f \"}", "hint": " </script>"}',
          'quotes and control characters leave valid JSON');
select is(pg_temp.answer('PT400', 'Ä€😀') #>> '{body,message}', 'Ä€😀', 'other characters stay');
select unalike(pg_temp.answer('PT401', E'x\r\nSet-Cookie: y') ->> 'message', E'%\r%', 'no message splits a header');
select unalike(pg_temp.answer('PT401', E'x\r\nSet-Cookie: y') ->> 'message', E'%\n%', 'nor a line');
select unalike(pg_temp.answer('PT401', E'x\r\nSet-Cookie: y') ->> 'detail', '%Set-Cookie%', 'nor does one get among the headers');
-- Nothing internal shows.
select is(pg_temp.answer(state, 'the key file /secret is missing', 'The path is /secret.', 'Look at /secret.') - '{message,detail}'::text[],
          '{"sqlstate": "PGRST", "hint": "", "body": {"code": "INTERNAL_ERROR", "message": "internal error", "details": null, "hint": null},
            "envelope": {"status": 500, "headers": {}}}',
          format('%s answers 500 and nothing else', state))
  from unnest(array['XX000', '55000', '42P01', '42501', '23503', '0A000', 'ZZZZZ']) as state;

-- A request is where its method says so, whatever else is set.
select is(pg_temp.caught($$select set_config('request.method', '', true), saas_private.raise_error('PT404', 'x')$$) ->> 'sqlstate', 'PT404',
          'an empty method is no request');
select is(pg_temp.caught($$select set_config('request.headers', '{}', true), set_config('request.path', '/', true), saas_private.raise_error('PT404', 'x')$$) ->> 'sqlstate',
          'PT404', 'headers and path make no request');
select is(pg_temp.caught($$select set_config('request.method', 'GET', true), saas_private.raise_error('PT404', 'x')$$) ->> 'sqlstate', 'PGRST',
          'any method does');

--
-- The functions themselves
--
set saas.bcrypt_cost = 10;
set role saas_anon;
select is(pg_temp.answered('select saas_api.sign_in(''nobody@errors.example'', ''x'')') - '{message,detail}'::text[],
          '{"sqlstate": "PGRST", "hint": "", "envelope": {"status": 401, "headers": {"WWW-Authenticate": "Bearer"}},
            "body": {"code": "UNAUTHORIZED", "message": "Invalid credentials", "details": null, "hint": null}}', 'a refused sign-in is 401');
select is(pg_temp.answered('select saas.authenticate(''x'')') #> '{envelope,status}', '401', 'a bad token is 401');
select is(pg_temp.answered('select saas.authenticate(''x'')') #>> '{body,message}', 'Invalid or expired token', 'which says so');
select unalike(pg_temp.answered('select saas.authenticate(''sesame.open.now'')')::text, '%sesame%', 'and does not repeat the token');
select is(pg_temp.answered('select saas_api.sign_up(''x'', ''y'', ''z'', ''z'')') #> '{envelope,status}', '400', 'a bad field is 400');
select is((pg_temp.answered('select saas_api.sign_up(''x'', ''y'', ''z'', ''z'')') #>> '{body,details}')::jsonb,
          '[{"field": "email", "message": "is not a valid e-mail address"}]', 'with the field in its details');
select is((pg_temp.answered('select saas_api.sign_up(''a@b.example'', ''y'', ''z'', ''z'')') #>> '{body,details}')::jsonb,
          '[{"field": "password", "message": "must have 8 to 72 bytes"}]', 'a password too');
select unalike(pg_temp.answered('select saas_api.sign_up(''a@b.example'', ''sesame!'', ''z'', ''z'')')::text, '%sesame%', 'which is not repeated');
select is(pg_temp.answered('select saas_api.verify_email(''x'')') #> '{envelope,status}', '400', 'a bad mailed token is 400');
select is(pg_temp.answered('select saas_api.refresh_session(''x'')') #> '{envelope,status}', '401', 'a bad refresh token is 401');
set role saas_user;
select is(pg_temp.answered('select saas_api.me()') #> '{envelope,status}', '401', 'nobody''s me is 401');
select is(pg_temp.answered('select saas.require_permission(''view_dashboard'')') #> '{envelope,status}', '401', 'a permission needs a token first');
reset role;
select saas_api.sign_up('ada@errors.example', 'correct horse', 'Ada', 'Lovelace', 'Errors') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select saas_api.sign_in('ada@errors.example', 'correct horse') ->> 'access_token' as token \gset
update saas.membership set role = 'viewer';
begin;
select saas.authenticate(:'token') as ok \gset
set local role saas_user;
select is(pg_temp.answered('select saas.require_permission(''manage_connections'')') - '{message,detail}'::text[],
          '{"sqlstate": "PGRST", "hint": "", "envelope": {"status": 403, "headers": {}},
            "body": {"code": "FORBIDDEN", "message": "permission denied by the organization''s roles", "details": "manage_connections",
                     "hint": "Ask an owner or admin of the organization for a role that holds the permission."}}',
          'a missing permission is 403 with its name');
select is(pg_temp.caught('select saas.require_permission(''manage_connections'')') - 'hint',
          '{"sqlstate": "PT403", "message": "permission denied by the organization''s roles", "detail": "manage_connections"}',
          'in SQL its name is in DETAIL');
select is(pg_temp.answered('select saas_api.switch_organization(''elsewhere'')') #> '{envelope,status}', '404', 'a foreign organization is 404');
select is(pg_temp.answered('select saas_api.create_organization(''Errors'', ''errors'')') #> '{envelope,status}', '409', 'a taken slug is 409');
rollback;
update saas.organization set status = 'suspended';
select is(pg_temp.answered(format('select saas.authenticate(%L)', :'token')) #> '{envelope,status}', '403', 'a suspended organization is 403');

drop table public.mapping;
select * from finish();
