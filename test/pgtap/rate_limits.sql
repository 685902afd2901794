-- Plans, and which limit of requests counts: an organization's own, its
-- plan's, everybody's, and an API key's besides; what is noted of a refusal.
-- (Sliding windows and addresses: limits.sql.  Through HTTP: test/tap/clients.t.)
select no_plan();
\ir ../lib/tenants.sql

create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
    details text;
begin
    execute statement;
    return 'accepted';
exception when others then
    get stacked diagnostics details = pg_exception_detail;
    return concat_ws(' ', sqlstate, sqlerrm, nullif(details, ''));
end
$$;
create type pg_temp.verdict as (allowed boolean, max_requests integer, remaining integer, retry_after integer);
-- Requests with a key, which count though everything else is undone.
create function pg_temp.requests(token text, times integer default 1) returns setof pg_temp.verdict language plpgsql as $$
declare
    verdict pg_temp.verdict;
    verdicts pg_temp.verdict[] := '{}';
begin
    begin
        perform saas.authenticate(token);
        for i in 1..times loop
            select l.allowed, l.max_requests, l.remaining, l.retry_after into verdict from saas_private.check_rate_limit() l;
            verdicts := verdicts || verdict;
        end loop;
        raise exception using errcode = 'ZZ000';
    exception when sqlstate 'ZZ000' then
        return query select v.* from unnest(verdicts) v;
    end;
end
$$;
create procedure pg_temp.until(condition text) language plpgsql as $$
declare
    begun_at timestamptz := clock_timestamp();
    is_true boolean;
begin
    loop
        execute 'select ' || condition into is_true;
        commit;
        exit when is_true;
        if clock_timestamp() > begun_at + interval '1 minute' then
            raise exception 'not within a minute: %', condition;
        end if;
    end loop;
end
$$;
create function pg_temp.limit_of(org_id uuid) returns text language sql as $$
    select l.max_requests || ' in ' || l.window_length from saas_private.organization_limit(org_id) l
$$;
create function pg_temp.limit_of(org_id uuid, api_key_id uuid) returns text language sql as $$
    select l.max_requests || ' in ' || l.window_length from saas_private.api_key_limit(org_id, api_key_id) l
$$;
create function pg_temp.key(name text, user_id uuid, org_id uuid) returns jsonb language sql as $$
    select tenants.answer(format('saas_api.create_api_key(%L, array[''view_dashboard'', ''manage_applications''])', name),
                          user_id, org_id)::jsonb
$$;
-- The answer of a limit's setting by somebody, or the error.
create function pg_temp.set_limit(user_id uuid, org_id uuid, api_key_id text, arguments text) returns text language sql as $$
    select tenants.answer(format('saas_api.set_api_key_rate_limit(%L, %s) ->> ''max_requests''', api_key_id, arguments),
                          user_id, org_id)
$$;
set saas.bcrypt_cost = 10;

select user_id as ada, org_id as org_a from tenants.found('ada') \gset
select user_id as bob, org_id as org_b from tenants.found('bob') \gset
select tenants.join('vic', :'org_a', 'viewer') as vic \gset
select pg_temp.key('one', :'ada', :'org_a') as one \gset
select pg_temp.key('two', :'ada', :'org_a') as two \gset
select pg_temp.key('one', :'bob', :'org_b') as three \gset
select pg_temp.key('two', :'bob', :'org_b') as four \gset
select :'one'::jsonb ->> 'id' as one_id, :'one'::jsonb ->> 'key' as one_key,
       :'two'::jsonb ->> 'id' as two_id, :'two'::jsonb ->> 'key' as two_key,
       :'three'::jsonb ->> 'id' as three_id, :'three'::jsonb ->> 'key' as three_key,
       :'four'::jsonb ->> 'id' as four_id, :'four'::jsonb ->> 'key' as four_key \gset

--
-- Plans
--
select results_eq('select name from saas.plan order by created_at, name', array['enterprise', 'free', 'pro', 'starter'],
                  'there are plans from the start');
select is(tenants.answer('(select plan from saas_api.organization)', :'ada', :'org_a'), 'enterprise', 'an organization begins on the one without limits');
set role saas_operator;
select saas.set_plan(:'org_a', ' Professional ');
reset role;
select is(tenants.answer('(select plan from saas_api.organization)', :'ada', :'org_a'), 'pro', 'the operator puts it on another');
select is(tenants.answer('(select plan from saas_api.organization)', :'bob', :'org_b'), 'enterprise', 'and no other organization');
select matches(pg_temp.refusal(format('select saas.set_plan(%L, %L)', :'org_a', name)), '^22023 invalid input .*"plan"', 'no plan: ' || coalesce(name, 'null'))
  from (values ('gold'), (''), (null)) as p (name);
select is(pg_temp.refusal($$select saas.set_plan(gen_random_uuid(), 'pro')$$), 'PT404 organization not found', 'nor an organization that is not there');
select matches(tenants.answer(call, :'ada', :'org_a'), '^42501', 'a tenant does not: ' || call)
  from (values ($$saas.set_plan(saas.current_org_id(), 'enterprise')$$),
               ($$(select name from saas.plan limit 1)$$),
               ($$saas.set_rate_limit('organization', saas.current_org_id(), 1000000)$$),
               ($$saas_private.organization_limit(saas.current_org_id())$$),
               ($$saas_private.api_key_limit(saas.current_org_id(), saas.uuidv7())$$)) as c (call);
begin;
select saas.assume_identity(:'ada', :'org_a') \gset
set local role saas_user;
select matches(pg_temp.refusal($$update saas.organization set plan = 'enterprise'$$), '^42501', 'nor by writing it');
rollback;

--
-- The most specific limit of an organization counts.
--
select is(pg_temp.limit_of(:'org_a'), '1000 in 00:15:00', 'everybody''s, where there is no other');
select is(pg_temp.limit_of(null), '1000 in 00:15:00', 'who has no organization has that one');
select saas.set_rate_limit('plan', null, 500, '10 minutes', plan => 'professional');
select saas.set_rate_limit('plan', null, 1000000, '1 minute', plan => 'starter');
select is(pg_temp.limit_of(:'org_a'), '500 in 00:10:00', 'the plan''s before everybody''s');
select is(pg_temp.limit_of(:'org_b'), '1000 in 00:15:00', 'of that plan only');
select saas.set_rate_limit('organization', :'org_a', 700);
select is(pg_temp.limit_of(:'org_a'), '700 in 00:15:00', 'its own before the plan''s, though that is lower');
select is(pg_temp.limit_of(:'org_b'), '1000 in 00:15:00', 'and nobody else''s');
select saas.set_rate_limit('organization', null, 900);
select is(pg_temp.limit_of(:'org_b'), '900 in 00:15:00', 'everybody''s can be replaced');
select saas.set_rate_limit('organization', :'org_a', null);
select is(pg_temp.limit_of(:'org_a'), '500 in 00:10:00', 'an own one taken away leaves the plan''s');
select saas.set_rate_limit('plan', null, null, plan => 'pro');
select is(pg_temp.limit_of(:'org_a'), '900 in 00:15:00', 'the plan''s taken away leaves everybody''s');
select is(count(*), 1::bigint, 'another plan''s stays') from saas.rate_limit where scope = 'plan';
select saas.set_rate_limit('organization', null, 1000);

select is(pg_temp.refusal('select saas.set_rate_limit(' || arguments || ')'), expected, arguments)
  from (values
    ($$'plan', null, 1$$, '22023 invalid input [{"field": "plan", "message": "belongs to the scope plan"}]'),
    ($$'plan', null, 1, plan => 'gold'$$, '22023 invalid input [{"field": "plan", "message": "must be a plan that exists"}]'),
    ($$'organization', null, 1, plan => 'pro'$$, '22023 invalid input [{"field": "plan", "message": "belongs to the scope plan"}]'),
    ($$'plan', gen_random_uuid(), 1, plan => 'pro'$$, '22023 invalid input [{"field": "org_id", "message": "must be null for plans and addresses"}]'),
    ($$'key', null, 1, api_key_id => gen_random_uuid()$$, '22023 invalid input [{"field": "org_id", "message": "must be the organization of the API key"}]'),
    (format($$'key', %L, 1$$, :'org_a'), '22023 invalid input [{"field": "api_key_id", "message": "belongs to the scope key"}]'),
    ($$'address', null, 1, api_key_id => gen_random_uuid()$$, '22023 invalid input [{"field": "api_key_id", "message": "belongs to the scope key"}]'),
    (format($$'key', %L, 1, api_key_id => %L$$, :'org_b', :'one_id'), 'PT404 API key not found'),
    ($$'organization', null, null$$, '22023 invalid input [{"field": "max_requests", "message": "must be from 1 to 1000000000"}]'),
    ($$'address', null, null$$, '22023 invalid input [{"field": "max_requests", "message": "must be from 1 to 1000000000"}]'))
    as refused (arguments, expected);

--
-- Who sets an API key's limit
--
select is(pg_temp.set_limit(:'ada', :'org_a', :'one_id', '3, ''1 hour'''), '3', 'holders of manage_applications limit a key');
select is(tenants.answer('(select string_agg(concat_ws('' '', name, max_requests, window_length), '', '' order by name) from saas_api.api_keys)', :'ada', :'org_a'),
          'one 3 01:00:00, two', 'and see it');
select is(pg_temp.set_limit(:'bob', :'org_b', :'one_id', '3'), E'PT404\nAPI key not found', 'another organization''s key is not there');
select is(pg_temp.set_limit(:'bob', :'org_b', :'one_id', 'null'), E'PT404\nAPI key not found', 'nor can its limit be taken away');
select is(tenants.answer('(select count(*) from saas_api.api_keys where max_requests is not null)', :'bob', :'org_b'), '0', 'or seen');
select is(split_part(pg_temp.set_limit(:'vic', :'org_a', :'one_id', '3'), E'\n', 1), 'PT403', 'members without the permission do not');
select is(pg_temp.set_limit(:'ada', :'org_a', :'two_id', arguments), E'22023\ninvalid input\n' || expected, arguments)
  from (values
    ('1001', '[{"field": "max_requests", "message": "must not be more than the organization''s 1000 in 900 seconds"}]'),
    ('2, ''1 second''', '[{"field": "max_requests", "message": "must not be more than the organization''s 1000 in 900 seconds"}]'),
    ('0', '[{"field": "max_requests", "message": "must be from 1 to 1000000000"}]'),
    ('1, ''2 days''', '[{"field": "window_length", "message": "must be from one second to one day"}]'))
    as refused (arguments, expected);
select is(pg_temp.set_limit(:'ada', :'org_a', :'two_id', '1000'), '1000', 'as much as the organization is allowed');
select is(pg_temp.set_limit(:'ada', :'org_a', :'two_id', 'null'), null, 'and none at all again');
begin;
select saas.authenticate(:'one_key') \gset
set local role saas_user;
select is(pg_temp.refusal(format('select saas_api.set_api_key_rate_limit(%L, null)', :'one_id')),
          'PT403 not possible with an API key', 'a key does not free itself');
rollback;

select is(pg_temp.limit_of(:'org_a', :'one_id'), '3 in 01:00:00', 'the organization''s word counts');
select saas.set_rate_limit('key', :'org_a', 2, '1 hour', api_key_id => :'one_id');
select is(pg_temp.limit_of(:'org_a', :'one_id'), '2 in 01:00:00', 'the operator''s, where it is lower');
select saas.set_rate_limit('key', :'org_a', 30, '1 hour', api_key_id => :'one_id');
select is(pg_temp.limit_of(:'org_a', :'one_id'), '3 in 01:00:00', 'and not where it is higher');
select is(pg_temp.limit_of(:'org_a', :'two_id'), null, 'another key has none');
select saas.set_rate_limit('key', :'org_a', null, api_key_id => :'one_id');
select is(count(*), 0::bigint, 'the operator takes theirs away') from saas.rate_limit where scope = 'key';
select is(pg_temp.limit_of(:'org_a', :'one_id'), '3 in 01:00:00', 'not the organization''s');

--
-- Counting: both must allow.
--
select results_eq(format('select * from pg_temp.requests(%L, 5)', :'one_key'),
                  $$values (true, 3, 2, 0), (true, 3, 1, 0), (true, 3, 0, 0), (false, 3, 0, 3600), (false, 3, 0, 3600)$$,
                  'a key is held to its limit, which is the tighter one');
select results_eq(format('select * from pg_temp.requests(%L, 1)', :'two_key'),
                  $$values (true, 1000, 996, 0)$$, 'the organization has counted what was allowed, and nothing else');

select saas.set_rate_limit('organization', :'org_b', 4, '1 hour');
select pg_temp.set_limit(:'bob', :'org_b', :'three_id', '4, ''1 hour''') as ok \gset
select results_eq(format('select * from pg_temp.requests(%L, 2)', :'four_key'),
                  $$values (true, 4, 3, 0), (true, 4, 2, 0)$$, 'a key without a limit has the organization''s');
select results_eq(format('select allowed, remaining, retry_after > 0 from pg_temp.requests(%L, 4)', :'three_key'),
                  $$values (true, 1, false), (true, 0, false), (false, 0, true), (false, 0, true)$$,
                  'and the organization''s is the tighter one for a key that could go on');
select saas.set_rate_limit('organization', :'org_b', 100, '1 hour');
call pg_temp.until(format('(select max_requests = 100 from pg_temp.requests(%L))', :'four_key'));
select results_eq(format('select max_requests, remaining from pg_temp.requests(%L, 1)', :'three_key'),
                  $$values (4, 1)$$, 'what the organization refused was not counted for the key');

-- A session that has read them follows changes of each.
select saas.set_plan(:'org_a', 'starter');
call pg_temp.until(format('(select max_requests = 1000000 from pg_temp.requests(%L))', :'two_key'));
select pass('a change of plan counts');
select pg_temp.set_limit(:'ada', :'org_a', :'one_id', '40, ''1 hour''') as ok \gset
call pg_temp.until(format('(select max_requests = 40 from pg_temp.requests(%L))', :'one_key'));
select pass('a change of a key''s limit counts');

--
-- What is noted
--
-- So that the key's limit is what is exceeded, however often it is tried.
select saas.set_rate_limit('organization', :'org_b', 1000000, '1 hour');
call pg_temp.until(format('(select max_requests = 1000000 from pg_temp.requests(%L))', :'four_key'));
select pg_temp.set_limit(:'bob', :'org_b', :'four_id', '1, ''1 hour''') as ok \gset
select set_config('request.method', 'DELETE' || repeat('x', 1000), false),
       set_config('request.path', E'/rpc/a"\\\u0001\u0085é' || repeat('ä', 1000), false) \gset
call pg_temp.until(format('(select not allowed from pg_temp.requests(%L))', :'four_key'));
reset request.method;
reset request.path;
call saas.poll();
create view pg_temp.noted as
select e.subject, e.payload from saas_private.security_event e
 where e.kind = 'rate_limited' and e.payload ->> 'limit' = '1' order by e.at;
call pg_temp.until('exists (select from pg_temp.noted)');
select is(n.subject, :'org_b'::uuid, 'a refusal is noted with the organization') from pg_temp.noted n limit 1;
select is(n.payload, jsonb_build_object('by', 'key', 'limit', 1, 'api_key_id', :'four_id', 'method', 'DELETE' || repeat('x', 14),
                                        'path', left('/rpc/a?????é' || repeat('ä', 1000), 85)),
          'key, method and path, bounded, with nothing that JSON would write longer') from pg_temp.noted n limit 1;

select set_config('request.method', 'GET', false), set_config('request.path', '/connections?token=sesame#x', false) \gset
select saas.set_rate_limit('address', null, 1, '1 hour');
call pg_temp.until($$(select not l.allowed from saas_private.check_rate_limit('192.0.2.1') l)$$);
reset request.method;
reset request.path;
call saas.poll();
call pg_temp.until($$exists (select from pg_temp.noted where payload ->> 'by' = 'address')$$);
select results_eq($$select subject, payload from pg_temp.noted where payload ->> 'by' = 'address' limit 1$$,
                  $$values (null::uuid, '{"by": "address", "limit": 1, "address": "192.0.2.1", "method": "GET", "path": "/connections"}'::jsonb)$$,
                  'an address is noted itself, without an organization, and never a query string');

--
-- What goes, takes its limit along.
--
select saas.set_rate_limit('key', :'org_b', 2, '1 hour', api_key_id => :'three_id');
delete from saas.api_key where id = :'three_id';
select is(count(*), 0::bigint, 'a key''s limit goes with the key') from saas.rate_limit where scope = 'key';

select * from finish();
