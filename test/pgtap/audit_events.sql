-- What is audited of people and of all that ends with a person, a membership or
-- a mapping: nothing of it goes unsaid.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set saas.bcrypt_cost = 10;

select * from tenants.found('ada') \gset ada_
select * from tenants.found('bob') \gset bob_
select tenants.join('mia', :'ada_org_id', 'admin') as mia_id \gset
select saas_private.set_password(:'mia_id', saas_private.hash_password('correct horse mia'));
create function pg_temp.sign_in(name text, password text default null) returns text language sql as $$
    select saas_api.sign_in(name || '@example.com', coalesce(password, 'correct horse ' || name)) ->> 'access_token'
$$;
create function pg_temp.token(address text, template text) returns text language sql as $$
    select saas.read_mail(o.id) ->> 'token' from saas.outbox o where o.recipient = address and o.template = token.template order by o.id desc limit 1
$$;
create temp table seen (id uuid);
-- The events of an organization (all zeros: the platform) since the last look.
create function pg_temp.news(org uuid) returns text language plpgsql as $$
declare
    told text;
begin
    select string_agg(e.action, ' ' order by e.id) into told from saas.audit_event e
     where e.org_id = news.org and e.id not in (select s.id from seen s);
    insert into seen select e.id from saas.audit_event e where e.org_id = news.org;
    return coalesce(told, '');
end
$$;
create function pg_temp.last(org uuid, action text) returns saas.audit_event language sql as $$
    select e from saas.audit_event e where e.org_id = last.org and e.action = last.action order by e.id desc limit 1
$$;
\set platform 00000000-0000-0000-0000-000000000000
select pg_temp.news(:'ada_org_id') || pg_temp.news(:'bob_org_id') || pg_temp.news(:'platform') as before \gset

-- Sessions and passwords

select pg_temp.sign_in('ada') as other, pg_temp.sign_in('ada') as token \gset
begin;
select saas.authenticate(:'token');
select saas_api.sign_out('others');
commit;
select is(pg_temp.news(:'ada_org_id'), 'user.sessions_ended', 'who ends the other sessions');
select is(to_jsonb(pg_temp.last(:'ada_org_id', 'user.sessions_ended')) #- '{after,sessions}' @>
          jsonb_build_object('actor_id', :'ada_user_id', 'source', 'session', 'object_id', :'ada_user_id', 'after', '{"scope": "others"}'::jsonb),
          true, 'says who and which');
select pg_temp.sign_in('ada') as other \gset
begin;
select saas.authenticate(:'other');
select saas.current_session_id() as other_session \gset
rollback;
begin;
select saas.authenticate(:'token');
select saas_api.end_session(:'other_session');
select saas_api.sign_out('others');
commit;
select is(pg_temp.news(:'ada_org_id'), 'user.sessions_ended', 'or one of them; where there is none to end nothing is said');
select is(pg_temp.news(:'platform'), 'user.sessions_ended user.sessions_ended', 'the platform''s audit has the same');
begin;
select saas.authenticate(:'token');
select saas_api.change_password('correct horse ada', 'planted secret 1');
commit;
select is(pg_temp.news(:'ada_org_id'), 'user.password_changed', 'who changes the password');
select saas_api.request_password_reset('ada@example.com');
select saas_api.reset_password(pg_temp.token('ada@example.com', 'reset_password'), 'planted secret 2');
select is(pg_temp.news(:'ada_org_id'), 'user.password_reset', 'who has it reset by mail');
select is((pg_temp.last(:'ada_org_id', 'user.password_reset')).actor_id, null, 'without being signed in');
select pg_temp.sign_in('ada', 'planted secret 2') as token \gset
begin;
select saas.authenticate(:'token');
select saas_api.request_email_change('augusta@example.com', 'planted secret 2');
commit;
select saas_api.confirm_email_change(pg_temp.token('augusta@example.com', 'change_email'));
select is(pg_temp.news(:'ada_org_id'), 'user.email_changed', 'who gets another address');
select is(row((pg_temp.last(:'ada_org_id', 'user.email_changed')).before, (pg_temp.last(:'ada_org_id', 'user.email_changed')).after)::text,
          row('{"email": "a***@example.com"}'::jsonb, '{"email": "a***@example.com"}'::jsonb)::text, 'which is masked: it names a person');

-- Keys

begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
select saas_api.create_api_key('first', array['view_dashboard']) ->> 'id' as first_key \gset
select saas_api.rotate_api_key(:'first_key');
select saas_api.create_signing_secret(:'first_key');
select saas_api.revoke_api_key(:'first_key');
select saas_api.revoke_api_key(:'first_key');
commit;
select is(pg_temp.news(:'ada_org_id'), 'api_key.created api_key.rotated api_key.signing_changed api_key.revoked', 'a key is revoked once');
select is((pg_temp.last(:'ada_org_id', 'api_key.rotated')).before ->> 'prefix', (pg_temp.last(:'ada_org_id', 'api_key.created')).after ->> 'prefix',
          'a rotation says which key there was');
select is((pg_temp.last(:'ada_org_id', 'api_key.signing_changed')).before -> 'requires_signature', 'false', 'and a change of signing what was asked for');

-- A connection that is what it is asked to be.

begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
select saas_api.create_connection('prometheus', 'Exporter', '{"url": "https://127.0.0.1:9/metrics"}') ->> 'id' as connection \gset
select saas_api.set_connection_active(:'connection', true);
select saas_api.set_connection_active(:'connection', false);
commit;
select is(pg_temp.news(:'ada_org_id'), 'connection.created connection.deactivated', 'what changes nothing is no change');
select is((pg_temp.last(:'ada_org_id', 'connection.deactivated')).before, '{"name": "Exporter", "is_active": true}', 'a change says what was');

-- The words of a mail

begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
select saas_api.set_mail_template('invitation', 'Come', t.text_body, t.html_body) from saas_api.mail_templates t;
commit;
select is(pg_temp.news(:'ada_org_id'), 'mail_template.updated', 'who changes a mail');
select is(row((pg_temp.last(:'ada_org_id', 'mail_template.updated')).after ->> 'subject', (pg_temp.last(:'ada_org_id', 'mail_template.updated')).before ? 'text_body')::text,
          '(Come,t)', 'with its words before and after');

-- A membership that ends, with what it held

begin;
select saas.assume_identity(:'mia_id', :'ada_org_id');
select saas_api.create_api_key('of mia', array['view_dashboard']) ->> 'id' as mias_key \gset
select saas_api.invite_member('nils@example.com', 'member') ->> 'id' as mias_invitation \gset
commit;
create role saas_test_bi login;
select saas.map_login('saas_test_bi', :'mia_id', :'ada_org_id');
select pg_temp.news(:'ada_org_id') as before \gset
begin;
select saas.assume_identity(:'ada_user_id', :'ada_org_id');
select saas_api.remove_member(:'mia_id');
commit;
select is(pg_temp.news(:'ada_org_id'), 'api_key.revoked login.unmapped invitation.revoked member.removed', 'the keys, logins and invitations of a member who goes');
select is(row((pg_temp.last(:'ada_org_id', 'api_key.revoked')).object_id, (pg_temp.last(:'ada_org_id', 'login.unmapped')).object_id,
              (pg_temp.last(:'ada_org_id', 'invitation.revoked')).object_id)::text,
          row(:'mias_key', 'saas_test_bi', :'mias_invitation')::text, 'by their names');

-- A mapping that another one replaces

select saas.map_login('saas_test_bi', :'ada_user_id', :'ada_org_id');
select saas.map_login('saas_test_bi', :'bob_user_id', :'bob_org_id');
select is(pg_temp.news(:'ada_org_id') || ', ' || pg_temp.news(:'bob_org_id'), 'login.mapped login.unmapped, login.mapped',
          'a login that acts for somebody else now is lost to the one before');

-- An account that ends, or is turned off

begin;
select saas.assume_identity(:'bob_user_id', :'bob_org_id');
select saas_api.create_api_key('of bob', array['view_dashboard']) ->> 'id' as bobs_key \gset
commit;
select pg_temp.news(:'bob_org_id') as before \gset
select saas.deactivate_user(:'bob_user_id');
select saas.activate_user(:'bob_user_id');
select is(pg_temp.news(:'bob_org_id'), 'api_key.revoked user.deactivated user.activated', 'the keys of an account that is turned off');
begin;
select saas.assume_identity(:'bob_user_id', :'bob_org_id');
select saas_api.create_api_key('of bob', array['view_dashboard']) ->> 'id' as bobs_key \gset
commit;
select pg_temp.news(:'bob_org_id') as before \gset
select pg_temp.news(:'platform') as before \gset
select saas.delete_user(:'bob_user_id');
select is(pg_temp.news(:'bob_org_id'), 'user.deleted organization.deleted api_key.revoked login.unmapped', 'an account that is deleted, and the organization that it leaves empty');
select is((pg_temp.last(:'bob_org_id', 'organization.deleted')).after ->> 'status', 'deleting', 'which is on its way');
select is(pg_temp.news(:'platform'), 'user.deleted', 'the platform hears of the account');
drop role saas_test_bi;

-- A sign-up that takes over what nobody proved

select saas_api.sign_up('eve@example.com', 'planted secret 3', 'Eve', 'Example', 'First Works');
select m.org_id as eve_org_id from saas.membership m join saas.app_user u on u.id = m.user_id where u.email = 'eve@example.com' \gset
select pg_temp.news(:'eve_org_id') as before \gset
select saas_api.sign_up('eve@example.com', 'planted secret 4', 'Eve', 'Example', 'Second Works');
select is(pg_temp.news(:'eve_org_id'), 'organization.updated', 'who signs up again renames the organization');
select is((pg_temp.last(:'eve_org_id', 'organization.updated')).before || (pg_temp.last(:'eve_org_id', 'organization.updated')).after, '{"name": "Second Works"}', 'to what is said');

-- The operator

select pg_temp.news(:'platform') as before \gset
update saas.outbox o set status = 'failed' where o.id = (select max(i.id::text)::uuid from saas.outbox i where i.org_id is null and i.token is null);
select saas.retry_mail(o.id) from saas.outbox o where o.status = 'failed';
create schema guarded;
select saas.guard_schema('guarded', 'refuse');
select saas.guard_schema('guarded', 'off');
select is(pg_temp.news(:'platform'), 'mail.retried guard.changed guard.changed', 'what the operator does is said');
select is((pg_temp.last(:'platform', 'guard.changed')).before || '{}', '{"mode": "refuse"}', 'with what was');
begin;
select saas.adopt();
select pg_temp.news(:'platform') as adopted \gset
rollback;
select is(:'adopted'::text, 'installation.adopted', 'and that a copy became the original');

-- No secret of all that is in it

select is_empty($$select e.id, e.action from saas.audit_event e where e::text ~ 'planted secret'$$, 'no password is in the audit');
call saas.seal_audit();
select is((saas.verify_audit(:'ada_org_id')).is_intact, true, 'all of it is sealed');

-- The feed says who: a login of the gateway that nobody is signed in through is not the operator.

create role saas_test_gateway login;
grant saas_anon, saas_user to saas_test_gateway;
set session authorization saas_test_gateway;
set role saas_anon;
select saas_api.sign_up('fay@example.com', 'planted secret 5', 'Fay', 'Example', 'Fay Works');
reset session authorization;
select m.org_id as fay_org_id, m.user_id as fay_id from saas.membership m join saas.app_user u on u.id = m.user_id where u.email = 'fay@example.com' \gset
select saas.confirm_user(:'fay_id');
create table public.payroll (org_id uuid, id uuid primary key default saas.uuidv7(), name text);
select saas.protect('public.payroll', read => 'manage_billing', audit => true);
insert into public.payroll (org_id, name) values (:'fay_org_id', 'planted name');
begin;
select saas.assume_identity(:'fay_id', :'fay_org_id');
select array_agg(f.actor_name || ': ' || f.action || ' ' || coalesce(f.object_name, '-') order by f.id) as feed from saas_api.activity_feed f \gset
rollback;
select is(:'feed'::text[], array['Somebody not signed in: organization.created Fay Works', 'The operator: user.confirmed -', 'The operator: row.added -'],
          'nor does it tell the names of rows that not everybody reads');
drop role saas_test_gateway;

select * from finish();
