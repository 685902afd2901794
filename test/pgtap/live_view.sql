-- The newest values of many connections are read with one index probe for each
-- connection and one look for its series, however old its readings are.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
set saas.restrict_sessions = off;
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema live;
create table live.org (name text, user_id uuid, org_id uuid);
insert into live.org select n, (t).* from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
create table live.layout (org_id uuid, layout_id uuid, n integer);
insert into live.layout
select c.org_id, tenants.lay_out(c.org_id, c.id, (select jsonb_agg(jsonb_build_object('metric', 'm' || k % 5, 'labels', jsonb_build_object('k', k::text)))
                                                    from generate_series(1, 60) k)), c.n
  from (select o.org_id, tenants.connect(o.org_id, 'c' || g) as id, g as n from live.org o, generate_series(1, 40) g) c;
-- Six weeks; of the last connection there is nothing in the newest.
select count(tenants.read(l.org_id, l.layout_id, g.at, variadic (select array_agg(l.n + k::double precision) from generate_series(1, 60) k)))
  from live.layout l, generate_series(timestamptz '2026-01-05', '2026-02-15', interval '12 hours') as g (at)
 where l.n < 40 or g.at < '2026-02-09';
analyze saas.connection;
analyze saas.layout;
analyze saas.series;
analyze saas.reading;

create function live.as_owner(statement text) returns text
language plpgsql as $$
declare
    result text;
begin
    perform saas.assume_identity(o.user_id, o.org_id) from live.org o where o.name = 'owner';
    set local session authorization saas_user;
    execute statement into result;
    reset session authorization;
    return result;
end
$$;
create function live.plan_of(statement text) returns jsonb
language plpgsql as $$
begin
    -- The first time warms the caches.
    perform live.as_owner('explain (analyze, buffers, timing off, format json) ' || statement);
    return live.as_owner('explain (analyze, buffers, timing off, format json) ' || statement)::jsonb -> 0 -> 'Plan';
end
$$;
-- jsonb_path_query goes down to every node.
create function live.check_plan(title text) returns setof text
language plpgsql as $$
declare
    plan constant jsonb := live.plan_of('select * from saas_api.latest_samples');
    nodes constant jsonb[] := array(select n from jsonb_path_query(plan, 'strict $.**') n where n ? 'Node Type');
begin
    return next is(plan -> 'Actual Rows', '2400', title || 'all samples of 40 connections');
    return next cmp_ok((plan ->> 'Shared Hit Blocks')::integer + (plan ->> 'Shared Read Blocks')::integer, '<', 40 * 20,
                       title || 'take a few pages for each connection and not for each sample');
    -- Those of both organizations, where all are read at once.
    return next cmp_ok((select sum(((n ->> 'Actual Rows')::numeric + coalesce((n ->> 'Rows Removed by Filter')::numeric, 0)) * (n ->> 'Actual Loops')::numeric)
                          from unnest(nodes) n where n ->> 'Relation Name' = 'series'), '<=', 2 * 2400::numeric, title || 'no series is read twice');
    return next cmp_ok((select max((n ->> 'Actual Loops')::integer) from unnest(nodes) n where n ->> 'Relation Name' = 'series'), '<=', 40,
                       title || 'those of a connection together');
    return next cmp_ok((select sum((n ->> 'Actual Loops')::integer) from unnest(nodes) n where n ->> 'Relation Name' like 'reading\_%'), '<=', 80::bigint,
                       title || 'of each connection the newest partition is looked at, and those before only when it has nothing');
    return next is((select string_agg(n ->> 'Node Type', ' ') from unnest(nodes) n
                     where n ->> 'Node Type' in ('Function Scan', 'Hash', 'Materialize', 'Memoize', 'Sort') and (n ->> 'Actual Loops')::integer > 1), null,
                   title || 'no rows are made ready for each connection anew');
end
$$;
select live.check_plan('');
create procedure live.forget_statistics()
language plpgsql as $$
begin
    delete from pg_statistic s using pg_partition_tree('saas.reading') p where s.starelid = p.relid;
    delete from pg_statistic s where s.starelid in ('saas.connection'::regclass, 'saas.layout'::regclass, 'saas.series'::regclass);
    update pg_class c set relpages = 0, reltuples = -1
     where c.oid in ('saas.connection'::regclass, 'saas.layout'::regclass, 'saas.series'::regclass)
        or c.oid in (select p.relid from pg_partition_tree('saas.reading') p);
end
$$;
begin;
call live.forget_statistics();
select live.check_plan('without statistics: ');
rollback;
select is(live.as_owner('select string_agg(distinct s.at::text, '' '') from saas_api.latest_samples s'),
          '2026-02-08 12:00:00+00 2026-02-15 00:00:00+00', 'a connection that has been silent shows its last reading');
select is(live.as_owner($$select count(*) from (select from saas_api.latest_samples s group by s.connection_id
                          having count(distinct s.value - (s.labels ->> 'k')::double precision) = 1 and count(*) = 60) g$$), '40',
          'with the values at their series');
select format('select * from saas_api.latest_samples s where s.connection_id = %L',
              (select y.connection_id from live.layout l join live.org o on o.org_id = l.org_id and o.name = 'owner'
                              join saas.layout y on y.org_id = l.org_id and y.id = l.layout_id where l.n = 5)) as of_one \gset
select live.plan_of(:'of_one') as plan \gset
select is(:'plan'::jsonb -> 'Actual Rows', '60', 'those of one connection');
select cmp_ok((:'plan'::jsonb ->> 'Shared Hit Blocks')::integer + (:'plan'::jsonb ->> 'Shared Read Blocks')::integer, '<', 300,
              'do not take those of others');

-- Series that ended long ago
insert into saas.series (org_id, connection_id, metric, labels, seen_at)
select y.org_id, y.connection_id, 'ended', jsonb_build_object('k', k), '2026-01-05'
  from live.layout l join live.org o on o.org_id = l.org_id and o.name = 'owner' join saas.layout y on y.org_id = l.org_id and y.id = l.layout_id,
       generate_series(1, 1000) k
 where l.n <= 5;
analyze saas.series;
select live.plan_of(:'of_one') as plan \gset
select is(:'plan'::jsonb -> 'Actual Rows', '60', 'are not shown');
select cmp_ok((select sum(((n ->> 'Actual Rows')::numeric + coalesce((n ->> 'Rows Removed by Filter')::numeric, 0)) * (n ->> 'Actual Loops')::numeric)
                 from jsonb_path_query(:'plan'::jsonb, 'strict $.**') n where n ->> 'Relation Name' = 'series'), '<', 200::numeric, 'and not gone through');

-- The function below it

select set_eq($$select u.value from saas.unfold(array[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], '{1,null}') with ordinality u (id, value, n)$$,
              array[1, null, null]::double precision[], 'a series without a value has NULL');
select is((select string_agg(u.n || '=' || coalesce(u.value::text, '-'), ' ' order by u.n)
             from saas.unfold(array['00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000003']::uuid[],
                              '{null,2,3,4}') with ordinality u (id, value, n)), '1=- 2=2 3=3', 'each its own, by its place; a value without a series is none');
select is((select count(*) from saas.unfold('{}', '{}')), 0::bigint, 'nothing of nothing');
select is((select count(*) from saas.unfold(null, '{1}')), 0::bigint, 'and of NULL');
select throws_ok($$select * from saas.unfold(array[null]::uuid[], '{1}')$$, '22023', null, 'a series that is NULL');
select throws_ok($$select * from saas.unfold('{}', '{{1,2}}')$$, '22023', null, 'values of two dimensions');
select * from finish();
