-- What queries of metrics answer: the same from rollups as from readings alone,
-- counters, percentiles, time zones, gaps, totals, comparisons, ratios, places.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema queries;
create table queries.person (name text primary key, user_id uuid, org_id uuid);
insert into queries.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
select org_id as org, user_id as owner from queries.person where name = 'owner' \gset
select org_id as other_org from queries.person where name = 'stranger' \gset
select tenants.connect(:'org', 'Alpha', environment => 'production', tags => '{"team": "crm"}') as alpha \gset
select tenants.connect(:'org', 'Beta', environment => 'staging') as beta \gset
select tenants.connect(:'other_org', 'Gamma') as gamma \gset
insert into saas.connection_group (org_id, name) values (:'org', 'Sales');
update saas.connection set group_id = (select id from saas.connection_group) where id = :'beta';

-- As saas_user; the rows, or the error, as text.
create function queries.ask(query text, person text default 'owner') returns text
language plpgsql as $$
declare
    lines text;
    state text;
    detail text;
begin
    perform saas.assume_identity(p.user_id, p.org_id) from queries.person p where p.name = person;
    set local session authorization saas_user;
    execute format($query$ select coalesce(string_agg(q::text, e'\n' order by q::text), '') from (%s) as q $query$, query) into lines;
    reset session authorization;
    return lines;
exception when others then
    get stacked diagnostics state = returned_sqlstate, detail = pg_exception_detail;
    return concat_ws(' ', state, coalesce((select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                             from jsonb_array_elements(nullif(detail, '')::jsonb) e), sqlerrm));
end
$$;

-- Three days around a change of the clocks, whole numbers, so that sums are
-- exact; a counter that begins anew now and then, and two layouts.
select tenants.lay_out(:'org', :'alpha', '[{"metric": "hits", "labels": {"n": "1"}}, {"metric": "hits", "labels": {"n": "2"}}]') as one \gset
select tenants.lay_out(:'org', :'alpha', '[{"metric": "other"}, {"metric": "hits", "labels": {"n": "2"}}]') as two \gset
select tenants.lay_out(:'org', :'beta', '[{"metric": "hits", "labels": {"n": "1"}}]') as three \gset
select tenants.lay_out(:'other_org', :'gamma', '[{"metric": "hits", "labels": {"n": "1"}}]') as foreign \gset
select setseed(0.7) as seeded \gset
select count(tenants.read(v.org::uuid, v.layout::uuid, g.at,
                          variadic (array[case when random() < 0.05 then null else extract(epoch from g.at)::bigint % 17000 + floor(random() * 50) end,
                                         case when random() < 0.05 then null else extract(epoch from g.at)::bigint % 9000 end]::float8[])[1:v.n])) as stored
  from generate_series(timestamptz '2026-03-27 21:07:11', '2026-03-30 23:00', interval '113 seconds') as g (at),
       lateral (values (:'org', case when abs(hashtext(g.at::text)) % 3 = 0 then :'one' else :'two' end, 2), (:'org', :'three', 1),
                       (:'other_org', :'foreign', 1)) as v (org, layout, n) \gset

create table queries.asked (n integer primary key, fn text, bucket text, since text, until text, more text, answer text);
insert into queries.asked
select row_number() over (), f.fn, b.bucket, r.since, r.until, m.more
  from unnest(array['sum', 'avg', 'min', 'max', 'last', 'count', 'rate', 'increase', 'p90']) f (fn),
       unnest(array['5 minutes', '7 minutes', '1 hour', '6 hours', '1 day', '7 days']) b (bucket),
       (values ('2026-03-28 00:00', '2026-03-30 00:00'), ('2026-03-27 23:03:17', '2026-03-30 22:58:03'), ('2026-03-28 10:00:01', '2026-03-28 10:09')) as r (since, until),
       (values (', group_by => ''{connection_id,n}'''), (', group_by => ''{connection_id,n}'', time_zone => ''Europe/Berlin'''),
               (', group_by => ''{connection_id,n}'', time_zone => ''Asia/Kolkata''')) as m (more)
 where m.more !~ 'zone' or b.bucket in ('1 day', '7 days');
create function queries.answer(a queries.asked) returns text
language sql as $$
    select queries.ask(format('select * from saas_api.query_metric(''hits'', %L, %L, %L, %L%s)', a.since, a.until, a.bucket, a.fn, a.more))
$$;
update queries.asked a set answer = queries.answer(a);
select is_empty($$select n, answer from queries.asked where answer ~ '^[0-9P]+ '$$, 'readings answer every question');
select cmp_ok((select count(*) from queries.asked where answer <> ''), '=', (select count(*) from queries.asked), 'with something');
select is(queries.ask($$select saas_api.explain_metric('hits', bucket => '1 hour') -> 'rolled_until'$$), '("""1970-01-01T00:00:00+00:00""")', 'nothing is rolled up yet');
call saas.maintain();
select is_empty($$select a.fn, a.bucket, a.since, a.more, left(a.answer, 200), left(queries.answer(a), 200) from queries.asked a
                   where a.answer is distinct from queries.answer(a) and a.fn not in ('avg', 'rate')$$, 'rollups answer the same');
-- Quotients are of the same numbers, but one sums them in another order.
select is_empty($$select a.fn, a.bucket, a.since, a.more, left(a.answer, 200), left(queries.answer(a), 200) from queries.asked a
                   where a.answer is distinct from queries.answer(a) and a.fn in ('avg', 'rate')$$, 'quotients too');
select is(queries.ask(format($$select saas_api.explain_metric('hits', '2026-03-28', '2026-03-30', %L, %L, %L) ->> 'level'$$, bucket, fn, zone)), format('(%s)', level),
          format('%s of %s in %s comes from %s', fn, bucket, zone, level))
  from (values ('1 minute', 'sum', 'UTC', 'readings'), ('5 minutes', 'sum', 'UTC', '5m'), ('1 hour', 'avg', 'UTC', '1h'), ('90 minutes', 'avg', 'UTC', '5m'),
               ('1 day', 'rate', 'UTC', '1d'), ('1 day', 'rate', 'Europe/Berlin', '1h'), ('1 day', 'rate', 'Asia/Kolkata', '5m'),
               ('1 day', 'p95', 'UTC', 'readings'), ('1 hour', 'sum', 'Asia/Kolkata', '1h')) as v (bucket, fn, zone, level);
-- They are read: whole buckets need no readings any more.
create temp table kept as select * from saas.reading where connection_id = :'beta' and at between '2026-03-28 03:00' and '2026-03-29 17:00';
delete from saas.reading where connection_id = :'beta' and at between '2026-03-28 03:00' and '2026-03-29 17:00';
select is_empty($$select a.fn, a.bucket, a.since, a.more, left(a.answer, 200), left(queries.answer(a), 200) from queries.asked a
                   where a.answer is distinct from queries.answer(a) and a.fn <> 'p90' and a.bucket <> '7 minutes' and a.until <> '2026-03-28 10:09'$$,
                'and where the readings are gone too');
insert into saas.reading select * from kept;

-- Counters

select tenants.lay_out(:'org', :'beta', '[{"metric": "sent"}]') as counter \gset
select count(tenants.read(:'org', :'counter', at, value)) as stored
  from (values (timestamptz '2026-04-02 09:59', 100), ('2026-04-02 10:00', 110), ('2026-04-02 10:04', 130), ('2026-04-02 10:06', 5),
               ('2026-04-02 10:09', 25), ('2026-04-02 11:01', 85), ('2026-04-02 13:00', 85)) as v (at, value) \gset
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'beta', '2026-04-02', '2026-04-03');
call saas.maintain();
create function queries.counter(fn text, more text) returns text
language sql as $$
    select queries.ask(format('select to_char(bucket_at, ''HH24:MI''), value from saas_api.query_metric(''sent'', fn => %L, %s)', fn, more))
$$;
select is(queries.counter('increase', $$since => '2026-04-02 10:00', until => '2026-04-02 10:10', bucket => '5 minutes'$$), E'(10:00,30)\n(10:05,25)',
          'what a counter gained, from the sample before on and over its beginning anew');
select is(queries.counter('increase', $$since => '2026-04-02 10:00', until => '2026-04-02 14:00', bucket => '1 hour'$$), E'(10:00,55)\n(11:00,60)\n(13:00,0)',
          'by the hour, each gain where its later sample is');
select is(queries.counter('rate', $$since => '2026-04-02 10:00', until => '2026-04-02 14:00', bucket => '1 hour'$$), E'(10:00,0.015277777777777777)\n(11:00,0.016666666666666666)\n(13:00,0)',
          'per second');
select is(queries.counter('rate', $$since => '2026-04-02 10:00', until => '2026-04-02 10:10', bucket => '1 hour'$$), '(10:00,0.09166666666666666)',
          'of the part of a bucket that was asked for');
select is(queries.counter('increase', $$since => '2026-04-02 12:30', until => '2026-04-02 14:00', bucket => '1 hour'$$), '(13:00,0)',
          'a sample more than an hour before the range is none before it');

-- Percentiles

select is(queries.ask(format($$select value from saas_api.query_metric('sent', '2026-04-02 10:00', '2026-04-02 10:10', '1 hour', %L)$$, fn)), answer, format('%s', fn))
  from (values ('p50', '(67.5)'), ('p0', '(5)'), ('p100', '(130)'), ('p95', '(127)'), ('p99.9', '(129.94)')) as v (fn, answer);

-- Filters and groups

select is(queries.ask(format($$select grp, value from saas_api.query_metric('hits', '2026-03-28', '2026-03-29', '1 day', 'count', %s)$$, more)),
          (select string_agg(l, E'\n' order by l) from (
              select format('(%s,%s)', case when g = '{}' then '{}' else '"' || replace(g, '"', '""') || '"' end, count(*)) as l
                from saas.sample s join saas.connection c on c.id = s.connection_id,
                     lateral (select case key when '' then '{}' else jsonb_build_object(key, case key when 'group' then case c.name when 'Beta' then 'Sales' end
                                                                                                     when 'environment' then c.environment end)::text end as g) x
               where s.metric = 'hits' and s.value is not null and s.org_id = :'org' and s.at >= '2026-03-28' and s.at < '2026-03-29' and c.name = any (names)
               group by g) y), format('only these: %s', more))
  from (values ('group_ids => (select array_agg(id) from saas_api.connection_groups)', '', array['Beta']),
               ('environments => ''{production}''', '', array['Alpha']), ('tags => ''{"team": "crm"}''', '', array['Alpha']),
               ('group_by => ''{group}''', 'group', array['Alpha', 'Beta']), ('group_by => ''{environment}''', 'environment', array['Alpha', 'Beta']),
               (format('connection_ids => array[%L]::uuid[]', :'gamma'), '', array[]::text[])) as v (more, key, names)
 where names <> '{}';
select is(queries.ask(format($$select * from saas_api.query_metric('hits', '2026-03-28', '2026-03-29', '1 day', 'count', connection_ids => array[%L]::uuid[])$$, :'gamma')), '',
          'a foreign connection has no rows');

-- Gaps and time zones

select is(queries.ask($$select to_char(bucket_at, 'HH24:MI'), value from saas_api.query_metric('sent', '2026-04-02 09:30', '2026-04-02 13:30', '1 hour', 'count', fill => true)$$),
          E'(09:00,1)\n(10:00,4)\n(11:00,1)\n(12:00,)\n(13:00,1)', 'a bucket without values has NULL where gaps are asked for');
select is(queries.ask($$select * from saas_api.query_metric('unknown', '2026-04-02 09:30', '2026-04-02 13:30', '1 hour', 'count', fill => true)$$), '',
          'an unknown metric has no gaps');
-- Values whose sums overflow in whatever order they are added: infinite, as in rollups, and no other metric's answers fail.
select count(tenants.read(:'org', c.layout, '2026-02-01 12:00:00+00'::timestamptz + n * interval '40 minutes', (array[-4e307, 1.7e308, 1.7e308, 1.7e308, -4e307])[n], 5e-324)) as stored
  from (select tenants.lay_out(:'org', tenants.connect(:'org', 'Huge ' || k), '[{"metric": "huge"}, {"metric": "tiny"}]') as layout from generate_series(1, 2) k) c,
       generate_series(1, 5) n \gset
select is(queries.ask(format($$select (t ->> 'total')::float8 from saas_api.metric_totals(%L, '2026-02-01', '2026-02-02', %L) t$$, metric, fn)), format('(%s)', total), format('%s of %s', fn, metric))
  from (values ('huge', 'min', '-4e+307'), ('huge', 'max', '1.7e+308'), ('huge', 'sum', 'Infinity'), ('huge', 'last', '-8e+307'), ('huge', 'count', '10'), ('huge', 'increase', 'Infinity'),
               ('huge', 'rate', 'Infinity'), ('tiny', 'avg', '5e-324'), ('tiny', 'rate', '0')) as v (metric, fn, total);
select is(queries.ask($$select value from saas_api.query_metric('huge', '2026-02-01 12:00', '2026-02-01 18:00', '2 hours', 'max')$$), e'(1.7e+308)\n(1.7e+308)', 'in buckets too');
select isnt(left(queries.ask(call), 2), '22', format('%s answers', call))
  from unnest(array[$$select saas_api.metrics_overview('2026-02-01', '2026-02-02', '{huge,tiny}')$$, $$select * from saas_api.metric_ratio('huge', 'tiny', '2026-02-01', '2026-02-02', fn => 'max')$$,
                    $$select * from saas_api.top_metric('huge', '2026-02-01', '2026-02-02', 'max')$$, $$select saas_api.metrics_overview('2026-02-01', '2026-02-02', '{tiny,huge}')$$, $$select saas_api.bar_chart('huge', '2026-02-01', '2026-02-02')$$,
                    $$select saas_api.set_metric_price('huge', 1, valid_from => '2026-01-01')$$]) call;
select is(queries.ask($$select i ->> 'is_partial' from saas_api.cost_report('2026-02-01', '2026-02-02') r, jsonb_array_elements(r -> 'items') i$$), e'(true)\n(true)', 'costs of it are partial');
-- In Havana midnight of 2 November 2025 comes twice, at 4:00 and 5:00 UTC.
select tenants.connect(:'org', 'Havana') as havana \gset
select tenants.lay_out(:'org', :'havana', '[{"metric": "clock"}]') as clock \gset
select count(tenants.read(:'org', :'clock', g.at, extract(epoch from g.at))) as stored
  from generate_series(timestamptz '2025-11-01 22:00', '2025-11-02 07:50', '10 minutes') as g (at) \gset
select is(queries.ask(format($$select bucket_at, value from saas_api.query_metric('clock', '2025-11-01 23:00', %L, '1 day', 'rate', time_zone => 'America/Havana')$$, until)),
          E'("2025-11-01 04:00:00+00",1)\n("2025-11-02 04:00:00+00",1)', format('the day begins at the first of two midnights, up to %s', until))
  from unnest(array['2025-11-02 04:30', '2025-11-02 05:00', '2025-11-02 08:00']) until;
select is(queries.ask($$select bucket_at, value from saas_api.query_metric('clock', '2025-11-01 23:00', '2025-11-02 08:00', '1 day', 'count', time_zone => 'America/Havana', fill => true)$$),
          E'("2025-11-01 04:00:00+00",30)\n("2025-11-02 04:00:00+00",24)', 'with gaps filled too');
-- In Apia 29 December 2011 ended at 10:00 UTC, and the 31st began.
select count(tenants.read(:'org', :'clock', g.at, 1)) as stored from generate_series(timestamptz '2011-12-30 00:00', '2011-12-31 00:00', '6 hours') as g (at) \gset
select is(queries.ask($$select bucket_at, value from saas_api.query_metric('clock', '2011-12-29 12:00', '2011-12-31 12:00', '1 day', 'count', time_zone => 'Pacific/Apia', fill => true)$$),
          E'("2011-12-29 10:00:00+00",2)\n("2011-12-30 10:00:00+00",3)\n("2011-12-31 10:00:00+00",)', 'a day that was left out is no gap');
select is(queries.ask($$select saas_api.explain_metric('clock', '2018-01-01', '2026-01-01', '1 day', 'sum', 'Australia/Lord_Howe') ->> 'level'$$), '(5m)',
          'a zone whose winter is half an hour off is not served by hours');
select is(queries.ask($$select bucket_at, value from saas_api.query_metric('hits', '2026-03-28', '2026-03-30 21:00', '1 day', 'count', labels => '{"n": "1"}', environments => '{staging}', time_zone => 'Europe/Berlin', fill => true)$$),
          (select string_agg(format('("%s",%s)', b, c), E'\n' order by b) from (
              select date_trunc('day', s.at, 'Europe/Berlin') as b, count(*) as c from saas.sample s
               where s.connection_id = :'beta' and s.metric = 'hits' and s.value is not null and s.at >= '2026-03-28' and s.at < '2026-03-30 21:00' group by 1) x),
          'days begin at midnight of the time zone, that of the change of clocks too');

-- Totals, places, comparisons, ratios

select is(queries.ask($$select saas_api.metric_totals('sent', '2026-04-02 10:05', '2026-04-02 10:10') - 'connections'$$),
          format('("%s")', replace('{"fn": "sum", "since": "2026-04-02T10:05:00+00:00", "total": 30, "until": "2026-04-02T10:10:00+00:00", "metric": "sent", "previous": 240, "change_percent": -87.50}', '"', '""')),
          'a total, that of the time before and the change');
select is((saas_api_totals ->> 'total')::float8, (select sum(value) from saas.sample where org_id = :'org' and metric = 'hits' and at >= '2026-03-28 00:01' and at < '2026-03-30 01:01'), 'it is the sum of all')
  from (select tenants.answer($$saas_api.metric_totals('hits', '2026-03-28 00:01', '2026-03-30 01:01')$$, :'owner', :'org')::jsonb as saas_api_totals) t;
select is((select sum((c ->> 'share_percent')::numeric) between 99.98 and 100.02 and count(*) = 2 and min(c ->> 'name') = 'Alpha'
             from jsonb_array_elements(tenants.answer($$saas_api.metric_totals('hits', '2026-03-28', '2026-03-30', 'increase')$$, :'owner', :'org')::jsonb -> 'connections') c),
          true, 'each connection has its share');
select is(tenants.answer($$saas_api.metric_totals('hits', '2026-03-28', '2026-03-30', 'max')$$, :'owner', :'org')::jsonb -> 'total',
          (select to_jsonb(max(value)) from saas.sample where org_id = :'org' and metric = 'hits' and at >= '2026-03-28' and at < '2026-03-30'), 'the greatest of all is no sum');
select is(tenants.answer($$saas_api.metric_totals('hits', '2026-03-28', '2026-03-30', 'last')$$, :'owner', :'org')::jsonb -> 'total',
          (select to_jsonb(sum(l.value)) from (select distinct on (series_id) value from saas.sample where org_id = :'org' and metric = 'hits' and value is not null
                                                  and at >= '2026-03-28' and at < '2026-03-30' order by series_id, at desc) l), 'last is the sum of the last of each series');
select is(tenants.answer($$saas_api.metric_totals('unknown')$$, :'owner', :'org')::jsonb - 'since' - 'until',
          '{"fn": "sum", "total": null, "metric": "unknown", "previous": null, "connections": [], "change_percent": null}'::jsonb, 'an unknown metric has no total');
select is(queries.ask($$select place, grp, value from saas_api.top_metric('hits', '2026-03-28', '2026-03-29', 'count', group_by => '{connection,n}', count => 2)$$),
          (select string_agg(format('(%s,"%s",%s)', place, replace(g::text, '"', '""'), c), E'\n' order by place) from (
              select row_number() over (order by count(*) desc) as place, jsonb_build_object('connection', c.name, 'n', s.labels -> 'n') as g, count(*) as c
                from saas.sample s join saas.connection c on c.id = s.connection_id
               where s.org_id = :'org' and s.metric = 'hits' and s.value is not null and s.at >= '2026-03-28' and s.at < '2026-03-29' group by 2) x where place <= 2),
          'the first two of all groups');
select is(queries.ask($$select bucket_at, side ->> 'period', value from saas_api.compare_metric('sent', '2026-04-02 11:00', '2026-04-02 12:00', '1 hour', 'max', periods => '{1 hour}')$$),
          E'("2026-04-02 11:00:00+00",00:00:00,85)\n("2026-04-02 11:00:00+00",01:00:00,130)', 'an hour beside the one before');
select is(queries.ask($$select side ->> 'connection', count(*), count(value) from saas_api.compare_metric('hits', '2026-03-28', '2026-03-29', '1 hour') group by 1$$),
          E'(Alpha,24,24)\n(Beta,24,24)', 'connections side by side have every bucket');
select tenants.lay_out(:'org', :'beta', '[{"metric": "aws_ses_send_sum"}, {"metric": "aws_ses_bounce_sum"}]') as mail \gset
select count(tenants.read(:'org', :'mail', at, variadic v)) as stored
  from (values (timestamptz '2026-04-03 10:00', array[200, 3]::float8[]), ('2026-04-03 10:30', '{200,1}'), ('2026-04-03 11:00', '{50,null}'), ('2026-04-03 12:00', '{0,0}')) as v (at, v) \gset
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'beta', '2026-04-03', '2026-04-04');
call saas.maintain();
select is(queries.ask($$select to_char(bucket_at, 'HH24:MI'), percent from saas_api.bounce_rate('2026-04-03', '2026-04-04', '1 hour')$$), E'(10:00,1)\n(11:00,0)\n(12:00,)', 'the bounce rate');

-- What is refused

select is(queries.ask(format('select * from saas_api.%s', call)), answer, format('%s is refused', call))
  from (values ('query_metric(''hits'', bucket => ''1000000 years'')', '22023 bucket: must be at most 36525 days'),
               ('query_metric(''hits'', since => ''1969-12-31'', bucket => ''1 day'')', '22023 since: must not be before 1970, and until not more than 100 years away'),
               ('query_metric(''hits'', time_zone => ''Nowhere/Land'')', '22023 time_zone: must be the name of a time zone'),
               ('query_metric(''hits'', group_by => array_fill(''k''::text, array[33]))', '22023 group_by: must have at most 32 keys'),
               ('top_metric(''hits'', group_by => array_fill(''k''::text, array[33]))', '22023 group_by: must have at most 32 keys'),
               ('metric_ratio(''hits'', ''hits'', group_by => array_fill(''k''::text, array[33]))', '22023 group_by: must have at most 32 keys'),
               ('query_metric(''hits'', tags => ''[]'')', '22023 tags: must be an object'), ('query_metric(''hits'', fn => ''p101'')',
                '22023 fn: must be avg, sum, min, max, last, count, rate, increase or a percentile like p95'),
               ('metric_totals(''hits'', ''2026-01-02'', ''2026-01-01'')', '22023 since: must be before until, both finite'),
               ('metric_totals(null)', '22023 metric: is required'), ('metric_totals(''hits'', labels => ''1'')', '22023 labels: must be an object'),
               ('top_metric(''hits'', count => 0)', '22023 count: must be between 1 and 1000'), ('top_metric(''hits'', count => 1001)', '22023 count: must be between 1 and 1000'),
               ('compare_metric(''hits'', periods => array_fill(interval ''1 day'', array[13]))', '22023 periods: must be at most 12 intervals'),
               ('compare_metric(''hits'', periods => ''{null}'')', '22023 periods: must be at most 12 intervals'),
               ('compare_metric(''hits'', periods => ''{1000000 years}'')', '22023 periods: must be at most 100 years each'),
               ('compare_metric(''hits'', periods => ''{-101 years}'')', '22023 periods: must be at most 100 years each'),
               ('compare_metric(''hits'', periods => ''{100 years}'')', '22023 since: must not be before 1970, and until not more than 100 years away'),
               ('metric_ratio(''hits'', null)', '22023 denominator: is required'),
               ('explain_metric(''hits'', bucket => ''0'')', '22023 bucket: must be at least 1 second')) as v (call, answer);
select is(queries.ask(format('select * from saas_api.%s', call), 'nobody'), 'PT401 Access token required', format('%s needs an identity', call))
  from unnest(array['explain_metric(''m'')', 'metric_totals(''m'')', 'compare_metric(''m'')', 'metric_ratio(''m'', ''n'')', 'bounce_rate()', 'top_metric(''m'')']) call;
select is(queries.ask($$select grp from saas_api.query_metric('hits', '2026-03-28', '2026-03-29', '1 day', group_by => '{null}')$$), '({})', 'a NULL among the groups is none');
-- Of the own organization only, in every function.
select is(queries.ask($$select grp ->> 'connection' from saas_api.top_metric('hits', '2026-03-28', '2026-03-29')$$, 'stranger'), '(Gamma)', 'top_metric shows the own organization');
select is(queries.ask($$select c ->> 'name' from jsonb_array_elements(saas_api.metric_totals('hits', '2026-03-28', '2026-03-29') -> 'connections') c$$, 'stranger'), '(Gamma)', 'metric_totals too');
select is(queries.ask($$select distinct side ->> 'connection' from saas_api.compare_metric('hits', '2026-03-28', '2026-03-29')$$, 'stranger'), '(Gamma)', 'and compare_metric');

-- The range to now has what is stored now.
begin;
select tenants.read(:'org', :'counter', now(), 77) as stored \gset
select saas.assume_identity(:'owner', :'org') as assumed \gset
set local session authorization saas_user;
select value as latest from saas_api.query_metric('sent', now() - interval '1 second', fn => 'max', bucket => '1 day') \gset
reset session authorization;
commit;
select is(:'latest'::text, '77', 'until now includes now');

select * from finish();
