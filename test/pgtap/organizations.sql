-- Organizations of a person: creating, switching, listing; built-in roles.
select plan(133);
\ir ../lib/refusals.sql

create function pg_temp.create_organization(name text, slug text default null) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.create_organization(%L, %L)', name, slug))
$$;
create function pg_temp.switch(organization text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.switch_organization(%L)', organization))
$$;

set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@org.example', 'correct horse', 'Ada', 'Lovelace', 'Alpha') as ok \gset
select saas_api.sign_up('bob@org.example', 'correct horse', 'Bob', 'Babbage', 'Beta') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select id as ada from saas.app_user where email like 'ada@%' \gset
select id as bob from saas.app_user where email like 'bob@%' \gset
select id as alpha from saas.organization where slug = 'alpha' \gset
select id as beta from saas.organization where slug = 'beta' \gset
select saas_api.sign_in('ada@org.example', 'correct horse') ->> 'access_token' as token \gset

--
-- The table of roles and permissions, as REQUIREMENTS has it
--
create table public.rbac (permission text, owner boolean, admin boolean, member boolean, viewer boolean);
insert into public.rbac values
    --                      owner   admin   member  viewer
    ('view_dashboard',      true,   true,   true,   true),
    ('manage_connections',  true,   true,   false,  false),
    ('manage_services',     true,   true,   false,  false),
    ('manage_applications', true,   true,   false,  false),
    ('manage_workflows',    true,   true,   true,   false),
    ('manage_members',      true,   true,   false,  false),
    ('manage_settings',     true,   false,  false,  false),
    ('view_reports',        true,   true,   false,  false),
    ('manage_billing',      true,   false,  false,  false),
    ('export_data',         true,   true,   false,  false),
    ('import_data',         true,   true,   false,  false),
    ('delete_data',         true,   false,  false,  false),
    ('delete_organization', true,   false,  false,  false);
grant select on public.rbac to saas_user;
create view public.rbac_row as
    select r.role, r.rank, p.permission,
           case r.role when 'owner' then p.owner when 'admin' then p.admin when 'member' then p.member else p.viewer end as holds
      from (values ('owner', 40), ('admin', 30), ('member', 20), ('viewer', 10)) as r (role, rank), public.rbac p;
grant select on public.rbac_row to saas_user;

select set_eq('select name, rank from saas.builtin_roles()', 'select distinct role, rank from public.rbac_row', 'there are four roles with their ranks');
select set_eq('select b.name, p from saas.builtin_roles() b, unnest(b.permissions) p',
              'select role, permission from public.rbac_row where holds', 'their permissions are the table''s');
select is((select count(*) from saas.builtin_roles() b, unnest(b.permissions) p), 25::bigint, 'none is listed twice');
-- What an identity with each role is told, permission by permission.
create function public.told(who uuid, org uuid, wanted_role text)
returns table (permission text, has boolean, org_given boolean, passes boolean, listed boolean)
language plpgsql as $$
declare
    right_name text;
begin
    update saas.membership set role = wanted_role where user_id = who and org_id = org;
    perform saas.assume_identity(who, org);
    set local role saas_user;
    for right_name in select r.permission from public.rbac r loop
        permission := right_name;
        has := saas.has_permission(right_name);
        org_given := saas.org_if(right_name) is not distinct from org;
        listed := right_name = any (saas.current_permissions());
        begin
            perform saas.require_permission(right_name);
            passes := true;
        exception when sqlstate 'PT403' then
            passes := false;
        end;
        return next;
    end loop;
    reset role;
end
$$;
\o /dev/null
begin; create temp table told as select 'owner' as role, t.* from public.told(:'ada', :'alpha', 'owner') t; commit;
begin; insert into told select 'admin' as role, t.* from public.told(:'ada', :'alpha', 'admin') t; commit;
begin; insert into told select 'member' as role, t.* from public.told(:'ada', :'alpha', 'member') t; commit;
begin; insert into told select 'viewer' as role, t.* from public.told(:'ada', :'alpha', 'viewer') t; commit;
update saas.membership set role = 'owner' where user_id = :'ada' and org_id = :'alpha';
\o
select ok(t.has = r.holds and t.org_given = r.holds and t.passes = r.holds and t.listed = r.holds,
          format('%s %s %s', r.role, case when r.holds then 'holds' else 'does not hold' end, r.permission))
  from public.rbac_row r join told t using (role, permission) order by r.rank desc, r.permission;
select set_eq(format('select name, is_builtin, rank, permissions is null from saas.role where org_id = %L', :'alpha'),
              'select distinct role, true, rank, true as is_null from public.rbac_row', 'every organization is born with the four as rows');
begin;
select saas.assume_identity(:'ada', :'alpha') as ok \gset
set local role saas_user;
select set_eq('select org_id, name, is_builtin, rank, p from saas_api.roles, unnest(permissions) p',
              format('select %L::uuid, role, true, rank, permission from public.rbac_row where holds', :'alpha'), 'the view shows them with their permissions');
commit;
select throws_ok(format('insert into saas.role (org_id, name, is_builtin, rank, permissions) values (%L, ''owner2'', true, 40, null)', :'alpha'),
                 '23514', null, 'there is no fifth built-in role');
select throws_ok(format('update saas.role set permissions = ''{view_dashboard}'' where org_id = %L and name = ''viewer''', :'alpha'),
                 '23514', null, 'a built-in role has no permissions of its own');

--
-- create_organization
--
set role saas_user;
select is(pg_temp.create_organization('x'), 'PT401 Access token required', 'nobody creates an organization');
begin;
select saas.authenticate(:'token') as ok \gset
select is(pg_temp.create_organization(bad), '22023 invalid input (name)', format('a name of %s is refused', coalesce(to_json(left(bad, 20))::text, 'NULL')))
  from unnest(array[null, '', '  ', repeat('x', 256), E'a\nb']) as bad;
select is(pg_temp.create_organization('Name', bad), '22023 invalid input (slug)', format('a slug of %s is refused', to_json(left(bad, 70))))
  from unnest(array['', ' ', '-a', 'a-', '-', 'a b', 'a_b', 'a.b', 'a/b', 'ä', E'a\n', repeat('a', 64), 'admin', 'API', 'www', 'null', 'undefined', '01a1fe17-0000-7000-8000-000000000000']) as bad;
select is(pg_temp.create_organization('Name', good), 'accepted', format('a slug of %s is accepted', good))
  from unnest(array['a', '7', 'a-b', 'a--b', repeat('a', 63), ' UPPER ', 'administrator']) as good;
select matches(saas_api.create_organization('01A1FE17-0000-7000-8000-000000000000') ->> 'slug', '^01a1fe17-0000-7000-8000-000000000000-[0-9a-f]{6}$',
               'a name like an id makes no slug that could be taken for one');
select is(pg_temp.create_organization('Name', 'beta'), '23505 slug is already taken', 'another organization''s slug is refused');
select is(pg_temp.create_organization('Name', 'BETA'), '23505 slug is already taken', 'in capitals too');
select saas_api.create_organization('Gamma Rays', null) as gamma_answer \gset
commit;
reset role;
select is(:'gamma_answer'::jsonb - '{id,created_at}'::text[], '{"name": "Gamma Rays", "slug": "gamma-rays", "role": "owner"}', 'the answer is the organization');
select :'gamma_answer'::jsonb ->> 'id' as gamma \gset
select results_eq(format('select name, slug, is_personal, status from saas.organization where id = %L', :'gamma'),
                  $$values ('Gamma Rays', 'gamma-rays', false, 'active')$$, 'without a slug one is made of the name');
select results_eq(format('select user_id, role from saas.membership where org_id = %L', :'gamma'), format('values (%L::uuid, ''owner'')', :'ada'),
                  'its creator is its owner and only member');
select is((select count(*) from saas.role where org_id = :'gamma'), 4::bigint, 'it has the built-in roles');
select is((select count(*) from saas_private.data_key where org_id = :'gamma'), 1::bigint, 'and a data key');
select is((select slug from saas.organization where slug = 'upper'), 'upper', 'a slug is kept in lower case');
select is_empty(format('select from saas.membership where org_id = %L', :'beta') || format(' and user_id = %L', :'ada'), 'nobody gets into another''s by its slug');
begin;
select saas.authenticate(:'token') as ok \gset
select is(saas.current_org_id(), :'alpha', 'creating does not enter');
commit;
-- Whoever has none may create one.
delete from saas.membership where user_id = :'bob';
select saas_api.sign_in('bob@org.example', 'correct horse') as bobs \gset
select is(:'bobs'::jsonb -> 'organization', 'null', 'a sign-in without a membership answers no organization');
select is(:'bobs'::jsonb -> 'membership', 'null', 'and no membership');
select :'bobs'::jsonb ->> 'access_token' as bob_token \gset
set role saas_user;
begin;
select saas.authenticate(:'bob_token') as ok \gset
select is(saas_api.me() - 'user', '{"organization": null, "membership": null}', 'nor does me');
select is_empty('select * from saas_api.my_organizations', 'nor does the list');
select is(pg_temp.create_organization('Delta'), 'accepted', 'a person without an organization may create one');
select is(pg_temp.switch('delta'), 'accepted', 'and enter it');
commit;
reset role;
insert into saas.membership (org_id, user_id, role) values (:'beta', :'bob', 'owner');

--
-- switch_organization
--
select count(*) as sessions from saas_private.session \gset
set role saas_user;
select is(pg_temp.switch('alpha'), 'PT401 Access token required', 'nobody switches');
begin;
select saas.authenticate(:'token') as ok \gset
select is(pg_temp.switch(bad), 'PT404 organization not found', format('switching to %s finds nothing', coalesce(to_json(bad)::text, 'NULL')))
  from unnest(array[null, '', 'no-such', :'beta', 'beta', saas.uuidv7()::text]) as bad;
select saas_api.switch_organization(:'gamma') as switched \gset
select is(saas.current_org_id(), :'alpha', 'the running transaction stays where it is');
commit;
reset role;
select is((select array_agg(k order by k) from jsonb_object_keys(:'switched'::jsonb) k),
          '{access_token,expires_in,membership,organization,token_type,user}', 'switching answers as sign-in does, without a refresh token');
select is(:'switched'::jsonb #>> '{organization,slug}', 'gamma-rays', 'an organization is found by its id');
select is((select count(*) from saas_private.session), :sessions::bigint, 'the session stays the same');
select :'switched'::jsonb ->> 'access_token' as gamma_token \gset
set role saas_user;
begin;
select saas.authenticate(:'gamma_token') as ok \gset
select is(saas.current_org_id(), :'gamma', 'the new token is for the new organization');
select results_eq('select slug, role, is_current from saas_api.my_organizations where slug in (''alpha'', ''beta'', ''gamma-rays'') order by slug',
                  $$values ('alpha', 'owner', false), ('gamma-rays', 'owner', true)$$, 'the list shows my organizations and the current one');
select results_eq('select slug from saas_api.organization', array['gamma-rays'], 'the view shows the current one');
commit;
begin;
select saas.authenticate(:'token') as ok \gset
select is(saas.current_org_id(), :'alpha', 'the old token stays good for the old organization');
select is(saas_api.switch_organization(' ALPHA ') #>> '{organization,slug}', 'alpha', 'an organization is found by its slug, whatever its case');
commit;
begin;
select saas.authenticate(:'token') as ok \gset
select saas_api.switch_organization('gamma-rays') as ok \gset
commit;
reset role;

-- Switching renews nothing: a stolen access token dies in its time.
update saas_private.refresh_token set created_at = created_at - interval '14 minutes';
begin;
select saas.authenticate(:'token') as ok \gset
set local role saas_user;
select saas_api.switch_organization('alpha') as late \gset
reset role;
update saas_private.refresh_token set created_at = created_at - interval '1 minute';
select pg_temp.switch('alpha') as later \gset
rollback;
select ok((:'late'::jsonb ->> 'expires_in')::integer between 1 and 60, 'after 14 minutes of 15 the new token is good for one');
select ok((saas.verify_jwt(:'late'::jsonb ->> 'access_token', saas_api.jwks()) ->> 'exp')::bigint
          - extract(epoch from clock_timestamp()) <= 60, 'and says so');
select is(:'later'::text, 'PT401 Invalid or expired token', 'after 15 there is none');
update saas_private.refresh_token set created_at = created_at + interval '14 minutes';

-- The organization is remembered: by the session and by the person.
select is(saas_api.sign_in('ada@org.example', 'correct horse') #>> '{organization,slug}', 'gamma-rays', 'the next sign-in is in the last organization');
begin;
delete from saas.membership where org_id = :'gamma' and user_id = :'ada';
update saas.membership set joined_at = now() - interval '1 year' where org_id = :'alpha' and user_id = :'ada';
select is(saas_api.sign_in('ada@org.example', 'correct horse') #>> '{organization,slug}', 'alpha', 'or in the oldest, where that one is left');
rollback;
select saas_api.sign_in('ada@org.example', 'correct horse') as answer \gset
begin;
select saas.authenticate(:'token') as ok \gset
select saas_api.switch_organization('alpha') as ok \gset
commit;
select is(saas_api.refresh_session(:'answer'::jsonb ->> 'refresh_token') #>> '{organization,slug}', 'gamma-rays',
          'refreshing stays in the session''s organization, wherever another session went');

-- Organizations that are closed, members who are gone.
update saas.organization set status = 'suspended' where id = :'gamma';
set role saas_user;
begin;
select saas.authenticate(:'token') as ok \gset
select is(pg_temp.switch('gamma-rays'), 'PT403 organization is suspended', 'a suspended organization is not entered');
select results_eq('select status from saas_api.my_organizations where slug = ''gamma-rays''', array['suspended'], 'the list says so');
commit;
reset role;
update saas.organization set status = 'active' where id = :'gamma';
delete from saas.membership where org_id = :'gamma' and user_id = :'ada';
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'gamma_token')), 'PT401 Invalid organization access', 'a former member''s token is refused');
begin;
select saas.assume_identity(:'ada', :'alpha') as ok \gset
set local role saas_user;
select is(pg_temp.switch('alpha'), 'PT403 switching the organization needs a session', 'an operator''s identity does not switch');
commit;
drop view public.rbac_row;
drop table public.rbac;
select * from finish();
