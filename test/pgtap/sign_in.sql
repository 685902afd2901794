-- Sign-in under attack: throttling, time, re-hashing; sessions and the reuse of
-- refresh tokens; callers who roll back what they learned.
select no_plan();
\ir ../lib/refusals.sql

create function pg_temp.sign_in(email text, password text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.sign_in(%L, %L)', email, password))
$$;
create function pg_temp.refresh(token text) returns text language sql as $$
    select pg_temp.refusal(format('select saas_api.refresh_session(%L)', token))
$$;
create function pg_temp.user_id(address text) returns uuid language sql as $$
    select id from saas.app_user where email = address
$$;
create function pg_temp.enrol(email text, password text default 'correct horse') returns uuid language plpgsql as $$
begin
    perform saas_api.sign_up(email, password, 'Ada', 'Lovelace');
    perform saas.confirm_user(pg_temp.user_id(email));
    return pg_temp.user_id(email);
end
$$;
-- What a client of PostgREST can do: call, see the outcome, undo everything.
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
\set credentials '\'PT401 Invalid credentials\''
\set throttled '\'PT429 Too many attempts\''
\set token_refused '\'PT401 Invalid or expired token\''
select count(pg_temp.enrol(name || '@sign-in.example')) as ok from unnest(array['ada', 'bob', 'carol', 'dora', 'eve']) name \gset

-- The mail says of link and code how long each is good.
select results_eq($$select distinct parameters -> 'valid_hours', parameters -> 'code_valid_minutes' from saas.outbox
                     where template = 'verify_email' and recipient = 'ada@sign-in.example'$$,
                  $$select to_jsonb(extract(epoch from t.expires_at - t.created_at)::integer / 3600),
                           to_jsonb(extract(epoch from c.expires_at - c.created_at)::integer / 60)
                      from saas_private.email_token t join saas_private.email_code c using (user_id)
                     where t.user_id = pg_temp.user_id('ada@sign-in.example') and t.purpose = 'verify_email'$$,
                  'a verification mail is told how long link and code are good');

--
-- Throttling
--
set role saas_anon;
select is(array(select pg_temp.sign_in('ada@sign-in.example', 'wrong ' || n) from generate_series(1, 5) n),
          array_fill(:credentials::text, array[5]), 'five wrong passwords are wrong credentials');
select is(pg_temp.sign_in('ada@sign-in.example', 'correct horse'), :throttled, 'then even the right one has to wait');
select is(pg_temp.sign_in(' ADA@SIGN-IN.example', 'correct horse'), :throttled, 'however the address is written');
select throws_ok($$select saas_api.sign_in('ada@sign-in.example', 'correct horse')$$, 'PT429', 'Too many attempts', 'it is told so');
select is(pg_temp.sign_in('bob@sign-in.example', 'correct horse'), 'accepted', 'others do not wait');
select is(array(select pg_temp.sign_in('nobody@sign-in.example', 'wrong ' || n) from generate_series(1, 6) n),
          array_fill(:credentials::text, array[5]) || :throttled::text, 'an address without an account is answered alike');
select is(array(select pg_temp.sign_in('bob@sign-in.example', p) from unnest(array['a', 'b', 'c', 'd', 'correct horse',
                                                                                   'a', 'b', 'c', 'd', 'correct horse']) p),
          array[:credentials, :credentials, :credentials, :credentials, 'accepted',
                :credentials, :credentials, :credentials, :credentials, 'accepted']::text[], 'the right password begins the count anew');
reset role;
select saas_private.forget_attempts('sign_in', saas_private.email_subject('ada@sign-in.example'));
select is(pg_temp.sign_in('ada@sign-in.example', 'correct horse'), 'accepted', 'a throttled account is not lost');
select is(saas_private.take_attempt('sign_in', repeat('x', 64), 0, '1 second', '15 minutes', '1 hour'), 0, 'no wait is for ever: a first one');

call pg_temp.attack($$select saas_api.sign_in('carol@sign-in.example', 'wrong')$$, 5);
select is(pg_temp.sign_in('carol@sign-in.example', 'correct horse'), :throttled, 'tries count though they were rolled back');

-- Odd input is wrong credentials too.
set role saas_anon;
select is(pg_temp.sign_in(email, password), :credentials, format('%s and %s', to_json(left(email, 20)), to_json(left(password, 20))))
  from (values (repeat('a', 100000) || '@b.example', 'x'), (E'a\x01\r\n@b.example', 'x'), ('€@b.example', repeat('€', 50000)),
               ('''; drop table x; --', E'\x01'), ('%', '%')) as odd (email, password);
reset role;

--
-- Re-hashing
--
create function pg_temp.cost(address text) returns text language sql as $$
    select left(hash, 6) from saas_private.password where user_id = pg_temp.user_id(address)
$$;
set saas.bcrypt_cost = 11;
select is(pg_temp.sign_in('dora@sign-in.example', 'wrong horse'), :credentials, 'a wrong password');
select matches(pg_temp.cost('dora@sign-in.example'), '^\$2[ab]\$10$', 'changes no hash');
select is(pg_temp.sign_in('dora@sign-in.example', 'correct horse'), 'accepted', 'the right one after the cost changed');
select matches(pg_temp.cost('dora@sign-in.example'), '^\$2[ab]\$11$', 'is hashed anew at that cost');
select is(pg_temp.sign_in('dora@sign-in.example', 'correct horse'), 'accepted', 'and signs in again');
set saas.bcrypt_cost = 10;
select is(pg_temp.sign_in('dora@sign-in.example', 'correct horse'), 'accepted', 'a lower cost');
select matches(pg_temp.cost('dora@sign-in.example'), '^\$2[ab]\$10$', 'holds too');

--
-- Time.  Interleaved runs, of which the shortest count, as a busy machine only
-- lengthens them, and bounds so wide that only different work breaks them: an
-- account whose hash is cheaper than the cost set now would answer in an
-- eighth of the time of an unknown one.
--
create function pg_temp.took(address text, hash text) returns double precision language plpgsql as $$
declare
    began_at timestamptz := clock_timestamp();
begin
    perform saas_private.check_password('wrong horse', hash);
    return extract(epoch from clock_timestamp() - began_at);
end
$$;
set saas.bcrypt_cost = 12;
create temp table timing as
select what, pg_temp.took(what, hash) as seconds
  from generate_series(1, 5) run,
       (values ('unknown', null),
               ('known', (select hash from saas_private.password where user_id = pg_temp.user_id('eve@sign-in.example')))) as who (what, hash);
select ok(known between unknown * 0.5 and unknown * 2, format('a hash of lower cost takes as long as none: %s s, %s s', known, unknown))
  from (select min(seconds) filter (where what = 'known') as known, min(seconds) filter (where what = 'unknown') as unknown from timing) as shortest;
set saas.bcrypt_cost = 10;
set saas.sign_in_floor = '700ms';
select clock_timestamp() as before \gset
select is(pg_temp.sign_in('nobody-else@sign-in.example', 'x'), :credentials, 'with a floor');
select ok(clock_timestamp() >= :'before'::timestamptz + interval '700 milliseconds', 'no refusal comes sooner');
create function pg_temp.is_cancelled(statement text) returns boolean language plpgsql as $$
begin
    execute statement;
    return false;
exception when query_canceled then
    return true;
end
$$;
set saas.sign_in_floor = '10s';
set statement_timeout = '2s';
select pg_temp.is_cancelled($$select saas_api.sign_in('nobody-else@sign-in.example', 'x')$$) as is_cancelled \gset
reset statement_timeout;
select is(:'is_cancelled'::boolean, true, 'the wait can be cancelled');
reset saas.sign_in_floor;

--
-- Refresh tokens
--
create function pg_temp.start(address text, out token text, out session_id uuid) language sql as $$
    with answer as materialized (select saas_api.sign_in(address, 'correct horse') as a)
    select a ->> 'refresh_token', (saas.verify_jwt(a ->> 'access_token', saas_api.jwks()) ->> 'sid')::uuid from answer
$$;
create function pg_temp.next(token text) returns text language sql as $$
    select saas_api.refresh_session(token) ->> 'refresh_token'
$$;
create procedure pg_temp.until_let_go() language plpgsql as $$
declare
    began_at timestamptz := clock_timestamp();
begin
    -- The worker may have taken it before the call.
    while (select used > 0 from saas.limits_status() where memory = 'refreshed sessions')
          and clock_timestamp() < began_at + interval '1 minute' loop
        commit;
    end loop;
end
$$;
select token as t0, session_id as session from pg_temp.start('eve@sign-in.example') \gset
select pg_temp.next(:'t0') as t1 \gset
select pg_temp.next(:'t0') as t1_again \gset
select isnt(:'t1_again'::text, :'t1', 'the immediate parent is asked again within ten seconds');
select pg_temp.next(:'t1') as t2 \gset
-- In shared memory until the worker has written it down.
create function pg_temp.has_ended(session_id uuid) returns boolean language sql as $$
    select saas_private.session_is_ended(session_id)
           or (select s.ended_at is not null from saas_private.session s where s.id = session_id)
$$;
select is(pg_temp.has_ended(:'session'), false, 'all is well');
-- The parent has a grandchild now.
call pg_temp.attack(format('select saas_api.refresh_session(%L)', :'t0'));
select is(pg_temp.has_ended(:'session'), true, 'a grandparent was used: the session has ended, though the caller undid it');
select is(pg_temp.refresh(:'t2'), :token_refused, 'for the newest token too');
select is(pg_temp.refresh(:'t1_again'), :token_refused, 'and its sibling');

select token as t0, session_id as session, token as first from pg_temp.start('eve@sign-in.example') \gset
select pg_temp.next(:'t0') as t1 \gset
update saas_private.refresh_token set rotated_at = clock_timestamp() - interval '11 seconds' where token_hash = saas_private.token_hash(:'t0');
select is(pg_temp.refresh(:'t0'), :token_refused, 'the parent is refused after ten seconds');
select is(pg_temp.refresh(:'t1'), :token_refused, 'and took the session with it');

select token as t0, session_id as session from pg_temp.start('eve@sign-in.example') \gset
select pg_temp.next(:'t0') as t1 \gset
select pg_temp.next(:'t0') as t1_again \gset
select pg_temp.next(:'t1') as t2 \gset
update saas_private.refresh_token set rotated_at = clock_timestamp() - interval '11 seconds' where token_hash = saas_private.token_hash(:'t1_again');
select is(pg_temp.refresh(:'t1_again'), :token_refused, 'a sibling of a used token is used up with it');
select is(pg_temp.has_ended(:'session'), true, 'so a thief within the ten seconds is found');
-- A use that was rolled back is a use.
-- For how long a used token may be asked again: time that passes decides nothing.
create procedure pg_temp.asked_again_for(seconds text) language plpgsql as $$
begin
    execute regexp_replace(pg_get_functiondef('saas_private.is_reuse'::regproc), 'interval ''[^'']*''', format('interval %L', seconds));
end
$$;
create function pg_temp.rotated_at(token text) returns timestamptz language sql as $$
    select t.rotated_at from saas_private.refresh_token t where t.token_hash = saas_private.token_hash(token)
$$;
select token as t0, session_id as session from pg_temp.start('eve@sign-in.example') \gset
call pg_temp.asked_again_for('1 hour');
call pg_temp.attack(format('select saas_api.refresh_session(%L)', :'t0'), 3);
select pg_temp.next(:'t0') as t1 \gset
select is(pg_temp.has_ended(:'session'), false, 'rolled back within ten seconds, the token may be asked again');
call pg_temp.attack(format('select saas_api.refresh_session(%L)', :'t1'));
select is(pg_temp.has_ended(:'session'), false, 'the next one too');
select is(pg_temp.refresh(:'t0'), :token_refused, 'but something has come of the first one''s answer then');
select is(pg_temp.refresh(:'t1'), :token_refused, 'and the session has ended');

select token as t0, session_id as session from pg_temp.start('eve@sign-in.example') \gset
-- The worker cannot write it down meanwhile.
begin;
select count(*) as locked from (select from saas_private.refresh_token t for update) s \gset
savepoint unseen;
select saas_api.refresh_session(:'t0') is not null as ok \gset
rollback to unseen;
call pg_temp.asked_again_for('0 seconds');
select pg_temp.refresh(:'t0') as answer \gset
rollback;
select is(:'answer'::text, :token_refused, 'ten seconds after a use that was rolled back the token is used up');
select is(pg_temp.has_ended(:'session'), true, 'and takes the session with it: a thief is found');

select token as t0, session_id as session from pg_temp.start('eve@sign-in.example') \gset
call pg_temp.attack(format('select saas_api.refresh_session(%L)', :'t0'));
call saas.poll();
call pg_temp.until_let_go();
select isnt(pg_temp.rotated_at(:'t0'), null, 'the worker writes the use down');
select pg_temp.rotated_at(:'t0') as rotated_at \gset
select pg_temp.next(:'t0') as t1 \gset
select is(pg_temp.rotated_at(:'t0'), :'rotated_at'::timestamptz, 'and a later one does not say a later time');
call pg_temp.asked_again_for('10 seconds');
update saas_private.refresh_token set rotated_at = clock_timestamp() - interval '11 seconds' where token_hash = saas_private.token_hash(:'t0');
select is(pg_temp.refresh(:'t0'), :token_refused, 'so that it is used up without the memory too');
select is(pg_temp.refresh(:'t1'), :token_refused, 'with all that came of it');
select is(pg_temp.refresh(odd), :token_refused, format('%s is no token', to_json(left(odd, 10))))
  from unnest(array[repeat('x', 100000), E'\x01\n', '€', '''']) odd;

--
-- Sessions
--
delete from saas_private.session;
set request.headers = '{"user-agent": "pgTAP/1"}';
select saas_api.sign_in('bob@sign-in.example', 'correct horse') ->> 'access_token' as one,
       saas_api.sign_in('bob@sign-in.example', 'correct horse', true) ->> 'access_token' as two,
       saas_api.sign_in('eve@sign-in.example', 'correct horse') ->> 'access_token' as eves \gset
reset request.headers;
select id as bobs_second from saas_private.session where is_remembered \gset
select id as eves_session from saas_private.session where user_id = pg_temp.user_id('eve@sign-in.example') \gset
create function pg_temp.is_good(token text) returns boolean language plpgsql as $$
begin
    perform saas.authenticate(token);
    raise exception using errcode = 'ZZ000';
exception when others then
    -- 25001: a good token, but not of whom the transaction began as.
    return sqlstate in ('ZZ000', '25001');
end
$$;
set role saas_user;
select is_empty('select * from saas_api.sessions', 'nobody has no sessions');
select is(pg_temp.refusal(format('select saas_api.end_session(%L)', :'bobs_second')), 'PT401 Access token required', 'nobody ends one');
begin;
select saas.authenticate(:'one') as ok \gset
select results_eq('select user_agent, is_remembered, is_current, expires_at > created_at, last_used_at is not null, ip is null from saas_api.sessions order by created_at, id',
                  $$values ('pgTAP/1', false, true, true, true, true), ('pgTAP/1', true, false, true, true, true)$$, 'I see my sessions and which one asks');
select is(pg_temp.refusal(format('select saas_api.end_session(%L)', :'eves_session')), 'PT404 session not found', 'another person''s is not mine to end');
select is(pg_temp.refusal('select saas_api.end_session(null)'), 'PT404 session not found', 'nor is none');
select is(saas_api.end_session(:'bobs_second'), '{"sessions_ended": 1}', 'one of mine is');
select is(pg_temp.refusal(format('select saas_api.end_session(%L)', :'bobs_second')), 'PT404 session not found', 'once');
select is((select count(*) from saas_api.sessions), 1::bigint, 'it is not listed any more');
commit;
select is(array[pg_temp.is_good(:'one'), pg_temp.is_good(:'two'), pg_temp.is_good(:'eves')], '{t,f,t}', 'its access token has ended with it');
reset role;

--
-- Deactivation
--
select count(pg_temp.enrol(name || '@sign-in.example')) as ok from unnest(array['owner', 'member']) name \gset
select m.org_id as org from saas.membership m where m.user_id = pg_temp.user_id('owner@sign-in.example') \gset
insert into saas.membership (org_id, user_id, role) values (:'org', pg_temp.user_id('member@sign-in.example'), 'member');
select saas_api.sign_in('owner@sign-in.example', 'correct horse') ->> 'access_token' as owners,
       saas_api.sign_in('member@sign-in.example', 'correct horse') ->> 'access_token' as members \gset
insert into saas.api_key (org_id, name, prefix, permissions, created_by)
select :'org', name, 'saas_0000000', '{view_dashboard}', pg_temp.user_id(name || '@sign-in.example') from unnest(array['owner', 'member']) name;
set role saas_user;
select is(pg_temp.refusal('select saas_api.deactivate_account(''correct horse'')'), 'PT401 Access token required', 'nobody is not deactivated');
begin;
select saas.authenticate(:'owners') as ok \gset
select matches(pg_temp.refusal('select saas_api.deactivate_account(''correct horse'')'), '^PT409 "Ada Lovelace.* would have no owner$',
               'the last owner of others'' organization stays');
commit;
begin;
select saas.authenticate(:'members') as ok \gset
select is(pg_temp.refusal('select saas_api.deactivate_account(''wrong horse'')'), '22023 invalid password (password)', 'leaving needs the password');
select is(pg_temp.refusal('select saas_api.deactivate_account(null)'), '22023 invalid password (password)', 'and not nothing');
select is(saas_api.deactivate_account('correct horse'), '{"message": "Account deactivated."}', 'a member leaves');
commit;
select is(pg_temp.is_good(:'members'), false, 'the sessions end with it');
select throws_ok(format('select saas.activate_user(%L)', saas.uuidv7()), '42501', null, 'no tenant turns accounts on');
set role saas_anon;
select is(pg_temp.sign_in('member@sign-in.example', 'correct horse'), :credentials, 'who has left is unknown');
reset role;
select pg_temp.user_id('member@sign-in.example') as member, pg_temp.user_id('owner@sign-in.example') as owner \gset
set role saas_operator;
select is(pg_temp.refusal(format('select saas.activate_user(%L)', :'member')), 'accepted', 'an operator brings them back');
reset role;
select results_eq('select name, revoked_at is not null from saas.api_key order by name', $$values ('member', true), ('owner', false)$$,
                  'but not their API keys');
set role saas_operator;
select is(pg_temp.refusal(format('select saas.deactivate_user(%L)', :'owner')), 'accepted', 'and turns off whom they must');
select is(pg_temp.refusal('select saas.deactivate_user(null)'), 'PT404 user not found', 'but not nobody');
reset role;
select is(pg_temp.sign_in('member@sign-in.example', 'correct horse'), 'accepted', 'who is back signs in');
select is(pg_temp.is_good(:'owners'), false, 'whom an operator turned off is out at once');

--
-- The log
--
call saas.poll();
select is((select count(*) from saas_private.security_event where kind = 'sign_in' and subject = pg_temp.user_id('carol@sign-in.example')
              and payload ->> 'outcome' = 'invalid_credentials'), 5::bigint, 'sign-ins are logged though they were rolled back');
select results_eq($$select distinct outcome, email_masked, user_id = pg_temp.user_id('carol@sign-in.example'), ip is null
                      from saas.sign_ins(email => ' CAROL@sign-in.example') order by 1$$,
                  $$values ('invalid_credentials', 'c***@sign-in.example', true, true), ('locked_out', 'c***@sign-in.example', true, true)$$,
                  'an operator finds those of an address');
select results_eq($$select outcome, count(*), bool_and(user_id is null) from saas.sign_ins(email => 'nobody@sign-in.example') group by 1 order by 1$$,
                  $$values ('invalid_credentials', 5::bigint, true), ('locked_out', 1, true)$$, 'also of one without an account');
select is_empty($$select e from saas_private.security_event e where e::text ~ 'carol@|nobody@|horse'$$, 'the log holds no address and no password');
select is_empty($$select e from saas_private.security_event e where e.payload ? 'truncated'$$, 'nothing was too long for it');
select bag_has($$select outcome from saas.sign_ins()$$, $$values ('success'), ('reuse'), ('wrong_own_password')$$, 'it tells successes, reuse, wrong passwords inside');
select is_empty($$select outcome from saas.sign_ins(since => now() + interval '1 hour')$$, 'since a time');
select results_eq($$select recipient, count(*) from saas.outbox where template = 'sign_in_lockout' group by 1 order by 1$$,
                  $$values ('ada@sign-in.example', 1::bigint), ('carol@sign-in.example', 1::bigint)$$, 'owners of throttled accounts are told once an hour');
-- As if the hour were over.
begin;
do $$ begin
    execute replace(pg_get_functiondef('saas_private.count_sign_in'::regproc), 'subject, interval ''1 hour'') then',
                    'subject || clock_timestamp(), interval ''1 hour'') then');
end $$;
select saas_private.take_attempt('sign_in', saas_private.email_subject('carol@sign-in.example'), 1000, '1 second', '1 second', '1 hour')
  from generate_series(1, 20);
select pg_temp.sign_in('carol@sign-in.example', 'correct horse') as answer \gset
rollback;
select is(:'answer'::text, :throttled, 'an account is throttled once more');
create procedure pg_temp.until_mailed(address text, wanted bigint) language plpgsql as $$
declare
    began_at timestamptz := clock_timestamp();
begin
    while (select count(*) < wanted from saas.outbox where template = 'sign_in_lockout' and recipient = address)
          and clock_timestamp() < began_at + interval '1 minute' loop
        commit;
    end loop;
end
$$;
call saas.poll();
call pg_temp.until_mailed('carol@sign-in.example', 2);
select is((select count(*) from saas.outbox where template = 'sign_in_lockout' and recipient = 'carol@sign-in.example'), 2::bigint,
          'and again after an hour');
select results_eq(format('select ended_at is not null from saas_private.session where user_id = %L and ended_at is not null limit 1', pg_temp.user_id('member@sign-in.example')),
                  array[true], 'ended sessions are written down');
set role saas_operator;
select lives_ok('select saas.sign_ins()', 'operators read the log');
set role saas_anon;
select throws_ok('select saas.sign_ins()', '42501', null, 'nobody else does');
reset role;
select count(*) as bobs_sign_ins from saas_private.security_event where kind = 'sign_in' and subject = pg_temp.user_id('bob@sign-in.example') \gset
set role saas_user;
select is_empty('select * from saas_api.sign_in_log', 'nobody has no sign-ins');
begin;
select saas.authenticate(:'one') as ok \gset
select results_eq('select distinct outcome, user_agent from saas_api.sign_in_log where user_agent is not null',
                  $$values ('success', 'pgTAP/1')$$, 'I see my own');
select is((select count(*) from saas_api.sign_in_log), :bobs_sign_ins::bigint, 'and nobody else''s');
commit;
reset role;
-- The longest that a client can make it.
set request.headers = '{"user-agent": "\u20ac\"\\\n and something very long: 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"}';
select pg_temp.sign_in(repeat('"', 200) || '@' || repeat('b', 300) || '.example', 'x') as ok, pg_temp.sign_in('a@' || repeat('b', 300) || '.example', 'x') as other \gset
reset request.headers;
call saas.poll();
select is_empty($$select e from saas_private.security_event e where e.payload ? 'truncated'$$, 'nothing is too long for the journal');
-- Headers are anybody's to set in SQL: they do not keep a sign-in out of the log.
select set_config('request.headers', repeat('[', 100000), false) as ok \gset
select is(pg_temp.sign_in('deep@sign-in.example', 'x'), :credentials, 'headers that cannot be read do not matter');
reset request.headers;
call saas.poll();
select is((select count(*) from saas.sign_ins(email => 'deep@sign-in.example')), 1::bigint, 'the log has the sign-in');

--
-- What the log says of an address
--
select is(saas_private.masked_email(email), masked, format('%s is shown as %s', email, masked))
  from (values ('ada@sign-in.example', 'a***@sign-in.example'), ('a@b.example', 'a***@b.example'), ('', '***'), ('ada', '***'),
               (E'a\n@b.example', '***'), ('a@b@c.example', '***'), ('"x', '***')) as address (email, masked);
select is(length(saas_private.masked_email('a@' || repeat('b', 300))), 104, 'in bounded length');
select is(saas_private.platform_hash('email', 'ada@sign-in.example'), saas_private.platform_hash('email', 'ada@sign-in.example'), 'a keyed hash is stable');
select isnt(saas_private.platform_hash('email', 'a'), saas_private.platform_hash('other', 'a'), 'each purpose has its key');
select isnt(saas_private.platform_hash('email', 'a'), sha256('a'), 'and it is not the plain hash');
select is(encode(saas_private.keyed_hash('Jefe', 'what do ya want for nothing?'), 'hex'),
          '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843', 'RFC 4231, test case 2');
select * from finish();
