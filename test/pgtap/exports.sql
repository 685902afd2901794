-- Exports of samples as CSV and OpenMetrics text.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'America/New_York';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema exp;
create table exp.person (name text primary key, user_id uuid, org_id uuid);
insert into exp.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into exp.person select n, tenants.join(n, p.org_id, 'viewer'), p.org_id from exp.person p, unnest(array['viewer', 'exporter']) n where p.name = 'owner';
select org_id as org from exp.person where name = 'owner' \gset
select org_id as other_org from exp.person where name = 'stranger' \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'org', 'exporter', false, '{export_data}', 5);
update saas.membership m set role = 'exporter' from exp.person p where p.name = 'exporter' and m.user_id = p.user_id;
create function exp.ask(call text, person text default 'owner') returns text
language sql as $$ select tenants.answer(call, p.user_id, p.org_id) from exp.person p where p.name = person $$;
create function exp.text(call text, person text default 'owner') returns text
language sql as $$ select exp.ask(format('convert_from(%s, ''UTF8'')', call), person) $$;

select tenants.connect(:'org', 'Plain', environment => 'staging') as plain \gset
select tenants.connect(:'org', '=cmd|''/C calc''!A0') as hostile \gset
select tenants.connect(:'other_org', 'Foreign') as foreign \gset
create table exp.laid as
select v.*, tenants.lay_out(v.org, v.connection, v.series::jsonb) as layout
  from (values (:'org'::uuid, :'plain'::uuid, '[{"metric": "hits", "labels": {"path": "/a"}}, {"metric": "hits", "labels": {"path": "/b"}}, {"metric": "load"}]'),
               (:'org', :'hostile', '[{"metric": "@sum(1)", "labels": {"a": "=1+1", "my.label": "q\"uo\\te\nline, ä€"}}, {"metric": "hits", "labels": {"connection": "own", "exported_connection": "older", "connection_id": "7"}}]'),
               (:'other_org', :'foreign', '[{"metric": "hits"}]')) as v (org, connection, series);
select count(tenants.read(l.org, l.layout, r.at::timestamptz, variadic r."values")) as stored
  from exp.laid l
  join (values (:'plain'::uuid, '2026-03-01 12:00:00+00', array[1, 2.5, 'NaN']::float8[]), (:'plain', '2026-03-01 12:00:00.25+00', array[null, -3, 'Infinity']::float8[]),
               (:'plain', '2026-03-01 13:00:00.125+00', array[0.1, 1e300, '-Infinity']::float8[]), (:'hostile', '2026-03-01 12:30:00+00', array[-5, 8]),
               (:'foreign', '2026-03-01 12:00:00+00', array[42])) as r (connection, at, "values") on r.connection = l.connection \gset
\set csv '$$saas_api.export_csv(''2026-03-01 12:00+00'', ''2026-03-01 14:00+00'')$$'
\set open '$$saas_api.export_openmetrics(''2026-03-01 12:00+00'', ''2026-03-01 14:00+00'')$$'

-- CSV

select is(exp.text(:csv), (select string_agg(l || E'\r\n', '' order by n) from unnest(array[
    'time,connection_id,connection,environment,metric,labels,value',
    format('2026-03-01T12:00:00.000000Z,%s,"Plain",staging,"hits","{""path"": ""/a""}",1', :'plain'),
    format('2026-03-01T12:00:00.000000Z,%s,"Plain",staging,"hits","{""path"": ""/b""}",2.5', :'plain'),
    format('2026-03-01T12:00:00.000000Z,%s,"Plain",staging,"load","{}",NaN', :'plain'),
    format('2026-03-01T12:00:00.250000Z,%s,"Plain",staging,"hits","{""path"": ""/b""}",-3', :'plain'),
    format('2026-03-01T12:00:00.250000Z,%s,"Plain",staging,"load","{}",Infinity', :'plain'),
    format('2026-03-01T12:30:00.000000Z,%s,"''=cmd|''/C calc''!A0",,"''@sum(1)","{""a"": ""=1+1"", ""my.label"": ""q\""uo\\te\nline, ä€""}",-5', :'hostile'),
    format('2026-03-01T12:30:00.000000Z,%s,"''=cmd|''/C calc''!A0",,"hits","{""connection"": ""own"", ""connection_id"": ""7"", ""exported_connection"": ""older""}",8', :'hostile'),
    format('2026-03-01T13:00:00.125000Z,%s,"Plain",staging,"hits","{""path"": ""/a""}",0.1', :'plain'),
    format('2026-03-01T13:00:00.125000Z,%s,"Plain",staging,"hits","{""path"": ""/b""}",1e+300', :'plain'),
    format('2026-03-01T13:00:00.125000Z,%s,"Plain",staging,"load","{}",-Infinity', :'plain')]) with ordinality as v (l, n)), 'every sample by time, and no missing value');
select is(saas_private.csv_cell(v), c, format('the cell of %L', v))
  from (values ('plain', '"plain"'), ('=1', '"''=1"'), ('+1', '"''+1"'), ('-1', '"''-1"'), ('@x', '"''@x"'), (E'\t=1', E'"''\t''=1"'), (E'\rx', E'"''\rx"'), (E'\nx', E'"''\nx"'),
               (' =1', '"'' =1"'), (U&'\FF1D1', U&'"''\FF1D1"'), (U&'\FEFF=1', U&'"''\FEFF=1"'), ('a"b', '"a""b"'), ('="', '"''="""'), ('a=1', '"a=1"'), ('', '""'),
               ('a;=1', '"a;''=1"'), ('a; @x;+1;b', '"a;'' @x;''+1;b"'), ('a;"=1', '"a;''""=1"'), ('{"a": "x;-1"}', '"{""a"": ""x;''-1""}"'), (E'a\t=1', E'"a\t''=1"'),
               (E'a\n\r=1', E'"a\n''\r''=1"'), (U&'a;\FF1D1', U&'"a;''\FF1D1"'), (';=1', '";''=1"'), (E'\x01=1', E'"''\x01=1"'), (E'\tx', E'"''\tx"'), (U&'\FF0B1', U&'"''\FF0B1"'), (U&'\FF0D1', U&'"''\FF0D1"'), (U&'\FF201', U&'"''\FF201"'),
               (E'a;\x01=1', E'"a;''\x01=1"'), (U&'a;\FEFF=1', U&'"a;''\FEFF=1"'), ('a;''=1', '"a;''''=1"'), (U&'a;\FF0B1', U&'"a;''\FF0B1"'), (U&'a;\FF0D1', U&'"a;''\FF0D1"'), (U&'a;\FF201', U&'"a;''\FF201"'),
               ('=1;=2', '"''=1;''=2"'), ('a;b=1;c', '"a;b=1;c"'), ('a,=1', '"a,=1"'), (null, '""')) v (v, c);
select is(exp.text(replace(:csv, ')', $$, '{load}')$$)) ~ 'hits', false, 'only metrics that were asked for');
select is((select count(*) from regexp_matches(exp.text(replace(:csv, ')', $$, '{hits}', '{"path": "/b"}')$$)), E'\n', 'g')), 4::bigint, 'and labels');
select is((select count(*) from regexp_matches(exp.text(replace(:csv, ')', format($$, connection_ids => array[%L, %L]::uuid[])$$, :'hostile', :'foreign'))), E'\n', 'g')), 3::bigint, 'and connections, of which a foreign one has nothing');
select is(exp.text($$saas_api.export_csv('2020-01-01', '2020-01-02')$$), E'time,connection_id,connection,environment,metric,labels,value\r\n', 'an empty range has its header');
select is((select count(*) from regexp_matches(exp.text(:csv, 'stranger'), E'\n', 'g')), 2::bigint, 'a stranger has one sample');

-- OpenMetrics

select is((select string_agg(l, E'\n' order by n) from regexp_split_to_table(exp.text(:open), E'\n') with ordinality as v (l, n)), (select string_agg(l, E'\n' order by n) from unnest(array[
    '# TYPE "@sum(1)" unknown', '# HELP "@sum(1)" 1 series of 1 connections.',
    format('{"@sum(1)",connection_id="%s",connection="=cmd|''/C calc''!A0",a="=1+1","my.label"="q\"uo\\te\nline, ä€"} -5 1772368200', :'hostile'),
    '# TYPE hits unknown', '# HELP hits 3 series of 2 connections.',
    format('hits{connection_id="%s",connection="Plain",path="/a"} 1 1772366400', :'plain'), format('hits{connection_id="%s",connection="Plain",path="/a"} 0.1 1772370000.125', :'plain'),
    format('hits{connection_id="%s",connection="Plain",path="/b"} 2.5 1772366400', :'plain'), format('hits{connection_id="%s",connection="Plain",path="/b"} -3 1772366400.25', :'plain'),
    format('hits{connection_id="%s",connection="Plain",path="/b"} 1e+300 1772370000.125', :'plain'),
    format('hits{connection_id="%s",connection="=cmd|''/C calc''!A0",exported_connection="own",exported_connection_id="7",exported_exported_connection="older"} 8 1772368200', :'hostile'),
    '# TYPE load unknown', '# HELP load 1 series of 1 connections.',
    format('load{connection_id="%s",connection="Plain"} NaN 1772366400', :'plain'), format('load{connection_id="%s",connection="Plain"} +Inf 1772366400.25', :'plain'),
    format('load{connection_id="%s",connection="Plain"} -Inf 1772370000.125', :'plain'), '# EOF', '']) with ordinality as v (l, n)), 'each metric with its type, its series in order of time');
select results_eq(format($$select metric, labels ->> 'connection_id', labels - '{connection_id,connection}'::text[], value, at from saas.parse_exposition(%L, 'openmetrics') order by 1, 2, 3, 5$$, exp.text(:open)),
    format($$select s.metric, s.connection_id::text, case when s.labels ? 'connection' then '{"exported_connection": "own", "exported_connection_id": "7", "exported_exported_connection": "older"}' else s.labels end, s.value, s.at
               from saas.sample s where s.org_id = %L and s.value is not null order by 1, 2, 3, 5$$, :'org'), 'our own reader reads back what is stored');
select is(exp.text($$saas_api.export_openmetrics('2020-01-01', '2020-01-02')$$), E'# EOF\n', 'an empty range is its end');
select tenants.read(:'org', tenants.lay_out(:'org', :'plain', '[{"metric": "sent", "labels": {"__name__": "hits"}}]'), '2026-04-01 12:00+00', 1) as stored \gset
select is(exp.text($$saas_api.export_openmetrics('2026-04-01', '2026-04-02')$$), format(E'# TYPE sent unknown\n# HELP sent 1 series of 1 connections.\nsent{connection_id="%s",connection="Plain",exported___name__="hits"} 1 1775044800\n# EOF\n', :'plain'),
          'a label does not make another metric of it');
select is((select string_agg(format('%s %s', metric, value), ',') from saas.parse_exposition(exp.text(:open, 'stranger'), 'openmetrics')), 'hits 42', 'a stranger has their own');

-- Headers, audit

begin;
select saas.assume_identity(user_id, org_id) from exp.person where name = 'owner' \g /dev/null
set local session authorization saas_user;
select length(saas_api.export_csv()) > 0 as sent \gset
select is(current_setting('response.headers')::jsonb @> '[{"Content-Type": "text/csv; charset=utf-8; header=present"}, {"Content-Disposition": "attachment; filename=\"metrics.csv\""}, {"X-Content-Type-Options": "nosniff"}]', true, 'CSV says what it is');
select length(saas_api.export_openmetrics()) > 0 as sent \gset
select is(current_setting('response.headers')::jsonb @> '[{"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}, {"Content-Disposition": "attachment; filename=\"metrics.txt\""}]', true, 'and so does OpenMetrics');
reset session authorization;
rollback;
select is((select after from saas.audit_event where action = 'metrics.exported' and org_id = :'org' order by id limit 1),
          '{"format": "csv", "since": "2026-03-01T12:00:00+00:00", "until": "2026-03-01T14:00:00+00:00", "labels": {}, "metrics": null, "samples": 10, "connection_ids": null}'::jsonb
          || jsonb_build_object('since', timestamptz '2026-03-01 12:00+00', 'until', timestamptz '2026-03-01 14:00+00'), 'an export is in the audit');
select is((select after ->> 'samples' from saas.audit_event where action = 'metrics.exported' and after ->> 'format' = 'openmetrics' and org_id = :'org' order by id limit 1), '10', 'of the other kind too');

-- Rights, bad input, the limit

select format($q$select is(split_part(exp.ask(%L, %L), E'\n', 1) || ' ' || split_part(exp.ask(%L, %L), E'\n', 3), 'PT403 %s', '%s needs %s')$q$, call, person, call, person, missing, person, missing)
  from unnest(array['saas_api.export_csv()', 'saas_api.export_openmetrics()']) call, (values ('viewer', 'export_data'), ('exporter', 'view_dashboard')) v (person, missing) \gexec
select is(split_part(exp.ask(replace(call, 'X', f)), E'\n', 3), problem, replace(call, 'X', f))
  from unnest(array['csv', 'openmetrics']) f,
       (values ($$saas_api.export_X('2026-03-04', '2026-03-03')$$, '[{"field": "since", "message": "must be before until, both finite"}]'),
               ($$saas_api.export_X('-infinity')$$, '[{"field": "since", "message": "must be before until, both finite"}]'),
               ($$saas_api.export_X(metrics => '{}')$$, '[{"field": "metrics", "message": "must be 1 to 100 metrics"}]'),
               ($$saas_api.export_X(metrics => '{NULL}')$$, '[{"field": "metrics", "message": "must be 1 to 100 metrics"}]'),
               ($$saas_api.export_X(labels => '[]')$$, '[{"field": "labels", "message": "must be an object"}]')) v (call, problem);
select tenants.lay_out(:'org', :'plain', jsonb_agg(jsonb_build_object('metric', 'many', 'labels', jsonb_build_object('n', n::text)))) as many from generate_series(1, 100) n \gset
select saas_private.ensure_reading_partition('2026-03-02 12:00') as made \gset
insert into saas.reading (org_id, connection_id, at, layout_id, "values")
select :'org', :'plain', timestamptz '2026-03-02 00:00+00' + n * interval '1 second', :'many', array_fill(n::float8, '{100}') from generate_series(1, 1000) n;
select is(length(exp.text($$saas_api.export_csv('2026-03-02+00', '2026-03-03+00', '{many}')$$)) > 10000000, true, '100000 samples are one export');
select tenants.read(:'org', :'many', '2026-03-02 12:00+00', 1, null) as reading \gset
select is(split_part(exp.ask($$saas_api.export_csv('2026-03-02+00', '2026-03-03+00')$$), E'\n', 3), '[{"field": "since", "message": "to until has more than 100000 samples, the most of one export"}]', 'one more is too many');

select * from finish();
