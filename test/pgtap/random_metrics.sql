-- Queries of metrics against plain SQL over the samples: random readings that
-- come late, twice, corrected and in several layouts, with NaN, infinities,
-- counters that begin anew and gaps, rolled up at random moments, and random
-- questions.  A seed gives the same readings and questions again.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema rnd;
create table rnd.person as select (tenants.found('owner')).*;
create table rnd.layout (n integer, org_id uuid, connection_id uuid, layout_id uuid, metrics integer);
create sequence rnd.asked;

create function rnd.upto(n integer) returns integer
language sql volatile as $$ select floor(random() * n)::integer $$;
create function rnd.one_of(variadic choices text[]) returns text
language sql volatile as $$ select choices[1 + rnd.upto(cardinality(choices))] $$;

-- Around a change of the clocks of Berlin; whole numbers, so that sums are exact.
create function rnd.begins() returns timestamptz
language sql immutable as $$ select timestamptz '2026-03-26 00:00+00' $$;
create function rnd.value(at timestamptz) returns double precision
language sql volatile as $$
    select case when d < 0.06 then null when d < 0.07 then 'NaN'::double precision when d < 0.08 then 'Infinity' when d < 0.09 then '-Infinity'
                when d < 0.12 then 0 when d < 0.14 then -rnd.upto(500)
                else (extract(epoch from at)::bigint % 7000 + rnd.upto(9))::double precision end from (select random() as d) r
$$;

create procedure rnd.make(seed double precision)
language plpgsql as $$
declare
    org uuid := (select org_id from rnd.person);
    new_id uuid;
begin
    perform setseed(seed);
    delete from saas.connection;
    delete from saas.reading;
    delete from saas.connection_group;
    truncate rnd.layout;
    insert into saas.connection_group (org_id, name) values (org, 'Group');
    for i in 1..3 loop
        new_id := tenants.connect(org, 'C' || i, environment => rnd.one_of('production', 'staging', null), tags => case when random() < 0.5 then '{"t": "x"}' else '{}' end::jsonb);
        update saas.connection c set group_id = (select g.id from saas_api.connection_groups g) where c.id = new_id and random() < 0.5;
        insert into rnd.layout select i, org, new_id, tenants.lay_out(org, new_id, l::jsonb), jsonb_array_length(l::jsonb)
          from unnest(array['[{"metric": "hits", "labels": {"n": "1"}}, {"metric": "hits", "labels": {"n": "2"}}, {"metric": "else"}]',
                            '[{"metric": "else"}, {"metric": "hits", "labels": {"n": "2"}}]', '[{"metric": "hits", "labels": {"n": "1", "m": "3"}}]']) l;
    end loop;
end
$$;

-- As the poller stores: the newer value of a time counts, and what may have
-- been rolled up already is noted, now and then with more around it.
create function rnd.store(l rnd.layout, at timestamptz) returns void
language plpgsql as $$
declare
    start timestamptz := date_bin('5 minutes', store.at, '2000-01-03');
begin
    delete from saas.reading r where r.connection_id = l.connection_id and r.at = store.at;
    perform tenants.read(l.org_id, l.layout_id, store.at, variadic (select array_agg(rnd.value(store.at)) from generate_series(1, l.metrics)));
    insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
    select l.org_id, l.connection_id, start, start + interval '5 minutes' * (1 + case when random() < 0.05 then rnd.upto(600) else 0 end)
      from saas_private.rollup_progress p where p.connection_id = l.connection_id and p.rolled_until > start;
end
$$;

-- A burst of readings somewhere, or a step of maintenance.
create procedure rnd.step()
language plpgsql as $$
declare
    l rnd.layout;
    from_time timestamptz := rnd.begins() + random() * interval '5 days';
    every interval := rnd.one_of('1 second', '47 seconds', '2 minutes', '300 seconds', '11 minutes', '1 hour')::interval;
begin
    if random() < 0.7 then
        for i in 1..10 + rnd.upto(60) loop
            if i = 1 or random() < 0.1 then
                select * into l from rnd.layout o where l.connection_id is null or o.connection_id = l.connection_id order by random() limit 1;
            end if;
            perform rnd.store(l, case when random() < 0.05 then date_bin('1 hour', from_time, '2000-01-03') else from_time end + i * every);
        end loop;
    elsif random() < 0.7 then
        perform saas_private.roll_due(date_bin('5 minutes', rnd.begins() + random() * interval '6 days', '2000-01-03'), 1 + rnd.upto(3),
                                      rnd.one_of('1 hour', '5 hours', '1 day')::interval);
    else
        perform saas_private.roll_late(1 + rnd.upto(50));
    end if;
end
$$;

-- The samples that a question is about, with what counters gained.
create function rnd.samples(metric text, since timestamptz, until timestamptz, labels jsonb, ids uuid[], keys text[])
returns table (series_id uuid, grp jsonb, at timestamptz, value double precision, gained double precision)
language sql stable as $$
    select s.series_id, (select coalesce(jsonb_object_agg(k, case k when 'connection_id' then to_jsonb(c.id) when 'connection' then to_jsonb(c.name)
                                            when 'environment' then to_jsonb(c.environment) when 'group' then to_jsonb(g.name)
                                            when 'tag:t' then c.tags -> 't' else s.labels -> k end), '{}') from unnest(keys) k),
           s.at, s.value, s.gained
      from (select m.*, case when m.before is null or abs(m.before) >= 'Infinity' or abs(m.value) >= 'Infinity' then 0
                             when m.value >= m.before then m.value - m.before else m.value end as gained
              from (select x.*, lag(x.value) over (partition by x.series_id order by x.at) as before
                      from saas.sample x
                     where x.metric = samples.metric and x.value is not null and x.labels @> samples.labels
                       and x.at >= samples.since - interval '1 hour' and x.at < samples.until) m) s
      join saas.connection c on c.id = s.connection_id
      left join saas.connection_group g on g.id = c.group_id
     where s.at >= samples.since and (ids is null or c.id = any (ids))
$$;

-- Within 1 percent of what lies between two samples, as a sketch knows them.
create function rnd.is_near(got double precision, sorted double precision[], fraction double precision) returns boolean
language sql immutable as $$
    select got >= case when abs(lo) < 'Infinity' then lo - 0.01000001 * abs(lo) else lo end
           and got <= case when abs(hi) < 'Infinity' then hi + 0.01000001 * abs(hi) else hi end
      from (select sorted[1 + floor(fraction * (cardinality(sorted) - 1))::integer] as lo,
                   sorted[1 + ceil(fraction * (cardinality(sorted) - 1))::integer] as hi) s
$$;

-- The same question to both; what differs.
create function rnd.ask() returns setof text
language plpgsql as $$
#variable_conflict use_variable
<<ask>>
declare
    fn text := rnd.one_of('sum', 'avg', 'min', 'max', 'last', 'count', 'rate', 'increase', 'p50', 'p99');
    step text := rnd.one_of('90 seconds', '5 minutes', '7 minutes', '15 minutes', '1 hour', '90 minutes', '6 hours', '1 day', '7 days');
    zone text := case when step ~ 'day' then rnd.one_of('UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/St_Johns', 'Australia/Lord_Howe', 'Pacific/Apia') else 'UTC' end;
    metric text := rnd.one_of('hits', 'hits', 'hits', 'else');
    labels jsonb := rnd.one_of('{}', '{}', '{"n": "1"}', '{"m": "3"}');
    keys text[] := case when fn = 'last' then '{connection_id,n,m}' else rnd.one_of('{}', '{connection_id,n}', '{group}', '{environment,n}', '{connection,tag:t}') end;
    whole interval := rnd.one_of('1 microsecond', '5 minutes', '1 hour', '1 day')::interval;
    since timestamptz := date_bin(whole, rnd.begins() + random() * interval '4 days', '2000-01-03');
    until timestamptz := date_bin(whole, since + random() * random() * interval '5 days', '2000-01-03') + whole;
    ids uuid[] := case when random() < 0.3 then array(select id from saas.connection where random() < 0.6) end;
    fill boolean := random() < 0.2;
    is_sketched boolean;
    difference text;
    rows bigint;
begin
    if (until - since) > '90 seconds'::interval * 10000 and step = '90 seconds' then
        step := '1 hour';
    end if;
    is_sketched := fn ~ '^p' and saas_api.explain_metric(ask.metric, ask.since, ask.until, step::interval, fn, zone) ->> 'method' = 'sketch';
    with sample as materialized (
        select s.*, case when step ~ 'day' then (select min(t) from unnest(array[b.local at time zone zone, (b.local at time zone zone) - interval '1 hour']) t where t at time zone zone = b.local)
                         else date_bin(step::interval, s.at, '2000-01-03') end as bucket_at, b.local
          from rnd.samples(ask.metric, ask.since, ask.until, ask.labels, ids, keys) s,
               lateral (select case step when '7 days' then date_trunc('week', s.at at time zone zone) else date_trunc('day', s.at at time zone zone) end as local) b
    ), expected as (
        select e.bucket_at, e.grp,
               case fn when 'sum' then sum(e.value) when 'avg' then sum(e.value) / count(*) when 'min' then min(e.value) when 'max' then max(e.value)
                       when 'count' then count(*) when 'last' then (array_agg(e.value order by e.at desc))[1]
                       when 'p50' then percentile_cont(0.5) within group (order by e.value) when 'p99' then percentile_cont(0.99) within group (order by e.value)
                       when 'increase' then sum(e.gained)
                       else sum(e.gained) / extract(epoch from least(ask.until, case when step ~ 'day' then (min(e.local) + step::interval) at time zone zone
                                                                                      else e.bucket_at + step::interval end)
                                                                 - greatest(ask.since, e.bucket_at))::float8 end as value,
               case when fn ~ '^p' then array_agg(e.value order by e.value) end as sorted
          from sample e group by e.bucket_at, e.grp
    ), given as (
        select q.* from saas_api.query_metric(ask.metric, ask.since, ask.until, step::interval, fn, ask.labels, ids, keys, zone, fill) q
    ), pair as (
        select coalesce(e.bucket_at, g.bucket_at) as bucket_at, coalesce(e.grp, g.grp) as grp, e.value as wanted, e.sorted, g.value as got, e.grp is null as is_more, g.grp is null as is_less
          from expected e full join given g on g.bucket_at = e.bucket_at and g.grp = e.grp
    )
    select string_agg(format('%s %s: %s instead of %s', p.bucket_at, p.grp, coalesce(p.got::text, 'nothing'), coalesce(p.wanted::text, 'nothing')), '; ')
               filter (where p.is_less or p.is_more and not (fill and p.got is null)
                          or not p.is_more and not (p.got = p.wanted or abs(p.got - p.wanted) < 1e-9 * abs(p.wanted)
                                                    or is_sketched and rnd.is_near(p.got, p.sorted, substr(fn, 2)::float8 / 100))),
           count(*)
      into difference, rows from pair p;
    perform nextval('rnd.asked') from generate_series(1, rows);
    if difference is not null then
        return next format('query_metric(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L): %s', metric, since, until, step, fn, labels, ids, keys, zone, fill, left(difference, 300));
    end if;
    if random() < 0.3 and fn !~ '^(p|avg|rate)' then
        with sample as materialized (
            select s.* from rnd.samples(ask.metric, ask.since, ask.until, ask.labels, ids, '{connection_id}') s
        ), before as materialized (
            select s.* from rnd.samples(ask.metric, ask.since - (ask.until - ask.since), ask.since, ask.labels, ids, '{}') s
        ), expected as (
            select case fn when 'sum' then sum(s.value) when 'count' then count(*) when 'min' then min(s.value) when 'max' then max(s.value)
                           when 'increase' then sum(s.gained)
                           else (select sum(l.value) from (select distinct on (x.series_id) x.value from sample x order by x.series_id, x.at desc) l) end as total,
                   (select case fn when 'sum' then sum(b.value) when 'count' then count(*) when 'min' then min(b.value) when 'max' then max(b.value)
                           when 'increase' then sum(b.gained)
                           else (select sum(l.value) from (select distinct on (x.series_id) x.value from before x order by x.series_id, x.at desc) l) end from before b having count(*) > 0) as previous
              from sample s having count(*) > 0
        )
        select format('metric_totals(%L, %L, %L, %L, %L, %L): %s instead of %s', metric, since, until, fn, labels, ids, t, e) into difference
          from expected e, saas_api.metric_totals(ask.metric, ask.since, ask.until, fn, ask.labels, ids) t
         where (t ->> 'total')::float8 is distinct from e.total or (t ->> 'previous')::float8 is distinct from e.previous
            or (select array_agg(row((c ->> 'connection_id')::uuid, case when fn = 'count' then (c ->> 'value')::float8 end) order by c ->> 'connection_id') from jsonb_array_elements(t -> 'connections') c)
               is distinct from (select array_agg(row(v.id, case when fn = 'count' then v.n::float8 end) order by v.id::text)
                                   from (select (s.grp ->> 'connection_id')::uuid as id, count(*) as n from sample s group by 1) v);
        if difference is not null then
            return next difference;
        end if;
    end if;
end
$$;

create function rnd.differences(seed double precision) returns setof text
language plpgsql as $$
begin
    perform saas.assume_identity(p.user_id, p.org_id) from rnd.person p;
    call rnd.make(seed);
    for round in 1..6 loop
        for i in 1..10 loop
            call rnd.step();
        end loop;
        -- What came late shows once its notes are worked off.
        while saas_private.roll_late(1 + rnd.upto(200)) > 0 loop
        end loop;
        for i in 1..20 loop
            return query select format('seed %s, round %s: ', seed, round) || d from rnd.ask() d;
        end loop;
    end loop;
end
$$;

\if :{?seeds}
\else
\set seeds 2
\endif
select is_empty(format('select rnd.differences(%s::double precision / 1000) limit 3', n), format('queries answer what the samples say: %s', n)) from generate_series(1, :seeds) n;
select cmp_ok((select last_value from rnd.asked), '>', 2000::bigint, 'thousands of values were compared');
select cmp_ok((select count(*) from saas.reading_1d), '>', 0::bigint, 'days are rolled up');
select cmp_ok((select count(*) from saas.reading_5m), '<', (select count(distinct (connection_id, date_bin('5 minutes', at, '2000-01-03'))) from saas.reading), 'and not everything');
select * from finish();
