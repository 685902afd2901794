-- Charts: pictures (SVG) and text of any data, and pictures of the current
-- organization's metrics.  Leans on metrics, connections, requests.

create domain saas_api."*/*" as bytea;
comment on domain saas_api."*/*" is
'Bytes of whatever type the answer''s Content-Type header says: PostgREST sends them as they are.';

create function saas.line_chart(at timestamptz[], value double precision[], series text[] default null,
                                options jsonb default '{}') returns text
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_line_chart';
comment on function saas.line_chart(timestamptz[], double precision[], text[], jsonb) is
'A line chart as SVG of points in arrays of the same length: times, values (NULL, NaN and infinities are missing: the line breaks) and which of at most 32 series each belongs to; at most 1000000 points, drawn so that peaks stay. options: title, width (160 to 4000, default 800), height (120 to 2000, default 300), unit (plain, si, bytes, percent, seconds), theme (auto, light, dark), timezone (default the session''s), since and until, gap_s (the line breaks between points further apart, in seconds), zero (true: the axis shows 0), environments ({series: production, staging or development}, which have colours of their own), omitted (series that are not among them: the chart says how many). Errors: 22023 with the field. For saas_user and saas_operator.';

create function saas.bar_chart(label text[], value double precision[], options jsonb default '{}') returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_bar_chart';
comment on function saas.bar_chart(text[], double precision[], jsonb) is
'A chart of at most 100 horizontal bars as SVG: labels and values, in the order of the arrays; NULL is no data. options: title, width (160 to 4000, default 800), height (60 to 4000; default what the bars need), unit (plain, si, bytes, percent, seconds), theme (auto, light, dark), share (true: each value''s share of the sum, where none is negative), environments ({label: production, staging or development}), omitted (bars that are not among them). Errors: 22023 with the field. For saas_user and saas_operator.';

create function saas.sparkline_chart(value double precision[], options jsonb default '{}') returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sparkline_chart';
comment on function saas.sparkline_chart(double precision[], jsonb) is
'A line without axes as SVG, of at most 1000000 values at equal distances; NULL is a gap. options: title, width (16 to 2000, default 120), height (8 to 500, default 30), unit (of the description), theme (auto, light, dark). Errors: 22023 with the field. For saas_user and saas_operator.';

create function saas.gauge_chart(percent double precision, options jsonb default '{}') returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_gauge_chart';
comment on function saas.gauge_chart(double precision, jsonb) is
'How much is used as a half circle in SVG, with its level as saas.limit_level has it; NULL is no data. options: title, width and height (100 to 1000, default 220 and 150), theme (auto, light, dark). Errors: 22023 with the field. For saas_user and saas_operator.';

create function saas.sparkline(value double precision[]) returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sparkline';
comment on function saas.sparkline(double precision[]) is
'At most 10000 values as block characters, from the lowest to the highest; a blank for NULL, NaN and infinities. Errors: 22023 with the field; 22P05 where the database''s encoding has no block characters. For saas_user and saas_operator.';

create function saas.bar(percent double precision, width integer default 20) returns text
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_bar';
comment on function saas.bar(double precision, integer) is
'A bar of 1 to 200 block characters, filled by eighths: with something in it above 0 percent, full from 100 on only. NULL for NULL and NaN. Errors: 22023 with the field; 22P05 where the database''s encoding has no block characters. For saas_user and saas_operator.';

create function saas.limit_level(percent double precision) returns text
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_limit_level';
comment on function saas.limit_level(double precision) is
'ok, info from 50, warning from 75, critical from 90 percent used; NULL for NaN. For saas_user and saas_operator.';

create function saas_private.send_picture(svg text) returns bytea
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.set_header('Content-Type', 'image/svg+xml');
    perform saas.set_header('X-Content-Type-Options', 'nosniff');
    -- Of a picture that is opened as a page.
    perform saas.set_header('Content-Security-Policy', 'default-src ''none''; style-src ''unsafe-inline''; sandbox');
    return convert_to(send_picture.svg, 'UTF8');
end
$$;
comment on function saas_private.send_picture(text) is
'A picture as the body of the HTTP answer, with the headers that it needs.';

create function saas_private.chart_group(grp jsonb, keys text[], out name text, out environment text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    select string_agg(coalesce(case when k.key = 'connection_id' then c.name end, chart_group.grp ->> k.key, '(none)'), ', ' order by k.n)
      into chart_group.name
      from unnest(chart_group.keys) with ordinality as k (key, n)
      left join saas.connection c on k.key = 'connection_id' and c.org_id = saas.current_org_id()
                                 and c.id::text = chart_group.grp ->> k.key;
    chart_group.environment := case
        when chart_group.grp ? 'environment' then coalesce(chart_group.grp ->> 'environment', 'none')
        when chart_group.grp ?| array['connection_id', 'connection'] then coalesce(
            (select min(c.environment)
               from saas.connection c
              where c.org_id = saas.current_org_id()
                and case when chart_group.grp ? 'connection_id' then c.id::text = chart_group.grp ->> 'connection_id'
                         else c.name = chart_group.grp ->> 'connection' end
             having count(distinct coalesce(c.environment, 'none')) = 1), 'none')
        end;
end
$$;
comment on function saas_private.chart_group(jsonb, text[]) is
'What a chart calls a group of query_metric, and its environment: none where it has none or several, NULL where the group says nothing of connections.';

create function saas_private.require_top(top integer, most integer) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_top.top not between 1 and require_top.most then
        perform saas_private.raise_fields('invalid input', 'top', format('must be 1 to %s', require_top.most));
    end if;
    return require_top.top;
end
$$;
comment on function saas_private.require_top(integer, integer) is
'The number of series or bars that a chart shows, or 22023.';

create function saas_api.line_chart(metric text, since timestamptz default now() - interval '24 hours',
                                    until timestamptz default now(), bucket interval default null,
                                    fn text default 'avg', labels jsonb default '{}',
                                    connection_ids uuid[] default null, group_by text[] default '{}',
                                    title text default null, width integer default 800, height integer default 300,
                                    unit text default 'plain', timezone text default null, theme text default 'auto',
                                    top integer default 12)
returns saas_api."*/*"
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time timestamptz := coalesce(line_chart.since, now() - interval '24 hours');
    to_time timestamptz := coalesce(line_chart.until, now());
    keys text[] := coalesce(line_chart.group_by, '{}');
    most integer;
    points record;
begin
    perform saas_private.require_identity();
    most := saas_private.require_top(coalesce(line_chart.top, 12), 32);
    perform saas_private.require_time_zone(line_chart.timezone, 'timezone');
    with answer as materialized (
        select q.bucket_at, q.grp, q.value,
               extract(epoch from q.bucket_at - lag(q.bucket_at) over (partition by q.grp order by q.bucket_at))::double precision as step_s
          from saas_api.query_metric(line_chart.metric, from_time, to_time, line_chart.bucket, line_chart.fn,
                                     line_chart.labels, line_chart.connection_ids, keys) as q
    ), ranked as (
        select a.grp, row_number() over (order by max(abs(nullif(a.value, 'NaN'))) desc nulls last, a.grp) as n
          from answer a
         group by a.grp
    ), shown as (
        select r.grp, g.environment,
               -- Two connections may have one name.
               g.name || case when row_number() over (partition by g.name order by r.grp) > 1
                              then format(' (%s)', row_number() over (partition by g.name order by r.grp)) else '' end as name
          from ranked r
         cross join lateral saas_private.chart_group(r.grp, keys) as g
         where r.n <= most
    )
    select array_agg(a.bucket_at order by s.name, a.bucket_at) as at,
           array_agg(a.value order by s.name, a.bucket_at) as value,
           array_agg(coalesce(s.name, '') order by s.name, a.bucket_at) as series,
           least(from_time, min(a.bucket_at)) as since,
           1.5 * percentile_disc(0.5) within group (order by a.step_s) as gap_s,
           (select jsonb_object_agg(e.name, e.environment) from shown e where e.environment is not null) as environments,
           (select greatest(count(*) - most, 0) from ranked) as omitted
      into points
      from answer a
      join shown s on s.grp = a.grp;
    return saas_private.send_picture(saas.line_chart(points.at, points.value, points.series, jsonb_build_object(
        'title', coalesce(line_chart.title, line_chart.metric), 'width', coalesce(line_chart.width, 800),
        'height', coalesce(line_chart.height, 300), 'unit', line_chart.unit, 'timezone', line_chart.timezone,
        'theme', line_chart.theme, 'since', points.since, 'until', to_time, 'gap_s', points.gap_s,
        'environments', points.environments, 'omitted', points.omitted)));
end
$$;
alter function saas_api.line_chart(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, integer, integer, text, text, text, integer) owner to saas_owner;
comment on function saas_api.line_chart(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, integer, integer, text, text, text, integer) is
'What query_metric answers as a line chart: image/svg+xml. One line a group, of those with the largest values at most top (1 to 32); by connection or environment in the colours of the environments. The line breaks where buckets are missing. title: the metric by default. unit: plain, si, bytes, percent or seconds. timezone: of the times, the session''s by default. theme: auto, light or dark. width 160 to 4000, height 120 to 2000. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.bar_chart(metric text, since timestamptz default now() - interval '24 hours',
                                   until timestamptz default now(), fn text default 'sum',
                                   labels jsonb default '{}', connection_ids uuid[] default null,
                                   group_by text[] default '{connection_id}', title text default null,
                                   width integer default 800, height integer default null,
                                   unit text default 'plain', theme text default 'auto', top integer default 20)
returns saas_api."*/*"
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time timestamptz := coalesce(bar_chart.since, now() - interval '24 hours');
    to_time timestamptz := coalesce(bar_chart.until, now());
    keys text[] := coalesce(bar_chart.group_by, '{connection_id}');
    chosen text := coalesce(bar_chart.fn, 'sum');
    whole interval;
    most integer;
    bars record;
begin
    perform saas_private.require_identity();
    most := saas_private.require_top(coalesce(bar_chart.top, 20), 100);
    if chosen not in ('avg', 'sum', 'min', 'max', 'last', 'count') then
        perform saas_private.raise_fields('invalid input', 'fn', 'must be avg, sum, min, max, last or count');
    end if;
    if isfinite(from_time) and isfinite(to_time) and from_time < to_time then
        whole := greatest(to_time - from_time, interval '1 second');
    end if;
    -- Buckets begin at round times: a range may lie in two that are as long.
    with answer as materialized (
        select q.bucket_at, q.grp, q.value
          from saas_api.query_metric(bar_chart.metric, from_time, to_time, whole,
                                     case chosen when 'avg' then 'sum' else chosen end,
                                     bar_chart.labels, bar_chart.connection_ids, keys) as q
    ), counts as materialized (
        select q.bucket_at, q.grp, q.value
          from saas_api.query_metric(bar_chart.metric, from_time, to_time, whole, 'count',
                                     bar_chart.labels, bar_chart.connection_ids, keys) as q
         where chosen = 'avg'
    ), totals as (
        select a.grp,
               case chosen when 'avg' then saas_private.divide(saas_private.total(a.value) filter (where chosen in ('avg', 'sum', 'count')), sum(c.value))
                           when 'min' then min(a.value)
                           when 'max' then max(a.value)
                           when 'last' then (array_agg(a.value order by a.bucket_at desc) filter (where a.value is not null))[1]
                           else saas_private.total(a.value) filter (where chosen in ('avg', 'sum', 'count')) end as value
          from answer a
          left join counts c on c.bucket_at = a.bucket_at and c.grp = a.grp
         group by a.grp
    ), ranked as (
        select t.grp, t.value, row_number() over (order by abs(nullif(t.value, 'NaN')) desc nulls last, t.grp) as n
          from totals t
    ), shown as (
        select r.n, r.value, g.environment,
               g.name || case when row_number() over (partition by g.name order by r.grp) > 1
                              then format(' (%s)', row_number() over (partition by g.name order by r.grp)) else '' end as name
          from ranked r
         cross join lateral saas_private.chart_group(r.grp, keys) as g
         where r.n <= most
    )
    select array_agg(coalesce(s.name, 'all') order by s.n) as label,
           array_agg(s.value order by s.n) as value,
           jsonb_object_agg(s.name, s.environment) filter (where s.environment is not null) as environments,
           (select greatest(count(*) - most, 0) from ranked) as omitted
      into bars
      from shown s;
    return saas_private.send_picture(saas.bar_chart(bars.label, bars.value, jsonb_build_object(
        'title', coalesce(bar_chart.title, bar_chart.metric), 'width', coalesce(bar_chart.width, 800),
        'height', bar_chart.height, 'unit', bar_chart.unit, 'theme', bar_chart.theme,
        'share', chosen in ('sum', 'count'), 'environments', bars.environments, 'omitted', bars.omitted)));
end
$$;
alter function saas_api.bar_chart(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], text, integer, integer, text, text, integer) owner to saas_owner;
comment on function saas_api.bar_chart(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], text, integer, integer, text, text, integer) is
'One value of a metric over the whole range a group, the largest first, as bars: image/svg+xml. fn: avg, sum, min, max, last or count; sums and counts with their shares. group_by: the connection by default, else as in query_metric; of the groups the top (1 to 100) are drawn. title: the metric by default. unit: plain, si, bytes, percent or seconds. theme: auto, light or dark. width 160 to 4000; height 60 to 4000, by default what the bars need. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.sparkline(metric text, since timestamptz default now() - interval '24 hours',
                                   until timestamptz default now(), bucket interval default null,
                                   fn text default 'avg', labels jsonb default '{}',
                                   connection_ids uuid[] default null, title text default null,
                                   width integer default 120, height integer default 30,
                                   unit text default 'plain', theme text default 'auto')
returns saas_api."*/*"
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    points double precision[];
begin
    perform saas_private.require_identity();
    with answer as materialized (
        select q.bucket_at, q.value,
               extract(epoch from q.bucket_at - lag(q.bucket_at) over (order by q.bucket_at))::double precision as step_s
          from saas_api.query_metric(sparkline.metric, coalesce(sparkline.since, now() - interval '24 hours'),
                                     coalesce(sparkline.until, now()), sparkline.bucket, sparkline.fn,
                                     sparkline.labels, sparkline.connection_ids, '{}') as q
    ), usual as (
        select percentile_disc(0.5) within group (order by a.step_s) as step_s from answer a
    )
    -- A value a step: as many gaps as buckets are missing before it.
    select array_agg(case when g.n = 0 then a.value end order by a.bucket_at, g.n desc)
      into points
      from answer a
     cross join usual u
     cross join lateral generate_series(0, least(greatest(coalesce(round(a.step_s / u.step_s), 1) - 1, 0), 11000)::integer) as g (n);
    return saas_private.send_picture(saas.sparkline_chart(points, jsonb_build_object(
        'title', coalesce(sparkline.title, sparkline.metric), 'width', coalesce(sparkline.width, 120),
        'height', coalesce(sparkline.height, 30), 'unit', sparkline.unit, 'theme', sparkline.theme)));
end
$$;
alter function saas_api.sparkline(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text, integer, integer, text, text) owner to saas_owner;
comment on function saas_api.sparkline(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text, integer, integer, text, text) is
'What query_metric answers without groups as a small line without axes: image/svg+xml. title: the metric by default. unit: of the description: plain, si, bytes, percent or seconds. theme: auto, light or dark. width 16 to 2000, height 8 to 500. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';

create function saas_api.gauge(metric text default 'salesforce_limit_percent', labels jsonb default '{}',
                               connection_ids uuid[] default null, title text default null,
                               width integer default 220, height integer default 150, theme text default 'auto')
returns saas_api."*/*"
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted jsonb := coalesce(gauge.labels, '{}');
    percent double precision;
begin
    perform saas_private.require_identity();
    perform saas_private.require_field('metric', gauge.metric, 255);
    if jsonb_typeof(wanted) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    end if;
    select max(nullif(l.value, 'NaN')) into percent
      from saas.latest_sample l
     where l.org_id = saas.current_org_id() and l.metric = gauge.metric and l.labels @> wanted
       and (gauge.connection_ids is null or l.connection_id = any (gauge.connection_ids));
    return saas_private.send_picture(saas.gauge_chart(percent, jsonb_build_object(
        'title', coalesce(gauge.title, wanted ->> 'limit', gauge.metric), 'width', coalesce(gauge.width, 220),
        'height', coalesce(gauge.height, 150), 'theme', gauge.theme)));
end
$$;
alter function saas_api.gauge(text, jsonb, uuid[], text, integer, integer, text) owner to saas_owner;
comment on function saas_api.gauge(text, jsonb, uuid[], text, integer, integer, text) is
'The highest of the newest values of a metric in percent (salesforce_limit_percent by default) as a gauge: image/svg+xml. labels: only series that have them all, such as {"limit": "DailyApiRequests"}. title: the limit or the metric by default. Levels as in saas.limit_level. theme: auto, light or dark. width and height 100 to 1000. Errors: PT401, 22023 with fields. For saas_user with view_dashboard.';
