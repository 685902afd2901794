-- Reading metrics: definer functions of saas_owner, which sees the rows of the
-- identity only, as the caller would.  Leans on the metrics tables, rollups.
--
-- Levels are 0 readings, 1 by 5 minutes, 2 by hour, 3 by day.  The coarsest
-- whose buckets fit into the asked ones serves; the ends of the range, and what
-- is not rolled up yet, come from finer ones, down to readings.  Percentiles
-- come from readings, or from the sketches that hours and days have.

-- So many rows are usual.
create function saas.unfold(series_ids uuid[], "values" double precision[])
returns table (series_id uuid, value double precision)
language c immutable strict parallel safe rows 50
as 'MODULE_PATHNAME', 'pg_saas_unfold';
comment on function saas.unfold(uuid[], double precision[]) is
'The series of a layout with the values of a reading of it, a row each in their order; NULL for a series without a value. Errors: 22023 for arrays of several dimensions and series that are NULL. For everyone.';

-- For the view saas.latest_sample, which opens each connection's newest reading.
create function saas.open_reading(series_ids uuid[], "values" double precision[]) returns bytea
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_open_reading';
comment on function saas.open_reading(uuid[], double precision[]) is
'A reading with its layout''s series, for saas.opened_has() and saas.opened_value(). Of a series that comes twice one counts. Errors: 22023 for arrays of several dimensions and series that are NULL. For everyone.';

create function saas.opened_has(opened bytea, series_id uuid) returns boolean
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_opened_has';
comment on function saas.opened_has(bytea, uuid) is
'Whether a reading from saas.open_reading() is of a layout with the series. For everyone.';

create function saas.opened_value(opened bytea, series_id uuid) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_opened_value';
comment on function saas.opened_value(bytea, uuid) is
'The value of a series in a reading from saas.open_reading(); NULL when it has none. For everyone.';

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

-- Each key costs a look into the labels of every series.
create function saas_private.require_group_keys(group_by text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(require_group_keys.group_by) > 1 then
        perform saas_private.raise_fields('invalid input', 'group_by', 'must be a list');
    elsif cardinality(require_group_keys.group_by) > 32 then
        perform saas_private.raise_fields('invalid input', 'group_by', 'must have at most 32 keys');
    end if;
end
$$;
comment on function saas_private.require_group_keys(text[]) is
'Errors with 22023 when the keys to group by are no list, or more than 32.';

create function saas_private.require_metric_range(since timestamptz, until timestamptz) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not (isfinite(require_metric_range.since) and isfinite(require_metric_range.until))
       or require_metric_range.since >= require_metric_range.until then
        perform saas_private.raise_fields('invalid input', 'since', 'must be before until, both finite');
    end if;
    if require_metric_range.since < '1970-01-01' or require_metric_range.until > now() + interval '100 years' then
        perform saas_private.raise_fields('invalid input', 'since', 'must not be before 1970, and until not more than 100 years away');
    end if;
end
$$;
comment on function saas_private.require_metric_range(timestamptz, timestamptz) is
'Raises 22023 unless since is before until and both can be. For the functions of saas_owner.';

-- sum, avg, min, max, last, count, rate, increase, or p0 to p100 with decimals.
create function saas_private.require_metric_fn(fn text, out kind text, out fraction double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_metric_fn.fn ~ '^p(100|\d{1,2}(\.\d{1,3})?)$' then
        kind := 'percentile';
        fraction := substr(require_metric_fn.fn, 2)::double precision / 100;
    elsif require_metric_fn.fn in ('avg', 'sum', 'min', 'max', 'last', 'count', 'rate', 'increase') then
        kind := require_metric_fn.fn;
    else
        perform saas_private.raise_fields('invalid input', 'fn', 'must be avg, sum, min, max, last, count, rate, increase or a percentile like p95');
    end if;
end
$$;
comment on function saas_private.require_metric_fn(text) is
'What a function of metrics is: its name, or percentile with its fraction. Errors: 22023 with fields. For the functions of saas_owner.';

-- PostgreSQL takes what is no name for a POSIX rule, whose sign is turned round:
-- UTC+2 would be two hours behind UTC.  These have a digit, as few names do.
create function saas_private.require_time_zone(name text, field text default 'time_zone') returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_time_zone.name ~ '\d' and require_time_zone.name !~* '^(etc/gmt(0|[+-]\d|\+1[0-2]|-1[0-4])|gmt[+-]?0|(est5e|cst6c|mst7m|pst8p)dt)$' then
        perform saas_private.raise_fields('invalid input', require_time_zone.field, 'must be the name of a time zone');
    end if;
    perform now() at time zone require_time_zone.name;
exception when invalid_parameter_value then
    perform saas_private.raise_fields('invalid input', require_time_zone.field, 'must be the name of a time zone');
end
$$;
comment on function saas_private.require_time_zone(text, text) is
'Raises 22023 for the field unless there is such a time zone. For the functions of saas_owner.';

-- Where midnight comes twice, as the clock is set back over it, PostgreSQL takes the second.
create function saas_private.first_time(local timestamp, zone text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    at constant timestamptz := first_time.local at time zone first_time.zone;
begin
    return case when (at - interval '1 hour') at time zone first_time.zone = first_time.local then at - interval '1 hour' else at end;
end
$$;
comment on function saas_private.first_time(timestamp, text) is
'The first time at which the clocks of a time zone show this. For the functions of saas_owner.';

-- PostgreSQL's own takes the days of the session's time zone.
create function saas_private.move_back(at timestamptz, by interval, zone text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    dates constant interval := make_interval(years => extract(year from move_back.by)::integer, months => extract(month from move_back.by)::integer,
                                             days => extract(day from move_back.by)::integer);
begin
    return case when dates = interval '0' then move_back.at
                else saas_private.first_time((move_back.at at time zone move_back.zone) - dates, move_back.zone) end
           - (move_back.by - dates);
end
$$;
comment on function saas_private.move_back(timestamptz, interval, text) is
'A time so much earlier, whose months and days are those of a time zone. For the functions of saas_owner.';

create function saas_private.metric_bucket(at timestamptz, step interval, local_zone text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when metric_bucket.local_zone is null
                then date_bin(step, metric_bucket.at, timestamptz '2000-01-03 00:00:00+00')
                else saas_private.first_time(date_bin(step, metric_bucket.at at time zone local_zone, timestamp '2000-01-03'), local_zone) end;
end
$$;
comment on function saas_private.metric_bucket(timestamptz, interval, text) is
'The beginning of the bucket of a time; buckets of whole days in a time zone begin at its midnights. For the functions of saas_owner.';

-- Two days, one of which may have 25 hours.
create function saas_private.percentile_level(since timestamptz, until timestamptz, level integer) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when percentile_level.level < 2 then 0
                when percentile_level.until - percentile_level.since <= interval '49 hours'
                     and percentile_level.since >= (select k.raw_since from saas_private.retention_of(saas.current_org_id()) k) then 0
                else percentile_level.level end
$$;
comment on function saas_private.percentile_level(timestamptz, timestamptz, integer) is
'Where percentiles of a range come from, when its buckets allow a level: 0, readings, if all are kept and it is at most 49 hours, or if no level with sketches is allowed; else that level. For the functions of saas_owner.';

-- How a call is answered; kind and step are known to be right.
create function saas_private.metric_scope(since timestamptz, until timestamptz, bucket interval, kind text, time_zone text,
                                          out step interval, out level integer, out local_zone text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    seconds numeric;
    length constant numeric := extract(epoch from metric_scope.until - metric_scope.since);
    zone constant text := coalesce(metric_scope.time_zone, 'UTC');
begin
    step := coalesce(metric_scope.bucket, saas_private.nice_bucket(metric_scope.since, metric_scope.until));
    seconds := extract(epoch from step);
    if seconds < 1 then
        perform saas_private.raise_fields('invalid input', 'bucket', 'must be at least 1 second');
    elsif seconds > 86400 * 36525.0 then
        perform saas_private.raise_fields('invalid input', 'bucket', 'must be at most 36525 days');
    elsif length / seconds > 11000 then
        perform saas_private.raise_fields('invalid input', 'bucket', 'cuts the range into more than 11000 buckets');
    end if;
    -- A month has no fixed length to cut by.
    step := make_interval(secs => seconds::double precision);
    if zone <> 'UTC' then
        perform saas_private.require_time_zone(zone);
        if seconds % 86400 = 0 then
            local_zone := zone;
        end if;
    end if;
    level := case when seconds % 86400 = 0 and local_zone is null then 3
                  when seconds % 3600 = 0 then 2
                  when seconds % 300 = 0 then 1
                  else 0 end;
    -- Where midnight is not at a whole hour of UTC, at some time of the range. No
    -- time zone has been like that for less than 28 days (test/pgtap/time_zones.sql).
    if local_zone is not null and level = 2
       and exists (select from (select metric_scope.until as at union all
                                select generate_series(metric_scope.since, metric_scope.until, interval '28 days')) t
                    where extract(minute from (t.at at time zone local_zone) - (t.at at time zone 'UTC')) <> 0) then
        level := 1;
    end if;
    if metric_scope.kind = 'percentile' then
        level := saas_private.percentile_level(metric_scope.since, metric_scope.until, level);
    end if;
end
$$;
comment on function saas_private.metric_scope(timestamptz, timestamptz, interval, text, text) is
'Bucket, level (0 readings, 1 by 5 minutes, 2 by hour, 3 by day) and, for buckets of whole days elsewhere than in UTC, the time zone of a query. Errors: 22023 with fields. For the functions of saas_owner.';

create function saas_private.metric_rows(metric text, since timestamptz, until timestamptz, step interval, level integer,
                                         local_zone text, kind text, fraction double precision, labels jsonb,
                                         connection_ids uuid[], keys text[], most integer default saas_private.most_values())
returns table (bucket_at timestamptz, grp jsonb, value double precision)
language plpgsql stable rows 500
set search_path = pg_catalog, pg_temp
as $$
begin
    if metric_rows.kind in ('rate', 'increase') then
        return query
        with cell as materialized (
            select b.bucket_at, m.series_id, saas_private.total(m.increase) as gained
              from saas_private.metric_increases(metric_rows.metric, metric_rows.since, metric_rows.until, metric_rows.level,
                                                 metric_rows.labels, metric_rows.connection_ids, metric_rows.most) m
             cross join lateral (select case when step is null then metric_rows.since
                                             else saas_private.metric_bucket(m.at, step, local_zone) end as bucket_at) b
             group by 1, 2
        ), member as materialized (
            select g.series_id, g.grp from saas_private.metric_groups(array(select distinct c.series_id from cell c), metric_rows.keys) g
        )
        select c.bucket_at, m.grp,
               saas_private.divide(saas_private.total(c.gained),
                 case when metric_rows.kind = 'increase' then 1
                      else extract(epoch from
                               least(metric_rows.until, case when step is null then metric_rows.until
                                                             when local_zone is null then c.bucket_at + step
                                                             else saas_private.first_time((c.bucket_at at time zone local_zone) + step, local_zone) end)
                               - greatest(metric_rows.since, c.bucket_at))::double precision end)
          from cell c join member m using (series_id)
         group by 1, 2
         order by 1, 2;
        return;
    end if;
    if metric_rows.kind = 'percentile' and metric_rows.level > 0 then
        return query
        with cell as materialized (
            select c.series_id, c.n, c.least_value, c.greatest_value, c.sketch,
                   case when step is null then metric_rows.since
                        when local_zone is null then date_bin(step, c.at, timestamptz '2000-01-03 00:00:00+00')
                        else saas_private.metric_bucket(c.at, step, local_zone) end as bucket_at
              from saas_private.metric_sketches(metric_rows.metric, metric_rows.since, metric_rows.until, metric_rows.level,
                                                metric_rows.labels, metric_rows.connection_ids, metric_rows.most) c
        ), member as materialized (
            select g.series_id, g.grp
              from saas_private.metric_groups(array(select distinct c.series_id from cell c), metric_rows.keys) g
        )
        select c.bucket_at, m.grp,
               saas_private.percentile(metric_rows.fraction, c.n, c.least_value, c.greatest_value, c.sketch)
          from cell c join member m using (series_id)
         group by 1, 2
         order by 1, 2;
        return;
    end if;
    if metric_rows.kind in ('avg', 'sum', 'min', 'max', 'count') then
        -- By the group's number: comparing jsonb for every cell would cost more than all else.
        return query
        with cell as materialized (
            select c.series_id, c.n, c.total, c.least_value, c.greatest_value,
                   case when step is null then metric_rows.since
                        when local_zone is null then date_bin(step, c.at, timestamptz '2000-01-03 00:00:00+00')
                        else saas_private.metric_bucket(c.at, step, local_zone) end as bucket_at
              from saas_private.metric_cells(metric_rows.metric, metric_rows.since, metric_rows.until, metric_rows.level,
                                             metric_rows.labels, metric_rows.connection_ids, metric_rows.most) c
        ), member as materialized (
            select g.series_id, g.grp, dense_rank() over (order by g.grp) as n
              from saas_private.metric_groups(array(select distinct c.series_id from cell c), metric_rows.keys) g
        ), part as materialized (
            select c.bucket_at, m.n,
                   -- avg() would overflow on the squares of large values.
                   case metric_rows.kind
                       when 'avg' then saas_private.divide(saas_private.total(c.total), sum(c.n))
                       when 'sum' then saas_private.total(c.total)
                       when 'min' then min(c.least_value)
                       when 'max' then max(c.greatest_value)
                       else sum(c.n)
                   end as value
              from cell c join member m using (series_id)
             group by 1, 2
        )
        select p.bucket_at, g.grp, p.value
          from part p join (select distinct on (m.n) m.n, m.grp from member m order by m.n) g using (n)
         order by p.bucket_at, p.n;
        return;
    end if;
    return query
    with cell as materialized (
        select c.series_id, c.at, c.last_value,
               case when step is null then metric_rows.since
                    when local_zone is null then date_bin(step, c.at, timestamptz '2000-01-03 00:00:00+00')
                    else saas_private.metric_bucket(c.at, step, local_zone) end as bucket_at
          from saas_private.metric_cells(metric_rows.metric, metric_rows.since, metric_rows.until, metric_rows.level,
                                         metric_rows.labels, metric_rows.connection_ids, metric_rows.most) c
    ), member as materialized (
        select g.series_id, g.grp, dense_rank() over (order by g.grp) as n
          from saas_private.metric_groups(array(select distinct c.series_id from cell c), metric_rows.keys) g
    ), part as materialized (
        -- Only one of the two has any rows to sort.
        select c.bucket_at, m.n, percentile_cont(coalesce(metric_rows.fraction, 0)) within group (order by c.last_value) as value
          from cell c join member m using (series_id)
         where metric_rows.kind = 'percentile'
         group by 1, 2
        union all
        select l.bucket_at, l.n, l.last_value
          from (select distinct on (c.bucket_at, m.n) c.bucket_at, m.n, c.last_value
                  from cell c join member m using (series_id)
                 where metric_rows.kind = 'last'
                 order by c.bucket_at, m.n, c.at desc, c.series_id) l
    )
    select p.bucket_at, g.grp, p.value
      from part p join (select distinct on (m.n) m.n, m.grp from member m order by m.n) g using (n)
     order by p.bucket_at, p.n;
end
$$;
comment on function saas_private.metric_rows(text, timestamptz, timestamptz, interval, integer, text, text, double precision, jsonb, uuid[], text[], integer) is
'Values by bucket and group; without a step the range is one bucket. Errors: as metric_cells(). For the functions of saas_owner.';

create function saas_api.query_metric(metric text, since timestamptz default now() - interval '24 hours',
                                      until timestamptz default now(), bucket interval default null,
                                      fn text default 'avg', labels jsonb default '{}',
                                      connection_ids uuid[] default null, group_by text[] default '{}',
                                      time_zone text default 'UTC', fill boolean default false,
                                      group_ids uuid[] default null, environments text[] default null, tags jsonb default '{}')
returns table (bucket_at timestamptz, grp jsonb, value double precision)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(query_metric.since, now() - interval '24 hours');
    -- The default has what is stored at this moment too.
    to_time constant timestamptz := coalesce(nullif(query_metric.until, now()), now() + interval '1 microsecond');
    chosen record;
    scope record;
    keys text[];
    ids uuid[];
    slots timestamptz[];
    members jsonb[];
    found_at timestamptz[];
    found_groups jsonb[];
    found_values double precision[];
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', query_metric.metric, 255);
    perform saas_private.require_metric_range(from_time, to_time);
    perform saas_private.require_group_keys(query_metric.group_by);
    keys := array_remove(coalesce(query_metric.group_by, '{}'), null);
    select * into chosen from saas_private.require_metric_fn(coalesce(query_metric.fn, 'avg'));
    if jsonb_typeof(coalesce(query_metric.labels, '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    select * into scope from saas_private.metric_scope(from_time, to_time, query_metric.bucket, chosen.kind, query_metric.time_zone);
    ids := saas_private.metric_connections(query_metric.connection_ids, query_metric.group_ids, query_metric.environments, query_metric.tags);
    if not coalesce(query_metric.fill, false) then
        return query
        select r.bucket_at, r.grp, r.value
          from saas_private.metric_rows(query_metric.metric, from_time, to_time, scope.step, scope.level, scope.local_zone, chosen.kind,
                                        chosen.fraction, coalesce(query_metric.labels, '{}'), ids, keys) r;
        return;
    end if;
    select array_agg(r.bucket_at), array_agg(r.grp), array_agg(r.value) into found_at, found_groups, found_values
      from saas_private.metric_rows(query_metric.metric, from_time, to_time, scope.step, scope.level, scope.local_zone, chosen.kind,
                                    chosen.fraction, coalesce(query_metric.labels, '{}'), ids, keys) r;
    -- A day that a time zone has left out would be the one after it once more.
    slots := array(select distinct saas_private.first_time(g.at, coalesce(scope.local_zone, 'UTC'))
                     from generate_series(saas_private.metric_bucket(from_time, scope.step, scope.local_zone) at time zone coalesce(scope.local_zone, 'UTC'),
                                          (to_time - interval '1 microsecond') at time zone coalesce(scope.local_zone, 'UTC'), scope.step) as g (at)
                    order by 1);
    members := array(select d.grp from (select distinct f.grp from unnest(found_groups) as f (grp)) d order by d.grp);
    if cardinality(slots)::bigint * cardinality(members) > 200000 then
        perform saas_private.raise_fields('invalid input', 'fill', 'makes more than 200000 rows: take wider buckets or fewer groups');
    end if;
    return query
    with numbered as materialized (
        select f.bucket_at, m.n, f.value
          from unnest(found_at, found_groups, found_values) as f (bucket_at, grp, value)
          join unnest(members) with ordinality as m (grp, n) on m.grp = f.grp
    )
    select s.at, m.grp, v.value
      from unnest(slots) as s (at)
     cross join unnest(members) with ordinality as m (grp, n)
      left join numbered v on v.bucket_at = s.at and v.n = m.n
     order by s.at, m.n;
end
$$;
alter function saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, boolean, uuid[], text[], jsonb) owner to saas_owner;
comment on function saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, boolean, uuid[], text[], jsonb) is
'Values of a metric in time buckets (bucket chosen by itself when NULL; at most 11000 of them, 200000 rows with fill, and 2000000 values that are read: readings, or buckets of rollups, of each series). fn: avg, sum, min, max, last or count of all samples in bucket and group; increase of counters, over their beginning anew, and rate, which is that per second; percentiles like p95, exact for ranges of up to 49 hours of which the plan keeps all readings and for buckets that are not of whole hours, else within 1 percent. labels: only series that have them all; connection_ids, group_ids, environments, tags: only these connections''. group_by: connection_id, connection, environment, kind, group_id, group, tag:NAME or a label. time_zone: where the days of buckets of whole days begin. fill: a row with NULL for each bucket without a value, in every group that has some. Served by rollups where the bucket allows (explain_metric tells), as far back as the plan keeps them. An unknown metric gives no rows. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.explain_metric(metric text, since timestamptz default now() - interval '24 hours',
                                        until timestamptz default now(), bucket interval default null,
                                        fn text default 'avg', time_zone text default 'UTC')
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(explain_metric.since, now() - interval '24 hours');
    to_time constant timestamptz := coalesce(explain_metric.until, now());
    scope record;
    kept record;
    rolled record;
    is_sketch boolean;
    visible timestamptz;
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', explain_metric.metric, 255);
    perform saas_private.require_metric_range(from_time, to_time);
    select s.*, f.kind into scope
      from saas_private.require_metric_fn(coalesce(explain_metric.fn, 'avg')) f,
           saas_private.metric_scope(from_time, to_time, explain_metric.bucket, f.kind, explain_metric.time_zone) s;
    select * into kept from saas_private.retention_of(saas.current_org_id());
    select min(coalesce(nullif(p.rolled_until, '-infinity'), to_timestamp(0))) as until, max(p.sketched_since) as sketched_since into rolled
      from (select distinct s.connection_id from saas.series s
             where s.org_id = saas.current_org_id() and s.metric = explain_metric.metric) s
      left join saas_private.rollup_progress p on p.org_id = saas.current_org_id() and p.connection_id = s.connection_id;
    is_sketch := scope.kind = 'percentile' and scope.level > 0;
    visible := (array[kept.raw_since, kept.five_since, kept.hour_since, kept.day_since])[scope.level + 1];
    if is_sketch then
        visible := least(kept.raw_since, greatest(visible, rolled.sketched_since));
    end if;
    return jsonb_build_object(
        'level', (array['readings', '5m', '1h', '1d'])[scope.level + 1],
        'bucket_seconds', extract(epoch from scope.step),
        'method', case when is_sketch then 'sketch' else 'exact' end,
        'error_percent', case when is_sketch then 1 else 0 end,
        'visible_since', nullif(visible, '-infinity'),
        'rolled_until', rolled.until);
end
$$;
alter function saas_api.explain_metric(text, timestamptz, timestamptz, interval, text, text) owner to saas_owner;
comment on function saas_api.explain_metric(text, timestamptz, timestamptz, interval, text, text) is
'How query_metric answers: {level, bucket_seconds, method, error_percent, visible_since, rolled_until}. method: exact, or sketch for percentiles from rollups, which are within error_percent of the exact ones; only those among the lowest samples can be higher where samples in one bucket and group spread over more than 1024 steps of 2 percent. level is readings, 5m, 1h or 1d, the coarsest that is read; the ends of the range, and everything after rolled_until, come from finer ones. visible_since: how far back the plan shows the level, NULL without a limit. rolled_until: up to when every connection with the metric is rolled up. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

-- One value for a range; last is the sum of each series' last.
create function saas_private.metric_sums(metric text, since timestamptz, until timestamptz, kind text, fraction double precision,
                                         labels jsonb, connection_ids uuid[], keys text[])
returns table (grp jsonb, value double precision)
language plpgsql stable rows 100
set search_path = pg_catalog, pg_temp
as $$
declare
    level constant integer := case when metric_sums.kind = 'percentile' then saas_private.percentile_level(metric_sums.since, metric_sums.until, 3)
                                   else 3 end;
begin
    if metric_sums.kind <> 'last' then
        return query
        select r.grp, r.value
          from saas_private.metric_rows(metric_sums.metric, metric_sums.since, metric_sums.until, null, level, null, metric_sums.kind,
                                        metric_sums.fraction, metric_sums.labels, metric_sums.connection_ids, metric_sums.keys) r;
        return;
    end if;
    return query
    with last as materialized (
        select distinct on (c.series_id) c.series_id, c.last_value
          from saas_private.metric_cells(metric_sums.metric, metric_sums.since, metric_sums.until, level, metric_sums.labels,
                                         metric_sums.connection_ids) c
         order by c.series_id, c.at desc
    )
    select g.grp, saas_private.total(l.last_value)
      from saas_private.metric_groups(array(select o.series_id from last o), metric_sums.keys) g
      join last l on l.series_id = g.series_id
     group by g.grp;
end
$$;
comment on function saas_private.metric_sums(text, timestamptz, timestamptz, text, double precision, jsonb, uuid[], text[]) is
'One value for the range by group; last is the sum of each series'' last value. For the functions of saas_owner.';

create function saas_api.metric_totals(metric text, since timestamptz default now() - interval '24 hours',
                                       until timestamptz default now(), fn text default 'sum', labels jsonb default '{}',
                                       connection_ids uuid[] default null, group_ids uuid[] default null,
                                       environments text[] default null, tags jsonb default '{}')
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(metric_totals.since, now() - interval '24 hours');
    to_time constant timestamptz := coalesce(nullif(metric_totals.until, now()), now() + interval '1 microsecond');
    before_time timestamptz;
    wanted constant jsonb := coalesce(metric_totals.labels, '{}');
    chosen record;
    ids uuid[];
    total double precision;
    previous double precision;
    parts jsonb;
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', metric_totals.metric, 255);
    perform saas_private.require_metric_range(from_time, to_time);
    before_time := saas_private.move_back(from_time, to_time - from_time, 'UTC');
    select * into chosen from saas_private.require_metric_fn(coalesce(metric_totals.fn, 'sum'));
    if jsonb_typeof(wanted) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    ids := saas_private.metric_connections(metric_totals.connection_ids, metric_totals.group_ids, metric_totals.environments, metric_totals.tags);
    if chosen.kind = 'sum' then
        -- As the overview adds up: both ranges in one pass.
        with figure as materialized (
            select f.connection_id, f.slot, f.value
              from saas_private.metric_figures(array[metric_totals.metric], array[before_time, from_time, to_time],
                                               wanted, ids) f
        ), part as (
            select f.connection_id, c.name, f.value, saas_private.total(f.value) over () as whole
              from figure f join saas.connection c on c.org_id = saas.current_org_id() and c.id = f.connection_id
             where f.slot = 2
        )
        select jsonb_agg(jsonb_build_object('connection_id', p.connection_id, 'name', p.name, 'value', p.value,
                                            'share_percent', round(saas_private.percent(p.value, p.whole)::numeric, 2))
                         order by p.value desc, p.name, p.connection_id),
               max(p.whole), (select saas_private.total(f.value) from figure f where f.slot = 1)
          into parts, total, previous
          from part p;
    else
        select jsonb_agg(jsonb_build_object('connection_id', v.grp -> 'connection_id', 'name', v.grp -> 'connection', 'value', v.value,
                                            'share_percent', round(saas_private.percent(v.value, v.whole)::numeric, 2))
                         order by v.value desc nulls last, v.grp),
               -- The whole of sums is their sum; of anything else it is asked for.
               max(v.whole)
          into parts, total
          from (select s.grp, s.value, saas_private.total(s.value) over () as whole
                  from saas_private.metric_sums(metric_totals.metric, from_time, to_time, chosen.kind, chosen.fraction, wanted, ids,
                                                '{connection_id,connection}') s) v;
        if chosen.kind not in ('sum', 'count', 'increase', 'rate', 'last') then
            select s.value into total
              from saas_private.metric_sums(metric_totals.metric, from_time, to_time, chosen.kind, chosen.fraction, wanted, ids, '{}') s;
        end if;
        select s.value into previous
          from saas_private.metric_sums(metric_totals.metric, before_time, from_time, chosen.kind, chosen.fraction, wanted, ids, '{}') s;
    end if;
    return jsonb_build_object('metric', metric_totals.metric, 'fn', coalesce(metric_totals.fn, 'sum'), 'since', from_time, 'until', to_time,
                              'total', total, 'previous', previous,
                              'change_percent', round(saas_private.change_percent(total, previous)::numeric, 2),
                              'connections', coalesce(parts, '[]'));
end
$$;
alter function saas_api.metric_totals(text, timestamptz, timestamptz, text, jsonb, uuid[], uuid[], text[], jsonb) owner to saas_owner;
comment on function saas_api.metric_totals(text, timestamptz, timestamptz, text, jsonb, uuid[], uuid[], text[], jsonb) is
'One figure for a range, with the same of the range before and each connection''s part: {metric, fn, since, until, total, previous, change_percent, connections [{connection_id, name, value, share_percent}]}, the largest first. fn and filters as query_metric''s; last is the sum of each series'' last value. share_percent: of the sum of all connections'' values. NULL where there is nothing to divide by. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.compare_metric(metric text, since timestamptz default now() - interval '24 hours',
                                        until timestamptz default now(), bucket interval default null, fn text default 'avg',
                                        labels jsonb default '{}', connection_ids uuid[] default null,
                                        periods interval[] default null, time_zone text default 'UTC')
returns table (bucket_at timestamptz, side jsonb, value double precision)
language plpgsql stable security definer rows 400
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(compare_metric.since, now() - interval '24 hours');
    to_time constant timestamptz := coalesce(nullif(compare_metric.until, now()), now() + interval '1 microsecond');
    chosen record;
    wanted interval;
    zone text;
    ids uuid[];
begin
    perform saas_private.require_identity();
    perform saas_private.require_metric_range(from_time, to_time);
    if compare_metric.periods is null then
        return query
        select q.bucket_at, q.grp, q.value
          from saas_api.query_metric(compare_metric.metric, from_time, to_time, compare_metric.bucket, compare_metric.fn, compare_metric.labels,
                                     compare_metric.connection_ids, '{connection_id,connection}', compare_metric.time_zone, true) q;
        return;
    end if;
    if array_ndims(compare_metric.periods) > 1 then
        perform saas_private.raise_fields('invalid input', 'periods', 'must be a list');
    elsif cardinality(compare_metric.periods) > 12 or array_position(compare_metric.periods, null) is not null then
        perform saas_private.raise_fields('invalid input', 'periods', 'must be at most 12 intervals');
    elsif exists (select from unnest(compare_metric.periods) p where p not between interval '-100 years' and interval '100 years') then
        perform saas_private.raise_fields('invalid input', 'periods', 'must be at most 100 years each');
    end if;
    perform saas_private.require_field('metric', compare_metric.metric, 255);
    if jsonb_typeof(coalesce(compare_metric.labels, '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    select * into chosen from saas_private.require_metric_fn(coalesce(compare_metric.fn, 'avg'));
    select c.step, coalesce(c.local_zone, 'UTC') into wanted, zone
      from saas_private.metric_scope(from_time, to_time, compare_metric.bucket, chosen.kind, compare_metric.time_zone) c;
    perform saas_private.require_metric_range(saas_private.move_back(from_time, p.back, zone), saas_private.move_back(to_time, p.back, zone))
       from unnest(compare_metric.periods) as p (back);
    ids := saas_private.metric_connections(compare_metric.connection_ids, null, null, null);
    -- What one query may read, for all periods together.
    return query
    -- Of many rows: a call for each would cost more than the answer.
    select case when zone = 'UTC' then ((q.bucket_at at time zone 'UTC') + p.back) at time zone 'UTC'
                else saas_private.move_back(q.bucket_at, - p.back, zone) end, jsonb_build_object('period', p.back::text), q.value
      from (select i.back, i.n, saas_private.move_back(from_time, i.back, zone) as since, saas_private.move_back(to_time, i.back, zone) as until
              from unnest(interval '0' || compare_metric.periods) with ordinality as i (back, n)) p
     cross join lateral saas_private.metric_scope(p.since, p.until, wanted, chosen.kind, compare_metric.time_zone) c
     cross join lateral saas_private.metric_rows(compare_metric.metric, p.since, p.until, c.step, c.level, c.local_zone,
                                                 chosen.kind, chosen.fraction, coalesce(compare_metric.labels, '{}'), ids, '{}',
                                                 saas_private.most_values() / (cardinality(compare_metric.periods) + 1)) q
     order by p.n, 1;
end
$$;
alter function saas_api.compare_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], interval[], text) owner to saas_owner;
comment on function saas_api.compare_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], interval[], text) is
'Values of a metric side by side. Without periods: each connection''s, every bucket of each, side {connection_id, connection}. With periods, such as ''{1 day,7 days}'': all connections'' together, now (side {"period": "00:00:00"}) and that long ago, whose buckets are moved on to now, by days of time_zone where buckets are whole days and of UTC where they are not; all periods together read as much as query_metric may, an equal part each. The rest as query_metric. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.metric_ratio(numerator text, denominator text, since timestamptz default now() - interval '24 hours',
                                      until timestamptz default now(), bucket interval default null, fn text default 'sum',
                                      labels jsonb default '{}', connection_ids uuid[] default null, group_by text[] default '{}',
                                      time_zone text default 'UTC')
returns table (bucket_at timestamptz, grp jsonb, percent double precision)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('numerator', metric_ratio.numerator, 255);
    perform saas_private.require_field('denominator', metric_ratio.denominator, 255);
    return query
    select d.bucket_at, d.grp, saas_private.percent(coalesce(n.value, 0), d.value)
      from saas_api.query_metric(metric_ratio.denominator, metric_ratio.since, metric_ratio.until, metric_ratio.bucket, coalesce(metric_ratio.fn, 'sum'),
                                 metric_ratio.labels, metric_ratio.connection_ids, metric_ratio.group_by, metric_ratio.time_zone) d
      left join saas_api.query_metric(metric_ratio.numerator, metric_ratio.since, metric_ratio.until, metric_ratio.bucket, coalesce(metric_ratio.fn, 'sum'),
                                      metric_ratio.labels, metric_ratio.connection_ids, metric_ratio.group_by, metric_ratio.time_zone) n
        on n.bucket_at = d.bucket_at and n.grp = d.grp
     order by 1, 2;
end
$$;
alter function saas_api.metric_ratio(text, text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text) owner to saas_owner;
comment on function saas_api.metric_ratio(text, text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text) is
'One metric in percent of another, in the buckets and groups that the denominator has; where the numerator has nothing it is 0, and NULL of a denominator of 0. The rest as query_metric. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.bounce_rate(since timestamptz default now() - interval '24 hours', until timestamptz default now(),
                                     bucket interval default null, connection_ids uuid[] default null,
                                     group_by text[] default '{}', time_zone text default 'UTC')
returns table (bucket_at timestamptz, grp jsonb, percent double precision)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    return query
    select r.bucket_at, r.grp, r.percent
      from saas_api.metric_ratio('aws_ses_bounce_sum', 'aws_ses_send_sum', bounce_rate.since, bounce_rate.until, bounce_rate.bucket, 'sum', '{}',
                                 bounce_rate.connection_ids, bounce_rate.group_by, bounce_rate.time_zone) r;
end
$$;
alter function saas_api.bounce_rate(timestamptz, timestamptz, interval, uuid[], text[], text) owner to saas_owner;
comment on function saas_api.bounce_rate(timestamptz, timestamptz, interval, uuid[], text[], text) is
'Bounced mail in percent of what Amazon SES has sent: metric_ratio of aws_ses_bounce_sum and aws_ses_send_sum. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.top_metric(metric text, since timestamptz default now() - interval '24 hours',
                                    until timestamptz default now(), fn text default 'sum', labels jsonb default '{}',
                                    connection_ids uuid[] default null, group_by text[] default '{connection_id,connection}',
                                    count integer default 10)
returns table (place bigint, grp jsonb, value double precision, share_percent numeric)
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(top_metric.since, now() - interval '24 hours');
    to_time constant timestamptz := coalesce(nullif(top_metric.until, now()), now() + interval '1 microsecond');
    wanted constant jsonb := coalesce(top_metric.labels, '{}');
    chosen record;
    ids uuid[];
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', top_metric.metric, 255);
    perform saas_private.require_metric_range(from_time, to_time);
    perform saas_private.require_group_keys(top_metric.group_by);
    select * into chosen from saas_private.require_metric_fn(coalesce(top_metric.fn, 'sum'));
    if jsonb_typeof(wanted) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    if coalesce(top_metric.count, 10) not between 1 and 1000 then
        perform saas_private.raise_fields('invalid input', 'count', 'must be between 1 and 1000');
    end if;
    ids := saas_private.metric_connections(top_metric.connection_ids, null, null, null);
    return query
    select row_number() over (order by s.value desc nulls last, s.grp), s.grp, s.value,
           round(saas_private.percent(s.value, saas_private.total(s.value) over ())::numeric, 2)
      from saas_private.metric_sums(top_metric.metric, from_time, to_time, chosen.kind, chosen.fraction, wanted, ids,
                                    array_remove(coalesce(top_metric.group_by, '{connection_id,connection}'), null)) s
     order by 1
     limit coalesce(top_metric.count, 10);
end
$$;
alter function saas_api.top_metric(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], integer) owner to saas_owner;
comment on function saas_api.top_metric(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], integer) is
'The groups with the most of a metric in a range: place, grp, value and its part of all groups'' sum. fn, filters and group_by as query_metric''s; last is the sum of each series'' last value; count: how many, at most 1000. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_private.limit_cell(internal, place bigint, head jsonb, read_at jsonb, metric text, name text, value double precision)
returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_limit_cell';
comment on function saas_private.limit_cell(internal, bigint, jsonb, jsonb, text, text, double precision) is
'The step of saas_private.limit_grid().';
create function saas_private.limit_rows(internal) returns jsonb
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_limit_rows';
comment on function saas_private.limit_rows(internal) is
'What saas_private.limit_grid() answers.';
create aggregate saas_private.limit_grid(place bigint, head jsonb, read_at jsonb, metric text, name text, value double precision) (
    sfunc = saas_private.limit_cell, stype = internal, finalfunc = saas_private.limit_rows, parallel = safe
);
comment on aggregate saas_private.limit_grid(bigint, jsonb, jsonb, text, text, double precision) is
'The grid of limits from all accounts'' newest samples: by place (from 1 to 1000000) the account''s head, with last_updated, limits, percent, level and color; metric and name: the figure of which limit a sample is, others count nothing. Of several samples of a figure the highest. Errors: 22023 without place or head. For the functions of saas_owner.';

create function saas_api.limits_overview(connection_id uuid default null) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    -- Each connection by itself, so that it is the same plan for one and for all;
    -- its head is made once ("offset 0"), and not for every series.
    return (
        select saas_private.limit_grid(c.place, c.head, c.read_at, s.metric, s.label, s.value)
          from (select row_number() over (order by a.name, a.id) as place, a.org_id, a.id, to_jsonb(r.at) as read_at,
                       r."values", y.series_ids,
                       jsonb_build_object(
                           'connection_id', a.id, 'name', a.name, 'environment', a.environment, 'status', a.status,
                           'health', a.health, 'error', a.last_error, 'environment_color', a.environment_color,
                           'health_reason', a.health_reason) as head
                  from saas_api.connections a
                  left join lateral (
                        select n.at, n.layout_id, n."values"
                          from saas.reading n
                         where n.org_id = a.org_id and n.connection_id = a.id and n.at >= (select saas.visible_since())
                         order by n.at desc
                         limit 1) r on true
                  left join saas.layout y on y.org_id = a.org_id and y.id = r.layout_id
                 where a.kind = 'salesforce'
                   and (limits_overview.connection_id is null or a.id = limits_overview.connection_id)
                offset 0) c
          left join lateral (
                select e.metric, e.labels ->> 'limit' as label, u.value
                  from saas.unfold(c.series_ids, c."values") as u
                  join saas.series e on e.org_id = c.org_id and e.connection_id = c.id and e.id = u.series_id) s on true);
end
$$;
alter function saas_api.limits_overview(uuid) owner to saas_owner;
comment on function saas_api.limits_overview(uuid) is
'The Salesforce limits grid, of one connection or all: [{connection_id, name, environment, status, health, last_updated, limits [{name, max, remaining, used, percent, level, color}], error, environment_color, health_reason, percent, level, color}], the fullest limit first. level: ok (green), info (blue) from 50, warning (yellow) from 75, critical (red) from 90 percent; a connection''s own percent, level and color are those of its fullest limit, NULL without one. error: of the last poll, where it failed. A foreign or unknown id gives an empty list. Errors: PT401. For saas_user with view_dashboard.';
