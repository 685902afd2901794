-- saas.aws_sigv4(): the cases of the AWS Signature Version 4 test suite that a
-- URL can say, from test/fixtures/aws-sigv4.json, and what it refuses.
select no_plan();

\set suite `cat test/fixtures/aws-sigv4.json`

create function pg_temp.sign(entry jsonb) returns jsonb language sql as $$
    select saas.aws_sigv4(entry ->> 'method', 'https://example.amazonaws.com' || (entry ->> 'target'),
        (select jsonb_object_agg(h ->> 0, h ->> 1) from jsonb_array_elements(entry -> 'headers') h),
        convert_to(entry ->> 'body', 'UTF8'),
        jsonb_strip_nulls(jsonb_build_object('access_key_id', 'AKIDEXAMPLE',
            'secret_access_key', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', 'session_token', entry -> 'session_token')),
        'us-east-1', 'service', '2015-08-30 12:36:00+00')
$$;

-- Names of headers are unique in JSON, and a URL has no raw blanks or UTF-8.
select is(split_part(pg_temp.sign(entry) ->> 'Authorization', 'Signature=', 2), entry ->> 'signature', entry ->> 'name')
  from jsonb_array_elements(:'suite'::jsonb) entry
 where entry ->> 'target' ~ '^[!-~]*$'
   and (select count(*) = count(distinct h -> 0) from jsonb_array_elements(entry -> 'headers') h);

\set good '''GET'', ''https://sts.amazonaws.com/'', null, null, ''{"access_key_id": "A", "secret_access_key": "hush"}'', ''us-east-1'', ''sts'''
select is((select array_agg(k order by k) from jsonb_object_keys(saas.aws_sigv4(:good)) k),
    '{Authorization,Host,X-Amz-Date}', 'headers without a session token');
select is(saas.aws_sigv4('GET', url, null, null, '{"access_key_id": "A", "secret_access_key": "s", "session_token": "t"}', 'r', 's')
          ->> 'Host', host, url)
  from (values ('https://A.example:443/x', 'a.example'), ('http://a.example:80', 'a.example'), ('http://a.example:443', 'a.example:443'),
               ('https://[::1]:8443/', '[::1]:8443')) as u (url, host);
select is(saas.aws_sigv4(:good, at => '2026-01-02 03:04:05.678+00') ->> 'X-Amz-Date', '20260102T030405Z', 'the time is given in UTC');

select throws_ok(format('select saas.aws_sigv4(%s)', arguments), sqlstate, null, arguments)
  from (values
    ($$null, 'https://a/', null, null, '{}', 'r', 's'$$, '22023'),
    ($$'G T', 'https://a/', null, null, '{}', 'r', 's'$$, '22023'),
    ($$'GET', 'ftp://a/', null, null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', '[]', null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', '{"X":1}', null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', '{"X":"a\r\nb"}', null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', '{"authorization":"x"}', null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', null, null, '{"access_key_id":"A"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', null, null, '{"secret_access_key":"s"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', null, null, '{"access_key_id":"A","secret_access_key":"s","x":"y"}', 'r', 's'$$, '22023'),
    ($$'GET', 'https://a/', null, null, '{"access_key_id":"A","secret_access_key":"s"}', null, 's'$$, '22023'),
    ($$'GET', 'https://a/', null, null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's', 'infinity'$$, '22008'),
    ($$'GET', 'https://a/', null, null, '{"access_key_id":"A","secret_access_key":"s"}', 'r', 's', null$$, '22023')
  ) as t (arguments, sqlstate);

set role saas_operator;
select lives_ok(format('select saas.aws_sigv4(%s)', :'good'), 'operators may sign');
set role saas_user;
select throws_ok(format('select saas.aws_sigv4(%s)', :'good'), '42501', null, 'users may not');
reset role;

select * from finish();
