-- Sums of several metrics over several ranges in one pass: what the overview,
-- totals and costs ask for.  Leans on metrics.

create function saas_private.add_values(internal, double precision[]) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_add_values';
comment on function saas_private.add_values(internal, double precision[]) is
'The step of saas_private.added_up().';
create function saas_private.added(internal) returns double precision[]
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_added';
comment on function saas_private.added(internal) is
'What saas_private.added_up() answers.';
create aggregate saas_private.added_up(double precision[]) (
    sfunc = saas_private.add_values, stype = internal, finalfunc = saas_private.added, parallel = safe
);
comment on aggregate saas_private.added_up(double precision[]) is
'The sums of arrays place by place, infinite where they overflow; NULL at a place where none has a value. Errors: 22023 for arrays of several dimensions. For the functions of saas_owner.';

create function saas_private.metric_sets(metrics text[], labels jsonb, connection_ids uuid[])
returns table (layout_id uuid, metric text, places integer[])
language plpgsql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
begin
    return query
    with wanted as materialized (
        select s.metric, array_agg(s.id order by s.id) as ids, array_agg(distinct s.connection_id) as having_them
          from saas.series s
         where s.org_id = org and s.metric = any (metric_sets.metrics) and s.labels @> metric_sets.labels
           and s.connection_id = any (metric_sets.connection_ids)
         group by s.metric
    )
    select l.id, w.metric, p.places
      from saas.layout l
     cross join wanted w
     cross join lateral (select saas_private.places(l.series_ids, w.ids) as places offset 0) p
     where l.org_id = org and l.connection_id = any (array(select distinct h.id from wanted o, unnest(o.having_them) h (id)))
       and p.places <> '{}';
end
$$;
comment on function saas_private.metric_sets(text[], jsonb, uuid[]) is
'Where the series of each of these metrics, with these labels, of these connections stand in each layout that has any. For the functions of saas_owner.';

-- As metric_cells(), but each stretch is added up before the metrics are looked
-- for in it.  What is read is counted stretch by stretch, and none is read on
-- for more than may be read of all.
create function saas_private.metric_figures(metrics text[], times timestamptz[], labels jsonb, connection_ids uuid[],
                                            most integer default saas_private.most_values())
returns table (connection_id uuid, metric text, slot integer, value double precision)
language plpgsql stable rows 500
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
begin
    return query
    with place as materialized (
        select m.layout_id, m.metric, m.places
          from saas_private.metric_sets(metric_figures.metrics, metric_figures.labels, metric_figures.connection_ids) m
    ), span as materialized (
        select t.slot, v.connection_id, v.from_time, v.until_time, v.span_level
          from generate_series(1, cardinality(metric_figures.times) - 1) as t (slot)
         cross join lateral saas_private.metric_spans(
                    metric_figures.times[t.slot], metric_figures.times[t.slot + 1], 3,
                    array(select distinct l.connection_id from saas.layout l
                           where l.org_id = org and l.id in (select p.layout_id from place p))) v
    ), stretch as (
        select sp.connection_id, sp.slot, o.layout_id, o.sums, o.n
          from span sp
         cross join lateral (
               select r.layout_id, saas_private.added_up(r.sum) as sums, count(*) as n, sum(count(*)) over () as of_all
                 from (select b.layout_id, b.sum
                         from (select 0 as level, x.org_id, x.connection_id, x.at, x.layout_id, x."values" as sum from saas.reading x
                                union all
                               select 1, x.org_id, x.connection_id, x.at, x.layout_id, x.sum from saas.reading_5m x
                                union all
                               select 2, x.org_id, x.connection_id, x.at, x.layout_id, x.sum from saas.reading_1h x
                                union all
                               select 3, x.org_id, x.connection_id, x.at, x.layout_id, x.sum from saas.reading_1d x) b
                        where b.level = sp.span_level and b.org_id = org and b.connection_id = sp.connection_id
                          and b.at >= sp.from_time and b.at < sp.until_time
                        limit metric_figures.most::bigint + 1) r
                group by r.layout_id offset 0) o
         -- There may be more that was not read, of whatever layout.
         where case when o.of_all > metric_figures.most then saas_private.refuse_range(metric_figures.most) else true end
    )
    select c.connection_id, c.metric, c.slot, saas_private.total(c.total)
      from (select r.connection_id, r.slot, p.metric, saas_private.sum_at(r.sums, p.places) as total,
                   sum(r.n::double precision * cardinality(p.places)) over (rows unbounded preceding) as so_far
              from stretch r
              join place p on p.layout_id = r.layout_id) c
     where case when c.so_far > metric_figures.most then saas_private.refuse_range(metric_figures.most) else c.total is not null end
     group by 1, 2, 3;
end
$$;
comment on function saas_private.metric_figures(text[], timestamptz[], jsonb, uuid[], integer) is
'The sum of each of these metrics, with these labels, of each of these connections in each slot: the first is from the first time until the second, and so on. No row where there is nothing; nothing from before the plan''s retention. Errors: 22023 with fields when there are more than most readings and rollups of their series. For the functions of saas_owner.';
