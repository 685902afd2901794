-- The readers and the verifier of tokens through SQL.  They use jansson, whose
-- json_object() PostgreSQL exports too: objects are made and read by both in
-- turn, in one backend that must survive it.
select pg_backend_pid() as backend \gset

-- Prometheus text
select metric, labels, value, at at time zone 'UTC' as at from saas.parse_exposition(
$$# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{code="400", method="post",}	3

 spaces_around  1.5e3
escapes{path="C:\\DIR\\FILE.TXT",quote="\"",line="a\nb"} 1.458255915e9
{"a dotted.name", "a label"="é"} 7
before_the_epoch +Inf -3982045
not_a_number NaN
negative{le="+Inf"} -Inf$$);
select count(*) from saas.parse_exposition('');
select count(*) from saas.parse_exposition(null);
select metric, value from saas.parse_exposition(E'a 1\r\nb 2\r\n');

-- OpenMetrics
select metric, labels, value, at at time zone 'UTC' as at from saas.parse_exposition(
$$# TYPE a counter
# UNIT seconds
a_total{b="c"} 1.0 1605281325.5
a_created{b="c"} 1605281325.0
a_bucket{le="1.0"} 5 # {trace_id="x"} 0.7 1605281325.0
# EOF
$$, 'openmetrics');

-- What is malformed is named by its line
select saas.parse_exposition(E'a 1\nb\n');
\echo :LAST_ERROR_SQLSTATE
select saas.parse_exposition(E'a 1\n\n# HELP a b\na{b=c} 1\n');
select saas.parse_exposition('a{b="c} 1');
select saas.parse_exposition('a{b="c",b="d"} 1');
select saas.parse_exposition(E'a 1\na 1x');
select saas.parse_exposition('a 0x10');
select saas.parse_exposition('a 1 2 3');
select saas.parse_exposition('9a 1');
select saas.parse_exposition('<html><body>Sign in</body></html>');
select saas.parse_exposition(E'a 1\n', 'openmetrics');
select saas.parse_exposition(E'a 1\n# EOF\nb 1\n', 'openmetrics');
select saas.parse_exposition('a 1', 'json');
\echo :LAST_ERROR_SQLSTATE

-- Salesforce's limits
select * from saas.read_salesforce_limits(
$${"DailyApiRequests": {"Max": 5000, "Remaining": 4937},
   "PermissionSets": {"Max": 1500, "Remaining": 1499, "CreateCustom": {"Max": 1000, "Remaining": 999}},
   "Fraction": {"Max": 0.5, "Remaining": -1e2}}$$);
select count(*) from saas.read_salesforce_limits('{}');
select count(*) from saas.read_salesforce_limits(null);
select saas.read_salesforce_limits('');
select saas.read_salesforce_limits('[]');
\echo :LAST_ERROR_SQLSTATE
select saas.read_salesforce_limits('null');
select saas.read_salesforce_limits('{"A": {"Max": 1}}');
select saas.read_salesforce_limits('{"A": {"Max": "1", "Remaining": 1}}');
select saas.read_salesforce_limits('{"A": {"Max": 1, "Remaining": 1}');
select saas.read_salesforce_limits('{"A": {"Max": 1, "Remaining": 1}} x');
select saas.read_salesforce_limits(E'{\n"A": {"Max": 1, "Remaining": 1}, \n"A": {"Max": 2, "Remaining": 2}}');
select saas.read_salesforce_limits('{"A": {"Max": 1e999, "Remaining": 1}}');
select saas.read_salesforce_limits(repeat('{"a":', 100000));
select saas.read_salesforce_limits('[{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]');

-- Tokens: P-256 keys made for this test; each says what is wrong with it.
\set jwks '{"keys": [{"kty": "EC", "crv": "P-256", "x": "QL1O5XNBm4ijULnCg_cxndYKnVxoM3REb_I2SikZgQ4", "y": "RUF4m7DbKtEV9QAVkd7P_sZwgqWyXW6B1lgahcg6fqw", "kid": "one", "alg": "ES256", "use": "sig"}]}'
\set good 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.ahiKoNPMH140oPhIJqiS8kssv7nKnL-4FseQf3tApiJLCx950MDasiTEpuD3oUna_nuV6NghQINN2i-qlg7niw'
\set by_another_key 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.oK9iUrrwGq2TqCGHjb810J1bR4l9Q726l9vxjY3BiEo1wujg7azy6wItMaUBf3vZZqBV4YEbYIAt0KlqjU4U8g'
\set unknown_kid 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InR3byJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.F-lDD1pnUtqREiZczIt0WgSyYUC14_0fShgR_ZHWDxtX5k9rhjiWuo1qa-X-naQMKr14Mu7QA1OHVYFfynsZVA'
\set without_kid 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.c9rNbTBG25s7vcWQ3c8Uk8mLaE8K4VzZubP2zOawDg_a2QWcpXyU1ItydbgaXm977eUqPO05zyDvRcx_UG8J4g'
\set without_exp 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDB9.uiNEE1IzUuJTqtNrBnZXkHsT394rrl7zuKHhiFBQ5A6r_Gt0EFxXbkyWjPI1hOZliC2vixgCWoa4Dv3mPZ6-gg'
\set claim_twice 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJzdWIiOiJhIiwic3ViIjoiYiIsImV4cCI6MTcwMDAwMDkwMH0.9jjpVxHu6HRZO5CxkwO7ySjMqnjndJbOU-_Nw4zqrVCBv7mvsgWqlpbzKFaJO2JCSgzaAOcERsdbax0Pd7dmjw'
\set crit 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSIsImNyaXQiOlsiZXhwIl19.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.BW37nhv7VHDJkgmgkQAMvUZ11-rljQq685Fg_P0M6rOplUDgTOuNMFHOQqjjxDWoGEcRijFE96thQzM6TamXbw'
\set none 'eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.'
\set hs256 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.ExTgNC5D0gstTsxjDvIhUbKmaZP5dhRv9L6r69ilCV8'
\set altered 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLmNvbSIsImF1ZCI6InBnX3NhYXMiLCJzdWIiOiJzb21lb25lIGVsc2UiLCJ0eXBlIjoiYWNjZXNzIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDkwMH0.ahiKoNPMH140oPhIJqiS8kssv7nKnL-4FseQf3tApiJLCx950MDasiTEpuD3oUna_nuV6NghQINN2i-qlg7niw'
\set now '{"now": 1700000100}'
select saas.verify_jwt(:'good', :'jwks', :'now');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "issuer": "https://issuer.example.com", "audience": "pg_saas", "type": "access"}') ->> 'sub' as sub;
select saas.verify_jwt(:'without_kid', :'jwks', :'now') ->> 'sub' as sub;
select saas.verify_jwt(:'by_another_key', :'jwks', :'now');
\echo :LAST_ERROR_SQLSTATE
select saas.verify_jwt(:'unknown_kid', :'jwks', :'now');
select saas.verify_jwt(:'altered', :'jwks', :'now');
select saas.verify_jwt(:'none', :'jwks', :'now');
select saas.verify_jwt(:'hs256', :'jwks', :'now');
select saas.verify_jwt(:'crit', :'jwks', :'now');
select saas.verify_jwt(:'claim_twice', :'jwks', :'now');
select saas.verify_jwt(:'without_exp', :'jwks', :'now');
select saas.verify_jwt(:'good', :'jwks');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000929}') ->> 'exp' as within_leeway;
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000930}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000900, "leeway_s": 0}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1699999969}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "issuer": "https://other.example.com"}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "audience": "other"}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "type": "refresh"}');
select saas.verify_jwt(:'good' || 'A', :'jwks', :'now');
select saas.verify_jwt('not a token', :'jwks', :'now');
select saas.verify_jwt('', :'jwks', :'now');
select saas.verify_jwt(null, :'jwks', :'now');
select saas.verify_jwt(repeat('A', 8193), :'jwks', :'now');
select saas.verify_jwt(:'good', '{"keys": []}', :'now');
\echo :LAST_ERROR_SQLSTATE
select saas.verify_jwt(:'good', '[]', :'now');
select saas.verify_jwt(:'good', :'jwks', '[]');
\echo :LAST_ERROR_SQLSTATE
select saas.verify_jwt(:'good', :'jwks', '{"algorithms": ["none"]}');
select saas.verify_jwt(:'good', :'jwks', '{"algorithms": [1]}');
select saas.verify_jwt(:'good', :'jwks', '{"algorithms": []}');
select saas.verify_jwt(:'good', :'jwks', '{"algorithms": "ES256"}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "algorithms": ["RS256"]}');
select saas.verify_jwt(:'good', :'jwks', '{"now": 1700000100, "algorithms": ["RS256", "ES256"]}') ->> 'sub' as sub;
select saas.verify_jwt(:'good', :'jwks', '{"leeway": 1}');
select saas.verify_jwt(:'good', :'jwks', '{"now": "yesterday"}');

-- Objects of both libraries in turn
select json_object('{a,1,b,2}'), saas.parse_exposition('m{a="1"} 1'), json_object('{c,3}');
select config_to_store, account_key, origin from saas_private.check_connection('http_json',
    '{"url": "https://api.example.com/v1", "metrics": [{"name": "up", "path": "$.up"}]}', '{}');
select json_object('{}'), jsonb_object('{a,1}'), saas.read_salesforce_limits('{"A": {"Max": 1, "Remaining": 1}}');
select count(*) from generate_series(1, 1000) n,
    lateral saas_private.check_connection('prometheus', json_object(array['url', 'https://' || n || '.example.com/'])::jsonb, '{}');
select pg_backend_pid() = :backend as survived;

-- For operators, and for no tenant
set role saas_operator;
select count(*) from saas.parse_exposition('a 1'), saas.read_salesforce_limits('{"A": {"Max": 1, "Remaining": 1}}');
set role saas_user;
select saas.parse_exposition('a 1');
select saas.read_salesforce_limits('{}');
select saas.verify_jwt('', '{}');
reset role;
