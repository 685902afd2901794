-- Tokens become identities only where every row behind them stands; accessors
-- fail closed; workers see the same; operators need tickets.
-- (How SQL tries to forge an identity: test/sql/forging.sql; how long one
-- lasts: test/sql/session.sql.)
select plan(161);
\ir ../lib/refusals.sql

-- With the process in which it was.
create function pg_temp.refusal_there(statement text) returns text language plpgsql as $$
declare
    place text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics place = pg_exception_context;
    return sqlstate || case when place ~ '(?n)^parallel worker$' then ' in a worker' else ' outside' end;
end
$$;
create function pg_temp.base64url(value text) returns text language sql as $$
    select translate(encode(convert_to(value, 'utf8'), 'base64'), E'+/=\n', '-_')
$$;
create function pg_temp.from_base64url(value text) returns text language sql as $$
    select convert_from(decode(translate(value, '-_', '+/') || repeat('=', (4 - length(value) % 4) % 4), 'base64'), 'utf8')
$$;
\set bad '\'PT401 Invalid or expired token\''

set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@identity.example', 'correct horse', 'Ada', 'Lovelace', 'Identity A') as ok \gset
select saas_api.sign_up('bob@identity.example', 'correct horse', 'Bob', 'Babbage', 'Identity B') as ok \gset
select saas_api.sign_up('eve@identity.example', 'correct horse', 'Eve', 'Nobody', 'Identity E') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select id as ada from saas.app_user where email like 'ada@%' \gset
select id as bob from saas.app_user where email like 'bob@%' \gset
select id as eve from saas.app_user where email like 'eve@%' \gset
select id as org_a from saas.organization where slug = 'identity-a' \gset
select id as org_b from saas.organization where slug = 'identity-b' \gset
delete from saas.membership where user_id = :'eve';
select saas_api.sign_in('ada@identity.example', 'correct horse') ->> 'access_token' as ada_token \gset
select saas_api.sign_in('bob@identity.example', 'correct horse') ->> 'access_token' as bob_token \gset
select saas_api.sign_in('eve@identity.example', 'correct horse') ->> 'access_token' as eve_token \gset
select id as ada_session from saas_private.session where user_id = :'ada' \gset
select id as bob_session from saas_private.session where user_id = :'bob' \gset

--
-- Nobody
--
set role saas_anon;
select is(saas.is_authenticated(), false, 'nobody is signed in at first');
select is(saas.current_user_id(), null, 'nobody has no user');
select is(saas.current_org_id(), null, 'nobody has no organization');
select is(saas.current_role_name(), null, 'nobody has no role');
select is(saas.current_session_id(), null, 'nobody has no session');
select is(saas.current_permissions(), '{}', 'nobody has no permissions');
select is(saas.has_permission('view_dashboard'), false, 'nobody holds a permission');
select is(saas.has_permission(null), false, 'the missing permission is held by nobody');
select is(saas.has_permission(''), false, 'the empty permission is held by nobody');
select is(saas.org_if('view_dashboard'), null, 'nobody gets an organization by permission');
select is(saas.org_if(null), null, 'nobody gets an organization by no permission');
select throws_ok('select saas.require_permission(''view_dashboard'')', 'PT401', 'Access token required',
                 'requiring a permission asks nobody to sign in');
select throws_ok(format('select saas.require_membership(%L, ''viewer'')', :'org_a'), 'PT403', 'Not a member of this organization',
                 'nobody is a member');
select throws_ok('select saas.require_membership(null, ''viewer'')', 'PT403', 'Not a member of this organization',
                 'nobody is no member of the missing organization');
reset role;

--
-- A good token
--
begin;
set local role saas_anon;
select saas.authenticate(:'ada_token') as ok \gset
set local role saas_user;
select is(saas.is_authenticated(), true, 'a good token signs in');
select is(saas.current_user_id(), :'ada', 'the token''s user is the current one');
select is(saas.current_org_id(), :'org_a', 'the token''s organization is the current one');
select is(saas.current_role_name(), 'owner', 'the role comes from the membership');
select is(saas.current_session_id(), :'ada_session', 'the token''s session is the current one');
select is(cardinality(saas.current_permissions()), 13, 'an owner holds thirteen permissions');
select is(saas.has_permission('delete_organization'), true, 'an owner holds the last of them');
select is(saas.org_if('delete_organization'), :'org_a', 'the organization is given for a permission held');
select is(saas.has_permission('view_dashboar'), false, 'a prefix of a permission is none');
select is(saas.has_permission('view_dashboard '), false, 'a permission and a space is none');
select is(saas.has_permission('VIEW_DASHBOARD'), false, 'a permission in capitals is none');
select is(saas.has_permission(null), false, 'an owner does not hold the missing permission');
select is(saas.org_if(null), null, 'an owner gets no organization by no permission');
select is(saas.org_if('no_such'), null, 'an owner gets no organization by an unknown permission');
select is(pg_temp.refusal('select saas.require_permission(''delete_data'')'), 'accepted', 'a held permission passes');
select is(pg_temp.refusal('select saas.require_permission(''no_such'')'),
          'PT403 permission denied by the organization''s roles', 'an unknown permission does not pass');
select is(pg_temp.refusal('select saas.require_permission(null)'),
          'PT403 permission denied by the organization''s roles', 'the missing permission does not pass');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''owner'')', :'org_a')), 'accepted', 'an owner is an owner');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''viewer'')', :'org_b')),
          'PT403 Not a member of this organization', 'and no member elsewhere');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''boss'')', :'org_a')),
          '22023 invalid input (min_role)', 'the role to require must be known');
select results_eq('select slug from saas_api.organization', array['identity-a'], 'the views show the organization');
select is(pg_temp.verdict(:'ada_token'), 'accepted', 'the same identity is accepted again');
select is(pg_temp.verdict(:'bob_token'), '25001 this transaction already acts for another identity',
          'a different one is not');
select is(saas.current_user_id(), :'ada', 'which changes nothing');
commit;
select is(saas.is_authenticated(), false, 'and the transaction''s end ends it');
begin;
select saas.authenticate(:'bob_token') as ok \gset
select is(saas.current_org_id(), :'org_b', 'the next transaction may act for another');
rollback;

-- The database role decides what may be called, not who one is.
begin;
select saas.authenticate(:'ada_token') as ok \gset
set local role saas_anon;
select is(saas.current_org_id(), :'org_a', 'the identity does not depend on the database role');
select throws_ok('select * from saas_api.organization', '42501', null, 'but saas_anon reads no view with it');
rollback;

--
-- Tokens that are none
--
set role saas_anon;
select is(pg_temp.verdict(null), 'PT401 Access token required', 'no token is refused');
select is(pg_temp.verdict(''), 'PT401 Access token required', 'an empty token is refused');
select is(pg_temp.verdict('x'), :bad, 'a word is refused');
select is(pg_temp.verdict('a.b.c'), :bad, 'three words are refused');
select is(pg_temp.verdict('..'), :bad, 'two dots are refused');
select is(pg_temp.verdict(repeat('a', 9000)), :bad, 'a too long token is refused');
select is(pg_temp.verdict(repeat('.', 100000)), :bad, 'very many dots are refused');
select is(pg_temp.verdict(:'ada_token' || 'A'), :bad, 'a longer signature is refused');
select is(pg_temp.verdict(:'ada_token' || '='), :bad, 'padding is refused');
select is(pg_temp.verdict(' ' || :'ada_token'), :bad, 'a space before is refused');
select is(pg_temp.verdict(:'ada_token' || E'\n'), :bad, 'a line end is refused');
select is(pg_temp.verdict('Bearer ' || :'ada_token'), :bad, 'the scheme is no part of the token');
select split_part(:'ada_token', '.', 1) as header, split_part(:'ada_token', '.', 2) as payload,
       split_part(:'ada_token', '.', 3) as signature, split_part(:'bob_token', '.', 2) as bob_payload,
       split_part(:'bob_token', '.', 3) as bob_signature \gset
select is(pg_temp.verdict(:'header' || '.' || :'payload' || '.'), :bad, 'a missing signature is refused');
select is(pg_temp.verdict(:'header' || '.' || :'payload'), :bad, 'two parts are refused');
select is(pg_temp.verdict(:'header' || '.' || :'payload' || '.' || :'bob_signature'), :bad, 'another token''s signature is refused');
select is(pg_temp.verdict(:'header' || '.' || :'bob_payload' || '.' || :'signature'), :bad, 'another token''s claims are refused');
select is(pg_temp.verdict(:'header' || '.' || :'payload' || '.' || overlay(:'signature' placing
          case when substr(:'signature', 40, 1) = 'A' then 'B' else 'A' end from 40 for 1)), :bad, 'a bit of the signature counts');
select is(pg_temp.verdict(:'header' || '.' || pg_temp.base64url(replace(pg_temp.from_base64url(:'payload'), :'org_a', :'org_b'))
          || '.' || :'signature'), :bad, 'the organization cannot be exchanged');
select is(pg_temp.verdict(:'header' || '.' || pg_temp.base64url(replace(pg_temp.from_base64url(:'payload'), :'ada', :'bob'))
          || '.' || :'signature'), :bad, 'the user cannot be exchanged');
select is(pg_temp.verdict(pg_temp.base64url('{"alg":"none","typ":"JWT"}') || '.' || :'payload' || '.'), :bad, 'alg none is refused');
select is(pg_temp.verdict(pg_temp.base64url('{"alg":"none","typ":"JWT"}') || '.' || :'payload' || '.' || :'signature'), :bad,
          'alg none with a signature is refused');
select is(pg_temp.verdict(pg_temp.base64url((pg_temp.from_base64url(:'header')::jsonb || '{"crit":["exp"]}')::text) || '.' || :'payload' || '.' || :'signature'),
          :bad, 'an altered header is refused');
reset role;

-- Signed by us, for someone else.
set saas.jwt_issuer = 'elsewhere';
select saas_private.issue_access_token(:'ada', :'ada_session', :'org_a') ->> 'access_token' as token \gset
select is(pg_temp.verdict(:'token'), 'accepted', 'the issuer is a setting');
reset saas.jwt_issuer;
select is(pg_temp.verdict(:'token'), :bad, 'another issuer''s token is refused');
set saas.jwt_audience = 'elsewhere';
select saas_private.issue_access_token(:'ada', :'ada_session', :'org_a') ->> 'access_token' as token \gset
select is(pg_temp.verdict(:'token'), 'accepted', 'the audience is a setting');
reset saas.jwt_audience;
select is(pg_temp.verdict(:'token'), :bad, 'a token for another audience is refused');
select saas_private.issue_access_token(:'ada', :'bob_session', :'org_a') ->> 'access_token' as token \gset
select is(pg_temp.verdict(:'token'), :bad, 'a token with another user''s session is refused');
select saas_private.issue_access_token(:'ada', saas.uuidv7(), :'org_a') ->> 'access_token' as token \gset
select is(pg_temp.verdict(:'token'), :bad, 'a token of no session is refused');
select saas_private.issue_access_token(:'ada', :'ada_session', :'org_b') ->> 'access_token' as token \gset
begin;
select saas.authenticate(:'token') as ok \gset
select is(saas.current_org_id(), null, 'a token for an organization without a membership names none');
rollback;

--
-- Rows behind the token: what changes counts from the next transaction on
--
begin;
select saas.authenticate(:'ada_token') as ok \gset
update saas.membership set role = 'viewer' where user_id = :'ada';
select is(saas.current_role_name(), 'owner', 'a change of role leaves the running transaction as it is');
rollback;

insert into saas.role (org_id, name, is_builtin, rank, permissions)
values (:'org_a', 'sales', false, 15, '{view_reports,no_such,view_reports,NULL,""}');
update saas.role set rank = 40 where org_id = :'org_a' and name = 'viewer';
update saas.membership set role = 'viewer' where user_id = :'ada' and org_id = :'org_a';
insert into saas.role (org_id, name, is_builtin, rank) select :'org_a', b.name, true, b.rank from saas.builtin_roles() b
    on conflict do nothing;
begin;
select saas.authenticate(:'ada_token') as ok \gset
select is(saas.current_role_name(), 'viewer', 'a changed role counts with the next transaction');
select is(saas.current_permissions(), '{view_dashboard}', 'so do its permissions');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''member'')', :'org_a')),
          'PT403 Requires member role or higher', 'so does its rank, whatever the row says');
select is(pg_temp.refusal('select saas.require_permission(''manage_connections'')'),
          'PT403 permission denied by the organization''s roles', 'what the role lacks is refused');
rollback;
update saas.membership set role = 'sales' where user_id = :'ada' and org_id = :'org_a';
begin;
select saas.authenticate(:'ada_token') as ok \gset
select is(saas.current_permissions(), '{view_reports}', 'a custom role holds what its row says, and nothing unknown');
select is(saas.org_if('view_dashboard'), null, 'and nothing else');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''viewer'')', :'org_a')), 'accepted', 'a custom role has its own rank');
select is(pg_temp.refusal(format('select saas.require_membership(%L, ''member'')', :'org_a')),
          'PT403 Requires member role or higher', 'and no higher one');
rollback;
update saas.membership set role = 'owner' where user_id = :'ada' and org_id = :'org_a';
update saas.role set rank = 10 where org_id = :'org_a' and name = 'viewer';

select is(pg_temp.verdict(:'ada_token', format('update saas_private.session set ended_at = now() where id = %L', :'ada_session')),
          :bad, 'an ended session ends its tokens');
select is(pg_temp.verdict(:'ada_token', format('update saas_private.session set expires_at = now() - interval ''1 second'' where id = %L', :'ada_session')),
          :bad, 'an expired session ends its tokens');
select is(pg_temp.verdict(:'ada_token', format('delete from saas_private.session where id = %L', :'ada_session')),
          :bad, 'a deleted session ends its tokens');
select is(pg_temp.verdict(:'ada_token', format('update saas.app_user set is_active = false where id = %L', :'ada')),
          'PT401 User not found or inactive', 'a deactivated user''s token is refused');
select is(pg_temp.verdict(:'ada_token', format('delete from saas.app_user where id = %L', :'ada')),
          'PT401 User not found or inactive', 'a deleted user''s token is refused');
select is(pg_temp.verdict(:'ada_token', format('delete from saas.membership where user_id = %L', :'ada')),
          'PT401 Invalid organization access', 'a former member''s token is refused');
select is(pg_temp.verdict(:'ada_token', format('update saas.organization set status = ''suspended'' where id = %L', :'org_a')),
          'PT403 Organization is suspended', 'a suspended organization''s token is refused with the reason');
select is(pg_temp.verdict(:'ada_token', format('update saas.organization set status = ''deleting'' where id = %L', :'org_a')),
          'PT403 Organization is deleting', 'so is that of one being deleted');
select is(pg_temp.verdict(:'ada_token', format('update saas.organization set status = ''suspended'' where id = %L', :'org_b')),
          'accepted', 'another organization''s suspension does not matter');
select is(pg_temp.verdict(:'ada_token', 'select 1'), 'accepted', 'with everything as it was the token is good again');

--
-- An identity without an organization
--
begin;
set local role saas_user;
select saas.authenticate(:'eve_token') as ok \gset
select is(saas.is_authenticated(), true, 'a person without a membership is signed in');
select is(saas.current_user_id(), :'eve', 'as a user');
select is(saas.current_org_id(), null, 'in no organization');
select is(saas.current_role_name(), null, 'with no role');
select is(saas.current_permissions(), '{}', 'with no permission');
select is(saas.org_if('view_dashboard'), null, 'and gets no organization by permission');
select is(pg_temp.refusal('select saas.require_permission(''view_dashboard'')'), 'PT403 No organization access found',
          'requiring a permission says that there is no organization');
select is_empty('select * from saas_api.organization', 'the views are empty');
rollback;

--
-- Parallel workers
--
create table public.wide (org_id uuid, n integer);
insert into public.wide select case n % 4 when 0 then :'org_a'::uuid else :'org_b'::uuid end, n from generate_series(1, 20000) n;
alter table public.wide enable row level security;
alter table public.wide force row level security;
create policy "a member reads" on public.wide using (org_id = saas.org_if('view_dashboard'));
grant select on public.wide to saas_user;
analyze public.wide;
-- Say that they are safe for workers, to see what happens there.
create function public.process_id() returns integer language plpgsql parallel safe as 'begin return pg_backend_pid(); end';
create function public.forge_in_worker(value text) returns text language plpgsql parallel safe as
    'begin return set_config(''saas.identity'', value, true); end';
create function public.authenticate_in_worker(token text) returns text language plpgsql parallel safe as
    'begin perform saas.authenticate(token); return ''accepted''; end';
select pg_backend_pid() as leader \gset
select name as force_parallel from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query') \gset
begin;
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local parallel_leader_participation = off;
set local max_parallel_workers_per_gather = 2;
set local role saas_user;
select results_eq('select count(*) from public.wide', array[0::bigint], 'nobody''s workers see no row');
select saas.authenticate(:'ada_token') as ok \gset
-- Not through pgTAP's cursors, which run in one process.
select count(*) as rows, count(*) filter (where public.process_id() <> :leader) as in_workers,
       count(*) filter (where org_id <> :'org_a') as foreign_rows, sum(n) as total from public.wide \gset
select is(:rows, 5000, 'workers see the rows of the identity''s organization');
select is(:in_workers, 5000, 'it was workers who saw them');
select is(:foreign_rows, 0, 'they see no other organization''s');
select is(:total::bigint, (select sum(n) from generate_series(4, 20000, 4) n), 'they see all of them');
set local :force_parallel = on;
select public.process_id() <> :leader as in_worker, saas.is_authenticated() as authenticated,
       saas.current_user_id() as "user", saas.current_org_id() as org, saas.current_role_name() as role,
       saas.current_session_id() as session, saas.current_permissions() as permissions,
       saas.has_permission('delete_data') as may, saas.org_if('delete_data') as org_if \gset
select is(:'in_worker'::boolean, true, 'a worker asks the accessors');
select is(:'authenticated'::boolean, true, 'it is signed in');
select is(:'user'::text, :'ada', 'as the same user');
select is(:'org'::text, :'org_a', 'in the same organization');
select is(:'role'::text, 'owner', 'with the same role');
select is(:'session'::text, :'ada_session', 'with the same session');
select is(:'permissions', saas.current_permissions()::text, 'with the same permissions');
select is(:'may'::boolean, true, 'it holds one');
select is(:'org_if'::text, :'org_a', 'and gets the organization by it');
select is(pg_temp.refusal_there('select public.forge_in_worker(''x'')'), '25000 in a worker', 'a worker cannot set an identity');
select is(pg_temp.refusal_there(format('select public.authenticate_in_worker(%L)', :'ada_token')), '25000 in a worker',
               'a worker cannot authenticate');
reset role;
select is(pg_temp.refusal_there('select public.forge_in_worker(''x'')'), '25000 in a worker', 'not even a superuser''s');
select is(saas.current_user_id(), :'ada', 'the leader''s identity stays');
rollback;
drop table public.wide;

--
-- Definer functions
--
create function public.enter(token text) returns uuid language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
    perform saas.authenticate(token);
    return saas.current_user_id();
end
$$;
begin;
set local role saas_anon;
select is(public.enter(:'ada_token'), :'ada', 'a definer function may authenticate');
select is(saas.current_user_id(), :'ada', 'and the identity outlives it');
select is(pg_temp.refusal(format('select public.enter(%L)', :'bob_token')), '25001 this transaction already acts for another identity',
          'but it exchanges no identity');
rollback;

--
-- HTTP requests
--
create function pg_temp.request(headers text) returns text language plpgsql as $$
declare
    who uuid;
begin
    perform set_config('request.headers', headers, true);
    perform saas.pre_request();
    who := saas.current_user_id();
    raise exception using errcode = 'ZZ000', message = coalesce(who::text, 'nobody');
exception when others then
    return case when sqlstate = 'ZZ000' then '' else sqlstate || ' ' end || sqlerrm;
end
$$;
set role saas_anon;
select is(pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token')::text), :'ada', 'a bearer token gives a request its identity');
select is(pg_temp.request(jsonb_build_object('authorization', 'bEARER   ' || :'ada_token')::text), :'ada', 'whatever the scheme''s case');
select is(pg_temp.request(jsonb_build_object('authorization', 'Bearer ' || :'ada_token' || 'x')::text), :bad, 'a bad token is refused, not ignored');
select is(pg_temp.request('{"authorization": "Bearer x"}'), :bad, 'so is a word');
select is(pg_temp.request(headers), 'nobody', format('%s leaves a request anonymous', coalesce(to_json(headers)::text, 'NULL')))
  from unnest(array[null, '', '{}', '{"authorization": null}', '{"authorization": ""}', '{"authorization": "Bearer"}', '{"authorization": "Bearer "}',
                    '{"authorization": "Basic dTpw"}', '{"x-user": "ada"}']) as headers;
begin;
set local "request.jwt.claims" = '{"sub": "00000000-0000-7000-8000-000000000001", "role": "saas_user"}';
select saas.pre_request() as ok \gset
select is(saas.is_authenticated(), false, 'claims that a setting holds are believed by nobody');
rollback;
reset role;

--
-- Operators
--
create role identity_op login;
create role identity_op2 login;
grant saas_operator to identity_op, identity_op2;
create function pg_temp.assume(who uuid, org uuid) returns text language sql as $$
    select pg_temp.refusal(format('select saas.assume_identity(%L, %L)', who, org))
$$;
\set needs_ticket '\'PT403 an open ticket for the organization is needed\''

set role saas_user;
select throws_ok(format('select saas.assume_identity(%L, %L)', :'ada', :'org_a'), '42501', null, 'a tenant''s role assumes no identity');
select throws_ok(format('select saas.open_ticket(%L, ''x'')', :'org_a'), '42501', null, 'and opens no ticket');
reset role;

set session authorization identity_op;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'an operator without a ticket assumes no identity');
select is(saas.is_authenticated(), false, 'and is nobody');
select throws_ok(format('select saas.open_ticket(%L, ''  '')', :'org_a'), '22023', 'a ticket needs a reason', 'a ticket needs a reason');
select throws_ok(format('select saas.open_ticket(%L, ''x'', ''25 hours'')', :'org_a'), '22023', 'a ticket is valid for at most 24 hours',
                 'a ticket lasts a day at most');
-- Compared, a month has 30 days; added to a time, those of the calendar.
select throws_ok(format('select saas.open_ticket(%L, ''x'', ''100000 months -3000000 days 1 hour'')', :'org_a'), '22023',
                 'a ticket is valid for at most 24 hours', 'also in months that days are taken from');
select throws_ok(format('select saas.open_ticket(%L, ''x'', ''0'')', :'org_a'), '22023', null, 'a ticket lasts some time');
select throws_ok(format('select saas.open_ticket(%L, ''x'', null)', :'org_a'), '22023', null, 'a ticket does not last for ever');
select throws_ok('select saas.open_ticket(saas.uuidv7(), ''x'')', 'PT404', 'organization not found', 'a ticket is for an organization');
begin;
select saas.open_ticket(:'org_a', 'not yet committed') as ok \gset
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'a ticket of this transaction does not count');
savepoint s;
select saas.open_ticket(:'org_a', 'in a subtransaction') as ok \gset
release s;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'nor does one of its subtransactions');
rollback;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'nor does one that was rolled back');
select saas.open_ticket(:'org_a', 'a customer asked') as ticket \gset
reset session authorization;
grant saas_user to identity_op;
set session authorization identity_op;
select is(pg_temp.assume(:'bob', :'org_b'), :needs_ticket, 'a ticket is for one organization');
select is(pg_temp.assume(:'bob', :'org_a'), 'PT404 no such active member of the organization', 'a ticket is for its members');
begin;
select saas.assume_identity(:'ada', :'org_a') as ok \gset
select is(saas.current_user_id(), :'ada', 'a committed ticket counts');
select is(saas.current_org_id(), :'org_a', 'for its organization');
select is(saas.current_session_id(), null, 'the identity comes from no session');
select throws_ok($$select saas_api.create_api_key('k', '{view_dashboard}')$$, 'PT403', 'not possible for an operator',
                 'and makes nothing that outlives the ticket');
select is(pg_temp.verdict(:'ada_token'), '25001 this transaction already acts for another identity',
          'and is not the one of the person''s own token');
commit;
select is(saas.is_authenticated(), false, 'it ends with the transaction');
reset session authorization;
set session authorization identity_op2;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'a ticket is its opener''s only');
reset session authorization;
update saas_private.ticket set valid_until = clock_timestamp() - interval '1 second' where id = :'ticket';
set session authorization identity_op;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'a ticket expires');
reset session authorization;
update saas_private.ticket set valid_until = now() + interval '1 hour' where id = :'ticket';
revoke saas_operator from identity_op;
grant execute on function saas.assume_identity(uuid, uuid) to identity_op;
grant usage on schema saas to identity_op;
set session authorization identity_op;
select is(pg_temp.assume(:'ada', :'org_a'), :needs_ticket, 'a ticket serves operators only');
reset session authorization;

select is(pg_temp.assume(null, :'org_a'), '22023 assume_identity needs a user and an organization', 'a user must be given');
select is(pg_temp.assume(:'ada', null), '22023 assume_identity needs a user and an organization', 'an organization must be given');
select is(pg_temp.assume(saas.uuidv7(), :'org_a'), 'PT404 no such active member of the organization', 'the user must exist');
select is(pg_temp.assume(:'ada', :'org_b'), 'PT404 no such active member of the organization', 'the user must be a member');

drop owned by identity_op;
drop role identity_op, identity_op2;
select * from finish();
