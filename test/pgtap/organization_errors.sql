-- Every error that the comments on organizations' functions name, once: the
-- list below is what they document, and each of its calls is answered so.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

-- ada owns works, where vic may next to nothing and del holds all but is no
-- owner; bob owns other; eve's is suspended, fay's and gil's are being deleted,
-- gil's for too long.
set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select user_id as eve, org_id as shut from tenants.found('eve') \gset
select user_id as fay, org_id as ending from tenants.found('fay') \gset
select user_id as gil, org_id as ended from tenants.found('gil') \gset
select tenants.answer('saas_api.create_role(''hand'', ''{manage_workflows}'', 5)', :'ada', :'works') is not null
   and tenants.answer('saas_api.create_role(''deputy'', ''{view_dashboard,manage_connections,manage_members,manage_settings,delete_organization}'', 35)', :'ada', :'works') is not null as ok \gset
select tenants.join('vic', :'works', 'hand') as vic, tenants.join('del', :'works', 'deputy') as del, tenants.join('mia', :'ending', 'admin') as mia \gset
insert into saas_private.password (user_id, hash)
select id, saas_private.hash_password('correct horse ' || split_part(email, '@', 1)) from saas.app_user where id in (:'vic', :'del', :'mia');
insert into saas.membership (org_id, user_id, role) select o, :'ada', 'member' from unnest(array[:'shut', :'ending']::uuid[]) o;
create function pg_temp.sign_in(name text) returns text language sql as $$
    select saas_api.sign_in(name || '@example.com', 'correct horse ' || name) ->> 'access_token'
$$;
create table pg_temp.token (who text primary key, token text);
insert into pg_temp.token select n, pg_temp.sign_in(n) from unnest(array['ada', 'bob', 'vic', 'del']) n;
begin;
select saas.authenticate(token) as ok from pg_temp.token where who = 'ada' \gset
select saas_api.create_api_key('k', '{view_dashboard,manage_settings,manage_connections,delete_organization}') ->> 'key' as key \gset
commit;
insert into pg_temp.token values ('key', :'key');
select saas.suspend_organization(:'shut', 'unpaid') as ok \gset
update saas.organization set status = 'deleting', deleted_at = now(), purge_after = now() + interval '1 day' where id = :'ending';
update saas.organization set status = 'deleting', deleted_at = now(), purge_after = now() - interval '1 day' where id = :'ended';
insert into pg_temp.token select n, pg_temp.sign_in(n) from unnest(array['fay', 'gil', 'mia']) n;
update saas.organization set subdomain = 'taken', domain = 'crm.bob.example', domain_challenge = repeat('x', 40), domain_verified_at = now() where id = :'other';
update saas.organization set domain = 'crm.bob.example', domain_challenge = repeat('y', 40) where id = :'works';

-- What a call is answered: nobody has no identity, operator is a ticket's in
-- ada's name, dba a superuser's session without one.
create function pg_temp.answered(who text, call text) returns text language plpgsql as $$
declare
    state text;
    message text;
begin
    if answered.who = 'operator' then
        perform saas.assume_identity(u.id, m.org_id) from saas.app_user u join saas.membership m on m.user_id = u.id and m.role = 'owner'
          where u.email = 'ada@example.com';
    elsif answered.who not in ('nobody', 'dba') then
        perform saas.authenticate(t.token) from pg_temp.token t where t.who = answered.who;
    end if;
    if answered.who <> 'dba' then
        set local role saas_user;
    end if;
    execute 'select ' || call;
    raise exception using errcode = 'ZZ000', message = 'accepted';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    return state || ' ' || message;
end
$$;

create table pg_temp.documented (fn text, who text, call text, said text);
\set nobody '''PT401 Access token required'''
\set lacks '''PT403 permission denied by the organization''''s roles'''
\set invalid '''22023 invalid input'''
insert into pg_temp.documented
select f.fn, v.who, v.call, v.said
  from (values
    ('update_organization', 'saas_api.update_organization(''{}'')', 'saas_api.update_organization(''[]'')'),
    ('update_organization_settings', 'saas_api.update_organization_settings(''{}'')', 'saas_api.update_organization_settings(''[]'')'),
    ('require_second_factor', 'saas_api.require_second_factor(false)', 'saas_api.require_second_factor(null)'),
    ('set_logo', 'saas_api.set_logo(null)', 'saas_api.set_logo(''x'')'),
    ('update_configuration', 'saas_api.update_configuration(''{}'')', 'saas_api.update_configuration(''[]'')'),
    ('set_field_mapping', 'saas_api.set_field_mapping(''a'', ''B'')', 'saas_api.set_field_mapping(''a'', ''1'')'),
    ('score_deal', 'saas_api.score_deal(''{}'')', 'saas_api.score_deal(''[]'')'),
    ('complete_onboarding_step', 'saas_api.complete_onboarding_step(''team'')', 'saas_api.complete_onboarding_step(''x'')'),
    ('set_branding', 'saas_api.set_branding()', 'saas_api.set_branding(primary_color => ''red'')'),
    ('set_mail_template', 'saas_api.set_mail_template(''invitation'', ''S'', ''T'', ''H'')', 'saas_api.set_mail_template(''verify_email'', ''S'', ''T'', ''H'')'),
    ('reset_mail_template', 'saas_api.reset_mail_template(''invitation'')', 'saas_api.reset_mail_template(''x'')'),
    ('preview_mail_template', 'saas_api.preview_mail_template(''invitation'')', 'saas_api.preview_mail_template(null)')) as f (fn, call, bad)
 cross join lateral (values ('nobody', f.call, :nobody), ('vic', f.call, :lacks), ('ada', f.bad, :invalid)) as v (who, call, said);
insert into pg_temp.documented values
    ('create_organization', 'nobody', 'saas_api.create_organization(''X'')', :nobody),
    ('create_organization', 'key', 'saas_api.create_organization(''X'')', 'PT403 not possible with an API key'),
    ('create_organization', 'ada', 'saas_api.create_organization('' '')', :invalid),
    ('create_organization', 'ada', 'saas_api.create_organization(''X'', ''bob-works'')', '23505 slug is already taken'),
    ('create_organization', 'ada', 'saas_api.create_organization(''X'', ''taken'')', '23505 slug is already taken'),
    ('switch_organization', 'nobody', 'saas_api.switch_organization(''ada-works'')', :nobody),
    ('switch_organization', 'key', 'saas_api.switch_organization(''ada-works'')', 'PT403 switching the organization needs a session'),
    ('switch_organization', 'operator', 'saas_api.switch_organization(''ada-works'')', 'PT403 switching the organization needs a session'),
    ('switch_organization', 'ada', 'saas_api.switch_organization(''eve-works'')', 'PT403 organization is suspended'),
    ('switch_organization', 'ada', 'saas_api.switch_organization(''fay-works'')', 'PT403 organization is deleting'),
    ('switch_organization', 'ada', 'saas_api.switch_organization(''bob-works'')', 'PT404 organization not found'),
    ('update_organization', 'ada', 'saas_api.update_organization(''{"subdomain": "taken"}'')', '23505 subdomain is already taken'),
    ('update_organization_settings', 'key', 'saas_api.update_organization_settings(''{}'')', 'PT403 not possible with an API key'),
    ('update_organization_settings', 'del', 'saas_api.update_organization_settings(''{"role_changes_by_owners": true}'')', 'PT403 Requires owner role or higher'),
    ('update_organization_settings', 'ada', 'saas_api.update_organization_settings(''{"requires_second_factor": true}'')', 'PT403 Second factor required'),
    ('require_second_factor', 'key', 'saas_api.require_second_factor(true)', 'PT403 not possible with an API key'),
    ('require_second_factor', 'operator', 'saas_api.require_second_factor(true)', 'PT403 Second factor required'),
    ('require_second_factor', 'ada', 'saas_api.require_second_factor(true)', 'PT403 Second factor required'),
    ('resolve_organization', 'nobody', 'saas_api.resolve_organization(''x'')', 'PT404 organization not found'),
    ('resolve_organization', 'ada', 'saas_api.resolve_organization(''eve-works'')', 'PT404 organization not found'),
    ('organization_logo', 'nobody', 'saas_api.organization_logo(''ada-works'')', 'PT404 logo not found'),
    ('set_preferences', 'nobody', 'saas_api.set_preferences(''{}'')', :nobody),
    ('set_preferences', 'key', 'saas_api.set_preferences(''{}'')', 'PT403 not possible with an API key'),
    ('set_preferences', 'vic', 'saas_api.set_preferences(''[]'')', :invalid),
    ('complete_tour', 'nobody', 'saas_api.complete_tour(''a'')', :nobody),
    ('complete_tour', 'key', 'saas_api.complete_tour(''a'')', 'PT403 not possible with an API key'),
    ('complete_tour', 'vic', 'saas_api.complete_tour('''')', :invalid),
    ('deal_risks', 'nobody', 'saas.deal_risks(''[]'')', :invalid),
    ('deal_priority', 'nobody', 'saas.deal_priority(''[]'')', :invalid),
    ('delete_organization', 'nobody', 'saas_api.delete_organization(''Ada Works'')', :nobody),
    ('delete_organization', 'vic', 'saas_api.delete_organization(''Ada Works'')', :lacks),
    ('delete_organization', 'del', 'saas_api.delete_organization(''Ada Works'')', 'PT403 Requires owner role or higher'),
    ('delete_organization', 'key', 'saas_api.delete_organization(''Ada Works'')', 'PT403 not possible with an API key'),
    ('delete_organization', 'operator', 'saas_api.delete_organization(''Ada Works'')', 'PT403 not possible without a session'),
    ('delete_organization', 'ada', 'saas_api.delete_organization(''Bob Works'')', :invalid),
    ('restore_organization', 'nobody', format('saas_api.restore_organization(%L)', :'ending'), :nobody),
    ('restore_organization', 'key', format('saas_api.restore_organization(%L)', :'ending'), 'PT403 not possible with an API key'),
    ('restore_organization', 'operator', format('saas_api.restore_organization(%L)', :'ending'), 'PT403 not possible without a session'),
    ('restore_organization', 'mia', format('saas_api.restore_organization(%L)', :'ending'), 'PT403 Requires owner role or higher'),
    ('restore_organization', 'bob', format('saas_api.restore_organization(%L)', :'ending'), 'PT404 organization not found'),
    ('restore_organization', 'ada', format('saas_api.restore_organization(%L)', :'works'), 'PT409 the organization is not being deleted'),
    ('restore_organization', 'gil', format('saas_api.restore_organization(%L)', :'ended'), 'PT409 the time to restore the organization is over'),
    ('suspend_organization', 'dba', format('saas.suspend_organization(%L, '''')', :'works'), :invalid),
    ('suspend_organization', 'dba', format('saas.suspend_organization(%L, ''x'')', saas.uuidv7()), 'PT404 organization not found'),
    ('suspend_organization', 'dba', format('saas.suspend_organization(%L, ''x'')', :'ending'), 'PT409 the organization is being deleted'),
    ('activate_organization', 'dba', format('saas.activate_organization(%L)', saas.uuidv7()), 'PT404 organization not found'),
    ('activate_organization', 'dba', format('saas.activate_organization(%L)', :'works'), 'PT409 the organization is active'),
    ('activate_organization', 'dba', format('saas.activate_organization(%L)', :'ended'), 'PT409 the time to restore the organization is over'),
    ('purge_organizations', 'dba', 'saas.purge_organizations(0)', :invalid),
    ('confirm_domain', 'dba', format('saas.confirm_domain(%L, ''crm.bob.example'')', saas.uuidv7()), 'PT404 organization not found'),
    ('confirm_domain', 'dba', format('saas.confirm_domain(%L, ''bob.example'')', :'works'), 'PT409 the organization does not claim this domain'),
    ('confirm_domain', 'dba', format('saas.confirm_domain(%L, ''crm.bob.example'')', :'works'), '23505 the domain is another organization''s already');
-- Each in a transaction of its own, which has one identity.
select format('select is(pg_temp.answered(%L, %L), %L, %L)', who, call, said, format('%s: %s', who, call))
  from pg_temp.documented order by fn, who, call
\gexec

-- What is not a call alone: sessions that are too old, a transaction that has
-- acted, somebody who was faster, a world in which every word is taken.
update saas.organization set max_session_age = '1 hour' where id = :'other';
insert into saas.membership (org_id, user_id, role) values (:'other', :'ada', 'member');
update saas_private.session set created_at = now() - interval '61 minutes' where user_id = :'ada';
select is(pg_temp.answered('ada', 'saas_api.switch_organization(''bob-works'')'), 'PT401 Session is too old for this organization', 'an old session is not switched in');
begin;
select saas.assume_identity(:'bob', :'other') as ok \gset
select is(pg_temp.refusal('select saas.purge_organizations()'), '25001 this transaction already acts for another identity', 'who has acted for others removes nothing');
rollback;
insert into pg_temp.documented values ('purge_organizations', null, null, '25001');
begin;
select saas.authenticate(token) as ok from pg_temp.token where who = 'ada' \gset
select saas.suspend_organization(:'works', 'unpaid') as ok \gset
select is(pg_temp.refusal('select saas_api.delete_organization(''Ada Works'')'), 'PT403 organization is suspended', 'what was suspended meanwhile is not deleted');
rollback;
begin;
create or replace function saas_private.is_taken_label(label text, except_org_id uuid) returns boolean language sql stable security definer
set search_path = pg_catalog, pg_temp as 'select true';
select saas.authenticate(token) as ok from pg_temp.token where who = 'bob' \gset
select is(pg_temp.refusal('select saas_api.create_organization(''X'')'), '23505 no free slug found', 'where every word is taken a slug must be given');
rollback;

-- Nothing is documented that is not above, and nothing above that is not documented.
select set_eq($$select p.proname::text, m.code[1]
                  from pg_proc p
                  join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
                 cross join lateral regexp_matches(substring(d.description from 'Errors: (.*)$'), '\m(PT[0-9]{3}|[0-9]{5})\M', 'g') as m (code)
                 where p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace)
                   and p.proname::text in (select fn from pg_temp.documented)$$,
              'select distinct fn, left(said, 5) from pg_temp.documented', 'the list is what the comments say');
select is((select count(distinct fn) from pg_temp.documented), 26::bigint, 'of all functions of organizations that document errors');
select * from finish();
