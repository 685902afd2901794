-- What queries of metrics read: samples, rollups and sketches of a metric's
-- series, of the level (metrics.sql) that serves, within what the plan keeps.
-- Leans on the metrics tables, rollups, retention.

create function saas_private.places(series_ids uuid[], wanted uuid[]) returns integer[]
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_places';
comment on function saas_private.places(uuid[], uuid[]) is
'Where a layout''s series that are among the wanted ones stand in it, from 1 on, in ascending order. The wanted ones must be in ascending order. Errors: 22023 for arrays of several dimensions or with NULL. For the functions of saas_owner.';

create function saas_private.sum_at("values" double precision[], places integer[]) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sum_at';
comment on function saas_private.sum_at(double precision[], integer[]) is
'The sum of the values at these places, infinite when it overflows; NULL where there are none. Errors: 22023 for arrays of several dimensions and places that are NULL. For the functions of saas_owner.';

create function saas_private.unpacked("values" double precision[]) returns double precision[]
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_unpacked';
comment on function saas_private.unpacked(double precision[]) is
'The same array, decompressed once for all that is read of it. For the functions of saas_owner.';

create function saas_private.most_values() returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 2000000
$$;
comment on function saas_private.most_values() is
'How many values one query may read: readings, or buckets of rollups, of each series. For the functions of saas_owner.';

create function saas_private.refuse_range(most integer) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.raise_fields('invalid input', 'since',
        format('to until has more than %s values to read: take wider buckets, fewer connections or a shorter range', refuse_range.most));
    return false;
end
$$;
comment on function saas_private.refuse_range(integer) is
'Raises 22023: a range has more than so many values to read. For the functions of saas_owner.';

-- Where a metric's series are in the layouts' arrays.  A function, so that the
-- planner takes them for more than a few, but fewer than the readings that
-- metric_cells() has of them, and makes the hash of these and not of readings.
create function saas_private.metric_places(metric text, labels jsonb, connection_ids uuid[])
returns table (connection_id uuid, layout_id uuid, series_id uuid, place bigint)
language plpgsql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
    ids uuid[];
    having_them uuid[];
begin
    select array_agg(s.id order by s.id), array_agg(distinct s.connection_id) into ids, having_them
      from saas.series s
     where s.org_id = org and s.metric = metric_places.metric and s.labels @> metric_places.labels
       and s.connection_id = any (metric_places.connection_ids);
    return query
    select l.connection_id, l.id, l.series_ids[p.place], p.place::bigint
      from saas.layout l
     cross join lateral unnest(saas_private.places(l.series_ids, ids)) as p (place)
     where l.org_id = org and l.connection_id = any (having_them);
end
$$;
comment on function saas_private.metric_places(text, jsonb, uuid[]) is
'Each series of a metric of these connections, in each layout that has it, with its place there. For the functions of saas_owner.';

-- The rows as metric_places(): there are a few of each connection.
create function saas_private.metric_spans(since timestamptz, until timestamptz, level integer, connection_ids uuid[])
returns table (connection_id uuid, span_level integer, from_time timestamptz, until_time timestamptz)
language plpgsql stable rows 1000
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
    kept record;
begin
    select * into kept from saas_private.retention_of(org);
    return query
    select c.id, v.level, v.from_time, v.until_time
      from unnest(metric_spans.connection_ids) as c (id)
      left join saas_private.rollup_progress p on p.org_id = org and p.connection_id = c.id
     cross join lateral (select least(metric_spans.until, coalesce(p.rolled_until, '-infinity')) as ends) w
     cross join lateral (
           select date_bin('5 minutes', metric_spans.since + interval '4:59.999999', timestamptz '2000-01-03 00:00:00+00') as f,
                  date_bin('5 minutes', w.ends, timestamptz '2000-01-03 00:00:00+00') as u) a
     cross join lateral (
           select case when metric_spans.level >= 1 and a.f < a.u then a.f else metric_spans.until end as f,
                  case when metric_spans.level >= 1 and a.f < a.u then a.u else metric_spans.until end as u) five
     cross join lateral (
           select date_bin('1 hour', metric_spans.since + interval '59:59.999999', timestamptz '2000-01-03 00:00:00+00') as f,
                  date_bin('1 hour', w.ends, timestamptz '2000-01-03 00:00:00+00') as u) b
     cross join lateral (
           select case when metric_spans.level >= 2 and b.f < b.u then b.f else five.u end as f,
                  case when metric_spans.level >= 2 and b.f < b.u then b.u else five.u end as u) hour
     cross join lateral (
           select date_bin('1 day', metric_spans.since + interval '23:59:59.999999', timestamptz '2000-01-03 00:00:00+00') as f,
                  date_bin('1 day', w.ends, timestamptz '2000-01-03 00:00:00+00') as u) d
     cross join lateral (
           select case when metric_spans.level >= 3 and d.f < d.u then d.f else hour.u end as f,
                  case when metric_spans.level >= 3 and d.f < d.u then d.u else hour.u end as u) day
     cross join lateral (
           values (0, greatest(metric_spans.since, kept.raw_since), five.f), (0, greatest(five.u, kept.raw_since), metric_spans.until),
                  (1, greatest(five.f, kept.five_since), hour.f), (1, greatest(hour.u, kept.five_since), five.u),
                  (2, greatest(hour.f, kept.hour_since), day.f), (2, greatest(day.u, kept.hour_since), hour.u),
                  (3, greatest(day.f, kept.day_since), day.u)) as v (level, from_time, until_time)
     where v.from_time < v.until_time;
end
$$;
comment on function saas_private.metric_spans(timestamptz, timestamptz, integer, uuid[]) is
'What is read of each of these connections for a range: readings (0) or rollups by 5 minutes (1), hour (2) or day (3) from one time until another. The coarsest up to the level that lie whole in the range and are rolled up; nothing from before the plan''s retention. For the functions of saas_owner.';

-- "offset 0" keeps each stretch an index scan of its own, of the one table that
-- its level names, and the places in a hash.
create function saas_private.metric_cells(metric text, since timestamptz, until timestamptz, level integer, labels jsonb,
                                          connection_ids uuid[], most integer default saas_private.most_values())
returns table (connection_id uuid, series_id uuid, at timestamptz, n double precision, total double precision,
               least_value double precision, greatest_value double precision, first_value double precision,
               last_value double precision, increase double precision)
language plpgsql stable rows 5000
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
    given bigint;
begin
    return query
    with place as materialized (
        select m.connection_id, m.layout_id, m.series_id, m.place
          from saas_private.metric_places(metric_cells.metric, metric_cells.labels, metric_cells.connection_ids) m
    ), span as materialized (
        -- A flag for readings: the planner takes half of the stretches to have it.
        select v.connection_id, v.from_time, v.until_time, v.span_level, v.span_level = 0 as is_raw
          from saas_private.metric_spans(metric_cells.since, metric_cells.until, metric_cells.level,
                                         array(select distinct p.connection_id from place p)) v
    )
    select r.connection_id, pl.series_id, r.at, 1::double precision, v.value, v.value, v.value, v.value, v.value, 0::double precision
      from (select sp.connection_id, o.at, o.layout_id, saas_private.unpacked(o."values") as "values"
              from span sp
             cross join lateral (select b.at, b.layout_id, b."values" from saas.reading b
                                  where b.org_id = org and b.connection_id = sp.connection_id
                                    and b.at >= sp.from_time and b.at < sp.until_time offset 0) o
             where sp.is_raw offset 0) r
      join place pl on pl.layout_id = r.layout_id
     cross join lateral (select r."values"[pl.place] as value) v
     where v.value is not null
    union all
    select r.connection_id, pl.series_id, r.at, r.count[pl.place], r.sum[pl.place], r.min[pl.place], r.max[pl.place],
           r.first[pl.place], r.last[pl.place], r.increase[pl.place]
      from (select o.connection_id, o.at, o.layout_id, saas_private.unpacked(o.count) as count, saas_private.unpacked(o.sum) as sum,
                   saas_private.unpacked(o.min) as min, saas_private.unpacked(o.max) as max, saas_private.unpacked(o.first) as first,
                   saas_private.unpacked(o.last) as last, saas_private.unpacked(o.increase) as increase
              from span sp
             cross join lateral (select b.*
                                   from (select 1 as level, x.org_id, x.connection_id, x.at, x.layout_id, x.count, x.sum, x.min, x.max,
                                                x.first, x.last, x.increase from saas.reading_5m x
                                          union all
                                         select 2, x.org_id, x.connection_id, x.at, x.layout_id, x.count, x.sum, x.min, x.max,
                                                x.first, x.last, x.increase from saas.reading_1h x
                                          union all
                                         select 3, x.org_id, x.connection_id, x.at, x.layout_id, x.count, x.sum, x.min, x.max,
                                                x.first, x.last, x.increase from saas.reading_1d x) b
                                  where b.level = sp.span_level and b.org_id = org and b.connection_id = sp.connection_id
                                    and b.at >= sp.from_time and b.at < sp.until_time offset 0) o
             where not sp.is_raw offset 0) r
      join place pl on pl.layout_id = r.layout_id
     where r.count[pl.place] > 0
     limit metric_cells.most + 1;
    get diagnostics given = row_count;
    if given > metric_cells.most then
        perform saas_private.refuse_range(metric_cells.most);
    end if;
end
$$;
comment on function saas_private.metric_cells(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer) is
'Readings and rollups of a metric of these connections between the times, of the level at most; nothing from before the plan''s retention. at is a rollup''s beginning. Errors: 22023 with fields when there are more than most. For the functions of saas_owner.';

-- As metric_cells(), but what is finer than an hour has no sketch, nor has what was rolled up before there were any.
create function saas_private.metric_sketches(metric text, since timestamptz, until timestamptz, level integer, labels jsonb,
                                             connection_ids uuid[], most integer default saas_private.most_values())
returns table (connection_id uuid, series_id uuid, at timestamptz, n double precision, least_value double precision,
               greatest_value double precision, sketch bytea)
language plpgsql stable rows 5000
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
    kept record;
    given bigint;
begin
    select * into kept from saas_private.retention_of(org);
    return query
    with place as materialized (
        select m.connection_id, m.layout_id, m.series_id, m.place
          from saas_private.metric_places(metric_sketches.metric, metric_sketches.labels, metric_sketches.connection_ids) m
    ), span as materialized (
        select c.connection_id, v.from_time, v.until_time, v.level as span_level, v.level = 0 as is_raw
          from (select distinct m.connection_id from place m) c
          left join saas_private.rollup_progress p on p.org_id = org and p.connection_id = c.connection_id
         cross join lateral (
               select greatest(metric_sketches.since, coalesce(p.sketched_since, '-infinity')) as begins,
                      least(metric_sketches.until, coalesce(p.rolled_until, '-infinity')) as ends) w
         cross join lateral (
               select date_bin('1 hour', w.begins + interval '59:59.999999', timestamptz '2000-01-03 00:00:00+00') as f,
                      date_bin('1 hour', w.ends, timestamptz '2000-01-03 00:00:00+00') as u) b
         cross join lateral (
               select case when b.f < b.u then b.f else metric_sketches.until end as f,
                      case when b.f < b.u then b.u else metric_sketches.until end as u) hour
         cross join lateral (
               select date_bin('1 day', w.begins + interval '23:59:59.999999', timestamptz '2000-01-03 00:00:00+00') as f,
                      date_bin('1 day', w.ends, timestamptz '2000-01-03 00:00:00+00') as u) d
         cross join lateral (
               select case when metric_sketches.level >= 3 and d.f < d.u then d.f else hour.u end as f,
                      case when metric_sketches.level >= 3 and d.f < d.u then d.u else hour.u end as u) day
         cross join lateral (
               values (0, greatest(metric_sketches.since, kept.raw_since), hour.f), (0, greatest(hour.u, kept.raw_since), metric_sketches.until),
                      (2, greatest(hour.f, kept.hour_since), day.f), (2, greatest(day.u, kept.hour_since), hour.u),
                      (3, greatest(day.f, kept.day_since), day.u)) as v (level, from_time, until_time)
         where v.from_time < v.until_time
    )
    select r.connection_id, pl.series_id, r.at, 1::double precision, v.value, v.value, ''::bytea
      from (select sp.connection_id, o.at, o.layout_id, saas_private.unpacked(o."values") as "values"
              from span sp
             cross join lateral (select b.at, b.layout_id, b."values" from saas.reading b
                                  where b.org_id = org and b.connection_id = sp.connection_id
                                    and b.at >= sp.from_time and b.at < sp.until_time offset 0) o
             where sp.is_raw offset 0) r
      join place pl on pl.layout_id = r.layout_id
     cross join lateral (select r."values"[pl.place] as value) v
     where v.value is not null
    union all
    select r.connection_id, pl.series_id, r.at, r.count[pl.place], r.min[pl.place], r.max[pl.place], saas_private.sketch_at(r.sketch, pl.place)
      from (select o.connection_id, o.at, o.layout_id, saas_private.unpacked(o.count) as count,
                   saas_private.unpacked(o.min) as min, saas_private.unpacked(o.max) as max, o.sketch
              from span sp
             cross join lateral (select b.*
                                   from (select 2 as level, x.org_id, x.connection_id, x.at, x.layout_id, x.count, x.min, x.max, x.sketch
                                           from saas.reading_1h x
                                          union all
                                         select 3, x.org_id, x.connection_id, x.at, x.layout_id, x.count, x.min, x.max, x.sketch
                                           from saas.reading_1d x) b
                                  where b.level = sp.span_level and b.org_id = org and b.connection_id = sp.connection_id
                                    and b.at >= sp.from_time and b.at < sp.until_time offset 0) o
             where not sp.is_raw offset 0) r
      join place pl on pl.layout_id = r.layout_id
     where r.count[pl.place] > 0
     limit metric_sketches.most + 1;
    get diagnostics given = row_count;
    if given > metric_sketches.most then
        perform saas_private.refuse_range(metric_sketches.most);
    end if;
end
$$;
comment on function saas_private.metric_sketches(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer) is
'What saas_private.percentile() takes of a metric of these connections between the times: rollups by hour (level 2) or day (3) at most, and readings where there are none with sketches; nothing from before the plan''s retention. Errors: 22023 with fields when there are more than most. For the functions of saas_owner.';

create function saas_private.metric_increases(metric text, since timestamptz, until timestamptz, level integer, labels jsonb,
                                              connection_ids uuid[], most integer default saas_private.most_values())
returns table (connection_id uuid, series_id uuid, at timestamptz, increase double precision)
language plpgsql stable rows 5000
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An hour before, for what the first sample of the range has gained.
    return query
    select g.connection_id, g.series_id, g.at, g.gained
      from (select c.connection_id, c.series_id, c.at,
                   saas_private.gained(c.before, c.first_value, c.increase) as gained
              from (select m.*, lag(m.last_value) over (partition by m.series_id order by m.at) as before
                      from (select e.*
                              from saas_private.metric_cells(metric_increases.metric, metric_increases.since - interval '1 hour',
                                                             metric_increases.since, least(metric_increases.level, 1),
                                                             metric_increases.labels, metric_increases.connection_ids,
                                                             metric_increases.most) e
                             union all
                            select e.*
                              from saas_private.metric_cells(metric_increases.metric, metric_increases.since, metric_increases.until,
                                                             metric_increases.level, metric_increases.labels,
                                                             metric_increases.connection_ids, metric_increases.most) e) m) c) g
     where g.at >= metric_increases.since;
end
$$;
comment on function saas_private.metric_increases(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer) is
'What counters gained at each reading or in each rollup, over their beginning anew, since the sample before, which lies at most an hour before since. Errors: as metric_cells(). For the functions of saas_owner.';

create function saas_private.metric_groups(series_ids uuid[], keys text[])
returns table (series_id uuid, grp jsonb)
language plpgsql stable rows 100
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
begin
    if cardinality(metric_groups.keys) = 0 then
        return query select u.id, '{}'::jsonb from unnest(metric_groups.series_ids) as u (id);
        return;
    end if;
    return query
    select s.id,
           (select coalesce(jsonb_object_agg(k.name, case k.name
                       when 'connection_id' then to_jsonb(s.connection_id)
                       when 'connection' then to_jsonb(c.name)
                       when 'environment' then to_jsonb(c.environment)
                       when 'kind' then to_jsonb(c.kind)
                       when 'group_id' then to_jsonb(c.group_id)
                       when 'group' then to_jsonb(g.name)
                       else coalesce(s.labels -> k.name, case when k.name like 'tag:%' then c.tags -> substr(k.name, 5) end)
                   end), '{}')
              from unnest(metric_groups.keys) as k (name))
      from saas.series s
      join saas.connection c on c.org_id = s.org_id and c.id = s.connection_id
      left join saas.connection_group g on g.org_id = c.org_id and g.id = c.group_id
     where s.org_id = org and s.id = any (metric_groups.series_ids);
end
$$;
comment on function saas_private.metric_groups(uuid[], text[]) is
'The group that each of these series is in by these keys. For the functions of saas_owner.';

create function saas_private.metric_connections(connection_ids uuid[], group_ids uuid[], environments text[], tags jsonb) returns uuid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(coalesce(metric_connections.tags, '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'tags', 'must be an object');
    end if;
    return array(select c.id from saas.connection c
                  where c.org_id = saas.current_org_id()
                    and (metric_connections.connection_ids is null or c.id = any (metric_connections.connection_ids))
                    and (metric_connections.group_ids is null or c.group_id = any (metric_connections.group_ids))
                    and (metric_connections.environments is null or c.environment = any (metric_connections.environments))
                    and c.tags @> coalesce(metric_connections.tags, '{}')
                  order by c.id);
end
$$;
comment on function saas_private.metric_connections(uuid[], uuid[], text[], jsonb) is
'The connections of the current organization that all these filters let through; NULL filters nothing. Errors: 22023 with fields. For the functions of saas_owner.';
