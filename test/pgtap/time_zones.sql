-- Days of time zones that are half an hour off for a part of the year.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';

-- What makes a look every 28 days enough (saas_private.metric_scope).
create table public.odd as
select z.name from pg_timezone_names z
 where z.name !~ '^(posix|right)/'
   and (select count(distinct extract(minute from (g.at at time zone z.name) - (g.at at time zone 'UTC')))
          from generate_series(timestamptz '1995-01-01', '2035-01-01', '14 days') as g (at)) > 1;
select ok(exists (select from public.odd where name = 'Australia/Lord_Howe'), 'Lord Howe is among the zones that are off for a time');
select cmp_ok((
    select min(n) from (
        select count(*) as n
          from (select d.*, count(*) filter (where changed) over (partition by d.name order by d.at) as stretch
                  from (select v.*, v.is_off is distinct from lag(v.is_off) over (partition by v.name order by v.at) as changed
                          from (select o.name, g.at, extract(minute from (g.at at time zone o.name) - (g.at at time zone 'UTC')) <> 0 as is_off
                                  from public.odd o cross join generate_series(timestamptz '1995-01-01', '2035-01-01', '1 day') as g (at)) v) d) s
         where s.is_off
         group by s.name, s.stretch) r), '>', 28::bigint, 'and none for less than 28 days');

-- Clocks go forward on 4 October 2025 at 15:30 UTC, and back on 4 April 2026 at 15:00.
select (tenants.found('howe')).org_id as org \gset
select tenants.connect(:'org', 'One') as one \gset
select tenants.lay_out(:'org', :'one', '[{"metric": "m"}]') as layout \gset
select count(tenants.read(:'org', :'layout', g.at, extract(minute from g.at))) as stored
  from (select generate_series(timestamptz '2025-10-01', '2025-10-08', '10 minutes') union all
        select generate_series(timestamptz '2026-04-01', '2026-04-08', '10 minutes')) as g (at) \gset
update saas.organization set plan = 'enterprise';
call saas.maintain();
-- Ranges that begin and end a little before and after both changes and the midnights beside them.
create table public.edge as
select c.at + m.off as at
  from (values (timestamptz '2025-10-04 15:30'), ('2026-04-04 15:00')) as c (at),
       unnest(array['-2 days', '-26 hours', '-2 hours 30 minutes', '-2 hours', '-1 hour', '0', '30 minutes', '1 day', '46 hours 30 minutes', '3 days']::interval[]) as m (off);
create table public.range as
select row_number() over () as n, a.at as since, b.at as until from public.edge a join public.edge b on a.at < b.at;
create function public.days(r public.range, step interval) returns text
language sql as $$
    select coalesce(string_agg(format('("%s",%s)', b.day, b.total), E'\n' order by b.day), '')
      from (select date_bin(days.step, s.at at time zone 'Australia/Lord_Howe', timestamp '2000-01-03') at time zone 'Australia/Lord_Howe' as day,
                   sum(s.value) as total
              from saas.sample s where s.at >= r.since and s.at < r.until group by 1) b
$$;
create function public.asked(r public.range, step interval) returns text
language sql as $$
    select coalesce(tenants.answer(format($q$(select string_agg(format('("%%s",%%s)', bucket_at, value), E'\n' order by bucket_at)
        from saas_api.query_metric('m', %L, %L, %L, 'sum', time_zone => 'Australia/Lord_Howe'))$q$, r.since, r.until, step), m.user_id, m.org_id), '')
      from saas.membership m
$$;
select is_empty(format($q$select r.*, public.asked(r, %1$L), public.days(r, %1$L) from public.range r where public.asked(r, %1$L) <> public.days(r, %1$L)$q$, step),
                format('buckets of %s are of whole local days, whatever the range', step))
  from unnest(array['1 day', '7 days']::interval[]) step;
select isnt(public.asked(r, '1 day'), '', 'there are some') from public.range r where r.since = '2026-04-02 15:00' and r.until = '2026-04-07 15:00';

select * from finish();
