-- What a person's organization sees under the person's own token.
\set entrance `echo "$DEMO_DIR/as-"` :person
\i :entrance
\pset footer off
\pset linestyle :style
\pset null -

\echo '-- select name, kind, ... from saas_api.connections'
select name, kind, to_char(poll_interval, 'FMSS "s"') as every, to_char(last_success_at, 'HH24:MI:SS') as "last poll",
       status, health
  from saas_api.connections
 order by name;

\echo '-- select saas_api.limits_overview()                                   the ten fullest limits'
select case when length(l ->> 'name') > 29 then left(l ->> 'name', 26) || '...' else l ->> 'name' end as "limit",
       rpad(repeat(:'full', greatest(round((l ->> 'percent')::numeric / 6.25)::integer, 0)), 16, :'empty') as "used up",
       to_char((l ->> 'percent')::numeric, '990.0') as "%", to_char((l ->> 'used')::numeric, '999,990') as used,
       to_char((l ->> 'max')::numeric, '999,990') as max, l ->> 'level' as level
  from jsonb_array_elements(saas_api.limits_overview()) c, jsonb_array_elements(c -> 'limits') l
 order by (l ->> 'percent')::numeric desc, 1
 limit 10;

\echo '-- select metric, labels, value from saas_api.latest_samples     some of them'
with sample as (
    select c.name, c.kind, s.metric, s.labels, s.value
      from saas_api.latest_samples s join saas_api.connections c on c.id = s.connection_id
), counted as (
    select name, count(*) as n from sample group by name
)
select s.name as connection, s.metric || coalesce('{' || (select string_agg(k || '="' || v || '"', ',')
                                                           from jsonb_each_text(s.labels) as e (k, v)) || '}', '') as metric,
       case when s.metric like '%\_bytes' then pg_size_pretty(s.value::bigint)
            when s.metric like '%\_seconds' then to_char(to_timestamp(s.value), 'YYYY-MM-DD HH24:MI')
            else s.value::text end as value
  from sample s
 where s.metric in ('node_load1', 'node_memory_MemTotal_bytes', 'node_memory_MemAvailable_bytes',
                    'node_boot_time_seconds', 'node_procs_running')
    or (s.metric = 'salesforce_limit_remaining' and s.labels ->> 'limit' in ('DailyApiRequests', 'DataStorageMB', 'FileStorageMB'))
union all
select n.name, '... and ' || n.n || ' series in all', null from counted n
 order by 1, 3 nulls last, 2;

\echo '-- select * from saas_api.query_metric(\'salesforce_limit_used\', bucket => \'1 second\','
\echo '--     fn => \'last\', labels => \'{"limit": "DailyApiRequests"}\', group_by => \'{connection}\')'
\echo '--     the newest four: each poll spends a request of its own'
select to_char(bucket_at, 'HH24:MI:SS') as bucket, grp, value
  from saas_api.query_metric('salesforce_limit_used', since => now() - interval '1 minute', bucket => '1 second',
                             fn => 'last', labels => '{"limit": "DailyApiRequests"}', group_by => '{connection}')
 order by bucket_at desc
 limit 4;
commit;
