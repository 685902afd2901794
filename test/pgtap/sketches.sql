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
select tenants.lay_out(:'org', :'alpha', '[{"metric": "load"}, {"metric": "flat"}, {"metric": "odd"}, {"metric": "wild"}]') as one \gset
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
create function sketches.wild() returns double precision
language sql volatile as $$ select (case when random() < 0.5 then 1 else -1 end) * 10 ^ (200 * random() - 100) $$;
create procedure sketches.store(org uuid, one uuid, two uuid, three uuid, since timestamptz, until timestamptz, step interval)
language sql as $$
    select tenants.read(org, v.layout, g.at, variadic v.sample)
      from generate_series(since, until, step) as g (at),
           lateral (select case when g.at < since + (until - since) / 3 then one
                                when g.at < since + (until - since) / 2 and abs(hashtext(g.at::text)) % 2 = 0 then one else two end as layout) l,
           lateral (select l.layout, case when l.layout = one then array[sketches.load(), 7.77, sketches.odd(), sketches.wild()]
                                          else array[7.77, -sketches.load(), sketches.load()] end
                    union all select three, array[10 * sketches.load(), 7.77]) as v (layout, sample)
$$;
select setseed(0.21) as seeded \gset
call sketches.store(:'org', :'one', :'two', :'three', '2026-03-27 21:07:11', '2026-03-30 23:00', '97 seconds');

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
  from unnest(array['load', 'flat', 'odd', 'extra']) as m (metric), unnest(array['p0', 'p50', 'p95', 'p99.9', 'p100']) as f (fn),
       unnest(array[interval '1 hour', '6 hours', '1 day', '7 days']) as b (bucket),
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
create view sketches.sample as select s.* from saas.sample s;
create table sketches.kept as select * from sketches.sample;

-- Rolled up or not, from readings or without them

select is_empty('select * from sketches.differences() limit 5', 'before anything is rolled up they are within 1 percent');
select is((select count(*) from sketches.asked), 320::bigint, 'of many questions');
create table sketches.before as
select a.n, s.* from sketches.asked a, lateral sketches.answers(a) s;
select cmp_ok((select count(*) from sketches.before), '>', 4000::bigint, 'and answers');
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

-- Many orders of magnitude: the highest of more than 1024 bins keep their error

select is((select count(*) from (select count(*) as n, count(distinct floor(log(abs(value)) * 115)) as steps from sketches.kept
                                  where metric = 'wild' and at >= '2026-03-28' and at < '2026-03-29' having count(*) > 350) w), 0::bigint, 'a day of them is not much');
select is(saas_private.percentile(f.fraction, count(*)::double precision, min(v.value), max(v.value), saas_private.sketch_at(saas_private.sketch(array[v.value]), 1)) is not null, true, 'any')
  from (select sketches.wild() as value from generate_series(1, 10)) v, (values (0.5)) as f (fraction) group by f.fraction;
