-- Charts: what they draw of whose metrics, what they refuse, and texts that try
-- to be more than texts.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';

create schema charts;
create table charts.person (name text primary key, user_id uuid, org_id uuid);
insert into charts.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into saas.role (org_id, name, is_builtin, permissions, rank)
select p.org_id, 'nothing', false, '{}', 1 from charts.person p where p.name = 'owner';
insert into charts.person
select r, tenants.join(r, o.org_id, r), o.org_id
  from charts.person o, unnest(array['viewer', 'nothing']) as r where o.name = 'owner';
select org_id as org from charts.person where name = 'owner' \gset
select org_id as other_org from charts.person where name = 'stranger' \gset

-- What a call answers somebody, as text, or its error with the fields.
create function charts.draw(call text, person text default 'viewer') returns text
language plpgsql as $$
declare
    answer bytea;
    state text;
    detail text;
begin
    perform set_config('response.headers', '', true), saas.assume_identity(p.user_id, p.org_id) from charts.person p where p.name = person;
    set local session authorization saas_user;
    execute format('select saas_api.%s', call) into answer;
    reset session authorization;
    return convert_from(answer, 'UTF8');
exception when others then
    get stacked diagnostics state = returned_sqlstate, detail = pg_exception_detail;
    return concat_ws(' ', state, coalesce((select string_agg(e ->> 'field' || ': ' || (e ->> 'message'), '; ')
                                             from jsonb_array_elements(nullif(detail, '')::jsonb) e), sqlerrm));
end
$$;
-- The texts that a picture shows, in order.
create function charts.texts(svg text) returns text
language sql as $$
    select coalesce(string_agg(t.m[1], '|' order by t.n), left(svg, 200)) from regexp_matches(svg, '<text[^>]*>([^<]*)</text>', 'g') with ordinality as t (m, n)
$$;
create function charts.colors(svg text) returns text
language sql as $$
    select string_agg(t.m[1], ' ' order by t.n) from regexp_matches(svg, '<path [^>]*color="([^"]*)" fill="none"', 'g') with ordinality as t (m, n)
$$;
create function charts.on(call text, more text default '') returns text
language sql as $$ select format('%s(''cpu'', since => ''2026-01-05 10:00'', until => ''2026-01-05 11:00''%s)', call, more) $$;

select tenants.connect(:'org', 'Alpha', environment => 'production') as alpha \gset
select tenants.connect(:'org', 'Beta', environment => 'staging') as beta \gset
select tenants.connect(:'org', 'Beta') as second \gset
select tenants.connect(:'other_org', 'Foreign', environment => 'production') as other \gset
select tenants.lay_out(:'org', c, '[{"metric": "cpu", "labels": {"core": "0"}}, {"metric": "cpu", "labels": {"core": "</svg><script>1"}}]') as l
  from unnest(array[:'alpha', :'beta', :'second']::uuid[]) c \g /dev/null
select tenants.lay_out(:'other_org', :'other', '[{"metric": "cpu", "labels": {"core": "0"}}]') as foreign \gset
select count(tenants.read(l.org_id, l.id, timestamptz '2026-01-05 10:00' + n * interval '5 minutes', c.factor * n, c.factor)) as readings
  from saas.layout l join (values (:'alpha'::uuid, 1), (:'beta', 2), (:'second', 4)) as c (id, factor) on c.id = l.connection_id,
       generate_series(0, 11) n
 where not (c.factor = 1 and n in (5, 6)) \gset
select tenants.read(:'other_org', :'foreign', '2026-01-05 10:30', 999999) as reading \gset

-- Lines

select charts.draw(charts.on('line_chart', ', group_by => ''{connection_id}'', labels => ''{"core": "0"}'', title => ''Use''')) as svg \gset
select is(charts.texts(:'svg'), 'Use|0|10|20|30|40|50|10:00|10:05|10:10|10:15|10:20|10:25|10:30|10:35|10:40|10:45|10:50|10:55|11:00|Mon 5 Jan 2026|Alpha|Beta|Beta (2)',
          'a line chart has title, values, times, the day and the series, two of one name too');
select is(charts.colors(:'svg'), '#cf222e #bf8700 #6e7781', 'in the colours of their environments');
select is((select count(*) from regexp_matches(substring(:'svg' from 'color="#cf222e" fill="none"[^>]*'), 'M', 'g')), 2::bigint, 'a line breaks where readings are missing');
select is((select count(*) from regexp_matches(substring(:'svg' from 'color="#bf8700" fill="none"[^>]*'), 'M', 'g')), 1::bigint, 'and only there');
select matches(:'svg'::text, ' Alpha: 10 values, lowest 0, highest 11, last 11\. Beta: 12 values, lowest 0, highest 22, last 22\. Beta \(2\): 12 values, lowest 0, highest 44, last 44\.</desc>', 'the description says what is drawn');
select is(charts.texts(charts.draw(charts.on('line_chart', ', bucket => ''1 hour'', fn => ''count'', timezone => ''Asia/Kolkata'', height => 120'))), 'cpu|60|80|15:30|15:35|15:40|15:45|15:50|15:55|16:00|16:05|16:10|16:15|16:20|16:25|16:30|Mon 5 Jan 2026',
          'the title is the metric, fn and bucket are those of query_metric, times those of the zone');
select matches(charts.texts(charts.draw(charts.on('line_chart', ', group_by => ''{connection_id,core}'', top => 2'))), '\|Beta, 0 \([a-z]+\)\|Beta, 0 \(2\)\|4 more not drawn$|\|Beta, 0\|Beta, 0 \(2\)\|4 more not drawn$',
          'the largest groups are drawn, and it is said how many are not');
select is(charts.colors(charts.draw(charts.on('line_chart', ', group_by => ''{core}'''))), '#0072b2 #e61e6e', 'groups that say nothing of connections have colours of their own');
select is(charts.colors(charts.draw(charts.on('line_chart', ', group_by => ''{environment}'''))), '#6e7781 #cf222e #bf8700', 'grouped by environment they have its colours');
select is(charts.colors(charts.draw(charts.on('line_chart', ', group_by => ''{connection}'''))), '#cf222e #6e7781', 'connections of one name in several environments are in none');
select is(charts.texts(charts.draw(charts.on('line_chart', ', unit => ''percent'', labels => ''{"core": "0"}'', fn => ''max'', theme => ''dark'''))) ~ '\|0%\|10%\|20%', true, 'values have their unit');
select matches(charts.draw(charts.on('line_chart', ', theme => ''dark''')), '#161b22', 'a dark theme is dark');
select is(charts.texts(charts.draw('line_chart(''nothing'', since => ''2026-01-05 10:00'', until => ''2026-01-05 10:10'', width => 300)')),
          'nothing|no data|10:00|10:02|10:04|10:06|10:08|10:10|Mon 5 Jan 2026', 'an unknown metric has no data');
-- Two connections of one name: which is first is by their ids.
select is(replace(charts.texts(charts.draw(charts.on('bar_chart', format(', labels => ''{"core": "0"}'', fn => %L', fn)))), ' (2)', ''), answer, format('bars by %s, the largest first', fn))
  from (values ('sum', 'cpu|Beta|264 (58.5%)|Beta|132 (29.3%)|Alpha|55 (12.2%)'), ('max', 'cpu|Beta|44|Beta|22|Alpha|11'), ('last', 'cpu|Beta|44|Beta|22|Alpha|11'),
               ('avg', 'cpu|Beta|22|Beta|11|Alpha|5.5'), ('count', 'cpu|Beta|12 (35.3%)|Beta|12 (35.3%)|Alpha|10 (29.4%)')) as v (fn, answer);
select is(charts.texts(charts.draw(charts.on('bar_chart', ', group_by => ''{}'', fn => ''avg'', labels => ''{"core": "0"}'''))), 'cpu|all|13.26', 'the average of everything is that of its samples');
select is(charts.texts(charts.draw('bar_chart(''cpu'', since => ''2026-01-05 10:00'', until => ''2026-01-05 11:00'', group_by => ''{core}'', top => 1, unit => ''si'')')), 'cpu|0|451 (100.0%)|1 more not drawn', 'of more groups the largest are drawn');
select matches(charts.draw(charts.on('sparkline', format(', labels => ''{"core": "0"}'', connection_ids => array[%L]::uuid[]', :'alpha'))), 'width="120" height="30".*>Lowest 0, highest 11, last 11\.</desc>.* d="M3 27 [0-9. ]+M[0-9. ]+ 117 3"',
               'a sparkline is as wide as its range and has its gaps');

select tenants.connect(:'org', 'Crm', kind => 'salesforce', environment => 'production') as crm \gset
select tenants.connect(:'other_org', 'Foreign crm', kind => 'salesforce') as foreign_crm \gset
select tenants.lay_out(:'org', :'crm', '[{"metric": "salesforce_limit_max", "labels": {"limit": "Api"}}, {"metric": "salesforce_limit_remaining", "labels": {"limit": "Api"}},
    {"metric": "salesforce_limit_used", "labels": {"limit": "Api"}}, {"metric": "salesforce_limit_percent", "labels": {"limit": "Api"}},
    {"metric": "x_max", "labels": {"limit": "Own"}}, {"metric": "x_remaining", "labels": {"limit": "Own"}}, {"metric": "x_max", "labels": {"limit": "Empty"}}, {"metric": "x_used", "labels": {"limit": "Empty"}},
    {"metric": "x_max", "labels": {"limit": "Huge"}}, {"metric": "x_remaining", "labels": {"limit": "Huge"}}, {"metric": "x_max", "labels": {}}]') as limits \gset
select tenants.lay_out(:'other_org', :'foreign_crm', '[{"metric": "salesforce_limit_percent", "labels": {"limit": "Api"}}]') as foreign_limits \gset
select tenants.read(:'org', :'limits', '2026-04-06 00:30:00.5', 15000, 3000, 12000, 80, 10, 9.5, 0, 0, 1e308, -1e308, 7) as reading,
       tenants.read(:'other_org', :'foreign_limits', '2026-04-06 00:30', 99) as reading2 \gset
select is(charts.texts(charts.draw('gauge()')), '80%|warning|salesforce_limit_percent', 'a gauge shows the newest value, and no stranger''s');
select is(charts.texts(charts.draw('gauge(labels => ''{"limit": "Api"}'')')), '80%|warning|Api', 'its title is the limit');
select is(charts.texts(charts.draw(format('gauge(connection_ids => array[%L]::uuid[], title => ''Mine'')', :'foreign_crm'))), 'no data|Mine', 'a foreign connection has no data');
select is(charts.texts(charts.draw('gauge()', 'nothing')), 'no data|salesforce_limit_percent', 'nor has anything without view_dashboard');
select is(saas.limit_level(p), level, format('%s percent is %s', p, level))
  from unnest(array[-1, 0, 49.999, 50, 74.999, 75, 89.999, 90, 100, 1e300, 'Infinity', '-Infinity']::float8[],
              '{ok,ok,ok,info,info,warning,warning,critical,critical,critical,critical,ok}'::text[]) as u (p, level);

-- Who sees what

select is(charts.texts(charts.draw(charts.on('line_chart', ', group_by => ''{connection}'', width => 300'), 'stranger')), 'cpu|850,000|900,000|950,000|1,000,000|1,050,000|1,100,000|10:00|10:15|10:30|10:45|11:00|Mon 5 Jan 2026|Foreign', 'everybody sees their own organization''s');
select is(charts.texts(charts.draw(charts.on(call, format(', connection_ids => array[%L]::uuid[], width => 300', :'other')))) ~ 'no data', true, format('%s of a foreign connection has no data', call))
  from unnest(array['line_chart', 'bar_chart']) call;
select matches(charts.draw(charts.on(call), 'nothing'), 'No data|without data| 0 series', format('%s shows nothing without view_dashboard', call)) from unnest(array['line_chart', 'bar_chart', 'sparkline']) call;
select is(charts.draw(call, 'nobody'), 'PT401 Access token required', format('%s needs an identity', call))
  from unnest(array[charts.on('line_chart'), charts.on('bar_chart'), charts.on('sparkline'), 'gauge()']) call;
begin;
select saas.assume_identity(user_id, org_id) as ok from charts.person where name = 'viewer' \gset
set local role saas_user;
select octet_length(saas_api.gauge()) as ok \gset
select is(jsonb_path_query_array(current_setting('response.headers')::jsonb, '$[*].*'), '["image/svg+xml", "nosniff", "default-src ''none''; style-src ''unsafe-inline''; sandbox"]', 'the answer says what it is and may do nothing');
commit;
select is((select string_agg(format_type(prorettype, null), ' ') from pg_proc where pronamespace = 'saas_api'::regnamespace and proname in ('line_chart', 'bar_chart', 'sparkline', 'gauge')),
          'saas_api."*/*" saas_api."*/*" saas_api."*/*" saas_api."*/*"', 'PostgREST sends it as it is');

-- What is refused

select is(charts.draw(charts.on(call, ', ' || argument)), answer, format('%s with %s is refused', call, argument))
  from (values ('line_chart', 'width => 159', '22023 width: must be 160 to 4000'), ('line_chart', 'height => 2001', '22023 height: must be 120 to 2000'),
               ('line_chart', 'unit => ''furlong''', '22023 unit: must be plain, si, bytes, percent or seconds'), ('line_chart', 'theme => ''pink''', '22023 theme: must be auto, light or dark'),
               ('line_chart', 'timezone => ''Nowhere''', '22023 timezone: must be the name of a time zone'), ('line_chart', 'timezone => ''../../etc/passwd''', '22023 timezone: must be the name of a time zone'),
               ('line_chart', 'top => 0', '22023 top: must be 1 to 32'), ('line_chart', 'top => 33', '22023 top: must be 1 to 32'), ('bar_chart', 'top => 101', '22023 top: must be 1 to 100'),
               ('line_chart', 'labels => ''[]''', '22023 labels: must be an object'), ('bar_chart', 'fn => ''median''', '22023 fn: must be avg, sum, min, max, last or count'),
               ('bar_chart', 'height => 59', '22023 height: must be 60 to 4000'), ('bar_chart', 'width => -1', '22023 width: must be 160 to 4000'),
               ('sparkline', 'width => 15', '22023 width: must be 16 to 2000'), ('sparkline', 'height => 2147483647', '22023 height: must be 8 to 500')) as v (call, argument, answer);
select is(charts.draw(call), answer, format('%s is refused', call))
  from (values ('line_chart(''cpu'', since => ''2026-01-05'', until => ''2026-01-05'')', '22023 since: must be before until, both finite'),
               ('bar_chart(''cpu'', since => ''-infinity'')', '22023 since: must be before until, both finite'), ('line_chart(null)', '22023 metric: is required'),
               ('gauge(null)', '22023 metric: is required'), ('gauge(labels => ''1'')', '22023 labels: must be an object'), ('gauge(width => 99)', '22023 width: must be 100 to 1000')) as v (call, answer);
select is(tenants.answer(format('saas.%s', call)), format(E'22023\ninvalid input\n[{"field": "%s", "message": "%s"}]', field, message), format('%s is refused', left(call, 80)))
  from (values ('line_chart(array[now()], ''{}'')', 'value', 'must have as many elements as the other arrays'), ('line_chart(array[now()], ''{1}'', ''{}'')', 'series', 'must have as many elements as the other arrays'),
               ('line_chart(''{infinity}'', ''{1}'')', 'at', 'must have times of the years 1 to 9999 only'), ('line_chart(''{NULL}'', ''{1}'')', 'at', 'must have times of the years 1 to 9999 only'),
               ('line_chart(''{10000-01-01}'', ''{1}'')', 'at', 'must have times of the years 1 to 9999 only'),
               ('line_chart((select array_agg(now()) from generate_series(1, 33)), (select array_agg(1.0) from generate_series(1, 33)), (select array_agg(n::text) from generate_series(1, 33) n))', 'series', 'must name at most 32 series'),
               ('line_chart((select array_agg(now()) from generate_series(0, 1000000)), null)', 'at', 'must have at most 1000000 elements'),
               ('line_chart(null, null, null, ''[]'')', 'options', 'must be an object'),
               ('line_chart(null, null, null, ''{"onclick": 1}'')', 'options', 'may have title width height unit theme omitted timezone since until gap_s zero environments only'),
               ('line_chart(null, null, null, ''{"width height": 1}'')', 'options', 'may have title width height unit theme omitted timezone since until gap_s zero environments only'),
               ('line_chart(null, null, null, ''{"": 1}'')', 'options', 'may have title width height unit theme omitted timezone since until gap_s zero environments only'),
               ('line_chart(null, null, null, ''{"title": 1}'')', 'title', 'must be a string'), ('line_chart(null, null, null, ''{"width": "1"}'')', 'width', 'must be a number'),
               ('line_chart(null, null, null, ''{"width": 1e400}'')', 'width', 'must be 160 to 4000'), ('line_chart(null, null, null, ''{"width": -1e400}'')', 'width', 'must be 160 to 4000'),
               ('line_chart(null, null, null, ''{"zero": 1}'')', 'zero', 'must be true or false'), ('line_chart(''{now}'', ''{1}'', null, ''{"environments": []}'')', 'environments', 'must be an object'),
               ('line_chart(null, null, null, ''{"since": "2026-01-01"}'')', 'until', 'must be given with the other end of the range'),
               ('line_chart(null, null, null, ''{"since": "2026-01-02", "until": "2026-01-01"}'')', 'since', 'must be before until, both in the years 1 to 9999'),
               ('line_chart(null, null, null, ''{"since": "2026-01-02", "until": "infinity"}'')', 'since', 'must be before until, both in the years 1 to 9999'),
               ('bar_chart((select array_agg(n::text) from generate_series(1, 101) n), (select array_agg(1.0) from generate_series(1, 101)))', 'label', 'must have at most 100 elements'),
               ('sparkline((select array_agg(1.0) from generate_series(0, 10000)))', 'value', 'must have at most 10000 elements'),
               ('bar(1, 0)', 'width', 'must be 1 to 200'), ('bar(1, 201)', 'width', 'must be 1 to 200'), ('gauge_chart(1, ''{"unit": "si"}'')', 'options', 'may have title width height theme only')) as v (call, field, message);
select is(regexp_replace(charts.texts(saas.line_chart(array['2026-01-05 10:02', '2026-01-05 10:00', '2026-01-05 10:01']::timestamptz[], '{3,1,NaN}', null, '{"width": 400, "height": 200, "timezone": "Europe/Berlin"}')), '^.*?\|11', '11'),
          '11:00:00|11:00:30|11:01:00|11:01:30|11:02:00|Mon 5 Jan 2026', 'points in any order, in a zone');
select is(charts.texts(saas.line_chart(null, null)), 'no data', 'no arrays are no data');
select is(charts.texts(saas.bar_chart('{a,b,NULL}', '{1,-2,NULL}', '{"unit": "percent"}')), 'a|1%|b|-2%|(none)|no data', 'bars of any data');
select is(charts.texts(saas.gauge_chart(null)), 'no data', 'a gauge of nothing');
select is(saas.sparkline('{1,2,3,NULL,5,NaN,8}'), '▁▂▃ ▅ █', 'a sparkline of text');
select is(saas.sparkline(null), null, 'of nothing nothing');
select is(saas.bar(50, 4) || saas.bar(100, 2) || saas.bar(0, 2) || saas.bar(0.1, 2) || saas.bar(99.9, 2) || saas.bar(-1, 1) || saas.bar(1000, 1), '██░░██░░▏░█▉░█', 'bars of text');
select is(coalesce(saas.bar(null), saas.bar('NaN'), 'none'), 'none', 'of nothing nothing');
select is(length(saas.bar(33)), 20, 'of 20 characters');

-- Texts

create table charts.hostile (text text);
insert into charts.hostile values ('</svg><script>alert(1)</script>'), ('"><image href="https://example.com"/>'), ('<![CDATA[x]]>'), ('&#x3c;script&#x3e;'), ('a''b'), (E'\x01\x08\x1b[2J\x7f'),
    (E'\u202Egnp.evil\u2066'), (E'\uFFFE\uFFFF\u0085'), (repeat('<', 100000)), (repeat('é', 5000)), (U&'\+01F600'), ('--'), ('%s%n'), ('</style>'), ('url(javascript:1)');
create table charts.picture as
select h.text, svg from charts.hostile h,
       unnest(array[saas.line_chart(array[now(), now()], array[1, 2], array[h.text, 'x'], jsonb_build_object('title', h.text, 'environments', jsonb_build_object(h.text, 'staging', 'x', h.text))),
                    saas.bar_chart(array[h.text, 'x'], array[1, 2], jsonb_build_object('title', h.text)), saas.gauge_chart(1, jsonb_build_object('title', h.text)),
                    saas.sparkline_chart('{1,2}', jsonb_build_object('title', h.text))]) as svg;
select is(count(*), 60::bigint, 'pictures with hostile texts') from charts.picture;
select is_empty($$select left(text, 50) from charts.picture where not xml_is_well_formed_document(svg)$$, 'all of them are well-formed');
select is_empty($$select left(text, 50), e.name from charts.picture, unnest(xpath('//*', svg::xml)) node, lateral (select substring(node::text from '^<([^ >/]+)') as name) e
                   where e.name not in ('svg', 'title', 'desc', 'style', 'rect', 'line', 'path', 'text')$$, 'and have shapes and texts only');
select is_empty($$select left(text, 50) from charts.picture where svg ~* '<(script|image|a|foreignObject)\M|<[^>]*\s(on\w+|href|src)=|javascript:[^<]*"' $$, 'nothing that runs or refers');
select is_empty($$select left(text, 50) from charts.picture where svg ~ E'[\\x01-\\x1f\\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff]'$$, 'no control and no mark of direction');
select is_empty($$select left(text, 50), octet_length(svg) from charts.picture where octet_length(svg) > 8000$$, 'none is large');
select is_empty($$select left(text, 50) from charts.picture p, saas_private.sanitize_svg(convert_to(p.svg, 'UTF8')) as s where s.problem is not null or s.svg is null$$, 'all of them pass the sanitizer of uploaded pictures');
select matches(charts.draw(charts.on('line_chart', ', group_by => ''{core}'', title => ''</svg><script>''')), '>&lt;/svg&gt;&lt;script&gt;</title>.*>&lt;/svg&gt;&lt;script&gt;1</text>', 'labels of upstreams are texts');
select cmp_ok(octet_length(saas.line_chart(array_agg(timestamptz '2026-01-01' + n * interval '1 second'), array_agg(n * 7919 % 100003), array_agg('series ' || n % 32),
                                           '{"width": 4000, "height": 2000}')), '<=', 262144, 'a picture has at most 256 KiB') from generate_series(1, 200000) n;

-- The grid for psql

create function charts.grid(person text) returns text
language plpgsql as $$
declare
    grid text;
begin
    perform saas.assume_identity(p.user_id, p.org_id) from charts.person p where p.name = person;
    set local session authorization saas_user;
    select string_agg(concat_ws(' ', organization, connection, environment, limit_name, used, max, bar, percent, level, to_char(last_updated, 'MM-DD HH24:MI:SS')), E'\n') into grid from saas.show_limits;
    reset session authorization;
    return grid;
end
$$;
select is(charts.grid('viewer'), E'Owner Works Crm production Api 12000 15000 ████████████████░░░░ 80.0 warning 04-06 00:30:00\nOwner Works Crm production Own 0.5 10 █░░░░░░░░░░░░░░░░░░░ 5.0 ok 04-06 00:30:00\nOwner Works Crm production Empty 0 0 04-06 00:30:00\nOwner Works Crm production Huge 04-06 00:30:00',
          'show_limits is the grid of the own organization''s limits, the fullest first');
select is(charts.grid('stranger'), E'Stranger Works Foreign crm Api ███████████████████▊ 99.0 critical 04-06 00:30:00', 'a stranger has their own');
select is(charts.grid('nothing'), null, 'without view_dashboard there is none');
select is((select count(*) from saas.show_limits), 5::bigint, 'a superuser sees every organization''s');

select * from finish();
