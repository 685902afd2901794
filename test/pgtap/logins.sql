-- Which logins may be mapped to a member, by whom, and to whom.
select plan(41);

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
    details text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics details = pg_exception_detail;
    return sqlstate || ' ' || sqlerrm || case when details <> '' then ': ' || details else '' end;
end
$$;
create function pg_temp.map(login text, member text default 'login-ada', organization text default null)
returns text language sql as $$
    select pg_temp.refusal(format('select saas.map_login(%L, %L, %L)', login,
        (select u.id from saas.app_user u where u.email = member || '@logins.example'),
        (select m.org_id from saas.membership m join saas.app_user u on u.id = m.user_id
          where u.email = coalesce(organization, member) || '@logins.example')))
$$;
create function pg_temp.refused(login text, reason text) returns text language sql as $$
    select is(pg_temp.map(login), format('22023 role "%s" cannot be mapped to a member: %s', login, reason),
              format('%s is refused: %s', login, reason))
$$;
set saas.bcrypt_cost = 10;
do $$ begin
    perform saas_api.sign_up('login-ada@logins.example', 'correct horse', 'Ada', 'Lovelace', 'Login Ada');
    perform saas_api.sign_up('login-bob@logins.example', 'correct horse', 'Bob', 'Babbage', 'Login Bob');
    perform saas.confirm_user(id) from saas.app_user where email like '%@logins.example';
end $$;

begin;
create role login_test login;
create role login_super login superuser;
create role login_bypass login bypassrls;
create role login_maker login createrole;
create role login_replica login replication;
create role login_service login;
grant saas_service to login_service;
create role login_owner login;
grant saas_owner to login_owner;
create role login_poller login;
grant saas_poller to login_poller;
create role login_operator login;
grant saas_operator to login_operator;
create role login_web login noinherit;
grant saas_anon, saas_user to login_web;
create role login_group;
grant login_web to login_group;
create role login_indirect login;
grant login_group to login_indirect;
create role login_climber login;
grant login_super to login_climber;
create role login_files login;
grant pg_read_server_files to login_files;

select is(pg_temp.map('login_test'), 'accepted', 'a plain login is mapped');
select results_eq($$select o.slug, m.login_oid = 'login_test'::regrole, u.email, m.mapped_by = session_user
                      from saas_private.login_mapping m join saas.app_user u on u.id = m.user_id
                      join saas.organization o on o.id = m.org_id where m.login = 'login_test'$$,
                  $$values ('login-ada', true, 'login-ada@logins.example', true)$$,
                  'with who did it');
select is(pg_temp.map('login_test', 'login-bob'), 'accepted', 'and mapped anew');
select results_eq($$select u.email from saas_private.login_mapping m join saas.app_user u on u.id = m.user_id
                     where m.login = 'login_test'$$, $$values ('login-bob@logins.example')$$, 'in place of the old mapping');

select pg_temp.refused('login_super', 'it is, or can become, a superuser');
select pg_temp.refused('login_climber', 'it is, or can become, a superuser');
select pg_temp.refused('login_bypass', 'it, or a role that it belongs to, has BYPASSRLS');
select pg_temp.refused('login_maker', 'it, or a role that it belongs to, has CREATEROLE');
select pg_temp.refused('login_replica', 'it, or a role that it belongs to, has REPLICATION');
select pg_temp.refused('login_service', 'it belongs to saas_service');
select pg_temp.refused('login_owner', 'it belongs to saas_owner');
select pg_temp.refused('login_poller', 'it belongs to saas_poller');
select pg_temp.refused('login_operator', 'it belongs to saas_operator');
select pg_temp.refused('login_web', 'it belongs to saas_anon, as PostgREST''s authenticator does');
select pg_temp.refused('login_indirect', 'it belongs to saas_anon, as PostgREST''s authenticator does');
select pg_temp.refused('login_files', 'it belongs to pg_read_server_files');
select pg_temp.refused('saas_user', 'it is a role of pg_saas itself');
select pg_temp.refused('saas_anon', 'it belongs to saas_anon, as PostgREST''s authenticator does');
select is(pg_temp.map('login_nobody'), 'PT404 role "login_nobody" not found', 'a role that is not there is not found');

select is(pg_temp.map('login_test', 'login-ada', 'login-bob'), 'PT404 no such active member of the organization',
          'a user of another organization is refused');
select is(pg_temp.map('login_test', 'login-nobody', 'login-bob'), 'PT404 no such active member of the organization',
          'and so is nobody');
select is(pg_temp.map('login_test', 'login-bob', 'login-nobody'), 'PT404 no such active member of the organization',
          'or no organization');
update saas.app_user set is_active = false where email = 'login-ada@logins.example';
select is(pg_temp.map('login_test'), 'PT404 no such active member of the organization', 'or a deactivated user');
select results_eq($$select u.email from saas_private.login_mapping m join saas.app_user u on u.id = m.user_id
                     where m.login = 'login_test'$$, $$values ('login-bob@logins.example')$$,
                  'and a refused mapping leaves the old one');

select is(pg_temp.refusal($$select saas.unmap_login('login_test')$$), 'accepted', 'a mapping is removed');
select is((select count(*) from saas_private.login_mapping where login = 'login_test'), 0::bigint, 'and gone');
select is(pg_temp.refusal($$select saas.unmap_login('login_test')$$), 'PT404 login "login_test" is not mapped',
          'once');

-- Nothing is left when the mapping has ended.
update saas.app_user set is_active = true where email = 'login-ada@logins.example';
create table outliving (call text);
insert into outliving values ($$saas_api.create_api_key('k', '{view_dashboard}')$$), ($$saas_api.create_organization('Mine')$$),
                             ('saas_api.require_second_factor(false)'), ($$saas_api.sign_out('all')$$),
                             ('saas_api.leave_organization()'), ($$saas_api.invite_member('x@logins.example', 'viewer')$$),
                             ($$saas_api.create_role('x', '{view_dashboard}', 5)$$);
grant select on outliving to public;
grant saas_user to login_test;
savepoint unmapped;
select pg_temp.map('login_test') as ok \gset
set local session authorization login_test;
select saas.current_role_name() as role, array_agg(pg_temp.refusal('select ' || call)) as refusals from outliving \gset
reset session authorization;
rollback to unmapped;
select is(:'role'::text, 'owner', 'a login mapped to an owner');
select is(r, 'PT403 not possible for a mapped database login', 'leaves nothing behind') from unnest(:'refusals'::text[]) r;

-- Two rows can only come from a superuser's hand.
insert into saas_private.login_mapping (org_id, login_oid, login, user_id)
select m.org_id, 'login_test'::regrole, 'login_test', m.user_id
  from saas.membership m join saas.app_user u on u.id = m.user_id where u.email like '%@logins.example';
set local session authorization login_test;
select saas.is_authenticated() as twice \gset
reset session authorization;
select is(:'twice'::text, 'f', 'a login with two mappings has no identity');

grant usage on schema saas, saas_private to login_maker;
grant execute on function saas.map_login(name, uuid, uuid), saas.unmap_login(name),
                          saas_private.login_refusal(oid) to login_maker;
grant execute on all functions in schema saas_private to login_maker;
set local role login_maker;
select pg_temp.refusal($$select saas.map_login('login_test', gen_random_uuid(), gen_random_uuid())$$) as map,
       pg_temp.refusal($$select saas.unmap_login('login_test')$$) as unmap \gset
reset role;
select is(:'map'::text, 'PT403 saas.map_login needs a superuser', 'mapping is for superusers, whatever was granted');
select is(:'unmap'::text, 'PT403 saas.unmap_login needs a superuser', 'and so is unmapping');
rollback;

select is_empty($$select g.grantee::regrole from pg_proc p, aclexplode(p.proacl) g
                   where p.proname in ('map_login', 'unmap_login') and g.grantee <> p.proowner$$,
                'nobody is given them');
select has_function('saas', 'map_login', array['name', 'uuid', 'uuid'], 'map_login is there');
select has_function('saas', 'unmap_login', array['name'], 'unmap_login is there');

select * from finish();
