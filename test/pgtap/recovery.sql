-- What mail proves: verification by link and by code, sign-ups for an address
-- that nobody proved, a new password; and which passwords may be chosen.
select no_plan();

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
    details text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics details = pg_exception_detail;
    return sqlstate || ' ' || sqlerrm
           || case when details like '[%' then ' (' || (details::jsonb #>> '{0,message}') || ')' else '' end;
end
$$;
create function pg_temp.call(name text, variadic arguments text[]) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.%I(%s)', name, string_agg(quote_nullable(a), ', ' order by i)))
      from unnest(arguments) with ordinality t (a, i)
$$;
create function pg_temp.user_id(address text) returns uuid language sql as $$
    select id from saas.app_user where email = address
$$;
create function pg_temp.mail(address text) returns jsonb language sql as $$
    select saas.read_mail(id) from saas.outbox where recipient = address order by id desc limit 1
$$;
-- Throttling is tried once, at the end.
create function pg_temp.forget() returns void language sql security definer as $$
    select saas_private.forget_attempts(kind, saas_private.email_subject(name || '@recovery.example'))
      from unnest(array['mail', 'sign_in', 'verify_email_code']) kind,
           unnest(array['ada', 'bob', 'carol', 'dora', 'eve', 'nobody']) name
$$;
create procedure pg_temp.attack(statement text, times integer default 1) language plpgsql as $$
begin
    for i in 1..times loop
        perform set_config('request.method', 'POST', true), set_config('role', 'saas_anon', true);
        perform pg_temp.refusal(statement);
        rollback;
    end loop;
end
$$;
set saas.bcrypt_cost = 10;
\set bad_code '\'22023 invalid or expired code\''
\set bad_token '\'22023 invalid or expired token\''
\set throttled '\'PT429 Too many attempts\''
\set credentials '\'PT401 Invalid credentials\''

--
-- Which passwords may be chosen
--
select cmp_ok((select count(*) from saas_private.common_password), '=', 13777::bigint, 'every word of the list is known');
set role saas_anon;
select is(pg_temp.call('sign_up', 'common@recovery.example', password, 'A', 'B'), '22023 invalid password (is too common)',
          format('%s is too common', password))
  from unnest(array['password123', 'PASSWORD123', 'Password123', '12345678', 'qwertyuiop', 'baseball', 'iloveyou']) password;
set role postgres;
set saas.password_composition = on;
set role saas_anon;
select is(pg_temp.call('sign_up', 'composed@recovery.example', password, 'A', 'B'),
          '22023 invalid password (must hold a lower-case letter, an upper-case letter and a digit)', format('%s lacks something', password))
  from unnest(array['correct horse', 'correct horse 1', 'Correct Horse', 'CORRECT HORSE 1']) password;
select is(pg_temp.call('sign_up', 'composed@recovery.example', 'Correct horse 1', 'A', 'B'), 'accepted', 'a letter of each case and a digit do');
select throws_ok('set saas.password_composition = off', '42501', null, 'the operator asks for them, not the tenant');
reset role;
reset saas.password_composition;
select is(pg_temp.user_id('common@recovery.example'), null, 'a refused password makes no account');

--
-- Verification
--
select saas_api.sign_up('ada@recovery.example', 'correct horse', 'Ada', 'Lovelace') as ok,
       saas_api.sign_up('bob@recovery.example', 'correct horse', 'Bob', 'Babbage') as ok2 \gset
select pg_temp.mail('ada@recovery.example') ->> 'code' as code, pg_temp.mail('ada@recovery.example') ->> 'token' as token,
       pg_temp.mail('bob@recovery.example') ->> 'code' as bobs, pg_temp.mail('bob@recovery.example') ->> 'token' as bobs_token \gset
select matches(:'code'::text, '^[0-9]{6}$', 'the mail holds six digits');
select matches(:'token'::text, '^[A-Za-z0-9_-]{43}$', 'and the link''s token');
select results_eq(format('select code_hash <> sha256(%L) and code_hash <> sha256(id::text::bytea || '':'' || %1$L), expires_at = created_at + interval ''10 minutes''
                            from saas_private.email_code where user_id = %L', :'code', pg_temp.user_id('ada@recovery.example')),
                  'values (true, true)', 'the code is kept as a keyed hash, for ten minutes');
set role saas_anon;
select is(pg_temp.call('verify_email_code', address, code), :bad_code, format('%s and %s verify nothing', to_json(left(address, 20)), to_json(left(code, 20))))
  from (values ('nobody@recovery.example', '123456'), ('nobody@recovery.example', null), (null, '123456'), ('', ''), (repeat('x', 100000), '1'),
               (E'a\x01@b.example', '123456'), ('ada@recovery.example', null), ('ada@recovery.example', repeat('1', 100000)),
               ('ada@recovery.example', E'\x01\n')) as odd (address, code);
select pg_temp.forget() as ok \gset
select is(pg_temp.call('verify_email_code', 'bob@recovery.example', case when :'code' = :'bobs' then 'x' else :'code' end), :bad_code, 'a code is good for its address only');
reset role;
update saas_private.email_code set expires_at = now() where user_id = pg_temp.user_id('bob@recovery.example');
select is(pg_temp.call('verify_email_code', 'bob@recovery.example', :'bobs'), :bad_code, 'a code that is over verifies nothing');
set role saas_anon;
select is(saas_api.verify_email_code(' ADA@recovery.example', ' ' || :'code' || ' '), '{"message": "Email verified."}', 'the right one verifies');
select is(pg_temp.call('verify_email_code', 'ada@recovery.example', :'code'), :bad_code, 'once');
select is(pg_temp.call('verify_email', :'token'), :bad_token, 'and ends the link');
select is(pg_temp.call('sign_in', 'ada@recovery.example', 'correct horse'), 'accepted', 'who is verified signs in');
reset role;

-- Resending.
create temp table mails as select count(*) as before from saas.outbox;
grant select on mails to public;
set role saas_anon;
select is(saas_api.resend_verification(name || '@recovery.example'), '{"message": "If the address waits to be verified, a mail is on its way."}',
          format('%s gets the answer that all get', name)) from unnest(array['ada', 'bob', 'nobody']) name;
reset role;
select is((select count(*) - (select before from mails) from saas.outbox), 1::bigint, 'one mail goes out, to who waits');
select is(pg_temp.call('verify_email', :'bobs_token'), :bad_token, 'the earlier link has ended');
select pg_temp.mail('bob@recovery.example') ->> 'code' as bobs \gset
select lpad(((:'bobs'::integer + n) % 1000000)::text, 6, '0') as wrong from generate_series(1, 1) n \gset
begin;
select pg_temp.refusal($$select saas_api.verify_email_code('nobody@recovery.example', '123456')$$) as ok,
       pg_current_xact_id_if_assigned() is not null as has_id \gset
rollback;
select ok(:'has_id', 'an address that nobody has takes a transaction id too, as the row lock of a known one does');
-- Five wrong tries end a code, rolled back or not.
call pg_temp.attack(format('select saas_api.verify_email_code(%L, %L)', 'bob@recovery.example', :'wrong'), 5);
select is(pg_temp.call('verify_email_code', 'bob@recovery.example', :'bobs'), :bad_code, 'five wrong tries end a code though they were rolled back');
select pg_temp.forget() as ok, saas_api.resend_verification('bob@recovery.example') as sent \gset
select pg_temp.mail('bob@recovery.example') ->> 'code' as bobs, pg_temp.mail('bob@recovery.example') ->> 'token' as bobs_token \gset
select lpad(((:'bobs'::integer + n) % 1000000)::text, 6, '0') as wrong from generate_series(1, 1) n \gset
call pg_temp.attack(format('select saas_api.verify_email_code(%L, %L)', 'bob@recovery.example', :'wrong'), 4);
select is(pg_temp.call('verify_email_code', 'bob@recovery.example', :'bobs'), 'accepted', 'after four the right one is good');
select is(pg_temp.call('verify_email', :'bobs_token'), :bad_token, 'and ends the link');
select pg_temp.forget() as ok \gset

--
-- An address that nobody has proved
--
select saas_api.sign_up('carol@recovery.example', 'hijackers horse', 'Mallory', 'Evil', 'Evil & Co.') as ok \gset
select pg_temp.user_id('carol@recovery.example') as carol, pg_temp.mail('carol@recovery.example') ->> 'token' as hijackers \gset
select saas_api.sign_up('Carol@recovery.example', 'carols own horse', 'Carol', 'Shaw') as ok \gset
select results_eq(format('select id, email, first_name, last_name, email_verified_at is null from saas.app_user where lower(email) = ''carol@recovery.example'''),
                  format('values (%L::uuid, ''Carol@recovery.example'', ''Carol'', ''Shaw'', true)', :'carol'), 'the names are those of the latest sign-up');
select results_eq(format('select o.name, left(o.slug, -7), o.is_personal from saas.membership m join saas.organization o on o.id = m.org_id where m.user_id = %L', :'carol'),
                  $$values ('Carol Shaw''s Organization', 'carol-shaw-s-organization', true)$$, 'the organization''s too');
set role saas_anon;
select is(pg_temp.call('verify_email', :'hijackers'), :bad_token, 'the first mail''s link has ended');
reset role;
select pg_temp.mail('Carol@recovery.example') ->> 'token' as carols \gset
set role saas_anon;
select is(pg_temp.call('verify_email', :'carols'), 'accepted', 'the second one''s is good');
select is(pg_temp.call('sign_in', 'carol@recovery.example', 'hijackers horse'), :credentials, 'the first password opens nothing');
select is(pg_temp.call('sign_in', 'carol@recovery.example', 'carols own horse'), 'accepted', 'the second does');
select is(pg_temp.call('sign_up', 'carol@recovery.example', 'hijackers horse', 'Mallory', 'Evil'), 'accepted', 'a sign-up for a proven address');
reset role;
select is((select first_name from saas.app_user where id = :'carol'), 'Carol', 'changes nothing');
select is(pg_temp.call('sign_in', 'carol@recovery.example', 'hijackers horse'), :credentials, 'least of all the password');
-- Nor does one for an account in use, where verification is not asked for.
select pg_temp.forget() as ok, saas_api.sign_up('dora@recovery.example', 'doras own horse', 'Dora', 'Shaw') as signed_up \gset
set saas.require_verified_email = off;
select saas_api.sign_in('dora@recovery.example', 'doras own horse') as ok \gset
select saas_api.sign_up('dora@recovery.example', 'hijackers horse', 'Mallory', 'Evil') as ok \gset
select is(pg_temp.call('sign_in', 'dora@recovery.example', 'doras own horse'), 'accepted', 'an account in use keeps its password');
reset saas.require_verified_email;
select is(pg_temp.mail('dora@recovery.example') ->> 'template', 'account_exists', 'and its owner is told');

--
-- A new password by mail
--
-- Whoever used an account without a proof leaves nothing behind that opens it.
insert into saas_private.second_factor (user_id, secret, confirmed_at)
select u.id, saas_private.seal_for_platform('MZXW6YTBOI', 'pg_saas:totp', u.id::text), now()
  from saas.app_user u where u.email = 'dora@recovery.example';
insert into saas.api_key (org_id, name, prefix, permissions, created_by)
select m.org_id, u.email, 'saas_0000000', '{view_dashboard}', u.id
  from saas.app_user u join saas.membership m on m.user_id = u.id
 where u.email in ('ada@recovery.example', 'dora@recovery.example');
create temp table reset_mails as select count(*) as before from saas.outbox;
set role saas_anon;
select is(saas_api.request_password_reset(address), '{"message": "If the address has an account, a mail is on its way."}',
          format('%s gets the answer that all get', address)) from unnest(array['ada@recovery.example', ' DORA@recovery.example', 'nobody@recovery.example']) address;
select matches(pg_temp.call('request_password_reset', odd), '^22023 invalid input', format('%s is no address', coalesce(to_json(left(odd, 20))::text, 'NULL')))
  from unnest(array[null, '', 'x', E'a@b.example\r\nBcc: x@y.example', repeat('x', 100000)]) odd;
reset role;
select is((select count(*) - (select before from reset_mails) from saas.outbox), 2::bigint, 'mail goes to accounts');
select results_eq($$select template, parameters from saas.outbox where recipient = 'ada@recovery.example' order by id desc limit 1$$,
                  $$values ('reset_password', '{"first_name": "Ada", "valid_minutes": 60}'::jsonb)$$, 'with what it says');
select pg_temp.mail('ada@recovery.example') ->> 'token' as old_token \gset
select saas_api.request_password_reset('ada@recovery.example') as ok \gset
select pg_temp.mail('ada@recovery.example') ->> 'token' as token, pg_temp.mail('dora@recovery.example') ->> 'token' as doras \gset
select is((select expires_at - created_at from saas_private.email_token where token_hash = saas_private.token_hash(:'token')), interval '1 hour', 'a link is good for an hour');
select saas_api.sign_in('ada@recovery.example', 'correct horse') ->> 'access_token' as session \gset
set role saas_anon;
select is(pg_temp.call('reset_password', bad, 'another horse'), :bad_token, format('%s resets nothing', coalesce(to_json(left(bad, 10))::text, 'NULL')))
  from unnest(array[null, '', 'x', repeat('A', 43), repeat('x', 100000), :'token' || ' ', :'old_token']) bad;
select is(pg_temp.call('verify_email', :'token'), :bad_token, 'nor does the link verify');
select is(pg_temp.call('reset_password', :'token', bad), '22023 invalid password (' || message || ')', message)
  from (values (null, 'is required'), ('short', 'must have 8 to 72 bytes'), (repeat('x', 73), 'must have 8 to 72 bytes'), ('Password123', 'is too common')) t (bad, message);
select is(pg_temp.call('reset_password', :'token', 'another horse'), 'accepted', 'a refused password left the link good');
select is(pg_temp.call('reset_password', :'token', 'a third horse'), :bad_token, 'it is good once');
select matches(pg_temp.refusal(format('select saas.authenticate(%L)', :'session')), '^PT401 ', 'all sessions have ended');
select is(pg_temp.call('sign_in', 'ada@recovery.example', 'correct horse'), :credentials, 'the old password has ended');
select is(pg_temp.call('sign_in', 'ada@recovery.example', 'another horse'), 'accepted', 'the new one is good');
reset role;
select is(pg_temp.mail('ada@recovery.example') ->> 'template', 'password_changed', 'the owner is told');
select is((select email_verified_at from saas.app_user where email = 'dora@recovery.example'), null, 'who is not verified');
select is(pg_temp.call('reset_password', :'doras', 'doras new horse'), 'accepted', 'resets the password');
select isnt((select email_verified_at from saas.app_user where email = 'dora@recovery.example'), null, 'and is verified');
select is(pg_temp.call('sign_in', 'dora@recovery.example', 'doras new horse'), 'accepted', 'which is a sign-in');
select is_empty($$select from saas_private.second_factor f join saas.app_user u on u.id = f.user_id where u.email = 'dora@recovery.example'$$,
                'without the second factor of whoever was there before');
select results_eq($$select name, revoked_at is not null from saas.api_key order by name$$,
                  $$values ('ada@recovery.example', false), ('dora@recovery.example', true)$$,
                  'whose API keys have ended; who was verified keeps theirs');
select pg_temp.forget() as ok, saas_api.request_password_reset('dora@recovery.example') as requested \gset
select pg_temp.mail('dora@recovery.example') ->> 'token' as doras \gset
update saas_private.email_token set expires_at = now() where token_hash = saas_private.token_hash(:'doras');
select is(pg_temp.call('reset_password', :'doras', 'a third horse'), :bad_token, 'a link that is over resets nothing');
update saas.app_user set is_active = false where email = 'dora@recovery.example';
update saas_private.email_token set expires_at = now() + interval '1 hour' where token_hash = saas_private.token_hash(:'doras');
select is(pg_temp.call('reset_password', :'doras', 'a third horse'), :bad_token, 'nor does that of a deactivated account');

--
-- A new password by the old one
--
select saas_api.sign_in('ada@recovery.example', 'another horse') ->> 'access_token' as one,
       saas_api.sign_in('ada@recovery.example', 'another horse') ->> 'access_token' as two \gset
set role saas_user;
select is(pg_temp.call('change_password', 'another horse', 'a new horse'), 'PT401 Access token required', 'nobody changes no password');
begin;
select saas.authenticate(:'one') as ok \gset
select is(pg_temp.call('change_password', wrong, 'a new horse'), '22023 invalid password (is not correct)', 'the current password is needed')
  from unnest(array['wrong horse', null, '']) wrong;
select is(pg_temp.call('change_password', 'another horse', 'Password123'), '22023 invalid password (is too common)', 'and a good new one');
select is(saas_api.change_password('another horse', 'a new horse', false), '{"message": "Password changed."}', 'it is changed');
commit;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'two')), 'accepted', 'other sessions stay if I want');
begin;
select saas.authenticate(:'one') as ok \gset
select is(saas_api.change_password('a new horse', 'a newer horse'), '{"message": "Password changed."}', 'or without saying so');
commit;
select matches(pg_temp.refusal(format('select saas.authenticate(%L)', :'two')), '^PT401 ', 'they end');
begin;
select saas.authenticate(:'one') as ok \gset
select is(saas.is_authenticated(), true, 'but not mine');
select is(array(select pg_temp.call('change_password', 'wrong ' || n, 'x') from generate_series(1, 5) n),
          array_fill('22023 invalid password (is not correct)'::text, array[5]), 'five wrong passwords');
rollback;
begin;
select saas.authenticate(:'one') as ok \gset
select is(pg_temp.call('change_password', 'a newer horse', 'a newest horse'), :throttled, 'have to wait, rolled back or not');
commit;
reset role;

--
-- Mail is throttled, for addresses without an account too
--
select pg_temp.forget() as ok \gset
set role saas_anon;
select is(array(select left(pg_temp.call(f, name || '@recovery.example'), 5) from unnest(array['resend_verification', 'request_password_reset',
                    'resend_verification', 'request_password_reset', 'resend_verification', 'request_password_reset']) f),
          '{accep,accep,accep,accep,accep,PT429}', format('the sixth mail to %s has to wait', name))
  from unnest(array['carol', 'nobody']) name;
select is(pg_temp.call('sign_up', 'nobody@recovery.example', 'correct horse', 'A', 'B'), :throttled, 'whatever causes it');
reset role;
select pg_temp.forget() as ok \gset
call pg_temp.attack($$select saas_api.request_password_reset('nobody@recovery.example')$$, 5);
select is(pg_temp.call('request_password_reset', 'nobody@recovery.example'), :throttled, 'or is rolled back');
select * from finish();
