-- Attempts, things used once, sessions ended at once and notes: what counts
-- whatever becomes of the transaction.
select no_plan();

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
begin
    execute statement;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
-- Half minutes to wait, rounded up: seconds may pass between two attempts.
create function pg_temp.attempt(subject text, free integer default 3, longest interval default '1 hour')
    returns integer language sql as $$
    select ceil(saas_private.take_attempt('test', subject, free, interval '1 minute', longest, interval '1 day') / 30.0)::integer
$$;

--
-- Attempts
--
select is(array(select pg_temp.attempt('ada') from generate_series(1, 3)), array[0, 0, 0], 'the free attempts go on');
select is(pg_temp.attempt('ada'), 2, 'the next one waits after the last one');
select is(pg_temp.attempt('ada'), 2, 'and one that must wait is not counted');
select is(pg_temp.attempt('bob'), 0, 'each subject has its own');
select is(saas_private.take_attempt('other', 'ada', 1, '1 minute', '1 hour', '1 day'), 0, 'and each kind');
select is(pg_temp.attempt('ada', 4), 0, 'one more for who has more free ones');
select is(pg_temp.attempt('ada', 3), 4, 'the wait doubles with each');
select is(pg_temp.attempt('ada', 2), 8, 'and again');
select is(pg_temp.attempt('ada', 0, '90 seconds'), 3, 'up to the longest one');
select saas_private.forget_attempts('test', 'ada');
select is(pg_temp.attempt('ada'), 0, 'who has proven themselves begins anew');

begin;
select pg_temp.attempt('carol', 2);
savepoint inner_one;
select pg_temp.attempt('carol', 2);
rollback to inner_one;
rollback;
select is(pg_temp.attempt('carol', 2), 2, 'attempts count though their transaction was rolled back');

select saas_private.take_attempt('test', 'dora', 0, '1 microsecond', '1 microsecond', '1 microsecond');
select is(saas_private.take_attempt('test', 'dora', 1, '1 hour', '1 hour', '1 hour'), 0,
          'attempts are forgotten after the window');

-- Before pgTAP takes an id for its own counting.
begin read only;
select pg_temp.attempt('eve', 1) as first, pg_temp.attempt('eve', 1) as second \gset
select pg_current_xact_id_if_assigned() is null as has_no_id \gset
commit;
select is(:first, 0, 'attempts are counted in a READ ONLY transaction');
select is(:second, 2, 'and seen in it');
select ok(:'has_no_id', 'without a transaction id');

select is(pg_temp.refusal(call), expected, call)
  from (values
    ($$select saas_private.take_attempt('test', 'x', -1, '1 minute', '1 hour', '1 day')$$,
     '22023 the number of free attempts must not be negative'),
    ($$select saas_private.take_attempt('test', 'x', 1, '0', '1 hour', '1 day')$$,
     '22023 a time must be above zero and at most a year'),
    ($$select saas_private.use_once('test', 'x', '-1 minute')$$, '22023 a time must be above zero and at most a year'),
    ($$select saas_private.use_once('', 'x', '1 minute')$$, '22023 kind must have 1 to 63 bytes'),
    ($$select saas_private.is_used('test', null)$$, '22004 kind and subject must not be null'))
    as refused (call, expected);

--
-- Used once
--
select is(saas_private.is_used('code', '123456'), false, 'nothing is used yet');
begin;
select is(saas_private.use_once('code', '123456', '1 hour'), true, 'the first time');
rollback;
select is(saas_private.use_once('code', '123456', '1 hour'), false, 'there is no second one, though the first was rolled back');
select is(saas_private.is_used('code', '123456'), true, 'it is used');
select is(saas_private.use_once('code', '654321', '1 hour'), true, 'others are not');
select is(saas_private.use_once('code', repeat('x', 5000) || n, '1 hour'), true, 'long ones differ to the end')
  from generate_series(1, 2) n;
select saas_private.use_once('code', 'short', '1 microsecond');
select is(saas_private.is_used('code', 'short'), false, 'it is forgotten after its time');

--
-- Sessions
--
select saas_api.sign_up('ada@limits.example', 'correct horse', 'Ada', 'Lovelace');
select saas.confirm_user(id) from saas.app_user where email = 'ada@limits.example';
create table signed_in as select saas_api.sign_in('ada@limits.example', 'correct horse') as answer;
-- The worker cannot write it down meanwhile.
begin;
select count(*) as locked from (select from saas_private.session for update) s;
savepoint rolled_back;
select saas_private.end_session_now(id) from saas_private.session;
rollback to rolled_back;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', answer ->> 'access_token')),
          'PT401 Invalid or expired token', 'an ended session''s access token is refused though that was rolled back')
  from signed_in;
select is(pg_temp.refusal(format('select saas_api.refresh_session(%L)', answer ->> 'refresh_token')),
          'PT401 Invalid or expired token', 'its refresh token too')
  from signed_in;
select is(ended_at, null, 'before the row says it') from saas_private.session;
select ok(saas_private.session_is_ended(id), 'memory says it') from saas_private.session;
commit;
call saas.poll();
select isnt(ended_at, null, 'afterwards the row does') from saas_private.session;
select ok(not saas_private.session_is_ended(id), 'and memory lets go of it') from saas_private.session;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', answer ->> 'access_token')),
          'PT401 Invalid or expired token', 'the token is still refused')
  from signed_in;

--
-- Uses of refresh tokens
--
create function pg_temp.use(session_id uuid, generation integer) returns timestamptz language sql as $$
    select saas_private.use_refresh(session_id, generation, interval '1 hour')
$$;
select gen_random_uuid() as one, gen_random_uuid() as other \gset
begin;
select pg_temp.use(:'one', 1) as used_at \gset
rollback;
select is(pg_temp.use(:'one', 1), :'used_at', 'a second use learns when the first was, though that was rolled back');
select is(pg_temp.use(:'one', 0), '-infinity', 'a token from before it was used up with it');
select cmp_ok(pg_temp.use(:'one', 2), '>', :'used_at'::timestamptz, 'one from after it is used now');
select is(pg_temp.use(:'one', 1), '-infinity', 'which uses the one before up');
select cmp_ok(pg_temp.use(:'other', 0), '>', :'used_at'::timestamptz, 'another session has its own');
select is(pg_temp.refusal($$select saas_private.use_refresh(gen_random_uuid(), 1, '0')$$),
          '22023 a time must be above zero and at most a year', 'it is kept for a time');

--
-- Notes
--
create table noted as select gen_random_uuid() as subject;
begin;
select saas_private.note('denied', subject, '{"what": "that"}') from noted;
select saas_private.note('denied', subject, jsonb_build_object('long', repeat('x', 1000))) from noted;
rollback;
begin read only;
select saas_private.note('read_only', subject, null) from noted;
commit;
-- A kind that the table refuses.
select saas_private.note('', subject, '{}') from noted;
call saas.poll();
create procedure pg_temp.until_written() language plpgsql as $$
begin
    -- The worker may have taken them before the call.
    while (select count(*) < 3 from saas_private.security_event e join noted using (subject)) loop
        commit;
    end loop;
end
$$;
call pg_temp.until_written();
select results_eq($$select kind, payload from saas_private.security_event join noted using (subject) order by kind, at$$,
                  $$values ('denied', '{"what": "that"}'::jsonb), ('denied', '{"truncated": 1012}'), ('read_only', '{}')$$,
                  'notes are written though their transaction was rolled back, and one that cannot be harms no other');
insert into saas_private.security_event (at, kind) values (now() - interval '91 days', 'old'), (now() - interval '89 days', 'young');
select is(saas_private.prune_security_events(), 1, 'events older than 90 days are deleted');
select is(count(*), 0::bigint, 'and no others') from saas_private.security_event where kind = 'old';

--
-- Rate limits
--
select results_eq('select scope, org_id, max_requests, window_length from saas.rate_limit order by scope',
                  $$values ('address', null::uuid, 1000, interval '15 minutes'), ('organization', null, 1000, '15 minutes')$$,
                  'organizations and addresses have limits from the start');
select is((l.allowed, l.max_requests, l.remaining, l.retry_after), (true, 1000, 999, 0), 'the first request of an address')
  from saas_private.check_rate_limit('192.0.2.1') l;
begin read only;
select l.remaining, l.reset_seconds between 899 and 901 as resets
  from saas_private.check_rate_limit('192.0.2.1') l \gset
select pg_current_xact_id_if_assigned() is null as has_no_id \gset
rollback;
select is(:remaining, 998, 'the second one counts in a READ ONLY transaction');
select ok(:'resets', 'and all are there again after the window');
select ok(:'has_no_id', 'without a transaction id');
select is(l.remaining, 997, 'also as an address mapped into IPv6') from saas_private.check_rate_limit('::ffff:192.0.2.1') l;
select is(l.remaining, 999, 'others have their own') from saas_private.check_rate_limit('192.0.2.2') l;
select is(array(select (saas_private.check_rate_limit(a::inet)).remaining
                  from unnest(array['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', '2001:db8:0:2::1']) a),
          array[999, 998, 999], 'an IPv6 address counts with its network');

-- This session has read no limit of organizations yet.
select saas.set_rate_limit('organization', o.id, 3, '1 hour') from saas.organization o;
create table second_sign_in as select saas_api.sign_in('ada@limits.example', 'correct horse') as answer;
begin read only;
select saas.authenticate(answer ->> 'access_token') from second_sign_in;
select array_agg((v).allowed order by n) as allowed, array_agg((v).remaining order by n) as remaining,
       min((v).max_requests) as max_requests,
       bool_and((v).retry_after = 0 or (v).retry_after between 3599 and 3601) as waits_the_window
  from (select n, saas_private.check_rate_limit() as v from generate_series(1, 5) n offset 0) l \gset
rollback;
select is(:'allowed'::boolean[], array[true, true, true, false, false], 'an organization with a limit of its own has that');
select is(:'remaining'::integer[], array[2, 1, 0, 0, 0], 'it counts down');
select is(:max_requests, 3, 'it is named');
select ok(:'waits_the_window', 'who exceeds it waits until the window has passed');
call saas.poll();
do $$
begin
    while not exists (select from saas_private.security_event where kind = 'rate_limited') loop
        perform pg_stat_clear_snapshot();
    end loop;
end
$$;
select is(array_agg(e.payload - 'address'), array['{"by": "organization", "limit": 3}'::jsonb],
          'that it did is noted once per second, not each time')
  from saas_private.security_event e where kind = 'rate_limited';
select is(e.subject, o.id, 'with the organization') from saas_private.security_event e, saas.organization o
 where e.kind = 'rate_limited';

select is(pg_temp.refusal(call), expected, call)
  from (values
    ($$select saas.set_rate_limit('key', null, 1)$$, '22023 invalid input'),
    ($$select saas.set_rate_limit('address', gen_random_uuid(), 1)$$, '22023 invalid input'),
    ($$select saas.set_rate_limit('organization', gen_random_uuid(), 1)$$, 'PT404 organization not found'),
    ($$select saas.set_rate_limit('organization', null, 0)$$, '22023 invalid input'),
    ($$select saas.set_rate_limit('address', null, 1, '2 days')$$, '22023 invalid input'))
    as refused (call, expected);
set role saas_operator;
select saas.set_rate_limit('address', null, 50, '1 minute');
reset role;
-- However slow the machine is: not before fifteen sixteenths of the window, and then.
create function pg_temp.until(condition text) returns interval language plpgsql as $$
declare
    begun_at timestamptz := clock_timestamp();
    is_true boolean;
begin
    loop
        execute 'select ' || condition into is_true;
        exit when is_true;
        if clock_timestamp() > begun_at + interval '1 minute' then
            raise exception 'not within a minute: %', condition;
        end if;
    end loop;
    return clock_timestamp() - begun_at;
end
$$;
select saas.set_rate_limit('address', null, 5, '1 second');
select ok(pg_temp.until($$(saas_private.check_rate_limit('192.0.2.3')).max_requests = 5$$) is not null,
          'a session that has read the limit follows a change');
select clock_timestamp() as begun_at \gset
select is(array(select (v).allowed from (select saas_private.check_rate_limit('192.0.2.4') as v
                                           from generate_series(1, 5) offset 0) c),
          array[true, true, true, true, true], 'five requests are allowed');
select pg_temp.until($$(saas_private.check_rate_limit('192.0.2.4')).allowed$$) is not null as again \gset
select cmp_ok(clock_timestamp() - :'begun_at'::timestamptz, '>=', interval '1 second' * 15 / 16,
              'the next one when the window has passed');
select saas.set_rate_limit('address', null, 50, '1 minute');
select saas.set_rate_limit('organization', o.id, null) from saas.organization o;
select results_eq('select scope, max_requests, window_length from saas.rate_limit order by scope',
                  $$values ('address', 50, interval '1 minute'), ('organization', 1000, '15 minutes')$$,
                  'an operator changes limits, and takes an organization''s own away');

select is(array_agg(memory order by memory collate "C"),
          array['attempts', 'ended sessions', 'journal', 'nonces', 'refreshed sessions', 'requests', 'used once'], 'the operator sees every memory')
  from saas.limits_status();
select cmp_ok(used, '>=', 1::bigint, memory || ' holds something')
  from saas.limits_status() where memory = 'used once';

select * from finish();
