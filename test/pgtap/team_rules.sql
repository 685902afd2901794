-- The rules of teams under attack: a thousand calls by chance, each judged by
-- what it changed; roles that change under invitations; sign-up and seats; who
-- acts for somebody else.
\ir ../lib/tenants.sql
select no_plan();

set saas.bcrypt_cost = 10;
call tenants.hold_poller();
select user_id as ada, org_id as acme from tenants.found('ada') \gset
select user_id as eve, org_id as evil from tenants.found('eve') \gset
select user_id as bob, org_id as bobs from tenants.found('bob') \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank)
values (:'acme', 'chief', false, '{view_dashboard,manage_members,manage_settings,export_data}', 35),
       (:'acme', 'lead', false, '{manage_members,manage_settings,view_reports}', 25),
       (:'acme', 'peer', false, '{manage_members,manage_settings}', 25), (:'acme', 'low', false, '{manage_billing}', 1);
select count(tenants.join(name, :'acme', role))
  from (values ('olga', 'owner'), ('abe', 'admin'), ('cho', 'chief'), ('lea', 'lead'), ('pam', 'peer'), ('mia', 'member'), ('vic', 'viewer'), ('lou', 'low')) v (name, role) \gset

--
-- By chance
--
create table public.team as select :'acme'::uuid as org_id;
create view public.rights as
select m.user_id, m.role, r.rank, coalesce(b.permissions, r.permissions) as permissions
  from saas.membership m join public.team using (org_id) join saas.role r on r.org_id = m.org_id and r.name = m.role
  left join saas.builtin_roles() b on b.name = r.name;
create table public.tried (call text, answer text, actor public.rights, broken text[]);
create function public.chance(variadic text[]) returns text language sql as $$ select $1[1 + floor(random() * cardinality($1))] $$;
-- A call that chance makes; those that ask for what is there are the likelier.
create function public.any_call() returns text language plpgsql as $$
declare
    who uuid := (select user_id from public.rights order by random() limit 1);
    role text := (select name from saas.role join public.team using (org_id) order by random() limit 1);
    made text := public.chance('one', 'two', 'three', 'four', role, role);
    permissions text[] := (select array_agg(p) from unnest(array['view_dashboard', 'manage_members', 'manage_settings', 'export_data', 'manage_billing', 'view_reports']) p where random() < 0.3);
    rank text := public.chance('1', '5', '15', '24', '25', '26', '30', '34', '35', '36', '39');
begin
    return case floor(random() * 12)::integer
        when 0 then format('saas_api.remove_member(%L)', who)
        when 1 then 'saas_api.leave_organization()'
        when 2 then format('saas_api.transfer_ownership(%L)', who)
        when 3 then format('saas_api.create_role(%L, %L, %s)', made, permissions, rank)
        when 4 then format('saas_api.update_role(%L, %L)', made, permissions)
        when 5 then format('saas_api.update_role(%L, rank => %s)', made, rank)
        when 6 then format('saas_api.update_role(%L, %L, %s)', made, permissions, rank)
        when 7 then format('saas_api.delete_role(%L)', made)
        else format('saas_api.change_member_role(%L, %L)', who, role)
    end;
end $$;
-- What a call broke, from what was before and is after.
create function public.broken(me public.rights, was public.rights[], roles_were saas.role[]) returns text[] language plpgsql as $$
declare
    is_owner boolean := me.role = 'owner';
    found text[] := '{}';
begin
    if not exists (select from public.rights r where r.role = 'owner') then
        found := found || 'no owner is left'::text;
    end if;
    if exists (select from public.rights r where r.user_id = me.user_id and (r.rank > me.rank or not r.permissions <@ me.permissions)) then
        found := found || 'the actor has more than before'::text;
    end if;
    if exists (select from public.rights r where r.user_id = me.user_id and r.role <> me.role and not (me.role = 'owner' and r.role = 'admin')) then
        found := found || 'the actor has another role'::text;
    end if;
    -- Whoever has another role, or none.
    if exists (select from unnest(was) w left join public.rights r on r.user_id = w.user_id
                where w.user_id <> me.user_id and r.role is distinct from w.role
                  and not (is_owner or ('manage_members' = any (me.permissions) and w.rank < me.rank and coalesce(r.rank, 0) < me.rank))) then
        found := found || 'somebody was touched who is not below'::text;
    end if;
    if exists (select from saas.role r join public.team using (org_id) full join unnest(roles_were) w on w.org_id = r.org_id and w.name = r.name
                where (r is null or w is null or (r.rank, r.permissions) is distinct from (w.rank, w.permissions)) and coalesce(r.org_id, w.org_id) = (select org_id from public.team)
                  and (coalesce(r.is_builtin, w.is_builtin) or not 'manage_settings' = any (me.permissions)
                       or not (is_owner or greatest(r.rank, w.rank) < me.rank)
                       or (r.permissions is distinct from w.permissions and not r.permissions <@ me.permissions)
                       or r.rank not between 1 and 39)) then
        found := found || 'a role was changed that the actor may not'::text;
    end if;
    return found;
end $$;
create procedure public.try_any() language plpgsql as $$
declare
    me public.rights;
    was public.rights[];
    roles_were saas.role[];
    call text;
    answer text;
begin
    -- Who has left comes back, or there would soon be nobody.
    insert into saas.membership (org_id, user_id, role)
    select t.org_id, u.id, public.chance('admin', 'member', 'viewer') from public.team t, saas.app_user u
     where u.first_name not in ('Eve', 'Bob') and random() < 0.2 on conflict do nothing;
    insert into saas.membership (org_id, user_id, role)
    select t.org_id, u.id, r.name from public.team t, saas.app_user u, saas.role r
     where u.first_name not in ('Eve', 'Bob') and r.org_id = t.org_id and r.name in ('chief', 'lead', 'peer', 'low') and random() < 0.1 on conflict do nothing;
    commit;
    select r.* into me from public.rights r order by random() * case when 'manage_settings' = any (r.permissions) then 1 else 3 end limit 1;
    was := array(select r from public.rights r);
    roles_were := array(select r from saas.role r join public.team using (org_id));
    call := public.any_call();
    answer := tenants.answer(call, me.user_id, (select org_id from public.team));
    insert into public.tried values (call, answer, me, public.broken(me, was, roles_were));
    commit;
end $$;
select setseed(0.25) as seeded \gset
select format('call public.try_any()') from generate_series(1, 1000) \gexec
select is((select to_jsonb(t) from public.tried t where broken <> '{}' limit 1), null, 'whatever a member tries breaks no rule');
select is((select string_agg(distinct left(answer, 5), ' ' order by left(answer, 5)) from public.tried where answer not like '{%' and answer not like '22023%'), '23505 PT403 PT404 PT409', 'and is refused for a documented reason');
select cmp_ok(count(*) filter (where answer like '{%'), '>=', 5::bigint, format('%s was done often', split_part(call, '(', 1))) from public.tried group by split_part(call, '(', 1);
select cmp_ok(count(*) filter (where answer like '{%'), '>=', 5::bigint, format('%s had their way often', case when (actor).role in ('owner', 'admin') then (actor).role else 'custom roles' end))
  from public.tried where (actor).role not in ('member', 'viewer', 'low') group by case when (actor).role in ('owner', 'admin') then (actor).role else 'custom roles' end;

--
-- Roles that change under an invitation
--
create function pg_temp.acme(who uuid, statement text) returns text language sql as $$
    select tenants.answer(statement, who, (select org_id from public.team))
$$;
delete from saas.membership where org_id = :'acme';
delete from saas.role where org_id = :'acme' and not is_builtin;
insert into saas.membership (org_id, user_id, role) values (:'acme', :'ada', 'owner');
select id as abe from saas.app_user where first_name = 'Abe' \gset
insert into saas.membership (org_id, user_id, role) values (:'acme', :'abe', 'admin');
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'acme', 'aide', false, '{view_dashboard}', 5);
select tenants.join('ann', :'acme', 'admin') as ann \gset
create function pg_temp.forget() returns void language sql as $$
    select saas_private.forget_attempts('mail', saas_private.email_subject(a.email)), saas_private.forget_attempts('invitation', u.id::text)
      from (values ('bob@example.com'), ('new@example.com')) a (email), saas.app_user u
$$;
-- A new invitation, in place of any before.
create function pg_temp.invite(who uuid, role text, email text default 'bob@example.com') returns text language plpgsql as $$
begin
    perform saas_private.end_invitation(i.org_id, i.id, 'revoked') from saas.invitation i where i.status = 'pending';
    perform pg_temp.forget();
    return pg_temp.acme(who, format('saas_api.invite_member(%L, %L)', invite.email, role))::jsonb ->> 'status';
end $$;
create function pg_temp.token(email text default 'bob@example.com') returns text language sql as $$
    select saas.read_mail(o.id) ->> 'token' from saas.outbox o where o.recipient = token.email and o.template = 'invitation' order by o.id desc limit 1
$$;
create function pg_temp.accept(token text) returns text language sql as $$
    select case when answer like '{%' then answer::jsonb #>> '{membership,role}' else split_part(answer, E'\n', 2) end
      from saas.app_user u join saas.membership m on m.user_id = u.id and m.role = 'owner',
           tenants.answer(format('saas_api.accept_invitation(%L)', token), u.id, m.org_id) answer
     where u.first_name = 'Bob'
$$;
\set bad '\'invalid or expired token\''
select is(pg_temp.invite(:'abe', 'aide'), 'pending', 'an admin invites to a role below');
select pg_temp.token() as token \gset
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''aide'', rank => 30)') like '{%', true, 'which is given the admin''s rank');
select is(pg_temp.accept(:'token'), :bad, 'then the invitation is good for nothing');
select is(pg_temp.acme(:'abe', format('saas_api.%s_invitation(%L)', call, id)), E'PT403\nonly roles below your own are yours to give or change', format('nor may the admin %s it', call))
  from unnest(array['resend', 'revoke']) call, saas.invitation where status = 'pending';
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''aide'', ''{view_reports}'', 5)') like '{%', true, 'with the rank of before, and another right');
select is(pg_temp.accept(:'token'), 'aide', 'it is good again');
begin;
select saas.assume_identity(:'bob', :'acme') as ok \gset
select is(saas.current_permissions(), '{view_reports}', 'and gives what the role holds now');
commit;
select is(pg_temp.acme(:'ada', format('saas_api.%s_invitation(%L)', call, id)), E'PT409\nthe invitation is accepted', format('nobody can %s it then', call))
  from unnest(array['resend', 'revoke']) call, saas.invitation where status = 'accepted';
select is(pg_temp.acme(:'ada', format('saas_api.remove_member(%L)', :'bob')) like '{%', true, 'the new member is removed');
select is(pg_temp.accept(:'token'), :bad, 'and does not come back by the same invitation');

select is(pg_temp.invite(:'abe', 'viewer'), 'pending', 'an admin invites');
select pg_temp.token() as token \gset
select is(pg_temp.acme(:'ada', format('saas_api.remove_member(%L)', :'abe')) like '{%', true, 'and is removed');
insert into saas.membership (org_id, user_id, role) values (:'acme', :'abe', 'admin');
select is(pg_temp.accept(:'token'), :bad, 'that invitation has ended, though the admin comes back');
select is(pg_temp.invite(:'ann', 'viewer'), 'pending', 'another one invites');
select pg_temp.token() as token \gset
select lives_ok(format('select saas.delete_user(%L)', :'ann'), 'whose account goes');
select is(pg_temp.accept(:'token'), :bad, 'the invitation goes with it');
select is((select i.status from saas.invitation i where i.invited_by = :'ann'), 'revoked', 'is none that waits any more');
select is_empty($$select from saas.outbox where recipient = 'bob@example.com' and status = 'queued' and template = 'invitation'$$, 'and is not sent');
select is(pg_temp.invite(:'ada', 'owner'), 'pending', 'an owner invites an owner');
select pg_temp.token() as token \gset
select is(pg_temp.acme(:'ada', format('saas_api.transfer_ownership(%L)', :'abe')) like '{%', true, 'and hands over');
select is(pg_temp.accept(:'token'), :bad, 'who is an admin now has invited no owner');
select is(pg_temp.acme(:'abe', format('saas_api.transfer_ownership(%L)', :'ada')) like '{%', true, 'back');

select is(pg_temp.invite(:'ada', 'viewer'), 'pending', 'somebody is invited');
select pg_temp.token() as token \gset
update saas.organization set status = 'deleting' where id = :'acme';
select is(pg_temp.accept(:'token'), 'organization is deleting', 'nobody joins an organization that is being deleted');
update saas.organization set status = 'active' where id = :'acme';
select pg_temp.forget() as ok \gset
select is(tenants.answer(format('saas_api.decline_invitation(%L)', :'token'), :'bob', :'bobs') like '{%', true, 'it is declined');
select is(pg_temp.acme(:'ada', format('saas_api.resend_invitation(%L)', id)), E'PT409\nthe invitation is declined', 'and is not sent again') from saas.invitation where status = 'declined';
create function pg_temp.decline(times integer, who uuid, org uuid) returns text language plpgsql as $$
declare
    last text;
begin
    for i in 1..times loop
        last := left(tenants.answer('saas_api.decline_invitation(''x'')', who, org), 5);
    end loop;
    return last;
end $$;
select pg_temp.forget() as ok \gset
select is(pg_temp.decline(10, :'bob', :'bobs') || ' ' || pg_temp.decline(1, :'bob', :'bobs'), '22023 PT429', 'declining is throttled as accepting is');

-- Seats
create function pg_temp.sign_up(token text) returns text language sql as $$
    select split_part(tenants.answer(format('saas_api.sign_up(''new@example.com'', ''correct horse n'', ''New'', ''One'', invitation_token => %L)', token)), E'\n', 1)
$$;
select is(pg_temp.invite(:'ada', 'viewer', 'new@example.com'), 'pending', 'somebody without an account is invited');
select pg_temp.token('new@example.com') as token \gset
select saas.set_seats(:'acme', 2) as ok \gset
select is(pg_temp.sign_up(:'token'), 'PT402', 'a sign-up finds no seat');
select is(pg_temp.acme(:'ada', format('saas_api.resend_invitation(%L)', id)), E'PT402\nall seats of the organization are taken\n{"seats": 2}', 'nor is it sent again') from saas.invitation where status = 'pending';
update saas.app_user set is_active = false where id = :'abe';
select pg_temp.forget() as ok \gset
select is(pg_temp.sign_up(:'token'), 'PT402', 'an account that is off keeps its seat');
update saas.app_user set is_active = true where id = :'abe';
select saas.set_seats(:'acme', null) as ok \gset
update saas.organization set status = 'suspended' where id = :'acme';
select is(pg_temp.sign_up(:'token'), 'PT403', 'a suspended organization takes nobody who signs up');
update saas.organization set status = 'active' where id = :'acme';
select is_empty('select from saas.app_user where email = ''new@example.com''', 'all of which has made no account');

--
-- Who acts for somebody else, or in no organization
--
create role saas_test_op login in role saas_operator, saas_user;
set session authorization saas_test_op;
select throws_ok(format('select saas.explain_access(%L, ''view_dashboard'', %L)', :'abe', :'acme'), 'PT403', 'another organization needs a superuser or an open ticket', 'an operator without a ticket is told nothing');
select saas.open_ticket(:'acme', 'a customer asked') as ok \gset
select is(saas.explain_access(:'abe', 'view_reports', :'acme') ->> 'allowed', 'true', 'with one they are');
select throws_ok(format('select saas.explain_access(%L, ''view_dashboard'', %L)', :'eve', :'evil'), 'PT403', 'another organization needs a superuser or an open ticket', 'of that organization');
begin;
select saas.assume_identity(:'ada', :'acme') as ok \gset
select throws_ok('select ' || call, 'PT403', 'not possible for an operator', format('an operator may not call %s', split_part(call, '(', 1)))
  from unnest(array[
    format('saas_api.change_member_role(%L, ''viewer'')', :'abe'), format('saas_api.remove_member(%L)', :'abe'),
    'saas_api.leave_organization()', format('saas_api.transfer_ownership(%L)', :'abe'),
    format('saas_api.set_member_attributes(%L, ''{}'')', :'abe'),
    'saas_api.invite_member(''x@example.com'', ''viewer'')', format('saas_api.resend_invitation(%L)', :'abe'),
    format('saas_api.revoke_invitation(%L)', :'abe'), 'saas_api.accept_invitation(''x'')', 'saas_api.decline_invitation(''x'')',
    'saas_api.create_role(''x'', ''{view_dashboard}'', 5)', 'saas_api.update_role(''aide'', ''{view_dashboard}'')',
    'saas_api.delete_role(''aide'')', 'saas_api.create_roles_from_template(''sales'')']) call;
commit;
reset session authorization;
drop role saas_test_op;
-- A session in no organization
insert into saas_private.session (user_id, expires_at) values (:'ada', now() + interval '1 hour') returning id as session \gset
begin;
select saas.authenticate(saas_private.issue_access_token(:'ada', :'session', null, 600) ->> 'access_token') as ok \gset
set local role saas_user;
select throws_ok('select ' || call, 'PT403', 'No organization access found', format('%s needs an organization', split_part(call, '(', 1)))
  from unnest(array['saas_api.leave_organization()', 'saas_api.seats()', 'saas.explain_access(null, ''view_dashboard'')', 'saas_api.invite_member(''x@example.com'', ''viewer'')']) call;
commit;
select is(pg_temp.acme(:'ada', 'saas_api.update_role(''aide'', ''{nothing}'')'), E'22023\ninvalid input\n[{"field": "permissions", "message": "must be permissions that exist"}]', 'a role is changed to permissions that exist');
insert into saas.membership (org_id, user_id, role) values (:'acme', :'bob', 'aide');
select is(pg_temp.acme(:'bob', 'saas_api.seats()'), E'PT403\npermission denied by the organization''s roles\nview_dashboard', 'seats are shown with view_dashboard');
-- Names that are no permission
begin;
select saas.assume_identity(:'ada', :'acme') as ok \gset
select is(saas.has_permission(bad), false, format('%s is no permission', left(to_json(bad)::text, 30)))
  from unnest(array['', ' view_dashboard', 'view_dashboard ', 'VIEW_DASHBOARD', E'view_dashboard\n', 'view_dashboard,manage_members', '{view_dashboard}', 'view_dashboardx', 'view_dashboar',
                    '%', '''; drop table saas.permission; --', 'ä', repeat('x', 63), repeat('x', 64), repeat('view_dashboard', 100000)]) bad;
commit;
select * from finish();
