-- Custom roles, the sales template, permissions of applications in policies,
-- and explain_access.
\ir ../lib/tenants.sql
select no_plan();

select user_id as ada, org_id as acme from tenants.found('ada') \gset
select user_id as eve, org_id as evil from tenants.found('eve') \gset
select tenants.join('abe', :'acme', 'admin') as abe \gset
select tenants.join('mia', :'acme', 'member') as mia \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank)
values (:'acme', 'chief', false, '{view_dashboard,manage_settings,manage_members}', 35), (:'evil', 'secret_role', false, '{view_dashboard}', 12);
select tenants.join('cho', :'acme', 'chief') as cho \gset

create function pg_temp.acme(who uuid, statement text) returns text language sql as $$
    select tenants.answer(statement, who, (select id from saas.organization where name = 'Ada Works'))
$$;
create function pg_temp.field(who uuid, statement text) returns text language sql as $$
    select case when answer like E'22023\n%' then '22023 ' || (split_part(answer, E'\n', 3)::jsonb #>> '{0,field}') else answer end
      from pg_temp.acme(who, statement) answer
$$;
create function pg_temp.may(who uuid, org uuid, permission text) returns boolean language plpgsql as $$
begin
    perform saas.assume_identity(who, org);
    return saas.has_permission(permission);
end $$;

-- create_role
select is(pg_temp.acme(:'abe', 'saas_api.create_role(''ae'', ''{view_dashboard}'', 5)'), E'PT403\npermission denied by the organization''s roles\nmanage_settings', 'an admin makes no roles');
select is(pg_temp.acme(:'ada', 'saas_api.create_role(''support'', ''{view_reports,view_dashboard,view_reports}'', 18)')::jsonb,
          jsonb_build_object('org_id', :'acme', 'name', 'support', 'is_builtin', false, 'rank', 18, 'permissions', '["view_dashboard", "view_reports"]'::jsonb), 'an owner does');
select is(pg_temp.acme(:'ada', 'saas_api.create_role(''support'', ''{view_dashboard}'', 5)'), E'23505\nrole "support" exists already', 'one of each name');
select is(pg_temp.acme(:'ada', format('saas_api.create_role(%L, ''{view_dashboard}'', 5)', builtin)), format(E'23505\nrole "%s" exists already', builtin), format('%s is taken', builtin))
  from unnest(array['owner', 'viewer']) builtin;
select is(pg_temp.acme(:'ada', 'saas_api.create_role(''secret_role'', ''{view_dashboard}'', 5)') like '{%', true, 'a name that another organization has is free');
select is(pg_temp.field(:'ada', format('saas_api.create_role(%L, ''{view_dashboard}'', 5)', bad)), '22023 name', format('the name %s is refused', coalesce(to_json(left(bad, 10))::text, 'NULL')))
  from unnest(array[null, '', 'A', '1a', 'a b', 'a|b', 'ä', repeat('a', 64), E'a\n']) bad;
select is(pg_temp.field(:'ada', format('saas_api.create_role(''x'', %L, 5)', bad)), '22023 permissions', format('the permissions %s are refused', coalesce(bad, 'NULL')))
  from unnest(array[null, '{}', '{nothing}', '{view_dashboard,null}', '{VIEW_DASHBOARD}']) bad;
select is(pg_temp.field(:'ada', format('saas_api.create_role(''x'', ''{view_dashboard}'', %L)', bad)), '22023 rank', format('the rank %s is refused', coalesce(bad, 'NULL')))
  from unnest(array[null, '0', '-1', '40', '41']) bad;
select is(pg_temp.acme(:'cho', 'saas_api.create_role(''x'', ''{view_dashboard,manage_billing}'', 5)'), E'PT403\npermission denied by the organization''s roles\nmanage_billing', 'nobody makes a role of what they lack');
select is(pg_temp.acme(:'cho', format('saas_api.create_role(''x'', ''{view_dashboard}'', %s)', rank)), E'PT403\nonly roles below your own are yours to give or change', format('nor of rank %s with 35', rank))
  from unnest(array[35, 36]) rank;
select is(pg_temp.acme(:'cho', 'saas_api.create_role(''x'', ''{view_dashboard}'', 34)') like '{%', true, 'but below');
begin;
select saas.assume_identity(:'cho', :'acme') as ok \gset
update saas.role set permissions = '{view_dashboard,manage_settings}' where name = 'chief';
select throws_ok($$select saas_api.create_role('y', '{manage_members}', 5)$$, 'PT403', 'permission denied by the organization''s roles', 'what the author holds counts as it is now');
rollback;

-- update_role
update saas.membership set role = 'support' where user_id = :'mia';
select is(pg_temp.may(:'mia', :'acme', 'view_reports'), true, 'a custom role gives its permissions');
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''support'', ''{view_dashboard}'')')::jsonb - 'org_id', '{"name": "support", "is_builtin": false, "rank": 18, "permissions": ["view_dashboard"]}', 'permissions are changed');
select is(pg_temp.may(:'mia', :'acme', 'view_reports'), false, 'from the next transaction on');
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''support'', rank => 19)')::jsonb -> 'rank', '19', 'and the rank');
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''support'')')::jsonb - 'org_id', '{"name": "support", "is_builtin": false, "rank": 19, "permissions": ["view_dashboard"]}', 'or nothing');
select is(pg_temp.acme(:'ada', format('saas_api.%s', call)), E'PT409\nbuilt-in roles cannot be changed', format('%s is refused', call))
  from unnest(array['update_role(''viewer'', ''{manage_billing}'')', 'update_role(''owner'', rank => 1)', 'delete_role(''member'')']) call;
select is(pg_temp.acme(:'ada', format('saas_api.%s', call)), E'PT404\nrole not found', format('%s finds nothing', call))
  from unnest(array['update_role(''nobody'', ''{view_dashboard}'')', 'update_role(null, ''{view_dashboard}'')', 'delete_role(''nobody'')', 'delete_role(null)']) call;
select is(tenants.answer('saas_api.update_role(''support'', rank => 1)', :'eve', :'evil'), E'PT404\nrole not found', 'another organization''s is not found');
select is(tenants.answer('saas_api.delete_role(''support'')', :'eve', :'evil'), E'PT404\nrole not found', 'nor deleted');
select is(pg_temp.acme(:'cho', format('saas_api.%s', call)), E'PT403\nonly roles below your own are yours to give or change', format('nobody may %s of the own rank', call))
  from unnest(array['update_role(''chief'', ''{view_dashboard}'')', 'update_role(''chief'', rank => 3)', 'update_role(''support'', rank => 35)', 'delete_role(''chief'')']) call;
select is(pg_temp.acme(:'cho', 'saas_api.update_role(''support'', ''{view_dashboard,manage_billing}'')'), E'PT403\npermission denied by the organization''s roles\nmanage_billing', 'nor give what they lack');
select is(pg_temp.field(:'ada', 'saas_api.update_role(''support'', rank => 40)'), '22023 rank', 'no custom role has an owner''s rank');

-- delete_role
select is(pg_temp.acme(:'ada', 'saas_api.delete_role(''support'')'), E'PT409\nthe role is in use', 'a role with members stays');
update saas.membership set role = 'member' where user_id = :'mia';
select pg_temp.acme(:'ada', 'saas_api.invite_member(''x@example.com'', ''support'')')::jsonb ->> 'id' as invitation \gset
select is(pg_temp.acme(:'ada', 'saas_api.delete_role(''support'')'), E'PT409\nthe role is in use', 'and one that somebody is invited to');
update saas.invitation set expires_at = now() where id = :'invitation';
select is(pg_temp.acme(:'ada', 'saas_api.delete_role(''support'')')::jsonb, '{"message": "Role deleted."}', 'without either it goes');
select is_empty('select from saas.role where name = ''support''', 'for good');
select is((select status from saas.invitation where id = :'invitation'), 'expired', 'with an invitation to it that had expired');
select results_eq($$select action from saas.audit_event where object_id = 'support' order by id$$,
                  $$values ('role.created'), ('role.updated'), ('role.updated'), ('role.updated'), ('role.deleted')$$, 'the audit knows it all');

-- The template
select is(pg_temp.field(:'ada', format('saas_api.create_roles_from_template(%L)', bad)), '22023 template', format('there is no template %s', coalesce(bad, 'NULL')))
  from unnest(array[null, '', 'support']) bad;
select is(pg_temp.acme(:'abe', 'saas_api.create_roles_from_template(''sales'')'), E'PT403\npermission denied by the organization''s roles\nmanage_settings', 'an admin uses none');
select is(pg_temp.acme(:'cho', 'saas_api.create_roles_from_template(''sales'')') like E'PT403\npermission denied%', true, 'nor does who lacks what is in it');
select is(jsonb_array_length(pg_temp.acme(:'ada', 'saas_api.create_roles_from_template(''sales'')')::jsonb), 3, 'sales has three roles');
select is(pg_temp.acme(:'ada', '(select string_agg(format(''%s %s %s'', r.name, r.rank, array_to_string(r.permissions, ''+'')), '', '' order by r.rank, r.name) from saas_api.roles r where r.name in (''ae'', ''am'', ''csm''))'),
          'csm 15 view_dashboard+view_reports, ae 20 manage_workflows+view_dashboard, am 25 manage_workflows+view_dashboard+view_reports', 'with their permissions');
select is(pg_temp.acme(:'ada', 'saas_api.create_roles_from_template(''sales'')') like E'23505\nrole "%" exists already', true, 'a second time they are there already');

-- Permissions of applications
create table public.deal (org_id uuid not null, name text);
insert into public.deal select o, 'deal ' || n from unnest(array[:'acme', :'evil']::uuid[]) o, generate_series(1, 20000) n;
alter table public.deal enable row level security;
create policy deals on public.deal using (org_id = saas.org_if('crm.edit_deals'));
grant select on public.deal to saas_user;
analyze public.deal;
create function pg_temp.deals(who uuid, org uuid) returns text language sql as $$ select tenants.answer('(select count(*) from public.deal)', who, org) $$;
select is(pg_temp.may(:'ada', :'acme', 'crm.edit_deals'), false, 'an unknown permission is nobody''s');
select is(pg_temp.deals(:'ada', :'acme'), '0', 'in a policy too');
select is(pg_temp.field(:'ada', 'saas_api.create_role(''dealer'', ''{crm.edit_deals}'', 5)'), '22023 permissions', 'and makes no role');
select throws_ok(format('select saas.register_permission(%L, ''d'')', bad), '22023', 'invalid input', format('the name %s is refused', coalesce(bad, 'NULL')))
  from unnest(array[null, '', 'deals', 'view_dashboard', 'crm.', '.deals', 'CRM.deals', 'crm deals.x', 'a.' || repeat('b', 62)]) bad;
select throws_ok($$select saas.register_permission('crm.edit_deals', '')$$, '22023', 'invalid input', 'a description is required');
select throws_ok($$select saas.register_permission('crm.edit_deals', 'd', '{seller}')$$, '22023', 'invalid input', 'only built-in roles are given it');
select throws_ok($$select saas.register_permission('crm.edit_deals', 'd', array[null])$$, '22023', 'invalid input', 'and no NULL');
set role saas_user;
select throws_ok($$select saas.register_permission('crm.edit_deals', 'd')$$, '42501', null, 'a tenant registers nothing');
reset role;
set role saas_operator;
select lives_ok($$select saas.register_permission('crm.edit_deals', 'Edit deals')$$, 'an operator registers a permission');
reset role;
select is(pg_temp.may(:'ada', :'acme', 'crm.edit_deals'), true, 'an owner holds it');
select is(pg_temp.may(:'abe', :'acme', 'crm.edit_deals'), false, 'an admin does not');
select is(pg_temp.deals(:'ada', :'acme'), '20000', 'a policy knows it');
select is(pg_temp.deals(:'abe', :'acme'), '0', 'of others too');
select is(pg_temp.may(:'ada', :'acme', 'crm.edit_deal'), false, 'a name that is almost it is unknown');
select lives_ok($$select saas.register_permission('crm.edit_deals', 'Edit deals', '{admin}')$$, 'it is given to admins');
select is((select string_agg(name || ' ' || number || ' ' || roles::text, ', ') from saas.permission), 'crm.edit_deals 13 {admin,owner}', 'under its number');
select is(pg_temp.may(:'abe', :'acme', 'crm.edit_deals'), true, 'who hold it then');
select is(pg_temp.acme(:'abe', '(select string_agg(p, '','') from unnest(saas.current_permissions()) p where p like ''crm%'')'), 'crm.edit_deals', 'and are told');
select is(pg_temp.acme(:'mia', 'saas.require_permission(''crm.edit_deals'')'), E'PT403\npermission denied by the organization''s roles\ncrm.edit_deals', 'others are told what they lack');
select ok('crm.edit_deals' = any (permissions), format('%s has it in the list of roles', name)) from saas.builtin_roles() where name in ('owner', 'admin');
select is(pg_temp.acme(:'mia', '(select p.description || '' '' || p.is_builtin from saas_api.permissions p where p.name = ''crm.edit_deals'')'), 'Edit deals false', 'the list of permissions shows it');
select set_eq($$select name from saas_private.known_permissions() where is_builtin$$, $$select p from saas.builtin_roles() b, unnest(b.permissions) p where p not like '%.%'$$, 'beside all built-in ones');
select is((select count(*) from saas.audit_event where action = 'permission.registered' and object_id = 'crm.edit_deals'), 2::bigint, 'the audit of the platform knows it');
-- Parallel workers have it by their leader.
begin;
set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0; set local max_parallel_workers_per_gather = 2;
select name as force_parallel from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query') \gset
set local :force_parallel = on;
select saas.assume_identity(:'abe', :'acme') as ok \gset
set local saas.restrict_sessions = off;
set local session authorization saas_user;
select count(*) as deals from public.deal \gset
select count(*) filter (where saas.has_permission('crm.edit_deals') and not saas.has_permission('crm.no')) as held from public.deal \gset
create function pg_temp.plan() returns text language plpgsql as $$
declare line text; whole text := '';
begin
    for line in explain select count(*) from public.deal loop whole := whole || line; end loop;
    return whole;
end $$;
reset session authorization;
select pg_temp.plan() as plan \gset
commit;
select matches(:'plan'::text, 'Gather', 'in a parallel plan');
select is(:deals || ' ' || :held, '20000 20000', 'a policy knows it too');
-- Custom roles and API keys
select is(pg_temp.acme(:'ada', 'saas_api.create_role(''dealer'', ''{crm.edit_deals,view_dashboard,manage_applications}'', 5)') like '{%', true, 'a custom role holds it');
update saas.membership set role = 'dealer' where user_id = :'mia';
select is(pg_temp.deals(:'mia', :'acme'), '20000', 'and gives it');
select pg_temp.acme(:'mia', 'saas_api.create_api_key(''k'', ''{crm.edit_deals}'')')::jsonb ->> 'key' as key \gset
begin; select saas.authenticate(:'key') as ok \gset
select is(saas.current_permissions(), '{crm.edit_deals}', 'an API key carries it'); commit;
-- A rolled back registration leaves nothing
begin;
select saas.register_permission('crm.undone', 'd') as ok \gset
select pg_temp.may(:'ada', :'acme', 'crm.undone') as meanwhile \gset
rollback;
select is(:'meanwhile' || ' ' || pg_temp.may(:'ada', :'acme', 'crm.undone'), 't false', 'a registration that is rolled back is forgotten');
begin;
savepoint s;
select saas.register_permission('crm.undone', 'd') as ok \gset
select pg_temp.may(:'ada', :'acme', 'crm.undone') as meanwhile \gset
rollback to s;
select is(saas.has_permission('crm.undone'), false, 'with a savepoint too');
commit;
-- All fifty
select count(saas.register_permission('app.p' || n, 'd')) as ok from generate_series(2, 50) n \gset
select throws_ok($$select saas.register_permission('app.more', 'd')$$, 'PT409', 'all 50 permissions of applications are registered', 'there is room for fifty');
select lives_ok($$select saas.register_permission('app.p50', 'other')$$, 'those that are there can still be changed');
select is(pg_temp.acme(:'ada', 'cardinality(saas.current_permissions())'), '63', 'an owner holds all of them');
select is(pg_temp.may(:'ada', :'acme', 'app.p50') and not pg_temp.may(:'ada', :'acme', 'app.p51'), true, 'up to the last');

-- Withdrawn ones
select is(tenants.answer('saas.unregister_permission(''crm.edit_deals'')'), E'PT409\nthe permission is in use\n' || jsonb_build_object('policies', '["deals on public.deal"]'::jsonb,
          'roles', jsonb_build_array(jsonb_build_object('org_id', :'acme', 'role', 'dealer')))::text, 'a permission that a policy names and a role holds stays, and both are said');
select throws_ok(format('select saas.unregister_permission(%L)', bad), 'PT404', 'permission not found', format('%s is not withdrawn', coalesce(bad, 'NULL')))
  from unnest(array[null, '', 'app.no', 'view_dashboard']) bad;
set role saas_user;
select throws_ok($$select saas.unregister_permission('app.p2')$$, '42501', null, 'nor does a tenant withdraw one');
reset role;
update saas.membership set role = 'admin' where user_id = :'mia';
select saas.register_permission('app.p2', 'd', '{admin}') as ok \gset
select pg_temp.acme(:'mia', 'saas_api.create_api_key(''p'', ''{app.p2,view_dashboard}'')')::jsonb ->> 'key' as app_key \gset
begin;
select saas.unregister_permission('app.p2') as ok \gset
select pg_temp.may(:'ada', :'acme', 'app.p2') as meanwhile \gset
rollback;
select is(:'meanwhile' || ' ' || pg_temp.may(:'ada', :'acme', 'app.p2'), 'f true', 'a withdrawal that is rolled back is forgotten');
set role saas_operator;
select lives_ok($$select saas.unregister_permission('app.p2')$$, 'an operator withdraws a permission that nothing uses');
reset role;
select throws_ok($$select saas.unregister_permission('app.p2')$$, 'PT404', 'permission not found', 'once');
select is(pg_temp.may(:'ada', :'acme', 'app.p2'), false, 'owners hold it no more');
select is(pg_temp.acme(:'ada', 'cardinality(saas.current_permissions())'), '62', 'nor is it told');
begin; select saas.authenticate(:'app_key') as ok \gset
select is(saas.current_permissions(), '{view_dashboard}', 'an API key does without it'); commit;
select is(pg_temp.acme(:'ada', '(select count(*) from saas_api.permissions p where p.name = ''app.p2'')'), '0', 'the list of permissions does not show it');
select is(pg_temp.field(:'ada', 'saas_api.create_role(''user_of_p2'', ''{app.p2}'', 5)'), '22023 permissions', 'no role is made of it');
select is(saas.explain_access(:'ada', 'app.p2', :'acme') #>> '{reasons,0,reason}', 'there is no such permission: nobody holds it', 'explain_access says so');
select throws_ok($$select saas.register_permission('app.more', 'd')$$, 'PT409', 'all 50 permissions of applications are registered', 'its place is nobody else''s while identities of before may have its bit');
select is((select number from saas.permission where name = 'app.p2'), 14, 'it keeps its number');
select lives_ok($$select saas.register_permission('app.p2', 'd')$$, 'the name can be registered again');
select is(pg_temp.may(:'ada', :'acme', 'app.p2'), true, 'and is held as before');
select lives_ok($$select saas.unregister_permission('app.p2')$$, 'and withdrawn');
update saas.permission set withdrawn_at = pg_postmaster_start_time() - interval '1 second' where name = 'app.p2';
select lives_ok($$select saas.register_permission('app.more', 'd')$$, 'when the server has been started since, its place is free');
select is((select string_agg(name, ' ') from saas.permission where number = 14), 'app.more', 'for another one');
select is((select string_agg(action, ' ' order by id) from saas.audit_event where object_id = 'app.p2' and action like 'permission.un%'), 'permission.unregistered permission.unregistered', 'the audit of the platform knows it');

-- explain_access
create function pg_temp.explain(asker uuid, who uuid, permission text) returns text language sql as $$
    select case when answer like '{%' then (answer::jsonb ->> 'allowed') || ' ' || (select string_agg(r ->> 'check' || case when (r ->> 'passed')::boolean then '+' else '-' end, ' ') from jsonb_array_elements(answer::jsonb -> 'reasons') r) else answer end
      from pg_temp.acme(asker, format('saas.explain_access(%L, %L)', who, permission)) answer
$$;
update saas.membership set role = 'member' where user_id = :'mia';
select is(pg_temp.acme(:'abe', format('saas.explain_access(%L, ''manage_workflows'')', :'mia'))::jsonb,
          jsonb_build_object('allowed', true, 'user_id', :'mia', 'org_id', :'acme', 'permission', 'manage_workflows', 'role', 'member', 'rank', 20, 'reasons',
            '[{"check": "permission", "passed": true, "reason": "the permission exists"}, {"check": "membership", "passed": true, "reason": "is a member of the organization"},
              {"check": "account", "passed": true, "reason": "the account is active"}, {"check": "organization", "passed": true, "reason": "the organization is active"},
              {"check": "role", "passed": true, "reason": "the role member holds the permission"}]'::jsonb), 'a yes has its reasons');
select is(pg_temp.explain(:'mia', :'mia', 'manage_workflows'), 'true permission+ membership+ account+ organization+ role+', 'everybody asks about themself');
select is(pg_temp.explain(:'mia', null, 'manage_billing'), 'false permission+ membership+ account+ organization+ role-', 'and NULL is oneself');
select is(pg_temp.explain(:'mia', :'abe', 'manage_billing'), E'PT403\npermission denied by the organization''s roles\nmanage_members', 'about others with manage_members only');
select is(pg_temp.explain(:'abe', :'mia', 'fly'), 'false permission- membership+ account+ organization+ role-', 'an unknown permission');
select is(pg_temp.explain(:'abe', :'mia', null), 'false permission- membership+ account+ organization+ role-', 'and none');
select is(pg_temp.explain(:'abe', :'eve', 'view_dashboard'), 'false permission+ membership-', 'a person of another organization');
select is(pg_temp.explain(:'abe', saas.uuidv7(), 'view_dashboard'), 'false permission+ membership-', 'is answered like nobody');
update saas.app_user set is_active = false where id = :'mia';
select is(pg_temp.explain(:'abe', :'mia', 'manage_workflows'), 'false permission+ membership+ account- organization+ role+', 'an account that is off');
update saas.app_user set is_active = true where id = :'mia';
select is(tenants.answer(format('saas.explain_access(%L, ''view_dashboard'', %L)', :'ada', org), :'eve', :'evil'), E'PT403\nanother organization needs a superuser or an open ticket', 'no tenant asks about another organization')
  from unnest(array[:'acme', saas.uuidv7()]::uuid[]) org;
update saas.organization set status = 'suspended', requires_second_factor = true where id = :'acme';
select is(e ->> 'allowed' || ' ' || (select string_agg(r ->> 'reason', ', ') from jsonb_array_elements(e -> 'reasons') r where not (r ->> 'passed')::boolean),
          'false the organization is suspended, the organization requires a second factor, and the person has none', 'a superuser does, and hears of suspension and second factors')
  from saas.explain_access(:'mia', 'manage_workflows', :'acme') e;
update saas.organization set status = 'active', requires_second_factor = false where id = :'acme';
update saas.membership set role = 'dealer' where user_id = :'mia';
begin; select saas.authenticate(:'key') as ok \gset
select saas.explain_access(null, 'view_dashboard') -> 'reasons' -> 5 ->> 'reason' as key_reason \gset
commit;
select is(:'key_reason'::text, 'the API key does not hold the permission', 'what an API key lacks is said');

-- require_membership
select is(pg_temp.acme(:'abe', format('saas.require_membership(%L, ''admin'')', :'acme')), '', 'an admin passes for an admin');
select is(pg_temp.acme(:'abe', format('saas.require_membership(%L, ''owner'')', :'acme')), E'PT403\nRequires owner role or higher', 'not for an owner');
select is(pg_temp.acme(:'cho', format('saas.require_membership(%L, ''admin'')', :'acme')), '', 'custom roles count by their rank');
select is(pg_temp.acme(:'abe', format('saas.require_membership(%L, ''viewer'')', org)), E'PT403\nNot a member of this organization', 'and nobody for another organization')
  from unnest(array[:'evil', saas.uuidv7(), null]::uuid[]) org;
drop table public.deal;
select * from finish();
