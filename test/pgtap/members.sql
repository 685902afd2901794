-- Members of an organization: the list, roles, removal, leaving, ownership,
-- attributes, seats; and what ends with a membership.
\ir ../lib/tenants.sql
select no_plan();

select user_id as ada, org_id as acme from tenants.found('ada') \gset
select user_id as eve, org_id as evil from tenants.found('eve') \gset
select tenants.join('abe', :'acme', 'admin') as abe \gset
select tenants.join('ann', :'acme', 'admin') as ann \gset
select tenants.join('mia', :'acme', 'member') as mia \gset
select tenants.join('max', :'acme', 'member') as max \gset
select tenants.join('vic', :'acme', 'viewer') as vic \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank)
values (:'acme', 'lead', false, '{view_dashboard,manage_members}', 25),
       (:'acme', 'clerk', false, '{manage_members}', 12), (:'evil', 'secret_role', false, '{view_dashboard}', 12);

-- As somebody in Acme; the last line of an error is its DETAIL.
create function pg_temp.acme(who uuid, statement text) returns text language sql as $$
    select tenants.answer(statement, who, (select id from saas.organization where name = 'Ada Works'))
$$;
create function pg_temp.change(who uuid, other uuid, role text) returns text language sql as $$
    select case when answer like '{%' then answer::jsonb ->> 'role' else answer end
      from pg_temp.acme(who, format('saas_api.change_member_role(%L, %L)', other, role)) answer
$$;
create function pg_temp.remove(who uuid, other uuid) returns text language sql as $$
    select pg_temp.acme(who, format('saas_api.remove_member(%L)', other))
$$;
create function pg_temp.role_of(who uuid) returns text language sql as $$
    select m.role from saas.membership m join saas.organization o on o.id = m.org_id
     where o.name = 'Ada Works' and m.user_id = who
$$;

-- The list
select is(pg_temp.acme(:'vic', '(select string_agg(m.first_name || '' '' || m.role, '', '' order by m.rank desc, m.first_name) from saas_api.members m)'),
          'Ada owner, Abe admin, Ann admin, Max member, Mia member, Vic viewer', 'whoever reads the dashboard reads the members');
select is(pg_temp.acme(:'mia', '(select to_jsonb(m) - ''joined_at'' from saas_api.members m where m.is_me)')::jsonb,
          jsonb_build_object('org_id', :'acme', 'user_id', :'mia', 'email', 'mia@example.com', 'first_name', 'Mia', 'last_name', 'Example',
                             'full_name', 'Mia Example', 'avatar_url', null, 'is_active', true, 'role', 'member', 'rank', 20,
                             'attributes', '{}'::jsonb, 'invited_by', null, 'is_me', true), 'with all that there is to say of them');
select is(tenants.answer('(select count(*) from saas_api.members)', :'eve', :'evil'), '1', 'another organization sees its own');
update saas.membership set role = 'clerk' where user_id = :'vic';
select is(pg_temp.acme(:'vic', '(select count(*) from saas_api.members)'), '0', 'without view_dashboard there is no list');
update saas.membership set role = 'viewer' where user_id = :'vic';

-- Changing roles
select is(pg_temp.change(:'vic', :'mia', 'viewer'), E'PT403\npermission denied by the organization''s roles\nmanage_members', 'a viewer changes no role, and is told what it takes');
select is(pg_temp.change(:'abe', :'eve', 'viewer'), E'PT404\nmember not found', 'a person of another organization is not found');
select is(pg_temp.change(:'abe', saas.uuidv7(), 'viewer'), E'PT404\nmember not found', 'nor is nobody');
select is(pg_temp.change(:'abe', null, 'viewer'), E'PT404\nmember not found', 'nor NULL');
select is(pg_temp.change(:'abe', :'abe', 'member'), E'PT403\nnobody changes their own role', 'an admin does not change the own role');
select is(pg_temp.change(:'ada', :'ada', 'viewer'), E'PT403\nnobody changes their own role', 'nor does an owner');
select is(pg_temp.change(:'abe', :'ann', 'member'), E'PT403\nonly roles below your own are yours to give or change', 'an admin does not touch another admin');
select is(pg_temp.change(:'abe', :'ada', 'member'), E'PT403\nonly roles below your own are yours to give or change', 'nor an owner');
select is(pg_temp.change(:'abe', :'mia', 'admin'), E'PT403\nonly roles below your own are yours to give or change', 'nor gives the own role');
select is(pg_temp.change(:'abe', :'mia', 'owner'), E'PT403\nonly roles below your own are yours to give or change', 'nor a higher one');
select is(pg_temp.change(:'abe', :'mia', bad), E'22023\ninvalid input\n[{"field": "role", "message": "must be a role of the organization"}]',
          format('the role %s is refused', coalesce(bad, 'NULL'))) from unnest(array[null, '', 'nobody', 'secret_role']) bad;
select is(pg_temp.role_of(:'mia'), 'member', 'all of this has changed nothing');
select is(pg_temp.change(:'abe', :'mia', 'viewer'), 'viewer', 'an admin gives roles below');
select is(pg_temp.change(:'abe', :'mia', 'lead'), 'lead', 'custom ones too');
select is(pg_temp.change(:'mia', :'max', 'viewer'), 'viewer', 'and who holds manage_members by a custom role does so below its rank');
select is(pg_temp.change(:'mia', :'abe', 'viewer'), E'PT403\nonly roles below your own are yours to give or change', 'not above');
select is(pg_temp.change(:'mia', :'max', 'lead'), E'PT403\nonly roles below your own are yours to give or change', 'nor at it');
select is(pg_temp.change(:'ada', :'mia', 'owner'), 'owner', 'an owner makes an owner');
select is(pg_temp.change(:'ada', :'mia', 'member'), 'member', 'and no owner');
select is(pg_temp.change(:'ada', :'mia', 'member'), 'member', 'the role that somebody has is given without a change');
select results_eq(format($$select before, after from saas.audit_event where org_id = %L and action = 'member.role_changed' and object_id = %L order by at desc limit 1$$, :'acme', :'mia'),
                  $$values ('{"role": "owner"}'::jsonb, '{"role": "member"}'::jsonb)$$, 'the audit knows it');
begin;
select saas.assume_identity(:'mia', :'acme') as ok \gset
select saas.has_permission('manage_workflows') as before \gset
commit;
select is(pg_temp.change(:'abe', :'mia', 'viewer'), 'viewer', 'a role that is taken away');
begin;
select saas.assume_identity(:'mia', :'acme') as ok \gset
select is(:'before' || ' ' || saas.has_permission('manage_workflows'), 't false', 'counts with the next transaction');
commit;
select is(pg_temp.change(:'abe', :'mia', 'member'), 'member', 'and is given back');

-- The setting that leaves role changes to owners
insert into saas.organization_settings (org_id, role_changes_by_owners) values (:'acme', true);
select is(pg_temp.change(:'abe', :'mia', 'viewer'), E'PT403\nonly owners change roles in this organization', 'an admin changes no role then');
select is(pg_temp.change(:'ada', :'mia', 'viewer'), 'viewer', 'an owner does');
-- Whom the setting restrains does not lift it.
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'acme', 'chief', false, '{manage_members,manage_settings}', 35);
update saas.membership set role = 'chief' where user_id = :'abe';
create function pg_temp.settings(who uuid, patch text) returns text language sql as $$
    select case when answer like '{%' then answer::jsonb ->> 'role_changes_by_owners' else answer end
      from pg_temp.acme(who, format('saas_api.update_organization_settings(%L)', patch)) answer
$$;
select is(pg_temp.settings(:'abe', '{"role_changes_by_owners": false}'), E'PT403\nRequires owner role or higher', 'who holds manage_settings does not turn it off');
select is(pg_temp.settings(:'abe', '{"role_changes_by_owners": true, "notifications": {}}'), 'true', 'but may repeat it among other settings');
select is(pg_temp.settings(:'ada', '{"role_changes_by_owners": false}'), 'false', 'an owner does');
select is(pg_temp.settings(:'abe', '{"role_changes_by_owners": true}'), E'PT403\nRequires owner role or higher', 'nor on');
update saas.membership set role = 'admin' where user_id = :'abe';
delete from saas.role where name = 'chief';
select is(pg_temp.change(:'abe', :'mia', 'member'), 'member', 'and everybody else again without the setting');

-- Removal, and what ends with it
begin;
select saas.assume_identity(:'mia', :'acme') as ok \gset
update saas.membership set role = 'admin' where user_id = :'mia';
commit;
select tenants.answer('saas_api.create_api_key(''sync'', ''{view_dashboard}'')', :'mia', :'acme')::jsonb as made \gset
select :'made'::jsonb ->> 'key' as key, :'made'::jsonb ->> 'id' as key_id \gset
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as ada_token \gset
create role saas_test_mia login;
select saas.map_login('saas_test_mia', :'mia', :'acme');
select pg_temp.acme(:'mia', 'saas_api.invite_member(''guest@example.com'', ''viewer'')') ~ '^{' as invited \gset
select is(:'invited'::text, 't', 'a member has invited somebody');
begin; select lives_ok(format('select saas.authenticate(%L)', :'key'), 'and made a key that is good'); commit;
select is(pg_temp.remove(:'abe', :'abe'), E'PT403\nnobody removes themself', 'nobody removes themself');
select is(pg_temp.remove(:'ada', :'ada'), E'PT403\nnobody removes themself', 'an owner neither');
select is(pg_temp.remove(:'abe', :'ada'), E'PT403\nonly roles below your own are yours to give or change', 'an admin removes no owner');
select is(pg_temp.remove(:'abe', :'mia'), E'PT403\nonly roles below your own are yours to give or change', 'nor an admin');
select is(pg_temp.remove(:'vic', :'max'), E'PT403\npermission denied by the organization''s roles\nmanage_members', 'a viewer nobody');
select is(pg_temp.remove(:'abe', :'eve'), E'PT404\nmember not found', 'a person of another organization is not found');
select is(pg_temp.remove(:'ada', :'mia')::jsonb, '{"message": "Member removed."}', 'an owner removes an admin');
select is(pg_temp.role_of(:'mia'), null, 'who is no member any more');
select is(tenants.answer('true', :'mia', :'acme'), E'PT404\nno such active member of the organization', 'and cannot act');
begin; select throws_ok(format('select saas.authenticate(%L)', :'key'), 'PT401', 'Invalid or expired API key', 'the key is refused'); commit;
insert into saas.membership (org_id, user_id, role) values (:'acme', :'mia', 'member');
begin; select throws_ok(format('select saas.authenticate(%L)', :'key'), 'PT401', 'Invalid or expired API key', 'also when the member comes back'); commit;
select ok(revoked_at is not null, 'it is revoked') from saas.api_key where id = :'key_id';
select is_empty(format('select from saas_private.api_key_hash where api_key_id = %L', :'key_id'), 'and what proves it is gone');
select is_empty('select from saas_private.login_mapping', 'the database login is mapped no more');
select results_eq('select email, status from saas.invitation', $$values ('guest@example.com', 'revoked')$$, 'the invitation is revoked');
select is((select count(*) from saas.audit_event where action = 'member.removed' and object_id = :'mia'), 1::bigint, 'the audit knows of the removal');
drop role saas_test_mia;

-- API keys and operators manage nobody
begin;
select saas.authenticate(:'ada_token') as ok \gset
select saas_api.create_api_key('all', '{manage_members,manage_settings,view_dashboard,manage_applications}') ->> 'key' as key \gset
commit;
create function pg_temp.with_key(key text, statement text) returns text language plpgsql as $$
begin
    perform saas.authenticate(key);
    set local session authorization saas_user;
    execute 'select (' || statement || ')::text';
    raise exception using errcode = 'ZZ000', message = 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end $$;
select is(pg_temp.with_key(:'key', call), 'PT403 not possible with an API key', format('an API key may not call %s', split_part(call, '(', 1)))
  from unnest(array[
    format('saas_api.change_member_role(%L, ''viewer'')', :'max'), format('saas_api.remove_member(%L)', :'max'),
    'saas_api.leave_organization()', format('saas_api.transfer_ownership(%L)', :'max'),
    format('saas_api.set_member_attributes(%L, ''{}'')', :'max'),
    'saas_api.invite_member(''x@example.com'', ''viewer'')', format('saas_api.resend_invitation(%L)', saas.uuidv7()),
    format('saas_api.revoke_invitation(%L)', saas.uuidv7()), 'saas_api.accept_invitation(''x'')', 'saas_api.decline_invitation(''x'')',
    'saas_api.create_role(''x'', ''{view_dashboard}'', 5)', 'saas_api.update_role(''lead'', ''{view_dashboard}'')',
    'saas_api.delete_role(''lead'')', 'saas_api.create_roles_from_template(''sales'')']) call;
-- Nobody signed in
select is(tenants.answer('(select case when true then ' || call || ' end)'), E'PT401\nAccess token required', format('nobody calls %s', split_part(call, '(', 1)))
  from unnest(array[
    format('saas_api.change_member_role(%L, ''viewer'')', :'max'), format('saas_api.remove_member(%L)', :'max'),
    'saas_api.leave_organization()', format('saas_api.transfer_ownership(%L)', :'max'),
    format('saas_api.set_member_attributes(%L, ''{}'')', :'max'), 'saas_api.seats()',
    'saas_api.invite_member(''x@example.com'', ''viewer'')', format('saas_api.resend_invitation(%L)', saas.uuidv7()),
    format('saas_api.revoke_invitation(%L)', saas.uuidv7()), 'saas_api.accept_invitation(''x'')', 'saas_api.decline_invitation(''x'')',
    'saas_api.create_role(''x'', ''{view_dashboard}'', 5)', 'saas_api.update_role(''lead'', ''{view_dashboard}'')',
    'saas_api.delete_role(''lead'')', 'saas_api.create_roles_from_template(''sales'')', 'saas.explain_access(null, ''view_dashboard'')']) call;

-- Leaving and handing over
select is(pg_temp.acme(:'ada', 'saas_api.leave_organization()'), E'PT409\nthe last owner cannot leave', 'the last owner does not leave');
update saas.membership set role = 'owner' where user_id = :'ann' and org_id = :'acme';
update saas.app_user set is_active = false where id = :'ann';
select is(pg_temp.acme(:'ada', 'saas_api.leave_organization()'), E'PT409\nthe last owner cannot leave', 'another one whose account is off does not count');
select is(pg_temp.acme(:'ada', format('saas_api.transfer_ownership(%L)', :'ann')), E'PT409\nthe member''s account is turned off', 'nor can they be handed anything');
update saas.app_user set is_active = true where id = :'ann';
select is(pg_temp.acme(:'ann', 'saas_api.leave_organization()')::jsonb, '{"message": "You have left the organization."}', 'one of two owners leaves');
select is(pg_temp.role_of(:'ann'), null, 'and is gone');
select is(pg_temp.acme(:'vic', 'saas_api.leave_organization()')::jsonb, '{"message": "You have left the organization."}', 'a viewer leaves too');
select is(pg_temp.acme(:'abe', format('saas_api.transfer_ownership(%L)', :'max')), E'PT403\nonly an owner hands over the organization', 'an admin hands nothing over');
select is(pg_temp.acme(:'ada', format('saas_api.transfer_ownership(%L)', :'eve')), E'PT404\nmember not found', 'nor does an owner to a stranger');
select is(pg_temp.acme(:'ada', format('saas_api.transfer_ownership(%L)', :'ada')), E'22023\ninvalid input\n[{"field": "user_id", "message": "must be another member"}]', 'nor to themself');
select is(pg_temp.acme(:'ada', format('saas_api.transfer_ownership(%L)', :'abe'))::jsonb ->> 'role', 'owner', 'an owner hands over');
select is(pg_temp.role_of(:'abe') || ' ' || pg_temp.role_of(:'ada'), 'owner admin', 'and is an admin then');
select is(pg_temp.change(:'ada', :'abe', 'viewer'), E'PT403\nonly roles below your own are yours to give or change', 'with no say over the new one');
select is((select count(*) from saas.audit_event where org_id = :'acme' and action in ('ownership.transferred', 'member.left')), 3::bigint, 'the audit knows of three');

-- A role that was taken away after the identity was read: one transaction asks
-- with an identity of before.
begin;
select saas.assume_identity(:'abe', :'acme') as ok \gset
update saas.membership set role = 'viewer' where user_id = :'abe';
select throws_ok(format('select saas_api.remove_member(%L)', :'max'), 'PT403', 'permission denied by the organization''s roles', 'the role counts as it is now, not as the identity has it');
rollback;

-- Attributes
select is(pg_temp.acme(:'abe', format('saas_api.set_member_attributes(%L, ''{"salesforce_user_id": "005"}'')', :'max'))::jsonb -> 'attributes',
          '{"salesforce_user_id": "005"}', 'facts about a member are kept');
select is(pg_temp.acme(:'ada', format('saas_api.set_member_attributes(%L, ''{}'')', :'abe')), E'PT403\nonly roles below your own are yours to give or change', 'not about somebody higher');
select is(pg_temp.acme(:'ada', format('saas_api.set_member_attributes(%L, ''{"a": 1}'')', :'ada'))::jsonb -> 'attributes', '{"a": 1}', 'but about oneself');
select is(pg_temp.acme(:'max', format('saas_api.set_member_attributes(%L, ''{"a": 1}'')', :'max')), E'PT403\npermission denied by the organization''s roles\nmanage_members', 'with manage_members only');
select is(pg_temp.acme(:'abe', format('saas_api.set_member_attributes(%L, ''{}'')', :'eve')), E'PT404\nmember not found', 'not about strangers');
select is(split_part(pg_temp.acme(:'abe', format('saas_api.set_member_attributes(%L, %L)', :'max', bad)), E'\n', 3), '[{"field": "attributes", "message": "' || message || '"}]',
          format('attributes of %s are refused', left(coalesce(bad, 'NULL'), 20)))
  from (values (null, 'must be an object'), ('[]', 'must be an object'), ('null', 'must be an object'), ('"a"', 'must be an object'),
               (jsonb_build_object('a', repeat('x', 16384))::text, 'must have at most 16384 bytes')) as v (bad, message);

-- Seats
select is(tenants.answer('saas_api.seats()', :'ada', :'acme')::jsonb, '{"seats": null, "members": 4, "invited": 0}', 'an organization has any number of seats');
select throws_ok(format('select saas.set_seats(%L, 0)', :'acme'), '22023', 'invalid input', 'but never none');
select throws_ok('select saas.set_seats(saas.uuidv7(), 3)', 'PT404', 'organization not found', 'only one that is there gets seats');
select lives_ok(format('select saas.set_seats(%L, 3)', :'acme'), 'the operator limits them');
select is(pg_temp.acme(:'abe', 'saas_api.invite_member(''more@example.com'', ''viewer'')'), E'PT402\nall seats of the organization are taken\n{"seats": 3}', 'then nobody more is invited');
select is(tenants.answer('saas_api.seats()', :'ada', :'acme')::jsonb, '{"seats": 3, "members": 4, "invited": 0}', 'and everybody stays');
set role saas_user;
select throws_ok(format('select saas.set_seats(%L, 100)', :'acme'), '42501', null, 'a tenant does not change them');
reset role;
select lives_ok(format('select saas.set_seats(%L, null)', :'acme'), 'the limit goes away');
select * from finish();
