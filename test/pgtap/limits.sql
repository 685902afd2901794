-- Attempts, things used once, sessions ended at once and notes: what counts
-- whatever becomes of the transaction.
select plan(32);

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
begin
    execute statement;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
create function pg_temp.attempt(subject text, free integer default 3) returns integer language sql as $$
    select saas_private.take_attempt('test', subject, free, interval '1 minute', interval '1 hour', interval '1 day')
$$;

--
-- Attempts
--
select is(array(select pg_temp.attempt('ada') from generate_series(1, 3)), array[0, 0, 0], 'the free attempts go on');
select is(pg_temp.attempt('ada'), 60, 'the next one waits after the last one');
select is(pg_temp.attempt('ada'), 60, 'and one that must wait is not counted');
select is(pg_temp.attempt('bob'), 0, 'each subject has its own');
select is(saas_private.take_attempt('other', 'ada', 1, '1 minute', '1 hour', '1 day'), 0, 'and each kind');
select is(pg_temp.attempt('ada', 4), 0, 'one more for who has more free ones');
select is(pg_temp.attempt('ada', 3), 120, 'the wait doubles with each');
select is(pg_temp.attempt('ada', 2), 240, 'and again');
select is(saas_private.take_attempt('test', 'ada', 0, '1 minute', '90 seconds', '1 day'), 90, 'up to the longest one');
select saas_private.forget_attempts('test', 'ada');
select is(pg_temp.attempt('ada'), 0, 'who has proven themselves begins anew');

begin;
select pg_temp.attempt('carol', 2);
savepoint inner_one;
select pg_temp.attempt('carol', 2);
rollback to inner_one;
rollback;
select is(pg_temp.attempt('carol', 2), 60, 'attempts count though their transaction was rolled back');

select saas_private.take_attempt('test', 'dora', 0, '1 microsecond', '1 microsecond', '1 microsecond');
select is(saas_private.take_attempt('test', 'dora', 1, '1 hour', '1 hour', '1 hour'), 0,
          'attempts are forgotten after the window');

-- Before pgTAP takes an id for its own counting.
begin read only;
select pg_temp.attempt('eve', 1) as first, pg_temp.attempt('eve', 1) as second \gset
select pg_current_xact_id_if_assigned() is null as has_no_id \gset
commit;
select is(:first, 0, 'attempts are counted in a READ ONLY transaction');
select is(:second, 60, 'and seen in it');
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
-- Nobody writes it down meanwhile.
update saas_private.installation set database_oid = 0;
begin;
select saas_private.end_session_now(id) from saas_private.session;
rollback;
select is(pg_temp.refusal(format('select saas.authenticate(%L)', answer ->> 'access_token')),
          'PT401 Invalid or expired token', 'an ended session''s access token is refused though that was rolled back')
  from signed_in;
select is(pg_temp.refusal(format('select saas_api.refresh_session(%L)', answer ->> 'refresh_token')),
          'PT401 Invalid or expired token', 'its refresh token too')
  from signed_in;

select is(array_agg(memory order by memory collate "C"),
          array['attempts', 'ended sessions', 'journal', 'requests', 'used once'], 'the operator sees every memory')
  from saas.limits_status();
select cmp_ok(used, '>=', 1::bigint, memory || ' holds something')
  from saas.limits_status() where memory = 'used once';

select * from finish();
