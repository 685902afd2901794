-- Rollups are what brute force over all readings says: with missing values, NaN,
-- counters that begin anew, layouts that change, and readings that come late.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema rollups;
select (tenants.found('owner')).org_id as org \gset
select (tenants.found('stranger')).org_id as other_org \gset
select tenants.connect(:'org', 'Alpha') as alpha \gset
select tenants.connect(:'org', 'Beta') as beta \gset
select tenants.connect(:'other_org', 'Gamma') as gamma \gset
select tenants.connect(:'org', 'Idle') as idle \gset

create table rollups.layout (n integer primary key, org_id uuid, connection_id uuid, layout_id uuid, series integer);
insert into rollups.layout
select 1, :'org'::uuid, :'alpha'::uuid, tenants.lay_out(:'org', :'alpha', '[{"metric": "a"}, {"metric": "b"}, {"metric": "c"}]'), 3 union all
select 2, :'org', :'alpha', tenants.lay_out(:'org', :'alpha', '[{"metric": "d"}, {"metric": "b"}]'), 2 union all
select 3, :'org', :'beta', tenants.lay_out(:'org', :'beta', '[{"metric": "a"}]'), 1 union all
select 4, :'other_org', :'gamma', tenants.lay_out(:'other_org', :'gamma', '[{"metric": "a"}, {"metric": "e"}]'), 2;

-- What a sample may be: mostly a counter that grows, now and then anything else.
create function rollups.value(at timestamptz) returns double precision
language sql volatile as $$
    select case when dice < 0.05 then null when dice < 0.07 then 'NaN' when dice < 0.08 then 'Infinity'
                when dice < 0.09 then '-Infinity' when dice < 0.15 then 0
                else floor(extract(epoch from at)::bigint % 20000 / 10 + random() * 10) end
      from (select random() as dice) d
$$;
create function rollups.store(layout rollups.layout, at timestamptz) returns void
language sql volatile as $$
    select tenants.read(layout.org_id, layout.layout_id, store.at,
                        variadic (select array_agg(rollups.value(store.at)) from generate_series(1, layout.series)))
$$;
select setseed(0.42) as seeded \gset
-- Two and a half days: alpha changes its layout once, and back and forth within buckets for a while.
select count(rollups.store(l, g.at)) as stored
  from generate_series(timestamptz '2026-03-30 10:00:17', '2026-04-01 22:00', interval '97 seconds') as g (at)
  join rollups.layout l
    on l.n = case when g.at < '2026-03-30 20:02' then 1 when g.at < '2026-03-31 01:00' then 1 + abs(hashtext(g.at::text)) % 2 else 2 end
    or l.n in (3, 4) and random() < 0.9 and g.at not between '2026-03-31 12:00' and '2026-03-31 16:00' \gset

create function rollups.by_force(step interval)
returns table (connection_id uuid, series_id uuid, at timestamptz, count double precision, sum double precision, min double precision,
               max double precision, first double precision, last double precision, increase double precision)
language sql stable as $$
    select s.connection_id, s.series_id, s.bucket, count(*)::double precision, sum(s.value), min(s.value), max(s.value),
           (array_agg(s.value order by s.at))[1], (array_agg(s.value order by s.at desc))[1],
           coalesce(sum(case when s.before is null or s.before in ('NaN', 'Infinity', '-Infinity') or s.value in ('NaN', 'Infinity', '-Infinity') then 0
                             when s.value >= s.before then s.value - s.before else s.value end), 0)
      from (select m.*, b.bucket, lag(m.value) over (partition by m.connection_id, m.series_id, b.bucket order by m.at) as before
              from saas.sample m, lateral (select date_bin(by_force.step, m.at, timestamptz '2000-01-03') as bucket) b
             where m.value is not null) s
     group by 1, 2, 3
$$;
create view rollups.rolled as
select r.level, r.connection_id, u.series_id, r.at, u.count, u.sum, u.min, u.max, u.first, u.last, u.increase
  from (select '5m' as level, f.*, null::bytea from saas.reading_5m f union all select '1h', h.* from saas.reading_1h h
         union all select '1d', d.* from saas.reading_1d d) r
  join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
       unnest(l.series_ids, r.count, r.sum, r.min, r.max, r.first, r.last, r.increase)
           as u (series_id, count, sum, min, max, first, last, increase)
 where u.count > 0;
-- Empty when they are the same.
create function rollups.differences(level text, step interval) returns setof text
language sql stable as $$
    (select 'missing ' || f::text from (select * from rollups.by_force(step)
     except select connection_id, series_id, at, count, sum, min, max, first, last, increase from rollups.rolled r where r.level = differences.level) f)
    union all
    (select 'wrong ' || r::text from (select connection_id, series_id, at, count, sum, min, max, first, last, increase from rollups.rolled r where r.level = differences.level
     except select * from rollups.by_force(step)) r)
$$;
create function rollups.all_differences() returns setof text
language sql stable as $$
    select v.level || ' ' || d from (values ('5m', interval '5 minutes'), ('1h', '1 hour'), ('1d', '1 day')) as v (level, step),
           lateral rollups.differences(v.level, v.step) d
$$;

select cmp_ok((select count(*) from saas.reading), '>', 5000::bigint, 'there are readings');
call saas.maintain();
select is_empty('select * from rollups.all_differences() limit 5', 'every level is what brute force says');
select cmp_ok((select count(*) from rollups.rolled where level = '5m'), '>', 3000::bigint, 'of thousands of buckets');
select cmp_ok((select count(*) from rollups.rolled where level = '1d'), '>', 10::bigint, 'days too');
select cmp_ok((select count(*) from saas.layout l where cardinality(l.series_ids) = 4), '=', 1::bigint,
              'a bucket of two layouts has one with the series of both, which is made once');
select is((select count(*) from saas_private.rollup_progress where rolled_until > now() - interval '11 minutes'), 4::bigint,
          'every connection is rolled up to the last whole five minutes');
select is((select (saas.maintenance_status()).behind), 0::bigint, 'and nobody is behind');

-- Again there is nothing to do, and nothing is done twice.
create table rollups.before as select 'x' as x, r.* from rollups.rolled r;
call saas.maintain();
select is_empty('select * from rollups.all_differences() limit 5', 'rolled up once more it is the same');
select is((select steps from saas_private.maintenance), 0::bigint, 'without a step');

-- What comes late

select count(rollups.store(l, g.at)) as stored
  from generate_series(timestamptz '2026-03-29 23:50:03', '2026-03-30 09:00', interval '53 seconds') as g (at), rollups.layout l where l.n in (1, 4) \gset
select count(rollups.store(l, g.at)) as stored
  from generate_series(timestamptz '2026-03-31 12:30', '2026-03-31 13:11', interval '61 seconds') as g (at), rollups.layout l where l.n = 3 \gset
-- One reading corrected, and one in another layout in a bucket of one.
update saas.reading set "values" = array[123456] where connection_id = :'beta' and at = (select max(at) from saas.reading where connection_id = :'beta');
select rollups.store(l, '2026-04-01 05:00:01') as stored from rollups.layout l where l.n = 1 \gset
select isnt_empty('select * from rollups.all_differences() limit 5', 'what came late is not rolled up by itself');
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select l.org_id, l.connection_id, timestamptz '2026-03-29 23:50', timestamptz '2026-03-30 09:00' from rollups.layout l where l.n in (1, 4)
union all select :'org', :'beta', '2026-03-31 12:30', '2026-03-31 13:15'
union all select :'org', :'beta', '2026-04-01 21:55', '2026-04-01 22:00'
union all select :'org', :'alpha', '2026-04-01 05:00', '2026-04-01 05:05';
call saas.maintain();
select is_empty('select * from rollups.all_differences() limit 5', 'but when it was noted: every level is what brute force says');
select is((select count(*) from saas_private.late_window), 0::bigint, 'and the notes are gone');

-- Notes that overlap, over midnight too.
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select :'org', :'beta', v.f, v.u from (values (timestamptz '2026-03-30 22:00', timestamptz '2026-03-31 02:00'), ('2026-03-31 01:00', '2026-03-31 03:00'),
                                              ('2026-03-31 01:55', '2026-04-01 12:00'), ('2026-03-31 23:55', '2026-04-01 00:05')) v (f, u);
call saas.maintain();
select is_empty('select * from rollups.all_differences() limit 5', 'what several notes say is counted once');

-- Bounds

select is(saas_private.roll_late(0), 0, 'without notes there is nothing to roll up');
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'idle', '2026-03-31 12:30', '2026-03-31 12:35');
call saas.maintain();
select is((select count(*) from saas.reading_5m where connection_id = :'idle'), 0::bigint, 'a note of nothing makes nothing');
select throws_ok('call saas.maintain()', '2D000', 'saas.maintain cannot run inside a transaction block', 'maintain refuses a transaction block');
select is(saas_private.closed_until(1000) = date_bin('5 minutes', now() - interval '5 seconds', timestamptz '2000-01-03'), true, 'time is closed up to the last whole five minutes');

-- Interrupted and begun anew, by a connection and a day at a time.
truncate saas.reading_5m, saas.reading_1h, saas.reading_1d;
update saas_private.rollup_progress set rolled_until = '-infinity';
select cmp_ok(saas_private.roll_due('2026-04-01 12:35', 1), '=', 1, 'a step is a connection''s day');
select cmp_ok(saas_private.roll_due('2026-04-01 12:35', 2), '=', 2, 'or that of as many as are asked for');
select cmp_ok((select count(*) from saas_private.rollup_progress where rolled_until between '2026-03-30' and '2026-04-01 12:34'), '>=', 2::bigint, 'they are not done yet');
call saas.maintain();
select is_empty('select * from rollups.all_differences() limit 5', 'and another run goes on where that one was');

-- Few readings: none in the last five minutes of an hour or a day, and maintenance in each of them

select tenants.connect(:'org', 'Seldom') as seldom \gset
select tenants.lay_out(:'org', :'seldom', '[{"metric": "a"}]') as seldom_layout \gset
select count(tenants.read(:'org', :'seldom_layout', g.at, 1)) as stored
  from generate_series(timestamptz '2026-04-03 00:02', '2026-04-05 12:00', interval '10 minutes') as g (at)
 where extract(hour from g.at) < 20 \gset
select count(saas_private.roll_due(g.at, 10)) as rolled from generate_series(timestamptz '2026-04-03 00:05', '2026-04-06 00:05', interval '5 minutes') as g (at) \gset
select is_empty('select * from rollups.all_differences() limit 5', 'hours and days are rolled up when they are over, though nothing comes just then');
select is((select array_agg(r.count[1] order by r.at) from saas.reading_1d r where r.connection_id = :'seldom'), '{120,120,72}'::double precision[], 'with all of their readings');

-- A partition that somebody's lock keeps from being made is tried once a step:
-- each try waits, and the lock is the same for all that need one.

call saas.maintain();
create sequence rollups.tried;
create table rollups.blocked as select tenants.connect(:'org', 'Blocked ' || n) as id from generate_series(1, 5) n;
select count(tenants.read(:'org', tenants.lay_out(:'org', b.id, '[{"metric": "a"}]'), '2019-05-06 07:08:09', 1)) as stored from rollups.blocked b \gset
insert into saas_private.rollup_progress (org_id, connection_id) select :'org', b.id from rollups.blocked b;
begin;
create or replace function saas_private.make_rollup_partitions(times timestamptz[]) returns boolean
language sql volatile as $$ select nextval('rollups.tried') < 0 $$;
grant usage on schema rollups to saas_service;
grant usage on sequence rollups.tried to saas_service;
update saas_private.rollup_progress set rolled_until = '2026-04-30' where connection_id = :'idle';
select saas_private.roll_due('2026-05-01', 1) as stepped \gset
select is((select last_value from rollups.tried), 1::bigint, 'one try for all connections that wait for a partition');
select isnt_empty(format('select from saas_private.rollup_progress p where p.connection_id = %L and p.rolled_until = %L', :'idle', '2026-05-01'), 'the others are not held up');
select is((select count(*) from saas_private.rollup_progress p join rollups.blocked b on b.id = p.connection_id where p.rolled_until = '-infinity'), 5::bigint, 'which stay where they are');
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select :'org'::uuid, b.id, timestamptz '2019-05-06 07:05', timestamptz '2019-05-06 07:10' from rollups.blocked b union all select :'org', :'idle', '2026-03-31 12:30', '2026-03-31 12:35';
update saas_private.rollup_progress p set rolled_until = '2026-05-01' from rollups.blocked b where b.id = p.connection_id;
select is(saas_private.roll_late(1), 1, 'nor is a late note');
select is((select last_value from rollups.tried), 2::bigint, 'behind those that wait, for which there is one try');
select is((select count(*) from saas_private.late_window), 5::bigint, 'they wait still');
rollback;
delete from saas.connection c using rollups.blocked b where c.id = b.id;

-- Who sees what

select is(tenants.answer(format('(select count(distinct org_id) from saas.%I)', t), m.user_id, m.org_id), '1', format('%s shows a member the own organization', t))
  from saas.membership m, unnest(array['reading_5m', 'reading_1h', 'reading_1d']) t where m.org_id = :'org';
select is(tenants.answer('saas.maintenance_status()', m.user_id, m.org_id), e'42501\npermission denied for function maintenance_status', 'maintenance is the operator''s')
  from saas.membership m where m.org_id = :'org';
delete from saas.connection where id = :'alpha';
select is((select count(*) from saas.reading_5m where connection_id = :'alpha'), 0::bigint, 'rollups go with their connection');

-- The aggregates themselves

select is((select saas_private.roll(v order by n) from (values (1, array[1, null]::float8[]), (2, '{2,5,7}'), (3, null), (4, '{}')) as s (n, v)),
          '{2,1,1,3,5,7,1,5,7,2,5,7,1,5,7,2,5,7,1,0,0}'::float8[], 'arrays of any length, by position');
select is((select saas_private.roll(v) from (select null::float8[] as v where false) s), '{}'::float8[], 'of nothing it is empty');
select throws_ok($$select saas_private.roll('{{1,2},{3,4}}'::float8[])$$, '22023', 'values must be an array of one dimension', 'a matrix is refused');
select is(saas_private.realign('{1,null,3}', array[:'alpha', :'beta', :'gamma']::uuid[], array[:'gamma', :'idle', :'alpha', :'beta']::uuid[]),
          '{3,null,1,null}'::float8[], 'values go where their series is');

select * from finish();
