-- Reading metrics: samples, query_metric and limits_overview over readings
-- whose every value is known.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
-- The times below are fixed: plans must not forget them.
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema metrics;
create table metrics.person (name text primary key, user_id uuid, org_id uuid);
insert into metrics.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into saas.role (org_id, name, is_builtin, permissions, rank)
select p.org_id, 'nothing', false, '{}', 1 from metrics.person p where p.name = 'owner';
insert into metrics.person
select r, tenants.join(r, o.org_id, r), o.org_id
  from metrics.person o, unnest(array['viewer', 'nothing']) as r where o.name = 'owner';
select org_id as org from metrics.person where name = 'owner' \gset
select org_id as other_org from metrics.person where name = 'stranger' \gset

-- The rows of a call as somebody, one a line: bucket, group, value.
create function metrics.query(arguments text, person text default 'viewer') returns text
language plpgsql as $$
declare
    lines text;
    state text;
    detail text;
begin
    perform saas.assume_identity(p.user_id, p.org_id) from metrics.person p where p.name = person;
    set local session authorization saas_user;
    execute format($query$
        select coalesce(string_agg(concat_ws(' ', to_char(q.bucket_at, 'MM-DD HH24:MI:SS'), nullif(q.grp, '{}'),
                                             coalesce(q.value::text, 'NULL')), e'\n' order by q.bucket_at, q.grp), '')
          from saas_api.query_metric(%s) as q $query$, arguments) into lines;
    reset session authorization;
    return lines;
exception when others then
    get stacked diagnostics state = returned_sqlstate, detail = pg_exception_detail;
    return concat_ws(' ', state, coalesce((select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                             from jsonb_array_elements(nullif(detail, '')::jsonb) e), sqlerrm));
end
$$;
create function metrics.during(more text default '') returns text
language sql as $$ select 'since => ''2026-01-05 10:00'', until => ''2026-01-05 10:10''' || more $$;

select tenants.connect(:'org', 'Alpha', environment => 'production', tags => '{"team": "crm", "cost": 7}') as alpha \gset
select tenants.connect(:'org', 'Beta', kind => 'http_json') as beta \gset
select tenants.connect(:'other_org', 'Alpha') as other \gset
select tenants.lay_out(:'org', :'alpha', '[{"metric": "cpu", "labels": {"core": "0"}}, {"metric": "cpu", "labels": {"core": "1"}}, {"metric": "memory"}]') as three \gset
select tenants.lay_out(:'org', :'alpha', '[{"metric": "memory"}, {"metric": "cpu", "labels": {"core": "0"}}]') as two \gset
select tenants.lay_out(:'org', :'beta', '[{"metric": "cpu", "labels": {"core": "0", "mode": "idle"}}]') as one \gset
select tenants.lay_out(:'other_org', :'other', '[{"metric": "cpu", "labels": {"core": "0"}}]') as foreign \gset
select count(tenants.read(:'org', :'three', at, variadic sample)) as readings
  from (values (timestamptz '2026-01-05 09:59:59', array[1000, 1000, 1000]),
               ('2026-01-05 10:00:00', array[1, 10, 100]),
               ('2026-01-05 10:01:00', array[2, 20, 200]),
               ('2026-01-05 10:04:59', array[3, 30, null]),
               ('2026-01-05 10:05:00', array[6, 60, 50]),
               ('2026-01-05 10:10:00', array[1000, 1000, 1000])) as r (at, sample) \gset
select tenants.read(:'org', :'two', '2026-01-12 00:00', 77, 7) as reading,
       tenants.read(:'org', :'one', '2026-01-05 10:00:00', 100) as reading2,
       tenants.read(:'org', :'one', '2026-01-05 10:07:00', 200) as reading3,
       tenants.read(:'other_org', :'foreign', '2026-01-05 10:00:00', 999999) as reading4,
       tenants.read(:'other_org', :'foreign', '2026-02-01 10:00:00', 999999) as reading5 \gset

-- Samples

select set_eq(format($$select metric, labels, at, value from saas.sample where connection_id = %L and at >= '2026-01-05 10:04:59'$$, :'alpha'),
              $$values ('cpu', '{"core": "0"}'::jsonb, timestamptz '2026-01-05 10:04:59', 3::double precision),
                       ('cpu', '{"core": "1"}', '2026-01-05 10:04:59', 30), ('memory', '{}', '2026-01-05 10:04:59', null),
                       ('cpu', '{"core": "0"}', '2026-01-05 10:05', 6), ('cpu', '{"core": "1"}', '2026-01-05 10:05', 60), ('memory', '{}', '2026-01-05 10:05', 50),
                       ('cpu', '{"core": "0"}', '2026-01-05 10:10', 1000), ('cpu', '{"core": "1"}', '2026-01-05 10:10', 1000), ('memory', '{}', '2026-01-05 10:10', 1000),
                       ('memory', '{}', '2026-01-12', 77), ('cpu', '{"core": "0"}', '2026-01-12', 7)$$,
              'a sample is a series at a time, a missing value is NULL, and each reading goes by its own layout');
select set_eq($$select connection_id, metric, labels, at, value from saas.latest_sample$$,
              format($$values (%1$L::uuid, 'memory', '{}'::jsonb, timestamptz '2026-01-12', 77::double precision),
                              (%1$L, 'cpu', '{"core": "0"}', '2026-01-12', 7),
                              (%2$L, 'cpu', '{"core": "0", "mode": "idle"}', '2026-01-05 10:07', 200),
                              (%3$L, 'cpu', '{"core": "0"}', '2026-02-01 10:00', 999999)$$, :'alpha', :'beta', :'other'),
              'the latest samples of a connection are those of its newest reading');
select is(tenants.answer(format('(select count(*) from %s)', source), p.user_id, p.org_id), expected,
          format('%s shows the own organization''s samples', source))
  from metrics.person p, (values ('saas.sample', '22'), ('saas.latest_sample', '3'), ('saas_api.samples', '22'), ('saas_api.latest_samples', '3')) as v (source, expected)
 where p.name = 'viewer';
select is(tenants.answer('(select count(*) from saas_api.samples)', p.user_id, p.org_id), '0', 'without view_dashboard there are none')
  from metrics.person p where p.name = 'nothing';

-- Functions, buckets, bounds

select is(metrics.query('''cpu'', ' || metrics.during(format(', bucket => ''5 minutes'', fn => %L', fn))),
          format(E'01-05 10:00:00 %s\n01-05 10:05:00 %s', first, second), format('%s of every sample in a bucket', fn))
  from (values ('sum', 166, 266), ('min', 1, 6), ('max', 100, 200), ('count', 7, 3)) as v (fn, first, second);
select is(metrics.query('''cpu'', ' || metrics.during(', bucket => ''5 minutes'', labels => ''{"core": "1"}''')),
          E'01-05 10:00:00 20\n01-05 10:05:00 60', 'the average when fn is not given');
select is(metrics.query('''cpu'', ' || metrics.during(', bucket => ''5 minutes'', fn => ''last'', labels => ''{"core": "1"}''')),
          E'01-05 10:00:00 30\n01-05 10:05:00 60', 'last is the newest value of a bucket');
select is(metrics.query('''memory'', ' || metrics.during(', bucket => ''5 minutes'', fn => ''last''')),
          E'01-05 10:00:00 200\n01-05 10:05:00 50', 'last passes over missing values');
select is(metrics.query('''memory'', ' || metrics.during(', bucket => ''5 minutes'', fn => ''count''')),
          E'01-05 10:00:00 2\n01-05 10:05:00 1', 'count does not count them');
select is(metrics.query('''memory'', since => ''2026-01-05 10:04'', until => ''2026-01-05 10:05'''), '',
          'a bucket of missing values only is none');
select is(metrics.query('''memory'', since => ''2026-01-05 10:00'', until => ''2026-01-05 10:05'', fn => ''sum'', bucket => ''1 hour'''),
          '01-05 10:00:00 300', 'since counts, until does not');
select is(metrics.query('''memory'', since => ''2026-01-05 10:00:01'', until => ''2026-01-05 10:05:01'', fn => ''sum'', bucket => ''1 hour'''),
          '01-05 10:00:00 250', 'buckets begin at round times, whatever the range');
select is(metrics.query('''memory'', since => ''2026-01-01'', until => ''2026-02-01'', fn => ''count'', bucket => ''1 week'''),
          E'01-05 00:00:00 5\n01-12 00:00:00 1', 'weeks begin on Monday');
select is(metrics.query('''memory'', since => ''2026-01-01'', until => ''2026-02-01'', fn => ''sum'', bucket => ''1 day'''),
          E'01-05 00:00:00 2350\n01-12 00:00:00 77', 'days begin at midnight, across partitions');
select is(metrics.query('''memory'', ' || metrics.during(', fn => ''sum''')),
          E'01-05 10:00:00 100\n01-05 10:01:00 200\n01-05 10:05:00 50', 'a range of minutes is cut into minutes by itself');
select is(metrics.query('''memory'', since => ''2026-01-05 09:59:59'', until => ''2026-01-05 10:00:01'', fn => ''sum'', bucket => ''1 second'''),
          E'01-05 09:59:59 1000\n01-05 10:00:00 100', 'a second is the shortest bucket');
select is(saas_private.nice_bucket(now() - range, now()), bucket, format('%s is cut by %s', range, bucket))
  from (values (interval '1 hour', interval '1 minute'), ('150 minutes', '1 minute'), ('151 minutes', '5 minutes'), ('24 hours', '15 minutes'),
               ('7 days', '6 hours'), ('30 days', '6 hours'), ('150 days', '1 day'), ('365 days', '7 days'), ('3650 days', '30 days')) as v (range, bucket);

-- What is taken

select is(metrics.query('''cpu'', ' || metrics.during(', fn => ''sum'', bucket => ''1 hour'', ' || filter)), answer, what)
  from (values ('labels => ''{"core": "1"}''', '01-05 10:00:00 120', 'series with a label'),
               ('labels => ''{"core": "0"}''', '01-05 10:00:00 312', 'of every connection'),
               ('labels => ''{"core": "0", "mode": "idle"}''', '01-05 10:00:00 300', 'series with all of several labels'),
               ('labels => ''{"core": 0}''', '', 'a label''s value is a string'),
               ('labels => ''{"nothing": "x"}''', '', 'a label that no series has'),
               ('labels => null', '01-05 10:00:00 432', 'no labels take every series'),
               (format('connection_ids => array[%L]::uuid[]', :'beta'), '01-05 10:00:00 300', 'one connection'),
               (format('connection_ids => array[%L, %L]::uuid[]', :'beta', :'alpha'), '01-05 10:00:00 432', 'two connections'),
               (format('connection_ids => array[%L, %L]::uuid[]', :'beta', :'other'), '01-05 10:00:00 300', 'a foreign one among them brings nothing'),
               (format('connection_ids => array[%L]::uuid[]', :'other'), '', 'a foreign one alone neither'),
               ('connection_ids => ''{}''', '', 'no connections at all')) as v (filter, answer, what);
select is(metrics.query('''CPU'', ' || metrics.during()), '', 'an unknown metric has no values');
select is(metrics.query('''cpu'', since => ''2020-01-01'', until => ''2020-01-02'''), '', 'a time without a partition neither');
select is(metrics.query('''cpu'', ' || metrics.during(), 'nothing'), '', 'nor anything without view_dashboard');

-- Groups

select is(metrics.query('''cpu'', ' || metrics.during(format(', fn => ''sum'', bucket => ''1 hour'', group_by => %L', group_by))), answer, format('grouped by %s', group_by))
  from (values ('{core}', E'01-05 10:00:00 {"core": "0"} 312\n01-05 10:00:00 {"core": "1"} 120'),
               ('{connection}', E'01-05 10:00:00 {"connection": "Alpha"} 132\n01-05 10:00:00 {"connection": "Beta"} 300'),
               ('{environment}', E'01-05 10:00:00 {"environment": null} 300\n01-05 10:00:00 {"environment": "production"} 132'),
               ('{kind}', E'01-05 10:00:00 {"kind": "http_json"} 300\n01-05 10:00:00 {"kind": "prometheus"} 132'),
               ('{tag:team}', E'01-05 10:00:00 {"tag:team": null} 300\n01-05 10:00:00 {"tag:team": "crm"} 132'),
               ('{tag:cost}', E'01-05 10:00:00 {"tag:cost": null} 300\n01-05 10:00:00 {"tag:cost": 7} 132'),
               ('{mode,core}', E'01-05 10:00:00 {"core": "0", "mode": null} 12\n01-05 10:00:00 {"core": "0", "mode": "idle"} 300\n01-05 10:00:00 {"core": "1", "mode": null} 120'),
               ('{nothing}', '01-05 10:00:00 {"nothing": null} 432'),
               ('{core,core}', E'01-05 10:00:00 {"core": "0"} 312\n01-05 10:00:00 {"core": "1"} 120'),
               ('{}', '01-05 10:00:00 432')) as v (group_by, answer);
select is(metrics.query('''cpu'', ' || metrics.during(', fn => ''max'', bucket => ''1 hour'', group_by => ''{connection_id}''')),
          (select string_agg(format('01-05 10:00:00 {"connection_id": "%s"} %s', id, value), E'\n' order by to_jsonb(id))
             from (values (:'alpha', 60), (:'beta', 200)) as v (id, value)), 'grouped by the connection''s id');

-- Values that are no ordinary numbers

select tenants.lay_out(:'org', :'beta', '[{"metric": "odd"}, {"metric": "odd", "labels": {"n": "2"}}]') as odd \gset
select count(tenants.read(:'org', :'odd', at, variadic sample)) as readings
  from (values (timestamptz '2026-03-02 00:00', array['NaN', 1]::float8[]), ('2026-03-02 01:00', array['Infinity', 1]::float8[]),
               ('2026-03-02 02:00', array['Infinity', '-Infinity']::float8[]), ('2026-03-02 03:00', array[1e308, 1]::float8[]),
               ('2026-03-02 04:00', array['-0', 5e-324]::float8[])) as r (at, sample) \gset
select is(metrics.query('''odd'', since => ''2026-03-02 03:00'', until => ''2026-03-02 04:00'''), '03-02 03:00:00 5e+307', 'the average of large numbers');
select is(metrics.query(format('''odd'', since => ''2026-03-02'', until => ''2026-03-03'', bucket => ''1 hour'', fn => %L', fn)),
          format(E'03-02 00:00:00 %s\n03-02 01:00:00 %s\n03-02 02:00:00 %s\n03-02 03:00:00 %s\n03-02 04:00:00 %s', variadic answers), format('%s of odd numbers', fn))
  from (values ('sum', array['NaN', 'Infinity', 'NaN', '1e+308', '5e-324']), ('max', array['NaN', 'Infinity', 'Infinity', '1e+308', '5e-324']),
               ('min', array['1', '1', '-Infinity', '1', '-0']), ('count', array['2', '2', '2', '2', '2'])) as v (fn, answers);

-- Bad input

select is(metrics.query(arguments), answer, format('%s is refused', what))
  from (values ('no metric', 'null', '22023 metric: is required'), ('an empty metric', ''' ''', '22023 metric: is required'),
               ('a long metric', quote_literal(repeat('m', 256)), '22023 metric: must have at most 255 characters'),
               ('an empty range', '''cpu'', since => ''2026-01-05'', until => ''2026-01-05''', '22023 since: must be before until, both finite'),
               ('a range backwards', '''cpu'', since => ''2026-01-06'', until => ''2026-01-05''', '22023 since: must be before until, both finite'),
               ('a range without a beginning', '''cpu'', since => ''-infinity''', '22023 since: must be before until, both finite'),
               ('a range without an end', '''cpu'', until => ''infinity''', '22023 since: must be before until, both finite'),
               ('an unknown function', '''cpu'', fn => ''median''', '22023 fn: must be avg, sum, min, max, last, count, rate, increase or a percentile like p95'),
               ('a function that is SQL', '''cpu'', fn => ''avg(1); drop table x''', '22023 fn: must be avg, sum, min, max, last, count, rate, increase or a percentile like p95'),
               ('labels that are no object', '''cpu'', labels => ''[]''', '22023 labels: must be an object'),
               ('a bucket of nothing', '''cpu'', bucket => ''0''', '22023 bucket: must be at least 1 second'),
               ('a negative bucket', '''cpu'', bucket => ''-1 hour''', '22023 bucket: must be at least 1 second'),
               ('half a second', '''cpu'', bucket => ''0.5 seconds''', '22023 bucket: must be at least 1 second'),
               ('too many buckets', '''cpu'', since => ''2026-01-05 00:00:00'', until => ''2026-01-05 03:03:21'', bucket => ''1 second''',
                '22023 bucket: cuts the range into more than 11000 buckets')) as v (what, arguments, answer);
select is(metrics.query('''cpu'', since => ''2026-01-05 00:00:00'', until => ''2026-01-05 03:03:20'', bucket => ''1 second'', fn => ''count'''), '', '11000 buckets are not too many');
select is(metrics.query('''cpu'', since => ''2000-01-03'', until => ''2030-01-01'', bucket => ''1 month'', fn => ''count'', labels => ''{"core": "1"}'''),
          metrics.query('''cpu'', since => ''2000-01-03'', until => ''2030-01-01'', bucket => ''30 days'', fn => ''count'', labels => ''{"core": "1"}'''), 'a month is 30 days');
select is(metrics.query('''cpu''', 'nobody'), 'PT401 Access token required', 'query_metric needs an identity');
select tenants.read(:'org', :'one', now() - interval '1 minute', 11) as reading, tenants.read(:'org', :'one', now() - interval '25 hours', 1000) as reading2 \gset
select matches(metrics.query('''cpu'', null, null, null, null, null, null, null'), '^\S+ \S+ 11$', 'NULL stands for every default: the average of the last 24 hours');

-- Limits

select tenants.connect(:'org', 'Crm', kind => 'salesforce', environment => 'production') as crm \gset
select tenants.connect(:'org', 'Also crm', kind => 'salesforce') as empty \gset
select tenants.connect(:'other_org', 'Crm', kind => 'salesforce') as foreign_crm \gset
create table metrics.usage (name text, maximum float8, remaining float8, level text);
insert into metrics.usage values
    ('Idle', 100, 100, 'ok'), ('Half less one', 10000, 5001, 'ok'), ('Half', 100, 50, 'info'), ('Almost three quarters', 10000, 2501, 'info'),
    ('Three quarters', 100, 25, 'warning'), ('Almost nine tenths', 10000, 1001, 'warning'), ('Nine tenths', 100, 10, 'critical'),
    ('Full', 100, 0, 'critical'), ('Over', 100, -20, 'critical'), ('None allowed', 0, 0, 'ok'), ('Thirds', 3, 1, 'info');
select tenants.lay_out(:'org', :'crm', jsonb_agg(jsonb_build_object('metric', 'salesforce_limit_' || m, 'labels', jsonb_build_object('limit', u.name)) order by u.name, m)) as limits
  from metrics.usage u, unnest(array['max', 'remaining', 'used', 'percent']) m \gset
select tenants.read(:'org', :'limits', '2026-04-06 00:00', variadic array_agg(1::float8)) as reading from generate_series(1, 44) \gset
select tenants.read(:'org', :'limits', '2026-04-06 00:30', variadic
           (select array_agg(case m when 'max' then u.maximum when 'remaining' then u.remaining when 'used' then u.maximum - u.remaining
                                    else case when u.maximum = 0 then 0 else (u.maximum - u.remaining) / u.maximum * 100 end end order by u.name, m)
              from metrics.usage u, unnest(array['max', 'remaining', 'used', 'percent']) m)) as reading \gset
update saas.connection_status set status = 'active', last_success_at = '2026-04-06 00:30', last_error = 'timeout' where connection_id = :'crm';

create function metrics.overview(person text, connection_id uuid default null) returns jsonb
language sql as $$
    select tenants.answer(format('saas_api.limits_overview(%L)', overview.connection_id), p.user_id, p.org_id)::jsonb
      from metrics.person p where p.name = person
$$;
select is(jsonb_path_query_array(metrics.overview('viewer'), '$[*].name'), '["Also crm", "Crm"]', 'limits_overview has the Salesforce connections by name, and no other');
select is(metrics.overview('viewer', :'crm') #- '{0,limits}',
          jsonb_build_array(jsonb_build_object('connection_id', :'crm', 'name', 'Crm', 'environment', 'production', 'status', 'inactive', 'health', 'unknown',
                                               'last_updated', timestamptz '2026-04-06 00:30', 'error', 'timeout', 'environment_color', 'red',
                                               'health_reason', 'polling is turned off', 'percent', 120.00, 'level', 'critical', 'color', 'red')), 'with the state of each');
select is(metrics.overview('viewer', :'crm') #> '{0,limits,0}', '{"name": "Over", "max": 100, "remaining": -20, "used": 120, "percent": 120.00, "level": "critical", "color": "red"}',
          'the fullest limit comes first, with its numbers of the newest reading');
select is(jsonb_path_query_array(metrics.overview('viewer', :'crm'), '$[0].limits[*].name'),
          '["Over", "Full", "Nine tenths", "Almost nine tenths", "Three quarters", "Almost three quarters", "Thirds", "Half", "Half less one", "Idle", "None allowed"]',
          'the others by what is used of them, then by name');
select is(concat_ws(' ', l ->> 'level', l ->> 'color'), u.level || ' ' || case u.level when 'ok' then 'green' when 'info' then 'blue' when 'warning' then 'yellow' else 'red' end,
          format('%s of %s left is %s', u.remaining, u.maximum, u.level))
  from metrics.usage u, jsonb_array_elements(metrics.overview('viewer', :'crm') #> '{0,limits}') l where l ->> 'name' = u.name;
select is(metrics.overview('viewer', :'crm') -> 0 -> 'limits' @> '[{"name": "Thirds", "percent": 66.67}]', true, 'percent has two digits');
select is(metrics.overview('viewer', :'empty') #> '{0,limits}', '[]', 'a connection that was not polled yet has no limits');
select is((metrics.overview('viewer', :'empty') -> 0) - '{connection_id,name,environment,environment_color,status,health,health_reason,limits,error}'::text[],
          '{"last_updated": null, "percent": null, "level": null, "color": null}', 'no time and no colour');
select is(metrics.overview('viewer', id), '[]', format('%s gives nothing', what))
  from (values ('another organization''s connection', :'foreign_crm'::uuid), ('a connection of another kind', :'alpha'), ('one that never was', gen_random_uuid())) as v (what, id);
select is(metrics.overview('nothing'), '[]', 'nor is there anything without view_dashboard');

-- What makes the grid, from samples of any order
create table metrics.cell (n integer, place bigint, head jsonb, read_at jsonb, metric text, name text, value float8);
insert into metrics.cell values
    (1, 3, '{"name": "c", "tags": {"deep": [1, {"x": null}]}}', '"2026-04-06"', 'salesforce_limit_percent', 'Beta', 12.345),
    (2, 3, '{}', null, 'salesforce_limit_percent', 'Alpha', 12.345), (3, 3, '{}', null, 'salesforce_limit_max', 'Beta', 1e15),
    (4, 3, '{}', null, 'salesforce_limit_used', 'Beta', 'Infinity'), (5, 3, '{}', null, 'salesforce_limit_remaining', 'Beta', '-Infinity'),
    (6, 3, '{}', null, 'salesforce_limit_used', 'Alpha', 0.1), (7, 3, '{}', null, 'salesforce_limit_used', 'Alpha', 0.2), (8, 3, '{}', null, 'salesforce_limit_used', 'Alpha', 0.15),
    (9, 3, '{}', null, 'salesforce_limit_max', null, -0.0), (10, 3, '{}', null, 'salesforce_limit_percent', 'Not known', null),
    (11, 3, '{}', null, 'salesforce_limit_percent', 'No number', 'NaN'), (12, 3, '{}', null, 'salesforce_limit_percents', 'Other', 1),
    (13, 1, '{"name": "a"}', '"2026-04-06"', 'salesforce_limit', 'Other', 1), (14, 100, '{"name": "z"}', null, null, null, null);
select is((select saas_private.limit_grid(c.place, c.head, c.read_at, c.metric, c.name, c.value order by c.n) from metrics.cell c),
          $$[{"name": "a", "color": null, "level": null, "limits": [], "percent": null, "last_updated": null},
             {"name": "c", "tags": {"deep": [1, {"x": null}]}, "color": "green", "level": "ok", "percent": 12.35, "last_updated": "2026-04-06", "limits": [
               {"max": null, "name": "Not known", "used": null, "color": null, "level": null, "percent": null, "remaining": null},
               {"max": 0, "name": null, "used": null, "color": null, "level": null, "percent": null, "remaining": null},
               {"max": null, "name": "No number", "used": null, "color": null, "level": null, "percent": "NaN", "remaining": null},
               {"max": null, "name": "Alpha", "used": 0.2, "color": "green", "level": "ok", "percent": 12.35, "remaining": null},
               {"max": 1000000000000000, "name": "Beta", "used": "Infinity", "color": "green", "level": "ok", "percent": 12.35, "remaining": "-Infinity"}]},
             {"name": "z", "color": null, "level": null, "limits": [], "percent": null, "last_updated": null}]$$, 'accounts by their place, the highest of several samples, what is not known first');
select is((select saas_private.limit_grid(c.place, '{}', null, c.metric, c.name, c.value order by c.n desc) #> '{1,limits}' from metrics.cell c),
          (select saas_private.limit_grid(c.place, '{}', null, c.metric, c.name, c.value order by c.n) #> '{1,limits}' from metrics.cell c), 'in whatever order they come');
select is((select saas_private.limit_grid(1, '{}', null, 'salesforce_limit_used', 'l' || n % 500, n) #> '{0,limits}' from generate_series(1, 2000) n),
          (select jsonb_agg(jsonb_build_object('max', null, 'name', 'l' || n, 'used', case when n = 0 then 2000 else 1500 + n end, 'color', null, 'level', null, 'percent', null, 'remaining', null)
                            order by ('l' || n) collate "C") from generate_series(0, 499) n), 'of many limits too');
select is((select saas_private.limit_grid(n, jsonb_build_object('n', n), null, null, null, null) from generate_series(200, 1, -1) n) #> '{199,n}', '200', 'and of many accounts');
select is((select saas_private.limit_grid(1, '{}', null, null, null, null) where false), '[]', 'nothing of nothing');
select throws_ok(format('select saas_private.limit_grid(%s, %L, %L, null, null, null)', v.place, v.head, v.read_at), '22023', null, v.what)
  from (values ('0', '{}', null, 'no place'), ('null', '{}', null, 'a place that is NULL'), ('1000001', '{}', null, 'too far a place'), ('1', null, null, 'no head'),
               ('1', '[]', null, 'a head that is no object'), ('1', '{}', '{}', 'a time that is an object')) v (place, head, read_at, what);

select * from finish();
