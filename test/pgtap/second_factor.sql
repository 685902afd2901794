-- Second factors: enrolment, sign-in with one, replays, recovery codes, limits of
-- tries, organizations that require one.
select no_plan();
\ir ../lib/refusals.sql

-- RFC 4226 and RFC 4648 once more, by other hands than those under test.
create function pg_temp.unbase32(digits text) returns bytea language plpgsql as $$
declare
    bits text := '';
    bytes bytea := '';
begin
    for i in 1..length(digits) loop
        bits := bits || (position(substr(digits, i, 1) in 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567') - 1)::bit(5)::text;
    end loop;
    for i in 0..length(bits) / 8 - 1 loop
        bytes := bytes || set_byte('\x00', 0, substr(bits, 8 * i + 1, 8)::bit(8)::integer);
    end loop;
    return bytes;
end
$$;
create function pg_temp.hotp(secret text, step bigint) returns text language plpgsql as $$
declare
    digest bytea := hmac(int8send(step), pg_temp.unbase32(secret), 'sha1');
    chosen integer := get_byte(digest, 19) & 15;
begin
    return lpad((((get_byte(digest, chosen) & 127) * 16777216 + get_byte(digest, chosen + 1) * 65536
                  + get_byte(digest, chosen + 2) * 256 + get_byte(digest, chosen + 3)) % 1000000)::text, 6, '0');
end
$$;
create function pg_temp.user_id(name text) returns uuid language sql as $$
    select id from saas.app_user where email = name || '@factor.example'
$$;
create function pg_temp.session_of(name text) returns uuid language sql as $$
    select id from saas_private.session where user_id = pg_temp.user_id(name) order by created_at desc, id desc limit 1
$$;
create function pg_temp.sign_in(name text) returns jsonb language sql as $$
    select saas_api.sign_in(name || '@factor.example', 'correct horse')
$$;
create table pg_temp.person (name text primary key, token text, secret text, codes text[]);
grant all on pg_temp.person to public;
-- What a statement gives with the person's newest token, in a subtransaction that stays.
create function pg_temp.as_person(name text, statement text) returns text language plpgsql as $$
declare
    answer text;
begin
    perform saas.authenticate((select p.token from pg_temp.person p where p.name = as_person.name));
    set local role saas_user;
    execute 'select (' || statement || ')::text' into answer;
    reset role;
    return answer;
exception when others then
    get stacked diagnostics answer = pg_exception_detail;
    return sqlstate || ' ' || sqlerrm
           || case when answer like '[%' then ' (' || (answer::jsonb #>> '{0,field}') || ')' else '' end;
end
$$;
-- A code that has not been used: of the oldest step that is still good.
create function pg_temp.code(of_person text) returns text language plpgsql as $$
declare
    used bigint := (select f.last_step from saas_private.second_factor f where f.user_id = pg_temp.user_id(of_person));
begin
    return pg_temp.hotp((select secret from pg_temp.person where name = of_person),
                        greatest(used + 1, floor(extract(epoch from clock_timestamp()) / 30)::bigint));
end
$$;
create function pg_temp.enrol(of_person text) returns void language plpgsql as $$
begin
    update pg_temp.person p
       set secret = pg_temp.as_person(of_person, $f$saas_api.begin_second_factor('correct horse')$f$)::jsonb ->> 'secret'
     where p.name = of_person;
end
$$;
create function pg_temp.verify(challenge text, code text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.verify_second_factor(%L, %L)', challenge, code))
$$;
set saas.bcrypt_cost = 10;
do $$ begin
    perform saas_api.sign_up(n || '@factor.example', 'correct horse', 'Ada', 'Factor', 'Factor ' || n)
       from unnest(array['ada', 'bob', 'cy', 'dee', 'eve']) n;
    perform saas.confirm_user(id) from saas.app_user where email like '%@factor.example';
end $$;
insert into pg_temp.person select n, pg_temp.sign_in(n) ->> 'access_token' from unnest(array['ada', 'bob', 'cy', 'dee', 'eve']) n;

--
-- Enrolment
--
select is(pg_temp.as_person('ada', 'saas_api.second_factor()')::jsonb,
          '{"is_on": false, "is_session_proven": false, "recovery_codes_left": 0}', 'at first there is none');
select is(pg_temp.as_person('ada', $$saas_api.confirm_second_factor('123456')$$), '22023 invalid code (code)',
          'nothing is confirmed before it has begun');
select is(pg_temp.as_person('ada', format('saas_api.begin_second_factor(%L)', wrong)), '22023 invalid password (password)',
          'a session alone enrols nothing: it may be stolen')
  from unnest(array['wrong horse', '', null]) wrong;
select pg_temp.as_person('ada', $$saas_api.begin_second_factor('correct horse')$$) as begun \gset
select matches(:'begun'::jsonb ->> 'secret', '^[A-Z2-7]{32}$', 'the secret has 160 bits in base32');
select is(:'begun'::jsonb ->> 'uri', format('otpauth://totp/pg_saas:ada%%40factor.example?secret=%s&issuer=pg_saas'
                                            '&algorithm=SHA1&digits=6&period=30', :'begun'::jsonb ->> 'secret'),
          'the URI holds it with issuer and account');
select pg_temp.enrol('ada');
select isnt((select secret from pg_temp.person where name = 'ada'), :'begun'::jsonb ->> 'secret', 'begun again it is another one');
select is((select count(*) from saas_private.second_factor f
            where f.user_id = pg_temp.user_id('ada') and f.confirmed_at is null), 1::bigint, 'in place of the first');
select is((select saas_private.unseal_for_platform(f.secret, 'pg_saas:totp', f.user_id::text)
             from saas_private.second_factor f where f.user_id = pg_temp.user_id('ada')),
          (select secret from pg_temp.person where name = 'ada'), 'for the platform and its owner');
select is(pg_temp.sign_in('ada') ? 'access_token', true, 'unconfirmed it asks for nothing');
select is(pg_temp.as_person('ada', format('saas_api.confirm_second_factor(%L)', code)), '22023 invalid code (code)',
          format('a code of %s is refused', title))
  from (values ('', 'nothing'), ('12345', 'five digits'), ('abcdef', 'letters'),
               (pg_temp.hotp(:'begun'::jsonb ->> 'secret', floor(extract(epoch from now()) / 30)::bigint), 'the old secret'))
       as c (code, title);
-- Five tries were free.
select is(pg_temp.as_person('ada', $$saas_api.confirm_second_factor('123456')$$), 'PT429 Too many attempts',
          'the sixth try has to wait');
select saas_private.forget_attempts('second_factor', pg_temp.user_id('ada')::text);
select is(jsonb_array_length(pg_temp.as_person('ada', format('saas_api.confirm_second_factor(%L)',
                                                             pg_temp.code('ada')))::jsonb -> 'recovery_codes'),
          10, 'the application''s code turns it on and gives ten recovery codes');
select is((select parameters ->> 'event' from saas.outbox where recipient = 'ada@factor.example' and template = 'security_notice'),
          'a second factor was turned on.', 'of which a mail tells');
select is(pg_temp.as_person('ada', 'saas_api.second_factor()')::jsonb,
          '{"is_on": true, "is_session_proven": true, "recovery_codes_left": 10}', 'it is on, and this session has it');
select is(pg_temp.as_person('ada', $$saas_api.begin_second_factor('correct horse')$$), 'PT409 Second factor is already on',
          'no second one is begun');
select is(pg_temp.as_person('ada', $$saas_api.confirm_second_factor('123456')$$), 'PT409 Second factor is already on',
          'nor confirmed');

update pg_temp.person set codes = array(select jsonb_array_elements_text(pg_temp.as_person('ada',
    format('saas_api.new_recovery_codes(%L)', pg_temp.code('ada')))::jsonb -> 'recovery_codes')) where name = 'ada';
select results_eq($$select count(distinct c), bool_and(c ~ '^([a-z2-7]{4}-){3}[a-z2-7]{4}$')
                      from pg_temp.person p, unnest(p.codes) c where p.name = 'ada'$$, $$values (10::bigint, true)$$,
                  'new recovery codes are ten different ones of 80 bits');
select is((select count(*) from saas_private.recovery_code where user_id = pg_temp.user_id('ada')), 10::bigint,
          'in place of the old ones');
select is((select count(*) from saas_private.recovery_code r, pg_temp.person p, unnest(p.codes) c
            where r.code_hash = saas_private.recovery_code_hash(pg_temp.user_id('ada'), replace(c, '-', ''))),
          10::bigint, 'of which only hashes are kept');

--
-- Sign-in
--
select pg_temp.sign_in('ada') as answer \gset
select is(:'answer'::jsonb - 'challenge', '{"second_factor_required": true, "expires_in": 300}',
          'a password alone gives a challenge and no token');
select :'answer'::jsonb ->> 'challenge' as challenge \gset
select is(pg_temp.refusal(format('select saas.authenticate(%L)', :'challenge')), 'PT401 Invalid or expired token',
          'which is no token');
select is(pg_temp.refusal(format('select saas_api.refresh_session(%L)', :'challenge')), 'PT401 Invalid or expired token',
          'nor a refresh token');
select is((select count(*) from saas_private.sign_in_challenge
            where challenge_hash = saas_private.token_hash(:'challenge') and user_id = pg_temp.user_id('ada')), 1::bigint,
          'its hash is kept');
select is(pg_temp.verify(null, '123456'), 'PT401 Invalid or expired challenge', 'without a challenge there is no second half');
select is(pg_temp.verify('made up', '123456'), 'PT401 Invalid or expired challenge', 'nor with one made up');
select is(pg_temp.verify(:'challenge', pg_temp.hotp(p.secret, f.last_step)), 'PT401 Invalid code', 'a code that was used is refused')
  from pg_temp.person p, saas_private.second_factor f where p.name = 'ada' and f.user_id = pg_temp.user_id('ada');
select is(pg_temp.verify(:'challenge', pg_temp.hotp(p.secret, f.last_step - 1)), 'PT401 Invalid code', 'and an older one')
  from pg_temp.person p, saas_private.second_factor f where p.name = 'ada' and f.user_id = pg_temp.user_id('ada');
select is(pg_temp.verify(:'challenge', null), 'PT401 Invalid code', 'and none');
select codes[1] as code from pg_temp.person where name = 'ada' \gset
set role saas_anon;
select saas_api.verify_second_factor(:'challenge', ' ' || upper(:'code')) as answer \gset
reset role;
select ok(:'answer'::jsonb ?& array['access_token', 'refresh_token', 'token_type', 'expires_in', 'user', 'organization', 'membership'],
          'a recovery code, however it is written, gives what sign_in answers');
select is((select s.second_factor_at is not null and not s.is_remembered from saas_private.session s
            where s.id = pg_temp.session_of('ada')), true, 'a session with a second factor');
select is(pg_temp.verify(:'challenge', (select codes[2] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'a challenge is good for one session');
select is((select count(*) from saas_private.recovery_code where user_id = pg_temp.user_id('ada') and used_at is not null),
          1::bigint, 'and the refused try used no code up');
select saas_api.sign_in('ada@factor.example', 'correct horse', true) ->> 'challenge' as challenge \gset
select is(pg_temp.verify(:'challenge', :'code'), 'PT401 Invalid code', 'a recovery code is good once');
select is(pg_temp.verify(:'challenge', (select codes[2] from pg_temp.person where name = 'ada')), 'accepted', 'another one is good');
select is((select s.is_remembered from saas_private.session s where s.id = pg_temp.session_of('ada')), true,
          'and the session as long as sign_in was asked for');
select pg_temp.enrol('bob');
select is(pg_temp.as_person('bob', format('saas_api.confirm_second_factor(%L)', pg_temp.code('bob'))) like '{"recovery_codes"%',
          true, 'a second person turns it on');
select pg_temp.sign_in('bob') ->> 'challenge' as challenge \gset
select is(pg_temp.verify(:'challenge', (select codes[3] from pg_temp.person where name = 'ada')), 'PT401 Invalid code',
          'somebody else''s recovery code is refused');
select is(pg_temp.verify(:'challenge', pg_temp.code('bob')), 'accepted', 'the application''s next code signs in');

-- A caller who rolls back has still used the step, the code and the tries.
select pg_temp.sign_in('ada') ->> 'challenge' as challenge \gset
select codes[4] as code from pg_temp.person where name = 'ada' \gset
begin;
select pg_temp.verify(:'challenge', :'code') as rolled_back \gset
rollback;
select is(:'rolled_back'::text, 'accepted', 'a sign-in that is rolled back');
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'has used its challenge up');
select pg_temp.sign_in('ada') ->> 'challenge' as challenge \gset
select is(pg_temp.verify(:'challenge', :'code'), 'PT401 Invalid code', 'and its code');
begin;
select pg_temp.verify(:'challenge', '000000') from generate_series(1, 3);
rollback;
select saas_private.forget_attempts('second_factor', pg_temp.user_id('ada')::text);
select is(pg_temp.verify(:'challenge', 'wrong'), 'PT401 Invalid code', 'the fifth try at a challenge, three were rolled back');
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'was the last');
do $$ begin
    for i in 1..4 loop
        perform saas_private.take_attempt('second_factor', pg_temp.user_id('ada')::text, 5, '1 second', '15 minutes', '1 hour');
    end loop;
end $$;
select pg_temp.sign_in('ada') ->> 'challenge' as challenge \gset
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')), 'PT429 Too many attempts',
          'tries at many challenges of one person have to wait too');
select saas_private.forget_attempts('second_factor', pg_temp.user_id('ada')::text);

update saas_private.sign_in_challenge set expires_at = now() where user_id = pg_temp.user_id('ada');
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'a challenge expires');
select pg_temp.sign_in('ada') ->> 'challenge' as challenge \gset
select is((select count(*) from saas_private.sign_in_challenge where user_id = pg_temp.user_id('ada')), 1::bigint,
          'and is removed by the next');
update saas.app_user set is_active = false where id = pg_temp.user_id('ada');
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'a deactivated person''s is none');
update saas.app_user set is_active = true where id = pg_temp.user_id('ada');
update saas_private.password set changed_at = now() where user_id = pg_temp.user_id('ada');
select is(pg_temp.verify(:'challenge', (select codes[5] from pg_temp.person where name = 'ada')),
          'PT401 Invalid or expired challenge', 'nor is one from before the password changed');

--
-- An organization that requires it
--
select is(pg_temp.as_person('cy', 'saas_api.require_second_factor(true)'), 'PT403 Second factor required',
          'who requires a second factor needs one');
select is(pg_temp.as_person('cy', 'saas_api.require_second_factor(null)'), '22023 invalid input (required)', 'NULL is refused');
select pg_temp.sign_in('ada') ->> 'challenge' as challenge \gset
update pg_temp.person set token = saas_api.verify_second_factor(:'challenge', codes[6]) ->> 'access_token' where name = 'ada';
insert into saas.membership (org_id, user_id, role)
select o.id, pg_temp.user_id(m.name), m.role
  from saas.organization o, (values ('cy', 'admin'), ('dee', 'member')) as m (name, role) where o.slug = 'factor-ada';
update pg_temp.person p set token = pg_temp.as_person(p.name, $$saas_api.switch_organization('factor-ada')$$)::jsonb ->> 'access_token'
 where p.name = 'cy';
update pg_temp.person p set token = pg_temp.as_person(p.name, $$saas_api.switch_organization('factor-ada')$$)::jsonb ->> 'access_token'
 where p.name = 'dee';
select is(pg_temp.as_person('dee', 'saas_api.require_second_factor(true)'),
          'PT403 permission denied by the organization''s roles', 'a member does not decide that');
select is(pg_temp.as_person('cy', 'saas.current_role_name()'), 'admin', 'before, sessions without one work');
select is(pg_temp.as_person('ada', 'saas_api.require_second_factor(true)'), '{"requires_second_factor": true}',
          'the owner requires it');
select is(pg_temp.as_person('ada', 'saas.current_role_name()'), 'owner', 'whose session goes on');
select is(pg_temp.as_person('cy', 'saas.current_role_name()'), 'PT403 Second factor required', 'others are refused from then on');
select is((select saas_api.sign_in('cy@factor.example', 'correct horse') #>> '{organization,slug}'), 'factor-cy',
          'sign-in without one chooses another organization');
delete from saas.membership where user_id = pg_temp.user_id('dee')
   and org_id <> (select id from saas.organization where slug = 'factor-ada');
select saas_api.sign_in('dee@factor.example', 'correct horse') as answer \gset
select is(:'answer'::jsonb -> 'organization', 'null'::jsonb, 'or none');
select is((saas_api.refresh_session(:'answer'::jsonb ->> 'refresh_token')) -> 'organization', 'null'::jsonb, 'and so does a refresh');
update pg_temp.person set token = :'answer'::jsonb ->> 'access_token' where name = 'dee';
select is(pg_temp.as_person('dee', $$saas_api.switch_organization('factor-ada')$$), 'PT403 Second factor required',
          'switching is refused the same way');
select pg_temp.enrol('dee');
select is(pg_temp.as_person('dee', format('saas_api.confirm_second_factor(%L)', pg_temp.code('dee'))) like '{"recovery_codes"%',
          true, 'without an organization a person can turn one on');
select is(pg_temp.as_person('dee', $$saas_api.switch_organization('factor-ada')$$)::jsonb #>> '{organization,slug}', 'factor-ada',
          'and enter');
begin;
do $$ begin perform saas.assume_identity(pg_temp.user_id('cy'), (select id from saas.organization where slug = 'factor-ada')); end $$;
select saas.current_role_name() as role \gset
rollback;
select is(:'role'::text, 'admin', 'an identity that comes from no session is not concerned');

--
-- Turning it off
--
select is(pg_temp.as_person('dee', 'saas_api.disable_second_factor()'), '22023 invalid input (code)', 'it takes a proof');
select is(pg_temp.as_person('dee', $$saas_api.disable_second_factor('correct horse', '123456')$$), '22023 invalid input (code)',
          'one of them');
select is(pg_temp.as_person('dee', $$saas_api.disable_second_factor('wrong')$$), '22023 invalid password or code (password)',
          'a wrong password is none');
select is(pg_temp.as_person('dee', $$saas_api.disable_second_factor(code => '12')$$), '22023 invalid password or code (code)',
          'nor is a wrong code');
select pg_temp.sign_in('dee') ->> 'challenge' as challenge \gset
select is(pg_temp.as_person('dee', $$saas_api.disable_second_factor('correct horse')$$), '{"message": "Second factor is off."}',
          'the password turns it off');
select is((select parameters ->> 'event' from saas.outbox where recipient = 'dee@factor.example' order by id desc limit 1),
          'the second factor was turned off.', 'of which a mail tells');
select is(pg_temp.verify(:'challenge', '123456'), 'PT401 Invalid or expired challenge', 'challenges go with it');
select is(pg_temp.as_person('dee', 'saas_api.second_factor()')::jsonb,
          '{"is_on": false, "is_session_proven": false, "recovery_codes_left": 0}', 'and recovery codes');
select is(pg_temp.as_person('dee', $$saas_api.switch_organization('factor-ada')$$), 'PT403 Second factor required',
          'and the way into organizations that require it');
select is(pg_temp.as_person('dee', $$saas_api.disable_second_factor('correct horse')$$), 'PT409 Second factor is not on', 'once');
select is(pg_temp.as_person('dee', $$saas_api.new_recovery_codes('123456')$$), 'PT409 Second factor is not on',
          'and there are no codes to renew');
select is(pg_temp.as_person('ada', format('saas_api.disable_second_factor(code => %L)', p.codes[7])),
          '{"message": "Second factor is off."}', 'a recovery code turns it off too')
  from pg_temp.person p where p.name = 'ada';
select is(pg_temp.as_person('ada', 'saas.current_role_name()'), 'PT403 Second factor required',
          'whereupon the owner''s own session is refused');
select is(pg_temp.refusal($$select saas_api.begin_second_factor('correct horse')$$), 'PT401 Access token required', 'enrolment needs an identity');
begin;
do $$ begin perform saas.assume_identity(pg_temp.user_id('cy'), (select id from saas.organization where slug = 'factor-cy')); end $$;
select pg_temp.refusal($$select saas_api.begin_second_factor('correct horse')$$) as begun,
       pg_temp.refusal($$select saas_api.disable_second_factor('correct horse')$$) as disabled \gset
rollback;
select is(:'begun'::text, 'PT403 second factors are changed in a session of their owner', 'and a session: an operator enrols nobody');
select is(:'disabled'::text, :'begun'::text, 'nor turns anything off');

--
-- The log of sign-ins, and what the worker writes of rolled-back uses
--
create procedure pg_temp.until_logged(email text, wanted bigint) language plpgsql as $$
declare
    began_at timestamptz := clock_timestamp();
begin
    -- The worker may have taken them before the call.
    while (select count(*) < wanted from saas.sign_ins(email => until_logged.email) where outcome <> 'success')
          and clock_timestamp() < began_at + interval '1 minute' loop
        commit;
    end loop;
end
$$;
insert into pg_temp.person (name) values ('eve') on conflict (name) do nothing;
update pg_temp.person set token = pg_temp.sign_in('eve') ->> 'access_token' where name = 'eve';
select pg_temp.enrol('eve');
update pg_temp.person set codes = array(select jsonb_array_elements_text(pg_temp.as_person('eve',
    format('saas_api.confirm_second_factor(%L)', pg_temp.code('eve')))::jsonb -> 'recovery_codes')) where name = 'eve';
select pg_temp.sign_in('eve') ->> 'challenge' as challenge \gset
select is(array[pg_temp.verify(:'challenge', 'wrong'), pg_temp.as_person('eve', $$saas_api.new_recovery_codes('wrong')$$),
                pg_temp.as_person('eve', $$saas_api.disable_second_factor(code => 'wrong')$$),
                pg_temp.as_person('eve', $$saas_api.disable_second_factor('wrong')$$)],
          array['PT401 Invalid code', '22023 invalid code (code)', '22023 invalid password or code (code)',
                '22023 invalid password or code (password)'], 'wrong codes and a wrong password');
call saas.poll();
call pg_temp.until_logged('eve@factor.example', 4);
select results_eq($$select outcome, count(*), bool_and(user_id = pg_temp.user_id('eve'))
                      from saas.sign_ins(email => 'eve@factor.example') where outcome <> 'success' group by 1 order by 1$$,
                  $$values ('invalid_second_factor', 3::bigint, true), ('wrong_own_password', 1, true)$$,
                  'each is in the log of sign-ins');
select saas_private.forget_attempts('second_factor', pg_temp.user_id('eve')::text);
begin;
select pg_temp.verify(:'challenge', p.codes[1]) as rolled_back from pg_temp.person p where p.name = 'eve' \gset
rollback;
select is(:'rolled_back'::text, 'accepted', 'a recovery code whose use is rolled back');
call saas.poll();
create procedure pg_temp.until_used(name text) language plpgsql as $$
declare
    began_at timestamptz := clock_timestamp();
begin
    while not exists (select from saas_private.recovery_code c where c.user_id = pg_temp.user_id(name) and c.used_at is not null)
          and clock_timestamp() < began_at + interval '1 minute' loop
        commit;
    end loop;
end
$$;
call pg_temp.until_used('eve');
select results_eq($$select c.used_at is not null, count(*) from saas_private.recovery_code c
                     where c.user_id = pg_temp.user_id('eve') group by 1 order by 1$$,
                  $$values (false, 9::bigint), (true, 1)$$, 'is written down as used, and no other');
select results_eq($$select distinct e.action, e.actor_id is not null from saas.audit_event e
                     where e.action ~ 'second_factor_(en|dis)abled|recovery_codes' and e.org_id = '00000000-0000-0000-0000-000000000000' order by 1$$,
                  $$values ('user.recovery_codes_replaced', true), ('user.second_factor_disabled', true), ('user.second_factor_enabled', true)$$,
                  'what becomes of factors is in the audit');

select * from finish();
