-- Accounts that change their names, their address, or go for good with all that
-- proves or names the person.
select no_plan();
\ir ../lib/tenants.sql

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
    details text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics details = pg_exception_detail;
    return sqlstate || ' ' || sqlerrm
           || case when details like '[%' then ' (' || (details::jsonb #>> '{0,field}') || ')' else '' end;
end
$$;
create function pg_temp.sign_in(name text, password text default null) returns text language sql as $$
    select saas_api.sign_in(name || '@example.com', coalesce(password, 'correct horse ' || name)) ->> 'access_token'
$$;
create function pg_temp.mail(address text, template text) returns jsonb language sql as $$
    select saas.read_mail(o.id) from saas.outbox o where o.recipient = address and o.template = mail.template order by o.id desc limit 1
$$;
-- How many rows of any table hold the text, but for those named.
create function pg_temp.rows_with(needle text, variadic except_tables text[] default '{}') returns text language plpgsql as $$
declare
    relation regclass;
    number bigint;
    found text := '';
begin
    for relation in select c.oid from pg_class c
                     where c.relnamespace in ('saas'::regnamespace, 'saas_private'::regnamespace)
                       and c.relkind in ('r', 'p') and not c.relispartition and c.oid::regclass::text <> all (except_tables)
                     order by c.oid::regclass::text loop
        execute format('select count(*) from %s t where strpos(lower(t::text), lower(%L)) > 0', relation, needle) into number;
        if number > 0 then
            found := found || relation || ' ';
        end if;
    end loop;
    return found;
end
$$;
set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@example.com', 'correct horse ada', 'Ada', 'Lovelace') as ok,
       saas_api.sign_up('bob@example.com', 'correct horse bob', 'Bob', 'Babbage') as ok2 \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select id as ada, (select org_id from saas.membership where user_id = u.id) as ada_org from saas.app_user u where email = 'ada@example.com' \gset
select id as bob, (select org_id from saas.membership where user_id = u.id) as bob_org from saas.app_user u where email = 'bob@example.com' \gset
select user_id as olga, org_id as works from tenants.found('olga') \gset
select tenants.join('mia', :'works', 'admin') as mia \gset
select saas_private.set_password(:'mia', saas_private.hash_password('correct horse mia')) as ok \gset
select pg_temp.sign_in('ada') as adas, pg_temp.sign_in('bob') as bobs, pg_temp.sign_in('olga') as olgas, pg_temp.sign_in('mia') as mias \gset

--
-- Profile
--
select is(saas.full_name('Ada', 'Lovelace') || '|' || saas.full_name(' ', 'X') || '|' || saas.full_name(null, null), 'Ada Lovelace|X|', 'a full name leaves out what is empty');
set role saas_user;
select is(pg_temp.refusal('select saas_api.update_profile(''A'')'), 'PT401 Access token required', 'nobody has no profile');
begin;
select saas.authenticate(:'adas') as ok \gset
select is(saas_api.update_profile(first_name => ' Augusta ', avatar_url => 'https://cdn.example.com/a.png') - 'last_login_at' - 'email_verified_at',
          jsonb_build_object('id', :'ada', 'email', 'ada@example.com', 'first_name', 'Augusta', 'last_name', 'Lovelace',
                             'full_name', 'Augusta Lovelace', 'avatar_url', 'https://cdn.example.com/a.png'), 'I change what I name, and see it');
select is(saas_api.update_profile(avatar_url => '') ->> 'avatar_url', null, 'an empty picture is none');
select is(saas_api.update_profile() ->> 'full_name', 'Augusta Lovelace', 'what is not named stays');
select is(pg_temp.refusal(format('select saas_api.update_profile(%L, %L, %L)', f, l, a)), '22023 invalid input (' || field || ')', field || ' is checked')
  from (values ('', null, null, 'first_name'), (repeat('x', 101), null, null, 'first_name'), (null, E'a\nb', null, 'last_name'),
               (null, null, 'http://example.com/a.png', 'avatar_url'), (null, null, 'javascript:alert(1)', 'avatar_url'),
               (null, null, 'https://user:word@example.com/', 'avatar_url'), (null, null, 'https://example.com/"onload=', 'avatar_url'),
               (null, null, 'https://example.com/' || repeat('a', 2048), 'avatar_url')) as odd (f, l, a, field);
commit;
reset role;

--
-- The e-mail address
--
set role saas_user;
select is(pg_temp.refusal('select saas_api.request_email_change(''x@example.com'', ''x'')'), 'PT401 Access token required', 'nobody has no address');
begin;
select saas.authenticate(:'adas') as ok \gset
select is(pg_temp.refusal('select saas_api.request_email_change(''new@example.com'', ''wrong horse'')'), '22023 invalid password (password)', 'another address needs the password');
select is(pg_temp.refusal('select saas_api.request_email_change(''no address'', ''correct horse ada'')'), '22023 invalid input (email)', 'and must be one');
select is(pg_temp.refusal('select saas_api.request_email_change(''ada@example.com'', ''correct horse ada'')'), '22023 invalid input (email)', 'and another one');
select is(saas_api.request_email_change('bob@example.com', 'correct horse ada'), '{"message": "Check the mail to the new address."}', 'who asks for another''s address');
commit;
reset role;
select is_empty($$select from saas.outbox where recipient = 'bob@example.com' and template = 'change_email'$$, 'is answered alike and sent nothing');
begin;
set local role saas_user;
select saas.authenticate(:'adas') as ok \gset
select is(saas_api.request_email_change('new@example.com', 'correct horse ada'), '{"message": "Check the mail to the new address."}', 'a free one gets a mail');
commit;
select pg_temp.mail('new@example.com', 'change_email') ->> 'token' as first_change \gset
select matches(pg_temp.mail('ada@example.com', 'security_notice') #>> '{parameters,event}', 'n\*\*\*@example.com', 'the old address gets a notice');
select results_eq(format('select email from saas.app_user where id = %L', :'ada'), array['ada@example.com'], 'and stays until the link is followed');
begin;
set local role saas_user;
select saas.authenticate(:'adas') as ok \gset
select saas_api.request_email_change('newer@example.com', 'correct horse ada') as ok \gset
commit;
select pg_temp.mail('newer@example.com', 'change_email') ->> 'token' as change \gset
set role saas_anon;
select is(pg_temp.refusal(format('select saas_api.confirm_email_change(%L)', bad)), '22023 invalid or expired token', 'this changes nothing')
  from unnest(array[null, '', 'x', :'first_change']) bad;
reset role;
begin;
update saas_private.email_change set expires_at = now();
select is(pg_temp.refusal(format('select saas_api.confirm_email_change(%L)', :'change')), '22023 invalid or expired token', 'nor does a link that has expired');
rollback;
begin;
select saas.deactivate_user(:'ada') as ok \gset
select is_empty('select from saas_private.email_change', 'or that of an account that was turned off');
rollback;
begin;
update saas.app_user set email = 'Newer@example.com' where id = :'bob';
select is(pg_temp.refusal(format('select saas_api.confirm_email_change(%L)', :'change')), '22023 invalid or expired token', 'or for an address that somebody has taken meanwhile');
rollback;
insert into saas_private.email_token (token_hash, user_id, purpose, expires_at) values (sha256('r'), :'ada', 'reset_password', now() + interval '1 hour');
set role saas_anon;
select is(saas_api.confirm_email_change(:'change'), '{"message": "Email changed."}', 'the link changes the address');
select is(pg_temp.refusal(format('select saas_api.confirm_email_change(%L)', :'change')), '22023 invalid or expired token', 'once');
reset role;
select results_eq(format('select email, email_verified_at is not null from saas.app_user where id = %L', :'ada'), $$values ('newer@example.com', true)$$, 'which is verified');
select is_empty(format('select from saas_private.email_token where user_id = %L', :'ada'), 'what was mailed to the old one has ended');
select matches(pg_temp.mail('ada@example.com', 'security_notice') #>> '{parameters,event}', 'was changed to n\*\*\*@example.com', 'which is told');
select is(pg_temp.refusal('select pg_temp.sign_in(''ada'')'), 'PT401 Invalid credentials', 'the old address signs in no more');
select isnt(pg_temp.sign_in('newer', 'correct horse ada'), null, 'the new one does');

--
-- Keys of the deactivated
--
create temp table made as select (tenants.answer('saas_api.create_api_key(''k'', ''{view_dashboard}'')', :'mia', :'works')::jsonb) as key;
select key ->> 'key' as mias_key, key ->> 'id' as mias_key_id from made \gset
select tenants.answer(format('saas_api.create_signing_secret(%L, false)', :'mias_key_id'), :'mia', :'works') is not null as ok \gset
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'mias_key')), 'accepted', 'a member''s key is good');
select saas.deactivate_user(:'mia') as ok \gset
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'mias_key')), 'PT401 Invalid or expired API key', 'that of a deactivated one is not, at once');
select saas.activate_user(:'mia') as ok \gset
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'mias_key')), 'PT401 Invalid or expired API key', 'nor when they are back');
select tenants.answer('saas_api.create_api_key(''k2'', ''{view_dashboard}'')', :'mia', :'works')::jsonb ->> 'key' as mias_key \gset
select pg_temp.sign_in('mia') as mias \gset

--
-- Who may delete what
--
set role saas_user;
select is(pg_temp.refusal('select saas_api.delete_account(''correct horse olga'', ''olga@example.com'')'), 'PT401 Access token required', 'nobody is not deleted');
begin;
select saas.authenticate(:'mias_key') as ok \gset
select is(pg_temp.refusal('select saas_api.delete_account(''correct horse mia'', ''mia@example.com'')'), 'PT403 not possible with an API key', 'a key deletes nobody');
select is(pg_temp.refusal('select saas_api.update_profile(''A'')'), 'PT403 not possible with an API key', 'and renames nobody');
select is(pg_temp.refusal('select saas_api.request_email_change(''x@example.com'', ''correct horse mia'')'), 'PT403 not possible with an API key', 'nor moves anybody');
commit;
reset role;
select is(tenants.answer('saas_api.delete_account(''correct horse mia'', ''mia@example.com'')', :'mia', :'works'),
          E'PT403\nnot possible without a session', 'nor does an identity that is no session''s');
begin;
create role deletion_test login;
grant usage on schema saas, saas_api to deletion_test;
grant saas_user to deletion_test;
select saas.map_login('deletion_test', :'mia', :'works') as ok \gset
commit;
set session authorization deletion_test;
select is(saas.current_user_id(), :'mia', 'a mapped login acts for its member');
select is(pg_temp.refusal('select saas_api.delete_account(''correct horse mia'', ''mia@example.com'')'), 'PT403 not possible for a mapped database login', 'and cannot delete the account');
reset session authorization;
set role saas_user;
begin;
select saas.authenticate(:'mias') as ok \gset
select is(pg_temp.refusal(format('select saas_api.delete_account(%L, %L)', p, c)), refused, format('%s and %s delete nothing', p, c))
  from (values ('wrong horse', 'mia@example.com', '22023 invalid password (password)'), (null, 'mia@example.com', '22023 invalid password (password)'),
               ('correct horse mia', null, '22023 invalid input (confirmation)'), ('correct horse mia', 'olga@example.com', '22023 invalid input (confirmation)')) as odd (p, c, refused);
commit;
begin;
select saas.authenticate(:'olgas') as ok \gset
select is(pg_temp.refusal('select saas_api.delete_account(''correct horse olga'', ''olga@example.com'')'), 'PT409 "Olga Works" would have no owner', 'the last owner of others'' organization stays');
select throws_ok(format('select saas.delete_user(%L)', :'mia'), '42501', null, 'no tenant deletes others');
commit;
reset role;
set role saas_operator;
select is(pg_temp.refusal(format('select saas.delete_user(%L)', :'olga')), 'PT409 "Olga Works" would have no owner', 'an operator does not delete them either');
select is(pg_temp.refusal('select saas.delete_user(null)'), 'PT404 user not found', 'nor nobody');
reset role;

--
-- A member goes
--
insert into saas_private.second_factor (user_id, secret) values (:'mia', saas_private.seal_for_platform('MZXW6YTBOI', 'pg_saas:totp', :'mia'));
insert into saas_private.recovery_code (user_id, code_hash) values (:'mia', sha256('mia'));
select saas_private.start_challenge(:'mia', false) is not null as ok, saas_private.mail_verification(:'mia') as ok2,
       saas_private.queue_mail('Mia@Example.com', 'security_notice', '{"event": "x"}') is not null as ok3,
       tenants.connect(:'works', 'mias') as mias_connection \gset
update saas.connection set created_by = :'mia' where id = :'mias_connection';
set role saas_user;
begin;
select saas.authenticate(:'mias') as ok \gset
select saas_api.request_email_change('mia.new@example.com', 'correct horse mia') as ok \gset
commit;
begin;
select saas.authenticate(:'mias') as ok \gset
select is(saas_api.delete_account('correct horse mia', ' MIA@example.com'), '{"message": "Account deleted."}', 'a member deletes the own account');
commit;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'mias')), 'PT401 User not found or inactive', 'the access token ends with it');
reset role;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'mias_key')), 'PT401 Invalid or expired API key', 'the API key too');
select is(pg_temp.rows_with('mia@example.com') || pg_temp.rows_with('mia.new@example.com'), '', 'the address is nowhere');
select is(pg_temp.rows_with(:'mia', 'saas_private.security_event'), 'saas.api_key saas.audit_event saas.connection ', 'the person is only where the organization''s record names them');
select is_empty(format('select from saas_private.api_key_hash where api_key_id = %L union all select from saas_private.api_key_signing where api_key_id = %1$L', :'mias_key_id'),
                'nothing is left that proves the key');
select results_eq(format('select status from saas_api.api_keys where id = %L', :'mias_key_id'), array['revoked'], 'which is listed as revoked');
select results_eq(format('select status from saas.organization where id = %L', :'works'), array['active'], 'the organization stays');
set session authorization deletion_test;
select isnt(pg_temp.refusal('select saas.current_user_id()'), 'accepted', 'the mapped login acts for nobody')
 where saas.current_user_id() is not null;
reset session authorization;
drop owned by deletion_test;
drop role deletion_test;
select is(pg_temp.refusal('select saas_api.sign_up(''mia@example.com'', ''another horse'', ''Mia'', ''Second'')'), 'accepted', 'another account may have the address');
select isnt((select id from saas.app_user where email = 'mia@example.com'), :'mia', 'and is another one');

--
-- A person goes with the personal organization
--
select tenants.connect(:'bob_org', 'bobs', secrets => '{"bearer_token": "x"}') as connection \gset
select tenants.read(:'bob_org', tenants.lay_out(:'bob_org', :'connection', '[{"metric": "m"}]'), now(), 1) as ok \gset
select tenants.answer('saas_api.create_api_key(''k'', ''{view_dashboard}'')', :'bob', :'bob_org') is not null as ok \gset
select tenants.join('guest', :'bob_org', 'viewer') as guest \gset
insert into saas.membership (org_id, user_id, role) values (:'ada_org', :'bob', 'owner');
select is(pg_temp.refusal(format('select saas.delete_user(%L)', :'bob')), 'PT409 "Bob Babbage''s Organization" would have no owner', 'a personal organization with a guest has an owner');
delete from saas.membership where user_id = :'guest';
select isnt(pg_temp.rows_with(:'bob_org'), '', 'without one');
select is(pg_temp.refusal(format('select saas.delete_user(%L)', :'bob')), 'accepted', 'it goes with the owner');
call saas.seal_audit();
-- The platform's audit says that they went, and the head of the chain how much there was.
select is(pg_temp.rows_with(:'bob_org', 'saas.audit_event', 'saas_private.audit_chain', 'saas_private.deleted_organization',
                            'saas_private.destroyed_key') || pg_temp.rows_with(:'bob', 'saas_private.security_event', 'saas.audit_event'), '', 'with every row and key');
select is_empty(format('select from saas.audit_event where org_id = %L', :'bob_org'), 'and the organization''s own audit');
select results_eq(format('select count(*) from saas_private.data_key where org_id = %L', :'ada_org'), array[1::bigint], 'others keep theirs');
select results_eq(format('select user_id from saas.membership where org_id = %L', :'ada_org'), array[:'ada'::uuid], 'another organization loses a member');
select is((select count(*) from saas_private.data_key where org_id = '00000000-0000-0000-0000-000000000000'), 1::bigint, 'the platform keeps its key');

-- Another organization without members is closed, not deleted.
select saas.delete_user(:'olga') as ok \gset
select results_eq(format('select status from saas.organization where id = %L', :'works'), array['deleting'], 'an organization without members waits to be deleted');
select is_empty(format('select from saas.membership where org_id = %L', :'works'), 'nobody is in it');
update saas.organization set status = 'suspended' where id = :'ada_org';
select saas.delete_user(:'ada') as ok \gset
call saas.seal_audit();
select is(pg_temp.rows_with(:'ada_org', 'saas.audit_event', 'saas_private.audit_chain', 'saas_private.deleted_organization',
                            'saas_private.destroyed_key'), '', 'a suspended personal one goes too');
select * from finish();
