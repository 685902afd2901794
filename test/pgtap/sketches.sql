-- Percentiles from the sketches of hours and days are within 1 percent of those
-- of all readings: of missing values, NaN, infinities, layouts that change,
-- what comes late, and rollups from before there were sketches.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema sketches;
select (tenants.found('owner')).org_id as org, user_id as owner from tenants.found('owner') \gset
select tenants.connect(:'org', 'Alpha') as alpha \gset
select tenants.connect(:'org', 'Beta') as beta \gset
select tenants.lay_out(:'org', :'alpha', '[{"metric": "load"}, {"metric": "flat"}, {"metric": "odd"}]') as one \gset
select tenants.lay_out(:'org', :'alpha', '[{"metric": "flat"}, {"metric": "extra"}, {"metric": "load"}]') as two \gset
select tenants.lay_out(:'org', :'beta', '[{"metric": "load"}, {"metric": "flat"}]') as three \gset

create function sketches.load() returns double precision
language sql volatile as $$
    select case when random() < 0.05 then null else exp(3 * (random() + random() + random() - 1.5)) end
$$;
create function sketches.odd() returns double precision
language sql volatile as $$
    select case when d < 0.1 then null when d < 0.15 then 'NaN' when d < 0.25 then '-Infinity' when d < 0.35 then 'Infinity'
                when d < 0.6 then 0 else floor(20 * random()) - 10 end
      from (select random() as d) r
$$;
create procedure sketches.store(org uuid, one uuid, two uuid, three uuid, since timestamptz, until timestamptz, step interval)
language sql as $$
    select tenants.read(org, v.layout, g.at, variadic v.sample)
      from generate_series(since, until, step) as g (at),
           lateral (select case when g.at < since + (until - since) / 3 then one
                                when g.at < since + (until - since) / 2 and abs(hashtext(g.at::text)) % 2 = 0 then one else two end as layout) l,
           lateral (select l.layout, case when l.layout = one then array[sketches.load(), 7.77, sketches.odd()]
                                          else array[7.77, -sketches.load(), sketches.load()] end
                    union all select three, array[10 * sketches.load(), 7.77]) as v (layout, sample)
$$;
select setseed(0.21) as seeded \gset
call sketches.store(:'org', :'one', :'two', :'three', '2026-03-27 21:07:11', '2026-03-30 23:00', '211 seconds');
create table sketches.kept as select * from saas.sample;

-- As percentile_cont() has it, which makes NaN of two infinities that are the same.
create function sketches.exact("values" double precision[], fraction double precision) returns double precision
language sql immutable as $$
    select case when lo = hi or lo is null then lo else lo * (ceil(place) - place) + hi * (place - floor(place)) end
      from (select place, sorted[floor(place)::integer + 1] as lo, sorted[ceil(place)::integer + 1] as hi
              from (select array_agg(v order by v) as sorted, fraction * (count(*) - 1) as place from unnest("values") v) s) t
$$;
create table sketches.asked (n serial primary key, metric text, fn text, bucket interval, since timestamptz, until timestamptz, key text, zone text);
insert into sketches.asked (metric, fn, bucket, since, until, key, zone)
select m.metric, f.fn, b.bucket, r.since, r.until, k.key, k.zone
  from unnest(array['load', 'flat', 'odd', 'extra']) as m (metric), unnest(array['p0', 'p50', 'p99.9']) as f (fn),
       unnest(array[interval '1 hour', '1 day', '7 days']) as b (bucket),
       (values (timestamptz '2026-03-27 20:00', timestamptz '2026-03-31 00:00'), ('2026-03-27 22:03:17', '2026-03-30 21:58:03')) as r (since, until),
       (values ('{}', 'UTC'), ('{connection}', 'Europe/Berlin')) as k (key, zone);

create function sketches.answers(a sketches.asked) returns table (bucket_at timestamptz, grp jsonb, value double precision)
language plpgsql volatile as $$
begin
    perform saas.assume_identity(m.user_id, m.org_id) from saas.membership m join saas.organization o on o.id = m.org_id where o.name = 'Owner Works';
    return query select * from saas_api.query_metric(a.metric, a.since, a.until, a.bucket, a.fn, group_by => a.key::text[], time_zone => a.zone);
end
$$;
create function sketches.exacts(a sketches.asked) returns table (bucket_at timestamptz, grp jsonb, value double precision)
language sql stable as $$
    select b.bucket_at, b.grp, sketches.exact(array_agg(b.value), substr(a.fn, 2)::double precision / 100)
      from (select saas_private.metric_bucket(s.at, a.bucket, case when a.zone <> 'UTC' and a.bucket >= '1 day' then a.zone end) as bucket_at,
                   case a.key when '{}' then '{}'::jsonb else jsonb_build_object('connection', c.name) end as grp, s.value
              from sketches.kept s join saas.connection c on c.id = s.connection_id
             where s.metric = a.metric and s.at >= a.since and s.at < a.until and s.value is not null) b
     group by 1, 2
$$;
create function sketches.is_near(answer double precision, exact double precision) returns boolean
language sql immutable as $$
    select answer = exact or abs(exact) < 'Infinity' and abs(answer - exact) <= abs(exact) * 0.01000001
$$;
create function sketches.differences() returns setof text
language sql volatile as $$
    select format('%s: %s instead of %s at %s of %s', a::text, d.answer, d.exact, d.bucket_at, d.grp)
      from sketches.asked a,
           lateral (select coalesce(s.bucket_at, e.bucket_at) as bucket_at, coalesce(s.grp, e.grp) as grp, s.value as answer, e.value as exact
                      from sketches.answers(a) s full join sketches.exacts(a) e on s.bucket_at = e.bucket_at and s.grp = e.grp) d
     where sketches.is_near(d.answer, d.exact) is not true
$$;
create function sketches.explain(more text) returns jsonb
language plpgsql volatile as $$
declare
    answer jsonb;
begin
    perform saas.assume_identity(m.user_id, m.org_id) from saas.membership m join saas.organization o on o.id = m.org_id where o.name = 'Owner Works';
    execute 'select saas_api.explain_metric(''load'', ' || more || ')' into answer;
    return answer;
end
$$;
create function sketches.ask(query text) returns text
language plpgsql volatile as $$
declare
    lines text;
begin
    perform saas.assume_identity(m.user_id, m.org_id) from saas.membership m join saas.organization o on o.id = m.org_id where o.name = 'Owner Works';
    execute format('select string_agg(q::text, e''\n'' order by q::text) from (%s) q', query) into lines;
    return lines;
end
$$;

-- Rolled up or not, from readings or without them

select is_empty('select * from sketches.differences() limit 5', 'before anything is rolled up they are within 1 percent');
select is((select count(*) from sketches.asked), 144::bigint, 'of many questions');
create table sketches.before as
select a.n, s.* from sketches.asked a, lateral sketches.answers(a) s;
select cmp_ok((select count(*) from sketches.before), '>', 2000::bigint, 'and answers');
call saas.maintain();
select is((select count(*) from saas.reading_1h where sketch is null) + (select count(*) from saas.reading_1d where sketch is null), 0::bigint, 'every hour and day has its sketches');
select is((select saas_private.percentile(0.5, r.count[2], r.min[2], r.max[2], saas_private.sketch_at(r.sketch, 2)) from saas.reading_1d r where r.connection_id = :'beta' and r.at = '2026-03-29'),
          7.77::double precision, 'what never changes is exact');
select is((select sum(octet_length(saas_private.sketch_at(r.sketch, 2))) from saas.reading_1h r where r.connection_id = :'beta'), 0::bigint, 'and takes no room');
select set_eq('select a.n, s.* from sketches.asked a, lateral sketches.answers(a) s', 'select * from sketches.before', 'rolled up they are the same to the last bit');
create temp table readings as select * from saas.reading;
delete from saas.reading where at between '2026-03-27 23:00' and '2026-03-30 21:00' and connection_id = :'beta';
select set_eq('select a.n, s.* from sketches.asked a, lateral sketches.answers(a) s', 'select * from sketches.before', 'without readings too');
delete from saas.reading;
insert into saas.reading select * from readings;


-- What comes late

select count(tenants.read(:'org', :'three', g.at, 1000 + 10 * sketches.load(), 8)) as stored
  from generate_series(timestamptz '2026-03-28 13:20:01.5', '2026-03-28 16:10', interval '11 seconds') as g (at) \gset
truncate sketches.kept;
insert into sketches.kept select * from saas.sample;
select isnt_empty('select * from sketches.differences() limit 5', 'what came late is in no sketch by itself');
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'beta', '2026-03-28 13:20', '2026-03-28 16:15');
call saas.maintain();
select is_empty('select * from sketches.differences() limit 5', 'but when it was noted');

-- How they are answered

create function sketches.explained(since text, until text, bucket text, fn text) returns text
language sql volatile as $$
    select format('%s %s %s', e ->> 'level', e ->> 'method', e ->> 'error_percent')
      from sketches.explain(format('%L, %L, %L, %L', since, until, bucket, fn)) e
$$;
select is(sketches.explained(since, until, bucket, fn), answer, format('%s of %s to %s by %s: %s', fn, since, until, bucket, answer))
  from (values ('2026-03-28', '2026-03-30 01:00', '1 day', 'p95', 'readings exact 0'), ('2026-03-28', '2026-03-30 01:00:01', '1 day', 'p95', '1d sketch 1'),
               ('2026-03-28', '2026-03-31', '6 hours', 'p95', '1h sketch 1'), ('2026-03-28', '2026-03-31', '90 minutes', 'p95', 'readings exact 0'),
               ('2026-03-28', '2026-03-31', '1 day', 'avg', '1d exact 0')) as v (since, until, bucket, fn, answer);
select is(sketches.ask($$select value from saas_api.query_metric('load', '2026-03-28', '2026-03-29', '1 day', 'p95')$$),
          (select format('(%s)', percentile_cont(0.95) within group (order by value)) from sketches.kept where metric = 'load' and at >= '2026-03-28' and at < '2026-03-29'),
          'of a day whose readings are kept they are exact');

create function sketches.exact_of(since timestamptz, until timestamptz, name text default null) returns double precision
language sql stable as $$
    select sketches.exact(array_agg(s.value), 0.95) from sketches.kept s join saas.connection c on c.id = s.connection_id
     where s.metric = 'load' and s.at >= since and s.at < until and s.value is not null and c.name = coalesce(exact_of.name, c.name)
$$;
-- A day of readings, the hours and days of all.
update saas.plan set retention_days = 1;
select is(sketches.explained('2026-03-28', '2026-03-28 06:00', '1 hour', 'p95'), '1h sketch 1', 'before what the plan keeps of readings sketches answer');
select is(sketches.explain($$'2026-03-28', '2026-03-28 06:00', '1 hour', 'p95'$$) -> 'visible_since', 'null', 'as far as they go');
select is(sketches.explain($$'2026-03-28', '2026-03-28 06:00', '5 minutes', 'p95'$$) ->> 'visible_since' > '2026-04', true, 'but not by 5 minutes');
select is(sketches.ask($$select * from saas_api.query_metric('load', '2026-03-28', '2026-03-29', '5 minutes', 'p95')$$), null, 'of which nothing is there');
select is((select bool_and(sketches.is_near((c ->> 'value')::float8, sketches.exact_of('2026-03-29', '2026-03-30', c ->> 'name')))
                  and sketches.is_near((max(t ->> 'total'))::float8, sketches.exact_of('2026-03-29', '2026-03-30'))
                  and sketches.is_near((max(t ->> 'previous'))::float8, sketches.exact_of('2026-03-28', '2026-03-29')) and count(*) = 2
             from (select sketches.ask($$select saas_api.metric_totals('load', '2026-03-29', '2026-03-30', 'p95') #>> '{}' as t$$)) a (answer),
                  lateral (select replace(substr(answer, 3, length(answer) - 4), '""', '"')::jsonb as t) j, jsonb_array_elements(t -> 'connections') c), true,
          'metric_totals, its parts and the period before');
select is(sketches.ask($$select bool_and(sketches.is_near(value, sketches.exact_of('2026-03-29', '2026-03-30', grp ->> 'connection'))), count(*)
                           from saas_api.top_metric('load', '2026-03-29', '2026-03-30', 'p95')$$), '(t,2)', 'top_metric');
select is(sketches.ask($$select bool_and(sketches.is_near(value, sketches.exact_of('2026-03-29'::timestamptz - (side ->> 'period')::interval, '2026-03-30'::timestamptz - (side ->> 'period')::interval))), count(*)
                           from saas_api.compare_metric('load', '2026-03-29', '2026-03-30', '1 day', 'p95', periods => '{1 day}')$$), '(t,2)', 'compare_metric');
-- The ends of a range that are no whole hours go with the readings.
select is(sketches.ask($$select sketches.is_near(value, sketches.exact_of('2026-03-28 04:00', '2026-03-28 05:00')) from saas_api.query_metric('load', '2026-03-28 03:10', '2026-03-28 05:50', '1 day', 'p95')$$), '(t)',
          'of a range that is cut inside of hours the whole ones answer');
update saas.plan set retention_days = null;

-- Rollups from before there were sketches

update saas.reading_1h set sketch = null where at < '2026-03-29 07:00';
update saas.reading_1d set sketch = null where at < '2026-03-30';
select is(sketches.ask($$select count(value), count(*) from saas_api.query_metric('load', '2026-03-28', '2026-03-31', '1 day', 'p95')$$), '(1,3)', 'without a sketch there is no percentile');
update saas_private.rollup_progress set sketched_since = '2026-03-29 07:00';
select is_empty('select * from sketches.differences() limit 5', 'where it is known since when there are sketches, readings answer before');
select is((sketches.explain($$'2026-03-28', '2026-03-31', '1 day', 'p95'$$) ->> 'visible_since'), null, 'as far back as there are any');
update saas.plan set retention_days = 1;
select is((sketches.explain($$'2026-03-28', '2026-03-31', '1 day', 'p95'$$) ->> 'visible_since')::timestamptz, '2026-03-29 07:00'::timestamptz, 'and when they are gone nothing does');
select is(sketches.ask($$select sketches.is_near(value, sketches.exact_of('2026-03-29 07:00', '2026-03-30')) from saas_api.query_metric('load', '2026-03-28', '2026-03-30', '1 day', 'p95')$$), '(t)',
          'from then on hours answer, though their day has none');
update saas.plan set retention_days = null;
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'beta', '2026-03-29 06:00', '2026-03-29 06:05');
call saas.maintain();
select is((select array_agg(sketch is null order by at) from saas.reading_1h where connection_id = :'beta' and at between '2026-03-29 05:00' and '2026-03-29 07:00'), '{t,f,f}', 'an hour that is rolled up anew has one');
select is((select sketch from saas.reading_1d where connection_id = :'beta' and at = '2026-03-29'), null, 'a day only when all of its hours do');

-- Bytes that are no sketch

create function sketches.read_bytes(bytes bytea) returns text
language plpgsql as $$
begin
    perform saas_private.percentile(0.5, 3, 1, 2, saas_private.sketch_at(bytes, 1));
    return 'fine';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
select is(sketches.read_bytes(v.bytes), 'XX001 a rollup''s sketch cannot be read', format('%s is refused', v.bytes))
  from (values (bytea '\x'), ('\x0201'), ('\x0105'), ('\x010180'), ('\x0101ff'), ('\x0103ffffff')) as v (bytes);
select is(sketches.read_bytes('\x010100'), 'fine', 'and a sketch is not');
select throws_ok($$select saas_private.sketch(bytea '\x0105', array[1.0::float8], array[1.0::float8], array[2.0::float8])$$, 'XX001', null, 'in a day neither');
select throws_ok(format($$select saas_private.realign_sketches(bytea '\x0105', array[%1$L]::uuid[], array[%1$L]::uuid[])$$, :'org'), 'XX001', null, 'nor in another order');
select is(saas_private.realign_sketches('\x0101000102', array[:'org', :'alpha', :'beta']::uuid[], array[:'beta', :'alpha', :'owner', :'org']::uuid[]), '\x01000102000100', 'of layouts in another order');
select * from finish();
