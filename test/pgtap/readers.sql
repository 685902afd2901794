-- The readers on whole documents: the fixtures of test/fixtures, which are
-- what the services' own documentation and a real server gave.
select no_plan();

\set prometheus `cat test/fixtures/prometheus-0.0.4.txt`
\set openmetrics `cat test/fixtures/openmetrics-1.0.0.txt`
\set limits `cat test/fixtures/salesforce-limits.json`
\set errors `cat test/fixtures/salesforce-errors.json`

select results_eq(
    format($$select metric, labels, value, at from saas.parse_exposition(%L)$$, :'prometheus'),
    $$values ('http_requests_total', '{"method": "post", "code": "200"}'::jsonb, 1027::double precision, timestamptz '2014-03-17 14:26:03+00'),
             ('http_requests_total', '{"method": "post", "code": "400"}', 3, '2014-03-17 14:26:03+00'),
             ('msdos_file_access_time_seconds', jsonb_build_object('path', 'C:\DIR\FILE.TXT', 'error', E'Cannot find file:\n"FILE.TXT"'), 1458255915, null),
             ('my.dotted.metric', '{"error.message": "Not Found"}', 7, null),
             ('metric_without_timestamp_and_labels', '{}', 12.47, null),
             ('something_weird', '{"problem": "division by zero"}', 'Infinity', '1969-12-31 22:53:37.955+00'),
             ('http_request_duration_seconds_bucket', '{"le": "0.05"}', 24054, null),
             ('http_request_duration_seconds_bucket', '{"le": "0.1"}', 33444, null),
             ('http_request_duration_seconds_bucket', '{"le": "1"}', 133988, null),
             ('http_request_duration_seconds_bucket', '{"le": "+Inf"}', 144320, null),
             ('http_request_duration_seconds_sum', '{}', 53423, null),
             ('http_request_duration_seconds_count', '{}', 144320, null)$$,
    'the example of the Prometheus text format');
select results_eq(
    format($$select metric, labels, value from saas.parse_exposition(%L, 'openmetrics')$$, :'openmetrics'),
    $$values ('acme_http_router_request_seconds_sum', '{"path": "/api/v1", "method": "GET"}'::jsonb, 9036.32::double precision),
             ('acme_http_router_request_seconds_count', '{"path": "/api/v1", "method": "GET"}', 807283),
             ('acme_http_router_request_seconds_created', '{"path": "/api/v1", "method": "GET"}', 1605281325),
             ('go_goroutines', '{}', 69),
             ('process_cpu_seconds_total', '{}', 4200722.46)$$,
    'the example of OpenMetrics');

-- PostgreSQL's own reader of JSON, as a second opinion.
select set_eq(
    format($$select limit_name, max, remaining from saas.read_salesforce_limits(%L)$$, :'limits'),
    format($$select l.key, (l.value ->> 'Max')::double precision as max, (l.value ->> 'Remaining')::double precision as remaining from jsonb_each(%1$L) l
             union all
             select l.key || '.' || n.key, (n.value ->> 'Max')::double precision, (n.value ->> 'Remaining')::double precision
               from jsonb_each(%1$L) l, jsonb_each(l.value) n where jsonb_typeof(n.value) = 'object'$$, :'limits'),
    'Salesforce''s limits are all there, nested ones as Parent.Child');
select is(count(*), 52::bigint, 'as many as the document has') from saas.read_salesforce_limits(:'limits');
select throws_ok(format('select * from saas.read_salesforce_limits(%L)', :'errors'), '22P02', null, 'Salesforce''s errors are no limits');

-- The poller's guard.
select results_eq(format('select host(address), allowed, reason from saas.check_address(%L)', 'https://' || host || '/metrics'),
                  format('values (%L, %L::boolean, %L)', plain, allowed, reason), host)
  from (values ('8.8.8.8', '8.8.8.8', true, null), ('127.0.0.1', '127.0.0.1', false, 'loopback'),
               ('10.1.2.3', '10.1.2.3', false, 'private'), ('[::1]', '::1', false, 'loopback'),
               ('169.254.169.254', '169.254.169.254', false, 'link-local')) as a (host, plain, allowed, reason);
select ok(count(*) > 0 and not bool_or(allowed), 'a name is looked up: localhost is nowhere to go') from saas.check_address('https://localhost/');
select throws_ok($$select * from saas.check_address('https://nowhere.invalid/')$$, '08001', 'the host name could not be resolved', 'a name that is not there');
select throws_ok(format('select * from saas.check_address(%L)', url), '22023', null, 'not taken: ' || url)
  from (values ('http://8.8.8.8/'), ('8.8.8.8'), ('https://user:pw@8.8.8.8/'), ('https://127.1/'), ('')) as u (url);
select ok(has_function_privilege('saas_operator', 'saas.check_address(text)', 'execute')
          and not has_function_privilege('saas_user', 'saas.check_address(text)', 'execute'), 'it is the operator''s');

select * from finish();
