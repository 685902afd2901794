-- Sign-up, verification, sign-in, sessions, and who may call what.
select plan(208);
\ir ../lib/refusals.sql

create function pg_temp.sign_up(email text, password text default 'correct horse', first_name text default 'Ada',
                                last_name text default 'Lovelace', organization_name text default null)
returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.sign_up(%L, %L, %L, %L, %L)',
                                  email, password, first_name, last_name, organization_name))
$$;
-- What is tried here is not how often: sign_in.sql and recovery.sql do that.
create function pg_temp.forget(email text) returns void language sql security definer as $$
    select saas_private.forget_attempts('sign_in', saas_private.email_subject(email))
$$;
create function pg_temp.sign_in(email text, password text) returns text language sql as $$
    select pg_temp.forget(email);
    select pg_temp.refusal(format('select saas_api.sign_in(%L, %L)', email, password))
$$;
create function pg_temp.refresh(token text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.refresh_session(%L)', token))
$$;
create function pg_temp.authenticate(token text) returns text language sql as $$
    select pg_temp.refusal(format('select saas.authenticate(%L)', token))
$$;
create function pg_temp.user_id(address text) returns uuid language sql as $$
    select id from saas.app_user where email = address
$$;
create function pg_temp.mail_token(address text) returns text language sql as $$
    select saas.read_mail(id) ->> 'token' from saas.outbox where recipient = address order by id desc limit 1
$$;
set saas.bcrypt_cost = 10;
\set credentials '\'PT401 Invalid credentials\''
\set token_refused '\'PT401 Invalid or expired token\''

--
-- sign_up
--
set role saas_anon;
select is(saas_api.sign_up('ada@accounts.example', 'correct horse', ' Ada ', 'Lovelace'),
          '{"message": "Check your email to verify your account."}', 'sign-up answers the same to everyone');
select is(saas_api.sign_up('bob@accounts.example', 'correct horse', 'Bob', 'Babbage', 'Bees & Co.'),
          '{"message": "Check your email to verify your account."}', 'also with an organization');
reset role;
select results_eq($$select first_name, last_name, is_active, email_verified_at is null, last_login_at is null
                      from saas.app_user where email = 'ada@accounts.example'$$,
                  $$values ('Ada', 'Lovelace', true, true, true)$$, 'there is an active account with an unverified address');
select results_eq($$select o.name, regexp_replace(o.slug, '-[0-9a-f]{6}$', ' and a tail'), o.is_personal, o.status, m.role
                      from saas.membership m join saas.organization o on o.id = m.org_id
                     where m.user_id = pg_temp.user_id('ada@accounts.example')$$,
                  $$values ('Ada Lovelace''s Organization', 'ada-lovelace-s-organization and a tail', true, 'active', 'owner')$$,
                  'without a name the organization is personal, and the person its owner');
select results_eq($$select o.name, regexp_replace(o.slug, '-[0-9a-f]{6}$', ' and a tail'), o.is_personal, m.role
                      from saas.membership m join saas.organization o on o.id = m.org_id
                     where m.user_id = pg_temp.user_id('bob@accounts.example')$$,
                  $$values ('Bees & Co.', 'bees-co and a tail', false, 'owner')$$, 'with a name it is not');
select is_empty($$select from saas.organization where slug in ('ada-lovelace-s-organization', 'bees-co')$$,
                'whether a sign-up made an organization cannot be seen by a slug that is taken');
select results_eq($$select count(*) from saas_private.data_key k join saas.organization o on o.id = k.org_id where o.name = 'Bees & Co.'$$,
                  array[1::bigint], 'the organization has a data key');
select matches((select hash from saas_private.password where user_id = pg_temp.user_id('ada@accounts.example')),
               '^\$2[ab]\$10\$.{53}$', 'the password is kept as bcrypt of the cost that is set');
select results_eq($$select template, parameters, status, token is not null, org_id is null from saas.outbox
                     where recipient = 'ada@accounts.example'$$,
                  $$values ('verify_email', '{"first_name": "Ada", "valid_hours": 24, "code_valid_minutes": 10}'::jsonb, 'queued', true, true)$$,
                  'a mail with a token goes out');
select matches(pg_temp.mail_token('ada@accounts.example'), '^[A-Za-z0-9_-]{43}$', 'the token has 256 bits');
select is_empty($$select o from saas.outbox o where o::text like '%' || pg_temp.mail_token('ada@accounts.example') || '%'$$,
                'the outbox shows no token');
select results_eq($$select token_hash = sha256(pg_temp.mail_token('ada@accounts.example')::bytea), expires_at = created_at + interval '24 hours'
                      from saas_private.email_token where user_id = pg_temp.user_id('ada@accounts.example')$$,
                  'values (true, true)', 'only the token''s hash is kept, for a day');

-- Known addresses.
select saas_api.sign_up('known@accounts.example', 'correct horse', 'Grace', 'Hopper') as ok \gset
select saas.confirm_user(pg_temp.user_id('known@accounts.example')) as ok \gset
set role saas_anon;
select is(saas_api.sign_up('KNOWN@accounts.Example', 'another horse', 'Eve', 'Other', 'Takeover'),
          '{"message": "Check your email to verify your account."}', 'a known address gets the same answer');
reset role;
select results_eq($$select template, token is null, parameters from saas.outbox where recipient = 'KNOWN@accounts.Example'$$,
                  $$values ('account_exists', true, '{}'::jsonb)$$, 'and a mail that says so');
select results_eq($$select count(*), min(first_name) from saas.app_user where lower(email) = 'known@accounts.example'$$,
                  $$values (1::bigint, 'Grace')$$, 'its account is what it was');
select is_empty($$select from saas.organization where name = 'Takeover'$$, 'and no organization came of it');
select is((select count(*) from saas_private.password), (select count(*) from saas.app_user), 'nor a password');

-- Bad input names its field and leaves nothing behind.
select count(*) as users from saas.app_user \gset
select count(*) as mails from saas.outbox \gset
set role saas_anon;
select is(pg_temp.sign_up(bad), '22023 invalid input (email)', format('%s is no e-mail address', coalesce(to_json(left(bad, 40))::text, 'NULL')))
  from unnest(array[null, '', ' ', 'x', 'a@', '@b.example', 'a@b', 'a b@c.example', 'a@b c.example', 'a@@b.example', 'a@b@c.example',
                    'a@.example', 'a@b..example', 'a@b.example.', 'a@-b.example', 'a@b-.example', '.a@b.example', 'a.@b.example', 'a..b@c.example',
                    'a@b_c.example', E'a@b.example\r\nBcc: x@y.example', E'a\x01@b.example', '"a b"@c.example', 'a@[127.0.0.1]', 'a@b.example,c@d.example',
                    '<a@b.example>', repeat('a', 65) || '@b.example', 'a@' || repeat('b', 64) || '.example', repeat('é', 3) || '@b.example',
                    repeat('a', 64) || '@' || repeat(repeat('b', 58) || '.', 3) || 'bbbbbb.example']) as bad;
select is(pg_temp.sign_up('names@accounts.example', first_name => bad), '22023 invalid input (first_name)',
          format('a first name of %s is refused', coalesce(to_json(left(bad, 20))::text, 'NULL')))
  from unnest(array[null, '', '   ', repeat('x', 101), E'A\x01', E'A\nB', E'A\x7f']) as bad;
select is(pg_temp.sign_up('names@accounts.example', last_name => bad), '22023 invalid input (last_name)',
          format('a last name of %s is refused', coalesce(to_json(left(bad, 20))::text, 'NULL')))
  from unnest(array[null, '', '   ', repeat('x', 101), E'A\x1b[31m']) as bad;
select is(pg_temp.sign_up('names@accounts.example', organization_name => bad), '22023 invalid input (organization_name)',
          format('an organization''s name of %s is refused', to_json(left(bad, 20))))
  from unnest(array['', '   ', repeat('x', 256), E'A\tB']) as bad;
select is(pg_temp.sign_up('passwords@accounts.example', bad), '22023 invalid password (password)',
          format('a password of %s bytes is refused', coalesce(octet_length(bad)::text, 'no')))
  from unnest(array[null, '', '1234567', repeat('x', 73), repeat('€', 25), repeat('x', 100000)]) as bad;
select is(pg_temp.sign_up('names@accounts.example', first_name => repeat('x', 100000000)), '22023 invalid input (first_name)',
          'a very long name is refused before memory is taken for trimming it');
reset role;
select is((select count(*) from saas.app_user), :users::bigint, 'no refused sign-up left an account');
select is((select count(*) from saas.outbox), :mails::bigint, 'nor a mail');

-- Good input at the limits.
set role saas_anon;
select is(pg_temp.sign_up(good), 'accepted', format('%s is an e-mail address', left(good, 40)))
  from unnest(array['smcgovern@axonify.com.fullcpy', 'a+b.c''d@x-y.example', 'A_B@1.example', ' trimmed@accounts.example ',
                    repeat('a', 64) || '@b.example', repeat('a', 64) || '@' || repeat(repeat('b', 58) || '.', 3) || 'bbbbb.example']) as good;
select is(pg_temp.sign_up('p8@accounts.example', '8 bytes.'), 'accepted', 'a password of 8 bytes is accepted');
select is(pg_temp.sign_up('p72@accounts.example', repeat('x', 71) || 'y'), 'accepted', 'a password of 72 bytes is accepted');
select is(pg_temp.sign_up('p24@accounts.example', repeat('€', 24)), 'accepted', 'a password of 24 characters in 72 bytes is accepted');
select is(pg_temp.sign_up('p4@accounts.example', 'éééé'), 'accepted', 'a password of 4 characters in 8 bytes is accepted');
select is(pg_temp.sign_up('n100@accounts.example', first_name => repeat('é', 100), last_name => repeat('ß', 100)), 'accepted',
          'names of 100 characters are accepted');
select is(pg_temp.sign_up('o255@accounts.example', organization_name => repeat('Ö', 255)), 'accepted',
          'an organization''s name of 255 characters is accepted');
select is(pg_temp.sign_up('o47@accounts.example', organization_name => repeat('x', 47) || ' ' || repeat('y', 47)), 'accepted',
          'a slug that is cut at a hyphen is a slug');
select is(pg_temp.sign_up('o0@accounts.example', organization_name => '---'), 'accepted', 'a name without a letter has a slug');
select is(pg_temp.sign_up('oadmin@accounts.example', organization_name => 'Admin'), 'accepted', 'a reserved word may be a name');
select is(pg_temp.sign_up(o || '@accounts.example', organization_name => 'Bees & Co.'), 'accepted', 'a taken name may be a name again')
  from unnest(array['obees', 'ohornets']) o;
reset role;
create function pg_temp.slug(address text) returns text language sql as $$
    select o.slug from saas.membership m join saas.organization o on o.id = m.org_id where m.user_id = pg_temp.user_id(address)
$$;
select is(pg_temp.user_id('trimmed@accounts.example') is not null, true, 'spaces around an address do not count');
select saas.confirm_user(pg_temp.user_id(o || '@accounts.example')) from unnest(array['o47', 'o0', 'oadmin', 'obees', 'ohornets']) o;
select is(pg_temp.slug('obees@accounts.example'), 'bees-co', 'with the address the organization''s slug is settled');
select is(pg_temp.slug('o47@accounts.example'), repeat('x', 47), 'the slug has no hyphen at its end');
select matches(pg_temp.slug('o0@accounts.example'), '^org-[0-9a-f]{6}$', 'the slug without letters has a random tail');
select matches(pg_temp.slug('oadmin@accounts.example'), '^admin-[0-9a-f]{6}$', 'the reserved slug gets a random tail');
select matches(pg_temp.slug('ohornets@accounts.example'), '^bees-co-[0-9a-f]{6}$', 'the taken slug gets a random tail');
update saas.app_user set email_verified_at = null where id = pg_temp.user_id('obees@accounts.example');
update saas.organization set slug = 'bees' where slug = 'bees-co';
select saas.confirm_user(pg_temp.user_id('obees@accounts.example')) as ok \gset
select is(pg_temp.slug('obees@accounts.example'), 'bees', 'a slug that was chosen stays');

set saas.sign_up_enabled = off;
set role saas_anon;
select is(pg_temp.sign_up('late@accounts.example'), 'PT403 sign-up is turned off', 'sign-up can be turned off');
select throws_ok('set saas.sign_up_enabled = on', '42501', null, 'by the operator only');
reset role;
reset saas.sign_up_enabled;
select is(pg_temp.user_id('late@accounts.example'), null, 'nobody signs up meanwhile');

--
-- verify_email and confirm_user
--
select pg_temp.mail_token('ada@accounts.example') as ada_mail, pg_temp.mail_token('bob@accounts.example') as bob_mail,
       pg_temp.mail_token('p8@accounts.example') as p8_mail \gset
update saas_private.email_token set expires_at = now() - interval '1 second' where user_id = pg_temp.user_id('bob@accounts.example');
create function pg_temp.verify(token text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.verify_email(%L)', token))
$$;
set role saas_anon;
select is(pg_temp.sign_in('ada@accounts.example', 'wrong horse'), :credentials, 'before verification a wrong password is wrong credentials');
select is(pg_temp.sign_in('ada@accounts.example', 'correct horse'), 'PT403 Email not verified', 'and the right one is told what is missing');
select is(pg_temp.verify(bad), '22023 invalid or expired token', format('verifying with %s fails', coalesce(to_json(left(bad, 10))::text, 'NULL')))
  from unnest(array[null, '', 'x', repeat('A', 43), :'ada_mail' || ' ', upper(:'ada_mail')]) as bad;
select is(pg_temp.verify(:'bob_mail'), '22023 invalid or expired token', 'an expired token does not verify');
select is(saas_api.verify_email(:'ada_mail'), '{"message": "Email verified."}', 'the mailed token verifies');
select is(pg_temp.verify(:'ada_mail'), '22023 invalid or expired token', 'once');
reset role;
select results_eq($$select email, email_verified_at is not null from saas.app_user where email in ('ada@accounts.example', 'bob@accounts.example') order by 1$$,
                  $$values ('ada@accounts.example', true), ('bob@accounts.example', false)$$, 'it verified that address');
select pg_temp.user_id('ada@accounts.example') as ada, pg_temp.user_id('bob@accounts.example') as bob \gset
set role saas_anon;
select throws_ok(format('select saas.confirm_user(%L)', :'bob'), '42501', null, 'nobody confirms a user');
set role saas_user;
select throws_ok(format('select saas.confirm_user(%L)', :'bob'), '42501', null, 'no tenant confirms a user');
set role saas_operator;
select is(pg_temp.refusal(format('select saas.confirm_user(%L)', :'bob')), 'accepted', 'an operator confirms a user');
select is(pg_temp.refusal('select saas.confirm_user(saas.uuidv7())'), 'PT404 user not found', 'an unknown user is not found');
select is(pg_temp.refusal('select saas.confirm_user(null)'), 'PT404 user not found', 'nor is the missing one');
reset role;
set saas.require_verified_email = off;
-- The first sign-in of all makes the key that signs tokens.
begin;
savepoint s;
select saas_api.sign_in('p8@accounts.example', '8 bytes.') as ok \gset
rollback to s;
commit;
select is((select count(*) from saas_private.jwt_key), 0::bigint, 'a signing key goes with the savepoint that made it');
select is(pg_temp.authenticate(saas_api.sign_in('p8@accounts.example', '8 bytes.') ->> 'access_token'), 'accepted',
          'and signs nothing afterwards');
set role saas_anon;
select is(pg_temp.sign_in('p8@accounts.example', '8 bytes.'), 'accepted', 'the operator may do without verification');
reset role;
reset saas.require_verified_email;

--
-- sign_in
--
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
delete from saas_private.session;
set role saas_anon;
select is(pg_temp.sign_in(address, password), :credentials, what)
  from (values ('ada@accounts.example', 'wrong horse', 'a wrong password is wrong credentials'),
               ('nobody@accounts.example', 'correct horse', 'an unknown address is wrong credentials'),
               ('ada@accounts.example', '', 'an empty password is wrong credentials'),
               ('ada@accounts.example', null, 'a missing password is wrong credentials'),
               (null, 'correct horse', 'a missing address is wrong credentials'),
               ('', '', 'nothing is wrong credentials'),
               ('ada@accounts.example', 'correct horse ', 'a password is not trimmed'),
               ('ada@accounts.example', 'Correct horse', 'a password''s case counts'),
               ('p72@accounts.example', repeat('x', 71) || 'z', 'the 72nd byte counts'),
               ('p72@accounts.example', repeat('x', 71), 'a missing 72nd byte counts'),
               ('p72@accounts.example', repeat('x', 71) || 'yz', 'a 73rd byte counts'),
               ('p24@accounts.example', repeat('€', 23), 'a missing character counts')) as t (address, password, what);
select is(pg_temp.sign_in('p72@accounts.example', repeat('x', 71) || 'y'), 'accepted', '72 bytes sign in');
select is(pg_temp.sign_in('p24@accounts.example', repeat('€', 24)), 'accepted', '24 characters in 72 bytes sign in');
select is(pg_temp.sign_in(' ADA@accounts.example ', 'correct horse'), 'accepted', 'neither case nor spaces of an address count');
reset role;
update saas.app_user set is_active = false where id = :'ada';
set role saas_anon;
select is(pg_temp.sign_in('ada@accounts.example', 'correct horse'), :credentials, 'an inactive account is wrong credentials');
reset role;
update saas.app_user set is_active = true where id = :'ada';
delete from saas_private.password where user_id = pg_temp.user_id('p8@accounts.example');
select is(pg_temp.sign_in('p8@accounts.example', '8 bytes.'), :credentials, 'an account without a password is wrong credentials');
delete from saas_private.session;

set request.headers = '{"user-agent": "pgTAP/1"}';
set role saas_anon;
select saas_api.sign_in('ada@accounts.example', 'correct horse') as answer \gset
select saas_api.sign_in('ada@accounts.example', 'correct horse', true) as remembered \gset
reset role;
reset request.headers;
select :'answer'::jsonb ->> 'access_token' as token, :'answer'::jsonb ->> 'refresh_token' as refresh,
       :'remembered'::jsonb ->> 'access_token' as remembered_token, :'remembered'::jsonb ->> 'refresh_token' as remembered_refresh \gset
select org_id as ada_org from saas.membership where user_id = :'ada' \gset
select is((select array_agg(k order by k) from jsonb_object_keys(:'answer'::jsonb) k),
          '{access_token,expires_in,membership,organization,refresh_token,token_type,user}', 'sign-in answers tokens and who one is');
select is(:'answer'::jsonb - '{access_token,refresh_token,membership}'::text[], jsonb_build_object(
              'token_type', 'Bearer', 'expires_in', 900,
              'user', jsonb_build_object('id', :'ada', 'email', 'ada@accounts.example', 'first_name', 'Ada', 'last_name', 'Lovelace', 'avatar_url', null),
              'organization', jsonb_build_object('id', :'ada_org', 'name', 'Ada Lovelace''s Organization', 'slug', 'ada-lovelace-s-organization')),
          'with user and organization');
select is(:'answer'::jsonb #>> '{membership,role}', 'owner', 'and the membership''s role');
select matches(:'refresh'::text, '^[A-Za-z0-9_-]{43}$', 'the refresh token has 256 bits');
select results_eq(format('select is_remembered, expires_at - created_at, user_agent, active_org_id, ended_at is null
                            from saas_private.session where user_id = %L order by id', :'ada'),
                  format($$values (false, '24 hours'::interval, 'pgTAP/1', %1$L::uuid, true), (true, '30 days', 'pgTAP/1', %1$L, true)$$, :'ada_org'),
                  'a session lasts a day, a remembered one 30 days');
select results_eq(format('select t.expires_at = s.expires_at, t.token_hash = sha256(%L), t.rotated_at is null from saas_private.refresh_token t
                            join saas_private.session s on s.id = t.session_id where not s.is_remembered and s.user_id = %L', :'refresh', :'ada'),
                  'values (true, true, true)', 'of the refresh token only the hash is kept');
select is((select last_login_at > now() - interval '1 hour' from saas.app_user where id = :'ada'), true, 'the last sign-in is noted');
select is(pg_temp.refusal('select saas_api.sign_in(''bob@accounts.example'', ''correct horse'', null)'), 'accepted', 'remember_me may be null');
select is((select bool_or(is_remembered) from saas_private.session where user_id = :'bob'), false, 'and then is off');
set saas.access_token_lifetime = '2h';
select is(saas_api.sign_in('bob@accounts.example', 'correct horse') -> 'expires_in', '7200', 'the lifetime of an access token is a setting');
reset saas.access_token_lifetime;

--
-- The access token
--
select saas.verify_jwt(:'token', saas_api.jwks(), '{"issuer": "pg_saas", "audience": "pg_saas", "type": "access"}') as claims \gset
select is((select array_agg(k order by k) from jsonb_object_keys(:'claims'::jsonb) k),
          '{aud,email,exp,iat,iss,jti,name,nbf,org,org_role,org_slug,role,sid,sub,type}', 'the published keys verify the token');
select id as ada_session from saas_private.session where user_id = :'ada' and not is_remembered \gset
select is(:'claims'::jsonb - '{iat,nbf,exp,jti}'::text[], jsonb_build_object(
              'iss', 'pg_saas', 'aud', 'pg_saas', 'type', 'access', 'role', 'saas_user', 'sub', :'ada', 'sid', :'ada_session',
              'org', :'ada_org', 'org_slug', 'ada-lovelace-s-organization', 'org_role', 'owner',
              'email', 'ada@accounts.example', 'name', 'Ada Lovelace'), 'its claims say who, where and what for');
select is((:'claims'::jsonb -> 'exp')::integer - (:'claims'::jsonb -> 'iat')::integer, 900, 'it is good for 15 minutes');
select is(:'claims'::jsonb -> 'nbf', :'claims'::jsonb -> 'iat', 'from the moment it was made');
select isnt(:'claims'::jsonb ->> 'jti', saas.verify_jwt(:'remembered_token', saas_api.jwks()) ->> 'jti', 'every token has its own id');
select set_eq('select k from jsonb_array_elements(saas_api.jwks() -> ''keys'') key, jsonb_object_keys(key) k',
              '{alg,crv,kid,kty,use,x,y}'::text[], 'the published keys show their public half only');
select matches(pg_temp.refusal(format('select saas.verify_jwt(%L, %L)', :'token',
                   jsonb_set(saas_api.jwks(), '{keys,0,x}', saas_api.jwks() #> '{keys,0,y}'))), '^(PT401|22023) ', 'an altered key does not verify it');
select is(pg_temp.refusal(format('select saas.verify_jwt(%L, saas_api.jwks(), ''{"issuer": "x"}'')', :'token')), :token_refused,
          'another issuer does not either');
select is(pg_temp.refusal(format('select saas.verify_jwt(%L, saas_api.jwks(), %L)', :'token',
              jsonb_build_object('now', (:'claims'::jsonb -> 'exp')::bigint + 29))), 'accepted', 'the clock may be off by 30 seconds');
select is(pg_temp.refusal(format('select saas.verify_jwt(%L, saas_api.jwks(), %L)', :'token',
              jsonb_build_object('now', (:'claims'::jsonb -> 'exp')::bigint + 31))), :token_refused, 'but not by more');
select is(pg_temp.refusal(format('select saas.verify_jwt(%L, saas_api.jwks(), %L)', :'token',
              jsonb_build_object('now', (:'claims'::jsonb -> 'nbf')::bigint - 31))), :token_refused, 'in either direction');

--
-- me
--
set role saas_user;
select is(pg_temp.refusal('select saas_api.me()'), 'PT401 Access token required', 'nobody is not asked who they are');
begin;
select saas.authenticate(:'token') as ok \gset
select is(saas_api.me() #- '{user,last_login_at}' #- '{user,email_verified_at}' #- '{membership,joined_at}', jsonb_build_object(
              'user', jsonb_build_object('id', :'ada', 'email', 'ada@accounts.example', 'first_name', 'Ada', 'last_name', 'Lovelace',
                                         'full_name', 'Ada Lovelace', 'avatar_url', null),
              'organization', jsonb_build_object('id', :'ada_org', 'name', 'Ada Lovelace''s Organization', 'slug', 'ada-lovelace-s-organization'),
              'membership', jsonb_build_object('role', 'owner', 'permissions', saas.current_permissions())),
          'me is user, organization, role and permissions');
commit;
reset role;

--
-- refresh_session
--
create function pg_temp.token_row(token text) returns saas_private.refresh_token language sql as $$
    select t from saas_private.refresh_token t where token_hash = saas_private.token_hash(token)
$$;
set role saas_anon;
select is(pg_temp.refresh(bad), :token_refused, format('%s refreshes nothing', coalesce(to_json(left(bad, 10))::text, 'NULL')))
  from unnest(array[null, '', 'x', repeat('A', 43), :'refresh' || ' ', :'token']) as bad;
select saas_api.refresh_session(:'refresh') as refreshed \gset
reset role;
select :'refreshed'::jsonb ->> 'refresh_token' as refresh2, :'refreshed'::jsonb ->> 'access_token' as token2 \gset
select is((select array_agg(k order by k) from jsonb_object_keys(:'refreshed'::jsonb) k),
          '{access_token,expires_in,membership,organization,refresh_token,token_type,user}', 'refreshing answers what sign-in does');
select isnt(:'refresh2'::text, :'refresh', 'with another refresh token');
select is(saas.verify_jwt(:'token2', saas_api.jwks()) ->> 'sid', :'ada_session', 'of the same session');
select is(pg_temp.authenticate(:'token2'), 'accepted', 'its access token is good');
select is((pg_temp.token_row(:'refresh')).rotated_at is not null, true, 'the old refresh token is used up');
select is((pg_temp.token_row(:'refresh2')).expires_at, (select expires_at from saas_private.session where id = :'ada_session'),
          'the new one ends with the session');
select is((select expires_at - created_at from saas_private.session where id = :'ada_session'), interval '24 hours',
          'which is not prolonged');
select (pg_temp.token_row(:'refresh')).rotated_at as rotated_at \gset
set role saas_anon;
select is(pg_temp.refresh(:'refresh'), 'accepted', 'a lost answer may be asked for again');
reset role;
select is((pg_temp.token_row(:'refresh')).rotated_at, :'rotated_at', 'which does not prolong the grace');
select saas_api.refresh_session(:'refresh2') ->> 'refresh_token' as refresh2 \gset
select is(pg_temp.refresh(:'refresh'), :token_refused, 'but not once it was used');
delete from saas_private.session where user_id = :'ada' and not is_remembered;
select saas_api.sign_in('ada@accounts.example', 'correct horse') ->> 'refresh_token' as refresh2 \gset
select id as ada_session from saas_private.session where user_id = :'ada' and not is_remembered \gset

update saas_private.session set expires_at = now() + interval '1 day', created_at = now() - interval '29 days' where user_id = :'ada' and is_remembered;
select is(saas_api.refresh_session(:'remembered_refresh') ? 'refresh_token', true, 'a remembered session refreshes');
select results_eq(format('select expires_at > now() + interval ''29 days'' and expires_at <= now() + interval ''30 days'' from saas_private.session where user_id = %L and is_remembered', :'ada'),
                  array[true], 'and slides to 30 days from now');
select results_eq(format('select bool_or(t.expires_at = s.expires_at) from saas_private.refresh_token t join saas_private.session s on s.id = t.session_id
                           where s.user_id = %L and s.is_remembered', :'ada'), array[true], 'with its refresh token');

create function pg_temp.refresh_after(change text, token text) returns text language plpgsql as $$
begin
    execute change;
    perform saas_api.refresh_session(token);
    raise exception using errcode = 'ZZ000', message = 'accepted';
exception when others then
    return case when sqlstate = 'ZZ000' then '' else sqlstate || ' ' end || sqlerrm;
end
$$;
select is(pg_temp.refresh_after('select 1', :'refresh2'), 'accepted', 'a token refreshes as things are');
select is(pg_temp.refresh_after(format('update saas_private.refresh_token set expires_at = now() where token_hash = sha256(%L)', :'refresh2'), :'refresh2'),
          :token_refused, 'an expired one does not');
select is(pg_temp.refresh_after(format('update saas_private.session set ended_at = now() where id = %L', :'ada_session'), :'refresh2'),
          :token_refused, 'that of an ended session does not');
select is(pg_temp.refresh_after(format('update saas_private.session set expires_at = now() where id = %L', :'ada_session'), :'refresh2'),
          :token_refused, 'that of an expired session does not');
select is(pg_temp.refresh_after(format('update saas.app_user set is_active = false where id = %L', :'ada'), :'refresh2'),
          :token_refused, 'that of an inactive account does not');
select is(pg_temp.refresh_after(format('delete from saas.membership where user_id = %L', :'ada'), :'refresh2'),
          'accepted', 'that of a person without a membership does');

--
-- sign_out
--
delete from saas_private.session;
create function pg_temp.new_token(address text) returns text language sql as $$
    select saas_api.sign_in(address, 'correct horse') ->> 'access_token'
$$;
select pg_temp.new_token('ada@accounts.example') as one, pg_temp.new_token('ada@accounts.example') as two,
       pg_temp.new_token('ada@accounts.example') as three, pg_temp.new_token('bob@accounts.example') as bobs \gset
create function pg_temp.good(variadic tokens text[]) returns boolean[] language plpgsql as $$
declare
    verdicts boolean[];
begin
    for i in 1..cardinality(tokens) loop
        begin
            perform saas.authenticate(tokens[i]);
            raise exception using errcode = 'ZZ000';
        exception when others then
            verdicts[i] := sqlstate in ('ZZ000', '25001');
        end;
    end loop;
    return verdicts;
end
$$;
set role saas_user;
select is(pg_temp.refusal('select saas_api.sign_out()'), 'PT401 Access token required', 'nobody signs out');
begin;
select saas.authenticate(:'one') as ok \gset
select is(pg_temp.refusal('select saas_api.sign_out(''mine'')'), '22023 invalid input (scope)', 'a scope must be known');
select is(saas_api.sign_out(), '{"sessions_ended": 1}', 'signing out ends one session');
select is(saas.is_authenticated(), true, 'and leaves the transaction its identity');
commit;
select is(pg_temp.good(:'one', :'two', :'three', :'bobs'), '{f,t,t,t}', 'the current one');
begin;
select saas.authenticate(:'two') as ok \gset
select is(saas_api.sign_out('others'), '{"sessions_ended": 1}', 'the others can be ended');
commit;
select is(pg_temp.good(:'one', :'two', :'three', :'bobs'), '{f,t,f,t}', 'which leaves the current one and other people''s');
reset role;
select pg_temp.new_token('ada@accounts.example') as three \gset
set role saas_user;
begin;
select saas.authenticate(:'two') as ok \gset
select is(saas_api.sign_out('all'), '{"sessions_ended": 2}', 'all can be ended');
select is(saas_api.sign_out(null), '{"sessions_ended": 0}', 'a null scope means the current session, which has ended');
commit;
select is(pg_temp.good(:'one', :'two', :'three', :'bobs'), '{f,f,f,t}', 'which leaves other people''s');
reset role;

--
-- Who may call what
--
create function pg_temp.callable_by(who text) returns setof text language sql as $$
    select p.oid::regprocedure::text from pg_proc p
     where p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
       and has_schema_privilege(who, p.pronamespace, 'usage') and has_function_privilege(who, p.oid, 'execute')
$$;
select set_eq('select pg_temp.callable_by(''saas_anon'')', array[
    'saas.authenticate(text)', 'saas.clear_identity()', 'saas.current_api_key_id()',
    'saas.verify_request(text,text,text,bytea,jsonb)', 'saas.pre_request()', 'saas.set_header(text,text)', 'saas.current_user_id()',
    'saas.current_org_id()',
    'saas.current_role_name()', 'saas.current_session_id()', 'saas.current_permissions()', 'saas.has_permission(text)',
    'saas.org_if(text)', 'saas.is_authenticated()', 'saas.require_permission(text)', 'saas.require_membership(uuid,text)',
    'saas.builtin_roles()', 'saas.uuidv7()', 'saas.version()',
    'saas_api.sign_up(text,text,text,text,text,text)', 'saas_api.verify_email(text)', 'saas_api.sign_in(text,text,boolean)',
    'saas_api.verify_second_factor(text,text)',
    'saas_api.confirm_email_change(text)', 'saas.full_name(text,text)',
    'saas_api.refresh_session(text)', 'saas_api.jwks()', 'saas_api.verify_email_code(text,text)',
    'saas_api.resolve_organization(text)', 'saas_api.organization_logo(text)',
    'saas_api.confirm_connection_token(text,text,text,text,text,jsonb,jsonb)',
    'saas_api.resend_verification(text)', 'saas_api.request_password_reset(text)', 'saas_api.reset_password(text,text)'], 'nobody signed in calls nothing but this');
select is_empty($$select callable from pg_temp.callable_by('saas_user') callable
                   where callable ~ '^saas_private\.|deactivate_user|activate_user|delete_user|saas\.sign_ins|confirm_user|open_ticket|assume_identity|read_mail|unseal|install|migrate|adopt|poll'$$,
                'no tenant calls what is the operator''s');
select is_empty($$select callable from pg_temp.callable_by('public') callable$$, 'PUBLIC calls nothing');
select is_empty($$select c.oid::regclass from pg_class c
                   where c.relnamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
                     and c.relkind in ('r', 'p', 'v', 'm', 'S')
                     and (has_table_privilege('saas_anon', c.oid, 'select,insert,update,delete,truncate,references,trigger')
                          or has_any_column_privilege('saas_anon', c.oid, 'select,insert,update,references'))$$,
                'nobody signed in reads or writes any table or view');
set role saas_anon;
select throws_ok('select saas_api.me()', '42501', null, 'saas_anon cannot ask who it is');
select throws_ok('select saas_api.sign_out()', '42501', null, 'saas_anon cannot sign out');
select throws_ok('select saas_api.create_organization(''x'')', '42501', null, 'saas_anon cannot create an organization');
select throws_ok('select saas_private.issue_access_token(null, null, null)', '42501', null, 'saas_anon cannot issue tokens');
set role saas_user;
select throws_ok('select saas_private.issue_access_token(null, null, null)', '42501', null, 'nor can a tenant');
select throws_ok('select * from saas_private.session', '42501', null, 'a tenant sees no session');
select throws_ok('select * from saas_private.password', '42501', null, 'a tenant sees no password''s hash');
select throws_ok('select * from saas.outbox', '42501', null, 'a tenant sees no mail');
select throws_ok('update saas.app_user set is_active = true', '42501', null, 'a tenant writes no account');
select throws_ok('insert into saas.membership (org_id, user_id, role) values (null, null, null)', '42501', null, 'a tenant writes no membership');
reset role;
select * from finish();
