-- The keys of access tokens: published, current, retiring, retired.  (Other
-- sessions: test/tap/token_keys.t.)
select no_plan();
\ir ../lib/refusals.sql

create function pg_temp.header(token text) returns jsonb language sql as $$
    select convert_from(decode(translate(h, '-_', '+/') || repeat('=', (4 - length(h) % 4) % 4), 'base64'), 'utf8')::jsonb
      from split_part(token, '.', 1) h
$$;
create function pg_temp.states() returns text[] language sql as $$
    select array_agg(k.state order by k.created_at) from saas.token_keys() k
$$;
create function pg_temp.published_kids() returns text[] language sql as $$
    select array_agg(k ->> 'kid' order by k ->> 'kid') from jsonb_array_elements(saas_api.jwks() -> 'keys') k
$$;
-- Returns when the clock says so.
create procedure pg_temp.wait_until(moment timestamptz) language plpgsql as $$
begin
    while clock_timestamp() <= moment loop
    end loop;
end
$$;
-- Moves a key's times, as days that pass would.
create procedure pg_temp.move(moved text, active timestamptz, retired timestamptz) language plpgsql as $$
begin
    update saas_private.jwt_key k set active_at = active, retired_at = retired where k.kid = moved;
    perform saas_private.change_token_keys();
end
$$;
\set bad '\'PT401 Invalid or expired token\''

set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@keys.example', 'correct horse', 'Ada', 'Lovelace', 'Keys') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select id as ada from saas.app_user \gset
select id as org from saas.organization \gset
select saas_api.sign_in('ada@keys.example', 'correct horse') ->> 'access_token' as token1 \gset
select id as session from saas_private.session \gset
\set issue 'saas_private.issue_access_token(:\'ada\', :\'session\', :\'org\') ->> \'access_token\''

--
-- One key
--
select pg_temp.header(:'token1') ->> 'kid' as kid1 \gset
select results_eq('select kid, algorithm, state, retired_at from saas.token_keys()',
                  format('values (%L, ''ES256'', ''current'', null::timestamptz)', :'kid1'), 'the first key is current and has no end');

--
-- Published
--
select saas.rotate_token_keys() as kid2 \gset
select isnt(:'kid2'::text, :'kid1', 'rotation makes a new key');
select is(pg_temp.states(), '{current,published}', 'which is published and does not sign yet');
select is((select active_at - created_at between interval '4 minutes 59 seconds' and interval '5 minutes 1 second'
             from saas.token_keys() where kid = :'kid2'), true, 'until five minutes have passed');
select is((select o.retired_at - n.active_at from saas.token_keys() o, saas.token_keys() n where o.kid = :'kid1' and n.kid = :'kid2'),
          interval '25 hours', 'the old one verifies for 25 hours more');
select is(pg_temp.published_kids(), (select array_agg(k order by k) from unnest(array[:'kid1', :'kid2']) k), 'both are in the key set');
select :issue as token2 \gset
select is(pg_temp.header(:'token2') ->> 'kid', :'kid1', 'tokens are signed with the old one');
select is(pg_temp.verdict(:'token2'), 'accepted', 'and are good');
select is(pg_temp.refusal('select saas.rotate_token_keys()'), 'PT409 a new token key waits for its time already',
          'another rotation waits for this one');

--
-- Current and retiring
--
call pg_temp.move(:'kid2', clock_timestamp(), null);
select is(pg_temp.states(), '{retiring,current}', 'at its time the new key is current');
select :issue as token2 \gset
select is(pg_temp.header(:'token2') ->> 'kid', :'kid2', 'and signs');
select is(pg_temp.verdict(:'token2'), 'accepted', 'what is good');
select is(pg_temp.verdict(:'token1'), 'accepted', 'as the old tokens are');
select is(cardinality(pg_temp.published_kids()), 2, 'both keys are in the key set');

--
-- Retired, by the clock alone: the cache was filled before
--
call pg_temp.move(:'kid1', '-infinity', clock_timestamp() + interval '300 milliseconds');
select is(pg_temp.verdict(:'token2'), 'accepted', 'the new key''s tokens are good before the old one''s end');
select max(retired_at) as moment from saas.token_keys() \gset
call pg_temp.wait_until(:'moment');
select is(pg_temp.verdict(:'token1'), :bad, 'the old key''s tokens are refused after it');
select is(pg_temp.verdict(:'token2'), 'accepted', 'the new one''s are not');
select is(pg_temp.states(), '{retired,current}', 'the old key is retired');
select is(pg_temp.published_kids(), array[:'kid2'], 'and in no key set');

--
-- Active, by the clock alone
--
select saas.rotate_token_keys('300 milliseconds', '1 hour') as kid3 \gset
select is(pg_temp.verdict(:'token2'), 'accepted', 'while a new key waits, tokens are good');
select max(active_at) as moment from saas.token_keys() \gset
call pg_temp.wait_until(:'moment');
select :issue as token3 \gset
select is(pg_temp.header(:'token3') ->> 'kid', :'kid3', 'its time comes in a session that knew of it before');
select is(pg_temp.verdict(:'token2'), 'accepted', 'the old tokens stay good');

--
-- Retired at once
--
select lives_ok(format('select saas.retire_token_key(%L)', :'kid2'), 'a retiring key is retired');
select is(pg_temp.verdict(:'token2'), :bad, 'its tokens are refused at once');
select is(pg_temp.verdict(:'token3'), 'accepted', 'others are not');
select saas.rotate_token_keys() as kid4 \gset
select lives_ok(format('select saas.retire_token_key(%L)', :'kid4'), 'a published key is retired');
select is((select array[state, retired_at::text] from saas.token_keys() where kid = :'kid3'), array['current', null],
          'and the current one has no end any more');
select saas.rotate_token_keys() as kid5 \gset
select lives_ok(format('select saas.retire_token_key(%L)', :'kid3'), 'the current key is retired while another waits');
select :issue as token5 \gset
select is(pg_temp.header(:'token5') ->> 'kid', :'kid5', 'which signs at once');
select is(pg_temp.verdict(:'token3'), :bad, 'the retired key''s tokens are refused');
select lives_ok(format('select saas.retire_token_key(%L)', :'kid5'), 'the only key is retired');
select is(pg_temp.verdict(:'token5'), :bad, 'its tokens are refused');
select is((select count(*) from saas.token_keys() where state = 'current'), 1::bigint, 'a new one is current');
select is(pg_temp.verdict(:issue), 'accepted', 'and signs');
select retired_at as was from saas.token_keys() where kid = :'kid5' \gset
select lives_ok(format('select saas.retire_token_key(%L)', :'kid5'), 'twice is once');
select is((select retired_at from saas.token_keys() where kid = :'kid5'), :'was', 'and moves no time');
select is(pg_temp.refusal('select saas.retire_token_key(''none'')'), 'PT404 token key not found', 'an unknown key is not found');
select is(pg_temp.refusal('select saas.retire_token_key(null)'), 'PT404 token key not found', 'nor is the missing one');

--
-- What is rolled back was never there
--
begin;
select saas.rotate_token_keys('0') as gone \gset
select :issue as token_gone \gset
select is(pg_temp.header(:'token_gone') ->> 'kid', :'gone', 'a rotation counts in its own transaction');
select is(pg_temp.verdict(:'token_gone'), 'accepted', 'for verifying too');
rollback;
select is(pg_temp.verdict(:'token_gone'), :bad, 'and not after it was rolled back');
select isnt(pg_temp.header(:issue) ->> 'kid', :'gone', 'for signing neither');
begin;
savepoint s;
select saas.rotate_token_keys('0') as gone \gset
select :issue as token_gone \gset
rollback to s;
select is(pg_temp.verdict(:'token_gone'), :bad, 'nor after its savepoint was');
select isnt(pg_temp.header(:issue) ->> 'kid', :'gone', 'for signing neither');
commit;

--
-- HS256
--
select :issue as token_before \gset
set saas.jwt_algorithm = 'HS256';
select is(pg_temp.header(:issue) ->> 'alg', 'ES256', 'the setting alone changes no key');
select saas.rotate_token_keys('0') as kid_hs \gset
select :issue as token_hs \gset
select is(pg_temp.header(:'token_hs'), jsonb_build_object('alg', 'HS256', 'typ', 'JWT', 'kid', :'kid_hs'), 'the next rotation makes a secret');
select is(pg_temp.verdict(:'token_hs'), 'accepted', 'whose tokens are good');
select is(pg_temp.verdict(:'token_before'), 'accepted', 'beside the old ones');
select is((select count(*) from jsonb_array_elements(saas_api.jwks() -> 'keys') k where k ->> 'kty' = 'oct' or k ? 'k' or k ->> 'kid' = :'kid_hs'),
          0::bigint, 'a secret is never in the key set');
select is((select array[public_jwk::text, (strpos(private_key::text, '"k"') > 0)::text] from saas_private.jwt_key where kid = :'kid_hs'),
          array[null, 'false'], 'the table has it sealed');
select is(pg_temp.refusal(format('select saas.verify_jwt(%L, saas_api.jwks())', :'token_hs')), :bad, 'the public key set does not verify it');
select is(pg_temp.verdict(overlay(:'token_hs' placing case when right(:'token_hs', 1) = 'A' then 'B' else 'A' end from length(:'token_hs'))),
          :bad, 'an altered signature is refused');
reset saas.jwt_algorithm;
select saas.rotate_token_keys('0', '0') as ok \gset
select is(pg_temp.header(:issue) ->> 'alg', 'ES256', 'the way back');
select is(pg_temp.verdict(:'token_hs'), :bad, 'without an overlap the old tokens end');

--
-- Bounds
--
select is(pg_temp.refusal('select saas.rotate_token_keys(''-1 second'')'), '22023 invalid input (activate_after)', 'no key is active before it is made');
select is(pg_temp.refusal('select saas.rotate_token_keys(''8 days'')'), '22023 invalid input (activate_after)', 'nor later than in a week');
select is(pg_temp.refusal('select saas.rotate_token_keys(''0'', ''-1 second'')'), '22023 invalid input (keep_old)', 'no key ends before the next');
select is(pg_temp.refusal('select saas.rotate_token_keys(''0'', ''91 days'')'), '22023 invalid input (keep_old)', 'nor later than 90 days after');
do $$ begin
    for i in 1..20 loop
        exit when (select count(*) from saas.token_keys() where state <> 'retired') >= 16;
        perform saas.rotate_token_keys('0', '1 day');
    end loop;
end $$;
select is(pg_temp.refusal('select saas.rotate_token_keys(''0'')'), 'PT409 too many token keys are in use', 'sixteen keys are enough');
select is(pg_temp.verdict(:issue), 'accepted', 'with which tokens are good');
select lives_ok('select saas.retire_token_key((select kid from saas.token_keys() where state = ''retiring'' limit 1))', 'one is retired');
update saas_private.jwt_key set retired_at = now() - interval '31 days' where kid = :'kid1';
select is(pg_temp.refusal('select saas.rotate_token_keys(null, null)'), 'accepted', 'which makes room; null is the default');
select is((select count(*) from saas.token_keys() where kid = :'kid1'), 0::bigint, 'a key retired for a month is deleted');

--
-- Who may
--
set role saas_user;
select throws_ok('select saas.rotate_token_keys()', '42501', null, 'no tenant rotates keys');
select throws_ok('select saas.retire_token_key(''x'')', '42501', null, 'nor retires one');
select throws_ok('select * from saas.token_keys()', '42501', null, 'nor lists them');
select throws_ok('set saas.jwt_algorithm = ''HS256''', '42501', null, 'nor chooses the algorithm');
set role saas_operator;
select is(pg_temp.refusal('select saas.token_keys()'), 'accepted', 'an operator lists them');
select is(pg_temp.refusal('select saas.rotate_token_keys()'), 'PT409 a new token key waits for its time already', 'and rotates');
select throws_ok('select saas_private.create_token_key(now())', '42501', null, 'but makes none otherwise');
select throws_ok('set saas.jwt_algorithm = ''HS256''', '42501', null, 'nor chooses the algorithm');
reset role;
select throws_ok('set saas.jwt_algorithm = ''RS256''', '22023', null, 'no key is made for other algorithms');
select * from finish();
