-- What is rolled up, kept and answered does not depend on the time zone of the
-- server or the session, where days have 23 or 25 hours now and then.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
set statement_timeout = '60s';
create schema zones;
create table zones.person as select (tenants.found('owner')).*;
select user_id as owner, org_id as org from zones.person \gset
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

-- Around both changes of the clocks of Berlin, on 26 October 2025 and 29 March
-- 2026 at 1:00 UTC: each hour another value, with one layout and with two in turn.
select tenants.connect(:'org', 'One') as one \gset
select tenants.connect(:'org', 'Two') as two \gset
select tenants.lay_out(:'org', :'one', '[{"metric": "m"}]') as layout \gset
select tenants.lay_out(:'org', :'two', '[{"metric": "m"}, {"metric": "x"}]') as odd \gset
select tenants.lay_out(:'org', :'two', '[{"metric": "y"}, {"metric": "m"}]') as even \gset
create table zones.hour as
select generate_series(timestamptz '2025-10-24', '2025-10-29', '1 hour') as at union all select generate_series(timestamptz '2026-03-27', '2026-04-01', '1 hour');
select count(tenants.read(:'org', l, h.at, variadic array_fill(100 * extract(hour from h.at) + extract(day from h.at), array[1 + (l <> :'layout')::integer]))) as stored
  from zones.hour h, lateral (values (:'layout'::uuid), (case when extract(hour from h.at) % 2 = 0 then :'even' else :'odd' end::uuid)) v (l) \gset

create procedure zones.roll(zone text)
language plpgsql as $$
begin
    truncate saas.reading_5m, saas.reading_1h, saas.reading_1d;
    update saas_private.rollup_progress set rolled_until = '-infinity';
    perform set_config('timezone', zone, false);
end
$$;
create function zones.rolled() returns setof text
language sql set timezone = 'UTC' as $$
    select '5m ' || r::text from saas.reading_5m r union all select '1h ' || r::text from saas.reading_1h r union all select '1d ' || r::text from saas.reading_1d r
$$;
call saas.maintain();
create table zones.expected as select * from zones.rolled() r (line);
select is((select array_agg(distinct c.n) from saas.reading_1d r, unnest(r.count) c (n) where r.connection_id = :'one' and r.at not in ('2025-10-29', '2026-04-01')), '{24}', 'each day has 24 hours');
-- Days of maintenance, of the worker, and of notes of late readings.
call zones.roll('Europe/Berlin');
call saas.maintain();
select is_empty('select * from zones.rolled() except select * from zones.expected', 'rolled up in Berlin it is the same');
select is((select count(*) from zones.rolled()), (select count(*) from zones.expected), 'and all of it');
call zones.roll('Australia/Lord_Howe');
call saas.maintain();
select is_empty('select * from zones.rolled() except select * from zones.expected', 'and on Lord Howe');
select is((select count(*) from zones.rolled()), (select count(*) from zones.expected), 'all of it');
select saas_private.roll_late(10) as none \gset
update saas.reading_1d set sum = '{0}', sketch = null;
set timezone = 'Europe/Berlin';
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select :'org', c, d.at, d.at + interval '1 hour' from unnest(array[:'one', :'two']::uuid[]) c, (select at from zones.hour where extract(hour from at at time zone 'UTC') = 23 or at in ('2025-10-29 00:00+00', '2026-04-01 00:00+00')) d;
call saas.maintain();
select is_empty('select * from zones.rolled() except select * from zones.expected', 'what comes late is rolled up the same, too');
select is((select count(*) from zones.rolled()), (select count(*) from zones.expected), 'and nothing more');

-- How far back a plan shows

create function zones.kept(zone text) returns text
language plpgsql as $$
begin
    perform set_config('timezone', zone, true);
    return (select string_agg(extract(epoch from now() - s.at)::text, ' ')
              from saas_private.retention_of((select org_id from zones.person)) k, unnest(array[k.raw_since, k.five_since, k.hour_since, k.day_since]) s (at));
end
$$;
update saas.plan set retention_days = 182, retention_5m_days = 182, retention_1h_days = 182, retention_1d_days = 182 where name = (select plan from saas.organization);
-- One zone's clocks are an hour ahead in the first half of each year.
select is(zones.kept(zone), '15724800.000000 15724800.000000 15724800.000000 15724800.000000', format('days of the plan have 24 hours: %s', zone))
  from unnest(array['UTC', 'AAA0BBB-1,J1/0,J183/0']) zone;
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

-- Periods before

create function zones.ask(query text, zone text) returns text
language plpgsql as $$
declare
    lines text;
    state text;
    detail text;
begin
    perform set_config('timezone', zone, true);
    perform saas.assume_identity(p.user_id, p.org_id) from zones.person p;
    set local session authorization saas_user;
    execute format('select string_agg(q::text, e''\n'') from (%s) q', query) into lines;
    reset session authorization;
    return lines;
exception when others then
    get stacked diagnostics state = returned_sqlstate, detail = pg_exception_detail;
    return concat_ws(' ', state, detail);
end
$$;
select is(zones.ask($$select (t ->> 'previous')::float8 from saas_api.metric_totals('m', '2026-03-30 00:00+00', '2026-04-01 00:00+00', 'count') t$$, zone), '(96)',
          format('the range before is as long: %s', zone))
  from unnest(array['UTC', 'Europe/Berlin']) zone;
select is(zones.ask($$select (t ->> 'previous')::float8 from saas_api.metric_totals('m', '2026-03-30 00:00+00', '2026-04-01 00:00+00') t$$, zone),
          (select format('(%s)', 2 * sum(100 * extract(hour from h.at at time zone 'UTC') + extract(day from h.at at time zone 'UTC'))) from zones.hour h where h.at >= '2026-03-28 00:00+00' and h.at < '2026-03-30 00:00+00'),
          format('of sums too: %s', zone))
  from unnest(array['UTC', 'Europe/Berlin']) zone;
select is(zones.ask($$select (o ->> 'previous_since')::timestamptz = '2026-03-28 00:00+00' from saas_api.metrics_overview('2026-03-30 00:00+00', '2026-04-01 00:00+00', '{m}') o$$, zone), '(t)',
          format('that of the overview too: %s', zone))
  from unnest(array['UTC', 'Europe/Berlin']) zone;
-- Midnights of Berlin are at 23:00 UTC in winter and at 22:00 in summer.
select is(zones.ask($$select to_char(bucket_at at time zone 'Europe/Berlin', 'DD HH24:MI'), side ->> 'period' <> '00:00:00', value
                        from saas_api.compare_metric('m', '2026-03-30 00:00+02', '2026-04-01 00:00+02', '1 day', 'count', periods => '{2 days}', time_zone => 'Europe/Berlin')$$, zone),
          E'("30 00:00",f,48)\n("31 00:00",f,48)\n("30 00:00",t,48)\n("31 00:00",t,46)', format('days side by side begin at midnight of their time zone: %s', zone))
  from unnest(array['UTC', 'Europe/Berlin', 'America/New_York']) zone;
select is(zones.ask($$select to_char(bucket_at at time zone 'UTC', 'DD HH24:MI'), side ->> 'period' <> '00:00:00', value
                        from saas_api.compare_metric('m', '2026-03-30 02:00+00', '2026-03-30 04:00+00', '1 hour', 'max', periods => '{2 days 1 hour}', time_zone => 'Europe/Berlin')$$, zone),
          E'("30 02:00",f,230)\n("30 03:00",f,330)\n("30 02:00",t,128)\n("30 03:00",t,228)', format('other buckets are moved by days of UTC: %s', zone))
  from unnest(array['UTC', 'Europe/Berlin', 'America/New_York']) zone;

-- Names of time zones only: with POSIX UTC+2 is behind UTC.

select is(zones.ask(format($$select count(*) > 0 from saas_api.query_metric('m', '2026-03-30', '2026-04-01', '1 day', time_zone => %L)$$, name), 'UTC'), answer, format('time zone %L', name))
  from (select n, '22023 [{"field": "time_zone", "message": "must be the name of a time zone"}]'
          from unnest(array['UTC+2', '+02:00', '-3', 'GMT+5', 'Etc/GMT+99', 'AAA0BBB-0:30,M3.2.0,M3.3.0', 'Nowhere', '']) n
         union all
        select n, '(t)' from unnest(array['Europe/Berlin', 'europe/berlin', 'America/Port-au-Prince', 'Etc/GMT+5', 'Etc/GMT-14', 'EST5EDT', 'GMT0', 'CEST']) n) v (name, answer);
select is(zones.ask($$select saas_api.line_chart('m', '2026-03-30', '2026-04-01', timezone => 'UTC+2')$$, 'UTC'), '22023 [{"field": "timezone", "message": "must be the name of a time zone"}]',
          'of charts too');
select lives_ok(format('select saas_private.require_time_zone(%L)', n.name), format('%s is a name', n.name)) from pg_timezone_names n where n.name !~ '^posix/' and n.name ~ '\d';

select * from finish();
