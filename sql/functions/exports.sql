-- Samples of a range as a file: CSV, and OpenMetrics text.  Leans on charts (the
-- domain of answers), metrics, connections, audit.

create function saas_private.send_file(body text, content_type text, file_name text) returns bytea
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.set_header('Content-Type', send_file.content_type);
    perform saas.set_header('Content-Disposition', format('attachment; filename="%s"', send_file.file_name));
    perform saas.set_header('X-Content-Type-Options', 'nosniff');
    return convert_to(send_file.body, 'UTF8');
end
$$;
comment on function saas_private.send_file(text, text, text) is
'A text as the body of the HTTP answer, to be saved as a file. For the functions of saas_owner.';

create function saas_private.csv_cell(value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '"' || replace(regexp_replace(case when v.text ~ '^[\s\u0001-\u001f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]' then '''' || v.text else v.text end,
                                         '([;\t\r\n])(?=[\s\u0001-\u001f\ufeff"'']*[=+\-@\uff1d\uff0b\uff0d\uff20])', '\1''', 'g'),
                          '"', '""') || '"'
      from (select coalesce(csv_cell.value, '')) v (text)
$$;
comment on function saas_private.csv_cell(text) is
'A text as a cell of CSV. What a spreadsheet would take for a formula gets an apostrophe before it, after a semicolon, tab or line break too: where these separate cells the quotes do not hold, because the line does not begin with one. For the functions of saas_owner.';

create function saas_private.exposition_text(value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '"' || replace(replace(replace(value, '\', '\\'), '"', '\"'), e'\n', '\n') || '"'
$$;
comment on function saas_private.exposition_text(text) is
'A text in quotes, as OpenMetrics has it. For the functions of saas_owner.';

-- The filter of both exports; what they have in common of their answer.
create function saas_private.exported_samples(metrics text[], since timestamptz, until timestamptz, wanted jsonb, connection_ids uuid[])
returns table (connection_id uuid, connection text, environment text, series_id uuid, metric text, labels jsonb, at timestamptz,
               value double precision)
language plpgsql stable rows 10000
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 100000;
    given bigint;
begin
    return query
    select c.id, c.name, c.environment, s.series_id, s.metric, s.labels, s.at, s.value
      from saas.sample s
      join saas.connection c on c.org_id = s.org_id and c.id = s.connection_id
     where s.org_id = saas.current_org_id() and s.connection_id = any (exported_samples.connection_ids)
       and s.at >= exported_samples.since and s.at < exported_samples.until and s.value is not null
       and (exported_samples.metrics is null or s.metric = any (exported_samples.metrics)) and s.labels @> exported_samples.wanted
     limit most + 1;
    get diagnostics given = row_count;
    if given > most then
        perform saas_private.raise_fields('invalid input', 'since', format('to until has more than %s samples, the most of one export', most));
    end if;
end
$$;
comment on function saas_private.exported_samples(text[], timestamptz, timestamptz, jsonb, uuid[]) is
'The samples of an export, at most 100000, in no order. Errors: 22023 with fields. For the functions of saas_owner.';

create function saas_private.require_export(metrics text[], since timestamptz, until timestamptz, labels jsonb, connection_ids uuid[],
                                            out from_time timestamptz, out to_time timestamptz, out wanted jsonb, out ids uuid[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('export_data');
    perform saas.require_permission('view_dashboard');
    from_time := coalesce(require_export.since, now() - interval '24 hours');
    to_time := coalesce(nullif(require_export.until, now()), now() + interval '1 microsecond');
    wanted := coalesce(require_export.labels, '{}');
    perform saas_private.require_metric_range(from_time, to_time);
    if jsonb_typeof(wanted) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'labels', 'must be an object');
    elsif array_ndims(require_export.metrics) > 1 then
        perform saas_private.raise_fields('invalid input', 'metrics', 'must be a list');
    elsif cardinality(require_export.metrics) not between 1 and 100 or array_position(require_export.metrics, null) is not null then
        perform saas_private.raise_fields('invalid input', 'metrics', 'must be 1 to 100 metrics');
    end if;
    ids := saas_private.metric_connections(require_export.connection_ids, null, null, null);
end
$$;
comment on function saas_private.require_export(text[], timestamptz, timestamptz, jsonb, uuid[]) is
'What an export may have, with its defaults. Errors: PT401, PT403, 22023 with fields. For the functions of saas_owner.';

create function saas_api.export_csv(since timestamptz default now() - interval '24 hours', until timestamptz default now(),
                                    metrics text[] default null, labels jsonb default '{}', connection_ids uuid[] default null)
returns saas_api."*/*"
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    scope record;
    body text;
    given bigint;
begin
    scope := saas_private.require_export(export_csv.metrics, export_csv.since, export_csv.until, export_csv.labels, export_csv.connection_ids);
    with sample as materialized (
        select e.* from saas_private.exported_samples(export_csv.metrics, scope.from_time, scope.to_time, scope.wanted, scope.ids) e
    ), row_end as materialized (
        -- The same for every sample of a series.
        select distinct on (e.series_id) e.series_id,
               concat_ws(',', e.connection_id, saas_private.csv_cell(e.connection), coalesce(e.environment, ''),
                         saas_private.csv_cell(e.metric), saas_private.csv_cell(e.labels::text)) as text
          from sample e
         order by e.series_id
    )
    select string_agg(to_char(s.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ',' || r.text || ',' || s.value || e'\r\n', ''
                      order by s.at, s.connection, s.connection_id, s.metric, s.series_id),
           count(*)
      into body, given
      from sample s join row_end r using (series_id);
    perform saas_private.audit('metrics.exported', 'metrics', null, null,
        jsonb_build_object('format', 'csv', 'since', scope.from_time, 'until', scope.to_time, 'metrics', export_csv.metrics,
                           'labels', scope.wanted, 'connection_ids', export_csv.connection_ids, 'samples', given));
    return saas_private.send_file(e'time,connection_id,connection,environment,metric,labels,value\r\n' || coalesce(body, ''),
                                  'text/csv; charset=utf-8; header=present', 'metrics.csv');
end
$$;
alter function saas_api.export_csv(timestamptz, timestamptz, text[], jsonb, uuid[]) owner to saas_owner;
comment on function saas_api.export_csv(timestamptz, timestamptz, text[], jsonb, uuid[]) is
'The samples of a range as CSV (RFC 4180, UTF-8): time (UTC), connection_id, connection, environment, metric, labels (JSON), value; by time. metrics: only these, at most 100; labels: only series that have them all. At most 100000 samples; those of readings, as far back as the plan keeps them: rollups are asked for with query_metric. What a spreadsheet would take for a formula has an apostrophe before it: = + - @ at the beginning of a name, and after a semicolon, tab or line break in names and labels. With POST only, since every export is an event of the audit. Errors: PT401, PT403, 22023 with fields. For saas_user with export_data and view_dashboard.';

create function saas_api.export_openmetrics(since timestamptz default now() - interval '24 hours', until timestamptz default now(),
                                            metrics text[] default null, labels jsonb default '{}', connection_ids uuid[] default null)
returns saas_api."*/*"
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    scope record;
    body text;
    given bigint;
begin
    scope := saas_private.require_export(export_openmetrics.metrics, export_openmetrics.since, export_openmetrics.until,
                                         export_openmetrics.labels, export_openmetrics.connection_ids);
    with sample as materialized (
        select e.*
          from saas_private.exported_samples(export_openmetrics.metrics, scope.from_time, scope.to_time, scope.wanted, scope.ids) e
    ), series as materialized (
        select distinct on (e.series_id) e.series_id, e.connection_id, e.metric,
               case when e.metric ~ '^[a-zA-Z_:][a-zA-Z0-9_:]*$' then e.metric else saas_private.exposition_text(e.metric) end as name,
               (select string_agg(case when l.name ~ '^[a-zA-Z_][a-zA-Z0-9_]*$' then l.name else saas_private.exposition_text(l.name) end
                                  || '=' || saas_private.exposition_text(l.value), ',' order by l.n, l.name)
                  from (values (1, 'connection_id', e.connection_id::text), (2, 'connection', e.connection)
                         union all
                        -- As Prometheus does with labels of the scraped that are its own.
                        select 3, case when k.key ~ '^(exported_)*(connection(_id)?|__name__)$' then 'exported_' else '' end || k.key, k.value
                          from jsonb_each_text(e.labels) k) as l (n, name, value)) as labels
          from sample e
         order by e.series_id
    ), line as materialized (
        select s.metric, s.connection_id, s.series_id, e.at,
               case when s.name = s.metric then s.name || '{' else '{' || s.name || ',' end || s.labels || '} '
               || case e.value when 'NaN' then 'NaN' when 'Infinity' then '+Inf' when '-Infinity' then '-Inf' else e.value::text end
               || ' ' || trim_scale(extract(epoch from e.at)) || e'\n' as text
          from sample e join series s using (series_id)
         union all
        -- Before the first of the family's samples.
        select s.metric, null, null, null, format(e'# TYPE %1$s unknown\n# HELP %1$s %2$s series of %3$s connections.\n',
                                                  s.name, count(*), count(distinct s.connection_id))
          from series s
         group by s.metric, s.name
    )
    select string_agg(l.text, '' order by l.metric collate "C", l.connection_id nulls first, l.series_id, l.at), count(l.at)
      into body, given
      from line l;
    perform saas_private.audit('metrics.exported', 'metrics', null, null,
        jsonb_build_object('format', 'openmetrics', 'since', scope.from_time, 'until', scope.to_time, 'metrics', export_openmetrics.metrics,
                           'labels', scope.wanted, 'connection_ids', export_openmetrics.connection_ids, 'samples', given));
    return saas_private.send_file(coalesce(body, '') || e'# EOF\n', 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'metrics.txt');
end
$$;
alter function saas_api.export_openmetrics(timestamptz, timestamptz, text[], jsonb, uuid[]) owner to saas_owner;
comment on function saas_api.export_openmetrics(timestamptz, timestamptz, text[], jsonb, uuid[]) is
'The samples of a range as OpenMetrics text with their times: every metric of type unknown, with the labels connection_id and connection; a label of that name that a series has itself is exported_connection, and __name__, which would rename the metric, exported___name__. Names with other characters than OpenMetrics 1.0 has are in quotes, as newer Prometheus reads them. Filters, limits and audit as export_csv. Errors: PT401, PT403, 22023 with fields. For saas_user with export_data and view_dashboard.';
