-- Reading metrics: definer functions of saas_owner, which sees the rows of the
-- identity only, as the caller would.  Leans on the metrics tables.

create function saas_private.nice_bucket(since timestamptz, until timestamptz) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select b.step
           from unnest(array[interval '1 minute', '5 minutes', '15 minutes', '1 hour', '6 hours', '1 day',
                             '7 days']) with ordinality as b (step, n)
          where (until - since) <= b.step * 150
          order by b.n limit 1),
        interval '30 days')
$$;
comment on function saas_private.nice_bucket(timestamptz, timestamptz) is
'A round bucket that cuts the range into at most 150.';

create function saas_api.query_metric(metric text, since timestamptz default now() - interval '24 hours',
                                      until timestamptz default now(), bucket interval default null,
                                      fn text default 'avg', labels jsonb default '{}',
                                      connection_ids uuid[] default null, group_by text[] default '{}')
returns table (bucket_at timestamptz, grp jsonb, value double precision)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time timestamptz := coalesce(query_metric.since, now() - interval '24 hours');
    to_time timestamptz := coalesce(query_metric.until, now());
    step interval;
    chosen text := coalesce(query_metric.fn, 'avg');
    wanted jsonb := coalesce(query_metric.labels, '{}');
    keys text[] := coalesce(query_metric.group_by, '{}');
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', query_metric.metric, 255);
    if not (isfinite(from_time) and isfinite(to_time)) or from_time >= to_time then
        perform saas_private.raise_fields('invalid input', 'since', 'must be before until, both finite');
    end if;
    if chosen not in ('avg', 'sum', 'min', 'max', 'last', 'count') then
        perform saas_private.raise_fields('invalid input', 'fn', 'must be avg, sum, min, max, last or count');
    end if;
    if jsonb_typeof(wanted) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    step := coalesce(query_metric.bucket, saas_private.nice_bucket(from_time, to_time));
    if extract(epoch from step) < 1 then
        perform saas_private.raise_fields('invalid input', 'bucket', 'must be at least 1 second');
    elsif extract(epoch from to_time - from_time) / extract(epoch from step) > 11000 then
        perform saas_private.raise_fields('invalid input', 'bucket', 'cuts the range into more than 11000 buckets');
    end if;
    -- A month has no fixed length to cut by.
    step := make_interval(secs => extract(epoch from step)::double precision);

    return query
    select date_bin(step, s.at, timestamptz '2000-01-03 00:00:00+00'),
           (select coalesce(jsonb_object_agg(k.name, case k.name
                       when 'connection_id' then to_jsonb(s.connection_id)
                       when 'connection' then to_jsonb(c.name)
                       when 'environment' then to_jsonb(c.environment)
                       when 'kind' then to_jsonb(c.kind)
                       else coalesce(s.labels -> k.name,
                                     case when k.name like 'tag:%' then c.tags -> substr(k.name, 5) end)
                   end), '{}')
              from unnest(keys) as k (name)) as grouped,
           -- Filtered, so that a sum that overflows is the asker's of a sum only.
           -- avg() would overflow on the squares of large values.
           case chosen
               when 'avg' then sum(s.value) filter (where chosen in ('avg', 'sum')) / nullif(count(s.value), 0)
               when 'sum' then sum(s.value) filter (where chosen in ('avg', 'sum'))
               when 'min' then min(s.value) filter (where chosen = 'min')
               when 'max' then max(s.value) filter (where chosen = 'max')
               when 'count' then count(s.value) filter (where chosen = 'count')::double precision
               else (array_agg(s.value order by s.at desc)
                     filter (where chosen = 'last' and s.value is not null))[1]
           end
      from saas.sample s
      join saas.connection c on c.org_id = s.org_id and c.id = s.connection_id
     where s.org_id = saas.current_org_id()
       and s.metric = query_metric.metric
       and s.at >= from_time and s.at < to_time
       and s.labels @> wanted
       and (query_metric.connection_ids is null or s.connection_id = any (query_metric.connection_ids))
     group by 1, 2
     order by 1, 2;
end
$$;
alter function saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[]) owner to saas_owner;
comment on function saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[]) is
'Values of a metric in time buckets (bucket chosen by itself when NULL; at most 11000 of them) over raw samples. fn: avg, sum, min, max, last or count of all samples in bucket and group. labels: only series that have them all. group_by: connection_id, connection, environment, kind, tag:NAME or a label. An unknown metric gives no rows. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_private.limit_level(percent double precision) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when percent >= 90 then 'critical' when percent >= 75 then 'warning'
                when percent >= 50 then 'info' else 'ok' end
$$;
comment on function saas_private.limit_level(double precision) is
'ok, info from 50, warning from 75, critical from 90 percent used.';

create function saas_api.limits_overview(connection_id uuid default null) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    return (
        with latest as (
            select s.connection_id, s.at, s.labels ->> 'limit' as name,
                   max(s.value) filter (where s.metric = 'salesforce_limit_max') as max,
                   max(s.value) filter (where s.metric = 'salesforce_limit_remaining') as remaining,
                   max(s.value) filter (where s.metric = 'salesforce_limit_used') as used,
                   max(s.value) filter (where s.metric = 'salesforce_limit_percent') as percent
              from saas.latest_sample s
             where s.metric in ('salesforce_limit_max', 'salesforce_limit_remaining',
                                'salesforce_limit_used', 'salesforce_limit_percent')
               and (limits_overview.connection_id is null or s.connection_id = limits_overview.connection_id)
             group by s.connection_id, s.at, s.labels ->> 'limit'
        ), per_connection as (
            select l.connection_id, max(l.at) as at,
                   jsonb_agg(jsonb_build_object('name', l.name, 'max', l.max, 'remaining', l.remaining,
                                                'used', l.used, 'percent', round(l.percent::numeric, 2),
                                                'level', saas_private.limit_level(l.percent))
                             order by l.percent desc, l.name) as limits
              from latest l
             group by l.connection_id
        )
        select coalesce(jsonb_agg(jsonb_build_object(
                   'connection_id', c.id, 'name', c.name, 'environment', c.environment, 'status', c.status,
                   'health', c.health, 'last_updated', p.at, 'limits', coalesce(p.limits, '[]'),
                   'error', c.last_error) order by c.name, c.id), '[]')
          from saas_api.connections c
          left join per_connection p on p.connection_id = c.id
         where c.kind = 'salesforce'
           and (limits_overview.connection_id is null or c.id = limits_overview.connection_id));
end
$$;
alter function saas_api.limits_overview(uuid) owner to saas_owner;
comment on function saas_api.limits_overview(uuid) is
'The Salesforce limits grid, of one connection or all: [{connection_id, name, environment, status, health, last_updated, limits [{name, max, remaining, used, percent, level}], error}], the fullest limit first. level: ok, info from 50, warning from 75, critical from 90 percent. A foreign or unknown id gives an empty list. Errors: PT401. For saas_user with view_dashboard.';
