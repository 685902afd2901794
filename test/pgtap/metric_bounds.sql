-- Queries of metrics read so much and no more; what finds a metric's values in
-- wide readings, and adds them up.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

-- 20000 series of a metric in eight readings, in one second each.
select (t).user_id as owner, (t).org_id as org from tenants.found('owner') t \gset
select tenants.connect(:'org', 'Wide') as wide \gset
select tenants.lay_out(:'org', :'wide', (select jsonb_agg(jsonb_build_object('metric', 'hits', 'labels', jsonb_build_object('n', n::text)))
                                           from generate_series(1, 20000) n)) as layout \gset
select count(tenants.read(:'org', :'layout', g.at, variadic (select array_agg(n::double precision) from generate_series(1, 20000) n))) as stored
  from generate_series(timestamptz '2026-03-02 00:00:00', '2026-03-02 00:00:07', '1 second') g (at) \gset
create function pg_temp.ask(query text) returns text
language plpgsql as $$
declare
    found text;
    detail text;
begin
    execute query into found;
    return found;
exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    return concat_ws(' ', sqlstate, (select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ') from jsonb_array_elements(nullif(detail, '')::jsonb) e));
end
$$;
begin;
select saas.assume_identity(:'owner', :'org') \g /dev/null
create function pg_temp.cells(level integer, most integer) returns text
language sql as $$
    select pg_temp.ask(format($query$select count(*) from saas_private.metric_cells('hits', '2026-03-02', '2026-03-02 00:05', %s, '{}', array(select id from saas.connection), %s)$query$,
                              level, most))
$$;
select is(pg_temp.cells(0, 160000), '160000', 'as many values as may be read are read');
select is(pg_temp.cells(0, 159999), '22023 since: to until has more than 159999 values to read: take wider buckets, fewer connections or a shorter range',
          'one more is refused, and the limit named');
select is(pg_temp.ask($$select sum(value) from saas_api.query_metric('hits', '2026-03-02', '2026-03-02 00:05', '1 minute', 'count')$$), '160000', 'query_metric reads them');
select is(pg_temp.ask($$select count(*) from saas_api.compare_metric('hits', '2026-03-02', '2026-03-02 00:05', '1 minute', 'avg', periods => array(select n * interval '1 day' from generate_series(1, 11) n))$$),
          '1', 'and compare_metric in 12 periods');
select is(pg_temp.ask($$select count(*) from saas_api.compare_metric('hits', '2026-03-02', '2026-03-02 00:05', '1 minute', 'avg', periods => array(select n * interval '1 day' from generate_series(1, 12) n))$$),
          '22023 since: to until has more than 153846 values to read: take wider buckets, fewer connections or a shorter range',
          'but in 13, each may read a part of what a query may');
select is(pg_temp.ask($$select count(*) from saas_api.query_metric('hits', '2026-03-02', '2026-03-02 00:10', '1 minute', 'sum', group_by => '{n}', fill => true)$$),
          '200000', 'gaps are filled up to 200000 rows');
select is(pg_temp.ask($$select count(*) from saas_api.query_metric('hits', '2026-03-02', '2026-03-02 00:11', '1 minute', 'sum', group_by => '{n}', fill => true)$$),
          '22023 fill: makes more than 200000 rows: take wider buckets or fewer groups', 'and no further');
commit;
-- Whoever reads metrics is bound, here by 1000 values instead of 2000000.
create table pg_temp.caller (name text, query text);
insert into pg_temp.caller values
    ('query_metric', 'select count(*) from saas_api.query_metric(%1$L, %2$L, %3$L, ''1 hour'')'),
    ('query_metric with gaps', 'select count(*) from saas_api.query_metric(%1$L, %2$L, %3$L, ''1 hour'', fill => true)'),
    ('a percentile', 'select count(*) from saas_api.query_metric(%1$L, %2$L, %3$L, ''1 hour'', ''p95'')'),
    ('a rate', 'select count(*) from saas_api.query_metric(%1$L, %2$L, %3$L, ''1 hour'', ''rate'')'),
    ('compare_metric', 'select count(*) from saas_api.compare_metric(%1$L, %2$L, %3$L, ''1 hour'')'),
    ('metric_ratio', 'select count(*) from saas_api.metric_ratio(%1$L, %1$L, %2$L, %3$L, ''1 hour'')'),
    ('top_metric', 'select count(*) from saas_api.top_metric(%1$L, %2$L, %3$L)'),
    ('the last values', 'select count(*) from saas_api.top_metric(%1$L, %2$L, %3$L, ''last'')'),
    ('metric_totals', 'select saas_api.metric_totals(%1$L, %2$L, %3$L) is not null'),
    ('metric_totals of the highest', 'select saas_api.metric_totals(%1$L, %2$L, %3$L, ''max'') is not null'),
    ('metrics_overview', 'select saas_api.metrics_overview(%2$L, %3$L, array[%1$L]) is not null'),
    ('line_chart', 'select saas_api.line_chart(%1$L, %2$L, %3$L) is not null'),
    ('bar_chart', 'select saas_api.bar_chart(%1$L, %2$L, %3$L) is not null'),
    ('sparkline', 'select saas_api.sparkline(%1$L, %2$L, %3$L) is not null'),
    ('bounce_rate', 'select count(*) from saas_api.bounce_rate(%2$L, %3$L, ''1 hour'')'),
    ('cost_report', 'select saas_api.cost_report(%2$L, %3$L) is not null');
-- A metric of one series: 1000 readings in one hour, 1001 in another.
select tenants.connect(:'org', 'Narrow') as narrow \gset
select tenants.lay_out(:'org', :'narrow', '[{"metric": "aws_ses_send_sum"}]') as narrow_layout \gset
select count(tenants.read(:'org', :'narrow_layout', h.since + n * interval '1 second', n)) as stored
  from (values (timestamptz '2026-03-03 01:00', 1000), ('2026-03-03 03:00', 1001)) h (since, readings), generate_series(1, h.readings) n \gset
begin;
create or replace function saas_private.most_values() returns integer language sql stable
set search_path = pg_catalog, pg_temp as 'select 1000';
select saas.assume_identity(:'owner', :'org') \g /dev/null
select saas_api.set_metric_price('aws_ses_send_sum', 1, valid_from => '2026-01-01') \g /dev/null
create function pg_temp.is_bound(name text, query text) returns setof text
language sql as $$
    select is(pg_temp.ask(format(query, 'aws_ses_send_sum', '2026-03-03 03:00', '2026-03-03 04:00')),
              '22023 since: to until has more than 1000 values to read: take wider buckets, fewer connections or a shorter range', name || ' reads no more than it may')
    union all
    select isnt(left(pg_temp.ask(format(query, 'aws_ses_send_sum', '2026-03-03 01:00', '2026-03-03 02:00')), 5), '22023', name || ' reads what it may')
$$;
select pg_temp.is_bound(c.name, c.query) from pg_temp.caller c;
select saas_api.set_metric_price('aws_ses_send_sum', 1, valid_from => '2026-01-01', fn => 'increase') \g /dev/null
select pg_temp.is_bound(c.name || ' of counters', c.query) from pg_temp.caller c where c.name = 'cost_report';
-- After what has other metrics.
select tenants.lay_out(:'org', :'narrow', '[{"metric": "else"}]') as else_layout \gset
select count(tenants.read(:'org', :'else_layout', timestamptz '2026-03-03 05:00' + n * interval '1 second', n)) as stored from generate_series(1, 1001) n \gset
select tenants.read(:'org', :'narrow_layout', '2026-03-03 05:30', 1) \g /dev/null
select is(pg_temp.ask($$select saas_api.metric_totals('aws_ses_send_sum', '2026-03-03 05:00', '2026-03-03 06:00') -> 'total'$$),
          '22023 since: to until has more than 1000 values to read: take wider buckets, fewer connections or a shorter range', 'nothing is left out of a sum for what comes before it');
-- Of two counters, each of which has few enough.
select tenants.connect(:'org', 'Other') as other \gset
select tenants.lay_out(:'org', :'other', '[{"metric": "other"}]') as other_layout \gset
select count(tenants.read(:'org', :'other_layout', timestamptz '2026-03-03 01:00' + n * interval '1 second', n)) as stored from generate_series(1, 1) n \gset
select saas_api.set_metric_price('other', 1, valid_from => '2026-01-01', fn => 'increase') \g /dev/null
select is(pg_temp.ask($$select saas_api.cost_report('2026-03-03 01:00', '2026-03-03 02:00') is not null$$),
          '22023 since: to until has more than 1000 values to read: take wider buckets, fewer connections or a shorter range', 'and of all counters together');
rollback;
-- Rolled up, the arrays are compressed.
call saas.maintain();
begin;
select saas.assume_identity(:'owner', :'org') \g /dev/null
select is(pg_temp.cells(1, 20000), '20000', 'so for rollups');
select is(pg_temp.cells(1, 19999), '22023 since: to until has more than 19999 values to read: take wider buckets, fewer connections or a shorter range', 'which count by their buckets');
select is(pg_temp.ask($$select string_agg(concat_ws(' ', grp ->> 'n', value), ', ' order by value desc) from saas_api.top_metric('hits', '2026-03-02', '2026-03-02 00:05', group_by => '{n}', count => 3)$$),
          '20000 160000, 19999 159992, 19998 159984', 'each series has its own values');
commit;

-- What finds and adds up values
select is(saas_private.places(array[c, a, d, b]::uuid[], array[a, b, c]::uuid[]), '{1,2,4}', 'places of the wanted series, in ascending order')
  from (select '00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-00000000000b', '00000000-0000-7000-8000-00000000000c',
               '00000000-0000-7000-8000-00000000000d') v (a, b, c, d);
select is(saas_private.places('{}', '{}'), '{}', 'none of none');
select is(saas_private.places(array[gen_random_uuid()], '{}'), '{}', 'none where none is wanted');
select throws_ok($$select saas_private.places(array[null]::uuid[], '{}')$$, '22023', null, 'a series that is NULL');
select throws_ok($$select saas_private.places('{}', array[array[gen_random_uuid()], array[gen_random_uuid()]])$$, '22023', null, 'series of two dimensions');
select is(saas_private.sum_at(v.numbers::double precision[], v.places::integer[]), v.sum::double precision, v.what)
  from (values ('{1,2,4}', '{1,3}', '5', 'the values at the places'), ('{1,null,4,null,16}', '{3,5}', '20', 'with NULL before them'),
               ('{1,null,4,null,16}', '{5,3}', '20', 'in any order'), ('{1,null,4}', '{2}', null, 'NULL of NULL'), ('{1,null}', '{1,2}', '1', 'which counts nothing'),
               ('{1,2}', '{0,3,-1,-2147483648,2147483647}', null, 'nothing beside the array'), ('{}', '{1}', null, 'or in an empty one'), ('{1}', '{}', null, 'or at no places'),
               ('{1e308,1e308}', '{1,2}', 'Infinity', 'infinite when it overflows'), ('{NaN,1}', '{1,2}', 'NaN', 'not a number with one that is none')) v (numbers, places, sum, what);
select throws_ok($$select saas_private.sum_at('{{1,2}}', '{1}')$$, '22023', null, 'values of two dimensions');
select throws_ok($$select saas_private.sum_at('{1}', '{null}')$$, '22023', null, 'a place that is NULL');
select is((select saas_private.added_up(v.numbers::double precision[]) from (values ('{1,null,3}'), (null), ('{1,null}'), ('{1,null,3,-0}')) v (numbers)),
          '{3,NULL,6,-0}', 'arrays are added up place by place, the shorter ones too');
select is((select saas_private.added_up(v.numbers) from (select null::double precision[] where false) v (numbers)), '{}', 'nothing of nothing');
select is((select saas_private.added_up(v.numbers::double precision[]) from (values ('{1e308,Infinity}'), ('{1e308,-Infinity}')) v (numbers)), '{Infinity,NaN}', 'overflow is no error');
select throws_ok($$select saas_private.added_up('{{1,2}}')$$, '22023', null, 'arrays of two dimensions');
select is(saas_private.unpacked(array_agg(n::double precision)), array_agg(n::double precision), 'an array is the same unpacked') from generate_series(1, 5000) n;
select * from finish();
